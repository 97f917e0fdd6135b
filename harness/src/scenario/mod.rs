//! Scenarios: steps, files, what they need, sweeps.

mod ask;
mod file;
mod needs;
mod step;
mod sweep;
mod validate;
mod write;

pub use ask::{Do, Expect, Markers};
pub use needs::{Capabilities, applicable};
pub use step::*;
pub use sweep::{Sweep, at, places};
pub(crate) use validate::needed;
pub(crate) use write::{from_plain, plain};
