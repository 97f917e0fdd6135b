//! streamspec holds session-stream servers to their promise: a client that loses its connection loses nothing else.

pub mod contract;
