//! A running target seen from streamspec: the guard's process, the socket to it and the target's output.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::error::ProcessError;
use super::guard::{GUARD_ARGUMENT, this_program_can_guard};
use super::messages::{Exit, Job, Notice, Order};
use super::output::{Output, Stream};
use super::procfs::{self, ProcessId};

/// The environment variable that names an executable of streamspec to guard targets, for programs that use the library.
pub const GUARD_VARIABLE: &str = "STREAMSPEC_GUARD";

/// How long the guard may take to answer anything; it waits up to 10 s for killed processes to vanish.
const GUARD_PATIENCE: Duration = Duration::from_secs(12);

/// What has become of the target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) leader: Option<Exit>,
    /// Nothing of the target runs any more.
    pub(super) empty: bool,
}

/// One life of a target. Dropping it closes the socket, upon which the guard kills everything at once.
pub(super) struct Guarded {
    guard: Child,
    guard_pid: u32,
    orders: OwnedWriteHalf,
    signalled: mpsc::Receiver<Vec<ProcessId>>,
    state: watch::Receiver<State>,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
}

/// What a guard is started with: `program` where one is named, else this executable where it can guard, else what is installed.
fn guard_command(program: Option<&Path>) -> Result<Command, ProcessError> {
    if let Some(program) = program.map(|program| program.as_os_str().to_owned()).or_else(|| std::env::var_os(GUARD_VARIABLE)) {
        let mut command = Command::new(program);
        command.arg(GUARD_ARGUMENT);
        return Ok(command);
    }
    if cfg!(test) {
        // The test binary plays the guard in a test of its own, which does nothing when it is not asked.
        let mut command = Command::new(std::env::current_exe().map_err(ProcessError::Guard)?);
        command.args(["--exact", "--nocapture", "world::live::process::tests::plays_the_guard"]);
        command.env("STREAMSPEC_TEST_ROLE", "guard");
        return Ok(command);
    }
    if !this_program_can_guard() {
        let mut command = Command::new("streamspec");
        command.arg(GUARD_ARGUMENT);
        return Ok(command);
    }
    // The link still works when the file has been replaced by a newer build.
    let itself =
        if cfg!(target_os = "linux") { PathBuf::from("/proc/self/exe") } else { std::env::current_exe().map_err(ProcessError::Guard)? };
    let mut command = Command::new(itself);
    command.arg0("streamspec").arg(GUARD_ARGUMENT);
    Ok(command)
}

impl Guarded {
    /// Starts a guard and the job under it; returns once the job's first process runs.
    pub(super) async fn start(job: Job, guard: Option<&Path>) -> Result<Self, ProcessError> {
        let word = job.words[0].clone();
        let (ours, theirs) = StdUnixStream::pair().map_err(ProcessError::Guard)?;
        ours.set_nonblocking(true).map_err(ProcessError::Guard)?;
        let mut command = guard_command(guard)?;
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: setsid is async-signal-safe.
        unsafe {
            command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
        }
        let mut guard = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ProcessError::NoGuard(command.as_std().get_program().to_string_lossy().into_owned()),
            _ => ProcessError::Guard(error),
        })?;
        // Our copy of the guard's end must go, or the socket would never close.
        drop(command);
        let guard_pid = guard.id().expect("a child that was not waited for has a pid");
        let stdout = Stream::drain(guard.stdout.take().expect("stdout is piped"));
        let stderr = Stream::drain(guard.stderr.take().expect("stderr is piped"));

        let (reading, mut orders) = UnixStream::from_std(ours).map_err(ProcessError::Guard)?.into_split();
        let mut notices = BufReader::new(reading).lines();
        send(&mut orders, &Order::Start(job)).await?;
        let first = timeout(GUARD_PATIENCE, next_notice(&mut notices)).await;
        match first.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(ProcessError::Guard)? {
            Some(Notice::Started { .. }) => {}
            Some(Notice::NotStarted { errno, why }) => return Err(cannot_run(word, errno, why)),
            _ => {
                stderr.ended().await;
                let said = stderr.printed().text;
                return Err(ProcessError::Guard(io::Error::other(format!("it ended at once and said: {}", said.trim()))));
            }
        }
        let (state_sender, state) = watch::channel(State::default());
        let (signalled_sender, signalled) = mpsc::channel(1);
        tokio::spawn(follow(notices, state_sender, signalled_sender));
        Ok(Self { guard, guard_pid, orders, signalled, state, stdout, stderr })
    }

    /// The target's living processes.
    pub(super) fn processes(&self) -> Vec<ProcessId> {
        procfs::descendants(self.guard_pid)
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    pub(super) fn output(&self) -> Output {
        Output { stdout: self.stdout.printed(), stderr: self.stderr.printed() }
    }

    /// Signals every process of the target and returns which they were.
    pub(super) async fn signal(&mut self, number: i32) -> Result<Vec<ProcessId>, ProcessError> {
        send(&mut self.orders, &Order::Signal(number)).await?;
        match timeout(GUARD_PATIENCE, self.signalled.recv()).await {
            Ok(Some(processes)) => Ok(processes),
            Ok(None) => Err(ProcessError::Guard(io::ErrorKind::BrokenPipe.into())),
            Err(_) => Err(ProcessError::Guard(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Waits until nothing of the target runs.
    pub(super) async fn ended(&self) -> State {
        wait_for_end(&mut self.state.clone()).await
    }

    /// Lets the guard kill what is left, and waits for it to be gone itself.
    pub(super) async fn close(self) -> Result<(), ProcessError> {
        let Self { mut guard, orders, .. } = self;
        drop(orders);
        match timeout(GUARD_PATIENCE, guard.wait()).await {
            Ok(ended) => ended.map(drop).map_err(ProcessError::Guard),
            Err(_) => Err(ProcessError::Guard(io::ErrorKind::TimedOut.into())),
        }
    }
}

pub(super) async fn wait_for_end(state: &mut watch::Receiver<State>) -> State {
    // The sender says `empty` last of all, so its absence without that word cannot be seen.
    state.wait_for(|state| state.empty).await.map_or_else(|_| State { leader: None, empty: true }, |state| *state)
}

async fn send(orders: &mut OwnedWriteHalf, order: &Order) -> Result<(), ProcessError> {
    let mut line = serde_json::to_vec(order).expect("an order is plain data");
    line.push(b'\n');
    orders.write_all(&line).await.map_err(ProcessError::Guard)
}

async fn next_notice(notices: &mut Lines<BufReader<OwnedReadHalf>>) -> io::Result<Option<Notice>> {
    let Some(line) = notices.next_line().await? else {
        return Ok(None);
    };
    serde_json::from_str(&line).map(Some).map_err(io::Error::other)
}

async fn follow(mut notices: Lines<BufReader<OwnedReadHalf>>, state: watch::Sender<State>, signalled: mpsc::Sender<Vec<ProcessId>>) {
    while let Ok(Some(notice)) = next_notice(&mut notices).await {
        match notice {
            Notice::LeaderEnded(exit) => state.send_modify(|state| state.leader = Some(exit)),
            Notice::Empty => state.send_modify(|state| state.empty = true),
            // Fails only when nobody waits for the answer any more.
            Notice::Signalled(processes) => drop(signalled.send(processes).await),
            Notice::Started { .. } | Notice::NotStarted { .. } => break,
        }
    }
    // A guard that was killed takes the target with it by the parent-death signal.
    state.send_modify(|state| state.empty = true);
}

fn cannot_run(word: String, errno: Option<i32>, why: String) -> ProcessError {
    let shell = word.chars().any(|c| "|&;<>$`*".contains(c));
    let hint = match errno {
        _ if shell => Some("the command is not run by a shell; write sh -c '…' for one".to_owned()),
        Some(libc::ENOENT) if word.contains('/') => {
            Some("no such file, or the interpreter in its first line is missing; relative paths start at the working folder".to_owned())
        }
        Some(libc::ENOENT) => Some("it is not in PATH; install it or write its full path".to_owned()),
        Some(libc::EACCES) => Some("it is not executable; `chmod +x` it or name its interpreter first".to_owned()),
        Some(libc::ENOEXEC) => Some("it is no program for this machine, or a script without a `#!` line".to_owned()),
        Some(_) | None => None,
    };
    ProcessError::CannotRun { word, why, hint }
}
