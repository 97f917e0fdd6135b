//! The server under test, as a worker holds it: a URL that is there, or a process of ours.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::info;

use super::http::Clients;
use super::money::Signatory;
use super::process::{self, CommandLine, CommandLineError, DataFolder, Ending, ProcessError, Readiness, Target, TargetSpec};
use crate::contract::{Profile, Ready};
use crate::provider::{Board, Provider, Script};
use crate::run::binding::Request;
use crate::scenario::Stop;
use crate::world::Whole;

/// How to start a server.
#[derive(Clone, Debug)]
pub struct StartSpec {
    /// The command with `{port}` and `{dir}`.
    pub command: CommandLine,
    /// Its environment beside ours.
    pub environment: Vec<(String, String)>,
    /// Its working folder.
    pub folder: Option<PathBuf>,
    /// When it is ready.
    pub ready: Readiness,
    /// How long that may take.
    pub ready_within: Duration,
    /// The grace of a graceful stop.
    pub stop_within: Duration,
    /// Whether a scripted model provider runs beside it.
    pub provider: bool,
    /// In which folder its data folder is made; `None` is the system's for temporary files.
    pub data_in: Option<PathBuf>,
    /// The streamspec executable that guards it; `None` is this program, where it can, else the one that is installed.
    pub guard: Option<PathBuf>,
}

impl StartSpec {
    /// How `command` starts a server of this profile. Where `ready` does not say it, it is ready when it answers the profile's health
    /// check, else when it listens.
    ///
    /// # Errors
    /// When the command cannot be split into words.
    pub fn of(command: &str, ready: &Ready, profile: &Profile) -> Result<StartSpec, CommandLineError> {
        let health = profile.binding.health.as_ref().and_then(|h| h.request.strip_prefix("GET ")).map(|path| path.trim().to_owned());
        Ok(StartSpec {
            command: CommandLine::parse(command)?,
            environment: Vec::new(),
            folder: None,
            ready: match (&ready.output, ready.path.clone().or(health)) {
                (Some(line), _) => Readiness::Line(line.clone()),
                (None, Some(path)) => Readiness::Http { path, status: ready.status },
                (None, None) => Readiness::Port,
            },
            ready_within: Duration::from_millis(ready.within_ms),
            stop_within: Duration::from_millis(ready.stop_within_ms),
            provider: command.contains("{provider}"),
            data_in: None,
            guard: None,
        })
    }
}

/// A folder in memory that has room, where nobody chose another one by `TMPDIR`.
///
/// What a process leaves there outlives its kill as it does on a disk: a kill takes nothing that the process had written,
/// written through or not. Only the waits for the disk are gone.
pub fn folder_in_memory() -> Option<PathBuf> {
    const SHARED_MEMORY: &str = "/dev/shm";
    const ROOM: u64 = 1 << 30;
    if std::env::var_os("TMPDIR").is_some() {
        return None;
    }
    let room = nix::sys::statvfs::statvfs(SHARED_MEMORY).ok()?;
    (room.blocks_available() * room.fragment_size() >= ROOM).then(|| PathBuf::from(SHARED_MEMORY))
}

/// Why a server could not be had.
#[derive(Debug)]
pub enum ServerError {
    /// Its process.
    Process(ProcessError),
    /// Its URL, in words.
    Url(String),
    /// The harness's own HTTP client or folders.
    Own(String),
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerError::Process(error) => error.fmt(f),
            ServerError::Url(why) | ServerError::Own(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ServerError {}

impl From<ProcessError> for ServerError {
    fn from(error: ProcessError) -> Self {
        ServerError::Process(error)
    }
}

/// A provider for agents' servers, which answers prompts without a script by one word.
async fn beside() -> Result<Provider, ServerError> {
    let standing: Script = "text \"ok\"".parse().map_err(|e| ServerError::Own(format!("the provider's own script: {e}")))?;
    let board = Arc::new(Board::new(standing));
    Provider::start(([127, 0, 0, 1], 0).into(), board).await.map_err(|e| ServerError::Own(e.to_string()))
}

/// A server under test.
pub struct Server {
    base: RefCell<String>,
    upstream: Cell<Option<SocketAddr>>,
    clients: Clients,
    /// The program that signs payments to it.
    signatory: Arc<Signatory>,
    /// Whether one of its response heads was waited for in vain.
    late_heads: Cell<bool>,
    process: Option<Process>,
    /// The scripted model provider beside it.
    provider: Option<Provider>,
    /// Where the provider is that a server asks which streamspec did not start.
    asks: Option<String>,
}

struct Process {
    target: Mutex<Target>,
    stop_within: Duration,
    ending: RefCell<Option<Ending>>,
    generation: Cell<u32>,
    /// The data folder; removed with the server.
    folder: tempfile::TempDir,
}

impl Server {
    /// A server that runs already, and where the model provider is that it asks.
    ///
    /// # Errors
    /// When the URL is none of `http` or `https`, or nothing listens there.
    pub async fn at(url: &str, provider: Option<String>) -> Result<Server, ServerError> {
        let parsed = reqwest::Url::parse(url).map_err(|e| ServerError::Url(format!("`{url}` is no URL: {e}; write http://HOST:PORT")))?;
        let (host, port) = match (parsed.scheme(), parsed.host_str(), parsed.port_or_known_default()) {
            ("http" | "https", Some(host), Some(port)) => (host.trim_matches(['[', ']']).to_owned(), port),
            _ => return Err(ServerError::Url(format!("`{url}` is no address of a server; write http://HOST:PORT"))),
        };
        let dead = |why: String| {
            ServerError::Url(format!("nothing answers at {url}: {why}; start the server, or let streamspec do it with --start"))
        };
        let mut addresses = tokio::net::lookup_host((host.as_str(), port)).await.map_err(|e| dead(e.to_string()))?;
        let address = addresses.next().ok_or_else(|| dead("the name has no address".to_owned()))?;
        let probe = tokio::time::timeout(Duration::from_secs(5), tokio::net::TcpStream::connect(address)).await;
        probe.map_err(|_| dead("no answer within 5 s".to_owned()))?.map_err(|e| dead(e.to_string()))?;
        info!(target: "streamspec::process", %address, "a server is there");
        let base = url.trim_end_matches('/').to_owned();
        let upstream = (parsed.scheme() == "http").then_some(address);
        Ok(Server {
            base: RefCell::new(base),
            upstream: Cell::new(upstream),
            clients: Clients::new()?,
            signatory: Arc::default(),
            late_heads: Cell::new(false),
            process: None,
            provider: None,
            asks: provider,
        })
    }

    /// Starts a server on a fresh data folder and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; the error holds its last output.
    pub async fn start(spec: StartSpec) -> Result<Server, ServerError> {
        let folder = tempfile::Builder::new()
            .prefix("streamspec-")
            .tempdir_in(spec.data_in.unwrap_or_else(std::env::temp_dir))
            .map_err(|e| ServerError::Own(format!("cannot make a folder for the server's data: {e}")))?;
        let stop_within = spec.stop_within;
        let provider = if spec.provider { Some(beside().await?) } else { None };
        let at = provider.as_ref().map(|provider| format!("http://{}", provider.address()));
        let filled = |text: &str| at.as_ref().map_or_else(|| text.to_owned(), |at| text.replace("{provider}", at));
        let target = Target::start(TargetSpec {
            command: spec.command.map(filled),
            folder: spec.folder,
            environment: spec.environment.iter().map(|(name, value)| (name.clone(), filled(value))).collect(),
            data: folder.path().join("data"),
            port: None,
            ready: spec.ready,
            ready_within: spec.ready_within,
            guard: spec.guard,
        })
        .await?;
        let address = target.address();
        let pid = target.processes().first().map_or(0, |process| process.pid);
        info!(target: "streamspec::process", %address, pid, "the server is started and ready");
        let process =
            Process { ending: RefCell::new(target.ending()), target: Mutex::new(target), stop_within, generation: Cell::new(0), folder };
        Ok(Server {
            base: RefCell::new(format!("http://{address}")),
            upstream: Cell::new(Some(address)),
            clients: Clients::new()?,
            signatory: Arc::default(),
            late_heads: Cell::new(false),
            process: Some(process),
            provider,
            asks: None,
        })
    }

    /// Where it is: `http://127.0.0.1:8080`.
    pub fn base(&self) -> String {
        self.base.borrow().clone()
    }

    pub(super) fn signatory(&self) -> Arc<Signatory> {
        Arc::clone(&self.signatory)
    }

    pub(super) fn late_heads(&self) -> &Cell<bool> {
        &self.late_heads
    }

    /// Where the scripted model provider beside it is, if one runs: `http://127.0.0.1:9090`.
    pub fn provider(&self) -> Option<String> {
        self.asks.clone().or_else(|| self.provider.as_ref().map(|provider| format!("http://{}", provider.address())))
    }

    /// The folder that it was given for its data, if streamspec started it.
    pub(super) fn data(&self) -> Option<PathBuf> {
        self.process.as_ref().map(|process| process.folder.path().join("data"))
    }

    /// Its address, for the proxy; `None` when the proxy cannot read what it speaks (https).
    pub fn upstream(&self) -> Option<SocketAddr> {
        self.upstream.get()
    }

    pub(super) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The answer to a request; of one that does not end, what came until it was `enough`, or the time was over.
    ///
    /// # Errors
    /// In words, when no head of an answer came in time.
    pub async fn overhear(&self, request: &Request, within: Duration, enough: impl Fn(&str) -> bool) -> Result<Whole, String> {
        super::http::overhear(&self.clients.streams(), &self.base(), request, within, enough).await
    }

    /// True for a process of ours.
    pub fn is_ours(&self) -> bool {
        self.process.is_some()
    }

    fn process(&self) -> Result<&Process, ServerError> {
        self.process.as_ref().ok_or_else(|| ServerError::Url("the server was given by its URL: it cannot be restarted".to_owned()))
    }

    /// Stops the process and proves that it is gone; true when the grace was not enough.
    pub(super) async fn stop(&self, how: Stop) -> Result<bool, ServerError> {
        let process = self.process()?;
        *process.ending.borrow_mut() = None;
        let how = match how {
            Stop::Kill => process::Stop::Kill,
            Stop::Term => process::Stop::Terminate { grace: process.stop_within },
        };
        let ended = process.target.lock().await.stop(how).await?;
        Ok(ended.outlived_grace)
    }

    /// Starts the stopped process again; its pid, and how many starts came before.
    pub(super) async fn start_again(&self, wipe: bool) -> Result<(u32, u32), ServerError> {
        let process = self.process()?;
        let mut target = process.target.lock().await;
        let replaced = target.start_again(if wipe { DataFolder::Wiped } else { DataFolder::Kept }).await?;
        *process.ending.borrow_mut() = target.ending();
        process.generation.set(process.generation.get() + 1);
        self.clients.renew()?;
        *self.base.borrow_mut() = format!("http://{}", target.address());
        self.upstream.set(Some(target.address()));
        Ok((replaced.new.first().map_or(0, |p| p.pid), process.generation.get()))
    }

    /// Makes sure that the process runs, after a run that may have lost it.
    ///
    /// # Errors
    /// When it cannot be started again.
    pub async fn ensure(&self) -> Result<(), ServerError> {
        let Some(process) = &self.process else { return Ok(()) };
        if process.ending.borrow().as_ref().is_some_and(|ending| !ending.has_come()) {
            return Ok(());
        }
        {
            let mut target = process.target.lock().await;
            match target.stop(process::Stop::Kill).await {
                Ok(_) | Err(ProcessError::NotRunning) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (pid, generation) = self.start_again(true).await?;
        info!(target: "streamspec::process", pid, generation, "the server is replaced, on empty data");
        Ok(())
    }

    /// A fresh process on fresh data, after a run that was broken off.
    ///
    /// # Errors
    /// When it cannot be started again.
    pub async fn renew(&self) -> Result<(), ServerError> {
        if let Some(process) = &self.process {
            *process.ending.borrow_mut() = None;
        }
        self.ensure().await
    }

    /// Ends the process, if it is ours; whatever that brings, nothing of it runs afterwards.
    pub async fn shut_down(&self) {
        if let Some(process) = &self.process {
            *process.ending.borrow_mut() = None;
            // What an error would tell was told by the runs; the guard ends what is left.
            let _ = process.target.lock().await.stop(process::Stop::Kill).await;
            info!(target: "streamspec::process", address = self.base(), "the server is stopped");
        }
    }

    pub(super) async fn pause(&self, paused: bool) -> Result<(), ServerError> {
        let mut target = self.process()?.target.lock().await;
        if paused { target.pause().await.map(drop) } else { target.resume().await.map(drop) }?;
        Ok(())
    }

    pub(super) fn sample(&self) -> Option<process::Resources> {
        self.process.as_ref()?.target.try_lock().ok()?.sample()
    }

    pub(super) fn absent(&self) -> bool {
        self.process.as_ref().is_some_and(|p| p.ending.borrow().as_ref().is_none_or(Ending::has_come))
    }

    /// Why it is not there any more, if it ended although nobody asked it to.
    pub fn died(&self) -> Option<String> {
        let process = self.process.as_ref()?;
        if !process.ending.borrow().as_ref().is_some_and(Ending::has_come) {
            return None;
        }
        let output = process.target.try_lock().map(|target| target.output().to_string()).unwrap_or_default();
        Some(format!("the server ended by itself; its last lines:{output}"))
    }

    /// The end of what the process printed.
    pub async fn output(&self) -> String {
        match &self.process {
            Some(process) => process.target.lock().await.output().to_string(),
            None => String::new(),
        }
    }
}
