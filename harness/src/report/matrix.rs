//! Several runs side by side: a row a requirement, a column a target.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::contract::{CATALOGUE, CLIENT_CATALOGUE, requirement};

use super::escape::{markdown, xml};
use super::html::page;

/// One report, or one profile's part of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    target: String,
    profile: String,
    /// By requirement: outcome and why.
    cells: BTreeMap<String, (String, Option<String>)>,
}

/// What a cell may say; the sign of each, and what it means.
const OUTCOMES: &[(&str, &str, &str)] = &[
    ("passed", "✓", "kept"),
    ("failed", "✗", "violated"),
    ("stale", "✗", "listed as known to fail, and kept"),
    ("warned", "!", "violated, and no MUST"),
    ("known", "k", "violated, as it is known to be"),
    ("flaky", "f", "violated, as it is known to be sometimes"),
    ("unscored", "u", "violated, and newer than the requirements that were asked for"),
    ("inconclusive", "?", "should have been judged and was not"),
    ("not-observable", "o", "promised, and cannot be looked at on this target"),
    ("not-applicable", "–", "does not apply"),
];

impl Column {
    /// The columns of a JSON report.
    ///
    /// # Errors
    /// When it is none; the text says what is missing.
    pub fn of_report(report: &Value) -> Result<Vec<Column>, String> {
        match report["streamspec_report"].as_u64() {
            Some(1) => {}
            Some(other) => return Err(format!("version {other} of the report; this streamspec reads version 1")),
            None => return Err("it is no report of streamspec; `streamspec test --report json=PATH` writes one".to_owned()),
        }
        match report["profiles"].as_array() {
            Some(profiles) => profiles.iter().map(Column::of_profile).collect(),
            None => Column::of_profile(report).map(|column| vec![column]),
        }
    }

    fn of_profile(report: &Value) -> Result<Column, String> {
        let text = |key: &str| report[key].as_str().map(str::to_owned).ok_or_else(|| format!("`{key}` is missing"));
        let requirements = report["requirements"].as_array().ok_or("`requirements` is missing")?;
        let mut cells = BTreeMap::new();
        for row in requirements {
            let id = row["id"].as_str().ok_or("a requirement has no `id`")?;
            let said = row["outcome"].as_str().or(row["standing"].as_str()).ok_or_else(|| format!("{id} has no `outcome`"))?;
            let first = || row["failures"][0]["violation"]["says"].as_str();
            let why = row["why"].as_str().or(row["known"].as_str()).or_else(first).map(str::to_owned);
            cells.insert(id.to_owned(), (said.to_owned(), why));
        }
        Ok(Column { target: text("target")?, profile: text("profile")?, cells })
    }
}

/// Ids that any column has, in the order of the catalogue; those that this version does not know come last.
fn ids(columns: &[Column]) -> Vec<&str> {
    let known = CATALOGUE.iter().chain(CLIENT_CATALOGUE).map(|r| r.id);
    let mut ids: Vec<&str> = known.filter(|id| columns.iter().any(|column| column.cells.contains_key(*id))).collect();
    let mut others: Vec<&str> =
        columns.iter().flat_map(|column| column.cells.keys().map(String::as_str)).filter(|id| requirement(id).is_none()).collect();
    others.sort_unstable();
    others.dedup();
    ids.extend(others);
    ids
}

fn sign(outcome: &str) -> &'static str {
    OUTCOMES.iter().find(|(word, _, _)| *word == outcome).map_or("·", |(_, sign, _)| sign)
}

fn totals(column: &Column) -> (usize, usize) {
    let count = |word: &str| column.cells.values().filter(|(outcome, _)| outcome == word).count();
    (count("passed"), count("failed"))
}

/// As a table in Markdown.
pub fn matrix_markdown(columns: &[Column]) -> String {
    let mut out = String::from("| requirement |");
    for column in columns {
        let _ = write!(out, " {} ({}) |", markdown(&column.target), markdown(&column.profile));
    }
    let _ = writeln!(out, "\n|---|{}", ":-:|".repeat(columns.len()));
    for id in ids(columns) {
        let says = requirement(id).map_or("", |r| r.says);
        let _ = write!(out, "| **{}** {} |", markdown(id), markdown(says));
        for column in columns {
            let _ = write!(out, " {} |", column.cells.get(id).map_or("", |(outcome, _)| sign(outcome)));
        }
        out.push('\n');
    }
    out.push_str("| passed / failed |");
    for (passed, failed) in columns.iter().map(totals) {
        let _ = write!(out, " {passed} / {failed} |");
    }
    let legend: Vec<String> = OUTCOMES.iter().map(|(_, sign, means)| format!("{sign} {means}")).collect();
    let _ = writeln!(out, "\n\n{}", legend.join(" · "));
    out
}

/// As a page.
pub fn matrix_html(columns: &[Column]) -> String {
    let mut body = format!("<header><p class=\"kicker\">streamspec</p><h1>{} implementations side by side</h1></header>\n", columns.len());
    body.push_str("<p class=\"filter\"><label>Filter <input type=\"search\" placeholder=\"RESUME, SEAM-1, failed …\" aria-label=\"Show requirements whose id, sentence or outcome holds this\"></label> <span class=\"shown quiet\" role=\"status\"></span></p>\n");
    body.push_str("<div class=\"wide\"><table class=\"matrix\"><thead><tr><th>Requirement</th>");
    for column in columns {
        let (passed, failed) = totals(column);
        let _ = write!(
            body,
            "<th>{}<br><span class=\"quiet\">{}</span><br>{passed} passed, {failed} failed</th>",
            xml(&column.target),
            xml(&column.profile)
        );
    }
    body.push_str("</tr></thead><tbody>\n");
    for id in ids(columns) {
        let says = requirement(id).map_or("", |r| r.says);
        let outcomes: Vec<&str> = columns.iter().filter_map(|c| c.cells.get(id)).map(|(outcome, _)| outcome.as_str()).collect();
        let _ = write!(body, "<tr data-find=\"{0} {1} {2}\"><td><b>{0}</b> {1}</td>", xml(id), xml(says), xml(&outcomes.join(" ")));
        for column in columns {
            match column.cells.get(id) {
                Some((outcome, why)) => {
                    let title = why.as_deref().unwrap_or(outcome);
                    let _ = write!(
                        body,
                        "<td class=\"cell\" title=\"{}\"><span class=\"tag {1}\">{2} {1}</span></td>",
                        xml(title),
                        xml(outcome),
                        sign(outcome)
                    );
                }
                None => body.push_str("<td class=\"cell\"></td>"),
            }
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</tbody></table></div>\n");
    page("Implementations side by side · streamspec", &body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(target: &str, rows: &[(&str, &str)]) -> Value {
        let rows: Vec<Value> = rows.iter().map(|(id, outcome)| json!({ "id": id, "outcome": outcome, "why": "<b>" })).collect();
        json!({ "streamspec_report": 1, "profile": "sse", "target": target, "requirements": rows })
    }

    #[test]
    fn a_row_a_requirement_and_a_column_a_target() {
        let one = Column::of_report(&report("one|", &[("SEAM-1", "passed"), ("ORDER-1", "failed")])).unwrap();
        let many = json!({ "streamspec_report": 1, "profiles": [report("two", &[("SEAM-1", "failed"), ("NEW-1", "passed")])] });
        let columns: Vec<Column> = one.into_iter().chain(Column::of_report(&many).unwrap()).collect();
        let text = matrix_markdown(&columns);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[0], "| requirement | one\\| (sse) | two (sse) |");
        assert!(rows[2].starts_with("| **ORDER-1**") && rows[2].ends_with("| ✗ |  |"), "{text}");
        assert!(rows[3].starts_with("| **SEAM-1**") && rows[3].ends_with("| ✓ | ✗ |"), "{text}");
        assert!(rows[4].starts_with("| **NEW-1**") && rows[4].ends_with("|  | ✓ |"), "{text}");
        assert_eq!(rows[5], "| passed / failed | 1 / 1 | 1 / 1 |");
        let page = matrix_html(&columns);
        assert!(page.contains("✗ failed") && !page.contains("<b>\"") && page.contains("&lt;b&gt;"));
    }

    #[test]
    fn what_is_no_report_says_why() {
        assert!(Column::of_report(&json!({})).unwrap_err().contains("no report of streamspec"));
        assert!(Column::of_report(&json!({ "streamspec_report": 9 })).unwrap_err().contains("version 9"));
        assert_eq!(Column::of_report(&json!({ "streamspec_report": 1, "requirements": [] })).unwrap_err(), "`target` is missing");
        assert_eq!(Column::of_report(&json!({ "streamspec_report": 1, "requirements": [{}] })).unwrap_err(), "a requirement has no `id`");
    }
}
