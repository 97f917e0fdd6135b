//! Snapshot files, in the format of the `insta` library: a header between two lines of dashes, then the text.

use std::fmt;
use std::io::Write;
use std::path::Path;

use similar::{ChangeTag, TextDiff};

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where the text comes from: the scenario.
    pub source: String,
    /// The command that makes it.
    pub expression: String,
    /// The text, without the line feed at its end.
    pub contents: String,
}

/// Why a snapshot cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotError(String);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SnapshotError {}

impl Snapshot {
    /// Reads one.
    ///
    /// # Errors
    /// When the file cannot be read, or does not begin with a header.
    pub fn load(path: &Path) -> Result<Snapshot, SnapshotError> {
        let told = |why: String| SnapshotError(format!("the snapshot {} cannot be read: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| told(e.kind().to_string()))?;
        Snapshot::parse(&text).ok_or_else(|| told("it does not begin with a header between two lines `---`".to_owned()))
    }

    fn parse(text: &str) -> Option<Snapshot> {
        let text = text.replace("\r\n", "\n");
        let (header, contents) = text.strip_prefix("---\n")?.split_once("\n---\n")?;
        let field = |name: &str| {
            let value = header.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
            serde_json::from_str(value).ok().or_else(|| Some(value.to_owned()))
        };
        let contents = contents.trim_end_matches('\n').to_owned();
        Some(Snapshot { source: field("source").unwrap_or_default(), expression: field("expression").unwrap_or_default(), contents })
    }

    /// Writes it, by way of a temporary file beside it; the folder is made.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        write!(file, "{self}")?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }

    /// True when both have the same text.
    pub fn agrees(&self, contents: &str) -> bool {
        self.contents == contents.trim_end_matches('\n')
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        writeln!(f, "---\nsource: {}\nexpression: {}\n---\n{}", quoted(&self.source), quoted(&self.expression), self.contents)
    }
}

/// The lines in which two texts differ, with a few around them: `-` what was, `+` what is. Lines are as wide as they are.
pub fn difference(was: &str, is: &str) -> Vec<(char, String)> {
    let diff = TextDiff::from_lines(was, is);
    let mut lines = Vec::new();
    for (nth, group) in diff.grouped_ops(2).iter().enumerate() {
        if nth > 0 {
            lines.push(('…', String::new()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push((sign, change.value().trim_end_matches('\n').to_owned()));
        }
    }
    lines
}
