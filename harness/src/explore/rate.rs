//! How often something fails, and how often a candidate must be run before it is believed not to.

use std::fmt;

/// Failed runs of all runs: `4/10`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rate {
    /// Runs that failed.
    pub failed: u32,
    /// Runs.
    pub of: u32,
}

/// No candidate is run more often.
const MOST_RUNS: u32 = 40;
/// A failure of one run in ten is believed to be gone after 72.
const MOST_RUNS_TO_BELIEVE: u32 = 100;

impl Rate {
    /// Adds a run.
    pub fn count(&mut self, failed: bool) {
        self.failed += u32::from(failed);
        self.of += 1;
    }

    /// True when every run failed.
    pub fn is_certain(self) -> bool {
        self.failed == self.of && self.of > 0
    }

    /// How many runs without a failure say that it is gone: were it not, that would happen one time in a thousand.
    pub fn runs_to_believe_it_gone(self) -> u32 {
        // One success more than was seen: ten failures of ten do not say that it never succeeds.
        let share = f64::from(self.failed) / f64::from(self.of + 1);
        let runs = (0.001_f64.ln() / (1.0 - share.clamp(0.01, 0.99)).ln()).ceil();
        // At most 688, by the smallest share.
        (runs as u32).min(MOST_RUNS_TO_BELIEVE)
    }

    /// True for what fails in nine runs of ten, or more often.
    pub fn is_nearly_certain(self) -> bool {
        self.share() >= 0.9
    }

    /// True for what shows more often than `other` did.
    pub fn is_worse_than(self, other: Rate) -> bool {
        self.share() > other.share()
    }

    /// True for what shows at least half as often as `original` did.
    pub fn is_nearly_as_bad_as(self, original: Rate) -> bool {
        2.0 * self.share() >= original.share()
    }

    fn share(self) -> f64 {
        if self.of == 0 { 0.0 } else { f64::from(self.failed) / f64::from(self.of) }
    }

    /// What is asked of a candidate for something that fails at this rate: so many failures within so many runs.
    ///
    /// One that fails as often as the original passes this nearly always (above four times of five); one that fails a
    /// quarter as often, seldom (below one of five). So a chain of candidates does not drift into ever rarer failures. One
    /// that does not fail at all is known after its first runs.
    pub fn asks(self) -> (u32, u32) {
        let share = self.share();
        if self.is_certain() {
            // One run without a failure is enough to look at the next candidate, and there are many of them.
            return (3, 3);
        }
        if self.is_nearly_certain() {
            return (2, 3);
        }
        let runs = (3.0 / share.max(0.01)).ceil();
        // The share is at least a hundredth, so this is at most 300.
        (2, (runs as u32).clamp(4, MOST_RUNS))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.failed, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chance that a candidate that fails with `share` passes what `rate` asks.
    fn passes(rate: Rate, share: f64) -> f64 {
        let (failures, runs) = rate.asks();
        let mut chance_of = vec![0.0; failures as usize + 1];
        chance_of[0] = 1.0;
        for _ in 0..runs {
            for n in (0..failures as usize).rev() {
                chance_of[n + 1] += chance_of[n] * share;
                chance_of[n] *= 1.0 - share;
            }
        }
        chance_of[failures as usize]
    }

    #[test]
    fn a_candidate_as_bad_is_kept_and_one_four_times_as_rare_is_not() {
        for failed in 1..=9 {
            let rate = Rate { failed, of: 10 };
            let share = f64::from(failed) / 10.0;
            assert!(passes(rate, share) > 0.78, "{rate}: {}", passes(rate, share));
            assert!(passes(rate, share / 4.0) < 0.25, "{rate}: {}", passes(rate, share / 4.0));
        }
        let certain = Rate { failed: 10, of: 10 };
        assert!(passes(certain, 1.0) == 1.0 && passes(certain, 0.5) < 0.13 && passes(certain, 0.25) < 0.02);
    }

    #[test]
    fn rarer_failures_take_more_runs_to_be_gone() {
        let runs = |failed| Rate { failed, of: 10 }.runs_to_believe_it_gone();
        assert_eq!([runs(10), runs(5), runs(1), runs(0)], [3, 12, 73, 100]);
    }

    #[test]
    fn half_as_often_is_nearly_as_bad() {
        let of_ten = |failed| Rate { failed, of: 10 };
        assert!(of_ten(5).is_nearly_as_bad_as(of_ten(10)) && !of_ten(4).is_nearly_as_bad_as(of_ten(10)));
        assert!(of_ten(9).is_nearly_certain() && !of_ten(8).is_nearly_certain() && !of_ten(0).is_nearly_certain());
        assert!(of_ten(2).is_worse_than(of_ten(1)) && !of_ten(2).is_worse_than(of_ten(2)));
        assert!(of_ten(1).is_nearly_as_bad_as(of_ten(2)) && !of_ten(0).is_nearly_as_bad_as(of_ten(1)));
    }
}
