//! What a target printed: the last 64 KiB of each stream, kept while it runs and after it died.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

/// How much of each stream is kept, in bytes.
pub const OUTPUT_KEPT: usize = 64 * 1024;

/// The end of what a target printed on its two streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Printed,
    /// Standard error.
    pub stderr: Printed,
}

/// The end of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// At most the last 64 KiB; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// How many bytes came before `text` and were let go.
    pub forgotten: u64,
}

impl Printed {
    fn last_lines(&self, count: usize) -> impl Iterator<Item = &str> {
        let lines: Vec<&str> = self.text.lines().filter(|line| !line.trim().is_empty()).collect();
        let skip = lines.len().saturating_sub(count);
        lines.into_iter().skip(skip)
    }
}

impl fmt::Display for Output {
    /// The last lines of both streams, indented, or a word that there were none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES: usize = 10;
        const WIDTH: usize = 400;
        let mut nothing = true;
        for (name, printed) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in printed.last_lines(LINES) {
                nothing = false;
                let shown: String = line.chars().take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
                write!(f, "\n  {name}: {shown}")?;
            }
        }
        if nothing {
            write!(f, "\n  (it printed nothing)")?;
        }
        Ok(())
    }
}

/// One stream while it is being read.
#[derive(Clone)]
pub(super) struct Stream {
    kept: Arc<Mutex<Kept>>,
    grown: watch::Receiver<bool>,
}

#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    forgotten: u64,
    /// What the readiness line is searched in: everything from the start, until the search ends or this is full.
    opening: Vec<u8>,
}

impl Stream {
    /// Reads `source` to its end in a task of its own, so that the target never waits for us.
    pub(super) fn drain(mut source: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (ended, grown) = watch::channel(false);
        let store = Arc::clone(&kept);
        tokio::spawn(async move {
            let mut buffer = [0; 8192];
            while let Ok(1..) = source.read(&mut buffer).await.inspect(|&count| {
                store.lock().unwrap_or_else(PoisonError::into_inner).take(&buffer[..count]);
            }) {
                ended.send_replace(false);
            }
            ended.send_replace(true);
        });
        Self { kept, grown }
    }

    pub(super) fn printed(&self) -> Printed {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.bytes.iter().copied().collect();
        Printed { text: String::from_utf8_lossy(&bytes).into_owned(), forgotten: kept.forgotten }
    }

    /// Waits until no process holds the stream open any more.
    pub(super) async fn ended(&self) {
        // An error means that the reading task is gone, which is the end too.
        let _ = self.grown.clone().wait_for(|&ended| ended).await;
    }

    /// Waits for a complete line that contains `part`, from the first line on; never returns if the stream ends without.
    /// Only the first 64 KiB are searched.
    pub(super) async fn line_with(&self, part: &str) -> String {
        let mut grown = self.grown.clone();
        loop {
            grown.mark_unchanged();
            if let Some(line) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).opening_line(part) {
                return line;
            }
            if grown.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Kept {
    fn take(&mut self, bytes: &[u8]) {
        let room = OUTPUT_KEPT.saturating_sub(self.opening.len()).min(bytes.len());
        self.opening.extend_from_slice(&bytes[..room]);
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(OUTPUT_KEPT);
        self.bytes.drain(..excess);
        self.forgotten += excess as u64;
    }

    fn opening_line(&self, part: &str) -> Option<String> {
        let complete = &self.opening[..=memchr::memrchr(b'\n', &self.opening)?];
        let text = String::from_utf8_lossy(complete);
        text.lines().find(|line| line.contains(part)).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn only_the_last_64_kib_are_kept() {
        let (mut target, ours) = tokio::io::duplex(1024);
        let stream = Stream::drain(ours);
        for _ in 0..OUTPUT_KEPT {
            target.write_all(b"ab").await.expect("drained");
        }
        target.write_all(b"\nlast\n").await.expect("drained");
        drop(target);
        stream.ended().await;
        let printed = stream.printed();
        assert_eq!((printed.text.len(), printed.forgotten), (OUTPUT_KEPT, OUTPUT_KEPT as u64 + 6));
        assert!(printed.text.ends_with("b\nlast\n"));
    }

    #[tokio::test]
    async fn a_line_counts_only_when_it_is_complete() {
        let (mut target, ours) = tokio::io::duplex(1024);
        let stream = Stream::drain(ours);
        target.write_all(b"starting\nlistening on :8").await.expect("drained");
        let waiting = stream.line_with("listening");
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        target.write_all(b"0\n").await.expect("drained");
        assert_eq!(waiting.await, "listening on :80");
    }

    #[test]
    fn output_shows_its_last_lines_without_control_characters() {
        let mut output = Output::default();
        assert_eq!(output.to_string(), "\n  (it printed nothing)");
        output.stderr.text = (0..12).map(|n| format!("l\x1b[1m{n}\n\n")).collect();
        assert_eq!(output.to_string().lines().nth(1), Some("  stderr: l [1m2"));
        assert_eq!(output.to_string().lines().count(), 11);
    }
}
