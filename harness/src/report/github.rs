//! Annotations of GitHub's job pages, and the job's summary.
//!
//! Annotations go to standard error, which the runner reads as it does standard output: the last line there stays the count.

use std::io::{self, Write};
use std::path::PathBuf;

use super::escape::bounded;
use super::event::{Event, Finished, Sink};
use super::heading::Outcome;
use super::markdown::job_summary;
use super::page::visible;

/// More bytes of a summary than this GitHub refuses altogether.
const SUMMARY: usize = 1_000_000;

/// Writes both when the run is over.
#[derive(Debug)]
pub struct GitHub {
    /// The file to whose end the summary goes, if there is one.
    summary: Option<PathBuf>,
}

impl GitHub {
    /// With the file that `GITHUB_STEP_SUMMARY` names.
    pub fn of_environment() -> GitHub {
        GitHub { summary: std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from) }
    }

    /// True inside a job of GitHub's.
    pub fn is_there() -> bool {
        std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true")
    }
}

impl Sink for GitHub {
    fn hear(&mut self, event: &Event<'_>) -> io::Result<()> {
        let Event::RunFinished { suites, exit } = event else { return Ok(()) };
        let said = annotations(suites);
        // Nobody reads it: no reason to fail.
        let _ = io::stderr().lock().write_all(said.as_bytes());
        let Some(path) = &self.summary else { return Ok(()) };
        let mut text = job_summary(suites, *exit);
        if text.len() > SUMMARY {
            text.truncate(text.floor_char_boundary(SUMMARY));
            text.push_str("\n\n(cut: the whole report is longer than a job's summary may be)\n");
        }
        std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
    }
}

/// One workflow command a line.
fn annotations(suites: &[Finished<'_>]) -> String {
    let mut out = String::new();
    let mut add = |level: &str, title: &str, text: &str| {
        out.push_str(&format!("::{level} title={}::{}\n", property(title), message(text)));
    };
    for suite in suites {
        for row in &suite.tally.rows() {
            let (id, says) = (row.requirement.id, row.requirement.says);
            let first = row.failures.first().map_or("", |failure| failure.violation.says.as_str());
            let title = format!("{} {id}", suite.heading.profile);
            match suite.heading.outcome(row) {
                Outcome::Failed => add("error", &title, &format!("{says}: {first}")),
                Outcome::Stale { reason } => add("error", &title, &format!("listed as known to fail ({reason}), and it held")),
                Outcome::Inconclusive(why) if row.undecided() => add("error", &title, &format!("inconclusive: {why}")),
                Outcome::Warned => add("warning", &title, &format!("{says}: {first}")),
                Outcome::Known { reason, .. } => add("notice", &title, &format!("known to fail: {reason}")),
                Outcome::Unscored(how) => {
                    add("notice", &title, &format!("unscored, newer than the requirements that were asked for: {how}"))
                }
                Outcome::Passed | Outcome::Inconclusive(_) | Outcome::NotApplicable(_) | Outcome::NotObservable(_) => {}
            }
        }
        for (case, why, _) in &suite.tally.aborted {
            add("error", &format!("{} {case}", suite.heading.profile), &format!("not finished: {why}"));
        }
    }
    out
}

fn message(text: &str) -> String {
    visible(&bounded(text)).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_no_commands() {
        assert_eq!(message("50%\n::error::x\r"), "50%25%0A::error::x\\r");
        assert_eq!(property("sse: SEAM-1, twice"), "sse%3A SEAM-1%2C twice");
    }
}
