//! `--baseline` and `--write-baseline`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Complaint, reason, tell};
use crate::contract::{BASELINE_FILE, Baseline, BaselineFile, Known, KnownEntry, Nameable};
use crate::report::{Heading, Tally, replace};

/// Where the failures stand that are known.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct BaselineArgs {
    /// Failures that are known, each with its reason; default: streamspec-baseline.toml, if it is there and a target is named
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<PathBuf>,
    /// Write the baseline as this run would need it: new failures are added, those that are gone are removed
    #[arg(long)]
    pub(super) write_baseline: bool,
}

/// What is tested, as a baseline sees it.
pub(super) struct Tested<'t> {
    /// The rows of its target file.
    pub(super) known: &'t BTreeMap<String, Known>,
    /// Its profile's name.
    pub(super) profile: &'t str,
    /// True for a built-in server, which has a baseline only when one is named.
    pub(super) built_in: bool,
    /// True for a client.
    pub(super) clients: bool,
    /// The names of its scenarios; a client's cases.
    pub(super) scenarios: &'t [String],
}

impl BaselineArgs {
    fn path(&self) -> &Path {
        self.baseline.as_deref().unwrap_or(Path::new(BASELINE_FILE))
    }

    /// What is known of what is tested: the rows of its target file, and the entries of the baseline about its profile.
    pub(super) fn of(&self, tested: &Tested<'_>) -> Result<Baseline, Complaint> {
        let Tested { profile, built_in, .. } = *tested;
        let known = Baseline::of_target(tested.known);
        let path = self.path();
        let wanted = match &self.baseline {
            // A file that is about to be written need not be there.
            Some(path) => !self.write_baseline || path.exists(),
            None => !built_in && path.exists(),
        };
        if self.write_baseline {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if let Err(error) = tempfile::NamedTempFile::new_in(folder) {
                return Err(Complaint::Usage(format!("cannot write the baseline {}: {}", path.display(), reason(&error))));
            }
        }
        if !wanted {
            return Ok(known);
        }
        let file = BaselineFile::load(path, &Nameable { profile, scenarios: tested.scenarios, clients: tested.clients })?;
        Ok(known.and(file, profile))
    }

    /// Writes it, where that is asked and the run was whole; what is known from now on.
    pub(super) fn write(&self, heading: &Heading, tally: &Tally, trouble: &mut Option<String>) -> Option<Baseline> {
        if !self.write_baseline {
            return None;
        }
        if tally.cut_short || !tally.aborted.is_empty() {
            tell("the run was not whole, so the baseline was not written");
            return None;
        }
        let rows = tally.rows();
        let stale: Vec<&KnownEntry> = rows.iter().flat_map(|row| heading.stale(row)).collect();
        let failing = rows.iter().filter(|row| heading.is_failure(row));
        let failures: Vec<(&str, &str)> =
            failing.flat_map(|row| row.failing().into_iter().map(|scenario| (row.requirement.id, scenario))).collect();
        let file = heading.baseline.rewritten(&stale, &failures);
        let path = self.path();
        if let Err(error) = replace(path, file.to_toml().as_bytes()) {
            trouble.get_or_insert(format!("cannot write the baseline {}: {}", path.display(), reason(&error)));
            return None;
        }
        tell(&format!("{}: {} known failures", path.display(), file.failure.len()));
        Some(heading.baseline.clone().and(file, &heading.profile))
    }
}
