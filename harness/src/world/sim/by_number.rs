//! What a run has by number: exchanges, streams. There are few at a time, and the newest is asked for most, so they stand in
//! a short sorted list and no tree.

/// Things by their numbers, ascending.
#[derive(Clone, Debug)]
pub(super) struct ByNumber<T>(Vec<(u32, T)>);

impl<T> Default for ByNumber<T> {
    fn default() -> Self {
        ByNumber(Vec::new())
    }
}

impl<T> ByNumber<T> {
    fn place(&self, number: u32) -> Result<usize, usize> {
        match self.0.last() {
            Some((newest, _)) if *newest == number => Ok(self.0.len() - 1),
            Some((newest, _)) if *newest < number => Err(self.0.len()),
            Some(_) => self.0.binary_search_by_key(&number, |(other, _)| *other),
            None => Err(0),
        }
    }

    /// Adds one, or puts it in the place of the one with that number.
    pub(super) fn insert(&mut self, number: u32, thing: T) {
        match self.place(number) {
            Ok(at) => self.0[at].1 = thing,
            Err(at) => self.0.insert(at, (number, thing)),
        }
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.place(number).is_ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.place(number).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.place(number).ok().map(|at| &mut self.0[at].1)
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        self.place(number).ok().map(|at| self.0.remove(at).1)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// All of them, in the order of their numbers.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &T)> {
        self.0.iter().map(|(number, thing)| (*number, thing))
    }

    /// All of them, in the order of their numbers.
    pub(super) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, thing)| thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found_by_their_numbers_in_whatever_order_they_come_and_go() {
        let mut things = ByNumber::default();
        assert!(things.is_empty() && things.remove(3).is_none());
        for number in [3, 9, 1, 5, u32::MAX, 5] {
            things.insert(number, format!("the {number}"));
        }
        assert_eq!(things.iter().map(|(number, _)| number).collect::<Vec<_>>(), [1, 3, 5, 9, u32::MAX]);
        assert_eq!(things.remove(u32::MAX).as_deref(), Some("the 4294967295"));
        assert_eq!((things.get(9).map(String::as_str), things.get(4), things.contains(5)), (Some("the 9"), None, true));
        things.get_mut(3).expect("it is there").push('!');
        assert_eq!(things.iter_mut().map(|thing| thing.clone()).collect::<Vec<_>>(), ["the 1", "the 3!", "the 5", "the 9"]);
        things.clear();
        assert!(things.is_empty() && things.get(1).is_none());
    }
}
