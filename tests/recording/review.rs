//! `streamspec review`: pending transcripts, decided by flags and in the terminal.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{OK, USAGE, VIOLATED, streamspec};

fn put(folder: &Path, name: &str, contents: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(name), format!("---\nsource: \"x\"\nexpression: \"y\"\n---\n{contents}\n")).unwrap();
}

fn contents(folder: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(folder.join(name)).ok()?;
    Some(text.rsplit_once("---\n").expect("a snapshot has a header").1.trim_end().to_owned())
}

/// Two pending transcripts, one of them new.
fn pending(folder: &Path) {
    let sse = folder.join("sse");
    put(&sse, "changed.snap", "< 200\nold");
    put(&sse, "changed.snap.new", "< 200\nnew");
    put(&sse, "first.snap.new", "all of it");
}

#[test]
fn check_changes_nothing_and_fails_while_something_is_pending() {
    let folder = tempfile::tempdir().unwrap();
    pending(folder.path());
    let path = folder.path().to_str().unwrap();
    let (code, text) = streamspec(&["review", path, "--check"]);
    assert_eq!(code, VIOLATED, "{text}");
    assert!(text.contains("- old") && text.contains("+ new") && text.contains("a new transcript"), "{text}");
    assert_eq!(text.lines().last(), Some("2 pending snapshots: 0 accepted, 0 rejected, 2 left"));
    let sse = folder.path().join("sse");
    assert_eq!(contents(&sse, "changed.snap").as_deref(), Some("< 200\nold"));
    assert_eq!(contents(&sse, "changed.snap.new").as_deref(), Some("< 200\nnew"));
}

#[test]
fn accept_takes_all_over() {
    let folder = tempfile::tempdir().unwrap();
    pending(folder.path());
    let path = folder.path().to_str().unwrap();
    let (code, text) = streamspec(&["review", path, "--accept"]);
    assert_eq!((code, text.lines().last()), (OK, Some("2 pending snapshots: 2 accepted, 0 rejected, 0 left")), "{text}");
    let sse = folder.path().join("sse");
    assert_eq!(contents(&sse, "changed.snap").as_deref(), Some("< 200\nnew"));
    assert_eq!(contents(&sse, "first.snap").as_deref(), Some("all of it"));
    assert_eq!((contents(&sse, "changed.snap.new"), contents(&sse, "first.snap.new")), (None, None));
    let (code, text) = streamspec(&["review", path, "--check"]);
    assert_eq!((code, text.lines().last()), (OK, Some("0 pending snapshots: 0 accepted, 0 rejected, 0 left")), "{text}");
}

#[test]
fn reject_leaves_what_was() {
    let folder = tempfile::tempdir().unwrap();
    pending(folder.path());
    let (code, text) = streamspec(&["review", folder.path().to_str().unwrap(), "--reject"]);
    assert_eq!((code, text.lines().last()), (OK, Some("2 pending snapshots: 0 accepted, 2 rejected, 0 left")), "{text}");
    let sse = folder.path().join("sse");
    assert_eq!(contents(&sse, "changed.snap").as_deref(), Some("< 200\nold"));
    assert_eq!((contents(&sse, "first.snap"), contents(&sse, "first.snap.new")), (None, None));
}

#[test]
fn each_is_asked_about_and_the_end_of_input_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    pending(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
    let mut child = command.arg("review").arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"perhaps\na\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(
        text.matches("accept (a), reject (r), skip (s) or quit (q)?").count(),
        3,
        "an answer that is none is asked for again: {text}"
    );
    assert!(text.ends_with("2 pending snapshots: 1 accepted, 0 rejected, 1 left\n"), "{text}");
    let sse = folder.path().join("sse");
    assert_eq!(contents(&sse, "changed.snap").as_deref(), Some("< 200\nnew"));
    assert_eq!(contents(&sse, "first.snap.new").as_deref(), Some("all of it"));
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.snap.new"), "no header").unwrap();
    let path = folder.path().to_str().unwrap();
    for (args, says) in [
        (&["review", "/no/such/folder"][..], "cannot read the folder /no/such/folder"),
        (&["review", path, "--accept", "--reject"], "--reject"),
        (&["review", path, "--accept"], "x.snap.new cannot be read"),
    ] {
        let (code, text) = streamspec(args);
        assert!(code == USAGE && text.contains(says), "{args:?}: {code} {text}");
    }
    assert!(folder.path().join("x.snap.new").exists(), "what cannot be read is not taken over");
}
