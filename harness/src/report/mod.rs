//! Consumers of what a run brings: a tally over all cases, and one file a format.

mod client;
mod difference;
mod json;
mod page;
mod paint;
mod tally;
mod text;
mod timeline;

pub use client::client_failure;
pub(crate) use difference::drawn_difference;
pub use json::{json_report, json_reports, write_json};
pub use page::{Page, visible};
pub use paint::Paint;
pub use tally::{Failure, Row, Standing, Tally};
pub use text::{Counts, Heading, write_text};
pub(crate) use text::{drawn, one as write_failure, plural, thousands};
pub use timeline::{Line, Mark, timeline};
