//! A summary in Markdown, as job pages of forges show it.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::contract::{CLIENT_FAMILIES, FAMILIES};

use super::escape::{bounded, fenced, markdown};
use super::event::Finished;
use super::heading::Outcome;
use super::page::visible;
use super::tally::Row;
use super::text::{Counts, plural, thousands, told_of};

/// The document.
pub fn job_summary(suites: &[Finished<'_>], _exit: u8) -> String {
    let mut out = String::new();
    for suite in suites {
        one(&mut out, suite);
    }
    out
}

fn one(out: &mut String, suite: &Finished<'_>) {
    let (heading, rows) = (suite.heading, suite.tally.rows());
    let counts = Counts::of(&rows, heading);
    let sign = if suite.exit == 0 { "✅" } else { "❌" };
    let _ = writeln!(out, "## {sign} streamspec: {} — {}\n", markdown(&heading.profile), markdown(&heading.target));
    let seed = heading.seed.map(|seed| format!(", seed `{seed:#x}`")).unwrap_or_default();
    let _ = writeln!(out, "**{counts}** · {} in {:.1} s{seed}\n", plural(suite.tally.cases, "case"), suite.seconds);
    let _ = writeln!(out, "Coverage: {}\n", markdown(&counts.coverage(&rows)));
    families(out, &rows, suite);
    for row in rows.iter().filter(|row| matches!(heading.outcome(row), Outcome::Failed | Outcome::Warned)) {
        let first = row.failures.first().map_or("", |failure| failure.violation.says.as_str());
        let word = if heading.is_failure(row) { "❌" } else { "⚠️" };
        let _ = writeln!(out, "<details><summary>{word} <b>{}</b>: {}</summary>\n", row.requirement.id, markdown(row.requirement.says));
        let _ = writeln!(out, "{}\n", markdown(first));
        let text: Vec<String> = told_of(row, heading).lines().map(|line| visible(&bounded(line))).collect();
        let _ = writeln!(out, "{}\n</details>\n", fenced(&text.join("\n")));
    }
    let mut list = |title: &str, which: &dyn Fn(&Row<'_>) -> Option<String>| {
        let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for row in &rows {
            if let Some(why) = which(row) {
                by_reason.entry(why).or_default().push(row.requirement.id);
            }
        }
        for (why, ids) in by_reason {
            let _ = writeln!(out, "- **{title}** {}: {}", ids.join(" "), markdown(&why));
        }
    };
    list("stale", &|row| if let Outcome::Stale { reason } = heading.outcome(row) { Some(reason.to_owned()) } else { None });
    list("inconclusive", &|row| if let Outcome::Inconclusive(why) = heading.outcome(row) { Some(why.to_owned()) } else { None });
    list("unscored", &|row| if let Outcome::Unscored(how) = heading.outcome(row) { Some(how.to_owned()) } else { None });
    list("known", &|row| if let Outcome::Known { reason, .. } = heading.outcome(row) { Some(reason.to_owned()) } else { None });
    for (case, why, _) in &suite.tally.aborted {
        let _ = writeln!(out, "- **not finished** {}: {}", markdown(case), markdown(why.lines().next().unwrap_or("")));
    }
    out.push('\n');
}

fn families(out: &mut String, rows: &[Row<'_>], suite: &Finished<'_>) {
    out.push_str("| family | what it is about | passed | failed | other | judged |\n|---|---|--:|--:|--:|--:|\n");
    for (family, about) in FAMILIES.iter().chain(CLIENT_FAMILIES) {
        let of = || rows.iter().filter(|row| row.requirement.family() == *family);
        let outcomes = || of().map(|row| suite.heading.outcome(row));
        if outcomes().all(|outcome| matches!(outcome, Outcome::NotApplicable(_) | Outcome::NotObservable(_))) {
            continue;
        }
        let passed = outcomes().filter(|outcome| *outcome == Outcome::Passed).count();
        let failed = outcomes().filter(|outcome| matches!(outcome, Outcome::Failed | Outcome::Stale { .. })).count();
        let other = of().count() - passed - failed;
        let judged: u64 = of().map(|row| row.judged).sum();
        let failed = if failed > 0 { format!("**{failed}**") } else { "0".to_owned() };
        let _ = writeln!(out, "| {family} | {} | {passed} | {failed} | {other} | {} |", markdown(about), thousands(judged));
    }
    out.push('\n');
}
