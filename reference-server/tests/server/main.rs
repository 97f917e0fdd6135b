//! The whole server over real sockets.

mod bugs;
mod dialect;
mod http;
mod probes;
mod process;
