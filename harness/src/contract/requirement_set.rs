//! Sets of requirements that never change, so that a project decides itself when new checks begin to count.

use super::catalogue::requirement;

/// The requirements of one revision.
#[derive(Debug)]
pub struct RequirementSet {
    /// Its name: the month in which it was frozen.
    pub revision: &'static str,
    /// Ids, one a line; lines that begin with `#` are comments.
    text: &'static str,
}

/// Every set, the oldest first.
pub const REQUIREMENT_SETS: &[RequirementSet] =
    &[RequirementSet { revision: "2026-11", text: include_str!("../../requirements/2026-11.txt") }];

impl RequirementSet {
    /// The set of this revision.
    ///
    /// # Errors
    /// When there is none; the text names those that there are.
    pub fn named(revision: &str) -> Result<&'static RequirementSet, String> {
        REQUIREMENT_SETS.iter().find(|set| set.revision == revision).ok_or_else(|| {
            let all: Vec<&str> = REQUIREMENT_SETS.iter().map(|set| set.revision).collect();
            format!("there is no set of requirements `{revision}`; there are: {}", all.join(", "))
        })
    }

    /// True when the requirement belongs to it.
    pub fn contains(&self, id: &str) -> bool {
        self.ids().any(|one| one == id)
    }

    fn ids(&self) -> impl Iterator<Item = &'static str> {
        self.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// Ids of the set that are no requirements of this version; none in a version that keeps its word.
    pub fn gone(&self) -> Vec<&'static str> {
        self.ids().filter(|id| requirement(id).is_none()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_frozen_is_still_there() {
        for set in REQUIREMENT_SETS {
            assert!(set.ids().count() > 100, "{}", set.revision);
            assert_eq!(set.gone(), Vec::<&str>::new(), "an id is never taken away: {}", set.revision);
        }
    }

    #[test]
    fn a_set_is_named_by_its_revision() {
        assert!(RequirementSet::named("2026-11").unwrap().contains("SEAM-1"));
        assert!(!RequirementSet::named("2026-11").unwrap().contains("SEAM-99"));
        assert_eq!(RequirementSet::named("1").unwrap_err(), "there is no set of requirements `1`; there are: 2026-11");
    }
}
