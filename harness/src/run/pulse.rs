//! Whether this machine keeps up: how late a thread of ours is woken, and how many wait for a processor.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// How often the thread asks to be woken.
const BEAT: Duration = Duration::from_millis(25);
/// Woken this much too late, it is no wonder that a server is late as well.
const MISSED: Duration = Duration::from_millis(250);
/// With so many runnable tasks for each processor, taken over a minute, the machine has too much to do.
const CROWDED: f64 = 4.0;

/// The pulse of this machine, while a thread takes it.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    state: Mutex<State>,
    stopping: Condvar,
}

/// Ends the thread that takes the pulse when it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'p>(&'p Pulse);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.state().stopped = true;
        self.0.stopping.notify_all();
    }
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// When the last beat that was missed came after all.
    missed: Option<Instant>,
}

impl Pulse {
    /// Has the pulse taken by a thread of this scope, until what is returned is dropped.
    pub(super) fn taken_in<'s>(&'s self, scope: &'s Scope<'s, '_>) -> Taken<'s> {
        scope.spawn(|| self.beat());
        Taken(self)
    }

    fn beat(&self) {
        let mut state = self.state();
        while !state.stopped {
            let asleep = Instant::now();
            let (woken, waited) = self.stopping.wait_timeout(state, BEAT).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && asleep.elapsed() >= BEAT + MISSED {
                state.missed = Some(Instant::now());
            }
        }
    }

    /// True when this machine had too much to do at some time since then, so that what was late says nothing of a server.
    pub(super) fn faltered_since(&self, since: Instant) -> bool {
        self.state().missed.is_some_and(|at| at >= since) || crowded()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True when far more tasks want to run than there are processors. False where the system does not tell.
fn crowded() -> bool {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let load = std::fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    load.is_some_and(|load| load > CROWDED * processors as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_beat_is_remembered_for_what_ran_then() {
        let (pulse, began) = (Pulse::default(), Instant::now());
        pulse.state().missed = Some(Instant::now());
        assert!(pulse.faltered_since(began));
        let later = Instant::now() + Duration::from_millis(1);
        assert_eq!(pulse.faltered_since(later), crowded());
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let pulse = Pulse::default();
        std::thread::scope(|scope| drop(pulse.taken_in(scope)));
        assert!(pulse.state().stopped);
    }
}
