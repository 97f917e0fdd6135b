//! The fault proxy: stands between a client and a server of plain HTTP/1.1 and breaks connections at chosen places.
//!
//! A [`Link`] accepts the connections of one logical reader; each takes the next [`Plan`]. Bytes pass unchanged but for
//! [`Fault::Rechunk`]. The proxy reads along: heads, the chunked coding, and where events end, so that a cut stands
//! exactly where it was asked for. When a connection is cut right behind an event that ends its HTTP chunk, the chunk's
//! CR LF passes too. A client that ends its sending side counts as gone. With a server that speaks something else than
//! HTTP/1.1 the client gets the end of stream and the observer [`Happened::Unreadable`].
//!
//! Memory: 64 KiB for a head, 16 MiB for bytes held or looked at whole, then back-pressure.

mod border;
mod connection;
mod ending;
mod fault;
pub(crate) mod framing;
mod link;
mod observed;
mod passage;
mod requests;
mod within;

#[cfg(test)]
mod tests;

pub use fault::{Fault, FrameMatch, Framing, How, Place, Plan, Within};
pub use link::{Link, LinkConfig, Observer, Tape};
pub use observed::{ClosedBy, ConnId, Happened, Observed, Side};
