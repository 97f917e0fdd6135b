//! `--baseline` and `--write-baseline`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::plan::Resolved;
use super::{Complaint, tell};
use crate::contract::{BASELINE_FILE, Baseline, BaselineFile, KnownEntry};
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

impl BaselineArgs {
    fn path(&self) -> &Path {
        self.baseline.as_deref().unwrap_or(Path::new(BASELINE_FILE))
    }

    /// What is known of this target, whose scenarios have these names.
    pub(super) fn of(&self, resolved: &Resolved, scenarios: &[String]) -> Result<Baseline, Complaint> {
        let known = Baseline::of_target(&resolved.target.known);
        let path = self.path();
        let wanted = match &self.baseline {
            // A file that is about to be written need not be there.
            Some(path) => !self.write_baseline || path.exists(),
            None => !resolved.built_in && path.exists(),
        };
        if self.write_baseline {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if let Err(error) = tempfile::NamedTempFile::new_in(folder) {
                return Err(Complaint::Usage(format!("cannot write the baseline {}: {}", path.display(), error.kind())));
            }
        }
        if !wanted {
            return Ok(known);
        }
        let name = &resolved.profile.name;
        Ok(known.and(BaselineFile::load(path, name, scenarios)?, name))
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
            trouble.get_or_insert(format!("cannot write the baseline {}: {}", path.display(), error.kind()));
            return None;
        }
        tell(&format!("{}: {} known failures", path.display(), file.failure.len()));
        Some(heading.baseline.clone().and(file, &heading.profile))
    }
}
