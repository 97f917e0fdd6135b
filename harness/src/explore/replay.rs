//! Replaying a failure: is it repaired?

use std::sync::Arc;
use std::time::Duration;

use super::failure::About;
use super::lab::{Company, Floor, Lab, Ran, Signature};
use super::rate::Rate;
use crate::contract::Profile;
use crate::run::Abort;
use crate::run::suite::{StopSign, Subject};
use crate::scenario::{Capabilities, Scenario, applicable, at, places};
use crate::world::live::ServerError;

/// How often a failure that always showed is run.
const RUNS: u32 = 3;

/// What became of a failure.
#[derive(Debug)]
pub enum Answer {
    /// What was violated held in every run.
    Fixed {
        /// How many runs.
        runs: u32,
        /// How often it was judged in them.
        judged: u64,
    },
    /// It is violated, or something else is.
    StillFails {
        /// How often.
        rate: Rate,
        /// What is violated now.
        now: Vec<Signature>,
        /// A run that shows it.
        ran: Box<Ran>,
    },
    /// It cannot be told.
    Cannot(String),
}

/// What to replay on what.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The profile.
    pub profile: Arc<Profile>,
    /// The implementation.
    pub subject: Subject,
    /// What may be done to it.
    pub capabilities: Capabilities,
    /// How often; as often as the failure's own rate asks for, if not given.
    pub repeat: Option<u32>,
    /// How long a wait may take.
    pub deadline: Duration,
    /// The seed of names.
    pub seed: u64,
}

/// Runs each scenario on the target and says what became of the failure that `about` describes.
///
/// # Errors
/// When there is no server to be had.
pub fn replay(
    plan: &Replay,
    scenarios: Vec<(Scenario, Option<About>)>,
    stop: &StopSign,
    mut each: impl FnMut(&Scenario, Answer),
) -> Result<(), ServerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| ServerError::Own(format!("cannot start a worker: {e}")))?;
    runtime.block_on(async {
        let lab = Lab::open(Arc::clone(&plan.profile), plan.subject.clone(), plan.seed, 1, Floor::default()).await?;
        for (scenario, about) in scenarios {
            if stop.is_raised() {
                break;
            }
            let answer = one(plan, &lab, &scenario, about.as_ref(), stop).await?;
            each(&scenario, answer);
        }
        lab.close().await;
        Ok(())
    })
}

async fn one(plan: &Replay, lab: &Lab, scenario: &Scenario, about: Option<&About>, stop: &StopSign) -> Result<Answer, ServerError> {
    if let Err(why) = applicable(scenario, &plan.profile, &plan.capabilities) {
        return Ok(Answer::Cannot(why));
    }
    let all = places(scenario).map_or_else(|| vec![0], |sweep| sweep.places);
    // A failure that shows one time in ten is not repaired because it did not show three times.
    let runs = plan.repeat.unwrap_or_else(|| about.map_or(RUNS, |about| about.rate.runs_to_believe_it_gone().max(RUNS)));
    let wanted: Vec<&str> = match about {
        Some(about) => vec![&about.signature.requirement],
        None => scenario.judges.iter().map(String::as_str).collect(),
    };
    let (mut rate, mut judged, mut failed) = (Rate::default(), 0, None);
    for run in 0..runs {
        for place in &all {
            if stop.is_raised() {
                return Ok(Answer::Cannot("interrupted".to_owned()));
            }
            let ran = lab.run(&at(scenario, *place), Company::Alone, plan.deadline).await?;
            match &ran.aborted {
                Some(Abort::CouldNot(why)) if ran.violations().is_empty() => {
                    return Ok(Answer::Cannot(format!("run {} did not reach its end: {why}", run + 1)));
                }
                Some(_) | None => {}
            }
            judged += wanted.iter().map(|id| ran.judged(id)).sum::<u64>();
            let violated = !ran.violations().is_empty();
            rate.count(violated);
            if violated {
                failed = Some(ran);
            }
        }
    }
    Ok(match failed {
        Some(ran) => {
            let now = ran.violations().into_iter().map(|(signature, _)| signature).collect();
            Answer::StillFails { rate, now, ran: Box::new(ran) }
        }
        None if judged == 0 && !wanted.is_empty() => {
            Answer::Cannot(format!("{} was judged in none of {} runs", wanted.join(", "), rate.of))
        }
        None => Answer::Fixed { runs: rate.of, judged },
    })
}
