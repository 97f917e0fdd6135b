//! Two ways of making a scenario smaller, taken together.
//!
//! Where a run waits for seconds, several candidates are answered in the same moment, and more than one of them is good. To
//! take one and ask for the rest again would cost those seconds for each.

use crate::scenario::Step;

/// What `one` and `other` have each made of `base`, both at once. `None` where it cannot be told what they made of which step.
pub(super) fn both(base: &[Step], one: &[Step], other: &[Step]) -> Option<Vec<Step>> {
    let (one, other) = (aligned(base, one)?, aligned(base, other)?);
    let each = base.iter().zip(one.into_iter().zip(other));
    Some(each.filter_map(|(was, (one, other))| if one == Some(was) { other } else { one }).cloned().collect())
}

/// What became of each step of `base`: as many steps are its own, changed or not, and fewer are what was left of them.
fn aligned<'s>(base: &'s [Step], now: &'s [Step]) -> Option<Vec<Option<&'s Step>>> {
    if base.len() == now.len() {
        return Some(now.iter().map(Some).collect());
    }
    let mut left = now.iter().peekable();
    let places = base.iter().map(|step| left.next_if_eq(&step)).collect();
    left.peek().is_none().then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Publish;

    fn publishes(counts: &[u32]) -> Vec<Step> {
        counts.iter().map(|count| Step::Publish(Publish::plain("s", *count))).collect()
    }

    fn counts(base: &[u32], one: &[u32], other: &[u32]) -> Option<Vec<Step>> {
        both(&publishes(base), &publishes(one), &publishes(other))
    }

    #[test]
    fn what_either_left_out_or_changed_is_left_out_or_changed() {
        assert_eq!(counts(&[1, 2, 3, 4], &[1, 3, 4], &[1, 2, 3]), Some(publishes(&[1, 3])));
        assert_eq!(counts(&[1, 2, 3, 4], &[1, 3, 4], &[1, 2, 9, 4]), Some(publishes(&[1, 9, 4])));
        assert_eq!(counts(&[5, 6], &[1, 6], &[5, 2]), Some(publishes(&[1, 2])));
    }

    #[test]
    fn what_cannot_be_told_apart_is_left_alone() {
        assert_eq!(counts(&[1, 2, 3], &[7, 3], &[1, 2]), None);
        assert_eq!(counts(&[1], &[1, 2], &[1]), None);
    }
}
