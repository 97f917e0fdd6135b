//! The report that programs read: one JSON document, replaced atomically.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::contract::Known;

use super::tally::{Standing, Tally};
use super::text::{Counts, Heading};

/// Version of the document; fields are added within a version, never taken away.
const VERSION: u32 = 1;

/// The report on one profile.
pub fn json_report(tally: &Tally, heading: &Heading, seconds: f64, exit: u8) -> Value {
    let rows = tally.rows();
    let counts = Counts::of(&rows, heading);
    let requirements: Vec<Value> = rows
        .iter()
        .map(|row| {
            let (standing, why) = match &row.standing {
                Standing::Pass(_) => ("pass", None),
                Standing::Fail => ("fail", None),
                Standing::Inconclusive(why) => ("inconclusive", Some(why)),
                Standing::NotApplicable(why) => ("not-applicable", Some(why)),
            };
            json!({
                "id": row.requirement.id,
                "level": row.requirement.level,
                "says": row.requirement.says,
                "standing": standing,
                "why": why,
                "known": heading.known.get(row.requirement.id).map(Known::reason),
                "sometimes": heading.known.get(row.requirement.id).is_some_and(Known::sometimes),
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
        "aborted": aborted,
        "scenarios": tally.ran.iter().map(ran).collect::<Vec<Value>>(),
        "scenarios_skipped": skipped,
    })
}

/// The report on several profiles, each with its own.
pub fn json_reports(reports: Vec<Value>, exit: u8) -> Value {
    json!({ "streamspec_report": VERSION, "version": env!("CARGO_PKG_VERSION"), "exit": exit, "profiles": reports })
}

/// Writes a report to `path`, by way of a temporary file beside it.
///
/// # Errors
/// When the folder is not there or cannot be written to.
pub fn write_json(path: &Path, document: &Value) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, document)?;
    file.write_all(b"\n")?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
