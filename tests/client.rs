//! `streamspec client` and `tail` end to end: the built-in reader as the client under test, broken ones, and what is no client.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

const OK: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 2;
const COULD_NOT_TEST: i32 = 3;
const STALE: i32 = 6;

fn streamspec(args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
    let Output { status, stdout, stderr } = command.args(args).env("NO_COLOR", "1").output().expect("the binary runs");
    (status.code().expect("it was not killed"), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// A text as it was before it was broken into lines.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn reader(bug: &str) -> String {
    let bug = if bug.is_empty() { String::new() } else { format!(" --bug {bug}") };
    format!("{} tail{bug}", env!("CARGO_BIN_EXE_streamspec"))
}

#[test]
fn the_built_in_reader_passes_and_what_was_judged_is_counted() {
    let (code, text) = streamspec(&["client", "--cmd", &reader(""), "--only", "C-RESUME", "--only", "C-DELIVER", "--only", "C-RESTORE"]);
    assert_eq!(code, OK, "{text}");
    let line = text.lines().find(|line| line.starts_with("C-DELIVER")).unwrap();
    let judged: u64 = line.split_whitespace().nth(2).unwrap().replace(',', "").parse().unwrap();
    assert!(judged > 5000, "{line}");
    assert_eq!(text.lines().last(), Some("20 passed, 0 failed, 1 skipped"), "{text}");
}

#[test]
fn a_broken_client_fails_with_its_timeline() {
    let (code, text) = streamspec(&["client", "--cmd", &reader("first-cursor"), "--only", "three-connections"]);
    assert_eq!(code, VIOLATED, "{text}");
    assert!(text.contains("FAILED C-RESUME-2 (MUST)") && text.contains("Last-Event-ID \"1\""), "{text}");
    assert!(text.contains("rerun:  streamspec client --cmd ") && text.contains(" --only three-connections\n"), "{text}");
}

#[test]
fn a_handful_of_broken_clients_is_killed_by_what_they_name() {
    let bugs = ["phantom-line", "id-on-sight", "swallows-gap", "returns-after-end", "skips-first"];
    let only: Vec<&str> = bugs.iter().flat_map(|bug| ["--only", *bug]).collect();
    let (code, text) = streamspec(&[&["selftest", "--clients"], only.as_slice()].concat());
    assert_eq!(code, OK, "{text}");
    // Three of them are shown over WebSockets as well.
    assert_eq!(text.matches("killed   ").count(), bugs.len() + 3, "{text}");
}

#[test]
fn a_known_failure_is_no_failure_and_one_that_held_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reader.toml");
    let target = |bug: &str| format!("command = '''{}'''\n[known]\nC-END-1 = \"polls for ever\"\n", reader(bug));
    let test = |bug: &str| {
        std::fs::write(&file, target(bug)).unwrap();
        streamspec(&["client", &file.display().to_string(), "--only", "C-END-1"])
    };
    let (code, text) = test("returns-after-204");
    assert!(code == OK && text.contains("KNOWN C-END-1"), "{code} {text}");
    let (code, text) = test("");
    assert!(code == STALE && text.contains("stale C-END-1"), "{code} {text}");
}

#[test]
fn a_client_that_cannot_do_what_a_case_needs_says_so_by_its_exit_status() {
    let (code, text) = streamspec(&["client", "--cmd", "sh -c 'exit 127'", "--only", "C-GAP"]);
    assert!(text.contains("does not support: gap") && text.ends_with("0 passed, 0 failed, 3 skipped\n"), "{text}");
    assert_ne!(code, VIOLATED);
}

#[test]
fn an_adapter_is_judged_by_orders() {
    let only = ["--only", "C-ADAPT", "--only", "C-POST-7", "--only", "C-RESTORE-6"];
    let (code, text) = streamspec(&[&["client", "--adapter", "--cmd", &format!("{} --adapter", reader(""))], &only[..]].concat());
    assert_eq!(code, OK, "{text}");
    let judged = |family: &str| text.lines().find(|line| line.starts_with(family)).unwrap().split_whitespace().nth(2).unwrap().to_owned();
    assert!(judged("C-ADAPT").parse::<u32>().unwrap() > 20 && judged("C-POST").parse::<u32>().unwrap() > 10, "{text}");
}

#[test]
fn a_reader_of_web_sockets_is_judged() {
    let dispatch = |bug: &str| {
        let cmd = format!("{} --profile dispatch", reader(bug));
        streamspec(&["client", "--profile", "dispatch", "--cmd", &cmd, "--only", "C-DELIVER-1", "--only", "C-SOCKET"])
    };
    let (code, text) = dispatch("");
    assert_eq!(code, OK, "{text}");
    let line = text.lines().find(|line| line.starts_with("C-SOCKET")).unwrap();
    assert!(line.split_whitespace().nth(2).unwrap().parse::<u32>().unwrap() >= 9, "{line}");
    let (code, text) = dispatch("applies-again");
    assert!(code == VIOLATED && text.contains("FAILED C-DELIVER-1 (MUST)") && text.contains(" --profile dispatch"), "{text}");
}

#[test]
fn a_baseline_excuses_what_it_lists_and_names_what_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known.toml");
    let path = file.to_str().unwrap();
    let cmd = reader("returns-after-204");
    let test = |more: &[&str]| streamspec(&[&["client", "--cmd", &cmd, "--only", "C-END-1", "--baseline", path], more].concat());
    let (code, text) = test(&["--write-baseline"]);
    assert!(code == OK && text.contains("2 known failures"), "{code} {text}");
    let (code, text) = test(&[]);
    assert!(code == OK && text.contains("KNOWN C-END-1"), "{code} {text}");
    // An entry about servers is none of a client's.
    let entry = |requirement: &str| format!("[[failure]]\nrequirement = \"{requirement}\"\nscenario = \"no-contet\"\nreason = \"x\"\n");
    std::fs::write(&file, entry("SEAM-1")).unwrap();
    assert_eq!(test(&[]).0, VIOLATED);
    std::fs::write(&file, entry("C-END-1")).unwrap();
    let (code, text) = test(&[]);
    assert!(code == USAGE && text.contains("is no case") && text.contains("no-content"), "{code} {text}");
}

#[test]
fn what_no_client_without_orders_can_do_is_not_asked_of_it() {
    let (_, text) = streamspec(&["client", "--cmd", &reader(""), "--only", "C-POST-3"]);
    assert!(unwrapped(&text).contains("only an adapter takes (--adapter)"), "{text}");
}

#[test]
fn an_adapter_that_answers_nonsense_is_told_what_is_wrong() {
    let client = |script: &str| streamspec(&["client", "--adapter", "--cmd", script, "--only", "first-request", "--deadline", "2s"]);
    for (script, ends, says) in [
        // An order is read before it is answered, so that the end of the script is behind its answer.
        ("sh -c 'read x; echo {}; read x'", COULD_NOT_TEST, "is not understood"),
        (r#"sh -c 'read x; echo "{\"answer\":\"one\"}"; read x'"#, COULD_NOT_TEST, "it is no answer to an order"),
        ("sh -c 'read x'", COULD_NOT_TEST, "before it answered `init`"),
        ("sh -c 'read x; read x'", VIOLATED, "C-ADAPT-1"),
        (r#"sh -c 'read x; echo "{\"answer\":1,\"version\":2,\"features\":[]}"; read x'"#, VIOLATED, "C-ADAPT-1"),
        (r#"sh -c 'read x; echo "{\"answer\":1,\"version\":1,\"features\":[\"flight\"]}"; read x'"#, VIOLATED, "C-ADAPT-1"),
    ] {
        let (code, text) = client(script);
        assert!(code == ends && unwrapped(&text).contains(says), "{script}: {code} {text}");
    }
}

#[test]
fn what_is_no_client_says_why() {
    for (cmd, says) in [
        ("/no/such/client", "cannot start `/no/such/client`"),
        ("sh -c 'exit 127'", "is the command right?"),
        ("sh -c 'echo hello'", "line 1 of the client's output is not understood"),
    ] {
        let (code, text) = streamspec(&["client", "--cmd", cmd, "--only", "first-request"]);
        assert!(code == COULD_NOT_TEST && text.contains(says), "{cmd}: {code} {text}");
    }
}

#[test]
fn a_reader_whom_nobody_answers_says_so() {
    let url = "http://127.0.0.1:1/stream";
    let mut reader = Command::new(env!("CARGO_BIN_EXE_streamspec")).args(["tail", url]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(reader.stderr.take().unwrap()).read_line(&mut line).unwrap();
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(line.starts_with(&format!("{url} does not answer (")) && line.ends_with("; trying again\n"), "{line}");
}

#[test]
fn mistakes_on_the_command_line_say_what_to_write() {
    for (args, says) in [
        (&["client"][..], "--cmd"),
        (&["client", "--cmd", "x", "--only", "C-RESUM-1"], "did you mean"),
        (&["tail", "localhost:80"], "is no URL"),
        (&["tail", "http://localhost:1", "--header", "nothing"], "is no header"),
        (&["selftest", "--clients", "--only", "nothing"], "there is no broken client"),
    ] {
        let (code, text) = streamspec(args);
        assert!(code == USAGE && text.contains(says), "{args:?}: {code} {text}");
    }
}
