//! The worlds a scenario can run in.

pub mod live;
