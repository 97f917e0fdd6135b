//! What others do, seen and broken, through the built binary: recorded conversations, the proxy alone, captures that are
//! judged, and transcripts that are reviewed.
//!
//! Every wait is for an event with a deadline that no machine is too slow for; nothing is asserted of time.

mod check;
mod conversation;
mod lines;
mod proxy;
#[path = "../support/python.rs"]
mod python;
mod review;
mod support;
mod turns;
