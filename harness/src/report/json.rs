//! The report that programs read: one JSON document.

use serde_json::{Value, json};

use crate::contract::KnownEntry;

use super::event::Finished;
use super::heading::Heading;
use super::tally::{Row, Standing, Tally};
use super::text::Counts;

/// Version of the document; fields are added within a version, never taken away.
const VERSION: u32 = 1;

/// The report on one profile.
pub fn json_report(tally: &Tally, heading: &Heading, seconds: f64, exit: u8) -> Value {
    let rows = tally.rows();
    let counts = Counts::of(&rows, heading);
    let listed = |row: &Row<'_>| -> Option<&KnownEntry> { heading.baseline.about(row.requirement.id).next() };
    let requirements: Vec<Value> = rows
        .iter()
        .map(|row| {
            let (standing, why) = match &row.standing {
                Standing::Pass(_) => ("pass", None),
                Standing::Fail => ("fail", None),
                Standing::Inconclusive(why) => ("inconclusive", Some(why)),
                Standing::NotApplicable(why) => ("not-applicable", Some(why)),
                Standing::NotObservable(why) => ("not-observable", Some(why)),
            };
            json!({
                "id": row.requirement.id,
                "level": row.requirement.level,
                "says": row.requirement.says,
                "standing": standing,
                "outcome": heading.outcome(row).word(),
                "why": why,
                "known": listed(row).map(|entry| &entry.reason),
                "sometimes": listed(row).is_some_and(|entry| entry.flaky),
                "judged": row.judged,
                "violations": row.violations,
                "failures": row.failures,
            })
        })
        .collect();
    let aborted: Vec<Value> =
        tally.aborted.iter().map(|(case, why, output)| json!({ "case": case, "why": why, "output": output })).collect();
    let skipped: Vec<Value> = tally.skipped.iter().map(|(scenario, why)| json!({ "scenario": scenario, "why": why })).collect();
    let ran = |(scenario, (cases, seconds)): (&String, &(u64, f64))| json!({ "scenario": scenario, "cases": cases, "seconds": seconds });
    json!({
        "streamspec_report": VERSION,
        "version": env!("CARGO_PKG_VERSION"),
        "profile": heading.profile,
        "target": heading.target,
        "seed": heading.seed.map(|seed| format!("{seed:#x}")),
        "seconds": seconds,
        "exit": exit,
        "cases": tally.cases,
        "passed": counts.passed,
        "failed": counts.failed,
        "skipped": counts.skipped,
        "requirements": requirements,
        "requirement_set": heading.requirements.map(|set| set.revision),
        "coverage": counts.coverage(&rows),
        "aborted": aborted,
        "late_beside_others": tally.late,
        "scenarios": tally.ran.iter().map(ran).collect::<Vec<Value>>(),
        "scenarios_skipped": skipped,
    })
}

/// The document: the report on one profile, or those on several.
pub fn json_document(suites: &[Finished<'_>], exit: u8) -> String {
    let of = |suite: &Finished<'_>| json_report(suite.tally, suite.heading, suite.seconds, suite.exit);
    let value = match suites {
        [one] => of(one),
        all => {
            let reports: Vec<Value> = all.iter().map(of).collect();
            json!({ "streamspec_report": VERSION, "version": env!("CARGO_PKG_VERSION"), "exit": exit, "profiles": reports })
        }
    };
    format!("{value:#}\n")
}
