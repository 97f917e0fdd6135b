//! What is verified, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::contract::{Baseline, CATALOGUE, Known, KnownFailure, Profile, Ready, RequirementSet, names_a_host, nearest, requirement};
use crate::report::{Heading, Rerun, Tally};
use crate::run::binding::unset;
use crate::run::suite::{Lateness, StopSign, Subject, Suite, SuiteError, Told, cases, run_all};
use crate::scenario::{Capabilities, Scenario};
use crate::world::live::StartSpec;

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
    place: Place,
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

/// Where the server is.
#[derive(Clone, Debug)]
enum Place {
    /// It runs at this URL.
    Url(String),
    /// This command starts it, under a guard.
    Start { command: String, guard: Option<PathBuf> },
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
        Target::of(Place::Url(url.into()))
    }

    /// A server that this command starts, as often as the run needs one: on a port that stands for `{port}`, with a data folder that
    /// stands for `{dir}`. It is killed and started again, paused, and wiped; nothing of it is left when the run is over. No shell
    /// runs the command. It is ready when it answers the profile's health check, else when it listens.
    ///
    /// A server is started by a guard, a small process that ends all of it when this one is gone. The guard is the executable of
    /// streamspec that [`Target::guard`] or the variable `STREAMSPEC_GUARD` names, else the one that is installed.
    pub fn start(command: impl Into<String>) -> Target {
        Target::of(Place::Start { command: command.into(), guard: None })
    }

    /// The streamspec executable that guards what [`Target::start`] starts. Without effect on a server at a URL.
    pub fn guard(mut self, program: impl Into<PathBuf>) -> Target {
        if let Place::Start { guard, .. } = &mut self.place {
            *guard = Some(program.into());
        }
        self
    }

    fn of(place: Place) -> Target {
        Target {
            place,
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
        if let Place::Url(url) = &self.place
            && !names_a_host(url)
        {
            return Err(VerifyError::Usage(format!("`{url}` is no URL; write it as http://127.0.0.1:8080")));
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
        if let Some(id) = self.known.keys().find(|id| requirement(id).is_none()) {
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
        let (name, rerun, capabilities, subject) = match self.place {
            Place::Url(url) => {
                (url.clone(), Rerun::Test { target: "at" }, Capabilities::of_url(&url), Subject::Url { url, provider: None })
            }
            Place::Start { command, guard } => {
                let spec = StartSpec::of(&command, &Ready::default(), &profile);
                let spec = spec.map_err(|why| VerifyError::Usage(format!("the start command is none: {why}")))?;
                (command, Rerun::Test { target: "start" }, Capabilities::all(), Subject::Start(StartSpec { guard, ..spec }))
            }
        };
        let Selection { scenarios, tally } = select(all, &self.only, &profile, &capabilities);
        let seed = self.seed.unwrap_or_else(rand::random);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let heading = Heading {
            profile: profile.name.clone(),
            target: name,
            seed: Some(seed),
            rerun,
            tested: "server",
            baseline: Baseline::of_target(&self.known),
            requirements,
        };
        let suite = Suite {
            deadline: self.deadline.unwrap_or(Duration::from_millis(profile.contract.liveness.delivery_ms) * 2),
            profile: Arc::new(profile),
            subject,
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
