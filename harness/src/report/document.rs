//! Reports that are one file, written when the run is over.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::event::{Event, Finished, Sink};

/// What a run came to, as a text.
type Render = fn(&[Finished<'_>], u8) -> String;

/// A file that is replaced as a whole when the run is over.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    render: Render,
}

impl Document {
    /// The file at `path`, with what `render` makes of the run.
    pub fn new(path: PathBuf, render: Render) -> Document {
        Document { path, render }
    }
}

impl Sink for Document {
    fn hear(&mut self, event: &Event<'_>) -> io::Result<()> {
        let Event::RunFinished { suites, exit } = event else { return Ok(()) };
        replace(&self.path, (self.render)(suites, *exit).as_bytes())
    }
}

/// Writes a file by way of a temporary one beside it, so that one that is there is replaced whole or not at all.
///
/// # Errors
/// When the folder is not there or cannot be written to.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    // A temporary file is its owner's alone; a report is for whoever may read its folder's other files.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
