//! What waits in a run: futures, and timers. There are few timers at a time and many in a run, so they are a short sorted
//! list and no tree.

use std::task::{Context, Waker};

use super::Timer;
use crate::history::{Kind, Record, What};
use crate::world::Watch;

/// Who is polled again when something happens.
#[derive(Debug)]
pub(super) enum Waiter {
    /// The walk, polled at its root: a flag says so, for a waker's counts would be most of the cost of waiting.
    Walk,
    /// A future among several that are polled one by one.
    One(Waker),
}

impl Waiter {
    /// Who polls with this context; `root` is the waker of the walk itself.
    pub(super) fn of(context: &Context<'_>, root: &Waker) -> Waiter {
        if context.waker().will_wake(root) { Waiter::Walk } else { Waiter::One(context.waker().clone()) }
    }

    /// Sees to it that it is polled.
    pub(super) fn wake(self, walk_is_due: &mut bool) {
        match self {
            Waiter::Walk => *walk_is_due = true,
            Waiter::One(waker) => waker.wake(),
        }
    }
}

/// Who waits for observations.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// What the walk waits for, if it does.
    walk: Option<Watch>,
    others: Vec<Waker>,
}

impl Waiters {
    /// The walk is polled now: it says anew what it waits for.
    pub(super) fn walk_goes_on(&mut self) {
        self.walk = None;
    }

    /// Who polls with this context waits for what `watch` says.
    pub(super) fn add(&mut self, watch: Watch, context: &Context<'_>, root: &Waker) {
        match Waiter::of(context, root) {
            Waiter::Walk => self.walk = Some(self.walk.map_or(watch, |other| if other == watch { watch } else { Watch::All })),
            Waiter::One(waker) => self.others.push(waker),
        }
    }

    /// Something happened that everybody may wait for.
    pub(super) fn wake(&mut self, walk_is_due: &mut bool) {
        *walk_is_due |= self.walk.take().is_some();
        self.others.drain(..).for_each(Waker::wake);
    }

    /// This was observed, and nothing else happened.
    pub(super) fn observed(&mut self, seen: &[Record], walk_is_due: &mut bool) {
        let concerns = |watch: Watch| {
            let event = watch.event();
            watch == Watch::All
                || seen.iter().any(|record| match &record.what {
                    What::Delivery(delivery) if delivery.kind == Kind::Event => event.is_some() && delivery.marker == event,
                    _ => true,
                })
        };
        if self.walk.is_some_and(concerns) {
            self.walk = None;
            *walk_is_due = true;
        }
        if !self.others.is_empty() {
            self.others.drain(..).for_each(Waker::wake);
        }
    }
}

/// When a timer fires, and its number: ties of time are broken by it.
pub(super) type Due = (u64, u64);

/// Timers, the next one last.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers(Vec<(Due, Timer)>);

impl Timers {
    /// The next to fire.
    pub(super) fn next(&self) -> Option<Due> {
        self.0.last().map(|(due, _)| *due)
    }

    pub(super) fn insert(&mut self, due: Due, timer: Timer) {
        self.0.insert(self.0.partition_point(|(other, _)| *other > due), (due, timer));
    }

    pub(super) fn remove(&mut self, due: Due) -> Option<Timer> {
        let at = self.0.partition_point(|(other, _)| *other > due);
        self.0.get(at).is_some_and(|(other, _)| *other == due).then(|| self.0.remove(at).1)
    }

    pub(super) fn retain(&mut self, stays: impl Fn(&Timer) -> bool) {
        self.0.retain(|(_, timer)| stays(timer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_by_time_and_then_by_number_whatever_was_removed() {
        let mut timers = Timers::default();
        for due in [(30, 1), (10, 2), (20, 3), (10, 4), (20, 5)] {
            timers.insert(due, Timer::Wake(u32::try_from(due.1).unwrap()));
        }
        assert_eq!(timers.remove((20, 3)), Some(Timer::Wake(3)));
        assert_eq!(timers.remove((20, 3)), None);
        timers.retain(|timer| *timer != Timer::Wake(4));
        let mut fired = Vec::new();
        while let Some(due) = timers.next() {
            assert!(timers.remove(due).is_some());
            fired.push(due);
        }
        assert_eq!(fired, [(10, 2), (20, 5), (30, 1)]);
    }
}
