//! Exploration through the built binary: what is found, how small it becomes, and what is kept.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[path = "support/python.rs"]
mod python;

/// Exit codes by the names of the table in `--help`.
const OK: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 2;
const COULD_NOT_TEST: i32 = 3;
const INCONCLUSIVE: i32 = 5;
const INTERRUPTED: i32 = 130;

/// The most that shrunk scenarios may have, taken together.
const STEPS: usize = 6;
const FAULTS: usize = 2;

fn streamspec(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
    command.args(args).env("NO_COLOR", "1").current_dir(folder);
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    streamspec(folder, args).output().expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn reference(bugs: &[&str]) -> String {
    let bugs: String = bugs.iter().map(|bug| format!(" --bug {bug}")).collect();
    format!("{} serve --data {{dir}} --port {{port}} --heartbeat 500ms{bugs}", env!("CARGO_BIN_EXE_streamspec"))
}

/// The files of a kind in the folder of failures.
fn failures(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder.join(".streamspec/failures"))
        .map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()).collect())
        .unwrap_or_default();
    all.retain(|path| path.extension().is_some_and(|e| e == end));
    all.sort();
    all
}

/// Steps and faults of a scenario file.
fn size(path: &Path) -> (usize, usize) {
    let text = std::fs::read_to_string(path).unwrap();
    let steps: Vec<&str> = text.lines().filter(|line| line.starts_with("  { ")).collect();
    let faults = ["{ cut", "{ stall", "{ hold", "{ shape", "{ restart", "{ pause", "{ churn", "fault =", "refuse_first ="];
    (steps.len(), steps.iter().filter(|step| faults.iter().any(|fault| step.contains(fault))).count())
}

#[test]
fn seeded_bugs_are_found_and_shrunk_and_are_fixed_on_the_right_server() {
    let cases: [(&str, &[&str]); 5] = [
        ("off-by-one", &[]),
        ("replay-inclusive", &[]),
        ("read-before-register", &["--prefer", "seam"]),
        ("terminal-live-only", &["--prefer", "terminal"]),
        ("ids-restart", &["--prefer", "restart"]),
    ];
    // Which face of a bug is met first is a matter of time, and with it how small it becomes and whether the right server
    // does anything that can be judged instead.
    let (mut all_steps, mut all_fixed) = (0, 0);
    for (bug, more) in cases {
        let folder = tempfile::tempdir().unwrap();
        let start = reference(&[bug]);
        let mut args = vec!["fuzz", "--start", &start, "--profile", "sse", "--cases", "600", "--seed", "0x5eed", "--deadline", "2s"];
        args.extend(more);
        let output = run(folder.path(), &args);
        assert_eq!(code(&output), VIOLATED, "{bug} was not found: {}", text(&output));
        let [scenario] = &failures(folder.path(), "toml")[..] else { panic!("{bug}: {}", text(&output)) };
        let (steps, faults) = size(scenario);
        let file = std::fs::read_to_string(scenario).unwrap();
        assert!((2..2 * STEPS).contains(&steps) && faults <= 2 * FAULTS, "{bug}: {steps} steps, {faults} faults\n{file}");
        all_steps += steps;

        let name = scenario.to_str().unwrap();
        let still = run(folder.path(), &["replay", name, "--start", &start, "--profile", "sse", "--deadline", "2s"]);
        assert_eq!(code(&still), VIOLATED, "{bug}: {}", text(&still));
        assert!(text(&still).contains("STILL FAILS"), "{bug}: {}", text(&still));
        let fixed = run(folder.path(), &["replay", name]);
        match code(&fixed) {
            OK => assert!(text(&fixed).contains("FIXED"), "{bug}: {}", text(&fixed)),
            COULD_NOT_TEST => assert!(text(&fixed).contains("was judged in none of"), "{bug}: {}\n{file}", text(&fixed)),
            other => panic!("{bug}: exit code {other}: {}\n{file}", text(&fixed)),
        }
        all_fixed += usize::from(code(&fixed) == OK);
        let history = run(folder.path(), &["replay", "--history", name]);
        assert_eq!(code(&history), VIOLATED, "{bug}: {}", text(&history));
    }
    assert!(all_steps <= STEPS * cases.len(), "{all_steps} steps for {} bugs", cases.len());
    assert!(2 * all_fixed > cases.len(), "{all_fixed} of {} could be judged", cases.len());
}

#[test]
fn the_table_tells_how_soon_a_defect_is_found_and_what_is_not_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["fuzz", "--table=off-by-one,any-method", "--cases", "600", "--seed", "0x5eed", "--deadline", "2s"];
    let output = run(folder.path(), &args);
    let said = text(&output);
    assert_eq!(code(&output), OK, "{said}");
    let line = |bug: &str| said.lines().find(|line| line.contains(bug)).unwrap_or_else(|| panic!("{bug}: {said}")).to_owned();
    assert!(line(" off-by-one ").starts_with("found") && line(" off-by-one ").contains(" of its runs"), "{said}");
    assert!(line(" any-method ").starts_with("skipped"), "{said}");
    assert!(said.contains("1 passed, 0 failed, 1 skipped"), "{said}");
    assert!(failures(folder.path(), "toml").is_empty(), "a table keeps no failures");
    let unknown = run(folder.path(), &["fuzz", "--table=of-by-one"]);
    assert_eq!(code(&unknown), USAGE);
    assert!(text(&unknown).contains("did you mean `off-by-one`?"), "{}", text(&unknown));
}

#[test]
fn a_bug_that_shows_one_time_in_ten_is_kept_and_labelled() {
    let private = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/private");
    if !python::is_there("a bug that shows one time in ten") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let start = format!("python3 {private}/lossy.py {{port}} 0.1");
    let profile = format!("{private}/lossy.toml");
    let output = run(
        folder.path(),
        &["fuzz", "--start", &start, "--profile", &profile, "--cases", "600", "--seed", "0x5eed", "--prefer", "seam", "--deadline", "1s"],
    );
    assert_eq!(code(&output), VIOLATED, "{}", text(&output));
    let [about] = &failures(folder.path(), "json")[..] else { panic!("{}", text(&output)) };
    let about: serde_json::Value = serde_json::from_slice(&std::fs::read(about).unwrap()).unwrap();
    let (failed, of) = (about["rate"]["failed"].as_u64().unwrap(), about["rate"]["of"].as_u64().unwrap());
    assert!(failed >= 1 && of >= 10, "{about}");
    // Every one of ten runs, where each has a few connections that fail one time in ten: one in a million.
    assert!(failed < of, "{about}");
    assert!(text(&output).contains(&format!("{failed}/{of} of its runs")), "{}", text(&output));
}

#[test]
fn the_corpus_comes_back_smaller_or_equal_and_reaches_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let fuzz = |cases: &str, goals: &str| {
        let mut args = vec!["fuzz", "--cases", cases, "--seed", "0x1", "--corpus", "corpus", "--prefer", "cut"];
        args.extend(["--require-goals", goals]);
        run(folder.path(), &args)
    };
    let first = fuzz("60", "resume-mid-log");
    assert_eq!(code(&first), OK, "{}", text(&first));
    let files = || std::fs::read_dir(folder.path().join("corpus")).unwrap().count();
    let kept = files();
    assert!(kept > 3, "{}", text(&first));
    let one = std::fs::read_dir(folder.path().join("corpus")).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_to_string(one).unwrap().starts_with("# streamspec corpus 1\n"));
    // Every kept scenario is run before anything new is made.
    let second = fuzz(&kept.to_string(), "resume-mid-log");
    assert_eq!(code(&second), OK, "{}", text(&second));
    assert!((1..=kept).contains(&files()), "{} became {}", kept, files());
}

#[test]
fn a_goal_that_was_never_reached_fails_where_it_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["fuzz", "--cases", "1", "--seed", "0x1", "--require-goals", "kill-twice"]);
    assert_eq!(code(&output), INCONCLUSIVE, "{}", text(&output));
    assert!(text(&output).contains("never reached: kill-twice"), "{}", text(&output));
    let unknown = run(folder.path(), &["fuzz", "--require-goals", "nonsense"]);
    assert_eq!(code(&unknown), USAGE);
    assert!(text(&unknown).contains("kill-twice"), "the goals are listed: {}", text(&unknown));
    let theme = run(folder.path(), &["fuzz", "--prefer", "nonsense"]);
    assert_eq!(code(&theme), USAGE);
    assert!(text(&theme).contains("restart"), "the themes are listed: {}", text(&theme));
}

#[test]
fn an_interrupt_finishes_the_case_and_writes_everything() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut child = streamspec(folder.path(), &["fuzz", "--max-time", "10m", "--corpus", "corpus", "--seed", "0x1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first line of progress comes when cases have been run.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.contains(" cases "))).unwrap().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(INTERRUPTED), "{line}\n{said}");
    assert!(said.contains(" distinct failures"), "{said}");
    assert!(std::fs::read_dir(folder.path().join("corpus")).unwrap().count() > 0, "{said}");
    assert!(rest.join().unwrap().iter().any(|line| line.contains("interrupted")));
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone.toml");
    let steps = "steps = [\n  { open = { session = \"s\" } },\n  { publish = { session = \"s\" } },\n  { restart = {} },\n]\n";
    std::fs::write(&path, format!("name = \"gone\"\nsays = \"y\"\nneeds = [\"publish\", \"kill\"]\njudges = [\"RESTART-1\"]\n{steps}"))
        .unwrap();
    let mut server = streamspec(folder.path(), &["serve", "--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut first).unwrap();
    let url = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_else(|| panic!("no address in {first}"));
    let output = run(folder.path(), &["replay", path.to_str().unwrap(), "--url", url, "--profile", "sse"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(code(&output), COULD_NOT_TEST, "{}", text(&output));
    assert!(text(&output).contains("CANNOT gone: the target was given by URL"), "{}", text(&output));

    std::fs::write(folder.path().join("gone.json"), "{\"streamspec_failure\":9}").unwrap();
    let output = run(folder.path(), &["replay", path.to_str().unwrap()]);
    assert_eq!(code(&output), USAGE);
    assert!(text(&output).contains("version 9"), "{}", text(&output));
}

#[test]
fn a_sweep_names_the_places_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let right = run(folder.path(), &["test", "--profile", "sse", "--sweep", "resume"]);
    assert_eq!(code(&right), OK, "{}", text(&right));
    assert!(text(&right).contains("held   steady: a reader of s after every event and id, 14 places"), "{}", text(&right));
    let start = reference(&["off-by-one"]);
    let wrong = run(folder.path(), &["test", "--sweep", "resume", "--start", &start, "--profile", "sse", "--deadline", "1s"]);
    assert_eq!(code(&wrong), VIOLATED, "{}", text(&wrong));
    let line = text(&wrong).lines().find(|line| line.starts_with("FAILED")).unwrap().to_owned();
    assert!(line.contains("14 places, failed at ") && line.contains("event 1,") && line.contains("RESUME-2"), "{line}");
}
