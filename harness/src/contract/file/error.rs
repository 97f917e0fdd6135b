//! What is wrong with a file: one problem in front, further ones behind it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// At most this many problems of one file are told at once.
const TOLD: usize = 5;

/// A profile, target or scenario file that cannot be used. It names the file, shows the offending text where there is
/// one, and says what to do next.
#[derive(Debug, Clone)]
pub struct FileError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    source: Option<NamedSource<Arc<str>>>,
    file: String,
    problem: Problem,
    further: Vec<FileError>,
}

/// One problem, at a place in the text.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// Where, in bytes of the text.
    pub(crate) span: Range<usize>,
    /// What is wrong, with the offending text.
    pub(crate) what: String,
    /// The words under the text.
    pub(crate) label: String,
    /// The next step.
    pub(crate) help: String,
}

impl FileError {
    /// Without a text to show: the file cannot be read, or there is none.
    pub(crate) fn unread(file: &str, what: String, help: String) -> FileError {
        let problem = Problem { span: 0..0, what, label: String::new(), help };
        FileError(Box::new(Inner { source: None, file: file.to_owned(), problem, further: Vec::new() }))
    }

    /// All problems of one text, in the order of the text; `None` when there are none.
    pub(crate) fn of(file: &str, text: &str, mut problems: Vec<Problem>) -> Option<FileError> {
        problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
        let more = problems.len().saturating_sub(TOLD);
        problems.truncate(TOLD);
        if let (Some(last), 1..) = (problems.last_mut(), more) {
            last.help = format!("{}; {more} further problems follow", last.help);
        }
        let source = NamedSource::new(file, Arc::<str>::from(text));
        let mut all = problems.into_iter().map(|problem| {
            FileError(Box::new(Inner { source: Some(source.clone()), file: file.to_owned(), problem, further: Vec::new() }))
        });
        let mut first = all.next()?;
        first.0.further = all.collect();
        Some(first)
    }

    /// The file, and the line where a line can be named: `my.toml:7`.
    pub fn place(&self) -> String {
        match &self.0.source {
            Some(source) => {
                let before = &source.inner().as_bytes()[..self.0.problem.span.start.min(source.inner().len())];
                format!("{}:{}", self.0.file, 1 + before.iter().filter(|byte| **byte == b'\n').count())
            }
            None => self.0.file.clone(),
        }
    }

    /// The next step.
    pub fn next_step(&self) -> &str {
        &self.0.problem.help
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.problem.what)
    }
}

impl std::error::Error for FileError {}

impl Diagnostic for FileError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.0.problem.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let source = self.0.source.as_ref()?;
        // A span may end behind the text (an unfinished string at the end of the file); a renderer must be able to show it.
        let len = source.inner().len();
        let start = self.0.problem.span.start.min(len);
        let span = start..self.0.problem.span.end.clamp(start, len);
        let label = (!self.0.problem.label.is_empty()).then(|| self.0.problem.label.clone());
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(label, span))))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.0.further.is_empty() {
            return None;
        }
        Some(Box::new(self.0.further.iter().map(|error| error as &dyn Diagnostic)))
    }
}
