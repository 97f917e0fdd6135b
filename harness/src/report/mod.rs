//! Consumers of what a run brings: the events of a run, a tally over all cases, and one file a format.

mod client;
mod difference;
mod document;
mod escape;
mod event;
mod github;
mod heading;
mod json;
mod junit;
mod markdown;
mod ndjson;
mod page;
mod paint;
mod sarif;
mod tally;
mod tap;
mod text;
mod timeline;

pub use client::client_failure;
pub(crate) use difference::drawn_difference;
pub use document::{Document, replace};
pub use event::{Event, Finished, Sink};
pub use github::GitHub;
pub use heading::{Heading, Outcome};
pub use json::{json_document, json_report};
pub use junit::junit;
pub use markdown::job_summary;
pub use ndjson::Ndjson;
pub use page::{Page, visible};
pub use paint::Paint;
pub use sarif::sarif;
pub use tally::{Failure, Row, Standing, Tally, case_failure};
pub use tap::tap;
pub use text::{Counts, write_text};
pub(crate) use text::{drawn, one as write_failure, plural, thousands};
pub use timeline::{Line, Mark, timeline};
