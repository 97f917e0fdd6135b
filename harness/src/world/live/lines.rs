//! A program beside the harness that speaks JSON lines on its standard input and output.
//!
//! It is greeted first and answers with any line when it is ready. It ends with its input. What it writes to its standard
//! error is kept for the case that it ends by itself.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// How long a program may take from its start to its first line.
const STARTING: Duration = Duration::from_secs(60);
/// The longest line that is read of a program.
const MOST_LINE: usize = 64 << 20;
/// How much of its complaints is kept: the end.
const MOST_COMPLAINT: usize = 600;

/// A running program; it is killed when it is dropped.
pub(super) struct Program {
    /// Its process, which ends with it.
    pub(super) child: Child,
    pub(super) input: Input,
    pub(super) output: Output,
}

/// What the program reads.
pub(super) struct Input {
    what: &'static str,
    pipe: ChildStdin,
}

/// What the program writes.
pub(super) struct Output {
    what: &'static str,
    pipe: BufReader<ChildStdout>,
    complaints: Arc<Mutex<String>>,
    /// Listens to its complaints until there can be no more.
    listening: JoinHandle<()>,
}

impl Program {
    /// Starts the program of these words and waits until it has answered `greeting`. `what` is how messages call it.
    ///
    /// # Errors
    /// In words: it cannot be started, or does not answer.
    pub(super) async fn start(words: &[String], what: &'static str, greeting: &Value) -> Result<Program, String> {
        let (program, arguments) = words.split_first().ok_or_else(|| format!("{what} has no name"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{what} `{program}` cannot be started: {e}"))?;
        let (Some(input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(format!("{what} `{program}` has no input or output"));
        };
        let complaints = Arc::default();
        let listening = tokio::spawn(listen(errors, Arc::clone(&complaints)));
        let mut program = Program {
            child,
            input: Input { what, pipe: input },
            output: Output { what, pipe: BufReader::new(output), complaints, listening },
        };
        let greeted = async {
            let said = program.input.say(greeting).await;
            // Who does not read has ended, and its last words say why.
            program.output.hear().await.and_then(|heard| said.map(|()| heard))
        };
        match tokio::time::timeout(STARTING, greeted).await {
            Ok(heard) => heard.map(|_| program),
            Err(_) => Err(format!("{what} `{}` did not answer within {} s", words.join(" "), STARTING.as_secs())),
        }
    }
}

impl Input {
    /// Sends a line.
    pub(super) async fn say(&mut self, line: &Value) -> Result<(), String> {
        let sent = async {
            self.pipe.write_all(format!("{line}\n").as_bytes()).await?;
            self.pipe.flush().await
        };
        sent.await.map_err(|e| format!("{} does not read: {e}", self.what))
    }
}

impl Output {
    /// The next line.
    ///
    /// # Errors
    /// In words: there is none, because the program has ended or writes nonsense.
    pub(super) async fn hear(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let what = self.what;
        let read = (&mut self.pipe).take(MOST_LINE as u64).read_until(b'\n', &mut line).await;
        read.map_err(|e| format!("{what} does not answer: {e}"))?;
        if line.last() != Some(&b'\n') {
            let long = line.len() >= MOST_LINE;
            if !long {
                // Its complaints end when it has; a child that it left behind is not waited for.
                let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.listening).await;
            }
            let why = if long { format!("writes a line of more than {} MiB", MOST_LINE >> 20) } else { "has ended".to_owned() };
            let said = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            return Err(if said.is_empty() { format!("{what} {why}") } else { format!("{what} {why}: {}", said.trim()) });
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Keeps the end of what a program complains about.
async fn listen(mut errors: ChildStderr, complaints: Arc<Mutex<String>>) {
    let mut piece = vec![0; 4096];
    while let Ok(count @ 1..) = errors.read(&mut piece).await {
        let mut kept = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&String::from_utf8_lossy(&piece[..count]));
        let from = kept.ceil_char_boundary(kept.len().saturating_sub(MOST_COMPLAINT));
        kept.drain(..from);
    }
}
