//! The golden transcripts in `snapshots/`: the built binary runs each scenario that has one, keeps its history, and the
//! transcript that the history gives is compared by `insta`. `streamspec review` and `cargo insta review` take a change over.

use std::path::{Path, PathBuf};
use std::process::Command;

use streamspec::contract::Profile;
use streamspec::history::History;
use streamspec::scenario::Scenario;
use streamspec::transcript::transcript;

/// The snapshots of a profile.
fn folder(profile: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots").join(profile)
}

/// The names of a profile's snapshots.
fn names(profile: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder(profile)).expect("every built-in profile has snapshots");
    let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|file| file.strip_suffix(".snap").map(str::to_owned)).collect();
    names.sort();
    names
}

fn compare(name: &str) {
    let kept = tempfile::tempdir().unwrap();
    let names = names(name);
    assert!(names.len() >= 5, "{name} has {} golden transcripts", names.len());
    // Judging is the business of other tests; here only what stood on the wire counts.
    let output = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["record", "--profile", name, "--runs", "1", "--print", "--history"])
        .arg(kept.path())
        .args(&names)
        .output()
        .expect("the binary runs");
    let profile = Profile::load(name).unwrap();
    let scenarios = Scenario::built_in(name).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder(name));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for scenario in names {
        let path = kept.path().join(format!("{scenario}-0.ndjson"));
        let file = std::fs::File::open(&path).unwrap_or_else(|_| {
            panic!("{scenario} was not recorded: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        });
        let history = History::read(std::io::BufReader::new(file)).unwrap();
        let own = scenarios.iter().find(|known| known.name == scenario).expect("a snapshot is of a scenario that there is");
        let text = transcript(&history, &profile, &own.transcript.and(&profile.transcript)).unwrap();
        settings.bind(|| insta::assert_snapshot!(scenario.as_str(), text));
    }
}

#[test]
fn every_built_in_profile_has_golden_transcripts() {
    for profile in Profile::built_in() {
        assert!(names(profile).len() >= 5, "{profile}");
    }
}

#[test]
fn sse() {
    compare("sse");
}

#[test]
fn opencode() {
    compare("opencode");
}

#[test]
fn opencode_live() {
    compare("opencode-live");
}

#[test]
fn opencode_unified() {
    compare("opencode-unified");
}

#[test]
fn pawwork() {
    compare("pawwork");
}

#[test]
fn hermes() {
    compare("hermes");
}

#[test]
fn hermes_session() {
    compare("hermes-session");
}

#[test]
fn dispatch() {
    compare("dispatch");
}

#[test]
fn mppx() {
    compare("mppx");
}
