//! Events as they happen, a JSON object a line.
//!
//! The file is written while the run goes on, for whoever follows it: it begins empty, and each line is whole and flushed when
//! the next one begins.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::check::{Finding, Verdict};

use super::event::{Event, Finished, Sink};
use super::text::Counts;

/// Version of the lines; members are added within a version, never taken away.
const VERSION: u32 = 1;

/// A file of events.
#[derive(Debug)]
pub struct Ndjson {
    file: File,
    begun: bool,
}

impl Ndjson {
    /// Empties the file at `path`, or makes it.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn create(path: &Path) -> io::Result<Ndjson> {
        Ok(Ndjson { file: File::create(path)?, begun: false })
    }

    fn line(&mut self, value: &Value) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

impl Sink for Ndjson {
    fn hear(&mut self, event: &Event<'_>) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.line(&json!({ "event": "run-started", "streamspec_events": VERSION, "version": env!("CARGO_PKG_VERSION") }))?;
        }
        self.line(&of(event))
    }
}

fn of(event: &Event<'_>) -> Value {
    match event {
        Event::SuiteStarted { heading, cases } => json!({
            "event": "suite-started",
            "profile": heading.profile,
            "target": heading.target,
            "tested": heading.tested,
            "seed": heading.seed.map(|seed| format!("{seed:#x}")),
            "cases": cases,
        }),
        Event::ScenarioSkipped { profile, scenario, why } => {
            json!({ "event": "scenario-skipped", "profile": profile, "scenario": scenario, "why": why })
        }
        Event::CaseStarted { profile, case, repetition } => {
            json!({ "event": "case-started", "profile": profile, "case": case, "repetition": repetition })
        }
        Event::Violated { profile, repetition, requirement, count, failure } => json!({
            "event": "violated",
            "profile": profile,
            "case": failure.case,
            "scenario": failure.scenario,
            "repetition": repetition,
            "requirement": requirement,
            "violations": count,
            "violation": failure.violation,
            "timeline": failure.timeline,
        }),
        Event::CaseFinished { profile, case, repetition, seconds, aborted, verdicts } => json!({
            "event": "case-finished",
            "profile": profile,
            "case": case,
            "repetition": repetition,
            "seconds": seconds,
            "aborted": aborted,
            "verdicts": verdicts.iter().filter_map(verdict).collect::<Vec<Value>>(),
        }),
        Event::SuiteFinished(finished) => suite(finished),
        Event::RunFinished { exit, .. } => json!({ "event": "run-finished", "exit": exit }),
    }
}

/// What was judged; what does not apply to a case is left out.
fn verdict(verdict: &Verdict) -> Option<Value> {
    let (standing, judged, violations) = match &verdict.finding {
        Finding::Pass { judged } => ("pass", *judged, 0),
        Finding::Fail { judged, count, .. } => ("fail", *judged, *count),
        Finding::Inconclusive { .. } => ("inconclusive", 0, 0),
        Finding::NotApplicable { .. } => return None,
    };
    Some(json!({ "requirement": verdict.requirement, "standing": standing, "judged": judged, "violations": violations }))
}

fn suite(finished: &Finished<'_>) -> Value {
    let rows = finished.tally.rows();
    let counts = Counts::of(&rows, finished.heading);
    let outcomes: serde_json::Map<String, Value> =
        rows.iter().map(|row| (row.requirement.id.to_owned(), json!(finished.heading.outcome(row).word()))).collect();
    json!({
        "event": "suite-finished",
        "profile": finished.heading.profile,
        "cases": finished.tally.cases,
        "seconds": finished.seconds,
        "exit": finished.exit,
        "passed": counts.passed,
        "failed": counts.failed,
        "skipped": counts.skipped,
        "outcomes": outcomes,
    })
}
