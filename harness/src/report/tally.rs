//! What a whole run says of each requirement.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Finding, Verdict, Violation};
use crate::contract::{CATALOGUE, CLIENT_CATALOGUE, Level, Requirement, requirement};
use crate::history::{History, What};
use crate::run::suite::Case;
use crate::scenario::Scenario;

use super::picture::Picture;
use super::timeline::{Line, timeline};

/// The whole run so far.
#[derive(Debug, Default)]
pub struct Tally {
    rows: BTreeMap<&'static str, Collected>,
    /// Cases that were run.
    pub cases: u64,
    /// For each scenario how many cases of it were run, and how many seconds they took together.
    pub ran: BTreeMap<String, (u64, f64)>,
    /// Cases that did not reach their end: name, reason, what the server printed.
    pub aborted: Vec<(String, String, String)>,
    /// What was late on a busy machine, and in time when its case was run again alone: by requirement, the scenarios.
    pub late: BTreeMap<&'static str, BTreeSet<String>>,
    /// Scenarios that do not apply: name and reason.
    pub skipped: Vec<(String, String)>,
    /// For each requirement the scenarios written for it that were run.
    written_for: BTreeMap<String, Vec<String>>,
    /// For each requirement why a scenario written for it was skipped.
    skipped_for: BTreeMap<String, String>,
    /// For each requirement why a scenario written for it, which the contract has everything for, cannot be run on this target.
    out_of_sight: BTreeMap<String, String>,
    /// True when everything that applies should be judged: nothing was selected.
    pub expects_all: bool,
    /// Requirements for which a scenario is written that was not selected.
    left_out: BTreeSet<String>,
    /// True when the run was stopped before its end.
    pub cut_short: bool,
}

#[derive(Debug, Default)]
struct Collected {
    judged: u64,
    violations: u64,
    failures: Vec<Failure>,
    not_applicable: Option<String>,
    inconclusive: Option<String>,
    /// By scenario: cases in which it failed, cases in which it was judged.
    by_scenario: BTreeMap<String, (u64, u64)>,
}

/// A failure to show.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Failure {
    /// The case's name, with its place in a sweep.
    pub case: String,
    /// The scenario's own name.
    pub scenario: String,
    /// The violation.
    pub violation: Violation,
    /// The stretch of the history that shows it.
    pub timeline: Vec<Line>,
    /// A request with which to look for oneself.
    pub curl: Option<String>,
    /// The end of what the implementation printed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// The same stretch as a picture.
    #[serde(skip)]
    pub picture: Picture,
}

/// What is said of one requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It held each of this many times.
    Pass(u64),
    /// It was violated.
    Fail,
    /// It should have been judged and was not.
    Inconclusive(String),
    /// It does not apply.
    NotApplicable(String),
    /// The contract promises it, and on this target it cannot be looked at.
    NotObservable(String),
}

/// One requirement in the report.
#[derive(Debug)]
pub struct Row<'t> {
    /// Which.
    pub requirement: &'static Requirement,
    /// What is said of it.
    pub standing: Standing,
    /// How often it was judged.
    pub judged: u64,
    /// How many violations there were.
    pub violations: u64,
    /// Failures to show, of different shapes.
    pub failures: &'t [Failure],
    /// True when every scenario that is written for it, and applies, was run to its end.
    pub whole: bool,
    /// True when no case was broken off, and the run was not stopped.
    pub unbroken: bool,
    /// By scenario: in how many of its cases it failed, and in how many it was judged.
    pub scenarios: &'t BTreeMap<String, (u64, u64)>,
    /// Of the first failure's scenario: in how many of its cases it failed, and in how many it was judged.
    pub reproduced: (u64, u64),
}

/// Failures kept of one requirement.
const KEPT: usize = 3;

impl Tally {
    /// Takes note of a scenario that will be run.
    pub fn plan(&mut self, scenario: &Scenario) {
        self.plan_for(&scenario.name, scenario.judges.iter().map(String::as_str));
    }

    /// Takes note of a case of this name that will be run for these requirements.
    pub fn plan_for<'a>(&mut self, name: &str, judges: impl IntoIterator<Item = &'a str>) {
        for requirement in judges {
            self.written_for.entry(requirement.to_owned()).or_default().push(name.to_owned());
        }
    }

    /// Takes note of a scenario that does not apply.
    pub fn skip(&mut self, scenario: &Scenario, why: &str) {
        self.skip_for(&scenario.name, scenario.judges.iter().map(String::as_str), why);
    }

    /// Takes note of a case of this name, written for these requirements, that does not apply.
    pub fn skip_for<'a>(&mut self, name: &str, judges: impl IntoIterator<Item = &'a str>, why: &str) {
        self.skipped.push((name.to_owned(), why.to_owned()));
        for requirement in judges {
            self.skipped_for.entry(requirement.to_owned()).or_insert_with(|| why.to_owned());
        }
    }

    /// Takes note of a scenario that the contract has everything for, and this target cannot be put through.
    pub fn cannot_see(&mut self, scenario: &Scenario, why: &str) {
        self.skipped.push((scenario.name.clone(), why.to_owned()));
        for requirement in &scenario.judges {
            self.out_of_sight.entry(requirement.clone()).or_insert_with(|| why.to_owned());
        }
    }

    /// Takes note of a scenario that was not selected.
    pub fn leave_out(&mut self, scenario: &Scenario) {
        self.left_out.extend(scenario.judges.iter().cloned());
    }

    /// Adds a finished case.
    pub fn add(&mut self, case: &Case) {
        let ran = self.ran.entry(case.base.clone()).or_default();
        *ran = (ran.0 + 1, ran.1 + case.elapsed.as_secs_f64());
        if let Some(aborted) = &case.aborted {
            let why = match aborted {
                crate::run::Abort::ServerDied(why) | crate::run::Abort::CouldNot(why) => why.clone(),
                crate::run::Abort::Interrupted => "interrupted".to_owned(),
            };
            self.abort(&case.scenario.name, why, &case.output);
        }
        for id in &case.late {
            let stands = |verdict: &&Verdict| verdict.requirement == *id && matches!(verdict.finding, Finding::Fail { .. });
            if !case.verdicts.iter().any(|verdict| stands(&verdict)) {
                self.late.entry(id).or_default().insert(case.base.clone());
            }
        }
        self.count(&case.base, &case.verdicts, |violation| case_failure(case, violation));
    }

    /// Takes note of a case that did not reach its end, and of what the implementation printed last.
    pub fn abort(&mut self, name: &str, why: String, output: &str) {
        self.aborted.push((name.to_owned(), why, output.to_owned()));
    }

    /// Counts a case by its verdicts; `show` makes a failure that is worth showing.
    pub fn count(&mut self, base: &str, verdicts: &[Verdict], show: impl Fn(&Violation) -> Failure) {
        self.cases += 1;
        for verdict in verdicts {
            let Some(requirement) = requirement(&verdict.requirement) else { continue };
            let row = self.rows.entry(requirement.id).or_default();
            match &verdict.finding {
                Finding::Pass { judged } => {
                    row.judged += judged;
                    row.by_scenario.entry(base.to_owned()).or_default().1 += 1;
                }
                Finding::Fail { judged, violations, count } => {
                    row.judged += judged;
                    row.violations += count;
                    let times = row.by_scenario.entry(base.to_owned()).or_default();
                    *times = (times.0 + 1, times.1 + 1);
                    for violation in violations {
                        let known = row.failures.iter().any(|f| f.violation.shape == violation.shape);
                        if !known && row.failures.len() < KEPT {
                            row.failures.push(show(violation));
                        }
                    }
                }
                Finding::Inconclusive { why } => {
                    row.inconclusive.get_or_insert_with(|| why.clone());
                }
                Finding::NotApplicable { why } => {
                    row.not_applicable.get_or_insert_with(|| why.clone());
                }
            }
        }
    }

    /// One row for each requirement that this run is about, in the order of the catalogue.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let none: &'static Collected = &EMPTY;
        CATALOGUE
            .iter()
            .chain(CLIENT_CATALOGUE)
            .filter_map(|requirement| {
                let row = self.rows.get(requirement.id).unwrap_or(none);
                let standing = self.standing(requirement, row)?;
                let reproduced = row.failures.first().and_then(|f| row.by_scenario.get(&f.scenario)).copied().unwrap_or((0, 0));
                let unbroken = !self.cut_short && self.aborted.is_empty();
                let (whole, scenarios) = (unbroken && !self.left_out.contains(requirement.id), &row.by_scenario);
                let (judged, violations, failures) = (row.judged, row.violations, row.failures.as_slice());
                Some(Row { requirement, standing, judged, violations, failures, whole, unbroken, scenarios, reproduced })
            })
            .collect()
    }

    fn standing(&self, requirement: &Requirement, row: &Collected) -> Option<Standing> {
        if row.violations > 0 {
            return Some(Standing::Fail);
        }
        // What one case does not ask for another one may have shown.
        if row.judged > 0 {
            return Some(Standing::Pass(row.judged));
        }
        let ran = self.written_for.get(requirement.id);
        let out_of_sight = self.out_of_sight.get(requirement.id).filter(|_| ran.is_none());
        if let Some(why) = &row.not_applicable {
            return Some(Standing::NotApplicable(why.clone()));
        }
        // Design 9: a requirement that judged nothing is no success. It is inconclusive when a scenario written for it was
        // run, not applicable or not observable when none could be.
        let why = || row.inconclusive.clone().unwrap_or_else(|| "no case was finished".to_owned());
        match (ran, out_of_sight, self.skipped_for.get(requirement.id)) {
            (Some(ran), _, _) => Some(Standing::Inconclusive(format!("{} (in {})", why(), ran.join(", ")))),
            (None, Some(unseen), _) => Some(Standing::NotObservable(unseen.clone())),
            (None, None, Some(skipped)) => Some(Standing::NotApplicable(skipped.clone())),
            // Of a requirement that other cases have looked at in passing.
            (None, None, None) if self.expects_all && row.inconclusive.is_some() => {
                Some(Standing::Inconclusive(format!("expected, and never run: no scenario is written for it ({})", why())))
            }
            (None, None, None) => None,
        }
    }
}

static EMPTY: Collected =
    Collected { judged: 0, violations: 0, failures: Vec::new(), not_applicable: None, inconclusive: None, by_scenario: BTreeMap::new() };

impl Row<'_> {
    /// The scenarios in which it fails.
    pub fn failing(&self) -> Vec<&str> {
        self.scenarios.iter().filter(|(_, (failed, _))| *failed > 0).map(|(scenario, _)| scenario.as_str()).collect()
    }

    /// True for a violated MUST.
    pub fn fails(&self) -> bool {
        self.standing == Standing::Fail && self.requirement.level == Level::Must
    }

    /// True for a MUST that should have been judged and was not. A violated SHOULD is a warning; one that was not judged is
    /// no more than that.
    pub fn undecided(&self) -> bool {
        matches!(self.standing, Standing::Inconclusive(_)) && self.requirement.level == Level::Must
    }

    /// True when the requirement held wherever it was looked for, and nothing that looks for it was left out: a failure
    /// that is listed as known is then known no longer.
    pub fn held_throughout(&self) -> bool {
        self.whole && matches!(self.standing, Standing::Pass(_))
    }
}

/// A violation in a case of a server, ready to be shown.
pub fn case_failure(case: &Case, violation: &Violation) -> Failure {
    Failure { output: case.output.clone(), ..Failure::of(&case.scenario.name, &case.base, &case.history, violation) }
}

impl Failure {
    /// A violation that a history shows, ready to be shown.
    pub fn of(case: &str, scenario: &str, history: &History, violation: &Violation) -> Failure {
        let curl = violation.records.iter().rev().find_map(|r| match &history.records.get(*r)?.what {
            What::Connect(connect) => Some(connect.request.clone()),
            _ => None,
        });
        Failure {
            case: case.to_owned(),
            scenario: scenario.to_owned(),
            violation: violation.clone(),
            timeline: timeline(history, violation),
            curl,
            output: String::new(),
            picture: Picture::of_failure(history, violation),
        }
    }
}
