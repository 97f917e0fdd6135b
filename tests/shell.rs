//! What a shell gets from the built binary: completions that a real bash takes, manual pages, and what happens told by `-v`.

use std::io::{ErrorKind, Write};
use std::process::{Command, Output};

fn streamspec(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_streamspec")).args(args).output().expect("the binary runs")
}

/// What bash proposes behind `streamspec WORDS`, the last of which is being typed; nothing where there is no bash.
fn proposed(words: &[&str]) -> Option<Vec<String>> {
    let completions = streamspec(&["completions", "bash"]);
    assert!(completions.status.success());
    let script = format!(
        "{}\nCOMP_WORDS=(streamspec {}) COMP_CWORD={}\n_streamspec streamspec \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        String::from_utf8(completions.stdout).unwrap(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len()
    );
    // Too long for an argument.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    let bash = match Command::new("bash").args(["--noprofile", "--norc"]).arg(file.path()).output() {
        Ok(bash) => bash,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("bash cannot be run: {error}"),
    };
    assert!(bash.stderr.is_empty(), "{}", String::from_utf8_lossy(&bash.stderr));
    Some(String::from_utf8(bash.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn bash_completes_subcommands_and_flags() {
    let Some(subcommands) = proposed(&["se"]) else {
        eprintln!("bash is not there: its completions were not tried");
        return;
    };
    assert_eq!(subcommands, ["serve", "selftest"]);
    assert_eq!(proposed(&["test", "--write"]).unwrap(), ["--write-baseline"]);
    assert_eq!(proposed(&["completions", "z"]).unwrap(), ["zsh"]);
}

#[test]
fn every_shell_gets_completions_and_an_unknown_one_is_refused() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let completions = streamspec(&["completions", shell]);
        assert!(completions.status.success() && completions.stdout.len() > 1000, "{shell}");
    }
    let unknown = streamspec(&["completions", "command.com"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("powershell"), "it says which there are");
}

#[test]
fn manual_pages_are_printed_and_written() {
    let page = streamspec(&["man"]);
    assert!(page.status.success() && String::from_utf8(page.stdout).unwrap().contains(".TH streamspec 1"));
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("man1");
    assert!(streamspec(&["man", "--dir", into.to_str().unwrap()]).status.success());
    let test = std::fs::read_to_string(into.join("streamspec-test.1")).unwrap();
    assert!(test.contains("a requirement is violated"), "the exit codes are part of it: {test}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = streamspec(&["man", "--dir", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot write"), "{refused:?}");
}

/// Standard output and standard error of a run of one case, with this in `RUST_LOG`. A busy machine may be too late for its promises,
/// and have the case run twice: what is told is no less.
fn told(args: &[&str], rust_log: &str) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["test", "--seed", "1", "--deadline", "60s"])
        .args(args)
        .env("RUST_LOG", rust_log)
        .output()
        .expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}{}", text(&output.stdout), text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_happens_is_told_on_standard_error_as_far_as_it_is_asked_for() {
    let cut = ["--profile", "sse", "--only", "resume-after-cut"];
    // A flag is stronger than the environment.
    let (stdout, once) = told(&[&cut[..], &["-v"]].concat(), "off");
    assert!(!stdout.contains(" INFO "), "the report is what it was: {stdout}");
    for part in [
        "INFO streamspec::process: the server is started and ready",
        "INFO streamspec::connection: a#1 connects from the start",
        "INFO streamspec::connection: a#1 is answered with status 200",
        "INFO streamspec::operation: publish «s0.1»: sent",
        "INFO streamspec::operation: publish «s0.1»: acknowledged with 201",
        "INFO streamspec::fault: a#1: ✂ reset after event 7",
        "INFO streamspec::connection: a#2 connects after `",
        "INFO streamspec::process: the server is stopped",
        "case=\"resume-after-cut\"",
    ] {
        assert!(once.contains(part), "{part} is missing in {once}");
    }
    assert!(!once.contains("DEBUG"), "{once}");

    let (_, named) = told(&cut, "streamspec::fault=info");
    let levels: Vec<&str> = named.lines().filter(|line| line.contains(" streamspec::")).collect();
    assert!(!levels.is_empty() && levels.iter().all(|line| line.contains("INFO streamspec::fault: a#1: ✂ reset")), "{named}");

    let (_, nothing) = told(&cut, "");
    assert!(!nothing.contains("streamspec::"), "{nothing}");
    let (_, foreign) = told(&cut, "a=b=c,/x");
    assert!(foreign.starts_with("warning: RUST_LOG is passed over by streamspec: ") && !foreign.contains("streamspec::"), "{foreign}");
}

#[test]
fn frames_are_told_and_credentials_are_not() {
    let profile = ["--profile", "opencode-unified", "--only", "steady-stream"];
    for (flag, rust_log) in [(&["-vv"][..], ""), (&[], "trace")] {
        let (_, said) = told(&[&profile[..], flag].concat(), rust_log);
        assert!(said.contains("DEBUG streamspec::frame: a#1: event «s0.1» ["), "{said}");
        // What the profile sends as `Authorization`.
        for secret in ["b3BlbmNvZGU6c3RyZWFtc3BlYw", "Authorization", "authorization"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}
