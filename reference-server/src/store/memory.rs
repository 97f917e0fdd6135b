//! A store that forgets everything with its process.

use super::{Change, Store, StoreError};
use crate::session::Stored;

/// Nothing is kept.
#[derive(Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _changes: &[Change]) -> Result<(), StoreError> {
        Ok(())
    }
}
