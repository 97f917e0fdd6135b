//! What streamspec and its guard say to each other: JSON lines over one socket, which is the guard's standard input.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::procfs::ProcessId;

/// From streamspec to the guard. The first is `Start`, once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    Start(Job),
    /// Send this signal to every process of the target; SIGKILL is repeated until none is left.
    Signal(i32),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) words: Vec<String>,
    pub(super) folder: Option<PathBuf>,
    /// Added to what streamspec itself was started with.
    pub(super) environment: Vec<(String, String)>,
}

/// From the guard to streamspec.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Notice {
    Started {
        pid: u32,
    },
    NotStarted {
        errno: Option<i32>,
        why: String,
    },
    /// Answers `Signal`: who was sent it.
    Signalled(Vec<ProcessId>),
    /// The process that was started ended; others that it started may go on.
    LeaderEnded(Exit),
    /// Nothing of the target runs any more. Said once.
    Empty,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It returned this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(number) {
                Ok(signal) => write!(f, "signal {number} ({signal})"),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}
