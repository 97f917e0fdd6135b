//! A link: where one logical reader connects, and its connections one after the other or side by side.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::connection::{Connection, Orders};
use super::ending::reset;
use super::fault::{Framing, How, Next, Plan, Plans};
use super::observed::{ClosedBy, ConnId, Happened, Observed, Side};

/// Is told everything that happens on a link, from within its tasks; must not block.
pub type Observer = Arc<dyn Fn(Observed) + Send + Sync>;

/// Is given the bytes of both sides as they were read, before they are passed on; must not block.
pub type Tape = Arc<dyn Fn(ConnId, Side, &[u8]) + Send + Sync>;

/// What a link connects and whom it tells.
#[derive(Clone)]
pub struct LinkConfig {
    /// The server.
    pub upstream: SocketAddr,
    /// What counts as an event.
    pub framing: Framing,
    /// The moment that `Observed::at` counts from.
    pub origin: Instant,
    /// Whom to tell.
    pub observer: Observer,
}

impl fmt::Debug for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkConfig").field("upstream", &self.upstream).field("framing", &self.framing).finish_non_exhaustive()
    }
}

/// A listener whose connections are passed to the server, each under the next plan.
/// Dropping it closes the listener and all its connections.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    config: LinkConfig,
    tape: Option<Tape>,
    state: Mutex<LinkState>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct LinkState {
    upstream: SocketAddr,
    plans: Plans,
    open: BTreeMap<ConnId, watch::Sender<Orders>>,
    last: ConnId,
}

impl Link {
    /// Opens the listener. Needs a tokio runtime, on which the connections then run.
    pub async fn open(config: LinkConfig) -> io::Result<Self> {
        Self::open_at(config, (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// As [`Link::open`], at this address.
    pub async fn open_at(config: LinkConfig, listen: SocketAddr) -> io::Result<Self> {
        Self::open_with(config, listen, None).await
    }

    /// As [`Link::open_at`], and every byte is given to `tape`.
    pub async fn open_taped(config: LinkConfig, listen: SocketAddr, tape: Tape) -> io::Result<Self> {
        Self::open_with(config, listen, Some(tape)).await
    }

    async fn open_with(config: LinkConfig, listen: SocketAddr, tape: Option<Tape>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let state = LinkState { upstream: config.upstream, plans: Plans::default(), open: BTreeMap::new(), last: ConnId(0) };
        let shared = Arc::new(Shared { config, tape, state: Mutex::new(state) });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queues a plan for a connection to come; each accepted connection takes one, and passes clean if there is none.
    pub fn plan(&self, plan: impl Into<Plan>) {
        self.shared.state().plans.push(plan.into());
    }

    /// Gives this plan to each connection to come that finds none in the queue, for a client of whose connections it is not
    /// known which one will carry the stream.
    pub fn plan_each(&self, plan: impl Into<Plan>) {
        self.shared.state().plans.stand(plan.into());
    }

    /// Forgets the plans that no connection took.
    pub fn clear_plans(&self) {
        self.shared.state().plans.clear();
    }

    /// Sends connections to come to another server address.
    pub fn retarget(&self, upstream: SocketAddr) {
        self.shared.state().upstream = upstream;
    }

    /// The connections that are open now.
    pub fn connections(&self) -> Vec<ConnId> {
        self.shared.state().open.keys().copied().collect()
    }

    /// Cuts a connection now. False if it is closed already.
    pub fn cut(&self, conn: ConnId, how: How) -> bool {
        self.order(conn, |orders| orders.cut = Some(how))
    }

    /// Reads on where [`Fault::StopReading`](super::Fault::StopReading) stopped, or prevents that it stops. False if
    /// the connection is closed.
    pub fn resume(&self, conn: ConnId) -> bool {
        self.order(conn, |orders| orders.resumed = true)
    }

    /// Delivers what [`Fault::Hold`](super::Fault::Hold) holds, and all that follows. False if the connection is closed.
    pub fn release(&self, conn: ConnId) -> bool {
        self.order(conn, |orders| orders.released = true)
    }

    fn order(&self, conn: ConnId, change: impl FnOnce(&mut Orders)) -> bool {
        self.shared.state().open.get(&conn).map(|orders| orders.send_modify(change)).is_some()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, conn: ConnId, what: Happened) {
        (self.config.observer)(Observed { conn, at: self.config.origin.elapsed(), what });
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match client {
            Ok((client, from)) => {
                connections.spawn(serve(Arc::clone(&shared), client, from));
            }
            // Out of descriptors: some must close first.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(shared: Arc<Shared>, client: TcpStream, from: SocketAddr) {
    let (orders, ordered) = watch::channel(Orders::default());
    let (conn, upstream, next) = {
        let mut state = shared.state();
        state.last.0 += 1;
        let conn = state.last;
        state.open.insert(conn, orders);
        (conn, state.upstream, state.plans.next())
    };
    let report = |what| {
        if matches!(what, Happened::Closed { .. }) {
            shared.state().open.remove(&conn);
        }
        shared.report(conn, what);
    };
    report(Happened::Accepted { from });
    // Fails only on a socket that is closed already, which the first read shows.
    let _ = client.set_nodelay(true);
    match next {
        Next::Refuse(fault) => {
            report(Happened::Applied { fault });
            reset(client).await;
            report(Happened::Closed { by: ClosedBy::Fault });
        }
        Next::Serve(plan) => {
            let tape = |side, bytes: &[u8]| {
                if let Some(tape) = &shared.tape {
                    tape(conn, side, bytes);
                }
            };
            Connection::new(plan, shared.config.framing, ordered, &report, &tape).serve(client, upstream).await;
        }
    }
}
