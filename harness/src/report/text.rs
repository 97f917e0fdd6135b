//! The report that people read.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::contract::{FAMILIES, Known, Level};

use super::page::{Page, visible};
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
    /// Failures that are known, by requirement.
    pub known: BTreeMap<String, Known>,
}

impl Heading {
    /// True when the requirement is listed as known to fail, and would have failed in this run if that were still so.
    pub fn is_stale(&self, row: &Row<'_>) -> bool {
        row.held_throughout() && self.known.get(row.requirement.id).is_some_and(|known| !known.sometimes())
    }
}

/// Cases named of those that were not finished for one reason.
const NAMED: usize = 4;

/// `1 event`, `2 events`.
fn plural(n: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// `1,234`.
fn thousands(n: u64) -> String {
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
pub fn write_text(tally: &Tally, heading: &Heading, seconds: f64, page: Page) -> String {
    let mut out = String::new();
    let rows = tally.rows();
    for (family, about) in FAMILIES {
        let of: Vec<&Row<'_>> = rows.iter().filter(|r| r.requirement.family() == *family).collect();
        if !of.is_empty() {
            out.push_str(&family_line(family, about, &of, heading, page));
        }
    }
    out.push('\n');
    for row in rows.iter().filter(|r| r.standing == Standing::Fail) {
        failure(&mut out, row, heading, page);
    }
    undecided(&mut out, &rows, page);
    known_but_held(&mut out, &rows, heading, page);
    unfinished(&mut out, tally, page);
    skipped(&mut out, tally, page);
    let _ = writeln!(out, "{} in {seconds:.1} s, seed {:#x}", plural(tally.cases, "case"), heading.seed);
    let counts = Counts::of(&rows, heading);
    if counts.skipped > 0 {
        let _ = writeln!(out, "skipped: {}", counts.of_skipped());
    }
    let _ = writeln!(out, "{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    page.fit(out)
}

fn family_line(family: &str, about: &str, of: &[&Row<'_>], heading: &Heading, page: Page) -> String {
    let judged: u64 = of.iter().map(|r| r.judged).sum();
    let known = |r: &Row<'_>| heading.known.contains_key(r.requirement.id);
    let count = |which: &dyn Fn(&Row<'_>) -> bool| of.iter().filter(|r| which(r)).count() as u64;
    let failed = count(&|r| r.fails() && !known(r));
    let open = count(&|r| matches!(r.standing, Standing::Inconclusive(_)));
    let knowns = count(&|r| r.standing == Standing::Fail && known(r));
    let warned = count(&|r| r.standing == Standing::Fail && !r.fails() && !known(r));
    let absent = of.iter().all(|r| matches!(r.standing, Standing::NotApplicable(_)));
    // Padded before it is painted: escapes take no columns.
    let word = |text: String| format!("{text:<8}");
    let word = if failed > 0 {
        page.paint.bad(&word(format!("{failed} FAILED")))
    } else if open > 0 {
        page.paint.warn(&word(format!("{open} inconclusive")))
    } else if knowns > 0 {
        page.paint.warn(&word(format!("{knowns} known")))
    } else if warned > 0 {
        page.paint.warn(&word(plural(warned, "warning")))
    } else if absent {
        page.paint.dim(&word("not applicable".to_owned()))
    } else {
        page.paint.good(&word("ok".to_owned()))
    };
    let about = page.paint.dim(&page.rest_of_line(42, about));
    format!("{family:<10}{:>3} {:>9} judged  {word}  {about}\n", of.len(), thousands(judged))
}

/// The last line's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Everything else; the fields below are its parts.
    pub(crate) skipped: u64,
    pub(crate) not_applicable: u64,
    pub(crate) inconclusive: u64,
    pub(crate) known: u64,
    pub(crate) warned: u64,
}

impl Counts {
    pub(crate) fn of(rows: &[Row<'_>], heading: &Heading) -> Counts {
        let mut counts = Counts::default();
        for row in rows {
            let known = heading.known.contains_key(row.requirement.id);
            let counted = match &row.standing {
                Standing::Pass(_) => &mut counts.passed,
                Standing::Fail if known => &mut counts.known,
                Standing::Fail if row.requirement.level == Level::Must => &mut counts.failed,
                Standing::Fail => &mut counts.warned,
                Standing::Inconclusive(_) => &mut counts.inconclusive,
                Standing::NotApplicable(_) => &mut counts.not_applicable,
            };
            *counted += 1;
        }
        counts.skipped = counts.not_applicable + counts.inconclusive + counts.known + counts.warned;
        counts
    }

    fn of_skipped(self) -> String {
        let parts = [
            (self.not_applicable, "not applicable"),
            (self.inconclusive, "inconclusive"),
            (self.known, "known to fail"),
            (self.warned, "violated but no MUST"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        parts.join(", ")
    }
}

fn failure(out: &mut String, row: &Row<'_>, heading: &Heading, page: Page) {
    let (known, paint) = (heading.known.get(row.requirement.id), page.paint);
    let word = match (known, row.requirement.level) {
        (Some(_), _) => paint.warn("KNOWN"),
        (None, Level::Must) => paint.bad("FAILED"),
        (None, Level::Should | Level::May) => paint.warn("WARNING"),
    };
    let level = format!("{:?}", row.requirement.level).to_uppercase();
    let _ = writeln!(out, "{word} {} ({level}): {}", paint.bold(row.requirement.id), row.requirement.says);
    if let Some(known) = known {
        let label = if known.sometimes() { "  known, sometimes: " } else { "  known: " };
        out.push_str(&page.prose(label, known.reason()));
    }
    for (nth, shown) in row.failures.iter().enumerate() {
        if nth > 0 && known.is_some() {
            break;
        }
        one(out, shown, page);
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
    out.push_str(&page.prose("  likely: ", row.requirement.likely));
    out.push_str(&page.prose("  spec:   ", row.requirement.source));
    if let Some(first) = row.failures.first() {
        // Never wrapped: both are for copying.
        let _ = writeln!(out, "  rerun:  streamspec test{} --only {} --seed {:#x}", heading.again, first.scenario, heading.seed);
        if let Some(curl) = &first.curl {
            let _ = writeln!(out, "  curl:   {}", visible(curl));
        }
    }
    out.push('\n');
}

fn one(out: &mut String, failure: &Failure, page: Page) {
    let violation = &failure.violation;
    out.push_str(&page.prose(&format!("  {}: ", failure.case), &visible(&violation.says)));
    let lane = failure.timeline.iter().map(|line| line.lane.chars().count()).max().unwrap_or(0).clamp(6, 16);
    for line in &failure.timeline {
        out.push_str(&rendered(line, lane, page));
    }
    out.push_str(&page.prose("  expected: ", &visible(&violation.expected)));
    out.push_str(&page.prose("  seen:     ", &visible(&violation.seen)));
}

fn rendered(line: &Line, lane: usize, page: Page) -> String {
    let sign = match line.mark {
        Mark::Offending => ">",
        Mark::Part => "·",
        Mark::None | Mark::Missing | Mark::Elided => " ",
    };
    let label = match line.mark {
        Mark::Elided => format!("    {:>11}  {:<lane$}  ", "", ""),
        Mark::Offending | Mark::Part | Mark::None | Mark::Missing => {
            format!("    {sign} {:>6} ms  {:<lane$}  ", line.ms, visible(&line.lane))
        }
    };
    let text = page.prose(&label, &visible(&line.text));
    let text = text.trim_end_matches('\n');
    let text = match line.mark {
        Mark::Offending | Mark::Missing => page.paint.bad(text),
        Mark::Elided => page.paint.dim(text),
        Mark::Part | Mark::None => text.to_owned(),
    };
    text + "\n"
}

/// Known failures that did not happen.
fn known_but_held(out: &mut String, rows: &[Row<'_>], heading: &Heading, page: Page) {
    for row in rows {
        let id = row.requirement.id;
        if heading.is_stale(row) {
            let text = "is listed as known and did not fail: remove it from `[known]`, or give it `sometimes = true` if it is a race";
            out.push_str(&page.prose("stale ", &format!("{id} {text}")).replacen("stale", &page.paint.bad("stale"), 1));
        } else if heading.known.contains_key(id) && row.held_throughout() {
            out.push_str(&page.prose("known ", &format!("{id} fails sometimes; not this time")).replacen(
                "known",
                &page.paint.dim("known"),
                1,
            ));
        }
    }
}

/// What should have been judged and was not, by reason.
fn undecided(out: &mut String, rows: &[Row<'_>], page: Page) {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        if let Standing::Inconclusive(why) = &row.standing {
            by_reason.entry(why).or_default().push(row.requirement.id);
        }
    }
    for (why, ids) in by_reason {
        // The label is painted afterwards, because escapes take no columns.
        let text = page.prose("inconclusive ", &format!("{}: {}", ids.join(" "), visible(why)));
        out.push_str(&text.replacen("inconclusive", &page.paint.warn("inconclusive"), 1));
    }
}

/// Cases that did not reach their end, by reason, with what the server printed in the first of each.
fn unfinished(out: &mut String, tally: &Tally, page: Page) {
    let mut by_reason: BTreeMap<&str, Vec<(&str, &str, &str)>> = BTreeMap::new();
    for (case, why, output) in &tally.aborted {
        let (reason, rest) = why.split_once('\n').unwrap_or((why, ""));
        by_reason.entry(reason).or_default().push((case, rest, output));
    }
    for (reason, cases) in by_reason {
        let names: Vec<&str> = cases.iter().take(NAMED).map(|(case, _, _)| *case).collect();
        let more = if cases.len() > NAMED { format!(" and {} more", cases.len() - NAMED) } else { String::new() };
        let reason = visible(reason.trim_end_matches("; its last lines:").trim_end_matches(':'));
        let text = page.prose("not finished ", &format!("{}{more}: {reason}", names.join(" ")));
        out.push_str(&text.replacen("not finished", &page.paint.bad("not finished"), 1));
        let printed = cases.iter().flat_map(|(_, rest, output)| [*rest, *output]).find(|text| !text.trim().is_empty());
        if let Some(printed) = printed {
            let _ = writeln!(out, "  the server's last lines:");
            for line in printed.lines().filter(|line| !line.trim().is_empty()) {
                let _ = writeln!(out, "    {}", visible(line.trim()));
            }
        }
    }
}

fn skipped(out: &mut String, tally: &Tally, page: Page) {
    let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, why) in &tally.skipped {
        *by_reason.entry(why).or_default() += 1;
    }
    for (why, scenarios) in by_reason {
        let text = page.prose("not applicable ", &format!("{}: {}", plural(scenarios, "scenario"), visible(why)));
        out.push_str(&text.replacen("not applicable", &page.paint.dim("not applicable"), 1));
    }
}
