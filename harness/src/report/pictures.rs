//! Pictures of failures, each an SVG file of its own in a folder.

use std::io;
use std::path::PathBuf;

use crate::check::Violation;
use crate::history::History;

use super::document::replace;
use super::event::{Event, Sink};
use super::picture::{Drawing, Picture};

/// A folder for pictures; files that are there already stay, unless one has the same name.
#[derive(Debug)]
pub struct Pictures {
    folder: PathBuf,
}

impl Pictures {
    /// The folder, made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn in_folder(folder: PathBuf) -> io::Result<Pictures> {
        std::fs::create_dir_all(&folder)?;
        Ok(Pictures { folder })
    }
}

impl Sink for Pictures {
    fn hear(&mut self, event: &Event<'_>) -> io::Result<()> {
        let Event::RunFinished { suites, .. } = event else { return Ok(()) };
        for suite in *suites {
            for row in &suite.tally.rows() {
                for (nth, failure) in row.failures.iter().enumerate() {
                    let stem = format!("{}-{}-{}-{}", suite.heading.profile, row.requirement.id, failure.case, nth + 1);
                    let title = format!("{}: {}", row.requirement.id, failure.violation.says);
                    replace(&self.folder.join(format!("{}.svg", plain(&stem))), Drawing::of(&failure.picture).file(&title).as_bytes())?;
                }
            }
        }
        Ok(())
    }
}

/// What is a file's name everywhere.
fn plain(text: &str) -> String {
    let dashed: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-").chars().take(120).collect()
}

/// The whole of a history as an SVG file.
pub(crate) fn svg_of_history(history: &History, violation: Option<&Violation>) -> String {
    Drawing::of(&Picture::of_history(history, violation)).file(&history.header.scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_a_name_of_a_file() {
        assert_eq!(plain("sse-SEAM-1-cut-at-every-event[7]-1"), "sse-SEAM-1-cut-at-every-event-7-1");
        assert_eq!(plain("../../x"), "x");
    }
}
