//! The way of somebody new with an odd protocol of their own: subscribed by POST, the cursor in the body, JSON lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

#[path = "support/python.rs"]
mod python;

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

/// What was said, without the breaks of its lines.
fn flowing(output: &Output) -> String {
    text(output).split_whitespace().collect::<Vec<_>>().join(" ")
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
    if !python::is_there("the notebooks") {
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
    if !python::is_there("the notebooks") {
        return;
    }
    let server = Running::start();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let publish = r#"POST /write {"book": "{session}", "line": "{payload}"}"#;
    let stream = r#"POST /follow {"book": "{session}", "seen": "{cursor}"}"#;
    let written = streamspec(&["init", &server.1, "--dir", &folder, "--publish", publish, "--stream", stream]);
    assert_eq!(code(&written), OK, "{}", text(&written));
    assert!(flowing(&written).contains("in the body at `/seen`, as a number, only what is newer comes"), "{}", text(&written));
    let profile = std::fs::read_to_string(dir.path().join("profile.toml")).unwrap();
    for line in
        ["format = \"ndjson\"", "cursor = [{ body-number = \"/seen\" }]", "payload = \"/line\"", "cursor = \"/at\"", "order = \"number\""]
    {
        assert!(profile.lines().any(|l| l.starts_with(line)), "{line} is missing:\n{profile}");
    }
    // A busy machine may need more time than a person would give the server.
    std::fs::write(dir.path().join("profile.toml"), profile.replace("delivery_ms = 2000", "delivery_ms = 20000")).unwrap();
    let again = streamspec(&["init", &server.1, "--dir", &folder]);
    assert!(text(&again).contains("is there already"), "{}", text(&again));

    let doctor = streamspec(&["doctor", &dir.path().join("target.toml").display().to_string()]);
    assert_eq!(code(&doctor), OK, "{}", text(&doctor));
}

#[test]
fn init_starts_a_server_that_does_not_run_and_sends_it_the_headers_it_is_given() {
    if !python::is_there("the notebooks") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let publish = r#"POST /write {"book": "{session}", "line": "{payload}"}"#;
    let stream = r#"POST /follow {"book": "{session}", "seen": "{cursor}"}"#;
    let requests = ["--publish", publish, "--stream", stream, "--header", "Authorization: Bearer {env.NOTEBOOK_TOKEN}"];
    let start = notebooks("");
    let init = |token: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
        command.args(["init", "--start", &start, "--dir", &folder]).args(requests).env("NO_COLOR", "1").env_remove("NOTEBOOK_TOKEN");
        command.envs(token.map(|token| ("NOTEBOOK_TOKEN", token))).output().expect("the binary runs")
    };
    let unset = init(None);
    assert_eq!(code(&unset), 2, "{}", text(&unset));
    assert!(text(&unset).contains("NOTEBOOK_TOKEN"), "{}", text(&unset));
    let written = init(Some("x"));
    assert_eq!(code(&written), OK, "{}", text(&written));
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(read("profile.toml").contains("\nheaders = { Authorization = \"Bearer {env.NOTEBOOK_TOKEN}\" }\n"), "{}", read("profile.toml"));
    assert!(read("profile.toml").contains("\ncursor = \"/at\"\n"), "{}", read("profile.toml"));
    assert!(read("target.toml").contains(&format!("\nstart = \"{start}\"\n")), "{}", read("target.toml"));
    // A server that closes the connection where it knows no path, and answers further down the list.
    let lossy = format!("python3 {FOLDER}/lossy.py {{port}} 0");
    let output = streamspec(&["init", "--start", &lossy, "--dir", &format!("{folder}/lossy")]);
    assert_eq!(code(&output), OK, "{}", text(&output));
    assert!(text(&output).contains("  GET /up answers\n") && !text(&output).contains("missed"), "{}", text(&output));
    assert!(flowing(&output).contains("more is found with --publish and --stream"), "{}", text(&output));

    let output = streamspec(&["init", "--start", "no-such-server {port}", "--dir", &format!("{folder}/none")]);
    assert_eq!(code(&output), COULD_NOT_TEST, "{}", text(&output));
    assert!(text(&output).contains("cannot run `no-such-server`") && !dir.path().join("none").exists(), "{}", text(&output));
}

/// A listener that takes every connection and answers each request with these bytes, then closes; its URL. It lives as long as the
/// test's process.
fn answering(bytes: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&socket);
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                    line.clear();
                }
                let _ = std::io::copy(&mut reader.take(length), &mut std::io::sink());
                let _ = (&socket).write_all(bytes.as_bytes());
            });
        }
    });
    url
}

/// What a web server says to everything.
const PAGE: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 28\r\nConnection: close\r\n\r\n<!doctype html><p>welcome\r\n\r\n";

#[test]
fn a_web_page_is_no_protocol_and_init_and_doctor_say_so() {
    let url = answering(PAGE);
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let publish = "POST /rooms/{session} {\"text\": \"{payload}\"}";
    let written = streamspec(&["init", &url, "--dir", &folder, "--publish", publish, "--stream", "/rooms/{session}"]);
    assert_eq!(code(&written), OK, "{}", text(&written));
    assert!(flowing(&written).contains("missed: the stream is a web page"), "{}", text(&written));
    let profile = std::fs::read_to_string(dir.path().join("profile.toml")).unwrap();
    assert!(profile.contains("\n# TODO: the look at the server ended at this: the stream is a web page"), "{profile}");

    for (profile, step) in [("sse", "WRONG  open "), (&*format!("{folder}/profile.toml"), "WRONG  read ")] {
        let output = streamspec(&["doctor", "--url", &url, "--profile", profile]);
        assert_eq!(code(&output), COULD_NOT_TEST, "{}", text(&output));
        assert!(text(&output).contains(step), "{}", text(&output));
        assert!(flowing(&output).contains("the answer is a web page: are address and path right?"), "{}", text(&output));
        assert!(text(&output).contains("<!doctype html><p>welcome"), "the bytes are shown: {}", text(&output));
    }
}

#[test]
fn a_listener_that_answers_nothing_is_told_from_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("spec");
    // The kernel takes the connections of a listener that nobody accepts from.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let output = streamspec(&["init", &url, "--dir", &folder.display().to_string()]);
    assert_eq!(code(&output), COULD_NOT_TEST, "{}", text(&output));
    assert!(flowing(&output).contains("GET /health: no answer within 5 s"), "{}", text(&output));
    assert!(!folder.exists(), "nothing was seen, and nothing is written");

    let output = streamspec(&["doctor", "--url", &answering(""), "--profile", "sse"]);
    assert_eq!(code(&output), COULD_NOT_TEST, "{}", text(&output));
    assert!(text(&output).contains("WRONG  open ") && flowing(&output).contains("is it the right port?"), "{}", text(&output));
}

#[test]
fn a_session_that_must_be_opened_is_asked_about_when_it_is_missing() {
    let refused = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    let (url, dir) = (answering(refused), tempfile::tempdir().unwrap());
    let folder = dir.path().display().to_string();
    let publish = "POST /rooms/{session} {\"text\": \"{payload}\"}";
    let written = streamspec(&["init", &url, "--dir", &folder, "--publish", publish, "--stream", "/rooms/{session}"]);
    assert_eq!(code(&written), OK, "{}", text(&written));
    assert!(flowing(&written).contains("is refused with 404: is the path right, and must a session be opened first (--open)?"));
    let output = streamspec(&["doctor", &format!("{folder}/target.toml")]);
    assert_eq!(code(&output), COULD_NOT_TEST, "{}", text(&output));
    assert!(flowing(&output).contains("must a session be opened first? `binding.open` says how"), "{}", text(&output));
}

#[test]
fn doctor_goes_through_every_step_of_a_binding_that_fits() {
    if !python::is_there("the notebooks") {
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
    if !python::is_there("the notebooks") {
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
        assert!(line.split_whitespace().nth(1) == Some(step) && flowing(&output).contains(said), "{to}: {text}");
        assert!(text.contains(shown), "{to}: {text}");
    }
    let output = streamspec(&["doctor", "--start", "sh -c 'echo no database; exit 3' {port}", "--profile", &profile(dir.path(), "", "")]);
    assert_eq!(code(&output), COULD_NOT_TEST, "{}", text(&output));
    assert!(text(&output).contains("WRONG  start") && text(&output).contains("no database"), "{}", text(&output));
}

#[test]
fn files_with_the_line_ends_of_windows_are_read_and_their_mistakes_are_shown_in_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text.replace("\r\n", "\n").replace('\n', "\r\n")).unwrap();
        path.display().to_string()
    };
    let own = std::fs::read_to_string(format!("{FOLDER}/notebook.toml")).unwrap();
    write("profile.toml", &own);
    let target = write("target.toml", "profile = \"profile.toml\"\nstart = \"python3 x {port}\"\n[known]\nRESUME-1 = \"ticket 7\"\n");
    std::fs::create_dir(dir.path().join("own")).unwrap();
    let scenario = "name = \"mine\"\nsays = \"mine\"\nneeds = [\"publish\"]\njudges = [\"DELIVER-1\"]\nsteps = [\n  { open = { session = \"s\" } },\n  { publish = { session = \"s\" } },\n]\n";
    write("own/mine.toml", scenario);
    let own_scenarios = dir.path().join("own").display().to_string();
    let list = || streamspec(&["test", &target, "--scenarios", &own_scenarios, "--list", "--only", "mine"]);
    let output = list();
    assert_eq!(code(&output), OK, "{}", text(&output));
    assert!(text(&output).starts_with("mine "), "{}", text(&output));

    // Each file with one mistake: the file and the line are named.
    for (name, right, wrong, place) in [
        ("own/mine.toml", scenario.to_owned(), scenario.replace("publish = {", "pubish = {"), "mine.toml:7:"),
        ("profile.toml", own.clone(), own.replace("{session}", "{sesion}"), "profile.toml:7:"),
        (
            "target.toml",
            std::fs::read_to_string(&target).unwrap(),
            "profile = \"profile.toml\"\nurl = \"x\"\n[contract]\nretention = 5\n".to_owned(),
            "target.toml:",
        ),
    ] {
        write(name, &wrong);
        let output = list();
        assert_eq!(code(&output), 2, "{name}: {}", text(&output));
        assert!(text(&output).contains(place), "{name}: {}", text(&output));
        write(name, &right);
    }
    assert_eq!(code(&list()), OK);
}

/// Lines of a process's output, each awaited at most this long.
struct Lines(std::sync::mpsc::Receiver<String>);

impl Lines {
    fn of(child: &mut Child) -> Lines {
        let (tell, lines) = std::sync::mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).all(|line| tell.send(line).is_ok()));
        Lines(lines)
    }

    /// Waits until a line holds this.
    fn until(&self, part: &str) {
        loop {
            let line = self.0.recv_timeout(std::time::Duration::from_secs(120)).unwrap_or_else(|_| panic!("no line with `{part}` came"));
            if line.contains(part) {
                return;
            }
        }
    }
}

#[test]
fn a_watched_folder_brings_a_new_run_at_each_change() {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_streamspec"))
        .args(["test", "--profile", "sse", "--only", "resume-after-cut", "--watch", &dir.path().display().to_string()])
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running(child, String::new());
    let lines = Lines::of(&mut running.0);
    for nth in 0..2 {
        lines.until(" passed, 0 failed, ");
        std::fs::write(dir.path().join(format!("{nth}.rs")), "changed").unwrap();
    }
    lines.until(" passed, 0 failed, ");
    drop(running);
    let output = streamspec(&["test", "--profile", "sse", "--watch", &dir.path().join("nowhere").display().to_string()]);
    assert_eq!(code(&output), 2, "{}", text(&output));
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_that_than_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let settings = |text: &str| std::fs::write(dir.path().join("streamspec.toml"), text).unwrap();
    let run = |args: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamspec"));
        command.args(args).current_dir(dir.path()).env("NO_COLOR", "1").envs(environment.iter().copied());
        command.output().expect("the binary runs")
    };
    let says = |output: &Output, line: &str| assert!(text(output).lines().any(|l| l == line), "{line} is missing:\n{}", text(output));

    settings("profile = \"sse\"\n[test]\njobs = 3\ndeadline = \"7s\"\nonly = [\"seam-on-resume\"]\n");
    let jobs = [("STREAMSPEC_TEST_JOBS", "4")];
    let output = run(&["test", "--print-config"], &[]);
    assert_eq!(code(&output), OK, "{}", text(&output));
    for line in [
        "profile = \"sse\" # streamspec.toml",
        "jobs = 3 # streamspec.toml",
        "only = [\"seam-on-resume\"] # streamspec.toml",
        "repeat = 1 # default",
    ] {
        says(&output, line);
    }
    says(&run(&["test", "--print-config"], &jobs), "jobs = 4 # STREAMSPEC_TEST_JOBS");
    says(&run(&["test", "--print-config", "-j", "5"], &jobs), "jobs = 5 # the command line");
    says(&run(&["test", "--print-config", "--no-config"], &[]), "# jobs is not set");
    let listed = run(&["test", "--list"], &[]);
    assert_eq!((code(&listed), text(&listed).lines().count()), (OK, 1), "{}", text(&listed));

    // Which server is meant is one setting, whatever it is said by.
    settings("start = \"x {port}\"\nprofile = \"sse\"\n");
    says(&run(&["doctor", "--print-config"], &[]), "start = \"x {port}\" # streamspec.toml");
    let output = run(&["doctor", "--print-config"], &[("STREAMSPEC_URL", "http://127.0.0.1:1")]);
    says(&output, "url = \"http://127.0.0.1:1\" # STREAMSPEC_URL");
    says(&output, "# start is not set");
    says(&run(&["doctor", "--print-config", "t.toml"], &[]), "target = \"t.toml\" # the command line");

    for (wrong, said) in [
        ("[test]\njbs = 3\n", "did you mean `jobs`?"),
        ("[test]\njbs = 3\n", "streamspec.toml:2:"),
        ("[test]\njobs = 900\n", "streamspec.toml: "),
        ("url = \"http://h\"\nstart = \"x {port}\"\n", "exclude each other"),
        ("[tset]\n", "tset"),
    ] {
        settings(wrong);
        let output = run(&["test", "--print-config"], &[]);
        assert_eq!(code(&output), 2, "{wrong}: {}", text(&output));
        assert!(text(&output).contains(said), "{wrong}: {}", text(&output));
    }
    let output = run(&["test", "--print-config", "--config", "nowhere.toml"], &[]);
    assert_eq!(code(&output), 2, "{}", text(&output));
}
