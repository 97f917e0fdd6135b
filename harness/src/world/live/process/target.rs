//! A target: a server that streamspec starts, breaks and starts again, with proof that it really did.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout, timeout_at};

use super::command_line::CommandLine;
use super::error::ProcessError;
use super::guarded::{Guarded, State, wait_for_end};
use super::messages::{Exit, Job};
use super::output::Output;
use super::ports::free_port;
use super::procfs::{self, ProcessId, Resources};
use super::ready::Readiness;

/// After SIGKILL, how long processes may take to vanish.
const KILL_PATIENCE: Duration = Duration::from_secs(12);

/// How to start a target and how to know that it is up.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// What to run; `{port}` and `{dir}` are filled in, here and in the values of `environment`.
    pub command: CommandLine,
    /// The working folder, or streamspec's own.
    pub folder: Option<PathBuf>,
    /// Variables added to streamspec's own environment.
    pub environment: Vec<(String, String)>,
    /// The data folder, `{dir}`; created if it is not there.
    pub data: PathBuf,
    /// The port on 127.0.0.1, or `None` to choose a free one once and keep it over restarts.
    pub port: Option<u16>,
    /// When it is up.
    pub ready: Readiness,
    /// How long it may take.
    pub ready_within: Duration,
    /// The streamspec executable that guards it; `None` is this program, where it can, else the one that is installed.
    pub guard: Option<PathBuf>,
}

/// So many ports are tried before one that is taken is left to its error.
const MOST_PORTS: usize = 20;

/// Whether a target starts on what its last life left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFolder {
    /// As it was left.
    Kept,
    /// Emptied first.
    Wiped,
}

/// How a target ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGKILL to all of its processes.
    Kill,
    /// SIGTERM to all of its processes, then SIGKILL to those left after the grace.
    Terminate {
        /// How long they may take.
        grace: Duration,
    },
}

/// How a target ended; nothing of it runs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its processes when it was told to end.
    pub processes: Vec<ProcessId>,
    /// How the first process ended, if it was seen.
    pub exit: Option<Exit>,
    /// From the signal to the end of the last process.
    pub took: Duration,
    /// Whether SIGTERM was not enough.
    pub outlived_grace: bool,
}

/// The proof that a restart replaced the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Processes of the life before, all gone.
    pub old: Vec<ProcessId>,
    /// Processes of this life; whoever listens on the port is among them.
    pub new: Vec<ProcessId>,
}

/// Tells when a target ends, also while somebody else uses the target.
#[derive(Clone, Debug)]
pub struct Ending(watch::Receiver<State>);

impl Ending {
    /// Waits until nothing of this life of the target runs any more; says how its first process ended.
    pub async fn wait(&mut self) -> Option<Exit> {
        wait_for_end(&mut self.0).await.leader
    }

    /// Whether nothing of this life of the target runs any more.
    pub fn has_come(&self) -> bool {
        self.0.borrow().empty
    }
}

/// A server under streamspec's control. Dropping it kills all of its processes, without waiting for their end.
pub struct Target {
    spec: TargetSpec,
    port: u16,
    may_wipe: bool,
    running: Option<Guarded>,
    /// Who ran before, and what it printed last.
    before: Vec<ProcessId>,
    printed: Output,
}

/// Who listens on a port, as far as they can be seen; `None` when nobody does.
fn taken_by(port: u16) -> Option<Vec<ProcessId>> {
    procfs::listeners(port).filter(|(by, hidden)| !by.is_empty() || *hidden > 0).map(|(by, _)| by)
}

/// A port that we choose: whoever else was looking for one may hold it for a moment, and so may a child of ours that has
/// not become another program yet.
fn silent_port() -> std::io::Result<u16> {
    let mut port = free_port()?;
    for _ in 0..MOST_PORTS {
        if taken_by(port).is_none() {
            break;
        }
        port = free_port()?;
    }
    Ok(port)
}

impl Target {
    /// Starts the target and waits until it is ready. On any error nothing of it is left running.
    pub async fn start(spec: TargetSpec) -> Result<Self, ProcessError> {
        let port = match spec.port {
            Some(port) => port,
            None if spec.names_port() => silent_port().map_err(ProcessError::NoPort)?,
            // To be learned from the ready line.
            None if matches!(spec.ready, Readiness::Line(_)) => 0,
            None => {
                return Err(ProcessError::PortUnknown { command: spec.command.typed().to_owned() });
            }
        };
        if let Some(by) = spec.port.and_then(taken_by) {
            return Err(ProcessError::PortTaken { port, by });
        }
        let may_wipe = fs::read_dir(&spec.data).map_or(true, |mut entries| entries.next().is_none());
        let mut target = Self { spec, port, may_wipe, running: None, before: Vec::new(), printed: Output::default() };
        target.launch().await?;
        match target.prove(Instant::now() + Duration::from_secs(1)).await {
            // A first start has nothing to prove but that nobody else answers.
            Ok(_) | Err(ProcessError::Unproven { .. }) => Ok(target),
            Err(error) => {
                target.give_up().await?;
                Err(match error {
                    ProcessError::StillServed { port, by } => ProcessError::PortTaken { port, by },
                    other => other,
                })
            }
        }
    }

    /// Where the target listens; after a restart it may be elsewhere only if the target chooses its port itself.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The data folder.
    pub fn data(&self) -> &std::path::Path {
        &self.spec.data
    }

    /// Its living processes; empty when it does not run, and on systems without `/proc`.
    pub fn processes(&self) -> Vec<ProcessId> {
        self.running.as_ref().map(Guarded::processes).unwrap_or_default()
    }

    /// The end of what this life of the target printed, or the last one's when it does not run.
    pub fn output(&self) -> Output {
        self.running.as_ref().map_or_else(|| self.printed.clone(), Guarded::output)
    }

    /// What its processes hold together now; `None` when it does not run, or on systems without `/proc`.
    pub fn sample(&self) -> Option<Resources> {
        procfs::resources(&self.running.as_ref()?.processes()).filter(|sum| sum.processes > 0)
    }

    /// Tells of the end of this life, whoever causes it; `None` when it does not run.
    pub fn ending(&self) -> Option<Ending> {
        self.running.as_ref().map(|guarded| Ending(guarded.state()))
    }

    /// Ends the target and waits until nothing of it runs. Also ends one that ended by itself before.
    pub async fn stop(&mut self, how: Stop) -> Result<Ended, ProcessError> {
        let mut guarded = self.running.take().ok_or(ProcessError::NotRunning)?;
        let began = Instant::now();
        let mut processes = guarded.processes();
        let mut outlived_grace = false;
        let mut state = None;
        if let Stop::Terminate { grace } = how {
            guarded.signal(libc::SIGTERM).await?;
            // A stopped process takes the signal only when it goes on.
            guarded.signal(libc::SIGCONT).await?;
            state = timeout(grace, guarded.ended()).await.ok();
            outlived_grace = state.is_none();
        }
        if state.is_none() {
            let killed = guarded.signal(libc::SIGKILL).await?;
            processes = killed.into_iter().chain(processes).collect::<BTreeSet<_>>().into_iter().collect();
            state = timeout(KILL_PATIENCE, guarded.ended()).await.ok();
        }
        let took = began.elapsed();
        let Some(state) = state else {
            return Err(ProcessError::Survived { processes: guarded.processes(), waited: took });
        };
        guarded.stdout.ended().await;
        guarded.stderr.ended().await;
        self.printed = guarded.output();
        self.before.clone_from(&processes);
        guarded.close().await?;
        self.expect_silent_port()?;
        Ok(Ended { processes, exit: state.leader, took, outlived_grace })
    }

    /// SIGSTOP to all processes; returns which.
    pub async fn pause(&mut self) -> Result<Vec<ProcessId>, ProcessError> {
        self.running.as_mut().ok_or(ProcessError::NotRunning)?.signal(libc::SIGSTOP).await
    }

    /// SIGCONT to all processes; returns which.
    pub async fn resume(&mut self) -> Result<Vec<ProcessId>, ProcessError> {
        self.running.as_mut().ok_or(ProcessError::NotRunning)?.signal(libc::SIGCONT).await
    }

    /// Starts the stopped target again, waits until it is ready, and proves that a new process serves its port.
    /// On any error nothing of it is left running.
    pub async fn start_again(&mut self, data: DataFolder) -> Result<Replaced, ProcessError> {
        if self.running.is_some() {
            return Err(ProcessError::Running);
        }
        if data == DataFolder::Wiped {
            self.wipe()?;
        }
        let deadline = Instant::now() + self.spec.ready_within;
        self.launch().await?;
        match self.prove(deadline).await {
            Ok(new) => Ok(Replaced { old: self.before.clone(), new }),
            Err(error) => {
                self.give_up().await?;
                Err(error)
            }
        }
    }

    async fn give_up(&mut self) -> Result<(), ProcessError> {
        match self.running.take() {
            Some(guarded) => guarded.close().await,
            None => Ok(()),
        }
    }

    /// Stops the target, if it runs, and starts it again.
    pub async fn restart(&mut self, how: Stop, data: DataFolder) -> Result<Replaced, ProcessError> {
        if self.running.is_some() {
            self.stop(how).await?;
        }
        self.start_again(data).await
    }

    async fn launch(&mut self) -> Result<(), ProcessError> {
        let folder_error = |error| ProcessError::DataFolder { folder: self.spec.data.clone(), error };
        fs::create_dir_all(&self.spec.data).map_err(folder_error)?;
        let data = fs::canonicalize(&self.spec.data).map_err(folder_error)?;
        if let Some(folder) = self.spec.folder.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(ProcessError::NoFolder(folder.clone()));
        }
        let fill = |value: &str| value.replace("{port}", &self.port.to_string()).replace("{dir}", &data.to_string_lossy());
        let environment = self.spec.environment.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        let words = self.spec.command.fill(self.port, &data);
        let guarded = Guarded::start(Job { words, folder: self.spec.folder.clone(), environment }, self.spec.guard.as_deref()).await?;

        let last = Arc::new(Mutex::new(None));
        let learns_port = self.spec.port.is_none() && !self.spec.names_port();
        let note = |why| *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        let ready = self.spec.ready.wait(self.address(), (&guarded.stdout, &guarded.stderr), learns_port, note);
        let command = self.spec.command.typed().to_owned();
        tokio::select! {
            biased;
            state = guarded.ended() => {
                // The pipes end with the last process, so this wait does too.
                guarded.stdout.ended().await;
                guarded.stderr.ended().await;
                let hint = self.spec.command.shell_word().map(|word| {
                    format!("`{word}` was passed on as an argument, as no shell runs the command; write sh -c '…' for one")
                });
                Err(ProcessError::Exited { command, exit: state.leader, output: Box::new(guarded.output()), hint })
            }
            within = timeout(self.spec.ready_within, ready) => match within {
                Ok(port) => {
                    self.port = port;
                    self.running = Some(guarded);
                    Ok(())
                }
                Err(_) => {
                    let output = Box::new(guarded.output());
                    guarded.close().await?;
                    Err(ProcessError::NeverReady {
                        command,
                        waited: self.spec.ready_within,
                        tried: self.spec.ready.described(self.address()).to_string(),
                        last: last.lock().unwrap_or_else(PoisonError::into_inner).take(),
                        output,
                    })
                }
            },
        }
    }

    /// Whoever listens on the port must descend from our guard, which started after the last life ended.
    async fn prove(&self, deadline: Instant) -> Result<Vec<ProcessId>, ProcessError> {
        let guarded = self.running.as_ref().ok_or(ProcessError::NotRunning)?;
        let listens = async {
            let mut pause = Duration::from_millis(1);
            loop {
                match procfs::listeners(self.port) {
                    // A ready line may come a moment before the port.
                    Some((by, 0)) if by.is_empty() => {}
                    other => return other,
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        };
        let unproven = |why: &str| ProcessError::Unproven { port: self.port, why: why.to_owned() };
        let found = timeout_at(deadline.into(), listens)
            .await
            .map_err(|_| unproven("it is ready, but no process that can be seen from here listens there"))?;
        let tree: BTreeSet<ProcessId> = guarded.processes().into_iter().collect();
        let Some((by, hidden)) = found else {
            return Ok(Vec::new());
        };
        let strangers: Vec<ProcessId> = by.iter().filter(|process| !tree.contains(process)).copied().collect();
        if !strangers.is_empty() {
            return Err(ProcessError::StillServed { port: self.port, by: strangers });
        }
        if hidden > 0 {
            return Err(unproven("a process that cannot be seen from here listens there; run it as the same user, outside a container"));
        }
        Ok(tree.into_iter().collect())
    }

    fn expect_silent_port(&self) -> Result<(), ProcessError> {
        match taken_by(self.port) {
            Some(by) => Err(ProcessError::StillServed { port: self.port, by }),
            None => Ok(()),
        }
    }

    fn wipe(&self) -> Result<(), ProcessError> {
        if !self.may_wipe {
            return Err(ProcessError::NotOurs(self.spec.data.clone()));
        }
        let wiped = fs::read_dir(&self.spec.data).and_then(|entries| {
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        });
        wiped.map_err(|error| ProcessError::DataFolder { folder: self.spec.data.clone(), error })
    }
}

impl TargetSpec {
    fn names_port(&self) -> bool {
        self.command.names_port() || self.environment.iter().any(|(_, value)| value.contains("{port}"))
    }
}
