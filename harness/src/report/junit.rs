//! JUnit XML, as Jenkins' schema has it and GitLab, GitHub actions and others read it.
//!
//! A test suite is a profile against a target, a test case is a requirement. A violation is a failure; an error is what kept
//! something from being judged. What is known, only advised or not applicable is skipped, with the reason.

use std::fmt::Write;

use super::escape::xml;
use super::event::Finished;
use super::heading::Outcome;
use super::tally::Row;
use super::text::told_of;

/// What stands inside a test case.
struct Inside {
    xml: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passed,
    Failure,
    Error,
    Skipped,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    tests: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
    seconds: f64,
}

/// The document.
pub fn junit(suites: &[Finished<'_>], _exit: u8) -> String {
    let mut all = Totals::default();
    let mut body = String::new();
    for suite in suites {
        let (text, totals) = one(suite);
        body.push_str(&text);
        all.tests += totals.tests;
        all.failures += totals.failures;
        all.errors += totals.errors;
        all.seconds += totals.seconds;
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"streamspec\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\">\n{body}</testsuites>\n",
        all.tests, all.failures, all.errors, all.seconds
    )
}

fn one(suite: &Finished<'_>) -> (String, Totals) {
    let (heading, tally) = (suite.heading, suite.tally);
    let mut totals = Totals { seconds: suite.seconds, ..Totals::default() };
    let mut cases = String::new();
    let mut add = |class: &str, name: &str, inside: Inside| {
        totals.tests += 1;
        match inside.kind {
            Kind::Passed => {}
            Kind::Failure => totals.failures += 1,
            Kind::Error => totals.errors += 1,
            Kind::Skipped => totals.skipped += 1,
        }
        let _ = write!(cases, "    <testcase classname=\"streamspec.{}.{}\" name=\"{}\"", xml(&heading.profile), xml(class), xml(name));
        cases.push_str(&if inside.xml.is_empty() { "/>\n".to_owned() } else { format!(">\n{}    </testcase>\n", inside.xml) });
    };
    for row in &tally.rows() {
        let name = format!("{}: {}", row.requirement.id, row.requirement.says);
        add(row.requirement.family(), &name, judged(row, suite));
    }
    for (case, why, output) in &tally.aborted {
        let message = why.lines().next().unwrap_or("");
        let mut text = element("error", "not-finished", message, why);
        text.push_str(&system_out(output));
        add("CASES", case, Inside { xml: text, kind: Kind::Error });
    }
    let mut properties = String::new();
    let seed = heading.seed.map(|seed| format!("{seed:#x}")).unwrap_or_default();
    for (name, value) in [("version", env!("CARGO_PKG_VERSION")), ("target", &heading.target), ("seed", &seed)] {
        let _ = writeln!(properties, "      <property name=\"{name}\" value=\"{}\"/>", xml(value));
    }
    let head = format!(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">\n",
        xml(&format!("{} · {}", heading.profile, heading.target)),
        totals.tests,
        totals.failures,
        totals.errors,
        totals.skipped,
        totals.seconds
    );
    (format!("{head}    <properties>\n{properties}    </properties>\n{cases}  </testsuite>\n"), totals)
}

fn judged(row: &Row<'_>, suite: &Finished<'_>) -> Inside {
    let first = || row.failures.first().map_or("", |failure| failure.violation.says.as_str());
    let skipped = |why: &str| Inside { xml: format!("      <skipped message=\"{}\"/>\n", xml(why)), kind: Kind::Skipped };
    match suite.heading.outcome(row) {
        Outcome::Passed => Inside { xml: String::new(), kind: Kind::Passed },
        Outcome::Failed => {
            let shape = row.failures.first().map_or("violated", |failure| failure.violation.shape.as_str());
            let mut text = element("failure", shape, first(), &told_of(row, suite.heading));
            text.push_str(&system_out(row.failures.iter().map(|f| f.output.as_str()).find(|o| !o.is_empty()).unwrap_or("")));
            Inside { xml: text, kind: Kind::Failure }
        }
        Outcome::Stale { reason } => {
            let message = format!("listed as known to fail ({reason}), and it held: remove it from the list");
            Inside { xml: element("failure", "stale", &message, ""), kind: Kind::Failure }
        }
        Outcome::Inconclusive(why) if row.undecided() => Inside { xml: element("error", "inconclusive", why, ""), kind: Kind::Error },
        Outcome::Inconclusive(why) => skipped(&format!("inconclusive: {why}")),
        Outcome::Known { reason, .. } => skipped(&format!("known to fail: {reason}: {}", first())),
        Outcome::Warned => skipped(&format!("warning, no MUST: {}", first())),
        Outcome::Unscored(how) => skipped(&format!("unscored, newer than the requirements that were asked for: {how}")),
        Outcome::NotObservable(why) => skipped(&format!("not observable: {why}")),
        Outcome::NotApplicable(why) => skipped(&format!("not applicable: {why}")),
    }
}

fn element(name: &str, kind: &str, message: &str, body: &str) -> String {
    // Bounded line by line: a body is many lines, each of which a server may have made long.
    let body: Vec<String> = body.lines().map(xml).collect();
    format!("      <{name} type=\"{}\" message=\"{}\">{}</{name}>\n", xml(kind), xml(message), body.join("\n"))
}

fn system_out(output: &str) -> String {
    if output.trim().is_empty() {
        return String::new();
    }
    let lines: Vec<String> = output.lines().map(xml).collect();
    format!("      <system-out>{}</system-out>\n", lines.join("\n"))
}
