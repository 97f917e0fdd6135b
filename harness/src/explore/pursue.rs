//! From a case that failed to a failure worth reading: reproduced alone, shrunk, and labelled with how often it shows.
//!
//! Most of the time goes into waiting, for what never comes or for what comes late. So cases that wait are run many side by
//! side, and those that take a processor few; and waits are short until the end. What shows under short waits may be no more
//! than a server that takes its time, so nothing is handed over that was not seen with the full deadline.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::failure::{About, Failure, scenario};
use super::lab::{Ran, Signature};
use super::measured::{AT_ONCE, Measured, WAITED, WAITING_AT_ONCE, width};
use super::mend::is_heavy;
use super::palette::Palette;
use super::pressure::Pressure;
use super::rate::Rate;
use super::shrink::{Shrunk, around, faults, settle, shrink};
use super::turns::Turns;
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

/// How long a pursuit may take once somebody waits for its end.
const HURRIED: Duration = Duration::from_secs(10);
/// No more than this part of the time goes into reproducing, and no more into finding something that shows more often. No more
/// is kept for the label, and the label may take no more beyond the time.
const PART: u32 = 3;

/// Requirements that a busy machine alone can make a case break.
const OF_TIME: &[&str] = &["LIVE-1", "LIVE-2", "LIVE-4", "WIRE-5", "FANOUT-3", "END-6"];

/// How a failure is pursued, and how far.
pub(crate) struct Pursuit<'l, R> {
    /// Runs a scenario alone, in which no wait takes longer than that.
    pub(crate) run: &'l R,
    /// No more runs than these may go on at once.
    pub(crate) most: usize,
    pub(crate) palette: &'l Palette,
    pub(crate) began: Instant,
    /// How long a wait may take.
    pub(crate) deadline: Duration,
    /// How long it may take altogether, but for the label of what the smallest fails too seldom for.
    pub(crate) shrink_for: Duration,
    /// True once the campaign's time is over, and a person waits for the end of it.
    pub(crate) hurried: &'l dyn Fn() -> bool,
    /// True once nothing more is to be begun that can be done without.
    pub(crate) interrupted: &'l dyn Fn() -> bool,
    /// True for what is known to fail, or was told of already.
    pub(crate) known: &'l dyn Fn(&Signature) -> bool,
    /// The campaign's seed, in words.
    pub(crate) seed: &'l str,
}

/// What is pursued, as far as it is known.
struct Suspect {
    signature: Signature,
    /// What it was found in, or what took the place of that.
    steps: Vec<Step>,
    /// Runs of these steps. Of other steps than those it was found in, with the full deadline.
    measured: Measured,
    /// How long a wait may take while candidates are tried: nothing is known to show only when it takes longer.
    patience: Duration,
    /// True when runs of it hindered each other, or nobody knows whether they did.
    crowded: bool,
}

impl Suspect {
    fn rate(&self) -> Rate {
        self.measured.rate(&self.signature)
    }

    fn is_of_time(&self) -> bool {
        is_of_time(&self.signature)
    }

    fn become_of(&mut self, steps: Vec<Step>, measured: Measured) {
        (self.steps, self.measured) = (steps, measured);
    }
}

impl<R: AsyncFn(&Scenario, Duration) -> Result<Ran, ServerError>> Pursuit<'_, R> {
    /// Reproduces and shrinks what `ran` shows of `signature`. `None` when it was late beside other cases and never alone,
    /// or alone sometimes while the machine had too much to do: that is what a busy machine looks like.
    pub(crate) async fn pursue(&self, found: &Scenario, ran: Ran, signature: &Signature) -> Result<Option<Failure>, ServerError> {
        let Some(mut suspect) = self.reproduced(found, &ran, signature).await? else { return Ok(None) };
        if !suspect.rate().is_nearly_certain()
            && let Some((steps, measured)) = self.surest_around(&suspect).await?
        {
            suspect.become_of(steps, measured);
        }
        let gave_up = suspect.rate().failed > 0 && self.make_small(&mut suspect).await?;
        Ok(self.failure(found, ran, suspect, gave_up))
    }

    /// What shows when the case is run alone. `None` for what is of a busy machine.
    async fn reproduced(&self, found: &Scenario, ran: &Ran, signature: &Signature) -> Result<Option<Suspect>, ServerError> {
        let steps = &found.steps;
        let of_time = is_of_time(signature);
        let pressure = Pressure::now();
        // Runs that crowd each other out would show lateness of their own: what is a matter of time is reproduced beside few, and
        // by fewer runs than all only where processors were surely not short.
        let width = if of_time { AT_ONCE } else { width(steps, ran.elapsed) };
        let patience = self.patience(of_time);
        let turns = self.turns(patience, width);
        let patient = turns.with(self.deadline);
        let over = || self.is_over(self.time() / PART);
        let reproduced = |measured: &Measured| {
            let slow = measured.runs.len() >= SLOW_RUNS && measured.runs.iter().all(|ran| ran.elapsed >= SLOW);
            over() || slow && measured.rate(signature).is_certain() && (!of_time || pressure.was_low_since())
        };
        let measured = turns.measure(steps, signature, RUNS, reproduced).await?;
        let mut suspect = Suspect { signature: signature.clone(), steps: steps.clone(), measured, patience, crowded: false };
        // Another face of it says more about the server than one that comes and goes, unless it is only late.
        if let Some(surer) = suspect.measured.surer(signature, |other| is_of_time(other) || (self.known)(other)) {
            if self.is_full(&suspect.measured) || ran.shows(&surer) {
                suspect.signature = surer;
            } else {
                let again = patient.measure(steps, &surer, RUNS, |_| over()).await?;
                if again.rate(&surer).is_nearly_certain() {
                    (suspect.signature, suspect.measured) = (surer, again);
                }
            }
        }
        let rate = suspect.rate();
        if suspect.is_of_time() && (rate.failed == 0 || !rate.is_certain() && pressure.was_high_since()) {
            return Ok(None);
        }
        if rate.failed == 0 && !self.is_full(&suspect.measured) {
            suspect.patience = self.deadline;
            suspect.measured = patient.measure(steps, signature, LAST_RUNS, |_| over()).await?;
        }
        // Whoever takes much longer beside others of its kind did not wait for the server, but for a processor.
        suspect.crowded = suspect.measured.longest() > 2 * ran.elapsed + WAITED || suspect.is_of_time() && !pressure.was_low_since();
        Ok(Some(suspect))
    }

    /// Something small around the steps of `suspect` that shows more often than they do: what shows nearly always ends the
    /// search, otherwise it is the surest that was found. Its runs are with the full deadline.
    async fn surest_around(&self, suspect: &Suspect) -> Result<Option<(Vec<Step>, Measured)>, ServerError> {
        let signature = &suspect.signature;
        let began = Instant::now();
        let width = self.most.min(if suspect.is_of_time() { AT_ONCE } else { WAITING_AT_ONCE });
        let turns = self.turns(suspect.patience, width);
        let patient = turns.with(self.deadline);
        let surest: RefCell<Option<(Vec<Step>, Measured)>> = RefCell::new(None);
        let best = || surest.borrow().as_ref().map_or(suspect.rate(), |(_, measured)| measured.rate(signature));
        let enough = || began.elapsed() >= self.time() / PART || (self.interrupted)() || best().is_nearly_certain();
        let surer = |measured: &Measured| measured.runs.len() == RUNS as usize && measured.rate(signature).is_worse_than(best());
        let one = async |made: Vec<Step>| {
            if enough() || !turns.one(&scenario(signature, made.clone())).await?.shows(signature) {
                return Ok(());
            }
            let mut again = turns.measure(&made, signature, RUNS, |_| enough()).await?;
            if surer(&again) && !self.is_full(&again) {
                again = patient.measure(&made, signature, RUNS, |_| enough()).await?;
            }
            if surer(&again) {
                surest.replace(Some((made, again)));
            }
            Ok::<_, ServerError>(())
        };
        // Once it is enough, those under way come to their end, and the others are not begun.
        stream::iter(around(&suspect.steps, self.palette)).map(one).buffer_unordered(width).try_collect::<()>().await?;
        Ok(surest.into_inner())
    }

    /// Shrinks what shows, and labels it. True when that was ended before everything smaller was tried.
    async fn make_small(&self, suspect: &mut Suspect) -> Result<bool, ServerError> {
        let (of_time, rate, longest) = (suspect.is_of_time(), suspect.rate(), suspect.measured.longest());
        let width = self.most.min(if suspect.crowded { AT_ONCE } else { width(&suspect.steps, longest) });
        if of_time && rate.is_nearly_certain() {
            suspect.patience = self.least_patience(&suspect.steps, &suspect.signature).await?;
        }
        // What waits in vain does so every time; what is busy for long may do it now and then.
        let waits_long = (of_time || !is_heavy(&suspect.steps)) && longest >= SLOW;
        let asks = if rate.is_certain() && waits_long { (1, 1) } else { rate.asks() };
        // What is left of the time must do for the label.
        let rounds = RUNS.div_ceil(u32::try_from(width).unwrap_or(RUNS));
        let label = (longest + self.deadline.saturating_sub(suspect.measured.patience)) * rounds;
        let over = || self.is_over(self.time().saturating_sub(label.min(self.time() / PART)));
        let Shrunk { trail, gave_up } = self.shrunk(suspect, asks, width, &over).await?;
        self.label(suspect, trail, width).await?;
        Ok(gave_up)
    }

    async fn shrunk(&self, suspect: &Suspect, asks: (u32, u32), width: usize, over: impl Fn() -> bool) -> Result<Shrunk, ServerError> {
        let turns = self.turns(suspect.patience, width);
        let trouble = RefCell::new(None);
        let shows = async |steps: &[Step]| match turns.shows(steps, &suspect.signature, asks).await {
            Ok(shown) => shown,
            Err(error) => {
                trouble.borrow_mut().get_or_insert(error);
                false
            }
        };
        let over = || over() || trouble.borrow().is_some();
        let shrunk = shrink(suspect.steps.clone(), self.palette, width, shows, over).await;
        trouble.into_inner().map_or(Ok(shrunk), Err)
    }

    /// Puts the smallest of the trail that is worth handing over in the place of its first, with the runs of its label.
    ///
    /// The label is of what is handed over, with the full deadline. Where the smallest has become a race, readers that wait for
    /// their answers may end it, which is worth a step each. What shows only under short waits, or much more seldom than the
    /// first of the trail, is given back for the next larger that is as bad, which is looked for by halves: at the worst for
    /// the first. Once the label's time is over, the smallest is taken that is known to be worth it.
    async fn label(&self, suspect: &mut Suspect, mut trail: Vec<Vec<Step>>, width: usize) -> Result<(), ServerError> {
        let signature = suspect.signature.clone();
        let over = || self.is_over(self.time() + self.time() / PART);
        let turns = self.turns(self.deadline, width);
        let label = async |steps: &[Step], runs| turns.measure(steps, &signature, runs, |_| over()).await;
        let last = trail.len() - 1;
        let smallest = if last > 0 { Some(label(&trail[last], RUNS).await?) } else { None };
        let smallest_rate = smallest.as_ref().map_or(Rate::default(), |smallest| smallest.rate(&signature));
        if last > 0 && suspect.rate().is_nearly_certain() && !smallest_rate.is_nearly_certain() {
            for sure in settle(&trail[last], self.palette).into_iter().filter(|sure| sure.len() < trail[0].len()) {
                if over() {
                    break;
                }
                let measured = label(&sure, RUNS).await?;
                if measured.rate(&signature).is_nearly_certain() {
                    suspect.become_of(sure, measured);
                    return Ok(());
                }
            }
        }
        let is_worth_it = |rate: Rate, first: Rate| rate.failed > 0 && rate.is_nearly_as_bad_as(first);
        if !is_worth_it(smallest_rate, suspect.rate()) && !self.is_full(&suspect.measured) {
            suspect.measured = label(&trail[0], RUNS).await?;
        }
        let first = suspect.rate();
        let (mut good, mut bad, mut kept) = (0, trail.len(), None);
        if is_worth_it(smallest_rate, first) {
            (good, kept) = (last, smallest);
        } else if first.failed == 0 {
            return Ok(());
        } else if last > 0 {
            bad = last;
        }
        while bad - good > 1 && !over() {
            let next = good + (bad - good) / 2;
            let again = label(&trail[next], RUNS).await?;
            if is_worth_it(again.rate(&signature), first) {
                (good, kept) = (next, Some(again));
            } else {
                bad = next;
            }
        }
        if let Some(measured) = kept {
            suspect.become_of(trail.swap_remove(good), measured);
        }
        // Larger numbers in the same steps may show every time what these show now and then.
        let steps = &suspect.steps;
        let alike = |larger: &&Vec<Step>| larger.len() == steps.len() && faults(larger) <= faults(steps);
        if first.is_nearly_certain()
            && !suspect.rate().is_nearly_certain()
            && !over()
            && let Some(larger) = trail.iter().take(good).find(alike)
        {
            let surer = label(larger, RUNS).await?;
            if surer.rate(&signature).is_worse_than(suspect.rate()) {
                suspect.become_of(larger.clone(), surer);
            }
        }
        // What is slow was reproduced by less than that.
        if !over() {
            let missing = RUNS.saturating_sub(suspect.rate().of);
            suspect.measured.runs.extend(label(&suspect.steps, missing).await?.runs);
        }
        Ok(())
    }

    /// What is handed over: what is left of the case, or the case as it was found and seen once, where nothing shows alone.
    fn failure(&self, found: &Scenario, ran: Ran, suspect: Suspect, gave_up: bool) -> Option<Failure> {
        let rate = suspect.rate();
        let Suspect { signature, steps, measured, .. } = suspect;
        let (steps, ran, rate, never_alone) = match measured.failed(&signature) {
            Some(ran) => (steps, ran, rate, false),
            // That it cannot be repeated at will makes it no better.
            None => (found.steps.clone(), ran, Rate { failed: 1, of: rate.of + 1 }, true),
        };
        let violations = ran.violations();
        let violation = violations.iter().find(|(shown, _)| *shown == signature).map(|(_, violation)| (*violation).clone())?;
        let about = About {
            streamspec_failure: About::VERSION,
            signature: signature.clone(),
            says: violation.says.clone(),
            expected: violation.expected.clone(),
            seen: violation.seen.clone(),
            rate,
            never_alone,
            gave_up: gave_up && !never_alone,
            also: violations.into_iter().map(|(shown, _)| shown).filter(|shown| *shown != signature).collect(),
            profile: self.palette.profile().name.clone(),
            seed: self.seed.to_owned(),
        };
        Some(Failure {
            scenario: scenario(&signature, steps),
            history: ran.history,
            violation,
            about,
            found_with: found.steps.len(),
            after_cases: 0,
            after: Duration::ZERO,
            shrunk_in: self.began.elapsed(),
        })
    }

    fn turns(&self, patience: Duration, width: usize) -> Turns<'_, R> {
        Turns::new(self.run, patience, width.min(self.most).max(1))
    }

    /// True for runs in which waits were as long as they may be.
    fn is_full(&self, measured: &Measured) -> bool {
        measured.patience >= self.deadline
    }

    /// How long it may take altogether.
    fn time(&self) -> Duration {
        if (self.hurried)() { self.shrink_for.min(HURRIED) } else { self.shrink_for }
    }

    /// True once it has taken so long, or is interrupted.
    fn is_over(&self, after: Duration) -> bool {
        self.began.elapsed() >= after || (self.interrupted)()
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
        let turns = &self.turns(self.deadline, AT_ONCE);
        let runs = shorter.map(|patience| async move { turns.with(patience).measure(steps, signature, 2, |_| false).await });
        for (patience, measured) in shorter.into_iter().zip(futures_util::future::try_join_all(runs).await?) {
            if measured.rate(signature).is_certain() {
                return Ok(patience);
            }
        }
        Ok(self.deadline)
    }
}

fn is_of_time(signature: &Signature) -> bool {
    OF_TIME.contains(&signature.requirement.as_str())
}
