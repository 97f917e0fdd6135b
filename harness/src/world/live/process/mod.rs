//! Processes: starting a target, ending it whole, starting it again, and proving that it is a new one.
//!
//! A target is everything that its command starts: a wrapping shell, a supervisor, daemons that fork twice and change
//! session. All of it descends from a guard process ([`guard_if_asked`]), which is how it is found, signalled and, when
//! streamspec ends in whatever way, killed.

mod command_line;
mod error;
mod guard;
mod guarded;
#[cfg(target_os = "linux")]
mod listening;
mod messages;
mod output;
mod ports;
mod procfs;
mod ready;
mod target;

#[cfg(test)]
mod tests;

pub use command_line::{CommandLine, CommandLineError};
pub use error::ProcessError;
pub use guard::{guard_if_asked, guard_main};
pub use guarded::GUARD_VARIABLE;
pub use messages::Exit;
pub use output::{OUTPUT_KEPT, Output, Printed};
pub use ports::free_port;
pub use procfs::{ProcessId, Resources};
pub use ready::Readiness;
pub use target::{DataFolder, Ended, Ending, Replaced, Stop, Target, TargetSpec};
