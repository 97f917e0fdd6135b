//! Free ports for targets.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpSocket;

/// Below the range from which systems take the near port of outgoing connections, so that no connection of ours can
/// occupy the port between its choice and the server's bind.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Ports given out by this process are not given out again, as their servers may be restarting.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of 127.0.0.1 on which nobody listens now and that was not returned before.
pub fn free_port() -> io::Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let first: u16 = rand::random_range(RANGE);
    let candidates = (first..RANGE.end).chain(RANGE.start..first);
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in candidates.filter(|port| !given.contains(port)).take(1000).collect::<Vec<_>>() {
        match bindable(port) {
            Ok(()) => {
                given.insert(port);
                return Ok(port);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Binds and does not listen: whoever else looks for a port at this moment, or starts a server there, is not disturbed.
fn bindable(port: u16) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::UNSPECIFIED, port).into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ports_differ_and_are_bindable() {
        let ports: BTreeSet<u16> = (0..20).map(|_| free_port().expect("a free port")).collect();
        assert_eq!(ports.len(), 20);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("nobody listens on it");
        }
    }
}
