//! Many trials, side by side.

use std::time::Duration;

use futures_util::StreamExt;

use super::case::Case;
use super::run::{Ran, Trial, run};
use crate::run::suite::StopSign;

/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Runs all trials, `jobs` at a time, and hands over each as it ends. When `stop` is raised, by whom ever, what still runs
/// is given up and its clients are killed.
///
/// # Errors
/// When no runtime can be started.
pub fn run_trials(trials: Vec<Trial>, jobs: usize, stop: &StopSign, mut each: impl FnMut(Case, Ran)) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let one = |trial: Trial| async {
            let case = trial.case.clone();
            (case, run(trial).await)
        };
        let mut running = std::pin::pin!(futures_util::stream::iter(trials).map(one).buffer_unordered(jobs.max(1)));
        while !stop.is_raised() {
            tokio::select! {
                done = running.next() => match done {
                    Some((case, ran)) => each(case, ran),
                    None => break,
                },
                // An interrupt is looked for, not waited for.
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
    Ok(())
}
