//! The built-in reader: a session stream's reader that reconnects, resumes and remembers (`streamspec tail`), and the
//! broken clients that are made of it.
//!
//! [`Reader`] decides, sans-IO; [`follow`] does the requests and the waiting; [`Position`] is what is stored. [`carry_out`]
//! is the reader as an adapter that takes [`orders`]. [`BUGS`] are
//! the switchable defects with which `streamspec selftest --clients` proves the requirements of clients.

mod adapter;
mod bugs;
mod follow;
mod mangle;
pub mod orders;
mod publish;
mod reader;
mod state;
pub mod trial;

pub use adapter::{Messages, carry_out};
pub use bugs::{BUGS, Bug, BugEntry, BugSet, SOCKET_BUGS};
pub use follow::{Follow, FollowError, Opening, follow};
pub use reader::{Applied, Next, Reader, Shape, Stop, Types};
pub use state::Position;
