//! What a run came to.

use std::fmt;
use std::time::Duration;

use crate::contract::Requirement;
use crate::report::{Counts, Failure, Heading, Outcome, Page, Row, Standing, Tally, plural, told_of, visible, write_text};

/// What was found out about a target.
///
/// Its `Display` is the report that `streamspec test` prints.
#[derive(Debug)]
#[must_use = "a report that nobody looks at asserts nothing"]
pub struct Report {
    pub(super) heading: Heading,
    pub(super) tally: Tally,
    pub(super) elapsed: Duration,
    /// How many cases there were to run.
    pub(super) planned: u64,
    /// The time that the whole run had, if it was over too early.
    pub(super) limit: Option<Duration>,
}

impl Report {
    /// One verdict for each requirement that the run was about, in the order of the catalogue.
    pub fn verdicts(&self) -> Vec<Verdict<'_>> {
        self.tally.rows().into_iter().map(|row| Verdict { row, heading: &self.heading }).collect()
    }

    /// The verdict on this requirement; `None` when the run was not about it.
    pub fn verdict(&self, requirement: &str) -> Option<Verdict<'_>> {
        self.verdicts().into_iter().find(|verdict| verdict.requirement().id == requirement)
    }

    /// The verdicts on requirements that were violated, those that are known or are no MUST included. `Display` of each shows
    /// the timeline.
    pub fn findings(&self) -> Vec<Verdict<'_>> {
        self.verdicts().into_iter().filter(|verdict| verdict.row.standing == Standing::Fail).collect()
    }

    /// How many requirements passed, failed and were skipped, and the parts of these.
    pub fn counts(&self) -> Counts {
        Counts::of(&self.tally.rows(), &self.heading)
    }

    /// How many cases were run: scenarios, each place of a sweep and each repetition counted.
    pub fn cases(&self) -> u64 {
        self.tally.cases
    }

    /// True when every MUST that the profile promises was judged and held, or failed as it is known to.
    pub fn conforms(&self) -> bool {
        self.objections().is_empty()
    }

    /// Why the target does not conform, each in one sentence; none when it does.
    ///
    /// A violated SHOULD is none, as it does not fail `streamspec test` either. A MUST that nothing showed, a scenario that
    /// could not be finished, a run that was stopped or had nothing to run each are one.
    pub fn objections(&self) -> Vec<String> {
        let rows = self.tally.rows();
        let of = |which: &dyn Fn(&Row<'_>) -> bool| {
            let ids: Vec<&str> = rows.iter().filter(|row| which(row)).map(|row| row.requirement.id).collect();
            if ids.is_empty() { None } else { Some(ids.join(" ")) }
        };
        let failed = of(&|row| self.heading.is_failure(row)).map(|ids| format!("violated: {ids}"));
        let stale = of(&|row| !self.heading.stale(row).is_empty()).map(|ids| format!("known to fail, and held: {ids}"));
        let undecided = of(&|row| self.heading.is_undecided(row)).map(|ids| format!("not judged: {ids}"));
        let stopped = match self.limit {
            Some(limit) => {
                let (ran, planned) = (self.tally.cases, plural(self.planned, "case"));
                Some(format!("the time for the whole run, {limit:?}, was over after {ran} of {planned}"))
            }
            None => self.tally.cut_short.then(|| "the run was stopped".to_owned()),
        };
        let unfinished = match self.tally.aborted.as_slice() {
            _ if stopped.is_some() => None,
            [] => None,
            [(case, why, _), rest @ ..] => {
                let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
                let why = why.lines().next().unwrap_or_default();
                Some(format!("not finished: {case}{more}: {}", visible(why)))
            }
        };
        let nothing = (self.tally.cases == 0 && stopped.is_none())
            .then(|| "no scenario was run: none of those that were asked for applies to this target".to_owned());
        [failed, stopped, unfinished, stale, undecided, nothing].into_iter().flatten().collect()
    }

    /// Passes when the target conforms.
    ///
    /// # Panics
    /// When it does not; the message is the whole report.
    #[track_caller]
    pub fn assert_conforms(&self) {
        let objections = self.objections();
        assert!(objections.is_empty(), "{} does not conform to the profile `{}`\n\n{self}", self.heading.target, self.heading.profile);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_text(&self.tally, &self.heading, self.elapsed.as_secs_f64(), Page::plain()))?;
        self.objections().iter().try_for_each(|why| writeln!(f, "{why}"))
    }
}

/// What is said of one requirement.
///
/// `Display` of one that was violated is what `streamspec test` prints of it: the sentence, the timeline with the offending
/// delivery marked, expected against seen, the likely cause. Of every other it is one line.
#[derive(Debug)]
pub struct Verdict<'r> {
    row: Row<'r>,
    heading: &'r Heading,
}

impl Verdict<'_> {
    /// Which.
    pub fn requirement(&self) -> &'static Requirement {
        self.row.requirement
    }

    /// How it stands, what is known of it taken into account.
    pub fn outcome(&self) -> Outcome<'_> {
        self.heading.outcome(&self.row)
    }

    /// How often it was judged.
    pub fn judged(&self) -> u64 {
        self.row.judged
    }

    /// How often it was violated.
    pub fn violations(&self) -> u64 {
        self.row.violations
    }

    /// Violations to look at, of different shapes; not all of them are kept.
    pub fn failures(&self) -> &[Failure] {
        self.row.failures
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.row.standing == Standing::Fail {
            return f.write_str(told_of(&self.row, self.heading).trim_end());
        }
        let (id, says) = (self.row.requirement.id, self.row.requirement.says);
        match self.outcome() {
            Outcome::Passed => write!(f, "{id} passed, judged {}: {says}", plural(self.row.judged, "time")),
            Outcome::Stale { reason } => write!(f, "{id} held, and is listed as known to fail ({}): {says}", visible(reason)),
            Outcome::Inconclusive(why) => write!(f, "{id} was not judged ({}): {says}", visible(why)),
            Outcome::Unscored(how) => write!(f, "{id} does not count yet ({how}): {says}"),
            Outcome::NotApplicable(why) => write!(f, "{id} does not apply ({}): {says}", visible(why)),
            Outcome::NotObservable(why) => write!(f, "{id} cannot be observed ({}): {says}", visible(why)),
            Outcome::Failed | Outcome::Warned | Outcome::Known { .. } => {
                unreachable!("these are outcomes of violated requirements, which were told above")
            }
        }
    }
}
