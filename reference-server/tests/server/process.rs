//! The server as a process that is killed, stopped and started again on its data.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::http::{DEADLINE, ask, member, request};

struct Process {
    child: Child,
    at: SocketAddr,
}

impl Process {
    fn start(data: &Path, more: &[&str]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_streamspec-reference-server"))
            .arg("--data")
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let at = ready.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{ready:?}")).parse().unwrap();
        Process { child, at }
    }

    /// SIGKILL; returns when the process is gone.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit code and how long it took.
    fn terminate(mut self) -> (Option<i32>, Duration) {
        let since = Instant::now();
        assert!(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap().success());
        (self.child.wait().unwrap().code(), since.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that panics leaves nothing running; one that ended its process has nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The replay of `s`: numbers and payloads.
async fn replay(at: SocketAddr) -> Vec<(u64, String)> {
    let mut stream = request(at, "GET", "/sessions/s/events", &[], "").await.unwrap();
    let text = stream.until("event: ready").await;
    let frames = text.split("\n\n").filter_map(|frame| frame.strip_prefix("id: "));
    frames
        .map(|frame| {
            let (id, rest) = frame.split_once('\n').unwrap();
            let data = rest.split("data: ").nth(1).unwrap_or_else(|| panic!("half a frame: {frame}"));
            let data: serde_json::Value = serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {frame}"));
            (number(id), data["data"].as_str().unwrap().to_owned())
        })
        .collect()
}

fn number(cursor: &str) -> u64 {
    cursor.split_once(':').unwrap().1.parse().unwrap()
}

async fn publish(at: SocketAddr, data: &str) -> Option<u64> {
    let answer = request(at, "POST", "/sessions/s/events", &[("Idempotency-Key", data)], &format!(r#"{{"data":"{data}"}}"#)).await?;
    assert!(answer.status == 201 || answer.status == 200, "{}", answer.status);
    Some(number(&member(&answer.end().await, "cursor")))
}

/// Publishes from four tasks until the server is gone; sends on what was invoked and what was acknowledged.
fn writers(at: SocketAddr, round: usize) -> mpsc::UnboundedReceiver<(String, Option<u64>)> {
    let (told, hear) = mpsc::unbounded_channel();
    for writer in 0..4 {
        let told = told.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let data = format!("{round}.{writer}.{n}");
                let acknowledged = publish(at, &data).await;
                let gone = acknowledged.is_none();
                if told.send((data, acknowledged)).is_err() || gone {
                    return;
                }
            }
        });
    }
    hear
}

#[tokio::test]
async fn a_kill_at_any_acknowledgement_loses_repeats_and_renumbers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), &[]);
    ask(process.at, "POST", "/sessions", &[], r#"{"id":"s"}"#).await;
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    for (round, kill_after) in [1, 2, 3, 7, 20, 61].into_iter().enumerate() {
        let mut heard = writers(process.at, round);
        let mut unknown = Vec::new();
        let mut heard_now = 0;
        let mut running = Some(process);
        while let Some((data, cursor)) = heard.recv().await {
            match cursor {
                Some(cursor) => assert_eq!(acknowledged.insert(data, cursor), None),
                None => unknown.push(data),
            }
            heard_now += 1;
            if heard_now == kill_after {
                running.take().unwrap().kill();
            }
        }
        process = Process::start(dir.path(), &[]);
        let kept = replay(process.at).await;
        let numbers: Vec<u64> = kept.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, (1..=kept.len() as u64).collect::<Vec<_>>(), "dense");
        let by_payload: BTreeMap<&str, u64> = kept.iter().map(|(n, data)| (data.as_str(), *n)).collect();
        assert_eq!(by_payload.len(), kept.len(), "nothing twice");
        for (data, cursor) in &acknowledged {
            assert_eq!(by_payload.get(data.as_str()), Some(cursor), "acknowledged, round {round}: {data}");
        }
        let invoked: BTreeSet<&str> = acknowledged.keys().chain(&unknown).map(String::as_str).collect();
        assert!(by_payload.keys().all(|data| invoked.contains(data)), "nothing invented");
        for data in unknown {
            // Its key decides whether this is the first time.
            let expected = by_payload.get(data.as_str()).copied();
            let cursor = publish(process.at, &data).await.unwrap();
            assert!(expected.is_none_or(|e| e == cursor), "{data}: {expected:?} then {cursor}");
            acknowledged.insert(data, cursor);
        }
    }
    let (code, took) = process.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let process = Process::start(dir.path(), &[]);
    assert_eq!(replay(process.at).await.len(), acknowledged.len(), "a graceful stop keeps everything");
}

#[tokio::test]
async fn numbers_end_and_epoch_survive_although_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &[]);
    let opened = ask(process.at, "POST", "/sessions", &[], r#"{"id":"s","retain":{"age_ms":1}}"#).await.1;
    for n in 0..3 {
        publish(process.at, &format!("before.{n}")).await;
    }
    let expired = async { while ask(process.at, "GET", "/sessions/s/history", &[], "").await.1.contains("before") {} };
    tokio::time::timeout(DEADLINE, expired).await.expect("everything expires");
    process.kill();

    let process = Process::start(dir.path(), &[]);
    assert_eq!(publish(process.at, "after").await, Some(4));
    let head = member(&ask(process.at, "POST", "/sessions/s/close", &[], "").await.1, "cursor");
    assert_eq!(head, format!("{}:5", member(&opened, "epoch")));
    process.kill();

    let process = Process::start(dir.path(), &[]);
    assert_eq!(publish(process.at, "before.0").await, Some(1), "a key outlives its event");
    assert_eq!(ask(process.at, "POST", "/sessions/s/events", &[], r#"{"data":1}"#).await.0, 409);
    assert_eq!(ask(process.at, "GET", &format!("/sessions/s/events?after={head}"), &[], "").await.0, 204);
    assert!(ask(process.at, "GET", "/sessions/s/events", &[], "").await.1.ends_with("{\"reason\":\"closed\"}}\n\n"));
}

#[tokio::test]
async fn a_reader_that_does_not_read_cannot_hold_up_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &["--store", "memory"]);
    ask(process.at, "POST", "/sessions", &[], r#"{"id":"s"}"#).await;
    let _idle = request(process.at, "GET", "/sessions/s/events?after=latest", &[], "").await.unwrap();
    let _stuck = request(process.at, "GET", "/sessions/s/events", &[], "").await.unwrap();
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(4 << 20));
    for _ in 0..6 {
        assert_eq!(ask(process.at, "POST", "/sessions/s/events", &[], &large).await.0, 201);
    }
    let (code, took) = process.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Process::start(dir.path(), &[]);
    let second = Command::new(env!("CARGO_BIN_EXE_streamspec-reference-server")).arg("--data").arg(dir.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("locked") && said.contains("sessions.db"), "{said}");
}

#[tokio::test]
async fn acknowledging_before_the_disk_loses_what_a_kill_catches() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &[]);
    ask(process.at, "POST", "/sessions", &[], r#"{"id":"s"}"#).await;
    process.kill();
    let process = Process::start(dir.path(), &["--bug", "ack-before-durable"]);
    assert_eq!(publish(process.at, "lost").await, Some(1));
    process.kill();
    let process = Process::start(dir.path(), &[]);
    assert_eq!(replay(process.at).await, []);
}

/// Entries of a folder of the process in /proc: its descriptors or its threads.
fn entries(process: &Process, folder: &str) -> usize {
    std::fs::read_dir(format!("/proc/{}/{folder}", process.child.id())).unwrap().count()
}

/// Resident memory in bytes.
fn resident(process: &Process) -> usize {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", process.child.id())).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Connects and drops many times; returns what the process has more than before: descriptors, threads, bytes.
async fn left_behind(bug: Option<&str>) -> (usize, usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &bug.map_or(vec![], |bug| vec!["--bug", bug]));
    ask(process.at, "POST", "/sessions", &[], r#"{"id":"s"}"#).await;
    let mut before = None;
    for round in 0..3 {
        for _ in 0..CYCLES {
            request(process.at, "GET", "/sessions/s/events", &[], "").await.unwrap().until("event: ready").await;
        }
        // Sockets of dropped connections are closed soon; what a bug has left is not.
        let closed = async {
            while before.is_none_or(|(fds, _, _)| entries(&process, "fd") > fds + 5) && round > 0 {
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(700), closed).await;
        if round == 0 {
            before = Some((entries(&process, "fd"), entries(&process, "task"), resident(&process)));
        }
    }
    let (fds, threads, bytes) = before.unwrap();
    (
        entries(&process, "fd").saturating_sub(fds),
        entries(&process, "task").saturating_sub(threads),
        resident(&process).saturating_sub(bytes),
    )
}

/// Connections in a round of [`left_behind`], which counts two rounds.
const CYCLES: usize = 150;

#[tokio::test]
async fn dropped_connections_leave_nothing_behind() {
    let (fds, threads, bytes) = left_behind(None).await;
    assert!(fds <= 10 && threads <= 2, "{fds} descriptors, {threads} threads");
    assert!(bytes < CYCLES * (16 << 10), "{bytes} bytes");
}

#[tokio::test]
async fn leaks_leave_something_behind_for_each_connection() {
    assert!(left_behind(Some("descriptor-leak")).await.0 >= CYCLES * 3 / 2);
    assert!(left_behind(Some("thread-leak")).await.1 >= CYCLES * 3 / 2);
    assert!(left_behind(Some("memory-leak")).await.2 >= CYCLES * (48 << 10));
}
