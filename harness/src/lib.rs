//! streamspec holds session-stream servers to their promise: a client that loses its connection loses nothing else.
//!
//! In a test, [`verify()`] breaks the streams of a server that the test serves, and tells what its readers lost, saw twice or saw
//! in another order:
//!
//! ```no_run
//! # use streamspec::Target;
//! # async fn serve_on_a_free_port() -> String { String::new() }
//! #[tokio::test]
//! async fn nothing_is_lost() {
//!     let url = serve_on_a_free_port().await;
//!     let report = streamspec::verify(Target::at(url).profile("spec/rooms.toml")).await.unwrap();
//!     report.assert_conforms();
//! }
//! # fn main() {}
//! ```
//!
//! [`Target`] says what is verified and how, [`Report`] what it came to, [`Verdict`] what is said of one requirement. These, and what
//! they hand out, keep their meaning within a minor version.
//!
//! The modules below are the parts that the program `streamspec` is made of. They are open to whoever wants to judge a history of
//! another origin ([`history`], [`check`]), decode a stream to the byte ([`wire`]) or write a profile by hand ([`contract`]); their shape
//! may change in every release before 1.0.

#![deny(missing_docs)]

pub mod capture;
pub mod check;
pub mod cli;
pub mod client;
pub mod contract;
pub mod explore;
pub mod history;
pub mod provider;
pub mod report;
pub mod run;
pub mod scenario;
pub mod transcript;
mod verify;
pub mod wire;
pub mod world;

pub use contract::{Level, Profile, Requirement};
pub use report::{Counts, Outcome};
pub use scenario::Scenario;
pub use verify::{Report, Target, Verdict, VerifyError, verify};
