//! streamspec inside a test: a server that the test itself serves is broken and judged, and the test asserts the outcome.
//!
//! The run has a thread of its own, and worker threads below it, so that it goes on while the caller's runtime serves the
//! target, be it one of a single thread. It prints nothing, installs nothing that is the whole process's, and ends no process;
//! it makes connections to the target, and to a proxy of its own on the loopback address.

pub(crate) mod selection;

mod report;
mod target;

use std::fmt;

use tokio::sync::oneshot;

use crate::contract::FileError;
use crate::run::suite::StopSign;

pub use report::{Report, Verdict};
pub use target::Target;

/// Breaks the streams of a server and judges what its readers saw.
///
/// It runs every scenario that applies to the profile and can be run on the server, or those that were selected. What needs
/// control of a process (kills, restarts, pauses) is run where the target is a command ([`Target::start`]).
///
/// A future that is dropped stops the run.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use streamspec::Target;
///
/// let rooms = axum::Router::new(); // the server under test
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let url = format!("http://{}", listener.local_addr()?);
/// tokio::spawn(async move { axum::serve(listener, rooms).await });
///
/// let report = streamspec::verify(Target::at(url).profile("spec/rooms.toml")).await?;
/// report.assert_conforms();
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When there is nothing to run: a file cannot be used, a name means nothing, or no server answers. What the server does wrong
/// is no error but a verdict.
pub async fn verify(target: Target) -> Result<Report, VerifyError> {
    let prepared = target.prepare()?;
    let stop = RaisedOnDrop(StopSign::default());
    let (tell, told) = oneshot::channel();
    let sign = stop.0.clone();
    std::thread::Builder::new()
        .name("streamspec".to_owned())
        // A caller that went away hears nothing.
        .spawn(move || drop(tell.send(prepared.run(&sign))))
        .map_err(|error| VerifyError::Defect(format!("cannot start a thread: {error}")))?;
    told.await.map_err(|_| VerifyError::Defect("the thread of the run panicked".to_owned()))?
}

/// Stops the run when its caller loses interest.
struct RaisedOnDrop(StopSign);

impl Drop for RaisedOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// Why nothing could be verified.
#[non_exhaustive]
#[derive(Clone)]
pub enum VerifyError {
    /// A profile or a baseline file cannot be used.
    File(FileError),
    /// The target is not described as it must be: the text says what is wrong, and what to do.
    Usage(String),
    /// No server answers at the URL, or the command brings none.
    Unreachable(String),
    /// A defect of streamspec.
    Defect(String),
}

impl From<FileError> for VerifyError {
    fn from(error: FileError) -> Self {
        VerifyError::File(error)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::File(error) => write!(f, "{}: {error}; {}", error.place(), error.next_step()),
            VerifyError::Usage(why) | VerifyError::Unreachable(why) => f.write_str(why),
            VerifyError::Defect(why) => write!(f, "a defect of streamspec: {why}"),
        }
    }
}

/// The same words as for people: what a test returns as an error is printed so.
impl fmt::Debug for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for VerifyError {}
