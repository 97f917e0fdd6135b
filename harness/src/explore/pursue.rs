//! From a case that failed to a failure worth reading: reproduced alone, shrunk, and labelled with how often it shows.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::failure::{About, Failure, scenario};
use super::lab::{Company, Lab, Ran, Signature};
use super::palette::Palette;
use super::pressure::Pressure;
use super::rate::Rate;
use super::shrink::shrink;
use crate::scenario::{Scenario, Step};
use crate::world::live::ServerError;

/// How often a failure is run for its label.
const RUNS: u32 = 10;
/// How often it is run before it is believed not to show alone.
const LAST_RUNS: u32 = 20;
/// How many of these runs go on at once, each on a process of its own.
const AT_ONCE: usize = 3;
/// How long a wait may take while a failure is shrunk, where it shows so as well: most failures are waits in vain.
const QUICK: Duration = Duration::from_millis(700);

/// How long shrinking may take once somebody waits for its end.
const HURRIED: Duration = Duration::from_secs(10);

/// Requirements that a busy machine alone can make a case break.
const OF_TIME: &[&str] = &["LIVE-1", "LIVE-2", "LIVE-4", "WIRE-5", "FANOUT-3", "END-6"];

/// What is pursued, and how far.
pub(crate) struct Pursuit<'l> {
    pub(crate) lab: &'l Lab,
    pub(crate) palette: &'l Palette,
    /// How long a wait may take.
    pub(crate) deadline: Duration,
    /// How long shrinking may take.
    pub(crate) shrink_for: Duration,
    /// True once the campaign's time is over, and a person waits for the end of it.
    pub(crate) hurried: &'l dyn Fn() -> bool,
    /// The campaign's seed, in words.
    pub(crate) seed: &'l str,
}

/// Several runs of one scenario.
struct Measured {
    rate: Rate,
    /// The last that failed.
    failed: Option<Ran>,
}

impl Pursuit<'_> {
    /// Reproduces and shrinks what `ran` shows of `signature`. `None` when it was late beside other cases and never alone,
    /// or alone sometimes while the machine had too much to do: that is what a busy machine looks like.
    pub(crate) async fn pursue(
        &self,
        found: &Scenario,
        ran: Ran,
        signature: &Signature,
        interrupted: impl Fn() -> bool,
    ) -> Result<Option<Failure>, ServerError> {
        let steps = found.steps.clone();
        let mut patience = QUICK.min(self.deadline);
        let pressure = Pressure::now();
        let mut measured = self.measure(&steps, signature, patience, RUNS, &interrupted).await?;
        let of_time = OF_TIME.contains(&signature.requirement.as_str());
        if of_time && (measured.rate.failed == 0 || !measured.rate.is_certain() && pressure.was_high_since()) {
            return Ok(None);
        }
        if measured.rate.failed == 0 {
            patience = self.deadline;
            measured = self.measure(&steps, signature, patience, LAST_RUNS, &interrupted).await?;
        }
        if measured.rate.failed == 0 {
            // It was seen once; that it cannot be repeated at will makes it no better.
            let rate = Rate { failed: 1, of: measured.rate.of + 1 };
            return Ok(self.failure(steps, found.steps.len(), ran, signature, rate, true));
        }
        let began = Instant::now();
        let (failures, runs) = measured.rate.asks();
        let mut trail = {
            let trouble = std::cell::RefCell::new(None);
            let shows = async |steps: &[Step]| match self.shows(steps, signature, patience, failures, runs).await {
                Ok(shown) => shown,
                Err(error) => {
                    trouble.borrow_mut().get_or_insert(error);
                    false
                }
            };
            let enough = || began.elapsed() >= if (self.hurried)() { self.shrink_for.min(HURRIED) } else { self.shrink_for };
            let over = || enough() || interrupted() || trouble.borrow().is_some();
            let trail = shrink(steps, self.palette, shows, over).await;
            if let Some(error) = trouble.into_inner() {
                return Err(error);
            }
            trail
        };
        // The label is of what is handed over, with the patience of a whole run. What shows only when hurried, or much more
        // seldom than what was found, is given back for something larger that is as bad: at the worst the case as it was found.
        let (mut kept, mut last) = (trail.remove(0), measured);
        let as_found = last.rate;
        while let Some(smaller) = trail.pop() {
            let again = self.measure(&smaller, signature, self.deadline, RUNS, &|| false).await?;
            if again.rate.is_nearly_as_bad_as(as_found) {
                (kept, last) = (smaller, again);
                break;
            }
            trail.truncate(trail.len().div_ceil(2));
        }
        let rate = last.rate;
        Ok(self.failure(kept, found.steps.len(), last.failed.unwrap_or(ran), signature, rate, false))
    }

    fn failure(
        &self,
        steps: Vec<Step>,
        found_with: usize,
        ran: Ran,
        signature: &Signature,
        rate: Rate,
        never_alone: bool,
    ) -> Option<Failure> {
        let violations = ran.violations();
        let violation = violations.iter().find(|(shown, _)| shown == signature).map(|(_, violation)| (*violation).clone())?;
        let about = About {
            streamspec_failure: About::VERSION,
            signature: signature.clone(),
            says: violation.says.clone(),
            expected: violation.expected.clone(),
            seen: violation.seen.clone(),
            rate,
            never_alone,
            also: violations.into_iter().map(|(shown, _)| shown).filter(|shown| shown != signature).collect(),
            profile: self.palette.profile().name.clone(),
            seed: self.seed.to_owned(),
        };
        Some(Failure {
            scenario: scenario(signature, steps),
            history: ran.history,
            violation,
            about,
            found_with,
            after_cases: 0,
            after: Duration::ZERO,
        })
    }

    async fn measure(
        &self,
        steps: &[Step],
        signature: &Signature,
        deadline: Duration,
        runs: u32,
        interrupted: &impl Fn() -> bool,
    ) -> Result<Measured, ServerError> {
        let scenario = scenario(signature, steps.to_vec());
        let one = |_| self.lab.run(&scenario, Company::Alone, deadline);
        let mut all = stream::iter(0..runs).map(one).buffered(AT_ONCE);
        let mut measured = Measured { rate: Rate::default(), failed: None };
        while let Some(ran) = all.next().await {
            let ran = ran?;
            let failed = ran.shows(signature);
            measured.rate.count(failed);
            if failed {
                measured.failed = Some(ran);
            }
            if interrupted() {
                break;
            }
        }
        Ok(measured)
    }

    /// True when `steps` fail so many times within so many runs.
    async fn shows(
        &self,
        steps: &[Step],
        signature: &Signature,
        deadline: Duration,
        failures: u32,
        runs: u32,
    ) -> Result<bool, ServerError> {
        let scenario = scenario(signature, steps.to_vec());
        let mut failed = 0;
        for run in 0..runs {
            failed += u32::from(self.lab.run(&scenario, Company::Alone, deadline).await?.shows(signature));
            if failed >= failures {
                return Ok(true);
            }
            if failed + (runs - run - 1) < failures {
                return Ok(false);
            }
        }
        Ok(false)
    }
}
