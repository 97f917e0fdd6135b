//! Every switchable defect of the dialect shows to a client: against each, a script sees something else than against the
//! right server. (Whether the harness catches it, and by which requirement, is the harness's kill table.)

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use streamspec_reference_server::Running;
use streamspec_reference_server::bugs::{BUGS, BugEntry};

use crate::client::{Client, Frame, frames, rows, serve, text};
use crate::files::{raw, upload};
use crate::http::{Answer, DEADLINE, ask, request};
use crate::provider::{Feed, Provider};

/// Servers that run at once: most of a script is waiting.
const AT_ONCE: usize = 6;
/// How long to wait for what only one of both servers says: the right one, or the one with the bug.
const QUIET: Duration = Duration::from_secs(2);
/// Events that a slow reader is behind, and how large each is: more than the buffers of a socket hold.
const BURST: usize = 160;
const LARGE: usize = 128 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Live,
    Finished,
    Alone,
    Restart,
    Cancel,
    Sessions,
    Deletion,
    Secrets,
    Files,
    Access,
    Leaving,
    Quiet,
    Eviction,
    Seams,
    Slow,
}

/// The script that shows a bug.
fn script(bug: &str) -> Script {
    match bug {
        "live-without-id" | "lossy-live" | "live-twice" | "terminal-twice" | "open-after-terminal" | "zero-is-none" | "ahead-swallows" => {
            Script::Live
        }
        "latest-id-table"
        | "header-cursor-ignored"
        | "ahead-of-dead-is-empty"
        | "journal-splits-lines"
        | "replay-inclusive"
        | "cursor-ignored"
        | "replay-drops-controls"
        | "off-by-one"
        | "no-id-in-replay"
        | "positional-cursor"
        | "empty-after-end"
        | "terminal-live-only" => Script::Finished,
        "detached-tail-only" => Script::Alone,
        "unstored-id"
        | "partial-dropped"
        | "repair-before-journal"
        | "repair-skipped"
        | "torn-row-renumbered"
        | "row-appended-again"
        | "dead-run-holds" => Script::Restart,
        "cancel-id-reused" | "cancelled-still-active" | "late-worker-writes" | "cancel-loses-prompt" => Script::Cancel,
        "seq-filter-across-runs" | "short-run-missed" | "close-on-long-lived" => Script::Sessions,
        "deleted-still-streams" | "numbers-survive" => Script::Deletion,
        "snapshot-unredacted" | "live-unredacted" => Script::Secrets,
        "attachment-root" | "prefix-containment" | "escape-forbidden" => Script::Files,
        "profile-unchecked" | "stream-without-login" | "health-needs-login" => Script::Access,
        "leaving-touches" | "turn-dies-with-its-reader" => Script::Leaving,
        "no-heartbeat" | "headers-wait" => Script::Quiet,
        "silent-eviction" => Script::Eviction,
        "read-before-register" | "no-skip-at-fence" | "snapshot-ahead" | "snapshot-behind" => Script::Seams,
        "silent-skip" => Script::Slow,
        other => panic!("say which script shows {other}"),
    }
}

/// What a script saw, without what is different each time.
#[derive(Default)]
struct Notes {
    names: Vec<String>,
    said: Vec<String>,
}

impl Notes {
    fn name(&mut self, id: &str) {
        self.names.push(id.to_owned());
    }

    fn note(&mut self, what: &str, saw: &impl ToString) {
        let mut saw = saw.to_string();
        for (n, name) in self.names.iter().enumerate() {
            saw = saw.replace(name, &format!("<{n}>"));
        }
        self.said.push(format!("{what}: {saw}"));
    }

    fn frames(&mut self, what: &str, frames: &[Frame]) {
        let brief = |frame: &Frame| format!("{} {} {}", frame.id.as_deref().unwrap_or("-"), frame.name, frame.data["text"]);
        self.note(what, &frames.iter().map(brief).collect::<Vec<_>>().join(", "));
    }

    async fn listen(&mut self, what: &str, mut stream: Answer) {
        let over = stream.listen(QUIET).await;
        let body = String::from_utf8(stream.body).unwrap();
        self.frames(what, &frames(&body));
        self.note(what, &format!("{} over {over}", stream.status));
    }
}

struct Stage {
    provider: Provider,
    client: Client,
    session: String,
    notes: Notes,
}

impl Stage {
    async fn new(arguments: &[&str]) -> (Stage, Running) {
        let provider = Provider::start().await;
        let server = serve(&[arguments, &["--provider", &provider.url]].concat()).await;
        let client = Client::of(&server);
        let session = client.session().await;
        let mut notes = Notes::default();
        notes.name(&session);
        (Stage { provider, client, session, notes }, server)
    }

    /// Starts a turn that says what the feed is told.
    async fn begin(&mut self) -> (String, Feed) {
        let feed = self.provider.next();
        let run = self.client.say(&self.session, "go").await;
        self.notes.name(&run);
        (run, feed)
    }

    /// A turn with these words, to its end.
    async fn turn(&mut self, words: &[&str]) -> String {
        let (run, feed) = self.begin().await;
        words.iter().for_each(|word| feed.text(word));
        feed.finish();
        self.ended(&run).await;
        run
    }

    /// Waits until the status says that the run is over, or that it never will be.
    async fn ended(&mut self, run: &str) {
        let over = async {
            while self.client.status(run).await["journal"]["terminal"] != true {
                tokio::task::yield_now().await;
            }
        };
        // With the turn's worker dead nothing would come: the script then notes what it sees.
        let _ = tokio::time::timeout(DEADLINE, over).await;
    }

    async fn shown(&mut self, what: &str) {
        let shown = self.client.shown(&self.session).await;
        let views = (
            &shown["active_stream_id"],
            &shown["is_streaming"],
            &shown["pending_user_message"],
            shown["runtime_journal"]["terminal_state"].clone(),
        );
        self.notes.note(what, &format!("{} {views:?}", rows(&shown).join(" | ")));
    }
}

async fn live(stage: &mut Stage) {
    let (run, feed) = stage.begin().await;
    let mut first = stage.client.stream(&run, "", None).await;
    feed.text("w0 ");
    first.until("w0 ").await;
    let company = stage.client.stream(&run, "&after_seq=0", None).await;
    let ahead = stage.client.stream(&run, "&after_seq=999", None).await;
    for n in 1..15 {
        let word = format!("w{n} ");
        feed.text(&word);
        // One in ten may be missing: the next one shows that it was passed.
        if n % 2 == 0 {
            let either = async { first.until(&word).await };
            let _ = tokio::time::timeout(QUIET, either).await;
        }
    }
    feed.finish();
    stage.ended(&run).await;
    stage.notes.listen("from the start", first).await;
    stage.notes.listen("with company", company).await;
    stage.notes.listen("ahead", ahead).await;
}

async fn finished(stage: &mut Stage) {
    let run = stage.turn(&["a ", "\u{2028} ", "\u{7} ", "b ", "c "]).await;
    for (query, header) in [
        ("", None),
        ("&after_seq=3", None),
        ("", Some(format!("{run}:4"))),
        ("&after_seq=999", None),
        ("&after_seq=abc", None),
        ("", Some(format!("{run}:12"))),
    ] {
        let stream = stage.client.stream(&run, query, header.as_deref()).await;
        stage.notes.listen(&format!("{query} {}", header.is_some()), stream).await;
    }
}

async fn alone(stage: &mut Stage) {
    let (run, feed) = stage.begin().await;
    (0..9).for_each(|n| feed.text(&format!("w{n} ")));
    let snapshot = async { while !stage.client.shown(&stage.session).await.to_string().contains("w8 ") {} };
    tokio::time::timeout(DEADLINE, snapshot).await.unwrap();
    let stream = stage.client.stream(&run, "&after_seq=1", None).await;
    feed.finish();
    stage.notes.listen("back", stream).await;
}

async fn restart(bug: Option<&str>) -> Notes {
    let dir = tempfile::tempdir().unwrap();
    let data = ["--data", dir.path().to_str().unwrap()];
    let bugs: Vec<&str> = bug.iter().flat_map(|bug| ["--bug", bug]).collect();
    let (mut stage, server) = Stage::new(&[&data, &bugs[..]].concat()).await;
    let (run, feed) = stage.begin().await;
    let mut stream = stage.client.stream(&run, "", None).await;
    feed.text("w0 ");
    feed.text("w1 ");
    stream.until("w1 ").await;
    server.stop().await;
    let server = serve(&[&data[..], &bugs, &["--provider", &stage.provider.url]].concat()).await;
    stage.client = Client::of(&server);
    stage.notes.note("status", &stage.client.status(&run).await);
    stage.shown("session").await;
    for query in ["", "&after_seq=3", "&after_seq=4"] {
        let stream = stage.client.stream(&run, query, None).await;
        stage.notes.listen(query, stream).await;
    }
    stage.turn(&["new"]).await;
    stage.shown("later").await;
    server.stop().await;
    stage.notes
}

async fn cancel(stage: &mut Stage) {
    let (run, feed) = stage.begin().await;
    let mut stream = stage.client.stream(&run, "", None).await;
    feed.text("w0 ");
    stream.until("w0 ").await;
    stage.notes.note("cancel", &stage.client.get(&format!("/api/chat/cancel?stream_id={run}")).await.1);
    stage.notes.listen("live", stream).await;
    let again = stage.client.stream(&run, "&after_seq=0", None).await;
    stage.notes.listen("replay", again).await;
    stage.notes.note("status", &stage.client.status(&run).await);
    stage.shown("session").await;
    let mut pings = request(stage.client.at, "GET", &format!("/api/session/stream?session_id={}", stage.session), &[], "").await.unwrap();
    feed.text("late");
    feed.finish();
    // A worker that goes on says so when it is done; one that has stopped says nothing.
    pings.listen(QUIET).await;
    stage.shown("later").await;
}

async fn sessions(stage: &mut Stage) {
    let path = format!("/api/sessions/{}/events", stage.session);
    let stream = request(stage.client.at, "GET", &path, &[], "").await.unwrap();
    stage.notes.note("closes", &stream.headers.contains("connection: close"));
    let mut stream = stream;
    for words in [&["a ", "b ", "c "][..], &["d "]] {
        let run = stage.turn(words).await;
        let last = stage.client.status(&run).await["journal"]["last_event_id"].as_str().unwrap().to_owned();
        let end = format!("id: {last}\nevent: stream_end\ndata: {{\"session_id\":\"{}\"}}\n\n", stage.session);
        let _ = tokio::time::timeout(QUIET, stream.until(&end)).await;
    }
    stage.notes.frames("all", &frames(&String::from_utf8(stream.body).unwrap()));
}

async fn deletion(stage: &mut Stage) {
    let run = stage.turn(&["a"]).await;
    let session = json!({ "session_id": stage.session });
    stage.client.post("/api/session/delete", &session).await;
    stage.notes.note("stream", &ask(stage.client.at, "GET", &format!("/api/chat/stream?stream_id={run}"), &[], "").await.0);
    let made = stage.client.post("/api/session/new", &session).await.0;
    stage.notes.note("again", &made);
    let run = stage.turn(&["b"]).await;
    let stream = stage.client.stream(&run, "&after_seq=0", None).await;
    stage.notes.listen("new", stream).await;
}

async fn secrets(stage: &mut Stage) {
    let (run, feed) = stage.begin().await;
    let mut stream = stage.client.stream(&run, "", None).await;
    feed.text("ghp_A1b2C3d4E5f6G7h8 ");
    feed.text("w0 ");
    stream.until("w0 ").await;
    let snapshot = stage.client.shown(&stage.session).await["runtime_journal_snapshot"]["last_assistant_text"].clone();
    stage.notes.note("snapshot", &snapshot);
    feed.finish();
    stage.notes.listen("stream", stream).await;
}

async fn paths(stage: &mut Stage) {
    let other = stage.client.session().await;
    let near = format!("{}0", stage.session);
    stage.client.post("/api/session/new", &json!({ "session_id": near })).await;
    for owner in [&stage.session, &other, &near] {
        upload(stage.client, owner, "f", "x").await;
    }
    for path in ["f", &format!("../{other}/f"), &format!("../{near}/f")] {
        stage.notes.note("file", &raw(stage.client, &stage.session, path).await.0);
    }
}

async fn access(stage: &mut Stage) {
    let (at, session) = (stage.client.at, &stage.session);
    let theirs = [("Cookie", "hermes_profile=work")];
    stage.notes.note("profile", &ask(at, "GET", &format!("/api/session?session_id={session}"), &theirs, "").await.0);
    stage.notes.note("events", &request(at, "GET", &format!("/api/sessions/{session}/events"), &theirs, "").await.unwrap().status);
}

async fn login(bug: Option<&str>) -> Notes {
    let bugs: Vec<&str> = bug.iter().flat_map(|bug| ["--bug", bug]).collect();
    let server = serve(&[&["--password", "p"], &bugs[..]].concat()).await;
    let mut notes = Notes::default();
    for path in ["/api/chat/stream?stream_id=x", "/api/sessions"] {
        notes.note(path, &ask(server.address(), "GET", path, &[], "").await.0);
    }
    notes
}

async fn leaving(stage: &mut Stage, server: &Running) {
    let (run, feed) = stage.begin().await;
    let mut stream = stage.client.stream(&run, "", None).await;
    feed.text("w0 ");
    stream.until("w0 ").await;
    let newer = stage.client.session().await;
    stage.notes.name(&newer);
    let before = stage.client.shown(&stage.session).await["updated_at"].clone();
    drop(stream);
    let cell = server.hub().find(&run).unwrap();
    let gone = async {
        while cell.lock().readers() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.unwrap();
    // What leaving does is done by the task that served the stream, a moment later.
    let touched = async { while stage.client.shown(&stage.session).await["updated_at"] == before {} };
    stage.notes.note("touched", &tokio::time::timeout(QUIET, touched).await.is_ok());
    feed.text("w1 ");
    feed.finish();
    stage.ended(&run).await;
    let stream = stage.client.stream(&run, "&after_seq=0", None).await;
    stage.notes.listen("all", stream).await;
}

async fn quiet(stage: &mut Stage) {
    let (run, feed) = stage.begin().await;
    let mut first = stage.client.stream(&run, "&after_seq=0", None).await;
    feed.text("w0 ");
    first.until("w0 ").await;
    let opened = tokio::time::timeout(QUIET, stage.client.stream(&run, "&after_seq=2", None)).await;
    stage.notes.note("opened", &opened.is_ok());
    let beat = tokio::time::timeout(QUIET, first.until(": heartbeat")).await;
    stage.notes.note("beat", &beat.is_ok());
}

async fn eviction(stage: &mut Stage) {
    let run = stage.turn(&["a ", "b ", "c ", "d ", "e "]).await;
    let stream = stage.client.stream(&run, "&after_seq=1", None).await;
    stage.notes.listen("evicted", stream).await;
}

/// Streams and snapshots taken while words come one by one; what is noted is whether they add up.
async fn seams(stage: &mut Stage) {
    let (run, feed) = stage.begin().await;
    let mut witness = stage.client.stream(&run, "&after_seq=0", None).await;
    let (client, session) = (stage.client, stage.session.clone());
    let words = async {
        for n in 0..60 {
            let word = format!("w{n} ");
            feed.text(&word);
            witness.until(&word).await;
            // The windows that the bugs leave open are wider than this: some word falls into each.
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        feed.finish();
        witness.all().await;
        frames(&String::from_utf8(std::mem::take(&mut witness.body)).unwrap())
    };
    let readers = async {
        let mut streams = Vec::new();
        let mut snapshots = Vec::new();
        for _ in 0..4 {
            snapshots.push(client.shown(&session).await["runtime_journal_snapshot"].clone());
            streams.push(client.stream(&run, "&after_seq=0", None).await);
        }
        let mut read = Vec::new();
        for stream in streams {
            read.push(frames(&stream.end().await));
        }
        (read, snapshots)
    };
    let (all, (read, snapshots)) = tokio::join!(words, readers);
    stage.notes.note("streams", &read.iter().all(|one| *one == all));
    let adds_up = |snapshot: &Value| {
        let last = snapshot["last_seq"].as_u64().unwrap_or(0);
        let before: Vec<Frame> = all.iter().filter(|frame| frame.seq() <= last).cloned().collect();
        snapshot.is_null() || snapshot["last_assistant_text"] == text(&before)
    };
    stage.notes.note("snapshots", &snapshots.iter().all(adds_up));
}

async fn slow(stage: &mut Stage) {
    let (run, feed) = stage.begin().await;
    let mut stream = stage.client.stream(&run, "&after_seq=0", None).await;
    feed.text("w0 ");
    stream.until("w0 ").await;
    let large = "x".repeat(LARGE);
    for _ in 0..BURST {
        feed.text(&large);
    }
    feed.finish();
    stage.ended(&run).await;
    let all = frames(&stream.end().await);
    stage.notes.note("seqs", &format!("{:?}", all.iter().map(Frame::seq).collect::<Vec<_>>()));
}

async fn said(script: Script, bug: Option<&str>) -> Vec<String> {
    if script == Script::Restart {
        return restart(bug).await.said;
    }
    let more = match script {
        Script::Quiet => &["--heartbeat", "40ms"][..],
        Script::Eviction => &["--retain-records", "4"],
        _ => &[],
    };
    let bugs: Vec<&str> = bug.iter().flat_map(|bug| ["--bug", bug]).collect();
    let (mut stage, server) = Stage::new(&[more, &bugs].concat()).await;
    match script {
        Script::Live => live(&mut stage).await,
        Script::Finished => finished(&mut stage).await,
        Script::Alone => alone(&mut stage).await,
        Script::Cancel => cancel(&mut stage).await,
        Script::Sessions => sessions(&mut stage).await,
        Script::Deletion => deletion(&mut stage).await,
        Script::Secrets => secrets(&mut stage).await,
        Script::Files => paths(&mut stage).await,
        Script::Access => {
            access(&mut stage).await;
            stage.notes.said.extend(login(bug).await.said);
        }
        Script::Leaving => leaving(&mut stage, &server).await,
        Script::Quiet => quiet(&mut stage).await,
        Script::Eviction => eviction(&mut stage).await,
        Script::Seams => seams(&mut stage).await,
        Script::Slow => slow(&mut stage).await,
        Script::Restart => unreachable!("it starts its servers itself"),
    }
    server.stop().await;
    stage.notes.said
}

/// Defects that the kill table shows: these scripts log in first, and need the next run after a restart.
const ELSEWHERE: [&str; 2] = ["health-needs-login", "dead-run-holds"];

/// Runs the script against the right server twice and against each bug that it shows.
async fn shows(script_: Script) {
    let right = said(script_, None).await;
    assert_eq!(right, said(script_, None).await, "the right server says the same twice");
    // The bound that this one needs is the operator's; no profile has it.
    let shown = |entry: &&BugEntry| entry.name == "silent-eviction" || entry.dialects.iter().any(|dialect| dialect.starts_with("hermes"));
    let bugs = BUGS.iter().filter(shown).map(|entry| entry.name).filter(|name| !ELSEWHERE.contains(name) && script(name) == script_);
    let wrong = futures_util::stream::iter(bugs).map(async |name| (name, said(script_, Some(name)).await)).buffer_unordered(AT_ONCE);
    let wrong: Vec<(&str, Vec<String>)> = wrong.collect().await;
    assert!(!wrong.is_empty(), "a script for no bug");
    let hidden: Vec<&str> = wrong.into_iter().filter(|(_, wrong)| *wrong == right).map(|(name, _)| name).collect();
    assert!(hidden.is_empty(), "no script sees {hidden:?}; the right server says {right:#?}");
}

macro_rules! shown {
    ($($name:ident $script:ident;)+) => { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() { shows(Script::$script).await; })+ };
}

shown! {
    bugs_of_live_runs_show Live;
    bugs_of_replay_show Finished;
    bugs_of_coming_back_show Alone;
    bugs_of_restarts_show Restart;
    bugs_of_cancelling_show Cancel;
    bugs_of_session_streams_show Sessions;
    bugs_of_deletion_show Deletion;
    bugs_of_redaction_show Secrets;
    bugs_of_paths_show Files;
    bugs_of_access_show Access;
    bugs_of_leaving_show Leaving;
    bugs_of_quiet_streams_show Quiet;
    bugs_of_eviction_show Eviction;
    bugs_of_seams_show Seams;
    bugs_of_slow_readers_show Slow;
}
