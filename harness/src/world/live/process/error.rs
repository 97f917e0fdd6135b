//! Why a target could not be started, ended or trusted.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::command_line::CommandLineError;
use super::messages::Exit;
use super::output::Output;
use super::procfs::ProcessId;

/// Why a target could not be started, ended or trusted. Every text names what was tried and what to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessError {
    /// The command is no command line.
    Command(CommandLineError),
    /// The first word of the command could not be run.
    CannotRun {
        /// The word.
        word: String,
        /// What the system said.
        why: String,
        /// What may be meant.
        hint: Option<String>,
    },
    /// The working folder is not there.
    NoFolder(PathBuf),
    /// The data folder could not be made or wiped.
    DataFolder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The data folder held files before streamspec first used it, so streamspec will not delete them.
    NotOurs(PathBuf),
    /// Nothing says on which port the target listens.
    PortUnknown {
        /// The command as typed.
        command: String,
    },
    /// No port was free.
    NoPort(io::Error),
    /// Somebody listens on the port already.
    PortTaken {
        /// The port.
        port: u16,
        /// Who, as far as can be seen.
        by: Vec<ProcessId>,
    },
    /// This program cannot guard a target, and without a guard it might outlive us.
    NoGuard(String),
    /// The guard could not be started or broke down.
    Guard(io::Error),
    /// Everything ended before the target was ready.
    Exited {
        /// The command as typed.
        command: String,
        /// How the first process ended.
        exit: Option<Exit>,
        /// The last lines it printed.
        output: Box<Output>,
        /// What may be wrong with the command.
        hint: Option<String>,
    },
    /// The target did not become ready in time. It has been killed.
    NeverReady {
        /// The command as typed.
        command: String,
        /// How long it had.
        waited: Duration,
        /// What was tried, as a sentence without a subject: "GET http://… for a 2xx status".
        tried: String,
        /// How the last attempt failed.
        last: Option<String>,
        /// The last lines it printed.
        output: Box<Output>,
    },
    /// Processes of the target were still there after SIGKILL.
    Survived {
        /// Which.
        processes: Vec<ProcessId>,
        /// How long they had.
        waited: Duration,
    },
    /// The target was killed, yet its port is still served by processes that streamspec did not start.
    StillServed {
        /// The port.
        port: u16,
        /// Who listens, as far as can be seen.
        by: Vec<ProcessId>,
    },
    /// After the start, whoever listens on the port cannot be shown to be new.
    Unproven {
        /// The port.
        port: u16,
        /// What is missing.
        why: String,
    },
    /// The target does not run, so nothing can be done to it.
    NotRunning,
    /// The target runs already.
    Running,
}

fn list(processes: &[ProcessId]) -> String {
    match processes {
        [] => "a process that cannot be seen from here".to_owned(),
        [one] => format!("process {one}"),
        many => format!("processes {}", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = |hint: &Option<String>| hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
        match self {
            Self::Command(error) => error.fmt(f),
            Self::CannotRun { word, why, hint: meant } => write!(f, "cannot run `{word}`: {why}{}", hint(meant)),
            Self::NoFolder(folder) => {
                write!(f, "the working folder {} does not exist", folder.display())
            }
            Self::DataFolder { folder, error } => write!(f, "cannot prepare the data folder {}: {error}", folder.display()),
            Self::NotOurs(folder) => write!(
                f,
                "will not wipe {}: it held files before this run; name a folder that is empty or does not exist yet",
                folder.display()
            ),
            Self::PortUnknown { command } => {
                write!(f, "nothing says on which port `{command}` listens; put {{port}} where the port goes, or give the port it has")
            }
            Self::NoPort(error) => write!(f, "found no free port on 127.0.0.1: {error}"),
            Self::PortTaken { port, by } => {
                write!(f, "port {port} is taken by {}; end it, or let streamspec choose a port with {{port}}", list(by))
            }
            Self::NoGuard(program) => write!(
                f,
                "cannot guard the target: there is no program `{program}`; install streamspec, or set {} to its executable",
                super::GUARD_VARIABLE
            ),
            Self::Guard(error) => write!(f, "the guard process failed: {error}"),
            Self::Exited { command, exit, output, hint: meant } => {
                let how = exit.map_or("unknown status".to_owned(), |exit| exit.to_string());
                write!(f, "`{command}` ended before it was ready, with {how}{}; its last lines:{output}", hint(meant))
            }
            Self::NeverReady { command, waited, tried, last, output } => {
                let last = last.as_ref().map_or(String::new(), |last| format!(", the last time: {last}"));
                write!(f, "`{command}` was not ready within {:.1} s; tried {tried}{last}; its last lines:{output}", waited.as_secs_f64())
            }
            Self::Survived { processes, waited } => {
                write!(f, "the server survived the kill: {} still there after {:.1} s", list(processes), waited.as_secs_f64())
            }
            Self::StillServed { port, by } => write!(
                f,
                "the server survived the kill: port {port} is still served by {}, which streamspec did not start; \
                 start the server itself instead of a client that asks a daemon to",
                list(by)
            ),
            Self::Unproven { port, why } => write!(f, "cannot prove that port {port} is served by a new process: {why}"),
            Self::NotRunning => write!(f, "the target is not running"),
            Self::Running => write!(f, "the target is running already"),
        }
    }
}

impl std::error::Error for ProcessError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::DataFolder { error, .. } | Self::NoPort(error) | Self::Guard(error) = self { Some(error) } else { None }
    }
}

impl From<CommandLineError> for ProcessError {
    fn from(error: CommandLineError) -> Self {
        Self::Command(error)
    }
}
