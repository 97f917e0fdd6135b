//! The way of somebody new with an odd protocol of their own: subscribed by POST, the cursor in the body, JSON lines.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const OK: i32 = 0;
const VIOLATED: i32 = 1;
const COULD_NOT_TEST: i32 = 3;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/private");

fn streamspec(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_streamspec")).args(args).env("NO_COLOR", "1").output().expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// False, and said, where there is no Python: its absence is a fact of the machine.
fn python() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok();
    if !there {
        eprintln!("python3 is not there: the servers in {FOLDER} were not tested");
    }
    there
}

/// The command that starts the notebooks.
fn notebooks(bug: &str) -> String {
    format!("python3 {FOLDER}/notebook.py {{port}} {bug}").trim_end().to_owned()
}

/// The worked example's profile with one text replaced, and with all the time that a busy machine may need.
fn profile(folder: &Path, from: &str, to: &str) -> String {
    let own = std::fs::read_to_string(format!("{FOLDER}/notebook.toml")).unwrap();
    let patient = own.replace("[contract]\n", "[contract]\nliveness = { delivery_ms = 20000 }\n");
    assert!(from.is_empty() || patient.contains(from), "{from}");
    let path = folder.join("notebook.toml");
    std::fs::write(&path, if from.is_empty() { patient } else { patient.replacen(from, to, 1) }).unwrap();
    path.display().to_string()
}

#[test]
fn fifteen_lines_lead_to_a_true_verdict() {
    let own = std::fs::read_to_string(format!("{FOLDER}/notebook.toml")).unwrap();
    assert!(own.lines().count() <= 15, "{own}");
    if !python() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let profile = profile(dir.path(), "", "");
    let only = ["resume-after-cut", "cursor-empty", "cursor-of-another-session"].map(|name| ["--only", name]).concat();
    let run = |bug: &str| streamspec(&[&["test", "--start", &notebooks(bug), "--profile", &profile], only.as_slice()].concat());

    let right = run("");
    assert_eq!(code(&right), OK, "{}", text(&right));
    let wrong = run("inclusive");
    assert_eq!(code(&wrong), VIOLATED, "{}", text(&wrong));
    assert!(text(&wrong).contains("FAILED RESUME-1 (MUST)") && text(&wrong).contains("\nfailed: RESUME-1\n"), "{}", text(&wrong));
}

/// A server that runs until the test ends.
struct Running(Child, String);

impl Running {
    fn start() -> Running {
        let mut child =
            Command::new("python3").arg(format!("{FOLDER}/notebook.py")).arg("0").stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Running(child, format!("http://127.0.0.1:{port}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_init_sees_of_a_running_server_is_a_profile_that_doctor_confirms() {
    if !python() {
        return;
    }
    let server = Running::start();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let publish = r#"POST /write {"book": "{session}", "line": "{payload}"}"#;
    let stream = r#"POST /follow {"book": "{session}", "seen": "{cursor}"}"#;
    let written = streamspec(&["init", &server.1, "--dir", &folder, "--publish", publish, "--stream", stream]);
    assert_eq!(code(&written), OK, "{}", text(&written));
    assert!(text(&written).contains("in the body at `/seen`, as a number, only what is newer comes"), "{}", text(&written));
    let profile = std::fs::read_to_string(dir.path().join("profile.toml")).unwrap();
    for line in
        ["format = \"ndjson\"", "cursor = [{ body-number = \"/seen\" }]", "payload = \"/line\"", "cursor = \"/at\"", "order = \"number\""]
    {
        assert!(profile.lines().any(|l| l.starts_with(line)), "{line} is missing:\n{profile}");
    }
    let again = streamspec(&["init", &server.1, "--dir", &folder]);
    assert!(text(&again).contains("is there already"), "{}", text(&again));

    let doctor = streamspec(&["doctor", &dir.path().join("target.toml").display().to_string()]);
    assert_eq!(code(&doctor), OK, "{}", text(&doctor));
}

#[test]
fn doctor_goes_through_every_step_of_a_binding_that_fits() {
    if !python() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = streamspec(&["doctor", "--start", &notebooks(""), "--profile", &profile(dir.path(), "", "")]);
    assert_eq!(code(&output), OK, "{}", text(&output));
    let said = text(&output);
    let steps: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok     ")?.split_whitespace().next()).collect();
    assert_eq!(steps, ["start", "ready", "open", "publish", "read", "cut", "resume", "stop", "restart"], "{said}");
}

#[test]
fn doctor_names_the_first_thing_that_is_wrong_with_a_binding_and_shows_the_bytes() {
    if !python() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // What is replaced in the profile, the step that is wrong, what is said, and what is shown.
    let wrong = [
        ("POST /write", "POST /wrote", "publish", "status 404", "there are /write and /follow"),
        ("{ cursor = \"/at\" }", "{ cursor = \"/n\" }", "publish", "no answer has a cursor at `/n`", "{\"at\": 1}"),
        ("POST /follow", "POST /folow", "read", "status 404", "there are /write and /follow"),
        ("payload = \"/line\"", "payload = \"/text\"", "read", "the payload is not at `/text`", "\"line\": \"\\u00abs0.1"),
        ("cursor = \"/at\"\npayload", "cursor = \"/n\"\npayload", "read", "nothing is at `/n`", "\"line\": \"\\u00abs0.1"),
        ("body = \"/seen\"", "body = \"/since\"", "resume", "the cursor `3` was not heard", "\"since\":\"3\""),
    ];
    for (from, to, step, said, shown) in wrong {
        let output = streamspec(&["doctor", "--start", &notebooks(""), "--profile", &profile(dir.path(), from, to)]);
        assert_eq!(code(&output), COULD_NOT_TEST, "{to}: {}", text(&output));
        let text = text(&output);
        let line = text.lines().find(|line| line.starts_with("WRONG")).unwrap_or_else(|| panic!("{to}: {text}"));
        assert!(line.split_whitespace().nth(1) == Some(step) && line.contains(said), "{to}: {text}");
        assert!(text.contains(shown), "{to}: {text}");
    }
    let output = streamspec(&["doctor", "--start", "sh -c 'echo no database; exit 3' {port}", "--profile", &profile(dir.path(), "", "")]);
    assert_eq!(code(&output), COULD_NOT_TEST, "{}", text(&output));
    assert!(text(&output).contains("WRONG  start") && text(&output).contains("no database"), "{}", text(&output));
}
