//! Lists that go on where another one ended.
//!
//! Many histories may begin alike. What a view lists of such a beginning is then listed once, and each view goes on from it:
//! what it adds is its own, and the beginning is copied only where something in it changes.

use std::iter::Chain;
use std::ops::Index;
use std::slice::Iter;

/// The list. Its beginning may be another's.
#[derive(Clone, Debug)]
pub struct Grown<'h, T> {
    begun: &'h [T],
    own: Vec<T>,
}

impl<T> Default for Grown<'_, T> {
    fn default() -> Self {
        Grown { begun: &[], own: Vec::new() }
    }
}

impl<'h, T: Copy> Grown<'h, T> {
    /// A list that goes on from this one.
    pub(super) fn go_on(&'h self) -> Grown<'h, T> {
        match self.begun {
            [] => Grown { begun: &self.own, own: Vec::new() },
            _ => self.clone(),
        }
    }

    pub(super) fn push(&mut self, item: T) {
        self.own.push(item);
    }

    /// An item that is to change: the beginning becomes a copy of its own if the item stands there.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at < self.begun.len() {
            self.own.splice(0..0, self.begun.iter().copied());
            self.begun = &[];
        }
        self.own.get_mut(at - self.begun.len())
    }
}

impl<'h, T> Grown<'h, T> {
    pub(super) fn with_capacity(items: usize) -> Self {
        Grown { begun: &[], own: Vec::with_capacity(items) }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.begun.len() + self.own.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at a place.
    pub fn get(&self, at: usize) -> Option<&T> {
        match at.checked_sub(self.begun.len()) {
            None => self.begun.get(at),
            Some(at) => self.own.get(at),
        }
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        self.own.last().or(self.begun.last())
    }

    /// All items, in order.
    pub fn iter(&self) -> Chain<Iter<'_, T>, Iter<'_, T>> {
        self.begun.iter().chain(&self.own)
    }

    /// How many items from the first one on satisfy `before`, which none does behind one that does not.
    pub fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        // As slices do it, so that where they lie makes no difference even to items that are in no order.
        let (mut base, mut size) = (0, self.len());
        while size > 1 {
            let half = size / 2;
            base = if before(&self[base + half]) { base + half } else { base };
            size -= half;
        }
        base + usize::from(size == 1 && before(&self[base]))
    }
}

impl<T> Index<usize> for Grown<'_, T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        match at.checked_sub(self.begun.len()) {
            None => &self.begun[at],
            Some(at) => &self.own[at],
        }
    }
}

impl<T> FromIterator<T> for Grown<'_, T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Grown { begun: &[], own: items.into_iter().collect() }
    }
}

impl<'l, T> IntoIterator for &'l Grown<'_, T> {
    type Item = &'l T;
    type IntoIter = Chain<Iter<'l, T>, Iter<'l, T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_list_wherever_its_beginning_lies() {
        let whole: Vec<u32> = (0..20).map(|n| n * 3).collect();
        for begun in 0..=whole.len() {
            let beginning: Grown<'_, u32> = whole[..begun].iter().copied().collect();
            let mut list = beginning.go_on();
            whole[begun..].iter().for_each(|item| list.push(*item));
            assert!(list.iter().eq(&whole) && list.iter().rev().eq(whole.iter().rev()));
            assert_eq!((list.len(), list.is_empty(), list.last()), (20, false, whole.last()));
            assert_eq!((list.get(20), list.get(7), list[7]), (None, Some(&21), 21));
            for bound in 0..65 {
                assert_eq!(list.partition_point(|n| *n < bound), whole.partition_point(|n| *n < bound), "{bound} from {begun}");
            }
            assert!(list.clone().go_on().iter().eq(&whole));
        }
    }

    #[test]
    fn what_changes_leaves_the_beginning_as_it_was() {
        let beginning: Grown<'_, u32> = [1, 2, 3].into_iter().collect();
        for at in 0..4 {
            let mut list = beginning.go_on();
            list.push(4);
            *list.get_mut(at).unwrap() = 9;
            assert!(list.get_mut(4).is_none());
            let changed: Vec<u32> = (1..=4).map(|n| if n == at as u32 + 1 { 9 } else { n }).collect();
            assert!(list.iter().eq(&changed));
        }
        assert!(beginning.iter().eq(&[1, 2, 3]));
    }
}
