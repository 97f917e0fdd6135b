//! Which sockets listen on a port.
//!
//! The kernel is asked for the listening sockets of one port alone (sock_diag(7)), because the table in `/proc/net/tcp` also has
//! every connection of the last minute, thousands after a few runs, and costs milliseconds. Where the kernel does not answer (a
//! sandbox, a kernel without the module), that table is read all the same.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// Room for what one read brings; the kernel fills at most 32 KiB.
const ANSWER: usize = 32 * 1024;

/// The inodes of the TCP sockets that listen on `port`, on any address; `None` when nobody tells.
pub(super) fn inodes(port: u16) -> Option<BTreeSet<u32>> {
    asked(port).ok().or_else(|| read(port))
}

fn asked(port: u16) -> io::Result<BTreeSet<u32>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // The kernel answers while it is asked, so whatever is not there at once never comes.
    socket.set_non_blocking(true)?;
    let mut inodes = BTreeSet::new();
    for family in [AF_INET, AF_INET6] {
        ask(&socket, family, port)?;
        let mut answer = Vec::with_capacity(ANSWER);
        while {
            answer.clear();
            socket.recv(&mut answer, 0)?;
            !take(&answer, port, &mut inodes)?
        } {}
    }
    Ok(inodes)
}

fn ask(socket: &Socket, family: u8, port: u16) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut socket_id = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
    socket_id.source_port = port;
    let request = InetRequest { family, protocol: IPPROTO_TCP, extensions: ExtensionFlags::empty(), states: StateFlags::LISTEN, socket_id };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

/// Takes what one read brought; true when the answer is complete.
fn take(mut answer: &[u8], port: u16, inodes: &mut BTreeSet<u32>) -> io::Result<bool> {
    while !answer.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(answer).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) if response.header.socket_id.source_port == port => {
                inodes.insert(response.header.inode);
            }
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => {}
        }
        // Messages begin at multiples of four.
        let length = (message.header.length as usize).next_multiple_of(4);
        answer = answer.get(length..).unwrap_or_default();
    }
    Ok(false)
}

fn read(port: u16) -> Option<BTreeSet<u32>> {
    const LISTEN: &str = "0A";
    let mut inodes = BTreeSet::new();
    let mut readable = false;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(text) = fs::read_to_string(table) else {
            continue;
        };
        readable = true;
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (Some(local), Some(&state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
                continue;
            };
            let here = local.rsplit_once(':').and_then(|(_, hex)| u16::from_str_radix(hex, 16).ok());
            if state == LISTEN && here == Some(port) {
                inodes.extend(inode.parse::<u32>());
            }
        }
    }
    readable.then_some(inodes)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn both_ways_find_the_same_sockets() {
        let one = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = one.local_addr().expect("bound").port();
        let other = TcpListener::bind(("127.0.0.2", port)).expect("another address");
        let connected = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let table = read(port).expect("/proc is readable");
        assert_eq!(table.len(), 2);
        match asked(port) {
            Ok(inodes) => assert_eq!(inodes, table),
            // Some sandboxes have no such sockets; the table is what counts there.
            Err(error) => assert!(error.raw_os_error().is_some(), "{error}"),
        }
        drop((one, other, connected));
    }
}
