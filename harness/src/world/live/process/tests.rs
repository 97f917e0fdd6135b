//! Targets as real processes. The test binary plays every part itself: server, daemon, guard, and a streamspec to kill.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::procfs::descendants;
use super::*;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(10);
const ROLE: &str = "STREAMSPEC_TEST_ROLE";
const PORT: &str = "STREAMSPEC_TEST_PORT";

fn plays(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|asked| asked == role)
}

/// A command that runs this binary in one of the parts below.
fn part(role: &str) -> String {
    let itself = std::env::current_exe().expect("a test binary");
    format!("env {ROLE}={role} {} --exact --nocapture world::live::process::tests::plays_the_{role}", itself.display())
}

#[test]
fn plays_the_guard() {
    if plays("guard") {
        guard_main();
    }
}

/// Answers `/` with 200 and everything else with 404, but leaves `/hang` open.
#[test]
fn plays_the_server() {
    if !plays("server") {
        return;
    }
    let port: u16 = std::env::var(PORT).expect("given").parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    println!("\nlistening on http://{}", listener.local_addr().expect("bound"));
    let mut hanging = Vec::new();
    for client in listener.incoming() {
        let mut client = client.expect("accepted");
        let mut line = String::new();
        BufReader::new(&client).read_line(&mut line).expect("a request");
        if line.contains(" /hang ") {
            hanging.push(client);
            continue;
        }
        let status = if line.contains(" / ") { "200 OK" } else { "404 Not Found" };
        let _ = write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    }
}

/// Leaves a server behind in a session of its own, as a child of nobody.
#[test]
#[expect(clippy::zombie_processes, reason = "a daemon's parent does not wait for it")]
fn plays_the_daemon() {
    if !plays("daemon") {
        return;
    }
    let words = CommandLine::parse(&part("server")).expect("words").fill(0, Path::new(""));
    let mut server = Command::new(&words[0]);
    server.args(&words[1..]);
    // SAFETY: setsid is async-signal-safe.
    unsafe { server.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into)) };
    server.spawn().expect("it starts");
}

/// A streamspec that has started a target and goes on until it is killed.
#[test]
fn plays_the_parent() {
    if !plays("parent") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let folder = TempDir::new().expect("a folder");
        let target = Target::start(spec(&part("daemon"), &folder)).await.expect("it starts");
        let guards: Vec<_> = descendants(std::process::id()).iter().map(|process| process.pid.to_string()).collect();
        println!("\nup {} {}", target.address().port(), guards.join(" "));
        std::future::pending::<()>().await;
    });
}

fn spec(command: &str, folder: &TempDir) -> TargetSpec {
    TargetSpec {
        guard: None,
        command: CommandLine::parse(command).expect("a command line"),
        folder: None,
        environment: vec![(PORT.to_owned(), "{port}".to_owned()), ("SERVER".to_owned(), part("server"))],
        data: folder.path().join("data"),
        port: None,
        ready: Readiness::Http { path: "/".to_owned(), status: None },
        ready_within: PATIENCE,
    }
}

async fn start(command: &str) -> (Target, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let target = Target::start(spec(command, &folder)).await.unwrap_or_else(|error| panic!("{error}"));
    (target, folder)
}

async fn fails(change: impl FnOnce(&mut TargetSpec), command: &str) -> ProcessError {
    let folder = TempDir::new().expect("a folder");
    let mut spec = spec(command, &folder);
    change(&mut spec);
    Target::start(spec).await.err().expect("it must not start")
}

/// A connection that the server leaves open, so that its end is the server's end.
fn hang(target: &Target) -> TcpStream {
    let mut stream = TcpStream::connect(target.address()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(b"GET /hang HTTP/1.1\r\n\r\n").expect("sent");
    stream
}

/// Waits for a process to end, whoever's child it is. A process that is not there has ended.
#[cfg(target_os = "linux")]
fn has_ended(pid: u32) -> bool {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    // SAFETY: pidfd_open takes two numbers and returns a new descriptor.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let Ok(descriptor @ 0..) = i32::try_from(descriptor) else {
        return true;
    };
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let process = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let mut watched = libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd is passed.
    unsafe { libc::poll(&raw mut watched, 1, 10_000) == 1 }
}

#[tokio::test]
async fn a_wrapping_shell_and_its_server_die_together() {
    let (mut target, _folder) = start("sh -c '$SERVER & wait'").await;
    let mut stream = hang(&target);
    let address = target.address();
    let replaced = target.restart(Stop::Kill, DataFolder::Kept).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(replaced.old.len() >= 2 && replaced.new.len() >= 2, "{replaced:?}");
    assert!(replaced.old.iter().all(|old| !replaced.new.contains(old) && has_ended(old.pid)), "{replaced:?}");
    assert_eq!(target.address(), address);
    assert!(!matches!(stream.read(&mut [0; 1]), Ok(1..)));
    assert_eq!(target.processes(), replaced.new);
}

#[tokio::test]
async fn a_daemon_in_a_session_of_its_own_is_found_and_killed() {
    let (mut target, _folder) = start(&part("daemon")).await;
    let mut stream = hang(&target);
    let replaced = target.restart(Stop::Kill, DataFolder::Kept).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(!replaced.old.is_empty() && replaced.old.iter().all(|old| has_ended(old.pid)), "{replaced:?}");
    assert!(!matches!(stream.read(&mut [0; 1]), Ok(1..)));
}

#[tokio::test]
async fn a_deaf_server_outlives_its_grace_and_is_killed() {
    let (mut target, _folder) = start("sh -c 'trap \"\" TERM; exec $SERVER'").await;
    let grace = Duration::from_millis(100);
    let ended = target.stop(Stop::Terminate { grace }).await.expect("it ends");
    assert!(ended.outlived_grace && ended.took >= grace && ended.took < PATIENCE, "{ended:?}");
    assert_eq!(ended.exit, Some(Exit::Signal(libc::SIGKILL)));
    assert!(matches!(target.stop(Stop::Kill).await, Err(ProcessError::NotRunning)));
}

#[tokio::test]
async fn a_polite_server_ends_at_once_even_when_paused() {
    let (mut target, _folder) = start("sh -c 'exec $SERVER'").await;
    assert_eq!(target.pause().await.expect("paused"), target.processes());
    let ended = target.stop(Stop::Terminate { grace: PATIENCE }).await.expect("it ends");
    assert!(!ended.outlived_grace, "{ended:?}");
    assert_eq!(ended.exit, Some(Exit::Signal(libc::SIGTERM)));
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let (mut target, _folder) = start(&part("server")).await;
    target.pause().await.expect("paused");
    let mut stream = TcpStream::connect(target.address()).expect("the kernel still accepts");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    assert!(stream.read(&mut [0; 1]).is_err(), "a stopped process answered");
    target.resume().await.expect("resumed");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert_eq!(stream.read(&mut [0; 1]).expect("an answer"), 1);
}

#[tokio::test]
async fn a_server_that_ends_at_once_shows_what_it_printed() {
    let began = Instant::now();
    let error = fails(|_| (), "sh -c 'echo out; echo no such table >&2; exit 3'").await;
    assert!(began.elapsed() < PATIENCE);
    let text = error.to_string();
    assert!(matches!(error, ProcessError::Exited { exit: Some(Exit::Code(3)), .. }), "{text}");
    assert!(text.contains("exit status 3") && text.ends_with("\n  stdout: out\n  stderr: no such table"), "{text}");
}

#[tokio::test]
async fn a_shell_operator_in_the_command_is_pointed_out() {
    let text = fails(|_| (), "true && sleep 1").await.to_string();
    assert!(text.contains("`&&` was passed on as an argument"), "{text}");
}

#[tokio::test]
async fn a_server_that_never_listens_says_what_was_tried() {
    let folder = TempDir::new().expect("a folder");
    let mut never = spec("sh -c 'echo starting; echo $$ > {dir}/pid; exec sleep 1000'", &folder);
    never.ready_within = Duration::from_millis(300);
    let error = Target::start(never).await.err().expect("it must not start");
    let text = error.to_string();
    assert!(text.contains("was not ready within 0.3 s; tried GET http://127.0.0.1:"), "{text}");
    assert!(text.contains("for a 2xx status, the last time: Connection refused"), "{text}");
    assert!(text.ends_with("\n  stdout: starting"), "{text}");
    let pid = std::fs::read_to_string(folder.path().join("data/pid")).expect("written");
    assert!(has_ended(pid.trim().parse().expect("a pid")));
}

#[tokio::test]
async fn a_server_that_answers_otherwise_is_quoted() {
    let other = |spec: &mut TargetSpec| {
        spec.ready = Readiness::Http { path: "/health".to_owned(), status: Some(200) };
        spec.ready_within = Duration::from_millis(500);
    };
    let text = fails(other, &part("server")).await.to_string();
    assert!(text.contains("/health for status 200, the last time: answered `HTTP/1.1 404 Not Found`"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_run_is_named_with_a_hint() {
    let text = fails(|_| (), "no-such-program-here {port}").await.to_string();
    assert!(text.contains("cannot run `no-such-program-here`") && text.contains("it is not in PATH"), "{text}");
    let plain = tempfile::NamedTempFile::new().expect("a file");
    let text = fails(|_| (), &format!("{} {{port}}", plain.path().display())).await.to_string();
    assert!(text.contains("it is not executable"), "{text}");
    let text = fails(|spec| spec.folder = Some("/no/such/folder".into()), "true").await.to_string();
    assert_eq!(text, "the working folder /no/such/folder does not exist");
    let no_port = |spec: &mut TargetSpec| spec.environment.clear();
    assert!(fails(no_port, "true").await.to_string().contains("put {port} where the port goes"));
}

#[tokio::test]
async fn a_ready_line_tells_the_port_anew_at_every_start() {
    let folder = TempDir::new().expect("a folder");
    let mut chooses = spec(&part("server"), &folder);
    chooses.environment = vec![(PORT.to_owned(), "0".to_owned())];
    chooses.ready = Readiness::Line("listening on".to_owned());
    let mut target = Target::start(chooses).await.unwrap_or_else(|error| panic!("{error}"));
    drop(hang(&target));
    assert!(target.output().stdout.text.contains(&format!("listening on http://{}\n", target.address())));
    target.restart(Stop::Kill, DataFolder::Kept).await.unwrap_or_else(|error| panic!("{error}"));
    drop(hang(&target));
}

#[tokio::test]
async fn a_taken_port_is_not_mistaken_for_a_ready_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let error = fails(|spec| spec.port = Some(port), "sleep 1000").await;
    assert!(matches!(&error, ProcessError::PortTaken { by, .. } if by[0].pid == std::process::id()), "{error}");
}

#[tokio::test]
async fn a_server_outside_the_target_is_seen_to_survive_the_kill() {
    let folder = TempDir::new().expect("a folder");
    let mut client = spec("sh -c 'echo asked the daemon; exec sleep 1000'", &folder);
    client.ready = Readiness::Line("asked".to_owned());
    let mut target = Target::start(client).await.unwrap_or_else(|error| panic!("{error}"));
    let _survivor = TcpListener::bind(target.address()).expect("the port is free");
    let error = target.stop(Stop::Kill).await.expect_err("the port is still served");
    assert!(error.to_string().starts_with("the server survived the kill: port "), "{error}");
}

#[tokio::test]
async fn data_is_kept_or_wiped_but_only_if_it_is_ours() {
    let (mut target, _folder) = start(&part("server")).await;
    let file = target.data().join("log");
    std::fs::create_dir(target.data().join("sub")).expect("made");
    std::fs::write(&file, "x").expect("written");
    target.restart(Stop::Kill, DataFolder::Kept).await.expect("restarted");
    assert!(file.exists());
    target.restart(Stop::Kill, DataFolder::Wiped).await.expect("restarted");
    assert_eq!(std::fs::read_dir(target.data()).expect("still there").count(), 0);

    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("made");
    std::fs::write(folder.path().join("data/precious"), "x").expect("written");
    let mut target = Target::start(spec(&part("server"), &folder)).await.expect("it starts");
    let error = target.restart(Stop::Kill, DataFolder::Wiped).await.expect_err("refused");
    assert!(matches!(error, ProcessError::NotOurs(_)), "{error}");
    assert!(folder.path().join("data/precious").exists());
}

#[tokio::test]
async fn a_crash_is_noticed_and_the_target_can_start_again() {
    let (mut target, _folder) = start(&part("server")).await;
    let mut ending = target.ending().expect("it runs");
    assert!(!ending.has_come());
    let process = target.processes()[0];
    kill(Pid::from_raw(process.pid.cast_signed()), Signal::SIGABRT).expect("sent");
    let exit = tokio::time::timeout(PATIENCE, ending.wait()).await.expect("noticed");
    assert_eq!(exit, Some(Exit::Signal(libc::SIGABRT)));
    assert!(target.sample().is_none());
    target.restart(Stop::Kill, DataFolder::Kept).await.unwrap_or_else(|error| panic!("{error}"));
    drop(hang(&target));
}

#[tokio::test]
async fn an_open_connection_shows_in_the_sample() {
    let (target, _folder) = start(&part("server")).await;
    let before = target.sample().expect("/proc is readable");
    let streams: Vec<_> = (0..10).map(|_| hang(&target)).collect();
    // Of those that asked whether it is ready, some may have been open before and closed since: fewer than five.
    // The server takes connections in order, so once this is answered it has those before.
    let mut last = TcpStream::connect(target.address()).expect("it listens");
    last.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let _ = last.read_to_end(&mut Vec::new());
    let after = target.sample().expect("/proc is readable");
    assert!(after.descriptors >= before.descriptors + 5, "{before:?} {after:?}");
    assert!(after.threads >= 1 && after.rss_bytes > 0 && after.processes == 1, "{after:?}");
    drop(streams);
}

#[tokio::test]
async fn a_dropped_target_dies() {
    let (target, _folder) = start("sh -c '$SERVER & wait'").await;
    let processes = target.processes();
    assert!(processes.len() >= 2);
    drop(target);
    assert!(processes.iter().all(|process| has_ended(process.pid)));
}

#[tokio::test]
async fn a_target_does_not_outlive_its_guard() {
    let (target, _folder) = start(&part("server")).await;
    let mut ending = target.ending().expect("it runs");
    let server = target.processes()[0].pid;
    let guard =
        descendants(std::process::id()).into_iter().find(|process| descendants(process.pid).iter().any(|below| below.pid == server));
    kill(Pid::from_raw(guard.expect("it descends from us").pid.cast_signed()), Signal::SIGKILL).expect("sent");
    tokio::time::timeout(PATIENCE, ending.wait()).await.expect("noticed");
    assert!(has_ended(server));
}

/// Starts a streamspec with a target that daemonised, ends it by `end`, and waits for every process below it.
fn ends_with_its_parent(end: impl FnOnce(Pid)) {
    let words = CommandLine::parse(&part("parent")).expect("words").fill(0, Path::new(""));
    let mut parent = Command::new(&words[0]).args(&words[1..]).process_group(0).stdout(Stdio::piped()).spawn().expect("it starts");
    let lines = BufReader::new(parent.stdout.take().expect("piped")).lines();
    let up = lines.map_while(Result::ok).find(|line| line.starts_with("up ")).expect("the target starts");
    let mut words = up.split(' ').skip(1);
    let port: u16 = words.next().expect("a port").parse().expect("a port");
    let below: Vec<u32> = words.map(|pid| pid.parse().expect("a pid")).collect();
    assert!(below.len() >= 2, "a guard and a server: {up}");
    TcpStream::connect(("127.0.0.1", port)).expect("the server runs");
    end(Pid::from_raw(parent.id().cast_signed()));
    parent.wait().expect("it ended");
    assert!(below.iter().all(|&pid| has_ended(pid)), "left running: {up}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn nothing_is_left_when_streamspec_is_killed() {
    ends_with_its_parent(|parent| kill(parent, Signal::SIGKILL).expect("sent"));
}

#[test]
fn nothing_is_left_after_ctrl_c() {
    ends_with_its_parent(|parent| killpg(parent, Signal::SIGINT).expect("sent"));
}
