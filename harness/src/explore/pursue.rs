//! From a case that failed to a failure worth reading: reproduced alone, shrunk, and labelled with how often it shows.
//!
//! Most of the time goes into waiting, for what never comes or for what comes late. So cases that wait are run many side by
//! side, and those that take a processor few.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::failure::{About, Failure, scenario};
use super::lab::{Company, Lab, Ran, Signature};
use super::measured::{AT_ONCE, Measured, WAITED, WAITING_AT_ONCE, at_once};
use super::mend::is_heavy;
use super::palette::Palette;
use super::pressure::Pressure;
use super::rate::Rate;
use super::shrink::{Shrunk, around, faults, settled, shrink};
use crate::scenario::{Scenario, Step};
use crate::world::live::ServerError;

/// How often a failure is run for its label.
const RUNS: u32 = 10;
/// How often it is run before it is believed not to show alone.
const LAST_RUNS: u32 = 20;
/// Runs of so long are as few as can be: a handful to reproduce what fails always, and one to take a candidate for it where it
/// waits, for the label is taken at the end.
const SLOW: Duration = Duration::from_secs(1);
const SLOW_RUNS: usize = 3;
/// How long a wait may take while a failure is shrunk, where it shows so as well: most failures are waits in vain.
const QUICK: Duration = Duration::from_millis(700);

/// How long shrinking may take once somebody waits for its end.
const HURRIED: Duration = Duration::from_secs(10);
/// The part of the time that may go into finding something that shows more often.
const FOR_AROUND: u32 = 3;
/// No more than this part of it is kept for the label.
const FOR_LABEL: u32 = 3;

/// Requirements that a busy machine alone can make a case break.
const OF_TIME: &[&str] = &["LIVE-1", "LIVE-2", "LIVE-4", "WIRE-5", "FANOUT-3", "END-6"];

/// What is pursued, and how far.
pub(crate) struct Pursuit<'l> {
    pub(crate) lab: &'l Lab,
    pub(crate) palette: &'l Palette,
    /// How long a wait may take.
    pub(crate) deadline: Duration,
    /// How long it may take altogether, from the first run to the last.
    pub(crate) shrink_for: Duration,
    /// True once the campaign's time is over, and a person waits for the end of it.
    pub(crate) hurried: &'l dyn Fn() -> bool,
    /// True for what is known to fail, or was told of already.
    pub(crate) known: &'l dyn Fn(&Signature) -> bool,
    /// The campaign's seed, in words.
    pub(crate) seed: &'l str,
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
        let began = Instant::now();
        let mut signature = signature.clone();
        let mut steps = found.steps.clone();
        let mut of_time = is_of_time(&signature);
        let mut patience = self.patience(of_time);
        let pressure = Pressure::now();
        // Runs that crowd each other out would show lateness of their own: what is a matter of time is reproduced beside few, and
        // by fewer runs than all only where processors were surely not short.
        let width = if of_time { AT_ONCE } else { at_once(&steps, ran.elapsed) };
        let reproduced = |measured: &Measured| {
            let slow = measured.runs.len() >= SLOW_RUNS && measured.runs.iter().all(|ran| ran.elapsed >= SLOW);
            interrupted() || slow && measured.rate(&signature).is_certain() && (!of_time || pressure.was_low_since())
        };
        let mut measured = self.measure(&steps, &signature, (patience, RUNS, width), reproduced).await?;
        // Another face of it says more about the server than one that comes and goes, unless it is only late.
        if let Some(surer) = measured.surer(&signature, |other| is_of_time(other) || (self.known)(other)) {
            of_time = false;
            signature = surer;
        }
        let mut rate = measured.rate(&signature);
        if of_time && (rate.failed == 0 || !rate.is_certain() && pressure.was_high_since()) {
            return Ok(None);
        }
        if rate.failed == 0 && patience < self.deadline {
            patience = self.deadline;
            measured = self.measure(&steps, &signature, (patience, LAST_RUNS, width), |_| interrupted()).await?;
            rate = measured.rate(&signature);
        }
        let time = || if (self.hurried)() { self.shrink_for.min(HURRIED) } else { self.shrink_for };
        if !rate.is_nearly_certain() {
            let over = || began.elapsed() >= time() / FOR_AROUND || interrupted();
            if let Some((small, again)) = self.surest_around(&steps, &signature, rate, &over).await? {
                (rate, steps, measured) = (again.rate(&signature), small, again);
                patience = self.patience(of_time);
            }
        }
        if rate.failed == 0 {
            // It was seen once; that it cannot be repeated at will makes it no better.
            let rate = Rate { failed: 1, of: rate.of + 1 };
            let shown = Shown { steps, ran, rate, never_alone: true, gave_up: false };
            return Ok(self.failure(found, &signature, shown, began));
        }
        // Whoever takes much longer beside others of its kind did not wait for the server, but for a processor.
        let crowded = measured.longest() > 2 * ran.elapsed + WAITED || of_time && !pressure.was_low_since();
        let width = if crowded { AT_ONCE } else { at_once(&steps, measured.longest()) };
        // What is left of the time must do for the label.
        let rounds = RUNS.div_ceil(u32::try_from(width).unwrap_or(RUNS));
        let label = ((measured.longest() + self.deadline.saturating_sub(patience)) * rounds).min(self.shrink_for / FOR_LABEL);
        if of_time && rate.is_nearly_certain() {
            patience = self.least_patience(&steps, &signature).await?;
        }
        // What waits in vain does so every time; what is busy for long may do it now and then.
        let waits_long = (of_time || !is_heavy(&steps)) && measured.longest() >= SLOW;
        let asks = if rate.is_certain() && waits_long { (1, 1) } else { rate.asks() };
        let over = || began.elapsed() + label >= time() || interrupted();
        let Shrunk { trail, gave_up } = self.shrunk(steps, &signature, (patience, asks, width), &over).await?;
        let (steps, labelled) = self.labelled(trail, measured, (&signature, rate), width, over).await?;
        let shown =
            Shown { steps, rate: labelled.rate(&signature), ran: labelled.failed(&signature).unwrap_or(ran), never_alone: false, gave_up };
        Ok(self.failure(found, &signature, shown, began))
    }

    async fn shrunk(
        &self,
        steps: Vec<Step>,
        signature: &Signature,
        (patience, asks, width): (Duration, (u32, u32), usize),
        over: impl Fn() -> bool,
    ) -> Result<Shrunk, ServerError> {
        let trouble = RefCell::new(None);
        let shows = async |steps: &[Step]| match self.shows(steps, signature, patience, asks).await {
            Ok(shown) => shown,
            Err(error) => {
                trouble.borrow_mut().get_or_insert(error);
                false
            }
        };
        let over = || over() || trouble.borrow().is_some();
        let shrunk = shrink(steps, self.palette, width, shows, over).await;
        trouble.into_inner().map_or(Ok(shrunk), Err)
    }

    /// The smallest of the trail that is worth handing over, with the runs of its label.
    ///
    /// The label is of what is handed over, with the patience of a whole run. Where the smallest has become a race, readers that wait
    /// for their answers may end it, which is worth a step each. What shows only when hurried, or much more seldom
    /// than what was found, is given back for the next larger that is as bad, which is looked for by halves: at the worst the case
    /// as it was found, which was `measured`. Once there is no more time, what was found so far is taken.
    async fn labelled(
        &self,
        mut trail: Vec<Vec<Step>>,
        measured: Measured,
        (signature, rate): (&Signature, Rate),
        width: usize,
        over: impl Fn() -> bool,
    ) -> Result<(Vec<Step>, Measured), ServerError> {
        let label = |steps: Vec<Step>, runs| async move { self.measure(&steps, signature, (self.deadline, runs, width), |_| false).await };
        let (mut good, mut bad, mut next, mut kept) = (0, trail.len(), trail.len() - 1, measured);
        while next > good {
            let again = label(trail[next].clone(), RUNS).await?;
            if rate.is_nearly_certain() && !again.rate(signature).is_nearly_certain() && bad == trail.len() {
                for sure in settled(&trail[next], self.palette).into_iter().filter(|sure| sure.len() < trail[0].len()) {
                    let measured = label(sure.clone(), RUNS).await?;
                    if measured.rate(signature).is_nearly_certain() {
                        return Ok((sure, measured));
                    }
                }
            }
            if again.rate(signature).is_nearly_as_bad_as(rate) {
                (good, kept) = (next, again);
            } else {
                bad = next;
            }
            if good > 0 && over() {
                break;
            }
            next = good + (bad - good) / 2;
        }
        let steps = trail.swap_remove(good);
        // Larger numbers in the same steps may show every time what these show now and then.
        let alike = |larger: &&Vec<Step>| larger.len() == steps.len() && faults(larger) <= faults(&steps);
        if rate.is_nearly_certain()
            && !kept.rate(signature).is_nearly_certain()
            && let Some(larger) = trail.iter().take(good).find(alike)
        {
            let surer = label(larger.clone(), RUNS).await?;
            if surer.rate(signature).is_worse_than(kept.rate(signature)) {
                return Ok((larger.clone(), surer));
            }
        }
        // What is slow was reproduced by less than that.
        let missing = RUNS.saturating_sub(kept.rate(signature).of);
        kept.runs.extend(label(steps.clone(), missing).await?.runs);
        Ok((steps, kept))
    }

    fn failure(&self, found: &Scenario, signature: &Signature, shown: Shown, began: Instant) -> Option<Failure> {
        let Shown { steps, ran, rate, never_alone, gave_up } = shown;
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
            gave_up,
            also: violations.into_iter().map(|(shown, _)| shown).filter(|shown| shown != signature).collect(),
            profile: self.palette.profile().name.clone(),
            seed: self.seed.to_owned(),
        };
        Some(Failure {
            scenario: scenario(signature, steps),
            history: ran.history,
            violation,
            about,
            found_with: found.steps.len(),
            after_cases: 0,
            after: Duration::ZERO,
            shrunk_in: began.elapsed(),
        })
    }

    /// How long a wait may take while runs are many.
    fn patience(&self, of_time: bool) -> Duration {
        // Who waits less than a bound cannot see that it was exceeded.
        if of_time { self.deadline } else { QUICK.min(self.deadline) }
    }

    /// The shortest wait with which something late still shows as late: most of what is late never comes at all.
    async fn least_patience(&self, steps: &[Step], signature: &Signature) -> Result<Duration, ServerError> {
        let bound = Duration::from_millis(self.palette.profile().contract.liveness.delivery_ms);
        let shorter = [bound * 5 / 8, bound * 9 / 8].map(|patience| patience.min(self.deadline));
        let runs = shorter.map(|patience| self.measure(steps, signature, (patience, 2, 2), |_| false));
        for (patience, measured) in shorter.into_iter().zip(futures_util::future::try_join_all(runs).await?) {
            if measured.rate(signature).is_certain() {
                return Ok(patience);
            }
        }
        Ok(self.deadline)
    }

    /// Something small around `steps` that shows more often than they do, which is at `rate`: what shows nearly always ends
    /// the search, otherwise it is the surest that was found.
    async fn surest_around(
        &self,
        steps: &[Step],
        signature: &Signature,
        rate: Rate,
        over: &impl Fn() -> bool,
    ) -> Result<Option<(Vec<Step>, Measured)>, ServerError> {
        let patience = self.patience(is_of_time(signature));
        let surest: RefCell<Option<(Vec<Step>, Measured)>> = RefCell::new(None);
        let best = || surest.borrow().as_ref().map_or(rate, |(_, measured)| measured.rate(signature));
        let enough = || over() || best().is_nearly_certain();
        let one = async |made: Vec<Step>| {
            if enough() {
                return Ok(());
            }
            let ran = self.lab.run(&scenario(signature, made.clone()), Company::Alone, patience).await?;
            if ran.shows(signature) {
                let again = self.measure(&made, signature, (patience, RUNS, AT_ONCE), |_| enough()).await?;
                let whole = again.runs.len() == RUNS as usize;
                if whole && again.rate(signature).is_worse_than(best()) {
                    surest.replace(Some((made, again)));
                }
            }
            Ok::<_, ServerError>(())
        };
        let width = if is_of_time(signature) { AT_ONCE } else { WAITING_AT_ONCE };
        let mut tried = stream::iter(around(steps, self.palette)).map(one).buffer_unordered(width);
        while let Some(answer) = tried.next().await {
            answer?;
            if enough() {
                break;
            }
        }
        drop(tried);
        Ok(surest.into_inner())
    }

    /// Runs a scenario so often, so many at once.
    async fn measure(
        &self,
        steps: &[Step],
        signature: &Signature,
        (deadline, runs, at_once): (Duration, u32, usize),
        enough: impl Fn(&Measured) -> bool,
    ) -> Result<Measured, ServerError> {
        let scenario = scenario(signature, steps.to_vec());
        let one = |_| self.lab.run(&scenario, Company::Alone, deadline);
        let mut all = stream::iter(0..runs).map(one).buffered(at_once);
        let mut measured = Measured::default();
        while let Some(ran) = all.next().await {
            measured.runs.push(ran?);
            if enough(&measured) {
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
        (failures, runs): (u32, u32),
    ) -> Result<bool, ServerError> {
        let scenario = scenario(signature, steps.to_vec());
        let failed = Cell::new(0);
        let one = async || {
            let shown = self.lab.run(&scenario, Company::Alone, deadline).await?.shows(signature);
            failed.set(failed.get() + u32::from(shown));
            Ok::<_, ServerError>(())
        };
        // The first run tells most candidates from what fails always; what passes it is run on at once.
        one().await?;
        if failures == runs && failed.get() == 1 {
            futures_util::future::try_join_all((1..runs).map(|_| one())).await?;
            return Ok(failed.get() == runs);
        }
        for run in 1..runs {
            if failed.get() >= failures || failed.get() + (runs - run) < failures {
                break;
            }
            one().await?;
        }
        Ok(failed.get() >= failures)
    }
}

/// What is handed over.
struct Shown {
    steps: Vec<Step>,
    /// A run of it that failed.
    ran: Ran,
    rate: Rate,
    never_alone: bool,
    gave_up: bool,
}

fn is_of_time(signature: &Signature) -> bool {
    OF_TIME.contains(&signature.requirement.as_str())
}
