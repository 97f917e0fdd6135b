//! What waits in a run: timers, and exchanges without an answer. There are few of either at a time and many of both in
//! a run, so each is a short sorted list and no tree.

use std::task::{Context, Waker};

use super::{Exchange, Timer};

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

/// Exchanges by their numbers, which ascend.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Vec<(u32, Exchange)>);

impl Exchanges {
    fn at(&self, ex: u32) -> Option<usize> {
        self.0.binary_search_by_key(&ex, |(other, _)| *other).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one with a number above those of all others.
    pub(super) fn push(&mut self, ex: u32, exchange: Exchange) {
        debug_assert!(self.0.last().is_none_or(|(other, _)| *other < ex), "numbers ascend");
        self.0.push((ex, exchange));
    }

    pub(super) fn get_mut(&mut self, ex: u32) -> Option<&mut Exchange> {
        let at = self.at(ex)?;
        Some(&mut self.0[at].1)
    }

    pub(super) fn remove(&mut self, ex: u32) -> Option<Exchange> {
        let at = self.at(ex)?;
        Some(self.0.remove(at).1)
    }

    /// All of them, in the order of their numbers.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Exchange> {
        self.0.iter_mut().map(|(_, exchange)| exchange)
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
