//! The report that people read.

use std::fmt::Write;

use crate::contract::{FAMILIES, Level};

use super::paint::Paint;
use super::tally::{Failure, Row, Standing, Tally};
use super::timeline::{Line, Mark};

/// What the report is about.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The profile's name.
    pub profile: String,
    /// The target in words.
    pub target: String,
    /// The seed.
    pub seed: u64,
    /// The arguments with which to run it again.
    pub again: String,
    /// Failures that are known, by requirement, with their reasons.
    pub known: std::collections::BTreeMap<String, String>,
}

/// `1 event`, `2 events`.
pub(crate) fn plural(n: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// `1,234`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The whole report; its last line is the count.
pub fn write_text(tally: &Tally, heading: &Heading, seconds: f64, paint: Paint) -> String {
    let mut out = String::new();
    let rows = tally.rows();
    for (family, about) in FAMILIES {
        let of: Vec<&Row<'_>> = rows.iter().filter(|r| r.requirement.family() == *family).collect();
        if of.is_empty() {
            continue;
        }
        let judged: u64 = of.iter().map(|r| r.judged).sum();
        let failed = of.iter().filter(|r| r.fails() && !heading.known.contains_key(r.requirement.id)).count();
        let known = of.iter().filter(|r| r.standing == Standing::Fail && heading.known.contains_key(r.requirement.id)).count();
        let warned = of.iter().filter(|r| r.standing == Standing::Fail && !r.fails()).count();
        let open = of.iter().filter(|r| matches!(r.standing, Standing::Inconclusive(_))).count();
        let absent = of.iter().all(|r| matches!(r.standing, Standing::NotApplicable(_)));
        let word = if failed > 0 {
            paint.bad(&format!("{failed} FAILED"))
        } else if open > 0 {
            paint.warn(&format!("{open} inconclusive"))
        } else if known > 0 {
            paint.warn(&format!("{known} known"))
        } else if warned > 0 {
            paint.warn(&plural(warned as u64, "warning"))
        } else if absent {
            paint.dim("not applicable")
        } else {
            paint.good("ok")
        };
        let _ = writeln!(out, "{family:<10}{:>3} {:>9} judged  {word:<8}  {}", of.len(), thousands(judged), paint.dim(about));
    }
    out.push('\n');
    for row in rows.iter().filter(|r| r.standing == Standing::Fail) {
        failure(&mut out, row, heading, paint);
    }
    for row in &rows {
        if let Standing::Inconclusive(why) = &row.standing {
            let _ = writeln!(out, "{} {}: {why}", paint.warn("inconclusive"), row.requirement.id);
        }
    }
    for id in heading.known.keys().filter(|id| stale(&rows, id)) {
        let _ = writeln!(out, "{} {id} is listed as known and did not fail: remove it from the target file", paint.bad("stale"));
    }
    for (case, why, output) in &tally.aborted {
        let _ = writeln!(out, "{} {case}: {why}", paint.bad("not finished"));
        if !output.trim().is_empty() && !why.contains("last lines") {
            let _ = writeln!(out, "  the server's last lines:{output}");
        }
    }
    skipped(&mut out, tally, paint);
    let _ = writeln!(out, "{} in {seconds:.1} s, seed {:#x}", plural(tally.cases, "case"), heading.seed);
    let counts = Counts::of(&rows, heading);
    let _ = writeln!(out, "{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    out
}

/// True when a known failure was looked for and not found.
pub(crate) fn stale(rows: &[Row<'_>], id: &str) -> bool {
    rows.iter().any(|r| r.requirement.id == id && matches!(r.standing, Standing::Pass(_)))
}

/// The last line's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn of(rows: &[Row<'_>], heading: &Heading) -> Counts {
        let mut counts = Counts::default();
        for row in rows {
            let known = heading.known.contains_key(row.requirement.id);
            match &row.standing {
                Standing::Pass(_) => counts.passed += 1,
                Standing::Fail if known || row.requirement.level != Level::Must => counts.skipped += 1,
                Standing::Fail => counts.failed += 1,
                Standing::Inconclusive(_) | Standing::NotApplicable(_) => counts.skipped += 1,
            }
        }
        counts
    }
}

fn failure(out: &mut String, row: &Row<'_>, heading: &Heading, paint: Paint) {
    let known = heading.known.get(row.requirement.id);
    let word = match (known, row.requirement.level) {
        (Some(_), _) => paint.warn("KNOWN"),
        (None, Level::Must) => paint.bad("FAILED"),
        (None, Level::Should | Level::May) => paint.warn("WARNING"),
    };
    let level = format!("{:?}", row.requirement.level).to_uppercase();
    let _ = writeln!(out, "{word} {} ({level}): {}", paint.bold(row.requirement.id), row.requirement.says);
    if let Some(reason) = known {
        let _ = writeln!(out, "  known: {reason}");
    }
    for (nth, shown) in row.failures.iter().enumerate() {
        if nth > 0 && known.is_some() {
            break;
        }
        one(out, shown, paint);
        if nth == 0 {
            let (failed, judged) = row.reproduced;
            let _ = writeln!(
                out,
                "  in {failed} of {} of this scenario; {} in all",
                plural(judged, "case"),
                plural(row.violations, "violation")
            );
        }
    }
    let _ = writeln!(out, "  likely: {}", row.requirement.likely);
    let _ = writeln!(out, "  spec:   {}", row.requirement.source);
    if let Some(first) = row.failures.first() {
        let _ = writeln!(out, "  rerun:  streamspec test{} --only {} --seed {:#x}", heading.again, first.scenario, heading.seed);
        if let Some(curl) = &first.curl {
            let _ = writeln!(out, "  curl:   {curl}");
        }
    }
    out.push('\n');
}

/// One failure with its timeline.
pub(crate) fn one(out: &mut String, failure: &Failure, paint: Paint) {
    let violation = &failure.violation;
    let _ = writeln!(out, "  {}: {}", failure.case, violation.says);
    for line in &failure.timeline {
        let _ = writeln!(out, "    {}", rendered(line, paint));
    }
    let _ = writeln!(out, "  expected: {}", violation.expected);
    let _ = writeln!(out, "  seen:     {}", violation.seen);
}

fn rendered(line: &Line, paint: Paint) -> String {
    let sign = match line.mark {
        Mark::Offending => ">",
        Mark::Part => "·",
        Mark::None | Mark::Missing | Mark::Elided => " ",
    };
    let text = format!("{sign} {:>6} ms  {:<12} {}", line.ms, line.lane, line.text);
    match line.mark {
        Mark::Offending | Mark::Missing => paint.bad(&text),
        Mark::Elided => paint.dim(&format!("  {:>9}  {:<12} {}", "", "", line.text)),
        Mark::Part | Mark::None => text,
    }
}

fn skipped(out: &mut String, tally: &Tally, paint: Paint) {
    let mut by_reason: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
    for (name, why) in &tally.skipped {
        by_reason.entry(why).or_default().push(name);
    }
    for (why, names) in by_reason {
        let _ = writeln!(out, "{} {}: {why}", paint.dim("not applicable"), plural(names.len() as u64, "scenario"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_words_agree() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(12), "12");
        assert_eq!(plural(1, "case"), "1 case");
        assert_eq!(plural(0, "case"), "0 cases");
    }
}
