//! Reports and baselines of the built binary: what each format holds, and what a list of known failures decides.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Exit codes by the names of the table in `--help`.
const OK: i32 = 0;
const VIOLATED: i32 = 1;
const USAGE: i32 = 2;
const STALE: i32 = 6;
const INTERRUPTED: i32 = 130;

/// The one scenario that is run here, and the requirements that its defect violates in it.
const SCENARIO: &str = "two-cursors-at-once";
const DEFECT: &str = "replay-inclusive";
const VIOLATES: [&str; 3] = ["RESUME-1", "RESUME-10", "SNAPSHOT-2"];

/// Runs the binary in `folder`, which is no job of a forge.
fn streamspec(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
    command.args(args).current_dir(folder).env("NO_COLOR", "1").env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
    command.output().expect("the binary runs")
}

/// Writes `target.toml`: the reference server, with its defect or without. It may be as late as a busy machine makes it, for what is
/// tested here is not time.
fn target(folder: &Path, broken: bool, more: &str) {
    let bug = if broken { format!(" --bug {DEFECT}") } else { String::new() };
    let start = format!("{} serve --data {{dir}} --port {{port}} --heartbeat 500ms{bug}", env!("CARGO_BIN_EXE_streamspec"));
    let patient = "[contract.liveness]\ndelivery_ms = 60000\nheaders_ms = 60000\nheartbeat_ms = 60000\n";
    let text = format!("name = \"t\"\nprofile = \"sse\"\nstart = '{start}'\nready = {{ within_ms = 120000 }}\n{more}{patient}");
    std::fs::write(folder.join("target.toml"), text).unwrap();
}

/// Tests the reference server in the one scenario, with its defect or without.
fn test(folder: &Path, broken: bool, more: &[&str]) -> Output {
    target(folder, broken, "");
    let mut args = vec!["test", "target.toml", "--only", SCENARIO];
    args.extend(more);
    streamspec(folder, &args)
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn the_picture_in_the_documentation_is_what_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pictures");
    let name = "lost-in-the-seam";
    let search = ["simulate", "--scenarios", pictures, "--only", name, "--bug", "read-before-register", "--exhaustive=2", "--save", "."];
    let found = streamspec(dir.path(), &search);
    assert_eq!(code(&found), VIOLATED, "{}", text(&found));
    let history = format!("seam-1-lost-seam-{name}.ndjson");
    let drawn = streamspec(dir.path(), &["report", &history, "-o", "drawn.svg"]);
    assert_eq!(code(&drawn), OK, "{}", text(&drawn));
    let shown = read(Path::new(pictures), &format!("{name}.svg"));
    assert!(read(dir.path(), "drawn.svg") == shown, "docs/pictures/{name}.svg is not what is drawn now; {name}.toml says how to draw it");
}

#[test]
fn every_format_tells_of_the_same_failures() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut args = Vec::new();
    for report in ["json=r.json", "junit=r.xml", "ndjson=r.ndjson", "tap=r.tap", "md=r.md", "sarif=r.sarif", "html=r.html", "svg=pictures"]
    {
        args.extend(["--report", report]);
    }
    args.extend(["--history", "histories"]);
    let output = test(folder, true, &args);
    assert_eq!(code(&output), VIOLATED, "{}", text(&output));

    let json: Value = serde_json::from_str(&read(folder, "r.json")).unwrap();
    let rows = json["requirements"].as_array().unwrap();
    let failed: Vec<&str> = rows.iter().filter(|row| row["outcome"] == "failed").map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(failed, VIOLATES);

    let junit = read(folder, "r.xml");
    assert!(junit.starts_with("<?xml") && junit.ends_with("</testsuites>\n"), "{junit}");
    assert_eq!(junit.matches("<failure ").count(), VIOLATES.len());
    assert_eq!(junit.matches("<testcase ").count(), rows.len());
    assert!(junit.contains(&format!("tests=\"{}\" failures=\"3\" errors=\"0\"", rows.len())), "{junit}");
    assert!(junit.contains("ms  a#1") && junit.contains("<system-out>"), "the timeline, and what the server printed: {junit}");

    let sarif: Value = serde_json::from_str(&read(folder, "r.sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    for id in VIOLATES {
        let result = results.iter().find(|result| result["ruleId"] == id).unwrap_or_else(|| panic!("{id} is missing"));
        assert_eq!(result["level"], "error");
        assert!(result["codeFlows"][0]["threadFlows"][0]["locations"].as_array().is_some_and(|steps| steps.len() > 3), "{result}");
    }

    let tap = read(folder, "r.tap");
    let points = tap.lines().filter(|line| line.starts_with("ok ") || line.starts_with("not ok ")).count();
    assert!(tap.starts_with(&format!("TAP version 13\n1..{points}\n")), "{tap}");
    assert_eq!(tap.lines().filter(|line| line.starts_with("not ok ")).count(), VIOLATES.len());

    let markdown = read(folder, "r.md");
    assert!(VIOLATES.iter().all(|id| markdown.contains(&format!("<b>{id}</b>"))), "{markdown}");

    let page = read(folder, "r.html");
    assert!(VIOLATES.iter().all(|id| page.contains(&format!("id=\"sse-{id}\""))));
    assert!(page.contains("<svg class=\"picture\"") && page.contains("default-src 'none'"));
    assert!(page.contains("Last-Event-ID"), "what stood on the wire is behind the points");
    for foreign in ["<link", "<img", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "the page needs nothing from elsewhere: {foreign}");
    }
    let pictures: Vec<_> = std::fs::read_dir(folder.join("pictures")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pictures.len() >= VIOLATES.len(), "{pictures:?}");
    assert!(pictures.iter().all(|path| std::fs::read_to_string(path).unwrap().ends_with("</svg>\n")));

    let events: Vec<Value> = read(folder, "r.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((names[0], names[1]), ("run-started", "suite-started"));
    assert_eq!(names[names.len() - 2..], ["suite-finished", "run-finished"]);
    let place = |name: &str| names.iter().position(|one| *one == name).unwrap_or_else(|| panic!("no {name}"));
    assert!(place("case-started") < place("violated") && place("violated") < place("case-finished"), "{names:?}");
    assert_eq!(events.last().unwrap()["exit"], VIOLATED);

    let history = std::fs::read_dir(folder.join("histories")).unwrap().next().unwrap().unwrap().path();
    for drawn in ["h.html", "h.svg"] {
        let output = streamspec(folder, &["report", history.to_str().unwrap(), "-o", drawn]);
        assert_eq!(code(&output), OK, "{}", text(&output));
        assert!(read(folder, drawn).contains("class=\"p event off\""), "the offending delivery is marked");
    }

    let output = streamspec(folder, &["matrix", "r.json", "r.json"]);
    assert_eq!(code(&output), OK, "{}", text(&output));
    let matrix = text(&output);
    let row = matrix.lines().find(|line| line.starts_with("| **RESUME-1**")).unwrap();
    assert!(row.ends_with("| ✗ | ✗ |"), "{row}");
    assert_eq!(code(&streamspec(folder, &["matrix", "r.json", "-o", "m.html"])), OK);
    assert!(read(folder, "m.html").contains("✗ failed"));
    assert_eq!(code(&streamspec(folder, &["matrix", "r.xml"])), USAGE);
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let cases = [
        ("xml=r.xml", "there is no report format `xml`; there are: json, junit"),
        ("junit", "such as junit=report.xml"),
        ("junit=.", "it is a folder"),
        ("sarif=no/r.sarif", "there is no folder no"),
        ("svg=file", "it is a file"),
    ];
    for (report, why) in cases {
        let output = test(dir.path(), false, &["--report", report]);
        assert_eq!(code(&output), USAGE, "{report}: {}", text(&output));
        assert!(text(&output).contains(why), "{report}: {}", text(&output));
        assert!(!text(&output).contains("judged"), "{report}: nothing was run");
    }
    let output = streamspec(dir.path(), &["report", "nothing.ndjson"]);
    assert_eq!(code(&output), USAGE);
    assert!(text(&output).contains("cannot be read"), "{}", text(&output));
}

#[test]
fn a_job_of_github_gets_annotations_and_a_summary_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    target(dir.path(), true, "");
    let summary = dir.path().join("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["test", "target.toml", "--only", SCENARIO])
        .envs([("GITHUB_ACTIONS", "true"), ("NO_COLOR", "1"), ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(code(&output), VIOLATED, "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for id in VIOLATES {
        assert!(said.contains(&format!("::error title=sse {id}::")), "{said}");
    }
    let summary = std::fs::read_to_string(&summary).unwrap();
    assert!(summary.starts_with("before\n## ❌ streamspec: sse"), "{summary}");
}

/// A baseline with one entry a requirement that the defect violates.
fn list(folder: &Path, more: &str) {
    let entry = |id: &&str| format!("[[failure]]\nrequirement = \"{id}\"\nscenario = \"{SCENARIO}\"\nreason = \"ticket 7\"\n{more}\n");
    std::fs::write(folder.join("streamspec-baseline.toml"), VIOLATES.iter().map(entry).collect::<String>()).unwrap();
}

#[test]
fn a_written_baseline_excuses_what_it_lists_and_is_stale_when_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let output = test(dir.path(), true, &["--write-baseline"]);
    assert_eq!(code(&output), OK, "{}", text(&output));
    let written = read(dir.path(), "streamspec-baseline.toml");
    assert!(VIOLATES.iter().all(|id| written.contains(&format!("requirement = \"{id}\"\nscenario = \"{SCENARIO}\""))), "{written}");

    let output = test(dir.path(), true, &[]);
    assert_eq!(code(&output), OK, "{}", text(&output));
    assert!(VIOLATES.iter().all(|id| text(&output).contains(&format!("KNOWN {id}"))), "{}", text(&output));

    let output = test(dir.path(), false, &["--report", "junit=r.xml"]);
    assert_eq!(code(&output), STALE, "{}", text(&output));
    assert!(text(&output).contains("RESUME-1 is listed as known and did not fail in two-cursors-at-once"), "{}", text(&output));
    assert_eq!(read(dir.path(), "r.xml").matches("type=\"stale\"").count(), VIOLATES.len());

    assert_eq!(code(&test(dir.path(), false, &["--write-baseline"])), OK);
    assert!(!read(dir.path(), "streamspec-baseline.toml").contains("[[failure]]"), "what is gone is removed");
}

#[test]
fn flaky_entries_never_decide_and_expired_ones_excuse_nothing() {
    let dir = tempfile::tempdir().unwrap();
    list(dir.path(), "flaky = true");
    for broken in [true, false] {
        let output = test(dir.path(), broken, &[]);
        assert_eq!(code(&output), OK, "{}", text(&output));
        assert_eq!(text(&output).contains("FLAKY RESUME-1"), broken, "{}", text(&output));
    }
    list(dir.path(), "expires = \"2999-12-31\"");
    assert_eq!(code(&test(dir.path(), true, &[])), OK);
    list(dir.path(), "expires = \"2020-01-31\"");
    let output = test(dir.path(), true, &[]);
    assert_eq!(code(&output), VIOLATED, "{}", text(&output));
    assert!(text(&output).contains("was known until 2020-01-31: ticket 7"), "{}", text(&output));
    let output = test(dir.path(), false, &[]);
    assert_eq!(code(&output), STALE, "what has expired and is gone is to be removed: {}", text(&output));
}

#[test]
fn a_baseline_that_cannot_be_meant_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    // Each is shown with the line on which it stands.
    let refused = |from: &str, to: &str, why: &str| {
        list(dir.path(), "");
        let path = dir.path().join("streamspec-baseline.toml");
        let right = std::fs::read_to_string(&path).unwrap();
        let wrong = right.replace(from, to);
        let line = 1 + right.lines().zip(wrong.lines()).position(|(right, wrong)| right != wrong).unwrap();
        std::fs::write(&path, wrong).unwrap();
        let output = test(dir.path(), true, &[]);
        assert_eq!(code(&output), USAGE, "{}", text(&output));
        for part in [why, &format!("streamspec-baseline.toml:{line}:")] {
            assert!(text(&output).contains(part), "{part} is missing in {}", text(&output));
        }
    };
    refused("RESUME-10", "RESUME-999", "there is no requirement `RESUME-999`");
    refused(SCENARIO, "two-cursors-at-onse", "did you mean `two-cursors-at-once`?");
    refused("ticket 7", " ", "is known without a reason");
    refused("ticket 7\"", "ticket 7\"\nexpires = \"2027-02-31\"", "`2027-02-31` is no day");
    let output = test(dir.path(), true, &["--baseline", "nowhere.toml"]);
    assert_eq!(code(&output), USAGE, "{}", text(&output));
    assert!(text(&output).contains("nowhere.toml"), "{}", text(&output));
}

#[test]
fn a_campaign_has_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let start = format!("{} serve --data {{dir}} --port {{port}} --heartbeat 500ms", env!("CARGO_BIN_EXE_streamspec"));
    let fuzz = |report: &str| {
        streamspec(dir.path(), &["fuzz", "--start", &start, "--profile", "sse", "--cases", "20", "--seed", "1", "--report", report])
    };
    let output = fuzz("html=fuzz.html");
    let page = read(dir.path(), "fuzz.html");
    assert!(page.contains("goals reached") && page.ends_with("</html>\n"), "{}", text(&output));
    let output = fuzz("json=fuzz.json");
    assert_eq!(code(&output), USAGE, "{}", text(&output));
    assert!(text(&output).contains("write html=PATH"), "{}", text(&output));
}

#[test]
fn coverage_tells_what_cannot_be_observed_on_a_target() {
    let dir = tempfile::tempdir().unwrap();
    target(dir.path(), false, "allow = []\n");
    let args = ["test", "target.toml", "--only", SCENARIO, "--only", "RESTART", "--requirements", "2026-11", "--report", "json=r.json"];
    let output = streamspec(dir.path(), &args);
    assert_eq!(code(&output), OK, "{}", text(&output));
    assert!(text(&output).contains("coverage: "), "{}", text(&output));
    let json: Value = serde_json::from_str(&read(dir.path(), "r.json")).unwrap();
    let coverage = json["coverage"].as_str().unwrap();
    assert!(coverage.contains("not observable (the target file does not allow to restart it"), "{coverage}");
    assert_eq!(json["requirement_set"], "2026-11");
    assert!(json["requirements"].as_array().unwrap().iter().any(|row| row["outcome"] == "not-observable" && row["why"].is_string()));

    let output = streamspec(dir.path(), &["test", "target.toml", "--requirements", "1999-01"]);
    assert_eq!(code(&output), USAGE, "{}", text(&output));
    assert!(text(&output).contains("there is no set of requirements `1999-01`; there are: 2026-11"), "{}", text(&output));
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_whole_reports() {
    let dir = tempfile::tempdir().unwrap();
    target(dir.path(), false, "");
    let child = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["test", "target.toml", "--only", SCENARIO, "--repeat", "5000", "--jobs", "1"])
        .args(["--report", "junit=r.xml", "--report", "ndjson=r.ndjson", "--report", "html=r.html"])
        .current_dir(dir.path())
        .env_remove("GITHUB_ACTIONS")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let events = dir.path().join("r.ndjson");
    while !std::fs::read_to_string(&events).is_ok_and(|text| text.contains("\"case-finished\"")) {
        assert!(began.elapsed() < Duration::from_secs(300), "no case was finished");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), INTERRUPTED, "{}", text(&output));
    assert!(read(dir.path(), "r.xml").ends_with("</testsuites>\n"));
    assert!(read(dir.path(), "r.html").ends_with("</html>\n"));
    let last = read(dir.path(), "r.ndjson").lines().last().map(str::to_owned).unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&Value::from("run-finished"), &Value::from(INTERRUPTED)));
}
