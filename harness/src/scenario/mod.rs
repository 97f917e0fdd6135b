//! Scenarios: steps, files, sweeps.
