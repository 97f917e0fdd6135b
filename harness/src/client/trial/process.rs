//! The client's process: its own process group, its output line by line, its end.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::log::{Said, Saw};
use super::shared::Shared;
use crate::world::live::process::CommandLine;

/// The longest line that a client may write.
const MOST_LINE: usize = 64 << 20;
/// How long output may stay open behind the end of the client.
const OUTPUT_WITHIN: Duration = Duration::from_secs(2);
/// How much of standard error is kept.
const MOST_ERROR: usize = 4 << 10;

/// How the client under test is started.
#[derive(Clone, Debug)]
pub struct ClientCommand {
    /// Its command; the URL is added as the last word.
    pub command: CommandLine,
    /// Its working folder, or streamspec's own.
    pub folder: Option<PathBuf>,
    /// Variables added to streamspec's own environment.
    pub environment: Vec<(String, String)>,
    /// True for an adapter: it is told everything by orders on its standard input, and nothing by arguments.
    pub adapter: bool,
}

/// One life of a client. Dropping it kills the whole group.
pub(super) struct Process {
    child: Child,
    group: Pid,
    stdin: Option<ChildStdin>,
    output: JoinHandle<()>,
    errors: Arc<Mutex<VecDeque<u8>>>,
}

impl Process {
    /// Starts the client. Its lines go to the log as they come.
    ///
    /// `told` are variables for this case; `listens` says whether it is to get orders on standard input.
    pub(super) fn start(
        command: &ClientCommand,
        url: &str,
        told: &[(&str, String)],
        listens: bool,
        shared: &Arc<Shared>,
    ) -> Result<Process, String> {
        let words = command.command.fill(0, std::path::Path::new("."));
        let (program, arguments) = words.split_first().ok_or("the command is empty")?;
        let mut process = Command::new(program);
        process.args(arguments).args((!command.adapter).then_some(url)).envs(command.environment.iter().map(|(name, value)| (name, value)));
        process.envs(told.iter().map(|(name, value)| (*name, value)));
        if let Some(folder) = &command.folder {
            process.current_dir(folder);
        }
        process
            .stdin(if listens { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        #[cfg(target_os = "linux")]
        // SAFETY: prctl is async-signal-safe.
        unsafe {
            process.pre_exec(|| nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from));
        }
        let mut child = process.spawn().map_err(|e| format!("cannot start `{}`: {e}", command.command.typed()))?;
        let id = child.id().ok_or("the client ended before it was looked at")?;
        let group = Pid::from_raw(i32::try_from(id).map_err(|_| "a pid beyond its range".to_owned())?);
        let (stdout, stderr) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        tokio::spawn(keep(stderr, Arc::clone(&errors)));
        let output = tokio::spawn(listen(BufReader::new(stdout), Arc::clone(shared)));
        let stdin = child.stdin.take();
        Ok(Process { child, group, stdin, output, errors })
    }

    /// Waits until it ends by itself and all that it wrote is in the log.
    pub(super) async fn ended(&mut self) -> Result<Option<i32>, String> {
        let status = self.child.wait().await.map_err(|e| format!("the client's end cannot be seen: {e}"))?;
        // What it started may hold its output open.
        let _ = killpg(self.group, Signal::SIGKILL);
        self.heard().await;
        Ok(status.code())
    }

    /// Kills its group, and waits for its end.
    pub(super) async fn kill(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.child.wait().await;
        self.heard().await;
    }

    /// Waits until its output is read to the end, which a process that left the group may keep open.
    async fn heard(&mut self) {
        if !self.output.is_finished() {
            let _ = timeout(OUTPUT_WITHIN, &mut self.output).await;
        }
    }

    /// Writes a line to its standard input.
    pub(super) async fn tell(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            // A client that does not listen is judged by what it does, and not waited for.
            let _ = timeout(OUTPUT_WITHIN, stdin.write_all(format!("{line}\n").as_bytes())).await;
            let _ = stdin.flush().await;
        }
    }

    /// Ends its standard input: there are no more orders.
    pub(super) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// The end of its standard error.
    pub(super) fn errors(&self) -> String {
        let kept = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept.iter().copied().collect::<Vec<u8>>()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }
}

async fn keep(mut stderr: impl tokio::io::AsyncRead + Unpin, kept: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&buffer[..count]);
        let excess = kept.len().saturating_sub(MOST_ERROR);
        kept.drain(..excess);
    }
}

/// Reads lines to the end. A line that is none, or one too many, is trouble.
async fn listen(mut stdout: impl tokio::io::AsyncBufRead + Unpin, shared: Arc<Shared>) {
    for nth in 1.. {
        let mut line = Vec::new();
        let mut limited = (&mut stdout).take(MOST_LINE as u64);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') {
            // A line that a kill cut off says nothing.
            if line.len() >= MOST_LINE {
                shared.trouble(format!("line {nth} of the client's output is longer than {} MiB", MOST_LINE >> 20));
            }
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match Said::parse(text) {
            Ok(said) => {
                if !shared.saw(Saw::Said(said)) {
                    return shared.trouble("the client floods its output".to_owned());
                }
            }
            Err(why) => {
                let shown: String = text.chars().take(120).collect();
                return shared.trouble(format!(
                    "line {nth} of the client's output is not understood: {why}: `{shown}`; write one JSON object a line, and logs to standard error"
                ));
            }
        }
    }
}
