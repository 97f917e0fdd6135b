//! Comparing the runs of `streamspec test` with golden transcripts.
//!
//! Another right implementation may order its headers' values or name its events as it likes within the protocol, so a
//! difference fails a test only when snapshots were asked for with `--snapshots`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::contract::Profile;
use crate::report::{Page, drawn_difference};
use crate::run::suite::Case;
use crate::scenario::{Scenario, places};
use crate::transcript::{Snapshot, transcript};

/// Where snapshots are looked for when nobody says.
const USUAL: &str = "snapshots";
/// Of how many scenarios the differences are printed.
const MOST_SHOWN: usize = 3;

/// Golden transcripts, and what came of the comparisons.
pub(super) struct Golden {
    folder: PathBuf,
    asked: bool,
    snapshots: BTreeMap<String, Snapshot>,
    same: usize,
    /// By scenario: what it is now, or why it has no transcript.
    differs: BTreeMap<String, Result<String, String>>,
}

impl Golden {
    /// The snapshots of these scenarios; `asked` names their folder. An error names a file that is none.
    pub(super) fn of(asked: Option<&Path>, profile: &Profile, scenarios: &[Scenario]) -> Result<Golden, String> {
        let folder = asked.unwrap_or(Path::new(USUAL)).join(&profile.name);
        if let Some(asked) = asked
            && !asked.is_dir()
        {
            return Err(format!("there is no folder {} with snapshots; `streamspec record` writes them", asked.display()));
        }
        let mut snapshots = BTreeMap::new();
        for scenario in scenarios.iter().filter(|scenario| places(scenario).is_none()) {
            let path = folder.join(format!("{}.snap", scenario.name));
            if path.is_file() {
                snapshots.insert(scenario.name.clone(), Snapshot::load(&path).map_err(|e| e.to_string())?);
            }
        }
        Ok(Golden { folder, asked: asked.is_some(), snapshots, same: 0, differs: BTreeMap::new() })
    }

    /// The scenarios that have one.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.snapshots.keys().cloned().collect()
    }

    /// Compares a run with its scenario's snapshot, if there is one.
    pub(super) fn compare(&mut self, case: &Case, profile: &Profile) {
        let Some(snapshot) = self.snapshots.get(&case.base).filter(|_| case.aborted.is_none()) else { return };
        match transcript(&case.history, profile, &case.scenario.transcript.and(&profile.transcript)) {
            Ok(text) if snapshot.agrees(&text) => self.same += 1,
            other => {
                self.differs.entry(case.base.clone()).or_insert(other);
            }
        }
    }

    /// True when a difference was asked to be a failure, and there is one.
    pub(super) fn fails(&self) -> bool {
        self.asked && !self.differs.is_empty()
    }

    /// What differs, for people; empty when nothing does.
    pub(super) fn report(&self, page: Page) -> String {
        let mut out = String::new();
        for (nth, (name, is)) in self.differs.iter().enumerate() {
            let path = self.folder.join(format!("{name}.snap"));
            let level = if self.asked { "TRANSCRIPT" } else { "TRANSCRIPT (MAY)" };
            match is {
                Ok(_) if nth >= MOST_SHOWN => out.push_str(&format!("{level} {name} differs from {}\n", path.display())),
                Ok(text) => {
                    out.push_str(&format!("{level} {name} differs from {} (- there, + here):\n", path.display()));
                    out.push_str(&drawn_difference(&self.snapshots[name].contents, text, page));
                }
                Err(why) => out.push_str(&format!("{level} {name} cannot be compared: {why}\n")),
            }
        }
        if !self.differs.is_empty() {
            let next = if self.asked {
                "a change on purpose: `streamspec record` with the same target, then `streamspec review`"
            } else {
                "no failure: another right server may differ; --snapshots makes it one"
            };
            out.push_str(&format!("{} of {} transcripts as they were; {next}\n\n", self.same, self.same + self.differs.len()));
        }
        page.fit(out)
    }
}
