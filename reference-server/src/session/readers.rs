//! The readers of a session, by their ids.

use super::SubscriptionId;
use super::subscription::Subscription;

/// Readers by their ids. Each comes with a greater id than all before it, and there are few, or the newest is asked for most:
/// so they stand in a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers(Vec<(SubscriptionId, Option<Box<Subscription>>)>);

impl Readers {
    fn place(&self, id: SubscriptionId) -> Option<usize> {
        match self.0.last() {
            Some((newest, _)) if *newest == id => Some(self.0.len() - 1),
            Some(_) | None => self.0.binary_search_by_key(&id, |(other, _)| *other).ok(),
        }
    }

    pub(super) fn push(&mut self, id: SubscriptionId, subscription: Subscription) {
        self.0.push((id, Some(Box::new(subscription))));
    }

    pub(super) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Option<Box<Subscription>>> {
        self.place(id).map(|at| &mut self.0[at].1)
    }

    pub(super) fn remove(&mut self, id: SubscriptionId) -> Option<Box<Subscription>> {
        self.place(id).and_then(|at| self.0.remove(at).1)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that are in their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.0.iter().filter_map(|(_, subscription)| subscription.as_deref())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.0.iter_mut().filter_map(|(_, subscription)| subscription.as_deref_mut())
    }
}
