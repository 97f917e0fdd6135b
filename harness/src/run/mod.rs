//! The runner: walks the steps of a scenario over a world.

pub mod binding;
pub mod payload;
pub mod progress;
mod pulse;
pub mod recorder;
pub mod suite;
pub(crate) mod trace;
mod walk;

pub use walk::{Abort, Patience, in_words, walk};
pub(crate) use walk::{Begun, begin, go_on};
