//! How broken clients misread bytes before they are decoded: the parser's part of the catalogue of bugs.
//!
//! Without bugs every chunk passes as it came.

use std::borrow::Cow;

use super::bugs::{Bug, BugSet};

/// What a broken parser carries from chunk to chunk.
#[derive(Debug, Default)]
pub(super) struct Mangle {
    begun: bool,
    held: bool,
}

impl Mangle {
    /// What the parser takes the chunk for.
    pub(super) fn chunk<'c>(&mut self, chunk: &'c [u8], bugs: BugSet) -> Cow<'c, [u8]> {
        let mut bytes = Cow::Borrowed(chunk);
        if bugs.has(Bug::KeepsMark) && !self.begun && chunk.starts_with(MARK) {
            bytes = [MARK, &bytes].concat().into();
        }
        self.begun = true;
        if bugs.has(Bug::LfOnly) {
            bytes = replaced(&bytes, &[(b"\r", b"\x0b")]).into();
        }
        if bugs.has(Bug::PhantomLine) && bytes.ends_with(b"\r") {
            bytes.to_mut().push(b'\n');
        }
        if bugs.has(Bug::ChunkIsText) {
            bytes = String::from_utf8_lossy(&bytes).into_owned().into_bytes().into();
        }
        if bugs.has(Bug::CommentEndsBlock) {
            bytes = replaced(&bytes, &[(b"\n:", b"\n\n:")]).into();
        }
        if bugs.has(Bug::CaselessFields) {
            bytes = replaced(&bytes, &[(b"\nDATA:", b"\ndata:"), (b"\nData:", b"\ndata:")]).into();
        }
        if bugs.has(Bug::UnicodeLines) {
            bytes =
                replaced(&bytes, &[("\u{85}".as_bytes(), b"\n"), ("\u{2028}".as_bytes(), b"\n"), ("\u{2029}".as_bytes(), b"\n")]).into();
        }
        if bugs.has(Bug::HoldsCr) {
            if std::mem::take(&mut self.held) {
                bytes = [b"\r", bytes.as_ref()].concat().into();
            }
            if bytes.ends_with(b"\r") {
                bytes.to_mut().pop();
                self.held = true;
            }
        }
        bytes
    }
}

const MARK: &[u8] = "\u{feff}".as_bytes();

fn replaced(bytes: &[u8], changes: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match changes.iter().find(|(from, _)| bytes[at..].starts_with(from)) {
            Some((from, to)) => {
                out.extend_from_slice(to);
                at += from.len();
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}
