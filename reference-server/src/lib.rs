//! The reference session-stream server: correct by default, broken on request.
//!
//! [`session`] is the sans-IO core, [`store`] makes it durable, [`hub`] runs it, [`agent`] answers prompts, [`dialect`]
//! speaks to the network, [`contain`] keeps paths inside their root, [`money`] keeps accounts, and [`bugs`] is the catalogue of defects that can be switched on. [`run`] serves until it is told to stop, [`start`] serves
//! inside another program.

pub mod agent;
pub mod bugs;
pub mod contain;
pub mod dialect;
pub mod hub;
pub mod money;
pub mod redact;
mod serve;
pub mod session;
pub mod store;

pub use serve::{Dialect, Running, ServeError, ServeOptions, StoreKind, duration, run, start};
