//! `--report FORMAT=PATH`: which reports are asked for, and that they can be written, found out before a long run.

use std::path::{Path, PathBuf};

use super::exit;
use super::{Complaint, reason, tell};
use crate::check::Finding;
use crate::report::{
    Document, Event, Failure, Finished, GitHub, Ndjson, Pictures, Sink, html, job_summary, json_document, junit, sarif, tap,
};
use crate::run::Abort;
use crate::run::suite::{Case, Told};

/// What a report is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Junit,
    Ndjson,
    Tap,
    Markdown,
    Sarif,
    Html,
    Svg,
    GitHub,
}

/// Every format by its word.
const FORMATS: &[(&str, Format)] = &[
    ("json", Format::Json),
    ("junit", Format::Junit),
    ("ndjson", Format::Ndjson),
    ("tap", Format::Tap),
    ("md", Format::Markdown),
    ("sarif", Format::Sarif),
    ("html", Format::Html),
    ("svg", Format::Svg),
    ("github", Format::GitHub),
];

/// A report to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    format: Format,
    /// Where; empty for a format that needs no path.
    path: PathBuf,
}

/// Reads `html=PATH`, the one report that a campaign has.
pub(super) fn campaign_page(text: &str) -> Result<PathBuf, String> {
    match report(text)? {
        Report { format: Format::Html, path } => Ok(path),
        Report { .. } => Err("a campaign has a page alone: write html=PATH, such as html=fuzz.html".to_owned()),
    }
}

/// Finds out before a campaign that its page can be written.
pub(super) fn page_keepable(path: &Path) -> Result<(), Complaint> {
    keepable(&[Report { format: Format::Html, path: path.to_path_buf() }], None)
}

/// Reads `FORMAT=PATH`.
pub(super) fn report(text: &str) -> Result<Report, String> {
    let (word, path) = text.split_once('=').map_or((text, None), |(word, path)| (word, Some(path)));
    let words: Vec<&str> = FORMATS.iter().map(|(word, _)| *word).collect();
    let Some((_, format)) = FORMATS.iter().find(|(known, _)| *known == word) else {
        return Err(format!("there is no report format `{word}`; there are: {}", words.join(", ")));
    };
    match (format, path) {
        (Format::GitHub, None) => Ok(Report { format: *format, path: PathBuf::new() }),
        (Format::GitHub, Some(_)) => Err("`github` takes no path: it writes to the job's log and summary".to_owned()),
        (_, Some(path)) if !path.is_empty() && path != "-" => Ok(Report { format: *format, path: path.into() }),
        (Format::Svg, _) => Err("write FORMAT=DIR, such as svg=pictures".to_owned()),
        (_, Some("-")) => Err(format!("a report is a file, and `-` is none; name one, such as {word}=report.{}", ending(*format))),
        (_, _) => Err(format!("write FORMAT=PATH, such as {word}=report.{}", ending(*format))),
    }
}

fn ending(format: Format) -> &'static str {
    match format {
        Format::Json => "json",
        Format::Junit => "xml",
        Format::Ndjson => "ndjson",
        Format::Tap => "tap",
        Format::Markdown | Format::GitHub => "md",
        Format::Sarif => "sarif",
        Format::Html => "html",
        Format::Svg => "svg",
    }
}

/// Finds out before a long run that what it brings cannot be kept.
pub(super) fn keepable(reports: &[Report], history: Option<&Path>) -> Result<(), Complaint> {
    for (nth, report) in reports.iter().enumerate() {
        let path = &report.path;
        if report.format == Format::GitHub {
            continue;
        }
        let cannot = |why: String| Err(Complaint::Usage(format!("cannot write the report {}: {why}", path.display())));
        if reports[..nth].iter().any(|other| other.path == *path) {
            return cannot("two reports have this path; give each its own".to_owned());
        }
        if report.format == Format::Svg {
            if path.exists() && !path.is_dir() {
                return cannot("it is a file; name a folder for the pictures".to_owned());
            }
            if let Err(error) = std::fs::create_dir_all(path).and_then(|()| tempfile::NamedTempFile::new_in(path)) {
                return cannot(reason(&error));
            }
            continue;
        }
        if path.is_dir() {
            return cannot("it is a folder; name a file in it".to_owned());
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return cannot(format!("there is no folder {}", folder.display()));
        }
        if let Err(error) = tempfile::NamedTempFile::new_in(folder) {
            return cannot(reason(&error));
        }
    }
    if let Some(folder) = history {
        let made = std::fs::create_dir_all(folder).and_then(|()| tempfile::NamedTempFile::new_in(folder));
        made.map_err(|e| Complaint::Usage(format!("cannot keep histories in {}: {}", folder.display(), reason(&e))))?;
    }
    Ok(())
}

/// True when a report shows what stood on the wire.
pub(super) fn shows_bytes(reports: &[Report]) -> bool {
    reports.iter().any(|report| report.format == Format::Html)
}

/// The reports in the making.
#[derive(Default)]
pub(super) struct Reports {
    sinks: Vec<(String, Box<dyn Sink>)>,
    /// What could not be written first.
    trouble: Option<String>,
}

impl Reports {
    /// Opens them; inside a job of GitHub's its own comes by itself.
    pub(super) fn open(asked: &[Report]) -> Result<Reports, Complaint> {
        keepable(asked, None)?;
        let mut reports = Reports::default();
        for Report { format, path } in asked {
            let document = |render| -> Box<dyn Sink> { Box::new(Document::new(path.clone(), render)) };
            let sink: Box<dyn Sink> = match format {
                Format::Json => document(json_document),
                Format::Junit => document(junit),
                Format::Tap => document(tap),
                Format::Markdown => document(job_summary),
                Format::Sarif => document(sarif),
                Format::Html => document(html),
                Format::Svg => {
                    let pictures = Pictures::in_folder(path.clone());
                    Box::new(pictures.map_err(|e| Complaint::Usage(format!("cannot write to {}: {}", path.display(), reason(&e))))?)
                }
                Format::GitHub => continue,
                Format::Ndjson => {
                    let file = Ndjson::create(path);
                    Box::new(file.map_err(|e| Complaint::Usage(format!("cannot write the report {}: {}", path.display(), reason(&e))))?)
                }
            };
            reports.sinks.push((path.display().to_string(), sink));
        }
        if GitHub::is_there() || asked.iter().any(|report| report.format == Format::GitHub) {
            reports.sinks.push(("the job's summary".to_owned(), Box::new(GitHub::of_environment())));
        }
        Ok(reports)
    }

    /// Hands an event to each. One that cannot be written is given up, and told at the end.
    pub(super) fn hear(&mut self, event: &Event<'_>) {
        let trouble = &mut self.trouble;
        self.sinks.retain_mut(|(name, sink)| match sink.hear(event) {
            Ok(()) => true,
            Err(error) => {
                trouble.get_or_insert(format!("cannot write {name}: {error}"));
                false
            }
        });
    }

    /// A case of a server as it is told by its suite, with what was violated in it.
    pub(super) fn hear_case(&mut self, profile: &str, told: &Told, show: impl Fn(&Case, &crate::check::Violation) -> Failure) {
        let case = match told {
            Told::Started(begun) => {
                return self.hear(&Event::CaseStarted { profile, case: &begun.case, repetition: begun.repetition });
            }
            Told::Finished(case) => case,
        };
        if self.sinks.is_empty() {
            return;
        }
        let repetition = case.repetition;
        for verdict in &case.verdicts {
            if let Finding::Fail { violations, count, .. } = &verdict.finding
                && let Some(first) = violations.first()
            {
                let failure = show(case, first);
                self.hear(&Event::Violated { profile, repetition, requirement: &verdict.requirement, count: *count, failure: &failure });
            }
        }
        let aborted = case.aborted.as_ref().map(|abort| match abort {
            Abort::ServerDied(why) | Abort::CouldNot(why) => why.as_str(),
            Abort::Interrupted => "interrupted",
        });
        self.hear(&Event::CaseFinished {
            profile,
            case: &case.scenario.name,
            repetition,
            seconds: case.elapsed.as_secs_f64(),
            aborted,
            verdicts: &case.verdicts,
        });
    }

    /// The run is over: writes what is written then. The exit code, which says so when something could not be.
    pub(super) fn finish(mut self, suites: &[Finished<'_>], exit: u8) -> u8 {
        self.hear(&Event::RunFinished { suites, exit });
        match self.trouble {
            Some(why) => {
                tell(&format!("error: {why}"));
                exit::USAGE
            }
            None => exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_format_and_a_path() {
        assert_eq!(report("junit=a=b.xml").unwrap(), Report { format: Format::Junit, path: "a=b.xml".into() });
        assert_eq!(report("github").unwrap().format, Format::GitHub);
        assert!(report("xml=x").unwrap_err().contains("there is no report format `xml`; there are: json, junit, ndjson"));
        assert_eq!(report("json").unwrap_err(), "write FORMAT=PATH, such as json=report.json");
        assert_eq!(report("sarif=").unwrap_err(), "write FORMAT=PATH, such as sarif=report.sarif");
        assert!(report("junit=-").unwrap_err().contains("`-` is none"), "a file of that name is what nobody meant");
        assert!(report("github=x").is_err());
    }

    #[test]
    fn what_cannot_be_written_is_told_before_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| Report { format: Format::Json, path: dir.path().join(path) };
        let why = |reports: &[Report]| match keepable(reports, None) {
            Err(Complaint::Usage(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(&[at("")]).contains("it is a folder"));
        assert!(why(&[at("no/x.json")]).contains("there is no folder"));
        assert!(why(&[at("x"), at("x")]).contains("two reports have this path"));
        assert!(keepable(&[at("x"), at("y")], None).is_ok());
    }
}
