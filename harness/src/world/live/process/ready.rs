//! When a target counts as ready.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::output::Stream;

/// When a target counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// A `GET` of this path is answered with this status, or any 2xx if none is given.
    Http {
        /// Path and query, beginning with `/`.
        path: String,
        /// The status to wait for.
        status: Option<u16>,
    },
    /// The port accepts a connection.
    Port,
    /// A line on standard output or standard error contains this text. When the command does not name `{port}`, the
    /// port is the number after the last colon of the line, as in `listening on http://127.0.0.1:4711`.
    Line(String),
}

/// One attempt may take this long before it counts as failed.
const ATTEMPT: Duration = Duration::from_secs(1);

impl Readiness {
    /// Waits until it holds, for ever if need be; `last` is told of every failed attempt. Returns the port.
    pub(super) async fn wait(
        &self,
        address: SocketAddr,
        output: (&Stream, &Stream),
        port_from_line: bool,
        mut last: impl FnMut(String),
    ) -> u16 {
        match self {
            Self::Line(part) => loop {
                let line = tokio::select! {
                    line = output.0.line_with(part) => line,
                    line = output.1.line_with(part) => line,
                };
                match (port_from_line, port_in(&line)) {
                    (false, _) => return address.port(),
                    (true, Some(port)) => return port,
                    (true, None) => last(format!("the line `{line}` names no port")),
                }
                std::future::pending::<()>().await;
            },
            Self::Http { .. } | Self::Port => {
                let mut pause = Duration::from_millis(2);
                loop {
                    match timeout(ATTEMPT, self.attempt(address)).await {
                        Ok(Ok(())) => return address.port(),
                        Ok(Err(why)) => last(why),
                        Err(_) => last(format!("no answer for {} s", ATTEMPT.as_secs())),
                    }
                    sleep(pause).await;
                    pause = (pause * 3 / 2).min(Duration::from_millis(50));
                }
            }
        }
    }

    async fn attempt(&self, address: SocketAddr) -> Result<(), String> {
        let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let Self::Http { path, status } = self else {
            return Ok(());
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let mut part = [0; 512];
        // The status line is all that counts; a server that sends none within a screenful is none of HTTP.
        while !answer.contains(&b'\n') && answer.len() < 4096 {
            match stream.read(&mut part).await.map_err(|error| error.to_string())? {
                0 => break,
                count => answer.extend_from_slice(&part[..count]),
            }
        }
        let line = answer.split(|&byte| byte == b'\r' || byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).chars().take(100).collect::<String>();
        let got = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse::<u16>().ok());
        match (got, *status) {
            (Some(got), Some(wanted)) if got == wanted => Ok(()),
            (Some(200..=299), None) => Ok(()),
            (Some(_), _) => Err(format!("answered `{line}`")),
            (None, _) if line.is_empty() => Err("closed the connection without an answer".to_owned()),
            (None, _) => Err(format!("answered `{line}`, which is not HTTP")),
        }
    }

    /// What is tried, for the message when it never holds.
    pub(super) fn described(&self, address: SocketAddr) -> impl fmt::Display {
        match self {
            Self::Http { path, status: Some(status) } => format!("GET http://{address}{path} for status {status}"),
            Self::Http { path, status: None } => {
                format!("GET http://{address}{path} for a 2xx status")
            }
            Self::Port => format!("a connection to {address}"),
            Self::Line(part) => format!("to find a line of output with `{part}`"),
        }
    }
}

/// The digits after the last colon that is followed by any.
fn port_in(line: &str) -> Option<u16> {
    line.rsplit(':').find_map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok().filter(|&port| port != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_number_after_the_last_colon() {
        assert_eq!(port_in("listening on http://127.0.0.1:4711"), Some(4711));
        assert_eq!(port_in("INFO: up on [::1]:80/ (pid 7)"), Some(80));
        assert_eq!(port_in("ready: yes"), None);
        assert_eq!(port_in(":70000"), None);
    }
}
