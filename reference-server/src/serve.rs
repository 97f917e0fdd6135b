//! Running the server: options, start, graceful stop.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::agent::Model;
use crate::bugs::{Bug, BugSet};
use crate::dialect::{hermes, mppx, opencode, sse};
use crate::hub::Hub;
use crate::money::Book;
use crate::session::Retention;
use crate::store::{Memory, Sqlite, Store};

/// How long open connections may take to end at a graceful stop.
const STOP_WITHIN: Duration = Duration::from_millis(1500);

/// What to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeOptions {
    /// How it looks on the wire.
    #[arg(long, value_enum, default_value = "sse")]
    pub dialect: Dialect,
    /// The folder for its data; made if it is not there. Needed by the store `sqlite`.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The port; 0 picks a free one, which the ready line names.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// The address to listen at.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Where sessions are kept. Default: `sqlite` with `--data`, else `memory`.
    #[arg(long, value_enum)]
    pub store: Option<StoreKind>,
    /// Keep at most this many events of a session.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub retain_records: Option<u64>,
    /// Keep at most this many bytes of a session.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub retain_bytes: Option<u64>,
    /// Keep events at most this long (`300ms`, `15s`, `2h`).
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub retain_age: Option<Duration>,
    /// Send a heartbeat after this long a silence.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "15s")]
    pub heartbeat: Duration,
    /// Who answers prompts: an OpenAI-compatible provider. Without it, a built-in model repeats each prompt's words.
    #[arg(long, value_name = "URL")]
    pub provider: Option<String>,
    /// The folder whose files an agent's sessions can read. Default: `workspace` in the data folder.
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Demand this password, where the dialect has one.
    #[arg(long, value_name = "TEXT")]
    pub password: Option<String>,
    /// Switch a defect on; may be repeated.
    #[arg(long = "bug", value_name = "NAME")]
    pub bugs: Vec<Bug>,
}

/// Dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// Sessions over plain HTTP, streams as server-sent events.
    Sse,
    /// Streams that are paid by the item, with challenges, vouchers and receipts.
    Mppx,
    /// The run journal of Hermes WebUI: an agent's runs, each a stream with a journal.
    Hermes,
    /// The session events of opencode: logs of an agent's sessions, in pages, tails and live streams.
    Opencode,
}

/// Stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// One SQLite file in the data folder.
    Sqlite,
    /// Nothing is kept.
    Memory,
}

/// Why the server did not start.
#[derive(Debug)]
pub struct ServeError(String);

impl std::fmt::Display for ServeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServeError {}

/// Reads `300ms`, `15s`, `2m`, `1h`.
///
/// # Errors
/// When the text is no such time; the message says what is.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write 300ms, 15s, 2m or 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let millis = number.checked_mul(unit).filter(|ms| *ms > 0).ok_or_else(wrong)?;
    Ok(Duration::from_millis(millis))
}

/// A server that runs in this process.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    hub: Arc<Hub>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Stops it gracefully: streams end, what was acknowledged is kept.
    pub async fn stop(mut self) {
        let hub = Arc::clone(&self.hub);
        let _ = tokio::task::spawn_blocking(move || hub.stop()).await;
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if tokio::time::timeout(STOP_WITHIN, &mut self.served).await.is_err() {
            self.served.abort();
        }
    }
}

/// Starts a server in the current runtime.
///
/// # Errors
/// When the store cannot be opened or the address is taken.
pub async fn start(options: &ServeOptions) -> Result<Running, ServeError> {
    let bugs = options.bugs.iter().fold(BugSet::default(), |set, bug| set.with(*bug));
    let store: Box<dyn Store> = match (options.store, &options.data) {
        (Some(StoreKind::Memory), _) | (None, None) => Box::new(Memory),
        (Some(StoreKind::Sqlite), None) => return Err(ServeError("the store `sqlite` needs --data DIR".to_owned())),
        (Some(StoreKind::Sqlite) | None, Some(dir)) => {
            std::fs::create_dir_all(dir).map_err(|e| ServeError(format!("cannot make {}: {e}", dir.display())))?;
            Box::new(Sqlite::open(&dir.join("sessions.db")).map_err(|e| ServeError(e.to_string()))?)
        }
    };
    let retention = Retention {
        records: options.retain_records,
        bytes: options.retain_bytes,
        age_ms: options.retain_age.map(|age| age.as_millis() as u64),
    };
    let model = Model::new(options.provider.as_deref()).map_err(|e| ServeError(e.to_string()))?;
    let hub = Hub::start(store, retention, bugs).map_err(|e| ServeError(e.to_string()))?;
    let asked = SocketAddr::new(options.host, options.port);
    let listener = TcpListener::bind(asked).await.map_err(|e| ServeError(format!("cannot listen at {asked}: {e}")))?;
    let address = listener.local_addr().map_err(|e| ServeError(format!("cannot listen at {asked}: {e}")))?;
    let router = match options.dialect {
        Dialect::Sse => {
            let boot = format!("{:016x}", rand::random::<u64>());
            sse::router(sse::Shared { hub: Arc::clone(&hub), heartbeat: options.heartbeat, boot })
        }
        Dialect::Mppx => {
            let folder = options.data.as_deref().filter(|_| options.store != Some(StoreKind::Memory));
            let book = Book::open(folder, bugs).map_err(|e| ServeError(e.0))?;
            mppx::router(Arc::clone(&hub), book)
        }
        Dialect::Hermes => {
            let settings = hermes::Settings {
                heartbeat: options.heartbeat,
                model,
                data: options.data.as_deref(),
                workspace: options.workspace.as_deref(),
                password: options.password.clone(),
            };
            hermes::router(hermes::open(Arc::clone(&hub), settings).await.map_err(ServeError)?)
        }
        Dialect::Opencode => {
            let settings = opencode::Settings {
                heartbeat: options.heartbeat,
                model,
                workspace: options.workspace.as_deref(),
                password: options.password.clone(),
            };
            opencode::router(opencode::open(Arc::clone(&hub), settings).await.map_err(ServeError)?)
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        use axum::serve::ListenerExt;
        let listener = listener.tap_io(|stream| {
            // A frame that waits for the next one's company is late.
            let _ = stream.set_nodelay(true);
        });
        let _ = axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) }).await;
    });
    Ok(Running { address, hub, stop: Some(stop), served })
}

/// Serves until SIGTERM or SIGINT, then stops gracefully.
///
/// # Errors
/// When the server cannot be started.
pub fn run(options: &ServeOptions) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| ServeError(format!("cannot start: {e}")))?;
    runtime.block_on(async {
        let listen = |kind| signal(kind).map_err(|e| ServeError(format!("cannot listen for signals: {e}")));
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let running = start(options).await?;
        {
            use std::io::Write;
            let mut out = std::io::stdout().lock();
            // Whoever waits for this line may be gone; the server serves all the same.
            let _ = writeln!(out, "listening on http://{}", running.address()).and_then(|()| out.flush());
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        running.stop().await;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        for bad in ["", "15", "s", "-1s", "0s", "1d", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
