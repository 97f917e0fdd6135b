//! Readers that are programs (`driver` in a target file), with a small client in Python.

use std::process::{Command, Output};

#[path = "support/python.rs"]
mod python;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/private/reader.py");

/// Runs these scenarios over the built-in server, read by a program of these words.
fn read_by(words: &[&str], only: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("target.toml");
    let serve = format!("{} serve --data {{dir}} --port {{port}} --heartbeat 500ms", env!("CARGO_BIN_EXE_streamspec"));
    std::fs::write(&file, format!("profile = \"sse\"\nstart = \"{serve}\"\ndriver = {words:?}\n")).unwrap();
    let only = only.iter().flat_map(|scenario| ["--only", *scenario]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
    let Output { status, stdout, stderr } =
        command.arg("test").arg(&file).args(only).env("NO_COLOR", "1").output().expect("the binary runs");
    (status.code().expect("it was not killed"), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn a_right_client_that_is_cut_receives_everything_and_takes_nothing_from_a_refusal() {
    if !python::is_there("a reader in Python") {
        return;
    }
    let (code, text) = read_by(&["python3", READER], &["driven-reader", "driven-refusal"]);
    assert_eq!(code, 0, "{text}");
    let judged = |family: &str| {
        let line = text.lines().find(|line| line.starts_with(family)).unwrap_or_else(|| panic!("{family}: {text}"));
        line.split_whitespace().nth(2).unwrap().replace(',', "").parse::<u64>().unwrap()
    };
    assert!(judged("DELIVER") > 20 && judged("START") > 0, "{text}");
}

#[test]
fn a_client_that_forgets_events_loses_them() {
    if !python::is_there("a reader in Python") {
        return;
    }
    let (code, text) = read_by(&["python3", READER, "forgets"], &["driven-reader"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("a#") && text.contains("never received"), "{text}");
}

#[test]
fn a_client_that_looks_at_no_status_takes_an_event_from_a_refusal() {
    if !python::is_there("a reader in Python") {
        return;
    }
    let (code, text) = read_by(&["python3", READER, "blind"], &["driven-refusal"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAILED START-3 (MUST)"), "{text}");
}

#[test]
fn a_program_that_cannot_be_used_is_named() {
    let (code, text) = read_by(&["/no/such/reader"], &["driven-reader"]);
    assert!(code != 0 && text.contains("the program that reads `/no/such/reader` cannot be"), "{code}: {text}");
    let (code, text) = read_by(&["sh", "-c", "echo no reader here >&2"], &["driven-reader"]);
    assert!(code != 0 && text.contains("the program that reads has ended: no reader here"), "{code}: {text}");
}

#[test]
fn without_a_program_such_scenarios_do_not_apply() {
    let run =
        Command::new(env!("CARGO_BIN_EXE_streamspec")).args(["test", "--profile", "sse", "--only", "driven-reader"]).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.status.code(), Some(4), "{text}");
    assert!(text.contains("the target names no `driver`"), "{text}");
}
