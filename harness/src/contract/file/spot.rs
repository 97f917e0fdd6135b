//! Where a value stands in a TOML text.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seg {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

impl From<&str> for Seg {
    fn from(key: &str) -> Seg {
        Seg::Key(key.to_owned())
    }
}

impl From<usize> for Seg {
    fn from(index: usize) -> Seg {
        Seg::Index(index)
    }
}

/// A way through a document: `spot!["binding", "subscribe", "cursor", 0]`.
macro_rules! spot {
    ($($seg:expr),* $(,)?) => { [$($crate::contract::file::Seg::from($seg)),*] };
}
pub(crate) use spot;

/// Collects the problems of one document.
pub(crate) struct Problems<'t> {
    root: &'t Spanned<DeTable<'t>>,
    pub(super) list: Vec<Problem>,
}

impl<'t> Problems<'t> {
    pub(crate) fn new(root: &'t Spanned<DeTable<'t>>) -> Problems<'t> {
        Problems { root, list: Vec::new() }
    }

    /// A problem with the value at `spot`; where the value is left out, with what would hold it.
    pub(crate) fn at(&mut self, spot: &[Seg], what: impl Into<String>, label: impl Into<String>, help: impl Into<String>) {
        let span = self.span(spot);
        self.list.push(Problem { span, what: what.into(), label: label.into(), help: help.into() });
    }

    /// The same, with the key instead of the value.
    pub(crate) fn at_key(&mut self, spot: &[Seg], what: impl Into<String>, label: impl Into<String>, help: impl Into<String>) {
        let span = self.key_span(spot).unwrap_or_else(|| self.span(spot));
        self.list.push(Problem { span, what: what.into(), label: label.into(), help: help.into() });
    }

    fn span(&self, spot: &[Seg]) -> Range<usize> {
        let Some((Seg::Key(first), rest)) = spot.split_first() else { return 0..0 };
        let Some((key, mut value)) = self.root.get_ref().get_key_value(first.as_str()) else { return 0..0 };
        let mut span = table_span(key.span(), value);
        for seg in rest {
            let next = match (seg, value.get_ref()) {
                (Seg::Key(key), DeValue::Table(table)) => table.get_key_value(key.as_str()).map(|(k, v)| (table_span(k.span(), v), v)),
                (Seg::Index(index), DeValue::Array(array)) => array.get(*index).map(|v| (v.span(), v)),
                _ => None,
            };
            let Some((at, inner)) = next else { break };
            (span, value) = (at, inner);
        }
        span
    }

    fn key_span(&self, spot: &[Seg]) -> Option<Range<usize>> {
        let (Seg::Key(last), holder) = spot.split_last()? else { return None };
        let mut table = self.root.get_ref();
        let mut value: Option<&Spanned<DeValue<'_>>> = None;
        for seg in holder {
            value = Some(match (seg, value.map(Spanned::get_ref)) {
                (Seg::Key(key), None) => table.get(key.as_str())?,
                (Seg::Key(key), Some(DeValue::Table(inner))) => inner.get(key.as_str())?,
                (Seg::Index(index), Some(DeValue::Array(array))) => array.get(*index)?,
                _ => return None,
            });
        }
        if let Some(value) = value {
            table = value.get_ref().as_table()?;
        }
        table.get_key_value(last.as_str()).map(|(key, _)| key.span())
    }
}

/// The value's own span, or its key's where the value is a table under a header of its own and would span many lines.
fn table_span(key: Range<usize>, value: &Spanned<DeValue<'_>>) -> Range<usize> {
    match value.get_ref() {
        // An inline table stands behind its key; one with a header spans the header or, when it is implied, nothing.
        DeValue::Table(_) if value.span().start <= key.start => key,
        _ => value.span(),
    }
}
