//! A worker's servers, and scenarios run on them.
//!
//! Cases that leave the process alone share one, on fresh sessions. A case that stops or pauses it has a process of its
//! own while it runs, and so has a case that is to be seen without others beside it, or could be crowded out by them.
//! Of a server that is not ours there is but one, for all labs: whoever is to be alone on it keeps all others waiting.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{RwLock, Semaphore, SemaphorePermit};

use super::source::touches_the_process;
use crate::check::{Finding, Verdict, Violation, judge};
use crate::contract::{CATALOGUE, Level, Profile};
use crate::history::History;
use crate::run::suite::{Subject, mix, run_one};
use crate::run::{Abort, Patience};
use crate::scenario::Scenario;
use crate::world::live::{LiveWorld, Server, ServerError};

/// No more processes than these are started at once for cases that are to be alone.
pub(crate) const MOST_ALONE: usize = 10;
/// After this many cases a shared process is replaced, so that its sessions do not pile up.
const CASES_A_PROCESS: u32 = 4_000;

/// What makes two violations the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Signature {
    /// The requirement's id.
    pub requirement: String,
    /// The shape of the violation within it.
    pub shape: String,
}

/// One run of one scenario.
#[derive(Debug)]
pub struct Ran {
    /// What was seen.
    pub history: History,
    /// What the checkers say.
    pub verdicts: Vec<Verdict>,
    /// Why it did not reach its end, if it did not.
    pub aborted: Option<Abort>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Ran {
    /// How often this requirement was judged; at least once makes a pass worth something.
    pub fn judged(&self, requirement: &str) -> u64 {
        let judged = |verdict: &Verdict| match &verdict.finding {
            Finding::Pass { judged } | Finding::Fail { judged, .. } => *judged,
            Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => 0,
        };
        self.verdicts.iter().find(|verdict| verdict.requirement == requirement).map_or(0, judged)
    }

    /// The violations of what a server must do, one for each signature.
    pub fn violations(&self) -> Vec<(Signature, &Violation)> {
        let mut all: Vec<(Signature, &Violation)> = Vec::new();
        for (verdict, _) in self.verdicts.iter().zip(CATALOGUE).filter(|(_, requirement)| requirement.level == Level::Must) {
            let Finding::Fail { violations, .. } = &verdict.finding else { continue };
            for violation in violations {
                let signature = Signature { requirement: verdict.requirement.clone(), shape: violation.shape.clone() };
                if !all.iter().any(|(known, _)| *known == signature) {
                    all.push((signature, violation));
                }
            }
        }
        all
    }

    /// True when it shows this violation.
    pub fn shows(&self, signature: &Signature) -> bool {
        self.violations().iter().any(|(shown, _)| shown == signature)
    }
}

/// Beside whom a scenario is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Beside other cases, unless it touches the process.
    Others,
    /// Without any other case on the same server: on a process of its own, at once, so that whoever asks says how many there
    /// are; or, where the server is not ours, while no other case is run on it.
    Alone,
}

/// The one server that is not ours, for all labs: many cases at the same time, or one that is alone.
#[derive(Clone, Debug)]
pub struct Floor(Arc<Semaphore>);

impl Floor {
    const PLACES: u32 = 1_024;

    /// Waits until there is a place for one, or all of them for whoever is to be alone.
    async fn enter(&self, company: Company) -> SemaphorePermit<'_> {
        let places = match company {
            Company::Others => 1,
            Company::Alone => Self::PLACES,
        };
        // First come, first served: whoever is to be alone is not kept waiting by those who come later.
        self.0.acquire_many(places).await.expect("the semaphore is never closed")
    }
}

impl Default for Floor {
    fn default() -> Floor {
        Floor(Arc::new(Semaphore::new(Self::PLACES as usize)))
    }
}

/// The servers of one worker; everything happens on its thread.
pub struct Lab {
    profile: Arc<Profile>,
    subject: Subject,
    seed: u64,
    names: u64,
    cases: Cell<u64>,
    shared: RwLock<Server>,
    on_shared: Cell<u32>,
    /// How many of the cases that come beside others may have a process of their own at once.
    alone: Semaphore,
    /// So many processes are kept for them.
    kept: usize,
    floor: Floor,
    idle: RefCell<Vec<Server>>,
}

impl Lab {
    /// Starts the shared process. Labs of one server that is not ours share its `floor`.
    ///
    /// # Errors
    /// When there is no server to be had.
    pub async fn open(profile: Arc<Profile>, subject: Subject, seed: u64, alone: usize, floor: Floor) -> Result<Lab, ServerError> {
        let shared = serve(&subject).await?;
        Ok(Lab {
            profile,
            names: subject.seed_of_names(seed),
            subject,
            seed,
            cases: Cell::new(0),
            shared: RwLock::new(shared),
            on_shared: Cell::new(0),
            alone: Semaphore::new(alone.max(1)),
            kept: alone.max(1),
            floor,
            idle: RefCell::default(),
        })
    }

    /// How many may be alone at once, each on a server of its own.
    pub(crate) fn most_alone(&self) -> usize {
        if self.is_ours() { MOST_ALONE } else { 1 }
    }

    fn is_ours(&self) -> bool {
        matches!(self.subject, Subject::Start(_))
    }

    /// Runs one scenario.
    ///
    /// # Errors
    /// When there is no server any more.
    pub async fn run(&self, scenario: &Scenario, company: Company, deadline: Duration) -> Result<Ran, ServerError> {
        let ours = self.is_ours();
        // In one stream for all, what one session publishes fills the queues of others and evicts what they are to read.
        let crowded = self.profile.is_one_stream();
        if ours && company == Company::Alone {
            return self.run_alone(scenario, deadline).await;
        }
        if ours && (crowded || touches_the_process(&scenario.steps)) {
            let _permit = self.permit().await;
            return self.run_alone(scenario, deadline).await;
        }
        let (ran, lost) = {
            let _place = self.floor.enter(company).await;
            let server = self.shared.read().await;
            let ran = self.run_on(&server, scenario, deadline).await;
            (ran, server.died().is_some())
        };
        self.on_shared.set(self.on_shared.get() + 1);
        if lost || self.on_shared.get() >= CASES_A_PROCESS {
            // Others wait here for the last case on the old process, then find the new one.
            let server = self.shared.write().await;
            if lost && server.died().is_some() || self.on_shared.get() >= CASES_A_PROCESS {
                server.renew().await?;
                self.on_shared.set(0);
            }
        }
        if lost && ours {
            // Which of the cases on it ended the process shows when each is alone.
            let _permit = self.permit().await;
            return self.run_alone(scenario, deadline).await;
        }
        Ok(ran)
    }

    async fn permit(&self) -> SemaphorePermit<'_> {
        self.alone.acquire().await.expect("the semaphore is never closed")
    }

    async fn run_alone(&self, scenario: &Scenario, deadline: Duration) -> Result<Ran, ServerError> {
        let idle = self.idle.borrow_mut().pop();
        let server = match idle {
            Some(server) => server,
            None => serve(&self.subject).await?,
        };
        let ran = self.run_on(&server, scenario, deadline).await;
        let ready = if ran.aborted.is_some() { server.renew().await } else { server.ensure().await };
        ready?;
        // As many as were needed at once are kept, until somebody tidies up.
        self.idle.borrow_mut().push(server);
        Ok(ran)
    }

    /// Ends the processes that only many cases at once, each alone, had use for.
    pub(crate) async fn tidy(&self) {
        let most = self.kept.min(self.idle.borrow().len());
        let spare = self.idle.borrow_mut().split_off(most);
        for server in spare {
            server.shut_down().await;
        }
    }

    async fn run_on(&self, server: &Server, scenario: &Scenario, deadline: Duration) -> Ran {
        let began = Instant::now();
        self.cases.set(self.cases.get() + 1);
        let patience = Patience { deadline, salt: mix(self.names, self.cases.get()) };
        let world = LiveWorld::new(Arc::clone(&self.profile), server);
        let (history, aborted) = run_one(&world, &self.profile, scenario, self.seed, patience, pending()).await;
        let verdicts = judge(&history, &self.profile);
        Ran { history, verdicts, aborted, elapsed: began.elapsed() }
    }

    /// Ends the processes.
    pub async fn close(self) {
        self.shared.into_inner().shut_down().await;
        for server in self.idle.into_inner() {
            server.shut_down().await;
        }
    }
}

async fn serve(subject: &Subject) -> Result<Server, ServerError> {
    match subject {
        Subject::Url { url, provider } => Server::at(url, provider.clone()).await,
        Subject::Start(spec) => Server::start(spec.clone()).await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::watch;

    use super::*;
    use crate::scenario::from_plain;

    /// A server that refuses everything, once it has had `wanted` requests at the same time or has waited `patience` for that; its
    /// address, and how many it had at the most.
    async fn refusing(wanted: usize, patience: Duration) -> (String, watch::Sender<usize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(0));
        let seen = most.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (now, most) = (Arc::clone(&now), most.clone());
                tokio::spawn(async move {
                    let mut buffer = [0; 4_096];
                    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        let count = now.fetch_add(1, Ordering::Relaxed) + 1;
                        most.send_modify(|most| *most = count.max(*most));
                        let _ = tokio::time::timeout(patience, most.subscribe().wait_for(|most| *most >= wanted)).await;
                        now.fetch_sub(1, Ordering::Relaxed);
                        let _ = socket.write_all(b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n").await;
                    }
                });
            }
        });
        (url, seen)
    }

    #[tokio::test]
    async fn on_a_server_of_somebody_else_only_one_is_alone_whichever_lab_asks() {
        // Whoever is to be alone has a moment for another to come; others are waited for.
        for (company, patience, expected) in [(Company::Alone, Duration::from_millis(20), 1), (Company::Others, Duration::from_secs(5), 2)]
        {
            let (url, most) = refusing(2, patience).await;
            let profile = Arc::new(Profile::load("sse").unwrap());
            let floor = Floor::default();
            let open = || Lab::open(Arc::clone(&profile), Subject::Url { url: url.clone(), provider: None }, 1, 3, floor.clone());
            let (one, other) = (open().await.unwrap(), open().await.unwrap());
            assert_eq!(one.most_alone(), 1);
            let opens = from_plain(&serde_json::json!({ "open": { "session": "s" } })).unwrap();
            let case = crate::explore::mend::scenario("it", "it", vec![opens]);
            let runs = (0..4).flat_map(|_| [&one, &other]).map(|lab| lab.run(&case, company, Duration::from_secs(10)));
            futures_util::future::try_join_all(runs).await.unwrap();
            assert!((*most.borrow()).min(2) == expected, "{company:?}: {} at once", *most.borrow());
        }
    }
}
