//! History files: newline-delimited JSON, the header first, then a record a line.

use std::fmt;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;

use super::{Header, History};

/// Why a history file cannot be read.
#[derive(Debug)]
pub struct HistoryError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, with the offending text.
    pub what: String,
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for HistoryError {}

impl History {
    /// Writes it to `path`, by way of a temporary file beside it, so that a file there is replaced whole or not at all.
    ///
    /// # Errors
    /// When the folder is not there or cannot be written to.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(folder)?;
        let mut out = BufWriter::new(file);
        self.write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.persist(path).map_err(|e| e.error)?;
        Ok(())
    }

    /// Writes it to `out`.
    ///
    /// # Errors
    /// When `out` does.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.header)?;
        out.write_all(b"\n")?;
        for record in &self.records {
            serde_json::to_writer(&mut *out, record)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Reads one.
    ///
    /// # Errors
    /// When a line is none of a history's, or the version is unknown; the error names the line and its text.
    pub fn read(mut from: impl BufRead) -> Result<History, HistoryError> {
        let mut line = String::new();
        let mut number = 0;
        let mut next = |line: &mut String| -> Result<bool, HistoryError> {
            line.clear();
            number += 1;
            from.read_line(line).map(|n| n > 0).map_err(|e| HistoryError { line: number, what: e.to_string() })
        };
        if !next(&mut line)? {
            return Err(HistoryError { line: 1, what: "the file is empty; a history begins with its header".to_owned() });
        }
        let wrong = |number: usize, line: &str, e: &serde_json::Error| {
            let shown: String = line.trim_end().chars().take(80).collect();
            HistoryError { line: number, what: format!("{e}: `{shown}`") }
        };
        let header: Header = serde_json::from_str(&line).map_err(|e| wrong(1, &line, &e))?;
        if header.streamspec_history != History::VERSION {
            let what = format!("version {} of the format; this streamspec reads version {}", header.streamspec_history, History::VERSION);
            return Err(HistoryError { line: 1, what });
        }
        let mut records = Vec::new();
        while next(&mut line)? {
            if !line.trim().is_empty() {
                records.push(serde_json::from_str(&line).map_err(|e| wrong(records.len() + 2, &line, &e))?);
            }
        }
        Ok(History { header, records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Micros, Process, Record, What};

    fn history() -> History {
        let header = Header { streamspec_history: 1, profile: "sse".to_owned(), scenario: "x[3]".to_owned(), seed: 7 };
        let records = vec![
            Record { at: Micros(5), what: What::Process(Process::Gone) },
            Record { at: Micros(9), what: What::Process(Process::Ready { pid: 4, generation: 1, wiped: false }) },
        ];
        History { header, records }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.ndjson");
        history().save(&path).unwrap();
        let read = History::read(io::BufReader::new(std::fs::File::open(&path).unwrap())).unwrap();
        assert_eq!(read, history());
    }

    #[test]
    fn a_wrong_line_is_named() {
        let mut bytes = Vec::new();
        history().write(&mut bytes).unwrap();
        bytes.extend_from_slice(b"{\"at\":10,\"what\":{\"nonsense\":1}}\n");
        let error = History::read(bytes.as_slice()).unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.what.contains("nonsense"), "{error}");
        assert!(History::read("".as_bytes()).unwrap_err().what.contains("empty"));
        let newer = b"{\"streamspec_history\":9,\"profile\":\"\",\"scenario\":\"\",\"seed\":0}\n";
        assert!(History::read(newer.as_slice()).unwrap_err().what.contains("version 9"));
    }
}
