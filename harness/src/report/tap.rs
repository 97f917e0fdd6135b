//! TAP 13, for `prove` and whatever else reads it: a test point a requirement.

use std::fmt::Write;

use super::escape::bounded;
use super::event::Finished;
use super::heading::Outcome;
use super::page::visible;
use super::text::told_of;

/// The document.
pub fn tap(suites: &[Finished<'_>], _exit: u8) -> String {
    let mut points = String::new();
    let mut nth = 0;
    let mut interrupted = false;
    for suite in suites {
        interrupted |= suite.tally.cut_short;
        let rows = suite.tally.rows();
        let _ = writeln!(points, "# profile {}, {}", line(&suite.heading.profile), line(&suite.heading.target));
        for row in &rows {
            nth += 1;
            let (verdict, directive) = match suite.heading.outcome(row) {
                Outcome::Passed => ("ok", String::new()),
                Outcome::Failed => ("not ok", String::new()),
                Outcome::Stale { reason } => ("not ok", format!("stale: listed as known to fail: {reason}")),
                Outcome::Warned => ("not ok", "# TODO a warning, no MUST".to_owned()),
                Outcome::Known { reason, .. } => ("not ok", format!("# TODO known: {}", line(reason))),
                Outcome::Inconclusive(why) if row.undecided() => ("not ok", format!("inconclusive: {}", line(why))),
                Outcome::Inconclusive(why) => ("ok", format!("# SKIP inconclusive: {}", line(why))),
                Outcome::Unscored(how) => ("ok", format!("# SKIP unscored: {how}")),
                Outcome::NotApplicable(why) | Outcome::NotObservable(why) => ("ok", format!("# SKIP {}", line(why))),
            };
            let says = line(&format!("{} {}: {}", suite.heading.profile, row.requirement.id, row.requirement.says));
            let _ = writeln!(points, "{}", format!("{verdict} {nth} - {says} {directive}").trim_end());
            if suite.heading.is_failure(row) {
                points.push_str(&block(&told_of(row, suite.heading)));
            }
        }
        for (case, why, output) in &suite.tally.aborted {
            nth += 1;
            let _ = writeln!(points, "not ok {nth} - {} {}: was run to its end", line(&suite.heading.profile), line(case));
            points.push_str(&block(&format!("{why}\n{output}")));
        }
    }
    let end = if interrupted { "Bail out! the run was stopped before its end\n" } else { "" };
    format!("TAP version 13\n1..{nth}\n{points}{end}")
}

/// On one line, and without what TAP reads as a directive.
fn line(text: &str) -> String {
    visible(&bounded(text)).replace('\n', " ").replace('\\', "\\\\").replace('#', "\\#")
}

/// A YAML block with a text under the key `message`.
fn block(text: &str) -> String {
    let mut out = "  ---\n  message: |\n".to_owned();
    for one in text.lines() {
        let _ = writeln!(out, "    {}", visible(&bounded(one)));
    }
    out + "  ...\n"
}
