//! Clients under test: streamspec plays a hostile but conforming server and writes down what a client makes of it.
//!
//! ```text
//! cases ─► run (responder, process) ─► log ─► judge_client ─► verdicts ─► report
//! ```
//!
//! [`Case`] says what the server does, [`run`] does it to a client and gives the [`Entry`]s of its log, and
//! `crate::check::judge_client` judges them. The client is a command that is told where the stream is, and writes a JSON
//! line for each event that it applies; docs/client-testing.md has the whole of what it is told and may say.

mod case;
mod cases;
mod log;
mod process;
mod publish;
mod reference;
mod request;
mod responder;
mod run;
mod shared;
mod socket;
mod suite;
mod trace;

pub use case::{BOUNDARY, Case, Check, Due, GAP, Head, Need, Reference, Reply, SEALED, Step, TERMINAL, Want};
pub use cases::{SESSION, cases, cases_of};
pub use log::{Entry, Event, PublishAnswer, Request, Said, Saw};
pub use process::ClientCommand;
pub use publish::{publish_body, publish_key, publish_of};
pub use run::{Patience, Ran, Trial, run};
pub use suite::run_trials;
