//! The binding at work: operations to requests, answers and frames to what they mean. Pure functions of the profile and
//! bytes; nothing here does IO.

mod answer;
mod machine;
mod request;
mod shape;
mod template;

#[cfg(test)]
mod examples;

pub use answer::{PollAnswer, Polled, see_answer};
pub use request::{Finite, Request, for_operation, for_page, for_stream};
pub use shape::{Lens, Raw, see, see_document, see_snapshot, taken};
pub use template::{PLACEHOLDERS, Vars, encode, placeholders, unset};
