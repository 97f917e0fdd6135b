//! What a profile's binding does to bytes: requests out of operations, and frames, pages and answers into what was seen.
//!
//! Everything here is a pure function; sending and receiving is the business of the worlds.

mod answer;
mod lens;
mod marker;
mod pages;
mod pointer;
mod request;
mod shell;
mod template;

pub use answer::{Accepted, Headers, take};
pub use lens::{Frame, Lens, Seen};
pub use pages::{Page, Poll, Snapshot, Unreadable};
pub use request::{Request, Unsendable};
pub use template::{PLACEHOLDERS, Vars, environment, placeholders};
