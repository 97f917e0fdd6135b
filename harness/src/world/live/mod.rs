//! The live world: real sockets, the fault proxy and real processes.
//!
//! A [`Server`] lives as long as its worker and is used by one run after the other; a [`LiveWorld`] lives for one run. Its
//! readers are tasks that record what they see; a connection that a fault may hit goes through a link of the proxy that is its
//! own, so that every byte and every command has exactly one connection to strike.

mod driver;
pub(super) mod faults;
mod http;
mod leak;
mod lines;
mod money;
mod operation;
mod overheard;
mod poll;
mod probe;
pub mod process;
pub mod proxy;
mod server;
mod socket;
mod stream;
mod tap;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

use crate::contract::{Format, Profile};
use crate::history::{ConnId, Micros, Of, OpId, Process, Resources, Role, SessionIx, Surface, What};
use crate::run::binding::{Finite, Lens, Vars, for_page, for_stream};
use crate::run::progress::Progress;
use crate::run::recorder::Recorder;
use crate::scenario::{Need, Pay, Scenario, Stop};
use crate::world::{Address, Call, Command, Opening, PageAnswer, PageRead, Reply, Watch, World};

use driver::{Driven, Driver};
pub use http::Clients;
use money::{Purse, Till};
use overheard::Overheard;
pub use server::{Server, ServerError, StartSpec, folder_in_memory};
use stream::Handle;
use tap::Tap;

/// How long an operation may take before its outcome is unknown, unless its server is one that takes longer to deliver an event.
const OPERATION: Duration = Duration::from_secs(10);

/// The world of one run.
pub struct LiveWorld<'s> {
    profile: Arc<Profile>,
    server: &'s Server,
    recorder: Recorder,
    origin: Instant,
    handles: RefCell<HashMap<ConnId, Handle>>,
    /// Wallets, where streams are paid.
    purse: Option<Arc<Purse>>,
    /// The program that reads for the readers of this role.
    driver: RefCell<Option<Arc<Driver>>>,
    /// Whether an exchange over a WebSocket brought nothing in time.
    unanswered: Cell<bool>,
}

impl<'s> LiveWorld<'s> {
    /// A world in which `server` is there and nothing has happened yet.
    pub fn new(profile: Arc<Profile>, server: &'s Server) -> LiveWorld<'s> {
        let (recorder, origin) = (Recorder::default(), Instant::now());
        let purse = || Purse::new(Arc::clone(&profile), recorder.clone(), origin, server.signatory());
        let purse = profile.binding.payment.is_some().then(|| Arc::new(purse()));
        LiveWorld {
            profile,
            server,
            recorder,
            origin,
            handles: RefCell::default(),
            purse,
            driver: RefCell::default(),
            unanswered: Cell::default(),
        }
    }

    /// Starts what helps the run beside the server, before its clock matters.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub async fn prepare(&self, scenario: &Scenario) -> Result<(), String> {
        if let Some(purse) = &self.purse {
            purse.prepare(&self.server.base()).await?;
        }
        if let Some(words) = self.profile.driver.as_ref().filter(|_| scenario.needs.contains(&Need::Driver)) {
            let words: Vec<String> = words.iter().map(|word| word.replace("{base}", &self.server.base())).collect();
            let driver = Driver::start(&words, &uuid()).await?;
            *self.driver.borrow_mut() = Some(Arc::new(driver));
        }
        Ok(())
    }

    /// What was observed; the world goes on with an empty list.
    pub fn take_records(&self) -> Vec<crate::history::Record> {
        self.recorder.take()
    }

    /// From now on messages are recorded as they stand on the wire.
    pub fn keep_wire(&self) {
        self.recorder.keep_wire();
    }

    fn tap(&self, of: Of) -> Tap {
        Tap { recorder: self.recorder.clone(), origin: self.origin, of }
    }

    fn site(&self, of: Of) -> operation::Site<'_> {
        let tap = self.tap(of);
        let within = OPERATION.max(Duration::from_millis(2 * self.profile.contract.liveness.delivery_ms));
        operation::Site { server: self.server, binding: &self.profile.binding, tap, within, unanswered: &self.unanswered }
    }

    fn vars(&self, address: &Address) -> Vars {
        let mut vars = Vars::default();
        if let Some(provider) = self.server.provider() {
            vars.text("provider", provider);
        }
        for (name, value) in &address.taken {
            vars.text(name, value.clone());
        }
        vars.text("session", address.id.clone()).text("uuid", uuid());
        vars
    }
}

/// A random id of 32 hexadecimal digits.
fn uuid() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl World for LiveWorld<'_> {
    fn now(&self) -> Micros {
        Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn heads_are_late(&self) -> bool {
        self.server.late_heads().get()
    }

    fn head_was_late(&self) {
        self.server.late_heads().set(true);
    }

    async fn call(&self, op: OpId, address: &Address, call: Call) -> Reply {
        let about = about(&call);
        let at = self.site(Of::Op(op));
        let reply = operation::call(&at, &self.profile, self.vars(address), call).await;
        if let Some(answer) = &reply.answer {
            self.scan(&about, &answer.body);
        }
        reply
    }

    fn connect(&self, opening: Opening) -> Progress {
        let progress = Progress::default();
        let mut vars = self.vars(&opening.address);
        if let Some(expires) = opening.funding.expires {
            vars.number("expires", i64::from(expires));
        }
        let mut request = for_stream(&self.profile.binding, &vars, &opening.from);
        if let Some(path) = &opening.content {
            request.target.clone_from(path);
        }
        self.recorder.record(
            self.now(),
            What::Connect(Box::new(crate::history::Connect {
                conn: opening.conn,
                reader: opening.reader.clone(),
                nth: opening.nth,
                session: opening.session,
                surface: Surface::Stream,
                from: opening.from.clone(),
                role: opening.role,
                limit: None,
                request: request.curl(&self.server.base()),
            })),
        );
        // Views that others are compared with go straight to the server; so does a stream that the proxy cannot read, and
        // one that nothing can strike: two more connections would only take their time.
        let untouched = opening.faults.is_empty() && !opening.cut_on_command && opening.role != Role::Driven;
        let direct = untouched || matches!(opening.role, Role::Witness | Role::Compressed) || self.server.upstream().is_none();
        let handle = Handle::default();
        let driver = self.driver.borrow().clone().filter(|_| opening.role == Role::Driven);
        let driven = driver.map(|driver| {
            let paid = self.purse.as_ref().map(|purse| (Arc::clone(purse), opening.session));
            let format = self.profile.binding.subscribe.format;
            let who = (opening.conn, opening.reader.clone());
            Driven { driver, overheard: Arc::new(Overheard::new(who, format, self.recorder.clone(), progress.clone(), paid)) }
        });
        let follow = stream::Follow {
            conn: opening.conn,
            profile: Arc::clone(&self.profile),
            vars: self.vars(&opening.address),
            own: opening.address.id.clone(),
            base: self.server.base(),
            upstream: self.server.upstream().filter(|_| !direct),
            faults: opening.faults,
            compressed: opening.role == Role::Compressed,
            client: self.server.clients().streams(),
            recorder: self.recorder.clone(),
            origin: self.origin,
            progress: progress.clone(),
            handle: handle.clone(),
            paying: self.purse.as_ref().map(|purse| stream::Paying {
                purse: Arc::clone(purse),
                till: self.till(opening.session, vars),
                reader: opening.reader.clone(),
                funding: opening.funding.clone(),
            }),
            driven,
        };
        self.handles.borrow_mut().insert(opening.conn, handle);
        tokio::spawn(follow.run(request));
        progress
    }

    async fn fence(&self, deadline: Duration) -> Option<String> {
        let (progress, handle, recorder) = (Progress::default(), Handle::default(), Recorder::default());
        let address = Address::default();
        let follow = stream::Follow {
            conn: ConnId(0),
            profile: Arc::clone(&self.profile),
            vars: self.vars(&address),
            own: String::new(),
            base: self.server.base(),
            upstream: None,
            faults: Vec::new(),
            compressed: false,
            client: self.server.clients().streams(),
            recorder: recorder.clone(),
            origin: self.origin,
            progress: progress.clone(),
            handle: handle.clone(),
            paying: None,
            driven: None,
        };
        let request = for_stream(&self.profile.binding, &self.vars(&address), &crate::history::From::Live);
        let come = until(&recorder, deadline, || progress.state().boundaries > 0 || progress.state().ended.is_some());
        tokio::select! {
            () = follow.run(request) => {}
            _ = come => {}
        }
        progress.state().cursor().map(|(cursor, _)| cursor.to_string())
    }

    async fn pay(&self, session: SessionIx, address: &Address, pay: &Pay) -> Result<Option<String>, String> {
        match &self.purse {
            Some(purse) => purse.pay(&self.till(session, self.vars(address)), pay).await,
            None => Err("the profile does not say how streams are paid (`binding.payment`)".to_owned()),
        }
    }

    fn command(&self, conn: ConnId, command: Command) {
        if let Some(handle) = self.handles.borrow().get(&conn) {
            handle.order(command);
        }
    }

    fn describe(&self, read: &PageRead) -> String {
        let mut vars = self.vars(&read.address);
        finite_vars(&mut vars, read);
        match self.finite(read.surface) {
            Some(finite) => for_page(&self.profile.binding, finite, &vars).curl(&self.server.base()),
            None => String::new(),
        }
    }

    async fn read(&self, read: PageRead) -> Result<PageAnswer, String> {
        let mut vars = self.vars(&read.address);
        finite_vars(&mut vars, &read);
        let finite = self.finite(read.surface).ok_or_else(|| "the profile has no such read".to_owned())?;
        let lens = Lens::of(&self.profile, &read.address.id);
        let at = self.site(Of::Conn(read.conn));
        let page = http::page(&at, lens, finite, &vars).await?;
        let about = match read.surface {
            Surface::History => "a page of history",
            Surface::Snapshot | Surface::Stream => "the snapshot",
        };
        self.scan(about, &page.text);
        Ok(page)
    }

    async fn churn(&self, address: &Address, connections: u32, concurrent: u32) -> u32 {
        let request = for_stream(&self.profile.binding, &self.vars(address), &crate::history::From::Start);
        let socket = self.profile.binding.subscribe.format == Format::Websocket;
        let one = async |_| {
            if socket {
                socket::touch(&self.server.base(), &request, OPERATION).await
            } else {
                http::touch(self.server, &request, OPERATION).await
            }
        };
        let touched = futures_util::stream::iter((0..connections).map(one)).buffer_unordered(concurrent.max(1) as usize);
        touched.fold(0, async |sum, accepted| sum + u32::from(accepted)).await
    }

    async fn restart(&self, how: Stop, wipe: bool) -> Result<(), String> {
        let name = match how {
            Stop::Kill => "KILL",
            Stop::Term => "TERM",
        };
        self.recorder.record(self.now(), What::Process(Process::Signal { name: name.to_owned() }));
        let overdue = self.server.stop(how).await.map_err(|e| e.to_string())?;
        if overdue {
            self.recorder.record(self.now(), What::Process(Process::Overdue));
        }
        self.recorder.record(self.now(), What::Process(Process::Gone));
        let (pid, generation) = self.server.start_again(wipe).await.map_err(|e| e.to_string())?;
        self.recorder.record(self.now(), What::Process(Process::Ready { pid, generation, wiped: wipe }));
        Ok(())
    }

    async fn pause(&self, paused: bool) -> Result<(), String> {
        self.server.pause(paused).await.map_err(|e| e.to_string())
    }

    fn resources(&self, label: &str, connections: u64) -> Option<Resources> {
        let sum = self.server.sample()?;
        Some(Resources {
            label: label.to_owned(),
            descriptors: sum.descriptors,
            threads: sum.threads,
            resident: sum.rss_bytes,
            connections,
        })
    }

    fn died(&self) -> Option<String> {
        self.server.died()
    }

    fn absent(&self) -> bool {
        self.server.absent()
    }

    async fn wait_for(&self, _: Watch, deadline: Duration, done: impl FnMut() -> bool) -> bool {
        until(&self.recorder, deadline, done).await
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Waits until `done` holds or `deadline` has passed; true when it holds. It is looked at after every observation.
async fn until(recorder: &Recorder, deadline: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = tokio::time::Instant::now() + deadline;
    loop {
        let changed = recorder.changed().notified();
        let mut changed = std::pin::pin!(changed);
        // Enabled before the look, so that a change in between wakes it.
        changed.as_mut().enable();
        if done() {
            return true;
        }
        // Processes change without an observation of ours; a slow look covers them.
        let look = tokio::time::Instant::now() + Duration::from_millis(50);
        if tokio::time::timeout_at(end.min(look), changed).await.is_err() && tokio::time::Instant::now() >= end {
            return done();
        }
    }
}

/// An operation as people call it.
fn about(call: &Call) -> String {
    let name = match call {
        Call::Open(_) => "open",
        Call::Publish { .. } => "publish",
        Call::Close => "close",
        Call::Delete => "delete",
        Call::Health => "health",
        Call::Probe(_) => "a probe",
        Call::Custom { name, .. } => name,
    };
    format!("the answer to `{name}`")
}

impl LiveWorld<'_> {
    /// Looks for planted secrets in what the server sent.
    fn scan(&self, surface: &str, text: &str) {
        for around in leak::found(&self.recorder.planted(), text) {
            let leaked = crate::history::Leaked { conn: None, surface: surface.to_owned(), around };
            self.recorder.record(self.now(), What::Leaked(Box::new(leaked)));
        }
    }

    fn till(&self, session: SessionIx, vars: Vars) -> Till {
        Till { base: self.server.base(), client: self.server.clients().operations(), vars, session }
    }

    fn finite(&self, surface: Surface) -> Option<Finite<'_>> {
        let binding = &self.profile.binding;
        match surface {
            Surface::History => binding.history.as_ref().map(Finite::History),
            Surface::Snapshot => binding.snapshot.as_ref().map(Finite::Snapshot),
            Surface::Stream => None,
        }
    }
}

fn finite_vars(vars: &mut Vars, read: &PageRead) {
    if let Some(cursor) = &read.cursor {
        vars.text("cursor", cursor.clone());
    }
    if let Some(limit) = read.limit {
        vars.number("limit", i64::from(limit));
    }
}
