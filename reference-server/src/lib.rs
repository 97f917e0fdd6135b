//! The reference session-stream server: correct by default, broken on request.
//!
//! [`session`] is the sans-IO core, [`store`] makes it durable, [`hub`] runs it, [`dialect`] speaks to the network, and
//! [`bugs`] is the catalogue of defects that can be switched on.

pub mod bugs;
pub mod session;
