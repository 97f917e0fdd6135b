//! What is verified, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::contract::{Baseline, CATALOGUE, Known, KnownFailure, Profile, RequirementSet, names_a_host, nearest, requirement};
use crate::report::{Heading, Rerun, Tally};
use crate::run::binding::unset;
use crate::run::suite::{Lateness, StopSign, Subject, Suite, SuiteError, Told, cases, run_all};
use crate::scenario::{Capabilities, Scenario};

use super::selection::{Selection, select, unknown};
use super::{Report, VerifyError};

/// Readers that one core can be waited for with: they wait more than they compute.
const JOBS_A_CORE: usize = 4;

/// A server to verify, and what is asked of it.
///
/// Nothing is looked at before [`verify`](crate::verify()) runs, which reports what is wrong with any of it.
///
/// ```
/// use std::time::Duration;
/// use streamspec::Target;
///
/// let target = Target::at("http://127.0.0.1:8080")
///     .profile("sse")
///     .only("SEAM")
///     .only("resume-after-cut")
///     .known("GAP-1", "issue 123: evicted cursors replay from the oldest")
///     .within(Duration::from_secs(60));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a target does nothing until it is verified"]
pub struct Target {
    url: String,
    profile: Protocol,
    scenarios: Vec<Scenario>,
    only: Vec<String>,
    requirements: Option<String>,
    known: BTreeMap<String, Known>,
    deadline: Option<Duration>,
    within: Option<Duration>,
    seed: Option<u64>,
    jobs: Option<usize>,
    repeat: u32,
    sweep_limit: Option<u32>,
}

/// Where the profile comes from.
#[derive(Clone, Debug)]
enum Protocol {
    Named(String),
    Toml(String),
    Read(Box<Profile>),
}

impl Target {
    /// A server that runs at this URL (`http://127.0.0.1:8080`). Its protocol is that of the built-in profile `sse`, unless
    /// another profile is named.
    pub fn at(url: impl Into<String>) -> Target {
        Target {
            url: url.into(),
            profile: Protocol::Named("sse".to_owned()),
            scenarios: Vec::new(),
            only: Vec::new(),
            requirements: None,
            known: BTreeMap::new(),
            deadline: None,
            within: None,
            seed: None,
            jobs: None,
            repeat: 1,
            sweep_limit: None,
        }
    }

    /// The protocol: the name of a built-in profile, or the path of a file.
    pub fn profile(mut self, name_or_path: impl Into<String>) -> Target {
        self.profile = Protocol::Named(name_or_path.into());
        self
    }

    /// The protocol: a profile as TOML.
    pub fn profile_toml(mut self, text: impl Into<String>) -> Target {
        self.profile = Protocol::Toml(text.into());
        self
    }

    /// The protocol: a profile that was read already.
    pub fn profile_read(mut self, profile: Profile) -> Target {
        self.profile = Protocol::Read(Box::new(profile));
        self
    }

    /// Runs this scenario beside the built-in ones.
    pub fn scenario(mut self, scenario: Scenario) -> Target {
        self.scenarios.push(scenario);
        self
    }

    /// Runs only scenarios of this name, or written for requirements whose id begins so (`SEAM`, `RESUME-1`). May be called
    /// several times: a scenario then needs to fit one of them.
    pub fn only(mut self, scenario_or_requirement: impl Into<String>) -> Target {
        self.only.push(scenario_or_requirement.into());
        self
    }

    /// Lets only the requirements of this frozen set decide (`2026-11`); newer ones are run and reported.
    pub fn requirements(mut self, revision: impl Into<String>) -> Target {
        self.requirements = Some(revision.into());
        self
    }

    /// Says that a requirement is known to fail, and why. It then fails nothing; should it hold one day, the target does not
    /// conform until the line is removed.
    pub fn known(mut self, requirement: impl Into<String>, reason: impl Into<String>) -> Target {
        self.known.insert(requirement.into(), Known::Always(reason.into()));
        self
    }

    /// As [`Target::known`], for what fails in some runs only: it decides nothing, whether it fails or holds.
    pub fn known_sometimes(mut self, requirement: impl Into<String>, reason: impl Into<String>) -> Target {
        self.known.insert(requirement.into(), Known::Described(KnownFailure { reason: reason.into(), sometimes: true }));
        self
    }

    /// How long a scenario waits for anything; without it, twice the delivery bound of the profile.
    pub fn deadline(mut self, deadline: Duration) -> Target {
        self.deadline = Some(deadline);
        self
    }

    /// How long the whole run may take. When the time is over the run stops, and the target does not conform. Without it a run
    /// is bounded by its scenarios alone, each of which is given up after three minutes.
    pub fn within(mut self, limit: Duration) -> Target {
        self.within = Some(limit);
        self
    }

    /// From which choices come; without it, another one in each run.
    pub fn seed(mut self, seed: u64) -> Target {
        self.seed = Some(seed);
        self
    }

    /// How many scenarios run side by side, at least one; without it, four a core.
    pub fn jobs(mut self, jobs: usize) -> Target {
        self.jobs = Some(jobs.max(1));
        self
    }

    /// Runs every case this often, at least once.
    pub fn repeat(mut self, times: u32) -> Target {
        self.repeat = times.max(1);
        self
    }

    /// Runs at most so many places of each sweep, evenly spread.
    pub fn sweep_limit(mut self, places: u32) -> Target {
        self.sweep_limit = Some(places);
        self
    }

    /// Reads what must be read and finds out what is to be run.
    pub(super) fn prepare(self) -> Result<Prepared, VerifyError> {
        if !names_a_host(&self.url) {
            return Err(VerifyError::Usage(format!("`{}` is no URL; write it as http://127.0.0.1:8080", self.url)));
        }
        let profile = match self.profile {
            Protocol::Named(name) => Profile::load(&name)?,
            Protocol::Toml(text) => Profile::parse("profile", &text)?,
            Protocol::Read(profile) => *profile,
        };
        let missing = unset(&profile.binding);
        if !missing.is_empty() {
            return Err(VerifyError::Usage(format!("the profile needs the environment variables {}; set them", missing.join(", "))));
        }
        for id in self.known.keys().filter(|id| requirement(id).is_none()) {
            let near = nearest(id, CATALOGUE.iter().map(|requirement| requirement.id));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(VerifyError::Usage(format!("there is no requirement `{id}` that could be known to fail{hint}")));
        }
        let requirements = self.requirements.as_deref().map(RequirementSet::named).transpose().map_err(VerifyError::Usage)?;
        let mut all = Scenario::built_in(&profile.name)?;
        all.extend(self.scenarios);
        for scenario in &mut all {
            scenario.sweep_limit = [scenario.sweep_limit, self.sweep_limit].into_iter().flatten().min();
        }
        if let Some(what) = unknown(&self.only, &all, "`streamspec list scenarios` shows what there is") {
            return Err(VerifyError::Usage(what));
        }
        let Selection { scenarios, tally } = select(all, &self.only, &profile, &Capabilities::of_url(&self.url));
        let seed = self.seed.unwrap_or_else(rand::random);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let heading = Heading {
            profile: profile.name.clone(),
            target: self.url.clone(),
            seed: Some(seed),
            rerun: Rerun::Test,
            tested: "server",
            baseline: Baseline::of_target(&self.known),
            requirements,
        };
        let suite = Suite {
            deadline: self.deadline.unwrap_or(Duration::from_millis(profile.contract.liveness.delivery_ms) * 2),
            profile: Arc::new(profile),
            subject: Subject::Url { url: self.url, provider: None },
            scenarios,
            seed,
            jobs: self.jobs.unwrap_or(cores * JOBS_A_CORE),
            repeat: self.repeat,
            fresh: false,
            transcribed: BTreeSet::new(),
            lateness: Lateness::AskedAgain,
        };
        Ok(Prepared { suite, heading, tally, within: self.within })
    }
}

/// Everything that a run needs.
pub(super) struct Prepared {
    suite: Suite,
    heading: Heading,
    tally: Tally,
    within: Option<Duration>,
}

impl Prepared {
    /// Runs it on threads of its own; returns when they are gone.
    pub(super) fn run(mut self, stop: &StopSign) -> Result<Report, VerifyError> {
        let began = Instant::now();
        let late = AtomicBool::new(false);
        let ran = std::thread::scope(|scope| {
            let (over, waiting) = mpsc::channel::<()>();
            if let Some(limit) = self.within {
                let late = &late;
                scope.spawn(move || {
                    if waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                        late.store(true, Ordering::Relaxed);
                        stop.raise();
                    }
                });
            }
            let tally = &mut self.tally;
            let mut ran = run_all(std::slice::from_ref(&self.suite), self.suite.jobs, stop, |_, told| {
                if let Told::Finished(case) = told {
                    tally.add(&case);
                }
            });
            drop(over);
            ran.pop().expect("one for each suite")
        });
        match ran {
            Ok(()) => {}
            Err(SuiteError::Server(error)) => return Err(VerifyError::Unreachable(error.to_string())),
            Err(SuiteError::Bug(why)) => return Err(VerifyError::Defect(why)),
        }
        self.tally.cut_short = stop.is_raised();
        let limit = self.within.filter(|_| late.load(Ordering::Relaxed));
        let planned = cases(&self.suite) as u64;
        Ok(Report { heading: self.heading, tally: self.tally, elapsed: began.elapsed(), planned, limit })
    }
}
