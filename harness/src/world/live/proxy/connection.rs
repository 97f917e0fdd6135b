//! One proxied connection: takes the passage's steps on real sockets.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::ending::{close, discard, end, reset};
use super::fault::{Fault, Framing, How, Place, Plan};
use super::framing::{Unreadable, answer_head};
use super::observed::{ClosedBy, Happened, Side};
use super::passage::{Passage, Step};
use super::requests::Requests;

/// What is read at once.
const READ: usize = 16 * 1024;
/// The most that is held for late delivery, and of a request that may be sent twice.
const HELD_LIMIT: usize = 16 * 1024 * 1024;
/// The receive buffer towards a server that we will stop reading from: one that does not grow.
const SMALL_BUFFER: u32 = 32 * 1024;
/// The receive buffer once we read on. The kernel counts what a segment takes, not only its bytes, so that the window of a
/// small buffer can stay below the half of its greatest size that a sender waits for; then one segment comes with each probe
/// of the window, five a second.
const AMPLE_BUFFER: usize = 1024 * 1024;
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a second answer to a duplicated request may take.
const RESEND_PATIENCE: Duration = Duration::from_secs(10);

/// What was commanded of a connection; each stays true.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Orders {
    pub(super) cut: Option<How>,
    pub(super) resumed: bool,
    pub(super) released: bool,
}

/// How the exchange ended, before anything is closed.
enum Outcome {
    ClientLeft,
    ServerEnded(How),
    Cut(How),
    Drop { again: bool },
    Lost,
}

pub(super) struct Connection<'a> {
    plan: Plan,
    applied: Mutex<Vec<bool>>,
    orders: watch::Receiver<Orders>,
    report: &'a (dyn Fn(Happened) + Send + Sync),
    tape: &'a (dyn Fn(Side, &[u8]) + Send + Sync),
    exchange: Mutex<Exchange>,
}

/// What the two directions share.
struct Exchange {
    passage: Passage,
    requests: Requests,
    /// The bytes of the request, if it may be sent twice; `None` once it is too long.
    copy: Option<Vec<u8>>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        plan: Plan,
        framing: Framing,
        orders: watch::Receiver<Orders>,
        report: &'a (dyn Fn(Happened) + Send + Sync),
        tape: &'a (dyn Fn(Side, &[u8]) + Send + Sync),
    ) -> Self {
        let copy = plan.faults.contains(&Fault::DuplicateRequest).then(Vec::new);
        Self {
            applied: Mutex::new(vec![false; plan.faults.len()]),
            exchange: Mutex::new(Exchange { passage: Passage::new(plan.faults.clone(), framing), requests: Requests::default(), copy }),
            plan,
            orders,
            report,
            tape,
        }
    }

    /// Serves the client until both sides are closed.
    pub(super) async fn serve(self, mut client: TcpStream, upstream: SocketAddr) {
        let by = match self.connect(upstream).await {
            Ok(mut server) => {
                let outcome = self.exchange(&mut client, &mut server).await;
                self.finish(outcome, client, server, upstream).await
            }
            Err(error) => {
                (self.report)(Happened::Unreachable { error: error.to_string() });
                reset(client).await;
                ClosedBy::ServerReset
            }
        };
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (fault, _) in self.plan.faults.iter().zip(applied).filter(|(_, applied)| !applied) {
            (self.report)(Happened::NotReached { fault: fault.clone() });
        }
        (self.report)(Happened::Closed { by });
    }

    async fn connect(&self, upstream: SocketAddr) -> io::Result<TcpStream> {
        let socket = if upstream.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if self.plan.faults.iter().any(|fault| matches!(fault, Fault::StopReading { .. })) {
            // The window is agreed on when connecting, so this cannot wait until the fault's event.
            socket.set_recv_buffer_size(SMALL_BUFFER)?;
        }
        let server = timeout(CONNECT_PATIENCE, socket.connect(upstream)).await??;
        server.set_nodelay(true)?;
        Ok(server)
    }

    async fn exchange(&self, client: &mut TcpStream, server: &mut TcpStream) -> Outcome {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            biased;
            how = self.cut_ordered(None) => {
                self.applied_on_command(how);
                Outcome::Cut(how)
            }
            outcome = self.download(from_server, to_client) => outcome,
            () = self.upload(from_client, to_server) => Outcome::ClientLeft,
        }
    }

    /// Waits until a cut other than this one is commanded.
    async fn cut_ordered(&self, other_than: Option<How>) -> How {
        let mut orders = self.orders.clone();
        let wanted = |orders: &Orders| orders.cut.is_some() && orders.cut != other_than;
        let cut = orders.wait_for(wanted).await.ok().and_then(|orders| orders.cut);
        match cut {
            Some(how) => how,
            None => pending().await,
        }
    }

    async fn ordered(&self, what: impl FnMut(&Orders) -> bool) {
        if self.orders.clone().wait_for(what).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Passes the client's bytes on; returns when the client leaves. A client that closes only its sending side counts
    /// as gone, as one that closes both looks the same.
    async fn upload(&self, mut client: ReadHalf<'_>, mut server: WriteHalf<'_>) {
        let mut buffer = vec![0; READ];
        let mut listens = true;
        while let Ok(count @ 1..) = client.read(&mut buffer).await {
            let bytes = &buffer[..count];
            (self.tape)(Side::Client, bytes);
            let followed = {
                let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(mut copy) = exchange.copy.take()
                    && copy.len() + count <= HELD_LIMIT
                {
                    copy.extend_from_slice(bytes);
                    exchange.copy = Some(copy);
                }
                let heads = exchange.requests.feed(bytes);
                for head in heads.iter().flatten() {
                    exchange.passage.asked(head.method == "HEAD");
                }
                heads
            };
            match followed {
                Ok(heads) => {
                    for head in heads {
                        (self.report)(Happened::RequestHead { method: head.method, target: head.target, headers: head.headers });
                    }
                }
                Err(error) => (self.report)(Happened::Unreadable { side: Side::Client, why: error.why() }),
            }
            // A server may answer and close before it has read everything; its answer still counts.
            listens = listens && server.write_all(bytes).await.is_ok();
        }
    }

    async fn download(&self, mut server: ReadHalf<'_>, mut client: WriteHalf<'_>) -> Outcome {
        let mut buffer = vec![0; READ];
        let mut steps = VecDeque::new();
        let mut ended = None;
        loop {
            while let Some(step) = steps.pop_front() {
                match step {
                    Step::Pass(bytes) => {
                        if client.write_all(&bytes).await.is_err() {
                            return Outcome::ClientLeft;
                        }
                    }
                    Step::Head { status, headers } => (self.report)(Happened::ResponseHead { status, headers }),
                    Step::Event(event) => (self.report)(Happened::EventPassed { event }),
                    Step::Applied { fault } => self.apply(fault),
                    Step::Wait(time) => sleep(time).await,
                    Step::Stop { fault } => {
                        self.apply(fault);
                        self.ordered(|orders| orders.resumed).await;
                        read_amply(server.as_ref());
                    }
                    Step::Hold { fault } => {
                        self.apply(fault);
                        let mut held = 0;
                        while ended.is_none() {
                            tokio::select! {
                                biased;
                                () = self.ordered(|orders| orders.released) => break,
                                read = server.read(&mut buffer), if held < HELD_LIMIT => {
                                    held += *read.as_ref().unwrap_or(&0);
                                    ended = self.take(read, &buffer, &mut steps);
                                }
                            }
                        }
                        self.ordered(|orders| orders.released).await;
                    }
                    Step::Cut { fault, how } => {
                        self.apply(fault);
                        return Outcome::Cut(how);
                    }
                    Step::Drop { fault, status, headers, again } => {
                        (self.report)(Happened::ResponseHead { status, headers });
                        self.apply(fault);
                        return Outcome::Drop { again };
                    }
                    Step::Lost(error) => {
                        (self.report)(Happened::Unreadable { side: Side::Server, why: error.why() });
                        return Outcome::Lost;
                    }
                }
            }
            if let Some(how) = ended {
                return Outcome::ServerEnded(how);
            }
            let read = server.read(&mut buffer).await;
            ended = self.take(read, &buffer, &mut steps);
        }
    }

    /// Gives what was read to the passage; says how the server ended, if it did.
    fn take(&self, read: io::Result<usize>, buffer: &[u8], steps: &mut VecDeque<Step>) -> Option<How> {
        if let Ok(count @ 1..) = read {
            (self.tape)(Side::Server, &buffer[..count]);
        }
        let passage = &mut self.exchange.lock().unwrap_or_else(PoisonError::into_inner).passage;
        match read {
            Ok(count @ 1..) => {
                passage.feed(&buffer[..count], steps);
                None
            }
            Ok(0) => {
                passage.end(steps);
                Some(How::Fin)
            }
            Err(_) => {
                passage.end(steps);
                Some(How::Rst)
            }
        }
    }

    fn apply(&self, fault: usize) {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)[fault] = true;
        (self.report)(Happened::Applied { fault: self.plan.faults[fault].clone() });
    }

    /// A commanded cut strikes whether it was planned or not.
    fn applied_on_command(&self, how: How) {
        let on_command = |fault: &Fault| matches!(fault, Fault::Cut { at: Place::OnCommand, .. });
        match self.plan.faults.iter().position(on_command) {
            Some(fault) => self.apply(fault),
            None => (self.report)(Happened::Applied { fault: Fault::Cut { at: Place::OnCommand, how } }),
        }
    }

    async fn finish(&self, outcome: Outcome, client: TcpStream, server: TcpStream, upstream: SocketAddr) -> ClosedBy {
        match outcome {
            Outcome::ClientLeft => ClosedBy::Client,
            Outcome::ServerEnded(How::Rst) => {
                reset(client).await;
                ClosedBy::ServerReset
            }
            Outcome::ServerEnded(_) => {
                drop(server);
                end(client).await;
                ClosedBy::Server
            }
            Outcome::Lost => {
                drop(server);
                end(client).await;
                ClosedBy::Proxy
            }
            Outcome::Drop { again } => {
                if again {
                    let answer = self.resend(upstream).await;
                    (self.report)(Happened::Resent { answer });
                }
                drop(server);
                reset(client).await;
                ClosedBy::Fault
            }
            Outcome::Cut(How::Silence) => self.stay_silent(client, server).await,
            Outcome::Cut(how) => {
                close(how, client, server).await;
                ClosedBy::Fault
            }
        }
    }

    /// Reads both sides and throws it away until the client leaves, or a cut of another kind is commanded.
    async fn stay_silent(&self, mut client: TcpStream, mut server: TcpStream) -> ClosedBy {
        let before = self.orders.borrow().cut;
        let how = tokio::select! {
            () = discard(&mut client) => None,
            how = self.cut_ordered(before) => Some(how),
            () = async {
                discard(&mut server).await;
                pending::<()>().await;
            } => None,
        };
        match how {
            None => ClosedBy::Client,
            Some(how) => {
                close(how, client, server).await;
                ClosedBy::Fault
            }
        }
    }

    /// Sends the request's bytes once more and waits for the head of the answer.
    async fn resend(&self, upstream: SocketAddr) -> Result<u16, String> {
        let copy = self.exchange.lock().unwrap_or_else(PoisonError::into_inner).copy.take();
        let request = copy.ok_or("the request is longer than 16 MiB")?;
        let exchange = async {
            let mut server = self.connect(upstream).await?;
            server.write_all(&request).await?;
            let mut answer = Vec::new();
            loop {
                match answer_head(&answer, false).map_err(|error: Unreadable| io::Error::other(error.why()))? {
                    Some(head) if head.status >= 200 => return Ok(head.status),
                    Some(interim) => drop(answer.drain(..interim.length)),
                    None => {
                        if server.read_buf(&mut answer).await? == 0 {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                    }
                }
            }
        };
        match timeout(RESEND_PATIENCE, exchange).await {
            Ok(answer) => answer.map_err(|error: io::Error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", RESEND_PATIENCE.as_secs())),
        }
    }
}

/// Lets the server's bytes come as fast as they can, where the receive buffer was kept small.
fn read_amply(server: &TcpStream) {
    // Fails only on a socket that is closed already, which the next read shows.
    let _ = setsockopt(server, sockopt::RcvBuf, &AMPLE_BUFFER);
}
