//! A worker's servers, and scenarios run on them.
//!
//! Cases that leave the process alone share one, on fresh sessions. A case that stops or pauses it has a process of its
//! own while it runs, and so has a case that is to be seen without others beside it, or could be crowded out by them.

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
    /// On a process of its own, at once: whoever asks says how many there are.
    Alone,
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
    /// No more processes than this are kept for later cases.
    most_idle: usize,
    idle: RefCell<Vec<Server>>,
}

impl Lab {
    /// Starts the shared process.
    ///
    /// # Errors
    /// When there is no server to be had.
    pub async fn open(profile: Arc<Profile>, subject: Subject, seed: u64, alone: usize) -> Result<Lab, ServerError> {
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
            most_idle: alone.max(1),
            idle: RefCell::default(),
        })
    }

    /// Runs one scenario.
    ///
    /// # Errors
    /// When there is no server any more.
    pub async fn run(&self, scenario: &Scenario, company: Company, deadline: Duration) -> Result<Ran, ServerError> {
        let ours = matches!(self.subject, Subject::Start(_));
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
        if self.idle.borrow().len() < self.most_idle {
            self.idle.borrow_mut().push(server);
        } else {
            server.shut_down().await;
        }
        Ok(ran)
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
