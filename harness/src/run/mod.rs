//! The runner: walks the steps of a scenario over a world.

pub mod binding;
pub mod payload;
pub mod progress;
pub mod recorder;
mod walk;

pub use walk::{Abort, Patience, walk};
