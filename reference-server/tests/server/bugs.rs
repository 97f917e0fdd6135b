//! Every switchable defect shows to a client: against each, a probe sees something else than against the right server.
//! (Whether the harness catches it, and by which requirement, is the harness's kill table.)

use futures_util::StreamExt;
use futures_util::stream;
use streamspec_reference_server::bugs::BUGS;
use streamspec_reference_server::{Running, start};

use crate::dialect::options;
use crate::probes::Probe;

/// Servers that run at once: most of a script is waiting.
const AT_ONCE: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Life,
    Refusals,
    Keys,
    Eviction,
    Company,
    Quiet,
    Restart,
    Races,
    Seams,
    SlowReader,
    Leaving,
    /// Needs a process of its own; see `process.rs`.
    Process,
}

/// The script that shows a bug.
fn script(bug: &str) -> Script {
    match bug {
        "plain-content-type"
        | "torn-character"
        | "cr-unescaped"
        | "splits-on-unicode-lines"
        | "cacheable-stream"
        | "leading-mark"
        | "unfinished-last-frame"
        | "swapped-neighbours"
        | "positional-cursor"
        | "no-id-in-replay"
        | "lossy-live"
        | "live-twice"
        | "replay-drops-controls"
        | "payload-cut"
        | "replay-inclusive"
        | "cursor-ignored"
        | "off-by-one"
        | "resume-live-only"
        | "unstored-id"
        | "replay-once"
        | "boundary-twice"
        | "boundary-never"
        | "boundary-early"
        | "boundary-always"
        | "ephemeral-with-id"
        | "ephemeral-replayed"
        | "ephemeral-overtakes"
        | "ephemeral-dropped"
        | "terminal-twice"
        | "terminal-early"
        | "terminal-live-only"
        | "empty-after-end"
        | "publish-after-close"
        | "open-after-terminal"
        | "page-skips-one"
        | "limit-ignored" => Script::Life,
        "error-inside-stream"
        | "deleted-still-streams"
        | "empty-refusals"
        | "any-method"
        | "creates-on-publish"
        | "ahead-swallows"
        | "foreign-cursor"
        | "no-epoch"
        | "malformed-is-zero"
        | "lenient-cursor"
        | "empty-is-refused"
        | "query-beats-header"
        | "type-unescaped"
        | "negative-retention"
        | "foreign-cursor-tells"
        | "limit-clamped" => Script::Refusals,
        "key-ignored" | "retry-new-number" | "conflict-accepted" | "refused-still-broadcast" => Script::Keys,
        "silent-eviction" | "false-gap" | "gap-one-late" | "empty-is-no-gap" | "age-on-append-only" | "keeps-double" | "keeps-fewer"
        | "gap-misplaced" => Script::Eviction,
        "shared-baseline" | "destructive-queue" | "ten-listeners" | "replaced-reader" | "live-to-everyone" | "replay-leaks" => {
            Script::Company
        }
        "no-heartbeat" | "heartbeat-with-id" | "lost-wakeup" | "headers-wait" | "gzip-unflushed" => Script::Quiet,
        "recovery-doubles-last" | "ids-restart" | "minted-twice" | "shutdown-truncates" | "sessions-forgotten" | "keys-in-memory" => {
            Script::Restart
        }
        "order-per-reader" | "number-before-lock" | "counter-race" => Script::Races,
        "read-before-register"
        | "no-skip-at-fence"
        | "skips-behind-fence"
        | "live-during-replay"
        | "snapshot-ahead"
        | "snapshot-behind" => Script::Seams,
        "slow-stalls-all" | "silent-skip" => Script::SlowReader,
        "poisoned-by-reset" => Script::Leaving,
        "ack-before-durable" | "descriptor-leak" | "thread-leak" | "memory-leak" => Script::Process,
        other => panic!("say which script shows {other}"),
    }
}

async fn said(script: Script, bug: Option<&str>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut arguments = vec!["--heartbeat", if script == Script::Quiet { "30ms" } else { "1h" }];
    if script == Script::Restart {
        arguments.extend(["--data", dir.path().to_str().unwrap()]);
    }
    if let Some(bug) = bug {
        arguments.extend(["--bug", bug]);
    }
    let server: Running = start(&options(&arguments)).await.unwrap();
    let probe = Probe::new(server.address());
    let probe = match script {
        Script::Life => probe.a_life().await,
        Script::Refusals => probe.refusals().await,
        Script::Keys => probe.keys().await,
        Script::Eviction => probe.eviction().await,
        Script::Company => probe.company().await,
        Script::Quiet => probe.quiet().await,
        Script::Races => probe.races().await,
        Script::Seams => probe.seams().await,
        Script::SlowReader => probe.slow_reader().await,
        Script::Leaving => {
            let hub = server.hub().clone();
            probe.leaving(move || hub.find("s").map_or(0, |cell| cell.lock().readers())).await
        }
        Script::Restart => {
            let probe = probe.before_a_restart().await;
            server.stop().await;
            let server = start(&options(&arguments)).await.unwrap();
            let probe = probe.moved(server.address()).after_a_restart().await;
            server.stop().await;
            return probe.said();
        }
        Script::Process => return Vec::new(),
    };
    server.stop().await;
    probe.said()
}

/// Defects that the kill table shows: they need a cursor at the edge of what is kept, or a publish amid the replay.
const ELSEWHERE: [&str; 3] = ["empty-is-no-gap", "gap-one-late", "live-during-replay"];

/// Runs the script against the right server twice and against each bug that it shows.
async fn shows(script_: Script) {
    let right = said(script_, None).await;
    assert_eq!(right, said(script_, None).await, "the right server says the same twice");
    let bugs = BUGS.iter().filter(|entry| entry.dialects.contains(&"sse")).map(|entry| entry.name);
    let bugs = bugs.filter(|name| !ELSEWHERE.contains(name) && script(name) == script_);
    let wrong = stream::iter(bugs).map(async |name| (name, is_seen(script_, name, &right).await)).buffer_unordered(AT_ONCE);
    let hidden: Vec<&str> = wrong.collect::<Vec<_>>().await.into_iter().filter(|(_, seen)| !seen).map(|(name, _)| name).collect();
    assert!(hidden.is_empty(), "no probe sees {hidden:?}");
}

/// How often a script is run until a defect shows: what overtakes must have something to overtake when it comes.
const TRIES: usize = 20;

/// True when the server with that defect says something else than the right one.
async fn is_seen(script_: Script, bug: &str, right: &[String]) -> bool {
    for _ in 0..TRIES {
        if said(script_, Some(bug)).await != right {
            return true;
        }
    }
    false
}

macro_rules! shown {
    ($($name:ident $script:ident;)+) => { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() { shows(Script::$script).await; })+ };
}

shown! {
    bugs_of_a_plain_life_show Life;
    bugs_of_refusals_show Refusals;
    bugs_of_keys_show Keys;
    bugs_of_eviction_show Eviction;
    bugs_of_company_show Company;
    bugs_of_quiet_streams_show Quiet;
    bugs_of_restarts_show Restart;
    bugs_of_numbering_show Races;
    bugs_of_seams_show Seams;
    bugs_of_slow_readers_show SlowReader;
    bugs_of_leaving_show Leaving;
}
