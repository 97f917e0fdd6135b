//! Failures as files: the scenario, what was observed, and what is known about it.
//!
//! Three files of one name: `NAME.toml` is a scenario like any other, `NAME.ndjson` the observed history, `NAME.json` what
//! is needed to say later whether it is repaired.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lab::Signature;
use super::rate::Rate;
use super::shrink::faults;
use crate::check::Violation;
use crate::contract::requirement;
use crate::history::History;
use crate::scenario::{Scenario, Step};

/// What is known about a failure.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct About {
    /// Version of the format; readers refuse what they do not know.
    pub streamspec_failure: u32,
    /// What is violated.
    #[serde(flatten)]
    pub signature: Signature,
    /// How it shows, in one sentence.
    pub says: String,
    /// What should have been seen.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// How often it failed, alone and in its final form.
    pub rate: Rate,
    /// True when it was seen once, beside other cases, and in none of the runs that it had alone.
    pub never_alone: bool,
    /// True when there was no time to try everything that is smaller.
    #[serde(default)]
    pub gave_up: bool,
    /// Other violations that the same scenario shows.
    pub also: Vec<Signature>,
    /// The profile's name.
    pub profile: String,
    /// The seed of the campaign.
    pub seed: String,
}

impl About {
    /// The version that this streamspec writes.
    pub const VERSION: u32 = 1;

    /// What stands beside the scenario in `path`, if anything does.
    ///
    /// # Errors
    /// When it cannot be read, or is of another version.
    pub fn beside(path: &Path) -> Result<Option<About>, String> {
        let path = path.with_extension("json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let wrong = |why: String| format!("{} is no description of a failure: {why}; remove it, or find the failure again", path.display());
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        match value.get("streamspec_failure").and_then(serde_json::Value::as_u64) {
            Some(1) => serde_json::from_value(value).map(Some).map_err(|e| wrong(e.to_string())),
            Some(other) => Err(wrong(format!("version {other} of the format; this streamspec reads version {}", About::VERSION))),
            None => Err(wrong("`streamspec_failure` is missing".to_owned())),
        }
    }
}

/// A failure that a campaign found.
#[derive(Debug)]
pub struct Failure {
    /// The scenario, as small as it was made.
    pub scenario: Scenario,
    /// What was observed in a run of it that failed.
    pub history: History,
    /// The violation in that history.
    pub violation: Violation,
    /// What is known about it.
    pub about: About,
    /// Steps before it was shrunk.
    pub found_with: usize,
    /// How many cases had been run when it was found.
    pub after_cases: u64,
    /// How long the campaign had run by then.
    pub after: Duration,
    /// How long it took to reproduce it, to shrink it and to label it.
    pub shrunk_in: Duration,
}

impl Failure {
    /// How many of its steps are faults, or carry one.
    pub fn faults(&self) -> usize {
        faults(&self.scenario.steps)
    }

    /// Writes the three files into `folder` under a name that is not taken; the path of the scenario.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn save(&mut self, folder: &Path) -> io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        self.name_for(folder);
        let path = folder.join(format!("{}.toml", self.scenario.name));
        let about = serde_json::to_vec_pretty(&self.about).map_err(io::Error::other)?;
        write_whole(&path.with_extension("json"), &about)?;
        self.history.save(&path.with_extension("ndjson"))?;
        write_whole(&path, self.text().as_bytes())?;
        Ok(path)
    }

    /// Writes the scenario alone into `folder`, where a project keeps its own.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn save_scenario(&mut self, folder: &Path) -> io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        self.name_for(folder);
        let path = folder.join(format!("{}.toml", self.scenario.name));
        write_whole(&path, self.text().as_bytes())?;
        Ok(path)
    }

    /// The scenario's file.
    pub fn text(&self) -> String {
        let beside = if self.about.never_alone { ", beside other cases and never alone" } else { "" };
        self.scenario.to_toml(&format!(
            "{} ({}), failed {}{beside}\n{}\nfound by `streamspec fuzz --seed {}`",
            self.about.signature.requirement, self.about.signature.shape, self.about.rate, self.about.says, self.about.seed
        ))
    }

    /// A name that says what it is about, and is not taken in `folder`.
    fn name_for(&mut self, folder: &Path) {
        let base = name(&self.about.signature, &self.scenario.steps);
        let free = (1..).map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") });
        let free = free.into_iter().find(|name| !folder.join(format!("{name}.toml")).exists());
        self.scenario.name = free.unwrap_or(base);
        self.history.header.scenario.clone_from(&self.scenario.name);
    }
}

/// `resume-2-cut-resume`: the requirement, and what it takes beside opening, publishing and reading.
pub(crate) fn name(signature: &Signature, steps: &[Step]) -> String {
    let mut words = vec![signature.requirement.to_lowercase()];
    for step in steps {
        let word = match step {
            Step::Open(_)
            | Step::Publish(_)
            | Step::Subscribe(_)
            | Step::Await(_)
            | Step::Join(_)
            | Step::Unstall(_)
            | Step::Release(_) => {
                continue;
            }
            other => crate::run::in_words(other).split(' ').next().unwrap_or_default().to_owned(),
        };
        if !words.contains(&word) && words.len() < 4 {
            words.push(word);
        }
    }
    words.join("-")
}

/// The scenario of a failure: for the requirement, in its words.
pub(crate) fn scenario(signature: &Signature, steps: Vec<Step>) -> Scenario {
    let says = requirement(&signature.requirement).map_or("", |r| r.says);
    let mut scenario = super::mend::scenario(&name(signature, &steps), says, steps);
    scenario.judges = vec![signature.requirement.clone()];
    scenario
}

/// Replaces a file whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|e| e.error).map(drop)
}
