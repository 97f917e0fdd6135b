//! Dialects: how the core looks on the wire. A dialect is thin; what two of them need lives in the core.

mod clock;
mod follow;
pub(crate) mod hermes;
pub(crate) mod mppx;
pub(crate) mod opencode;
pub mod sse;
