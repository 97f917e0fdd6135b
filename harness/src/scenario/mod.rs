//! Scenarios: steps, files, sweeps.

mod step;

pub use step::*;
