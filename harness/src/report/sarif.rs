//! SARIF 2.1.0, for code-scanning pages: a rule a requirement, a result a violation, its timeline as a code flow.

use serde_json::{Value, json};

use super::escape::bounded;
use super::event::Finished;
use super::heading::Outcome;
use super::page::visible;
use super::tally::{Failure, Row};
use super::timeline::Mark;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The document.
pub fn sarif(suites: &[Finished<'_>], _exit: u8) -> String {
    let runs: Vec<Value> = suites.iter().map(run).collect();
    let mut text = format!("{:#}", json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": runs }));
    text.push('\n');
    text
}

fn run(suite: &Finished<'_>) -> Value {
    let rows = suite.tally.rows();
    let rules: Vec<Value> = rows
        .iter()
        .map(|row| {
            let requirement = row.requirement;
            json!({
                "id": requirement.id,
                "shortDescription": { "text": requirement.says },
                "fullDescription": { "text": format!("{} Source: {}", requirement.says, requirement.source) },
                "help": { "text": format!("Likely cause: {}\nSource: {}", requirement.likely, requirement.source) },
                "properties": { "tags": [requirement.family(), format!("{:?}", requirement.level).to_uppercase()] },
            })
        })
        .collect();
    let results: Vec<Value> = rows.iter().enumerate().flat_map(|(nth, row)| results(nth, row, suite)).collect();
    let notifications: Vec<Value> = suite
        .tally
        .aborted
        .iter()
        .map(|(case, why, _)| json!({ "level": "error", "message": { "text": shown(&format!("{case} was not finished: {why}")) } }))
        .collect();
    json!({
        "tool": { "driver": { "name": "streamspec", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
        "automationDetails": { "id": format!("streamspec/{}/", suite.heading.profile) },
        "columnKind": "unicodeCodePoints",
        "invocations": [{
            "executionSuccessful": !suite.tally.cut_short && suite.tally.aborted.is_empty(),
            "exitCode": suite.exit,
            "toolExecutionNotifications": notifications,
        }],
        "results": results,
    })
}

fn results(nth: usize, row: &Row<'_>, suite: &Finished<'_>) -> Vec<Value> {
    let (level, suppressed) = match suite.heading.outcome(row) {
        Outcome::Failed => ("error", None),
        Outcome::Warned => ("warning", None),
        Outcome::Known { reason, .. } => ("error", Some(reason)),
        Outcome::Stale { reason } => {
            let text = format!("{} is listed as known to fail ({reason}), and it held: remove it from the list", row.requirement.id);
            return vec![json!({ "ruleId": row.requirement.id, "ruleIndex": nth, "level": "error", "message": { "text": shown(&text) } })];
        }
        Outcome::Unscored(_) => ("note", None),
        Outcome::Passed | Outcome::Inconclusive(_) | Outcome::NotApplicable(_) | Outcome::NotObservable(_) => return Vec::new(),
    };
    let result = |failure: &Failure| {
        let violation = &failure.violation;
        let text = format!("{}\nexpected: {}\nseen: {}", violation.says, violation.expected, violation.seen);
        let steps: Vec<Value> = failure
            .timeline
            .iter()
            .map(|line| {
                let text = if line.lane.is_empty() { line.text.clone() } else { format!("{} ms, {}: {}", line.ms, line.lane, line.text) };
                let importance = match line.mark {
                    Mark::Offending | Mark::Missing => "essential",
                    Mark::Part => "important",
                    Mark::None | Mark::Elided => "unimportant",
                };
                json!({ "location": { "message": { "text": shown(&text) } }, "importance": importance })
            })
            .collect();
        let mut value = json!({
            "ruleId": row.requirement.id,
            "ruleIndex": nth,
            "level": level,
            "message": { "text": shown(&text) },
            "locations": [{ "logicalLocations": [{ "name": failure.case, "fullyQualifiedName": format!("{}/{}", suite.heading.profile, failure.case), "kind": "member" }] }],
            "partialFingerprints": { "shape/v1": format!("{}/{}/{}", row.requirement.id, failure.scenario, violation.shape) },
        });
        if !steps.is_empty() {
            value["codeFlows"] = json!([{ "threadFlows": [{ "locations": steps }] }]);
        }
        if let Some(reason) = suppressed {
            value["suppressions"] = json!([{ "kind": "external", "justification": shown(reason) }]);
        }
        value
    };
    row.failures.iter().map(result).collect()
}

fn shown(text: &str) -> String {
    visible(&bounded(text))
}
