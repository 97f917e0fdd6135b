//! streamspec holds session-stream servers to their promise: a client that loses its connection loses nothing else.

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
pub mod wire;
pub mod world;
