//! Walking the steps of a scenario over a world.
//!
//! Steps run one after the other; background writers run beside them, on the same thread. Nothing here judges: the walk
//! acts, waits with deadlines, and leaves observations behind.

mod act;
mod ask;
mod audit;
mod cast;
mod faults;
mod finite;
mod places;
mod publish;
mod read;
mod say;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::contract::Profile;
use crate::history::{self, What};
use crate::scenario::{Do, Scenario, Step, Writer};
use crate::world::World;

use cast::Cast;
pub use say::step as in_words;

/// Why a walk did not reach its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abort {
    /// The server ended although nobody asked it to. This is recorded as an observation, too.
    ServerDied(String),
    /// The harness could not do what a step says.
    CouldNot(String),
    /// The run was interrupted.
    Interrupted,
}

/// What a walk needs to know beside its scenario.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long a wait may take.
    pub deadline: Duration,
    /// From which the names of sessions and keys come, so that two runs on one server do not meet.
    pub salt: u64,
}

/// What goes on beside the steps.
pub(crate) enum Background {
    /// A writer.
    Write(Writer),
    /// An operation whose answer is not waited for.
    Ask(Box<Do>),
}

/// One walk.
pub(crate) struct Walk<'w, W: World> {
    world: &'w W,
    profile: &'w Profile,
    patience: Patience,
    /// All steps of the scenario.
    whole: &'w [Step],
    cast: RefCell<Cast>,
    /// What is to go on beside the steps and was not begun yet.
    background: RefCell<Vec<Background>>,
    /// Waits that were missed; each makes the next ones shorter, for the verdict is already known.
    missed: Cell<u32>,
    step: Cell<u32>,
}

/// How far a walk has come while nobody read: others can go on from there.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    steps: usize,
    cast: Cast,
}

impl Begun {
    /// How many of the first steps of a scenario only open sessions that nobody watches, and publish to them.
    pub(crate) fn steps_of(scenario: &Scenario) -> usize {
        let unread = |step: &&Step| match step {
            Step::Open(open) => open.unwatched,
            Step::Publish(_) => true,
            _ => false,
        };
        scenario.steps.iter().take_while(unread).count()
    }
}

/// Walks the first `steps` steps of `scenario`, which nobody reads in, and no further.
pub(crate) async fn begin<W: World>(
    world: &W,
    profile: &Profile,
    scenario: &Scenario,
    patience: Patience,
    steps: usize,
) -> Result<Begun, Abort> {
    let walk = Walk::new(world, profile, scenario, patience, &Begun::default());
    walk.steps(&scenario.steps[..steps], 0, Some(&say::steps(scenario))).await?;
    Ok(Begun { steps, cast: walk.cast.into_inner() })
}

/// Walks `scenario` over `world`. Observations are in the world's recorder, also when the walk was aborted.
pub async fn walk<'w, W: World>(world: &'w W, profile: &'w Profile, scenario: &'w Scenario, patience: Patience) -> Result<(), Abort> {
    go_on(world, profile, scenario, patience, &Begun::default()).await
}

/// As [`walk`], from where `begun` has come; the world is as it was there.
pub(crate) async fn go_on<'w, W: World>(
    world: &'w W,
    profile: &'w Profile,
    scenario: &'w Scenario,
    patience: Patience,
    begun: &Begun,
) -> Result<(), Abort> {
    let walk = Walk::new(world, profile, scenario, patience, begun);
    let main = async {
        let ended = walk.steps(&scenario.steps, begun.steps, Some(&say::steps(scenario))).await;
        let audited = match ended {
            Ok(()) if scenario.audit => walk.audit().await,
            other => other,
        };
        walk.leave().await;
        audited
    };
    let mut main = std::pin::pin!(main);
    // Most scenarios have nothing in the background.
    let mut running: Option<FuturesUnordered<_>> = None;
    poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = main.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            let works = walk.background.take();
            if !works.is_empty() {
                let running = running.get_or_insert_default();
                running.extend(works.into_iter().map(|work| walk.background(work)));
                continue;
            }
            let Some(running) = running.as_mut().filter(|running| !running.is_empty()) else { return Poll::Pending };
            match running.poll_next_unpin(context) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

impl<'w, W: World> Walk<'w, W> {
    fn new(world: &'w W, profile: &'w Profile, scenario: &'w Scenario, patience: Patience, begun: &Begun) -> Walk<'w, W> {
        world.recorder().tell_as(&scenario.name);
        let (cast, background) = (RefCell::new(begun.cast.clone()), RefCell::default());
        let whole = scenario.steps.as_slice();
        Walk { world, profile, patience, whole, cast, background, missed: Cell::new(0), step: Cell::new(0) }
    }

    /// Walks over steps, beginning with the one at `from`; `said` are those of a scenario in words, and absent for what
    /// stands inside of a step.
    async fn steps(&self, steps: &[Step], from: usize, said: Option<&[Arc<str>]>) -> Result<(), Abort> {
        for (at, step) in steps.iter().enumerate().skip(from) {
            if said.is_some() {
                self.step.set(at as u32);
            }
            let says = said.and_then(|said| said.get(at)).map_or_else(|| say::step(step).into(), Arc::clone);
            self.record(What::Step(history::Step { index: self.step.get(), says }));
            self.act(step, &steps[at + 1..]).await?;
            if let Some(why) = self.world.died() {
                self.record(What::Process(history::Process::Died { why: why.clone() }));
                return Err(Abort::ServerDied(why));
            }
            if self.world.full() {
                return Err(Abort::CouldNot("the server sent more than a run can keep".to_owned()));
            }
        }
        Ok(())
    }

    async fn background(&self, work: Background) {
        match work {
            Background::Write(writer) => self.write(writer).await,
            // What it brings is judged by what it leaves behind.
            Background::Ask(step) => {
                drop(self.ask(&step).await);
                let mut cast = self.cast.borrow_mut();
                cast.asking.iter().position(|op| *op == step.op).map(|at| cast.asking.swap_remove(at));
                drop(cast);
                self.world.recorder().wake();
            }
        }
    }

    fn record(&self, what: What) {
        self.world.record(what);
    }

    /// How long the next wait may take: the deadline, a quarter of it once something was missed.
    fn deadline(&self) -> Duration {
        if self.missed.get() == 0 { self.patience.deadline } else { self.patience.deadline / 4 }
    }

    fn could_not<T>(&self, why: impl Into<String>) -> Result<T, Abort> {
        Err(Abort::CouldNot(why.into()))
    }
}
