//! Consumers of what a run brings: a tally over all cases, and one file a format.

mod json;
mod paint;
mod tally;
mod text;
mod timeline;

pub use json::write_json;
pub use paint::Paint;
pub use tally::{Failure, Row, Standing, Tally};
pub use text::{Heading, write_text};
pub(crate) use text::{one as write_failure, plural, stale, thousands};
pub use timeline::{Line, Mark, timeline};
