//! PawWork's profile against servers that are not the built-in one under its usual arguments: one in Python, written from
//! the documentation alone, and a ring whose records expire soon.

use std::process::{Command, Output};

#[path = "support/python.rs"]
mod python;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/private");

fn test(args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
    let Output { status, stdout, stderr } = command.arg("test").args(args).env("NO_COLOR", "1").output().expect("the binary runs");
    (status.code().expect("it was not killed"), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// A target file: the Python server, with a word for its defect.
fn in_python(folder: &std::path::Path, defect: &str) -> String {
    let file = folder.join("target.toml");
    let target = std::fs::read_to_string(format!("{FOLDER}/replay.toml")).unwrap();
    let started = target.replace("tests/private/replay.py {port}", &format!("{FOLDER}/replay.py {{port}} {defect}"));
    assert_ne!(started, target);
    std::fs::write(&file, started).unwrap();
    file.display().to_string()
}

#[test]
fn a_right_server_in_python_passes() {
    if !python::is_there("a ring in Python") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = test(&[&in_python(folder.path(), ""), "--only", "SEAM", "--only", "RESUME", "--only", "GAP"]);
    assert_eq!(code, 0, "{text}");
    for family in ["SEAM", "RESUME", "GAP"] {
        let line = text.lines().find(|line| line.starts_with(family)).unwrap();
        let judged: u64 = line.split_whitespace().nth(2).unwrap().replace(',', "").parse().unwrap();
        assert!(judged > 50 && line.contains("ok"), "{line}");
    }
}

#[test]
fn the_same_server_that_reads_before_it_listens_loses_events_in_the_seam() {
    if !python::is_there("a ring in Python") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = test(&[&in_python(folder.path(), "seam"), "--only", "SEAM", "--deadline", "1s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAILED SEAM-1 (MUST)") && text.contains("belongs here and never came"), "{text}");
}

/// The built-in server with records that live for 400 ms and these bugs; the run of the scenario that waits for that.
fn expiring(bugs: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("target.toml");
    let serve = format!("{} serve --dialect pawwork --port {{port}}", env!("CARGO_BIN_EXE_streamspec"));
    let target = format!(
        "profile = \"pawwork\"\nstart = \"{serve} --heartbeat 500ms --retain-records 320 --retain-age 400ms{bugs}\"\n\
         contract = {{ retention = {{ default = {{ age_ms = 400 }} }} }}\n"
    );
    std::fs::write(&file, target).unwrap();
    test(&[&file.display().to_string(), "--only", "expired-ring", "--deadline", "1s"])
}

#[test]
fn expired_records_are_not_replayed_and_whoever_lacks_them_is_told() {
    let (code, text) = expiring("");
    assert_eq!(code, 0, "{text}");
    let gap = text.lines().find(|line| line.starts_with("GAP")).unwrap();
    assert!(gap.contains("ok"), "{gap}");
}

#[test]
fn records_that_expire_only_when_the_next_one_comes_are_seen() {
    let (code, text) = expiring(" --bug age-on-append-only");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAILED GAP-3 (MUST)"), "{text}");
}

#[test]
fn an_empty_ring_that_counts_as_no_gap_is_seen() {
    let (code, text) = expiring(" --bug empty-is-no-gap");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("FAILED GAP-1 (MUST)"), "{text}");
}
