//! The report as one page that needs no network: summary by family, and for each failure the picture of its timeline with what
//! was expected beside what was seen.
//!
//! The page works without its script; the script adds filter, zoom, and the bytes behind each point.

mod campaign;
mod history;

use std::fmt::Write;

use crate::contract::{CLIENT_FAMILIES, FAMILIES};

use super::escape::{json_in_html, xml};
use super::event::Finished;
use super::heading::{Heading, Outcome};
use super::page::Page;
use super::picture::{Drawing, PICTURE_STYLE, Picture};
use super::tally::{Failure, Row};
use super::text::{Counts, drawn, plural, thousands};

pub use campaign::{Campaign, Distinct, html_of_campaign};
pub use history::html_of_history;

/// Nothing is loaded, whatever a server's text tries.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page of a run.
pub fn html(suites: &[Finished<'_>], _exit: u8) -> String {
    let mut body = String::new();
    for suite in suites {
        self::suite(&mut body, suite);
    }
    let title = suites
        .first()
        .map_or("streamspec".to_owned(), |suite| format!("{} · {} · streamspec", suite.heading.profile, suite.heading.target));
    page(&title, &body)
}

/// A whole page around what stands in it.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{}{PICTURE_STYLE}</style>\n</head>\n<body>\n{body}<footer>streamspec {}</footer>\n<script>\n{}</script>\n</body>\n</html>\n",
        xml(title),
        include_str!("page.css"),
        env!("CARGO_PKG_VERSION"),
        include_str!("page.js")
    )
}

fn suite(out: &mut String, suite: &Finished<'_>) {
    let (heading, rows) = (suite.heading, suite.tally.rows());
    let counts = Counts::of(&rows, heading);
    let verdict = if suite.exit == 0 { "good" } else { "bad" };
    let seed = heading.seed.map(|seed| format!(" · seed {seed:#x}")).unwrap_or_default();
    let _ = writeln!(
        out,
        "<header class=\"{verdict}\"><p class=\"kicker\">streamspec · profile {}</p><h1>{}</h1>\
         <p class=\"counts\"><b class=\"passed\">{} passed</b> <b class=\"failed\">{} failed</b> <b>{} skipped</b></p><p class=\"quiet\">{} in {:.1} s{seed} · exit code {}</p><p class=\"quiet\">{}</p></header>",
        xml(&heading.profile),
        xml(&heading.target),
        counts.passed,
        counts.failed,
        counts.skipped,
        plural(suite.tally.cases, "case"),
        suite.seconds,
        suite.exit,
        xml(&counts.coverage(&rows))
    );
    out.push_str("<p class=\"filter\"><label>Filter <input type=\"search\" placeholder=\"RESUME, SEAM-1, failed …\" aria-label=\"Show requirements whose id, sentence or outcome holds this\"></label> <span class=\"shown quiet\" role=\"status\"></span></p>\n");
    families(out, &rows, heading);
    let told =
        |row: &&Row<'_>| matches!(heading.outcome(row), Outcome::Failed | Outcome::Warned | Outcome::Known { .. } | Outcome::Stale { .. });
    let mut failures: Vec<&Row<'_>> = rows.iter().filter(told).collect();
    failures.sort_by_key(|row| rank(&heading.outcome(row)));
    if !failures.is_empty() {
        out.push_str("<h2>What failed</h2>\n");
    }
    for row in failures {
        failed(out, row, heading);
    }
    unfinished(out, suite);
    requirements(out, &rows, heading);
}

/// What matters most comes first.
fn rank(outcome: &Outcome<'_>) -> u8 {
    match outcome {
        Outcome::Failed => 0,
        Outcome::Stale { .. } => 1,
        Outcome::Inconclusive(_) => 2,
        Outcome::Warned => 3,
        Outcome::Known { .. } => 4,
        Outcome::Unscored(_) => 5,
        Outcome::Passed => 6,
        Outcome::NotObservable(_) => 7,
        Outcome::NotApplicable(_) => 8,
    }
}

fn families(out: &mut String, rows: &[Row<'_>], heading: &Heading) {
    out.push_str("<div class=\"wide\"><table class=\"families\"><thead><tr><th>Family</th><th>About</th><th>Requirements</th><th class=\"num\">Judged</th></tr></thead><tbody>\n");
    for (family, about) in FAMILIES.iter().chain(CLIENT_FAMILIES) {
        let mut of: Vec<Outcome<'_>> = rows.iter().filter(|r| r.requirement.family() == *family).map(|r| heading.outcome(r)).collect();
        if of.iter().all(|outcome| matches!(outcome, Outcome::NotApplicable(_) | Outcome::NotObservable(_))) {
            continue;
        }
        of.sort_by_key(rank);
        let judged: u64 = rows.iter().filter(|r| r.requirement.family() == *family).map(|r| r.judged).sum();
        let dots: String = of.iter().map(|o| format!("<i class=\"dot {0}\" title=\"{0}\"></i>", o.word())).collect();
        let failed = of.iter().filter(|o| matches!(o, Outcome::Failed | Outcome::Stale { .. })).count();
        let passed = of.iter().filter(|o| **o == Outcome::Passed).count();
        let said =
            if failed > 0 { format!("<b class=\"failed\">{failed}\u{a0}failed</b>") } else { format!("<span>{passed}\u{a0}passed</span>") };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{family}</th><td>{}</td><td><span class=\"dots\">{dots}</span> {said}</td><td class=\"num\">{}</td></tr>",
            xml(about),
            thousands(judged)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

fn failed(out: &mut String, row: &Row<'_>, heading: &Heading) {
    let (requirement, outcome) = (row.requirement, heading.outcome(row));
    let word = outcome.word();
    let level = format!("{:?}", requirement.level).to_uppercase();
    let _ = writeln!(
        out,
        "<article class=\"finding {word}\" id=\"{0}-{1}\" data-find=\"{1} {2} {word}\"><h3><span class=\"tag {word}\">{word}</span> {1} <small>{level}</small></h3><p class=\"says\">{2}</p>",
        xml(&heading.profile),
        requirement.id,
        xml(requirement.says)
    );
    if let Outcome::Known { reason, .. } | Outcome::Stale { reason } = outcome {
        let _ = writeln!(out, "<p>Listed as known to fail: {}</p>", xml(reason));
    }
    for failure in row.failures {
        one(out, failure);
    }
    if let Some(first) = row.failures.first() {
        let (failed, judged) = row.reproduced;
        let _ = writeln!(
            out,
            "<dl class=\"next\"><dt>Often</dt><dd>in {failed} of {} of {}; {} in all</dd><dt>Likely</dt><dd>{}</dd><dt>Spec</dt><dd>{}</dd><dt>Rerun</dt><dd><code>{}</code></dd>",
            plural(judged, "case"),
            xml(&first.scenario),
            plural(row.violations, "violation"),
            xml(requirement.likely),
            xml(requirement.source),
            xml(&heading.again(&first.scenario))
        );
        if let Some(curl) = &first.curl {
            let _ = write!(out, "<dt>Curl</dt><dd><code>{}</code></dd>", xml(curl));
        }
        out.push_str("</dl>\n");
    }
    out.push_str("</article>\n");
}

fn one(out: &mut String, failure: &Failure) {
    let violation = &failure.violation;
    let _ =
        writeln!(out, "<section class=\"case\"><p class=\"case-name\"><code>{}</code> {}</p>", xml(&failure.case), xml(&violation.says));
    out.push_str(&figure(&failure.picture, &violation.says));
    let _ = writeln!(
        out,
        "<div class=\"against\"><div class=\"expected\"><h4>Expected</h4><p>{}</p></div><div class=\"seen\"><h4>Seen</h4><p>{}</p></div></div>",
        xml(&violation.expected),
        xml(&violation.seen)
    );
    let lines: Vec<String> = drawn(&failure.timeline, Page::plain()).lines().map(xml).collect();
    let _ = writeln!(out, "<details><summary>The same in words</summary><pre>{}</pre></details>", lines.join("\n"));
    if !failure.output.trim().is_empty() {
        let lines: Vec<String> = failure.output.lines().map(xml).collect();
        let _ = writeln!(out, "<details><summary>What it printed last</summary><pre>{}</pre></details>", lines.join("\n"));
    }
    out.push_str("</section>\n");
}

/// A picture that can be moved, enlarged and asked for the bytes behind its points.
pub(crate) fn figure(picture: &Picture, title: &str) -> String {
    let drawing = Drawing::of(picture);
    format!(
        "<figure style=\"--w:{:.0}\"><div class=\"tools\"><button type=\"button\" data-zoom=\"out\" aria-label=\"Smaller\">−</button><button type=\"button\" data-zoom=\"in\" aria-label=\"Larger\">+</button><button type=\"button\" data-zoom=\"fit\">Fit</button> <span class=\"quiet\">{}; arrow keys go from one to the next</span></div><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Timeline\">\n{}</div><div class=\"detail\" aria-live=\"polite\"></div><script type=\"application/json\">{}</script></figure>\n",
        drawing.width(),
        plural(drawing.points() as u64, "observation"),
        drawing.elements(title),
        json_in_html(&drawing.details())
    )
}

fn unfinished(out: &mut String, suite: &Finished<'_>) {
    if suite.tally.aborted.is_empty() {
        return;
    }
    out.push_str("<h2>What was not finished</h2>\n");
    for (case, why, output) in &suite.tally.aborted {
        let _ = writeln!(
            out,
            "<article class=\"finding inconclusive\" data-find=\"{0} unfinished\"><h3><code>{0}</code></h3><p>{1}</p>",
            xml(case),
            xml(why)
        );
        if !output.trim().is_empty() {
            let lines: Vec<String> = output.lines().map(xml).collect();
            let _ = writeln!(out, "<details><summary>What it printed last</summary><pre>{}</pre></details>", lines.join("\n"));
        }
        out.push_str("</article>\n");
    }
}

fn requirements(out: &mut String, rows: &[Row<'_>], heading: &Heading) {
    out.push_str("<h2>Every requirement</h2>\n<div class=\"wide\"><table class=\"requirements\"><thead><tr><th>Id</th><th>Outcome</th><th>Requirement</th><th class=\"num\">Judged</th></tr></thead><tbody>\n");
    for row in rows {
        let (requirement, outcome) = (row.requirement, heading.outcome(row));
        let why = match outcome {
            Outcome::Known { reason, .. } | Outcome::Stale { reason } => Some(reason),
            Outcome::Inconclusive(why) | Outcome::NotApplicable(why) | Outcome::NotObservable(why) => Some(why),
            Outcome::Unscored(how) => Some(how),
            Outcome::Passed | Outcome::Failed | Outcome::Warned => None,
        };
        let why = why.map(|why| format!("<br><span class=\"quiet\">{}</span>", xml(why))).unwrap_or_default();
        let word = outcome.word();
        let id = if row.failures.is_empty() {
            requirement.id.to_owned()
        } else {
            format!("<a href=\"#{0}-{1}\">{1}</a>", xml(&heading.profile), requirement.id)
        };
        let _ = writeln!(
            out,
            "<tr data-find=\"{0} {1} {word}\"><th scope=\"row\">{id}</th><td><span class=\"tag {word}\">{word}</span></td><td>{1}{why}</td><td class=\"num\">{2}</td></tr>",
            requirement.id,
            xml(requirement.says),
            thousands(row.judged)
        );
    }
    out.push_str("</tbody></table></div>\n");
}
