//! The built binary end to end: flags, exit codes, reports, hostile servers, and that nothing is left running.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

#[path = "support/python.rs"]
mod python;

/// Exit codes by the names of the table in `--help`.
const OK: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 2;
const COULD_NOT_TEST: i32 = 3;
const STALE: i32 = 6;
const INTERRUPTED: i32 = 130;

fn streamspec(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_streamspec")).args(args).env("NO_COLOR", "1").output().expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The start command of the reference server with these bugs.
fn reference(bugs: &[&str]) -> String {
    let bugs: String = bugs.iter().map(|bug| format!(" --bug {bug}")).collect();
    format!("{} serve --data {{dir}} --port {{port}} --heartbeat 500ms{bugs}", env!("CARGO_BIN_EXE_streamspec"))
}

#[test]
fn the_right_server_passes_and_counts_what_was_judged() {
    let output = streamspec(&["test", "--profile", "sse", "--only", "RESUME", "--only", "SEAM", "--seed", "0x5eed"]);
    assert_eq!(code(&output), OK, "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("streamspec 0.1.0 · profile sse · the built-in reference server · seed 0x5eed\n"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains(" passed, 0 failed, ") && !last.starts_with("0 "), "{last}");
    assert!(text.contains("skipped: ") && !text.contains("inconclusive"), "what is skipped is not promised: {text}");
    let seam = text.lines().find(|l| l.starts_with("SEAM")).unwrap();
    let judged: u64 = seam.split_whitespace().nth(2).unwrap().replace(',', "").parse().unwrap();
    assert!(judged > 100, "{seam}");
}

#[test]
fn a_lost_event_fails_with_its_timeline() {
    let output =
        streamspec(&["test", "--start", &reference(&["read-before-register"]), "--profile", "sse", "--only", "SEAM", "--deadline", "1s"]);
    assert_eq!(code(&output), VIOLATED, "{}", stdout(&output));
    let text = stdout(&output);
    assert!(text.contains("FAILED SEAM-1 (MUST)"), "{text}");
    assert!(text.contains("belongs here and never came"), "{text}");
    for line in ["expected:", "seen:", "likely:", "spec:", "rerun:", "curl:"] {
        assert!(text.contains(line), "{line} is missing");
    }
}

#[test]
fn a_strangers_server_with_the_bug_at_the_seam_is_caught() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/private");
    if !python::is_there("a stranger's server") {
        return;
    }
    let start = format!("python3 {folder}/lossy.py {{port}}");
    let output = streamspec(&["test", "--start", &start, "--profile", &format!("{folder}/lossy.toml"), "--only", "SEAM"]);
    assert_eq!(code(&output), VIOLATED, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("FAILED SEAM-1 (MUST)"), "{}", stdout(&output));
}

#[test]
fn a_known_failure_is_no_failure_and_a_stale_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let target = |known: &str| {
        let path = dir.path().join("target.toml");
        let start = reference(&["cacheable-stream", "key-ignored"]).replace('\\', "\\\\");
        std::fs::write(&path, format!("name = \"t\"\nprofile = \"sse\"\nstart = \"{start}\"\n[known]\n{known}\n")).unwrap();
        path.display().to_string()
    };
    let output = streamspec(&["test", &target("IDEM-1 = \"by design\""), "--only", "IDEM-1", "--deadline", "1s"]);
    assert!(stdout(&output).contains("KNOWN IDEM-1"), "{}", stdout(&output));
    let output = streamspec(&["test", &target("IDEM-4 = \"by design\"\nOPEN-4 = \"long repaired\""), "--only", "wrong-method"]);
    assert_eq!(code(&output), STALE, "{}", stdout(&output));
    assert!(stdout(&output).contains("stale OPEN-4"), "{}", stdout(&output));
}

#[test]
fn a_failure_that_is_known_to_show_sometimes_decides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = |bugs: &[&str]| {
        let path = dir.path().join("target.toml");
        let known = "SEAM-3 = { reason = \"issue 7: a race\", sometimes = true }";
        std::fs::write(&path, format!("name = \"t\"\nprofile = \"sse\"\nstart = \"{}\"\n[known]\n{known}\n", reference(bugs))).unwrap();
        path.display().to_string()
    };
    let report = dir.path().join("report.json");
    let to = format!("json={}", report.display());
    let only = ["--only", "boundary-on-every-connection", "--deadline", "1s", "--report", &to];
    let output = streamspec(&[&["test", &target(&["boundary-twice"])][..], &only].concat());
    assert_eq!(code(&output), OK, "{}", stdout(&output));
    assert!(stdout(&output).contains("FLAKY SEAM-3 (MUST)"), "{}", stdout(&output));
    assert!(stdout(&output).contains("  known, sometimes: issue 7: a race\n"), "{}", stdout(&output));
    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let seam = document["requirements"].as_array().unwrap().iter().find(|r| r["id"] == "SEAM-3").unwrap();
    assert_eq!((&seam["standing"], &seam["known"], &seam["sometimes"]), (&"fail".into(), &"issue 7: a race".into(), &true.into()));

    let output = streamspec(&["test", &target(&[]), "--only", "SEAM-3"]);
    assert_eq!(code(&output), OK, "{}", stdout(&output));
    assert!(stdout(&output).contains("known SEAM-3 fails sometimes; not this time"), "{}", stdout(&output));
}

#[test]
fn a_known_failure_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target.toml");
    for known in
        ["SEAM-3 = \" \"", "SEAM-3 = { reason = \"\" }", "SEAM-3 = { sometimes = true }", "SEAM-3 = { reason = \"r\", often = true }"]
    {
        std::fs::write(&path, format!("profile = \"sse\"\nstart = \"x {{port}}\"\n[known]\n{known}\n")).unwrap();
        let output = streamspec(&["test", &path.display().to_string()]);
        assert_eq!(code(&output), USAGE, "{known}");
        assert!(stderr(&output).contains("target.toml:4"), "{known}: {}", stderr(&output));
    }
}

#[test]
fn a_report_fits_the_width_that_it_is_given() {
    let start = reference(&["boundary-twice"]);
    let output = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["test", "--start", &start, "--profile", "sse", "--only", "boundary-on-every-connection", "--deadline", "1s"])
        .env("NO_COLOR", "1")
        .env("COLUMNS", "40")
        .output()
        .unwrap();
    assert_eq!(code(&output), VIOLATED, "{}", stderr(&output));
    let text = stdout(&output);
    // The first line says what was run; the others are for copying.
    let copied = |line: &str| line.starts_with("  rerun:") || line.starts_with("  curl:");
    let wide: Vec<&str> = text.lines().skip(1).filter(|line| line.chars().count() > 40 && !copied(line)).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert!(text.contains("FAILED SEAM-3 (MUST)") && text.contains("\nfailed: SEAM-3\n"), "{text}");
}

#[test]
fn nothing_is_run_for_a_report_that_could_not_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (flag, value, said) in [
        ("--report", format!("json={folder}/no/report.json"), format!("there is no folder {folder}/no")),
        ("--report", format!("json={folder}"), "it is a folder".to_owned()),
        ("--history", format!("{}/histories", file.display()), "cannot keep histories in".to_owned()),
    ] {
        let output = streamspec(&["test", flag, &value]);
        assert_eq!(code(&output), USAGE, "{value}");
        assert!(output.stdout.is_empty(), "{value}: it ran: {}", stdout(&output));
        assert!(stderr(&output).contains(&said), "{value}: {}", stderr(&output));
    }
}

#[test]
fn a_reader_that_closes_its_pipe_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["test", "--profile", "sse", "--only", "boundary-on-every-connection"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(OK));
}

#[test]
fn the_whole_id_of_a_requirement_selects_it_alone() {
    let list = |only: &str| stdout(&streamspec(&["test", "--profile", "sse", "--list", "--only", only]));
    let (one, ten) = (list("RESUME-1"), list("RESUME-10"));
    assert!(one.contains("resume-after-cut") && !one.contains("two-cursors-at-once"), "{one}");
    assert!(ten.contains("two-cursors-at-once") && !ten.contains("resume-after-cut"), "{ten}");
    assert!(list("RESUME").contains("two-cursors-at-once"));
}

#[test]
fn the_json_report_agrees_with_the_text() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.json");
    let output = streamspec(&["test", "--profile", "sse", "--only", "ORDER", "--report", &format!("json={}", path.display())]);
    assert_eq!(code(&output), OK);
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["streamspec_report"], 1);
    assert_eq!(report["failed"], 0);
    assert!(stdout(&output).ends_with(&format!("{} passed, 0 failed, {} skipped\n", report["passed"], report["skipped"])));
}

#[test]
fn wrong_words_are_named_and_answered_with_the_next_step() {
    let cases: [(&[&str], &str); 14] = [
        (&["test", "--only", "NOPE-1"], "streamspec list"),
        (&["test", "--only", "resume-after-cat"], "did you mean `resume-after-cut`?"),
        (&["test", "--only", "RESUM-1"], "did you mean `RESUME-1`?"),
        (&["test", "--report", "json="], "json=report.json"),
        (&["test", "--url", "127.0.0.1:80", "--profile", "sse"], "write it as http://"),
        (&["explain", "replay-inclusiv"], "did you mean `replay-inclusive`?"),
        (&["selftest", "--only", "replay-inclusiv"], "did you mean `replay-inclusive`?"),
        (&["test", "--report", "pdf=x"], "there are: json, junit"),
        (&["test", "--seed", "xyz"], "hexadecimal"),
        (&["test", "--url", "http://127.0.0.1:9", "--start", "x"], "cannot be used with"),
        (&["test", "--url", "http://127.0.0.1:1"], "--profile"),
        (&["test", "--profile", "nope"], "nope"),
        (&["explain", "SEAM-99"], "SEAM-1"),
        (&["selftest", "--only", "no-such-bug"], "streamspec list bugs"),
    ];
    for (args, said) in cases {
        let output = streamspec(args);
        assert_eq!(code(&output), USAGE, "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_broken_profile_is_shown_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.toml");
    std::fs::write(&path, "name = \"p\"\n[binding.subscribe]\nrequest = \"GET /{sesion}\"\nformat = \"sse\"\n[binding.event]\n").unwrap();
    let output = streamspec(&["test", "--start", "x {port}", "--profile", &path.display().to_string()]);
    assert_eq!(code(&output), USAGE);
    let said = stderr(&output);
    assert!(said.contains("p.toml:3") && said.contains("sesion") && said.contains("session"), "{said}");
}

#[test]
fn servers_that_cannot_be_tested_say_why() {
    let cases = [("/no/such/program {port}", "no such"), ("sh -c 'echo about to fall; exit 3' {port}", "about to fall")];
    for (start, said) in cases {
        let output = streamspec(&["test", "--start", start, "--profile", "sse", "--only", "steady-stream"]);
        assert_eq!(code(&output), COULD_NOT_TEST, "{start}: {}", stderr(&output));
        assert!(stderr(&output).to_lowercase().contains(said), "{start}: {}", stderr(&output));
    }
    let output = streamspec(&["test", "--url", "http://127.0.0.1:1", "--profile", "sse", "--only", "steady-stream"]);
    assert_eq!(code(&output), COULD_NOT_TEST);
    assert!(stderr(&output).contains("nothing answers"), "{}", stderr(&output));
}

/// A server that answers every connection by `answer`, until the test ends.
fn hostile(answer: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    url
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => request.extend_from_slice(&buffer[..n]),
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// Resident memory of a process at its highest, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Runs streamspec against a hostile server; its exit code, and that it stayed within time and memory.
fn bounded(url: &str, within: Duration) -> i32 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["test", "--url", url, "--profile", "sse", "--only", "steady-stream", "--deadline", "1s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let mut highest = 0;
    loop {
        highest = highest.max(peak(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(highest < 600 << 10, "{highest} KiB");
            return status.code().unwrap();
        }
        if began.elapsed() > within {
            let _ = child.kill();
            panic!("still running after {within:?}");
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

const OPENED: &str =
    "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"session\":\"s\"}";

#[test]
fn an_html_page_is_no_session() {
    let url = hostile(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>");
    });
    assert_eq!(bounded(&url, Duration::from_secs(30)), COULD_NOT_TEST);
}

#[test]
fn what_a_server_says_does_not_steer_the_terminal() {
    let url = hostile(|mut stream| {
        if read_request(&mut stream).starts_with("POST /sessions ") {
            let _ = stream.write_all(OPENED.as_bytes());
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\x1b[2J\xe2\x80\xaegone");
    });
    let output = streamspec(&["test", "--url", &url, "--profile", "sse", "--only", "steady-stream", "--deadline", "1s"]);
    let said = stdout(&output) + &stderr(&output);
    assert!(said.contains("[2J"), "what the server said is not shown: {said}");
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
}

#[test]
fn an_endless_header_is_bounded() {
    let url = hostile(|mut stream| {
        if read_request(&mut stream).starts_with("POST /sessions ") {
            let _ = stream.write_all(OPENED.as_bytes());
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    assert_ne!(bounded(&url, Duration::from_secs(60)), OK);
}

#[test]
fn an_endless_line_is_bounded() {
    let url = hostile(|mut stream| {
        if read_request(&mut stream).starts_with("POST /sessions ") {
            let _ = stream.write_all(OPENED.as_bytes());
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: ");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    assert_ne!(bounded(&url, Duration::from_secs(60)), OK);
}

/// Processes whose command line holds `needle`.
fn running(needle: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(needle)
    })
    .collect()
}

fn gone(needle: &str) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if running(needle).is_empty() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    false
}

/// Starts a run that would last long, and waits until its servers are there.
fn long_run(mark: &str) -> std::process::Child {
    let start = format!("{} serve --data {{dir}} --port {{port}} --heartbeat {mark}", env!("CARGO_BIN_EXE_streamspec"));
    let child = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["test", "--start", &start, "--profile", "sse", "--repeat", "1000", "--only", "DELIVER"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let serving = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').nth(1) == Some("serve")
    };
    while !running(mark).iter().any(serving) {
        assert!(began.elapsed() < Duration::from_secs(20), "no server was started");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    child
}

#[test]
fn an_interrupt_leaves_a_report_and_no_server() {
    let mark = "71001ms";
    let child = long_run(mark);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), INTERRUPTED);
    assert!(stdout(&output).contains(" passed, "), "{}", stdout(&output));
    assert!(gone(mark), "left running: {:?}", running(mark));
}

#[test]
fn a_kill_leaves_no_server() {
    let mark = "71002ms";
    let mut child = long_run(mark);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(gone(mark), "left running: {:?}", running(mark));
}

#[test]
fn doctor_proves_each_step_and_names_the_first_wrong_one() {
    let output = streamspec(&["doctor"]);
    assert_eq!(code(&output), OK, "{}", stdout(&output));
    for step in ["start", "open", "publish", "read", "resume", "restart"] {
        assert!(stdout(&output).contains(&format!("ok     {step}")), "{step}: {}", stdout(&output));
    }
    let output = streamspec(&[
        "doctor",
        "--start",
        &reference(&["empty-refusals"]),
        "--profile",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/private/lossy.toml"),
    ]);
    assert_eq!(code(&output), COULD_NOT_TEST, "{}", stdout(&output));
}

#[test]
fn the_provider_says_what_the_prompt_tells_it_to() {
    use std::io::BufRead;
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_streamspec")).args(["provider", "--script", "words 1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on http://").expect("the first line says where");
    let mut stream = TcpStream::connect(address).unwrap();
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x [[say as k7w#; words 2]]"}]}"#;
    let length = body.len();
    write!(stream, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(answer.contains("k7w2 ") && answer.contains("data: [DONE]"), "{answer}");
    assert_eq!(status.code(), Some(OK));

    let output = streamspec(&["provider", "--script", "wrods 1"]);
    assert_eq!(code(&output), USAGE);
    assert!(stderr(&output).contains("--script: script, byte 0, at `wrods 1`: unknown move"), "{}", stderr(&output));
}

#[test]
fn init_writes_files_that_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let output = streamspec(&["init", "--dir", &folder]);
    assert_eq!(code(&output), OK, "{}", stderr(&output));
    let output = streamspec(&["test", &format!("{folder}/target.toml"), "--list"]);
    assert_eq!(code(&output), OK, "{}", stderr(&output));
    assert_eq!(code(&streamspec(&["init", "--dir", &folder])), USAGE, "what is there is not replaced");
}

#[test]
fn lists_explain_themselves() {
    for what in ["requirements", "scenarios", "profiles", "bugs"] {
        let output = streamspec(&["list", what]);
        assert_eq!(code(&output), OK);
        assert!(!output.stdout.is_empty());
    }
    let text = stdout(&streamspec(&["explain", "seam-1"]));
    assert!(text.contains("read-before-register") && text.contains("seam-with-request"), "{text}");
    for what in ["profile", "scenario", "target"] {
        let schema: serde_json::Value = serde_json::from_slice(&streamspec(&["schema", what]).stdout).unwrap();
        assert!(schema["$schema"].is_string());
    }
}

#[test]
fn the_page_of_requirements_is_what_list_prints() {
    let listed = streamspec(&["list", "requirements", "--markdown"]);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/requirements.md")).unwrap();
    assert!(page == stdout(&listed), "run: streamspec list requirements --markdown > docs/requirements.md");
    assert_eq!(code(&streamspec(&["list", "bugs", "--markdown"])), USAGE);
}

#[test]
fn a_bug_is_killed_by_the_requirement_that_it_names() {
    let output = streamspec(&["selftest", "--profile", "sse", "--only", "replay-inclusive", "--only", "boundary-twice"]);
    assert_eq!(code(&output), OK, "{}", stdout(&output));
    assert_eq!(stdout(&output).matches("killed  ").count(), 2, "{}", stdout(&output));
}

#[test]
fn a_simulated_finding_is_reproduced_by_its_schedule_and_live() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().display().to_string();
    let seam = ["simulate", "--bug", "read-before-register", "--only", "seam-with-request"];
    let output = streamspec(&[&seam[..], &["--seeds", "0..300", "--save", &saved]].concat());
    let text = stdout(&output);
    assert_eq!(code(&output), VIOLATED, "{text}{}", stderr(&output));
    let finding = &text[text.find("FAILED SEAM-1 (MUST)").unwrap_or_else(|| panic!("{text}"))..];
    assert!(finding.contains("belongs here and never came"), "the timeline of a live failure: {finding}");
    let line =
        |label: &str| finding.lines().find_map(|l| l.trim().strip_prefix(label)).unwrap_or_else(|| panic!("{label} {finding}")).trim();
    let again: Vec<&str> = line("rerun:").split(' ').skip(1).map(|word| word.trim_matches('\'')).collect();
    let output = streamspec(&again);
    assert_eq!(code(&output), VIOLATED, "{again:?} {}", stdout(&output));
    assert!(stdout(&output).contains("FAILED SEAM-1"), "{}", stdout(&output));
    let file = line("live:").split(' ').nth(2).unwrap();
    let start = reference(&["read-before-register"]);
    let output = streamspec(&["replay", file, "--start", &start, "--profile", "sse", "--deadline", "1s"]);
    assert_eq!(code(&output), VIOLATED, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("STILL FAILS") && stdout(&output).contains("SEAM-1"), "{}", stdout(&output));
}

#[test]
fn a_simulation_says_what_it_covered_and_what_it_cannot() {
    let output = streamspec(&["simulate", "--only", "two-baselines", "--exhaustive=1"]);
    let text = stdout(&output);
    assert_eq!(code(&output), OK, "{text}");
    assert!(text.contains("two-baselines: ") && text.contains(" with at most 1 deviation, "), "{text}");
    assert!(text.contains(": no violation within this scope"), "{text}");
    let output = streamspec(&["simulate", "--only", "two-baselines", "--exhaustive", "--most", "50"]);
    assert!(stdout(&output).contains("two-baselines: 50 schedules in all, ") && stdout(&output).contains("stopped before its end"));
    let output = streamspec(&["simulate", "--check-determinism", "--only", "RESUME-9", "--seeds", "0..20"]);
    assert_eq!((code(&output), stdout(&output).lines().last()), (OK, Some("20 passed, 0 failed, 0 skipped")));
    let output = streamspec(&["simulate", "--bug", "torn-character"]);
    assert_eq!(code(&output), USAGE);
    assert!(stderr(&output).contains("`torn-character` cannot be simulated: it sits in the framing of bytes"), "{}", stderr(&output));
    let output = streamspec(&["simulate", "--schedule", "0:1"]);
    assert_eq!(code(&output), USAGE);
    assert!(stderr(&output).contains("name it with --only"), "{}", stderr(&output));
}
