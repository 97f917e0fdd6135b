//! Consumers of what a run brings: a tally over all cases, and one file a format.

mod json;
mod page;
mod paint;
mod tally;
mod text;
mod timeline;

pub use json::write_json;
pub use page::{Page, visible};
pub use paint::Paint;
pub use tally::{Failure, Row, Standing, Tally};
pub use text::{Heading, write_text};
pub use timeline::{Line, Mark, timeline};
