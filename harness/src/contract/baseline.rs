//! Baselines: the failures that a project knows of, so that only what is new fails its run.
//!
//! A baseline has two sources of one form: the `[known]` rows of a target file, which say what an implementation is known to
//! violate wherever it is tested, and a file of entries beside a project's tests, which may name a scenario and a last day.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{FileError, Problems, nearest, read, short, spot, text_of};
use super::validate::known_requirement;
use super::{CLIENT_CATALOGUE, Known};

/// The file that is read where none is named.
pub const BASELINE_FILE: &str = "streamspec-baseline.toml";

/// What stands above the entries of a file that was written here.
const HEAD: &str = "# Failures that are known; `streamspec test` fails on every other one, and when one of these is gone.\n\
                    # `--write-baseline` adds and removes entries, and keeps what was written into those that stay. Comments are not kept.\n\n";

/// A file of known failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineFile {
    /// The failures.
    #[serde(default)]
    pub failure: Vec<KnownEntry>,
}

/// One known failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownEntry {
    /// The requirement's id.
    pub requirement: String,
    /// The scenario in which it fails; without one, wherever it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The profile that it is about, where a file serves several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Why it fails, and where that is tracked.
    pub reason: String,
    /// The last day on which it excuses anything (UTC): `"2027-01-31"`. Without one, it does until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// True when it fails in some runs only: it is run and reported, and never decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
}

/// What is known to fail, on a certain day.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    /// Rows of the target file.
    target: Vec<KnownEntry>,
    /// Entries of the baseline file.
    file: Vec<KnownEntry>,
    /// The day, as `2026-11-21`.
    today: String,
}

/// What a baseline says of a violated requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse<'b> {
    /// Every scenario in which it fails is listed.
    Listed(&'b KnownEntry),
    /// It is listed, and the entry's last day is over.
    Expired(&'b KnownEntry),
    /// It fails somewhere where it is not listed.
    None,
}

/// The scenarios that entries of a file may name.
#[derive(Clone, Copy, Debug)]
pub struct Nameable<'n> {
    /// The profile of the run.
    pub profile: &'n str,
    /// The names of its scenarios; of its cases, where a client is tested.
    pub scenarios: &'n [String],
    /// True where a client is tested.
    pub clients: bool,
}

impl Nameable<'_> {
    /// One file serves the tests of servers and of clients, under any profile.
    fn concerns(&self, entry: &KnownEntry) -> bool {
        let of_clients = CLIENT_CATALOGUE.iter().any(|r| r.id == entry.requirement);
        of_clients == self.clients && entry.profile.as_deref().is_none_or(|of| of == self.profile)
    }

    fn validate(&self, file: &BaselineFile, problems: &mut Problems<'_>) {
        let (what, list) = match self.clients {
            true => ("case", "client-cases` shows"),
            false => ("scenario", "scenarios` shows, or give its folder with --scenarios"),
        };
        for (nth, entry) in file.failure.iter().enumerate().filter(|(_, entry)| self.concerns(entry)) {
            let Some(named) = entry.scenario.as_ref().filter(|named| !self.scenarios.contains(named)) else { continue };
            let near = nearest(named, self.scenarios.iter().map(String::as_str))
                .map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            let wrong = format!("`{}` is no {what} of the profile {}", short(named), self.profile);
            problems.at(&spot!["failure", nth, "scenario"], wrong, "not found", format!("{near}name one that `streamspec list {list}`"));
        }
    }
}

impl Baseline {
    /// The rows of a target file, today.
    pub fn of_target(known: &BTreeMap<String, Known>) -> Baseline {
        let row = |(id, known): (&String, &Known)| KnownEntry {
            requirement: id.clone(),
            scenario: None,
            profile: None,
            reason: known.reason().to_owned(),
            expires: None,
            flaky: known.sometimes(),
        };
        Baseline { target: known.iter().map(row).collect(), file: Vec::new(), today: today() }
    }

    /// With the entries of a file that are about this profile.
    #[must_use]
    pub fn and(mut self, file: BaselineFile, profile: &str) -> Baseline {
        self.file = file.failure.into_iter().filter(|entry| entry.profile.as_deref().is_none_or(|of| of == profile)).collect();
        self
    }

    /// The entries about a requirement.
    pub fn about<'b>(&'b self, requirement: &'b str) -> impl Iterator<Item = &'b KnownEntry> {
        self.target.iter().chain(&self.file).filter(move |entry| entry.requirement == requirement)
    }

    /// True when the entry's last day is over.
    pub fn is_expired(&self, entry: &KnownEntry) -> bool {
        entry.expires.as_ref().is_some_and(|last| *last < self.today)
    }

    /// What is said of a requirement that fails in these scenarios.
    pub fn excuse<'b>(&'b self, requirement: &'b str, scenarios: &[&str]) -> Excuse<'b> {
        let covers = |entry: &KnownEntry, scenario: &str| entry.scenario.as_deref().is_none_or(|of| of == scenario);
        let mut listed = None;
        for scenario in scenarios {
            let of = || self.about(requirement).filter(|entry| covers(entry, scenario));
            match of().find(|entry| !self.is_expired(entry)) {
                // A lasting failure says more than one that comes and goes.
                Some(entry) if listed.is_none_or(|before: &KnownEntry| before.flaky) => listed = Some(entry),
                Some(_) => {}
                None => return of().next().map_or(Excuse::None, Excuse::Expired),
            }
        }
        listed.map_or(Excuse::None, Excuse::Listed)
    }

    /// The file's entries as they should be after a run: without `stale` ones, with one for each of `failures` (requirement and
    /// scenario) that nothing lists. An entry that has expired stays as it is: its day was set in order to be noticed.
    pub fn rewritten(&self, stale: &[&KnownEntry], failures: &[(&str, &str)]) -> BaselineFile {
        let mut entries: Vec<KnownEntry> = self.file.iter().filter(|entry| !stale.contains(entry)).cloned().collect();
        for (requirement, scenario) in failures {
            if self.excuse(requirement, &[*scenario]) == Excuse::None {
                entries.push(KnownEntry {
                    requirement: (*requirement).to_owned(),
                    scenario: Some((*scenario).to_owned()),
                    profile: None,
                    reason: format!("accepted on {}; say why it fails, and where that is tracked", self.today),
                    expires: None,
                    flaky: false,
                });
            }
        }
        entries.sort_by(|a, b| (&a.requirement, &a.scenario).cmp(&(&b.requirement, &b.scenario)));
        BaselineFile { failure: entries }
    }
}

impl BaselineFile {
    /// The file at `path`, for a run of these scenarios.
    ///
    /// # Errors
    /// When it cannot be read or used, lists what is no requirement, an entry has no reason or no day of the calendar, or one that
    /// is about this run names a scenario that there is not.
    pub fn load(path: &Path, run: &Nameable<'_>) -> Result<BaselineFile, FileError> {
        read(&path.display().to_string(), &text_of(path, "baseline")?, |file: &BaselineFile, problems| {
            validate(file, problems);
            run.validate(file, problems);
        })
    }

    /// The file in `text`; `file` is how messages call it.
    ///
    /// # Errors
    /// As [`BaselineFile::load`], but for the names of scenarios.
    pub fn parse(file: &str, text: &str) -> Result<BaselineFile, FileError> {
        read(file, text, validate)
    }

    /// The text of the file.
    pub fn to_toml(&self) -> String {
        format!("{HEAD}{}", toml::to_string(self).expect("texts and flags are TOML"))
    }
}

fn validate(file: &BaselineFile, problems: &mut Problems<'_>) {
    for (nth, entry) in file.failure.iter().enumerate() {
        known_requirement(&entry.requirement, &spot!["failure", nth, "requirement"], problems);
        if entry.reason.trim().is_empty() {
            let what = format!("`{}` is known without a reason", short(&entry.requirement));
            problems.at(&spot!["failure", nth, "reason"], what, "no reason", "say why it fails, and where that is tracked");
        }
        if let Some(day) = entry.expires.as_ref().filter(|day| !is_day(day)) {
            let what = format!("`{}` is no day", short(day));
            problems.at(&spot!["failure", nth, "expires"], what, "no day", "write it as \"2027-01-31\"");
        }
        let same = |other: &KnownEntry| {
            (&other.requirement, &other.scenario, &other.profile) == (&entry.requirement, &entry.scenario, &entry.profile)
        };
        if file.failure[..nth].iter().any(same) {
            let what = format!("`{}` is listed twice for the same scenario", short(&entry.requirement));
            problems.at(&spot!["failure", nth, "requirement"], what, "again", "keep one of the two");
        }
    }
}

/// `2027-01-31`, and a day that there is.
fn is_day(text: &str) -> bool {
    let parsed: Result<toml::value::Datetime, _> = text.parse();
    parsed.is_ok_and(|at| at.date.is_some() && at.time.is_none()) && text.len() == "2027-01-31".len()
}

/// The day, in UTC.
fn today() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    day(since.as_secs() / 86_400)
}

/// The day that follows 1970-01-01 by so many.
fn day(days: u64) -> String {
    // Days since 0000-03-01, in eras of 400 years (the Gregorian calendar repeats after one).
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(requirement: &str, scenario: Option<&str>, expires: Option<&str>) -> KnownEntry {
        let (scenario, expires) = (scenario.map(str::to_owned), expires.map(str::to_owned));
        KnownEntry { requirement: requirement.to_owned(), scenario, profile: None, reason: "because".to_owned(), expires, flaky: false }
    }

    fn baseline(entries: &[KnownEntry]) -> Baseline {
        let file = BaselineFile { failure: entries.to_vec() };
        Baseline { today: "2026-11-21".to_owned(), ..Baseline::default() }.and(file, "sse")
    }

    #[test]
    fn every_scenario_that_fails_must_be_listed() {
        let listed = baseline(&[entry("SEAM-1", Some("a"), None), entry("SEAM-1", Some("b"), None), entry("RESUME-1", None, None)]);
        assert!(matches!(listed.excuse("SEAM-1", &["a", "b"]), Excuse::Listed(_)));
        assert_eq!(listed.excuse("SEAM-1", &["a", "c"]), Excuse::None);
        assert_eq!(listed.excuse("SEAM-2", &["a"]), Excuse::None);
        assert!(matches!(listed.excuse("RESUME-1", &["x", "y"]), Excuse::Listed(_)));
    }

    #[test]
    fn the_last_day_is_a_day_of_grace() {
        let on = |day| baseline(&[entry("SEAM-1", None, Some(day))]);
        assert!(matches!(on("2026-11-21").excuse("SEAM-1", &["a"]), Excuse::Listed(_)));
        assert!(matches!(on("2026-11-20").excuse("SEAM-1", &["a"]), Excuse::Expired(_)));
    }

    #[test]
    fn rewriting_keeps_reasons_drops_what_is_stale_and_leaves_what_has_expired() {
        let stale = entry("RESUME-1", None, None);
        let listed = baseline(&[entry("SEAM-1", Some("a"), Some("2020-01-01")), stale.clone(), entry("SEAM-2", Some("a"), None)]);
        let file = listed.rewritten(&[&stale], &[("SEAM-1", "a"), ("SEAM-2", "a"), ("SEAM-2", "b")]);
        let rows: Vec<_> = file
            .failure
            .iter()
            .map(|e| (e.requirement.as_str(), e.scenario.as_deref().unwrap_or(""), e.reason.starts_with("because")))
            .collect();
        assert_eq!(rows, [("SEAM-1", "a", true), ("SEAM-2", "a", true), ("SEAM-2", "b", false)]);
        assert_eq!(BaselineFile::parse("b.toml", &file.to_toml()).unwrap(), file, "and what is written can be read");
        let nothing = BaselineFile::default();
        assert_eq!(BaselineFile::parse("b.toml", &nothing.to_toml()).unwrap(), nothing);
    }

    #[test]
    fn entries_about_another_profile_are_passed_over() {
        let other = KnownEntry { profile: Some("hermes".to_owned()), ..entry("SEAM-1", None, None) };
        assert_eq!(baseline(&[other]).excuse("SEAM-1", &["a"]), Excuse::None);
    }

    #[test]
    fn what_is_wrong_with_an_entry_is_named() {
        let wrong = |text: &str| BaselineFile::parse("b.toml", text).unwrap_err().to_string();
        let with = |more: &str| format!("[[failure]]\nrequirement = \"SEAM-1\"\nreason = \"x\"\n{more}");
        assert_eq!(wrong(&with("expires = \"2026-02-30\"")), "`2026-02-30` is no day");
        assert_eq!(wrong(&with("expires = \"soon\"")), "`soon` is no day");
        assert_eq!(wrong(&with("").replace("SEAM-1", "SEAM-99")), "there is no requirement `SEAM-99`");
        assert_eq!(wrong(&with("").replace("\"x\"", "\" \"")), "`SEAM-1` is known without a reason");
        assert_eq!(wrong(&format!("{}{}", with(""), with(""))), "`SEAM-1` is listed twice for the same scenario");
        assert!(wrong(&with("scenari = \"x\"")).contains("scenari"));
    }

    #[test]
    fn days_around_the_ends_of_months_and_years() {
        let days: Vec<String> = [0, 11_016, 20_088, 20_778].map(day).into();
        assert_eq!(days, ["1970-01-01", "2000-02-29", "2024-12-31", "2026-11-21"]);
    }
}
