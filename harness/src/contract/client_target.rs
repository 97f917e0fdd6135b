//! Target files of clients: a client under test, how it is started, and what is known to fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{FileError, Problems, read, short, spot, text_of};
use super::target::Known;
use super::validate::known_requirements;

/// A client under test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTarget {
    /// Name for reports.
    #[serde(default)]
    pub name: String,
    /// The command; the URL of the stream is added as its last word, unless it is an adapter.
    pub command: String,
    /// True when it is an adapter: it takes orders on its standard input, and the command is used as it is.
    #[serde(default)]
    pub adapter: bool,
    /// Environment for the command.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory, relative to this file.
    pub cwd: Option<String>,
    /// Requirements that are known to fail, by id.
    #[serde(default)]
    pub known: BTreeMap<String, Known>,
}

impl ClientTarget {
    /// The target in the file at `path`. Its `cwd` is then relative to the current folder, no longer to the file's.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn load(path: &Path) -> Result<ClientTarget, FileError> {
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let check = |target: &ClientTarget, problems: &mut Problems<'_>| {
            known_requirements(&target.known, problems);
            if let Some(cwd) = target.cwd.as_ref().filter(|cwd| !folder.join(cwd).is_dir()) {
                let what = format!("there is no folder `{}`", short(cwd));
                problems.at(&spot!["cwd"], what, "not found", "give a folder relative to this file");
            }
        };
        let mut target: ClientTarget = read(&path.display().to_string(), &text_of(path, "client target")?, check)?;
        target.cwd = target.cwd.map(|cwd| folder.join(cwd).display().to_string());
        if target.name.is_empty() {
            target.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        Ok(target)
    }
}
