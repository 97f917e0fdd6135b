//! What is observed in a run, in order. The recorder of live runs is shared by tasks and locks for each observation; here
//! everything is on one thread, and a run has little else to do.

use crate::history::{Micros, Record, What};
use crate::run::recorder::Recorder;
use crate::run::trace;

/// The observations of a run.
#[derive(Debug)]
pub(super) struct Log {
    records: Vec<Record>,
    /// Tells of each observation, where somebody listens.
    teller: Option<Recorder>,
}

impl Log {
    /// A log that goes on behind these records.
    pub(super) fn new(records: Vec<Record>, recorder: &Recorder) -> Log {
        Log { records, teller: trace::is_on().then(|| recorder.clone()) }
    }

    #[inline]
    pub(super) fn push(&mut self, at: Micros, what: What) {
        if let Some(teller) = &self.teller {
            teller.tell(&what);
        }
        self.records.push(Record { at, what });
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn into_records(self) -> Vec<Record> {
        self.records
    }

    pub(super) fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }
}
