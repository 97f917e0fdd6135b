//! How a connection's sockets are closed, so that each side sees exactly what was meant.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::fault::How;

/// How long a client that was told the end may keep its side open, or leave unread what precedes a reset.
const LINGER: Duration = Duration::from_secs(2);

pub(super) async fn close(how: How, client: TcpStream, server: TcpStream) {
    match how {
        How::Rst => {
            // Fails only on a socket that is closed, which needs no reset.
            let _ = server.set_zero_linger();
            drop(server);
            reset(client).await;
        }
        How::Fin | How::Silence => {
            drop(server);
            end(client).await;
        }
    }
}

/// Ends the client's stream in order. The client's side is read on for a while: closing a socket that has unread bytes
/// would send a reset and might destroy what the client has not read yet.
pub(super) async fn end(mut client: TcpStream) {
    if client.shutdown().await.is_ok() {
        let _ = timeout(LINGER, discard(&mut client)).await;
    }
}

/// Resets the client, after everything written has left, since a reset throws away what waits to be sent.
pub(super) async fn reset(client: TcpStream) {
    let sent = async {
        let mut pause = Duration::from_micros(100);
        while unsent(&client) > 0 {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    };
    let _ = timeout(LINGER, sent).await;
    let _ = client.set_zero_linger();
    drop(client);
}

/// Bytes written that are not on their way yet.
#[cfg(target_os = "linux")]
fn unsent(stream: &TcpStream) -> libc::c_int {
    use std::os::fd::AsRawFd;
    /// `SIOCOUTQNSD`, which the libc crate does not name.
    const UNSENT: libc::c_ulong = 0x894b;
    let mut count = 0;
    // SAFETY: the descriptor is open and the request writes one int.
    let asked = unsafe { libc::ioctl(stream.as_raw_fd(), UNSENT as _, &raw mut count) };
    if asked == 0 { count } else { 0 }
}

#[cfg(not(target_os = "linux"))]
fn unsent(_stream: &TcpStream) -> libc::c_int {
    0
}

pub(super) async fn discard(stream: &mut TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}
