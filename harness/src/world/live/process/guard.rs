//! The guard: a small process between streamspec and a target, so that nothing of the target outlives streamspec.
//!
//! The guard starts the target itself and is a *subreaper*: whatever the target forks, and however often it forks and
//! changes session, its orphans become children of the guard and of nobody else. So "no child left" means "nothing of
//! the target left", without guessing by process group. Its standard input is a socket to streamspec. When that closes,
//! because streamspec ended, panicked or was killed, the guard kills everything below it and exits. It lives in a
//! session of its own and ignores the terminal's signals, so Ctrl-C reaches streamspec alone.
//!
//! The parent-death signal is used only one way: the target is killed should the guard itself be killed. It is tied to
//! the thread that started the target, which here is the one that stays until the guard exits.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::messages::{Exit, Job, Notice, Order};
use super::procfs::{self, ProcessId};

/// The hidden first argument with which streamspec starts itself as a guard.
pub(super) const GUARD_ARGUMENT: &str = "guard";

/// Signals that end a process by default and that a terminal or an init system sends around.
const IGNORED: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE];

/// After a SIGKILL, how long processes may take to vanish before the guard gives up on them.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// After a SIGSTOP, how long threads may take to stand still; one that sleeps in the kernel without being woken never does.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

static CAN_GUARD: AtomicBool = AtomicBool::new(false);

/// To be called first thing in `main`, before any thread: runs the guard and returns its exit code if this process was
/// started as one; otherwise returns `None` and lets this program's executable be used as the guard of its targets.
pub fn guard_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == GUARD_ARGUMENT) && arguments.next().is_none() {
        return Some(guard_main());
    }
    CAN_GUARD.store(true, Ordering::Relaxed);
    None
}

/// Whether `guard_if_asked` has vouched for this executable.
pub(super) fn this_program_can_guard() -> bool {
    CAN_GUARD.load(Ordering::Relaxed)
}

/// The guard itself: takes one job from standard input, which must be a socket, and returns when the socket closes and
/// nothing of the job is left.
pub fn guard_main() -> ExitCode {
    match guard() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("streamspec guard: {error}; it is started by streamspec itself and is of no use alone");
            ExitCode::from(70)
        }
    }
}

fn guard() -> io::Result<()> {
    for signal in IGNORED {
        set_handler(signal, SigHandler::SigIgn)?;
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut orders = BufReader::new(socket.try_clone()?);
    let Some(Order::Start(job)) = next_order(&mut orders)? else {
        return Ok(());
    };
    match start(&job) {
        Ok(pid) => {
            give_up_output()?;
            say(&socket, &Notice::Started { pid });
            let family = Arc::new(Family { leader: pid, empty: Mutex::new(false), changed: Condvar::new() });
            let reaper = (Arc::clone(&family), socket.try_clone()?);
            thread::spawn(move || reap(&reaper.0, &reaper.1));
            while let Ok(Some(order)) = next_order(&mut orders) {
                match order {
                    Order::Signal(number) => say(&socket, &Notice::Signalled(family.signal(number))),
                    Order::Start(_) => break,
                }
            }
            family.signal(libc::SIGKILL);
        }
        Err(error) => say(&socket, &Notice::NotStarted { errno: error.raw_os_error(), why: error.to_string() }),
    }
    Ok(())
}

fn set_handler(signal: Signal, handler: SigHandler) -> io::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: only the two dispositions without a handler function are ever set.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

fn next_order(orders: &mut impl BufRead) -> io::Result<Option<Order>> {
    let mut line = String::new();
    if orders.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&line).map(Some).map_err(io::Error::other)
}

/// A streamspec that is gone cannot be told; its closed socket ends the guard soon enough.
fn say(mut socket: &UnixStream, notice: &Notice) {
    let mut line = serde_json::to_vec(notice).expect("a notice is plain data");
    line.push(b'\n');
    let _ = socket.write_all(&line);
}

fn start(job: &Job) -> io::Result<u32> {
    let (program, arguments) = job.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).envs(job.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).process_group(0);
    if let Some(folder) = &job.folder {
        command.current_dir(folder);
    }
    // SAFETY: between fork and exec only sigaction and prctl are called, both async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            // An ignored signal stays ignored over exec; the target must not inherit our deafness.
            for signal in IGNORED {
                set_handler(signal, SigHandler::SigDfl)?;
            }
            #[cfg(target_os = "linux")]
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        });
    }
    Ok(command.spawn()?.id())
}

/// Points the guard's own output to nowhere, so that the pipes end when the target's last process does.
fn give_up_output() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    for descriptor in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: both are plain descriptors of this process.
        if unsafe { libc::dup2(null.as_raw_fd(), descriptor) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// What the reaping thread tells the one that takes orders.
struct Family {
    leader: u32,
    empty: Mutex<bool>,
    changed: Condvar,
}

impl Family {
    /// Signals every descendant. SIGKILL is repeated, for what was forked in between, until none is left or patience ends; a
    /// SIGSTOP has taken effect on return.
    fn signal(&self, number: i32) -> Vec<ProcessId> {
        let Ok(signal) = Signal::try_from(number) else {
            return Vec::new();
        };
        let mut reached = self.send(signal);
        if signal == Signal::SIGKILL {
            let deadline = Instant::now() + KILL_PATIENCE;
            let mut empty = self.empty.lock().unwrap_or_else(PoisonError::into_inner);
            while !*empty && Instant::now() < deadline {
                // A child forked before its parent died shows up in the tree without any wake-up of its own.
                let woken = self.changed.wait_timeout(empty, Duration::from_millis(5));
                empty = woken.unwrap_or_else(PoisonError::into_inner).0;
                reached.extend(self.send(signal));
            }
        }
        if signal == Signal::SIGSTOP {
            // The signal takes effect when a thread next runs; until then the others go on.
            let deadline = Instant::now() + STOP_PATIENCE;
            while !reached.iter().all(procfs::stands_still) && Instant::now() < deadline {
                thread::sleep(Duration::from_micros(500));
            }
        }
        reached.into_iter().collect()
    }

    fn send(&self, signal: Signal) -> BTreeSet<ProcessId> {
        if cfg!(not(target_os = "linux")) {
            // Without /proc only the process group is known.
            let _ = nix::sys::signal::killpg(pid(self.leader), signal);
        }
        let tree = procfs::descendants(std::process::id());
        tree.into_iter().filter(|process| kill(pid(process.pid), signal).is_ok()).collect()
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).expect("a pid fits an i32"))
}

fn reap(family: &Family, socket: &UnixStream) {
    loop {
        let ended = match waitpid(None, None) {
            Ok(WaitStatus::Exited(who, code)) => Some((who, Exit::Code(code))),
            Ok(WaitStatus::Signaled(who, signal, _)) => Some((who, Exit::Signal(signal as i32))),
            Ok(_) | Err(Errno::EINTR) => None,
            Err(_) => break,
        };
        if let Some((_, exit)) = ended.filter(|(who, _)| *who == pid(family.leader)) {
            say(socket, &Notice::LeaderEnded(exit));
        }
        family.changed.notify_all();
    }
    *family.empty.lock().unwrap_or_else(PoisonError::into_inner) = true;
    family.changed.notify_all();
    say(socket, &Notice::Empty);
}
