//! Several runs of one scenario: how often it failed, what it showed most often, and how many can go on at once.

use std::time::Duration;

use super::lab::{MOST_ALONE, Ran, Signature};
use super::mend::is_heavy;
use super::rate::Rate;
use crate::scenario::Step;

/// So many runs go on at once, where there is a server for each.
pub(crate) const AT_ONCE: usize = 3;
/// So many of those that wait most of their time.
pub(crate) const WAITING_AT_ONCE: usize = MOST_ALONE;
/// So many of those that publish very much first.
const HEAVY_AT_ONCE: usize = 5;
/// A run of so long has waited for something.
pub(crate) const WAITED: Duration = Duration::from_millis(400);

/// Several runs of one scenario.
pub(crate) struct Measured {
    /// How long a wait might take in them.
    pub(crate) patience: Duration,
    pub(crate) runs: Vec<Ran>,
}

impl Measured {
    pub(crate) fn rate(&self, signature: &Signature) -> Rate {
        let mut rate = Rate::default();
        self.runs.iter().for_each(|ran| rate.count(ran.shows(signature)));
        rate
    }

    /// The last run that showed it.
    pub(crate) fn failed(self, signature: &Signature) -> Option<Ran> {
        self.runs.into_iter().rfind(|ran| ran.shows(signature))
    }

    /// What shows most often in place of what shows but sometimes; the first of several.
    pub(crate) fn surer(&self, signature: &Signature, known: impl Fn(&Signature) -> bool) -> Option<Signature> {
        let mut best = (self.rate(signature), None);
        for (other, _) in self.runs.iter().flat_map(Ran::violations) {
            let rate = self.rate(&other);
            if rate.failed > best.0.failed && !known(&other) {
                best = (rate, Some(other));
            }
        }
        best.1.filter(|_| best.0.is_nearly_certain())
    }

    /// How long its longest run took.
    pub(crate) fn longest(&self) -> Duration {
        self.runs.iter().map(|ran| ran.elapsed).max().unwrap_or_default()
    }
}

/// How many runs go on at once of a scenario whose runs take so long.
pub(crate) fn width(steps: &[Step], elapsed: Duration) -> usize {
    match elapsed >= WAITED {
        true if is_heavy(steps) => HEAVY_AT_ONCE,
        true => WAITING_AT_ONCE,
        false => AT_ONCE,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::check::{Finding, Verdict, Violation};
    use crate::contract::{CATALOGUE, Level};
    use crate::history::{Header, History};
    use crate::scenario::{Count, Publish, Text};

    /// Two of the requirements that a server must keep.
    pub(crate) fn faces() -> [&'static str; 2] {
        let mut must = CATALOGUE.iter().filter(|requirement| requirement.level == Level::Must).map(|requirement| requirement.id);
        [must.next().unwrap(), must.next().unwrap()]
    }

    pub(crate) fn signature(requirement: &str) -> Signature {
        Signature { requirement: requirement.to_owned(), shape: "x".to_owned() }
    }

    /// A run that shows violations of these requirements.
    pub(crate) fn ran(shows: &[&str]) -> Ran {
        let finding = |id: &str| {
            let violation =
                Violation { says: String::new(), expected: String::new(), seen: String::new(), records: Vec::new(), shape: "x".to_owned() };
            if shows.contains(&id) {
                Finding::Fail { judged: 1, violations: vec![violation], count: 1 }
            } else {
                Finding::Pass { judged: 1 }
            }
        };
        let verdicts = CATALOGUE.iter().map(|r| Verdict { requirement: r.id.to_owned(), finding: finding(r.id) }).collect();
        let header = Header { streamspec_history: 1, profile: "sse".to_owned(), scenario: "x".to_owned(), seed: 0 };
        Ran { history: History { header, records: Vec::new() }, verdicts, aborted: None, elapsed: Duration::ZERO }
    }

    #[test]
    fn what_shows_every_time_is_surer_than_what_comes_and_goes() {
        let [rare, sure] = faces();
        let measured =
            Measured { patience: Duration::ZERO, runs: (0..10).map(|n| if n < 2 { ran(&[rare, sure]) } else { ran(&[sure]) }).collect() };
        assert_eq!(measured.rate(&signature(rare)), Rate { failed: 2, of: 10 });
        assert_eq!(measured.surer(&signature(rare), |_| false), Some(signature(sure)));
        // What was told already is not told again, and what is sure needs no other face.
        assert_eq!(measured.surer(&signature(rare), |other| *other == signature(sure)), None);
        assert_eq!(measured.surer(&signature(sure), |_| false), None);
        assert!(measured.failed(&signature(rare)).is_some_and(|ran| ran.shows(&signature(rare))));
    }

    #[test]
    fn what_shows_a_little_more_often_is_no_surer() {
        let [rare, other] = faces();
        let shows = |n| match n {
            0..2 => vec![rare],
            2..7 => vec![other],
            _ => Vec::new(),
        };
        let measured = Measured { patience: Duration::ZERO, runs: (0..10).map(|n| ran(&shows(n))).collect() };
        assert_eq!(measured.surer(&signature(rare), |_| false), None);
    }

    #[test]
    fn what_waits_goes_on_beside_many_and_what_is_busy_beside_few() {
        let light = [Step::Publish(Publish::plain("s", 2))];
        let heavy = [Step::Publish(Publish { text: Text::Bulky, count: Count::N(900), ..Publish::plain("s", 1) })];
        let [short, long] = [Duration::from_millis(20), Duration::from_secs(4)];
        assert_eq!([width(&light, short), width(&light, long), width(&heavy, long)], [3, 10, 5]);
    }
}
