//! The live world: sockets, the fault proxy and real processes.

pub mod process;
pub mod proxy;
