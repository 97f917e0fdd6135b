//! Dialects: how the core looks on the wire. A dialect is thin; what two of them need lives in the core.

pub(crate) mod dispatch;
mod follow;
pub(crate) mod hermes;
pub mod sse;
