//! Runs that share their beginning.
//!
//! While sessions are opened that nobody watches, and events are published one after the other, nothing can come in
//! between: every schedule begins alike. That beginning is walked once, and each run goes on from a copy of it, with the
//! same history as if it had walked there itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::node::Node;
use super::waiting::Timers;
use super::{Chooser, Run, Schedule, SimWorld, Simulation};
use crate::history::{Record, View};
use crate::run::recorder::Recorder;
use crate::run::{Begun, begin};
use crate::scenario::Scenario;

/// A scenario whose beginning was walked, ready to be run under many schedules.
#[derive(Debug)]
pub struct Prepared<'s> {
    simulation: &'s Simulation,
    scenario: &'s Scenario,
    pub(super) shared: Option<Shared>,
}

/// The world where a shared beginning ends.
#[derive(Debug)]
pub(super) struct Shared {
    /// No other in this process has it.
    pub(super) number: u64,
    pub(super) begun: Begun,
    pub(super) records: Vec<Record>,
    pub(super) node: Node,
    pub(super) recorder: Recorder,
    pub(super) names: Vec<Arc<str>>,
    pub(super) timers: Timers,
    pub(super) now: u64,
    pub(super) next: u64,
    pub(super) actions: u64,
}

/// The beginning that all runs of a [`Prepared`] share, as checkers read it: looked at once, and gone on from with each run.
#[derive(Debug)]
pub struct Beginning<'p> {
    pub(super) number: u64,
    pub(super) view: View<'p>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Simulation {
    /// Makes a scenario, which is at one place of its sweep, ready to be run many times.
    pub fn prepare<'s>(&'s self, scenario: &'s Scenario) -> Prepared<'s> {
        Prepared { simulation: self, scenario, shared: self.share(scenario) }
    }

    /// `None` where the beginning depends on the schedule, or there is none.
    fn share(&self, scenario: &Scenario) -> Option<Shared> {
        let steps = Begun::steps_of(scenario);
        if steps == 0 {
            return None;
        }
        let world = SimWorld::new(self, Chooser::Fixed(Schedule::default()), None);
        let chosen = world.inner.borrow().scheduler.choices();
        let begun = world.drive(begin(&world, &self.profile, scenario, self.patience(), steps)).ok()?;
        let SimWorld { recorder, inner, .. } = world;
        let inner = inner.into_inner();
        let still = inner.ready.is_empty() && inner.exchanges.is_empty() && inner.wires.is_empty();
        (still && inner.scheduler.choices() == chosen).then(|| Shared {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            begun,
            records: inner.log.into_records(),
            recorder,
            actions: inner.scheduler.steps(),
            node: inner.node,
            names: inner.names,
            timers: inner.timers,
            now: inner.now,
            next: inner.next,
        })
    }
}

impl Prepared<'_> {
    /// Runs it under the choices of `chooser`: what [`Simulation::run`] would bring. `seed` is for the record only.
    pub fn run(&self, chooser: Chooser, seed: u64) -> Run {
        self.simulation.run_from(self.scenario, chooser, seed, self.shared.as_ref())
    }

    /// The beginning of its runs, if they share one.
    pub fn beginning(&self) -> Option<Beginning<'_>> {
        self.shared.as_ref().map(|shared| Beginning { number: shared.number, view: View::of_records(&shared.records) })
    }
}
