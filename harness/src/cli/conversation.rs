//! `streamspec record --upstream`: stands between a client and a server, keeps every byte, and makes a history and a scenario
//! of their conversation.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tempfile::NamedTempFile;
use tokio::signal::unix::{SignalKind, signal};

use super::check::tell_open;
use super::proxy::{Upstream, listening};
use super::{Complaint, exit, print, reason, tell};
use crate::capture::tape::{By, Bytes, Conversation, Moment, Tape, TapeHeader, Taped, conversation, replayed};
use crate::contract::Profile;
use crate::history::Micros;
use crate::report::{Page, plural, visible};
use crate::world::live::proxy::{ClosedBy, ConnId, Framing, Happened, Link, LinkConfig, Observed, Side};

/// Most bytes of a tape, as a file.
const MOST_TAPE: u64 = 256 << 20;

/// Between whom it stands, and what becomes of it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ConversationArgs {
    /// Record a conversation instead: stand between its client and this server, http://HOST:PORT, until Ctrl-C
    #[arg(long, value_name = "URL", conflicts_with_all = ["scenarios", "target", "url", "start"])]
    pub(super) upstream: Option<String>,
    /// With --upstream: where the client connects; a port alone means 127.0.0.1, and port 0 a free one, which the first line
    /// names
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = listening, requires = "upstream")]
    listen: SocketAddr,
    /// With --upstream: the history; every byte goes to NAME.tape beside it, and a scenario that has the same conversation
    /// again to NAME.toml
    #[arg(short, long, value_name = "NAME.ndjson", default_value = "recorded.ndjson", requires = "upstream")]
    output: PathBuf,
}

/// Records until it is told to end; the exit code.
pub(super) fn record(args: &ConversationArgs, upstream: &str, profile: Option<&str>) -> Result<u8, Complaint> {
    let upstream = Upstream::of(upstream)?;
    let Some(profile) = profile else {
        return Err(Complaint::Usage("which protocol? name it with --profile (a built-in name or a file)".to_owned()));
    };
    let profile = Profile::load(profile)?;
    let files = Files::beside(&args.output)?;
    let spool = files.spool().map_err(Complaint::Usage)?;
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))
        .and_then(|runtime| runtime.block_on(serve(args.listen, &upstream, spool)));
    let spool = match served {
        Ok(spool) => spool,
        Err(why) => {
            tell(&format!("error: {why}"));
            return Ok(exit::COULD_NOT_TEST);
        }
    };
    finish(spool, &profile, &files).map_err(Complaint::Usage)
}

/// The three files of a recording.
struct Files {
    history: PathBuf,
    tape: PathBuf,
    scenario: PathBuf,
    name: String,
}

impl Files {
    fn beside(history: &Path) -> Result<Files, Complaint> {
        let stem = history.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let is_name = !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_name || history.extension().is_none_or(|end| end != "ndjson") {
            let what = format!(
                "`{}`: a recording is called NAME.ndjson, with small letters, digits and dashes, as its scenario is",
                history.display()
            );
            return Err(Complaint::Usage(what));
        }
        let beside = |end: &str| history.with_extension(end);
        Ok(Files { history: history.to_owned(), tape: beside("tape"), scenario: beside("toml"), name: stem })
    }

    fn folder(&self) -> &Path {
        self.history.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn spool(&self) -> Result<NamedTempFile, String> {
        NamedTempFile::new_in(self.folder()).map_err(|e| format!("cannot write to {}: {}", self.folder().display(), reason(&e)))
    }
}

async fn serve(listen: SocketAddr, upstream: &Upstream, spool: NamedTempFile) -> Result<NamedTempFile, String> {
    let listen_for = |kind| signal(kind).map_err(|e| format!("cannot listen for signals: {e}"));
    let (mut terminate, mut interrupt) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    let server = upstream.resolve().await?;
    let header = TapeHeader { streamspec_tape: TapeHeader::VERSION, upstream: format!("http://{}", upstream.host()) };
    let recording = Arc::new(Recording::begin(spool, &header)?);
    let (taped, observed) = (Arc::clone(&recording), Arc::clone(&recording));
    let tape = Arc::new(move |conn: ConnId, side: Side, bytes: &[u8]| {
        let bytes = Bytes::of(bytes);
        taped.take(conn, if side == Side::Client { Taped::Client(bytes) } else { Taped::Server(bytes) });
    });
    let observer = Arc::new(move |seen: Observed| match seen.what {
        Happened::Accepted { .. } => observed.take(seen.conn, Taped::Accepted),
        Happened::Closed { by } => {
            let by = match by {
                ClosedBy::Client => By::Client,
                ClosedBy::Server => By::Server,
                ClosedBy::ServerReset | ClosedBy::Fault | ClosedBy::Proxy => By::Broken,
            };
            observed.take(seen.conn, Taped::Closed(by));
        }
        _ => {}
    });
    let config = LinkConfig { upstream: server, framing: Framing::None, origin: Instant::now(), observer };
    let link = Link::open_taped(config, listen, tape).await.map_err(|e| format!("cannot listen at {listen}: {e}"))?;
    print(&format!("recording on http://{} for http://{}; Ctrl-C ends it\n", link.address(), upstream.host()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(link);
    recording.end()
}

/// The tape while it is being written.
struct Recording {
    origin: Instant,
    spool: Mutex<Spool>,
}

struct Spool {
    /// `None` when the recording is over: what is still under way is no part of it.
    out: Option<BufWriter<NamedTempFile>>,
    bytes: u64,
    full: bool,
    failed: Option<String>,
}

impl Recording {
    fn begin(file: NamedTempFile, header: &TapeHeader) -> Result<Recording, String> {
        let mut out = BufWriter::new(file);
        let begun = serde_json::to_writer(&mut out, header).map_err(std::io::Error::from).and_then(|()| out.write_all(b"\n"));
        begun.map_err(|e| format!("the tape cannot be written: {e}"))?;
        Ok(Recording { origin: Instant::now(), spool: Mutex::new(Spool { out: Some(out), bytes: 0, full: false, failed: None }) })
    }

    /// Writes one moment. Its time is taken under the lock, so that the tape is in the order of its times.
    fn take(&self, conn: ConnId, what: Taped) {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if spool.full || spool.failed.is_some() {
            return;
        }
        let at = Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX));
        let Ok(mut line) = serde_json::to_vec(&Moment { conn: conn.0, at, what }) else { return };
        if spool.bytes + line.len() as u64 > MOST_TAPE {
            spool.full = true;
            line = serde_json::to_vec(&Moment { conn: conn.0, at, what: Taped::Full }).unwrap_or_default();
            tell(&format!("the tape has {} MiB and is full; what follows is passed on and not kept", MOST_TAPE >> 20));
        }
        line.push(b'\n');
        spool.bytes += line.len() as u64;
        let written = spool.out.as_mut().map(|out| out.write_all(&line));
        if let Some(Err(error)) = written {
            spool.failed = Some(format!("the tape cannot be written: {error}"));
        }
    }

    /// The whole tape, as a file.
    fn end(&self) -> Result<NamedTempFile, String> {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = spool.failed.take() {
            return Err(why);
        }
        let out = spool.out.take().ok_or("the recording was ended before")?;
        out.into_inner().map_err(|e| format!("the tape cannot be written: {}", e.error()))
    }
}

/// Makes the files, and says what is in them.
fn finish(spool: NamedTempFile, profile: &Profile, files: &Files) -> Result<u8, String> {
    let cannot = |path: &Path, why: String| format!("cannot write {}: {why}", path.display());
    spool.persist(&files.tape).map_err(|e| cannot(&files.tape, reason(&e.error)))?;
    let file = File::open(&files.tape).map_err(|e| format!("cannot read {}: {e}", files.tape.display()))?;
    let tape = Tape::read(BufReader::new(file)).map_err(|why| format!("{}: {why}", files.tape.display()))?;
    let kept = format!("; the bytes are kept in {}", files.tape.display());
    let told = conversation(tape, profile).map_err(|why| format!("{why}{kept}"))?;
    told.history.save(&files.history).map_err(|e| cannot(&files.history, reason(&e)))?;
    print(&summary(&told));
    tell_open(&told.open);
    print(&format!("{}\n{}\n", files.tape.display(), files.history.display()));
    let replayed = replayed(&told, profile, &files.name);
    if replayed.scenario.steps.is_empty() {
        print("nothing of it can be had again: no scenario\n");
        return Ok(exit::NOTHING_RAN);
    }
    let mut comment = format!("Recorded through a proxy, by the profile {}.\n", profile.name);
    // A cursor in it is the client's word.
    for what in replayed.left_out.iter().map(|what| visible(&what.replace('\n', "\\n"))) {
        comment.push_str(&format!("Left out: {what}.\n"));
        print(&Page::of_stdout().prose("left out: ", &what));
    }
    write_whole(&files.scenario, replayed.scenario.to_toml(comment.trim_end())).map_err(|e| cannot(&files.scenario, reason(&e)))?;
    print(&format!("{}\n", files.scenario.display()));
    Ok(exit::OK)
}

fn write_whole(path: &Path, text: String) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// What is on a tape, in one line.
pub(super) fn summary(told: &Conversation) -> String {
    format!(
        "{} recorded: {} published, {} by others\n",
        plural(told.exchanges as u64, "exchange"),
        plural(told.published as u64, "event"),
        told.foreign.len()
    )
}
