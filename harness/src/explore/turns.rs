//! Runs of scenarios, each alone: how long a wait in them may take, and how many go on at once.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::failure::scenario;
use super::lab::{Ran, Signature};
use super::measured::Measured;
use super::rate::Rate;
use crate::scenario::{Scenario, Step};
use crate::world::live::ServerError;

/// Whatever is asked for at the same time, no more than `width` runs go on at once.
pub(super) struct Turns<'r, R> {
    run: &'r R,
    patience: Duration,
    width: usize,
    free: Rc<Semaphore>,
}

impl<'r, R: AsyncFn(&Scenario, Duration) -> Result<Ran, ServerError>> Turns<'r, R> {
    pub(super) fn new(run: &'r R, patience: Duration, width: usize) -> Self {
        Turns { run, patience, width, free: Rc::new(Semaphore::new(width)) }
    }

    /// The same, for runs in which a wait may take so long: they count among the others.
    pub(super) fn with(&self, patience: Duration) -> Self {
        Turns { run: self.run, patience, width: self.width, free: Rc::clone(&self.free) }
    }

    pub(super) async fn one(&self, scenario: &Scenario) -> Result<Ran, ServerError> {
        let _turn = self.free.acquire().await.expect("the semaphore is never closed");
        (self.run)(scenario, self.patience).await
    }

    /// Runs a scenario so often, round by round; after a round that is `enough` there is no other. No run is broken off.
    pub(super) async fn measure(
        &self,
        steps: &[Step],
        signature: &Signature,
        runs: u32,
        enough: impl Fn(&Measured) -> bool,
    ) -> Result<Measured, ServerError> {
        let scenario = scenario(signature, steps.to_vec());
        let mut measured = Measured { patience: self.patience, runs: Vec::new() };
        let runs = runs as usize;
        while measured.runs.len() < runs && (measured.runs.is_empty() || !enough(&measured)) {
            let round = self.width.min(runs - measured.runs.len());
            measured.runs.extend(try_join_all((0..round).map(|_| self.one(&scenario))).await?);
        }
        Ok(measured)
    }

    /// True when `steps` fail so many times within so many runs.
    pub(super) async fn shows(&self, steps: &[Step], signature: &Signature, asks: (u32, u32)) -> Result<bool, ServerError> {
        let (failures, runs) = asks;
        let scenario = scenario(signature, steps.to_vec());
        let seen = Cell::new(Rate::default());
        let one = async || {
            let shown = self.one(&scenario).await?.shows(signature);
            let mut rate = seen.get();
            rate.count(shown);
            seen.set(rate);
            Ok::<_, ServerError>(())
        };
        // The first run tells most candidates from what fails always; what passes it is run on at once.
        one().await?;
        if failures == runs && seen.get().failed == 1 {
            try_join_all((1..runs).map(|_| one())).await?;
        }
        while seen.get().failed < failures && seen.get().failed + (runs - seen.get().of) >= failures {
            one().await?;
        }
        Ok(seen.get().failed >= failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::measured::tests::{faces, ran, signature};
    use crate::scenario::Publish;

    /// Runs of a tenth of a second, all of which fail.
    #[derive(Default)]
    struct Seen {
        now: Cell<usize>,
        most: Cell<usize>,
        begun: Cell<usize>,
        ended: Cell<usize>,
    }

    impl Seen {
        async fn run(&self) -> Result<Ran, ServerError> {
            self.begun.set(self.begun.get() + 1);
            self.now.set(self.now.get() + 1);
            self.most.set(self.most.get().max(self.now.get()));
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.now.set(self.now.get() - 1);
            self.ended.set(self.ended.get() + 1);
            Ok(ran(&faces()))
        }
    }

    fn steps() -> Vec<Step> {
        vec![Step::Publish(Publish::plain("s", 1))]
    }

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    #[test]
    fn widths_do_not_multiply() {
        let (seen, of) = (Seen::default(), signature(faces()[0]));
        let run = async |_: &Scenario, _: Duration| seen.run().await;
        let turns = Turns::new(&run, Duration::ZERO, 4);
        let patient = turns.with(Duration::from_secs(1));
        let steps = steps();
        paused().block_on(async {
            let some = (0..3).map(|_| turns.measure(&steps, &of, 10, |_| false));
            let others = (0..3).map(|_| patient.shows(&steps, &of, (3, 3)));
            let (measured, shown) = futures_util::join!(try_join_all(some), try_join_all(others));
            assert!(measured.unwrap().iter().all(|measured| measured.runs.len() == 10) && shown.unwrap().iter().all(|shown| *shown));
        });
        assert_eq!((seen.most.get(), seen.begun.get()), (4, 39));
    }

    #[test]
    fn nothing_that_was_begun_is_thrown_away_when_it_is_enough() {
        for (width, expected) in [(10, 10), (5, 5), (3, 3), (2, 4)] {
            let (seen, of) = (Seen::default(), signature(faces()[0]));
            let run = async |_: &Scenario, _: Duration| seen.run().await;
            let turns = Turns::new(&run, Duration::ZERO, width);
            let measured = paused().block_on(turns.measure(&steps(), &of, 10, |measured| measured.runs.len() >= 3)).unwrap();
            assert_eq!((measured.runs.len(), seen.begun.get(), seen.ended.get()), (expected, expected, expected), "{width} at once");
        }
    }

    #[test]
    fn what_is_asked_of_a_candidate_is_not_asked_once_it_cannot_be_met() {
        let [of, _] = faces();
        for (fails, asks, shows, runs) in
            [(0b111, (3, 3), true, 3), (0b110, (3, 3), false, 1), (0b101, (2, 3), true, 3), (0, (2, 4), false, 3)]
        {
            let begun = Cell::new(0);
            let run = async |_: &Scenario, _: Duration| {
                begun.set(begun.get() + 1);
                Ok(if fails >> (begun.get() - 1) & 1 == 1 { ran(&[of]) } else { ran(&[]) })
            };
            let turns = Turns::new(&run, Duration::ZERO, 3);
            assert_eq!(paused().block_on(turns.shows(&steps(), &signature(of), asks)).unwrap(), shows, "{asks:?}");
            assert_eq!(begun.get(), runs, "{asks:?}");
        }
    }
}
