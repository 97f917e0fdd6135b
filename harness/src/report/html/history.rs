//! The page of one stored history: the whole of it as a picture, and what the checkers say.

use std::fmt::Write;

use crate::check::{Finding, Verdict, Violation};
use crate::contract::requirement;
use crate::history::History;

use super::{figure, one, page};
use crate::report::escape::xml;
use crate::report::picture::Picture;
use crate::report::tally::Failure;
use crate::report::text::{plural, thousands};

/// The page of `history`, of which the checkers say `verdicts`.
pub fn html_of_history(history: &History, verdicts: &[Verdict]) -> String {
    let header = &history.header;
    let mut failures: Vec<(&str, &Violation, u64)> = Vec::new();
    let (mut held, mut judged_in_all) = (0_u64, 0_u64);
    for verdict in verdicts {
        match &verdict.finding {
            Finding::Fail { judged, violations, count } => {
                judged_in_all += judged;
                failures.extend(violations.first().map(|first| (verdict.requirement.as_str(), first, *count)));
            }
            Finding::Pass { judged } => {
                held += 1;
                judged_in_all += judged;
            }
            Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => {}
        }
    }
    let seconds = history.records.last().map_or(0.0, |record| record.at.0 as f64 / 1e6);
    let mut body = format!(
        "<header class=\"{}\"><p class=\"kicker\">streamspec · history · profile {}</p><h1>{}</h1><p class=\"counts\"><b class=\"passed\">{held} passed</b> <b class=\"failed\">{} failed</b></p><p class=\"quiet\">{} over {seconds:.2} s · judged {} times · seed {:#x}</p></header>\n",
        if failures.is_empty() { "good" } else { "bad" },
        xml(&header.profile),
        xml(&header.scenario),
        failures.len(),
        plural(history.records.len() as u64, "record"),
        thousands(judged_in_all),
        header.seed
    );
    let first = failures.first().map(|(_, violation, _)| *violation);
    let _ = writeln!(body, "<h2>The whole history</h2>\n{}", figure(&Picture::of_history(history, first), &header.scenario));
    if !failures.is_empty() {
        body.push_str("<h2>What failed</h2>\n");
    }
    for (id, violation, count) in failures {
        let says = requirement(id).map_or("", |requirement| requirement.says);
        let _ = writeln!(
            body,
            "<article class=\"finding failed\" data-find=\"{0} {1}\"><h3><span class=\"tag failed\">violated</span> {0} <small>{2}</small></h3><p class=\"says\">{1}</p>",
            xml(id),
            xml(says),
            plural(count, "violation")
        );
        one(&mut body, &Failure::of(&header.scenario, &header.scenario, history, violation));
        body.push_str("</article>\n");
    }
    page(&format!("{} · streamspec", header.scenario), &body)
}
