//! The report that people read.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::contract::{CLIENT_FAMILIES, Excuse, FAMILIES, Level};

use super::heading::{Heading, Outcome};
use super::page::{Page, visible};
use super::paint::Paint;
use super::tally::{Failure, Row, Standing, Tally};
use super::timeline::{Line, Mark};

/// Cases named of those that were not finished for one reason.
const NAMED: usize = 4;

/// `1 event`, `2 events`.
pub(crate) fn plural(n: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// What is said behind something that shrinking left of something larger, if it ended too soon to leave the least.
pub(crate) fn ended_early(gave_up: bool) -> &'static str {
    if gave_up { "; shrinking ended before everything smaller was tried" } else { "" }
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

/// The whole report. What matters most stands last, where a terminal leaves off; the last line is the count.
pub fn write_text(tally: &Tally, heading: &Heading, seconds: f64, page: Page) -> String {
    let mut out = String::new();
    let rows = tally.rows();
    let mut families = Vec::new();
    for (family, about) in FAMILIES.iter().chain(CLIENT_FAMILIES) {
        let of: Vec<&Row<'_>> = rows.iter().filter(|r| r.requirement.family() == *family).collect();
        // A family that the profile promises nothing of is named among what is not applicable.
        if of.iter().any(|row| !matches!(row.standing, Standing::NotApplicable(_))) {
            families.push((*family, *about, FamilyStanding::of(&of, heading), of));
        }
    }
    let width = families.iter().map(|(_, _, standing, _)| standing.word.chars().count()).max().unwrap_or(0).max(8);
    for (family, about, standing, of) in &families {
        let judged = thousands(of.iter().map(|r| r.judged).sum());
        let about = page.rest_of_line(FAMILY_LINE + width, about);
        // Padded before it is painted: escapes take no columns.
        let word = if about.is_empty() { standing.word.clone() } else { format!("{:<width$}  ", standing.word) };
        let _ = writeln!(
            out,
            "{family:<10}{:>3} {judged:>9} judged  {}{}",
            of.len(),
            (standing.paint)(page.paint, &word),
            page.paint.dim(&about)
        );
    }
    out.push('\n');
    skipped(&mut out, tally, page);
    undecided(&mut out, &rows, page);
    newer(&mut out, &rows, heading, page);
    known_but_held(&mut out, &rows, heading, page);
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
    let failed = |r: &&Row<'_>| r.standing == Standing::Fail;
    let mut failures: Vec<&Row<'_>> = rows.iter().filter(failed).collect();
    failures.sort_by_key(|row| (!is_known(heading, row), row.requirement.level == Level::Must));
    for row in failures {
        failure(&mut out, row, heading, page);
    }
    unfinished(&mut out, tally, heading, page);
    late(&mut out, tally, page);
    let seed = heading.seed.map(|seed| format!(", seed {seed:#x}")).unwrap_or_default();
    let _ = writeln!(out, "{} in {seconds:.1} s{seed}", plural(tally.cases, "case"));
    let counts = Counts::of(&rows, heading);
    out.push_str(&page.prose("coverage: ", &counts.coverage(&rows)));
    if counts.failed > 0 {
        let ids: Vec<&str> = rows.iter().filter(|r| heading.is_failure(r)).map(|r| r.requirement.id).collect();
        out.push_str(&page.prose("failed: ", &ids.join(" ")));
    }
    if counts.skipped > 0 {
        out.push_str(&page.prose("skipped: ", &counts.of_skipped()));
    }
    let _ = writeln!(out, "{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    page.fit(out)
}

/// True for a violation that has been looked at before, or does not count yet.
fn is_known(heading: &Heading, row: &Row<'_>) -> bool {
    matches!(heading.outcome(row), Outcome::Known { .. } | Outcome::Unscored(_))
}

/// Columns of a family's line beside the words that say how it stands.
const FAMILY_LINE: usize = 34;

/// How a family stands, by the worst of its requirements.
struct FamilyStanding {
    word: String,
    paint: fn(Paint, &str) -> String,
}

impl FamilyStanding {
    fn of(rows: &[&Row<'_>], heading: &Heading) -> FamilyStanding {
        let known = |r: &Row<'_>| is_known(heading, r);
        let count = |which: &dyn Fn(&Row<'_>) -> bool| rows.iter().filter(|r| which(r)).count() as u64;
        let failed = count(&|r| heading.is_failure(r));
        let open = count(&|r| matches!(r.standing, Standing::Inconclusive(_)));
        let knowns = count(&|r| r.standing == Standing::Fail && known(r));
        let warned = count(&|r| r.standing == Standing::Fail && !r.fails() && !known(r));
        let absent = rows.iter().all(|r| matches!(r.standing, Standing::NotApplicable(_) | Standing::NotObservable(_)));
        let (word, paint): (String, fn(Paint, &str) -> String) = if failed > 0 {
            (format!("{failed} FAILED"), Paint::bad)
        } else if open > 0 {
            (format!("{open} inconclusive"), Paint::warn)
        } else if knowns > 0 {
            (format!("{knowns} known"), Paint::warn)
        } else if warned > 0 {
            (plural(warned, "warning"), Paint::warn)
        } else if absent {
            let promised = rows.iter().any(|r| matches!(r.standing, Standing::NotObservable(_)));
            (if promised { "not observable" } else { "not applicable" }.to_owned(), Paint::dim)
        } else {
            ("ok".to_owned(), Paint::good)
        };
        FamilyStanding { word, paint }
    }
}

/// The last line's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requirements that held.
    pub passed: u64,
    /// Violated MUSTs that are not known.
    pub failed: u64,
    /// Everything else; the fields below are its parts.
    pub skipped: u64,
    /// One of its parts.
    pub not_applicable: u64,
    /// One of its parts.
    pub not_observable: u64,
    /// One of its parts.
    pub unscored: u64,
    /// One of its parts.
    pub inconclusive: u64,
    /// One of its parts.
    pub known: u64,
    /// One of its parts.
    pub warned: u64,
}

impl Counts {
    /// Those of one run.
    pub fn of(rows: &[Row<'_>], heading: &Heading) -> Counts {
        let mut counts = Counts::default();
        for row in rows {
            let counted = match heading.outcome(row) {
                Outcome::Passed | Outcome::Stale { .. } => &mut counts.passed,
                Outcome::Known { .. } => &mut counts.known,
                Outcome::Failed => &mut counts.failed,
                Outcome::Warned => &mut counts.warned,
                Outcome::Inconclusive(_) => &mut counts.inconclusive,
                Outcome::Unscored(_) => &mut counts.unscored,
                Outcome::NotApplicable(_) => &mut counts.not_applicable,
                Outcome::NotObservable(_) => &mut counts.not_observable,
            };
            *counted += 1;
        }
        counts.skipped =
            counts.not_applicable + counts.not_observable + counts.unscored + counts.inconclusive + counts.known + counts.warned;
        counts
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.not_applicable += other.not_applicable;
        self.not_observable += other.not_observable;
        self.unscored += other.unscored;
        self.inconclusive += other.inconclusive;
        self.known += other.known;
        self.warned += other.warned;
    }

    /// How much of the catalogue was judged, and why the rest was not.
    pub(crate) fn coverage(self, rows: &[Row<'_>]) -> String {
        let judged = rows.iter().filter(|row| row.judged > 0).count();
        let unseen = rows.iter().filter_map(|row| if let Standing::NotObservable(why) = &row.standing { Some(why.as_str()) } else { None });
        let reasons: std::collections::BTreeSet<&str> = unseen.collect();
        let reasons: Vec<&str> = reasons.into_iter().collect();
        let why = if reasons.is_empty() { String::new() } else { format!(" ({})", visible(&reasons.join("; "))) };
        format!(
            "{judged} of {} requirements run, {} not applicable, {} not observable{why}, {} expected and not judged",
            rows.len(),
            self.not_applicable,
            self.not_observable,
            rows.iter().filter(|row| matches!(row.standing, Standing::Inconclusive(_))).count()
        )
    }

    fn of_skipped(self) -> String {
        let parts = [
            (self.not_applicable, "not applicable"),
            (self.not_observable, "not observable on this target"),
            (self.unscored, "unscored"),
            (self.inconclusive, "inconclusive"),
            (self.known, "known to fail"),
            (self.warned, "violated but no MUST"),
        ];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        parts.join(", ")
    }
}

impl std::fmt::Display for Counts {
    /// `52 passed, 0 failed, 6 skipped`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// All about a violated requirement, on a page without colours.
pub(crate) fn told_of(row: &Row<'_>, heading: &Heading) -> String {
    let mut out = String::new();
    failure(&mut out, row, heading, Page::plain());
    out
}

/// A violated requirement. One that is known to be violated has been looked at before, so it is shown without timelines,
/// which the JSON report holds.
fn failure(out: &mut String, row: &Row<'_>, heading: &Heading, page: Page) {
    let id = row.requirement.id;
    let known = if let Excuse::Listed(entry) = heading.excuse(row) { Some(entry) } else { None };
    let brief = known.is_some() || matches!(heading.outcome(row), Outcome::Unscored(_));
    let (word, paint): (&str, fn(Paint, &str) -> String) = match (known, row.requirement.level) {
        (None, _) if brief => ("UNSCORED", Paint::warn),
        (Some(entry), _) if entry.flaky => ("FLAKY", Paint::warn),
        (Some(_), _) => ("KNOWN", Paint::warn),
        (None, Level::Must) => ("FAILED", Paint::bad),
        (None, Level::Should | Level::May) => ("WARNING", Paint::warn),
    };
    let level = format!("{:?}", row.requirement.level).to_uppercase();
    let title = page.entry(word, paint, &format!("{id} ({level}): {}", row.requirement.says));
    out.push_str(&title.replacen(id, &page.paint.bold(id), 1));
    if let Some(known) = known {
        let label = if known.flaky { "  known, sometimes: " } else { "  known: " };
        out.push_str(&page.prose(label, &visible(&known.reason)));
    }
    if let Excuse::Expired(entry) = heading.excuse(row) {
        let day = entry.expires.as_deref().unwrap_or_default();
        out.push_str(&page.prose("  was known until ", &format!("{day}: {}", visible(&entry.reason))));
    }
    for shown in row.failures.iter().take(if brief { 1 } else { usize::MAX }) {
        out.push_str(&page.prose(&format!("  {}: ", shown.case), &visible(&shown.violation.says)));
        if !brief {
            one(out, shown, page);
        }
    }
    if let Some(first) = row.failures.first() {
        let (failed, judged) = row.reproduced;
        let often =
            format!("in {failed} of {} of {}; {} in all", plural(judged, "case"), first.scenario, plural(row.violations, "violation"));
        out.push_str(&page.prose("  ", &often));
        if !brief {
            out.push_str(&page.prose("  likely: ", row.requirement.likely));
        }
        out.push_str(&page.prose("  spec:   ", row.requirement.source));
        // Never wrapped: both are for copying.
        let _ = writeln!(out, "  rerun:  {}", heading.again(&first.scenario));
        if let Some(curl) = &first.curl {
            let _ = writeln!(out, "  curl:   {}", visible(curl));
        }
    }
    out.push('\n');
}

/// One failure with its timeline.
pub(crate) fn one(out: &mut String, failure: &Failure, page: Page) {
    let violation = &failure.violation;
    out.push_str(&drawn(&failure.timeline, page));
    out.push_str(&page.prose("  expected: ", &visible(&violation.expected)));
    out.push_str(&page.prose("  seen:     ", &visible(&violation.seen)));
}

/// A timeline as people read it.
pub(crate) fn drawn(lines: &[Line], page: Page) -> String {
    let lane = lines.iter().map(|line| line.lane.chars().count()).max().unwrap_or(0).clamp(6, 16);
    lines.iter().map(|line| rendered(line, lane, page)).collect()
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
        for entry in heading.stale(row) {
            let within = entry.scenario.as_deref().map(|scenario| format!(" in {scenario}")).unwrap_or_default();
            let way_out =
                "remove it (`--write-baseline` does so in a baseline file), or mark it as one that fails sometimes if it is a race";
            let text = format!("{id} is listed as known and did not fail{within}: {way_out}");
            out.push_str(&page.entry("stale", Paint::bad, &text));
        }
        if row.held_throughout() && heading.baseline.about(id).any(|entry| entry.flaky) {
            out.push_str(&page.entry("known", Paint::dim, &format!("{id} fails sometimes; not this time")));
        }
    }
}

/// What is newer than the set of requirements that was asked for.
fn newer(out: &mut String, rows: &[Row<'_>], heading: &Heading, page: Page) {
    let Some(set) = heading.requirements else { return };
    let ids: Vec<String> = rows
        .iter()
        .filter_map(|row| match heading.outcome(row) {
            Outcome::Unscored(how) => Some(format!("{} ({how})", row.requirement.id)),
            _ => None,
        })
        .collect();
    if !ids.is_empty() {
        out.push_str(&page.entry("unscored", Paint::warn, &format!("newer than the requirements of {}: {}", set.revision, ids.join(", "))));
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
        out.push_str(&page.entry("inconclusive", Paint::warn, &format!("{}: {}", ids.join(" "), visible(why))));
    }
}

/// What was late on a busy machine, and in time when its case was run again alone.
fn late(out: &mut String, tally: &Tally, page: Page) {
    for (id, scenarios) in &tally.late {
        let names: Vec<&str> = scenarios.iter().take(NAMED).map(String::as_str).collect();
        let more = if scenarios.len() > NAMED { format!(" and {} more", scenarios.len() - NAMED) } else { String::new() };
        let says = format!("{id} in {}{more}: late, and in time when run again alone", names.join(" "));
        out.push_str(&page.entry("busy machine", Paint::warn, &says));
    }
}

/// Cases that did not reach their end, by reason, with what the server printed in the first of each.
fn unfinished(out: &mut String, tally: &Tally, heading: &Heading, page: Page) {
    let mut by_reason: BTreeMap<&str, Vec<(&str, &str, &str)>> = BTreeMap::new();
    for (case, why, output) in &tally.aborted {
        let (reason, rest) = why.split_once('\n').unwrap_or((why, ""));
        by_reason.entry(reason).or_default().push((case, rest, output));
    }
    for (reason, cases) in by_reason {
        let names: Vec<&str> = cases.iter().take(NAMED).map(|(case, _, _)| *case).collect();
        let more = if cases.len() > NAMED { format!(" and {} more", cases.len() - NAMED) } else { String::new() };
        let reason = visible(reason.trim_end_matches("; its last lines:").trim_end_matches(':'));
        out.push_str(&page.entry("not finished", Paint::bad, &format!("{}{more}: {reason}", names.join(" "))));
        let printed = cases.iter().flat_map(|(_, rest, output)| [*rest, *output]).find(|text| !text.trim().is_empty());
        if let Some(printed) = printed {
            let _ = writeln!(out, "  the {}'s last lines:", heading.tested);
            for line in printed.lines().filter(|line| !line.trim().is_empty()) {
                let _ = writeln!(out, "    {}", visible(line.trim()));
            }
        }
        out.push('\n');
    }
}

fn skipped(out: &mut String, tally: &Tally, page: Page) {
    let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, why) in &tally.skipped {
        *by_reason.entry(why).or_default() += 1;
    }
    for (why, scenarios) in by_reason {
        out.push_str(&page.entry("not applicable", Paint::dim, &format!("{}: {}", plural(scenarios, "scenario"), visible(why))));
    }
}
