//! `--table`: how soon campaigns find each defect of the reference server, and how small they make what shows it.

use std::time::Duration;

use streamspec_reference_server::bugs::{BUGS, BugEntry};

use super::{Prepared, standing_line};
use crate::cli::exit::Ended;
use crate::cli::plan::reference;
use crate::cli::progress::Progress;
use crate::cli::test::watch_for_interrupt;
use crate::cli::{Complaint, exit, meant, print};
use crate::contract::{CATALOGUE, Level};
use crate::explore::{Failure, Plan, run as run_campaign};
use crate::report::{Paint, ended_early, plural};
use crate::run::suite::{StopSign, Subject, SuiteError};

/// How small a scenario should become: steps, and faults among them.
const SMALL: (usize, usize) = (6, 2);

/// What became of the search for one defect.
enum Sought {
    Caught(Box<Failure>),
    /// None of so many cases showed it.
    Missed(u64),
    /// A campaign does not look for it, for this reason.
    Skipped(&'static str),
}

impl Prepared {
    /// Runs a campaign for each defect that the reference server has under the profile, or for those of `only`; the exit code.
    pub(super) fn table(self, only: &[String]) -> Result<u8, Complaint> {
        if !self.resolved.built_in {
            return Err(Complaint::Usage("--table is about the defects of the built-in server; leave the target out".to_owned()));
        }
        let asked = asked(only, &self.resolved.profile.name)?;
        let paint = Paint::for_stdout();
        let limit = self.plan.max_time.map(|time| format!("{} s", time.as_secs_f64()));
        let limit = limit.or(self.plan.cases.map(|cases| plural(cases, "case"))).unwrap_or_default();
        let heading = format!(
            "streamspec {} · fuzz · profile {} · {} · {limit} each · seed {:#x}",
            env!("CARGO_PKG_VERSION"),
            self.resolved.profile.name,
            plural(asked.len() as u64, "defect"),
            self.plan.seed
        );
        print(&format!("{}\n\n", paint.bold(&heading)));
        let stop = StopSign::default();
        watch_for_interrupt(&stop);
        let mut sum = Sum::default();
        for entry in asked {
            let subject = Subject::Start(reference(&self.resolved.profile, &[entry.name])?);
            let sought = match self.seek(entry, subject, &stop) {
                Ok(sought) => sought,
                Err(why) => {
                    let mut ended = Ended::default();
                    ended.hear(&Err(why));
                    return Ok(ended.code());
                }
            };
            // What was interrupted was not missed.
            if stop.is_raised() && matches!(sought, Sought::Missed(_)) {
                break;
            }
            print(&format!("{}\n", line(entry, &sought, &limit, paint)));
            sum.add(sought);
        }
        print(&sum.told());
        Ok(match (stop.is_raised(), sum.missed > 0) {
            (_, true) => exit::VIOLATED,
            (true, false) => exit::INTERRUPTED,
            (false, false) => exit::OK,
        })
    }

    /// One campaign, up to its first failure.
    fn seek(&self, entry: &BugEntry, subject: Subject, stop: &StopSign) -> Result<Sought, SuiteError> {
        if entry.killed_by.starts_with("LEAK-") {
            return Ok(Sought::Skipped("leaks show over many connections, not in one case; `streamspec test` samples them"));
        }
        if CATALOGUE.iter().any(|r| r.id == entry.killed_by && r.level != Level::Must) {
            return Ok(Sought::Skipped("a server should not have it, and may; a campaign looks for what it must not have"));
        }
        let plan = Plan { subject, keep_going: false, ..self.plan.clone() };
        let progress = Progress::of_a_campaign();
        let began = std::time::Instant::now();
        let mut first = None;
        let (outcome, ran) = run_campaign(
            &plan,
            stop,
            |failure| {
                first.get_or_insert(failure);
            },
            |standing| progress.say(&format!("{}: {}", entry.name, standing_line(standing, began, self.applying.len()))),
        );
        progress.clear();
        match (first, ran) {
            (Some(failure), _) => Ok(Sought::Caught(Box::new(failure))),
            (None, Ok(())) => Ok(Sought::Missed(outcome.standing.cases)),
            (None, Err(why)) => Err(why),
        }
    }
}

/// The defects that are asked for, in the order of the catalogue.
fn asked(only: &[String], profile: &str) -> Result<Vec<&'static BugEntry>, Complaint> {
    let mut there: Vec<&BugEntry> = BUGS.iter().filter(|entry| entry.dialects.contains(&profile)).collect();
    if only.iter().any(|name| name == "all") {
        return Ok(there);
    }
    for name in only {
        if !there.iter().any(|entry| entry.name == name) {
            let hint = meant(name, there.iter().map(|entry| entry.name));
            return Err(Complaint::Usage(format!(
                "the built-in server has no bug `{name}` under the profile `{profile}`; {hint}`streamspec list bugs` shows them"
            )));
        }
    }
    there.retain(|entry| only.iter().any(|name| name == entry.name));
    Ok(there)
}

fn line(entry: &BugEntry, sought: &Sought, limit: &str, paint: Paint) -> String {
    let name = |word: String| format!("{word:<9} {:<24} {:<12}", entry.name, entry.killed_by);
    match sought {
        Sought::Caught(failure) => {
            let (steps, faults) = (failure.scenario.steps.len(), failure.faults());
            let requirement = &failure.about.signature.requirement;
            let other = if requirement == entry.killed_by { String::new() } else { format!(", as {requirement}") };
            let alone = if failure.about.never_alone { ", and never alone" } else { "" };
            format!(
                "{} after {:>5.1} s, {:>5} cases: {}, {}; {} of its runs{other}{alone}; shrunk in {:.1} s{}",
                name(paint.good("found")),
                failure.after.as_secs_f64(),
                failure.after_cases,
                plural(steps as u64, "step"),
                plural(faults as u64, "fault"),
                failure.about.rate,
                failure.shrunk_in.as_secs_f64(),
                ended_early(failure.about.gave_up),
            )
        }
        Sought::Missed(cases) => format!("{} within {limit}, {}", name(paint.bad("MISSED")), plural(*cases, "case")),
        Sought::Skipped(why) => format!("{} {why}", name(paint.dim("skipped"))),
    }
}

/// What all of them come to.
#[derive(Default)]
struct Sum {
    after: Vec<Duration>,
    small: usize,
    missed: usize,
    skipped: usize,
}

impl Sum {
    fn add(&mut self, sought: Sought) {
        match sought {
            Sought::Caught(failure) => {
                self.after.push(failure.after);
                self.small += usize::from(failure.scenario.steps.len() <= SMALL.0 && failure.faults() <= SMALL.1);
            }
            Sought::Missed(_) => self.missed += 1,
            Sought::Skipped(_) => self.skipped += 1,
        }
    }

    fn told(&mut self) -> String {
        let mut out = String::from("\n");
        self.after.sort_unstable();
        if let Some(latest) = self.after.last() {
            let (median, caught) = (self.after[self.after.len() / 2].as_secs_f64(), self.after.len());
            out += &format!(
                "found after {median:.1} s (median), {:.1} s at the latest; {} of {caught} by at most {} steps and {} faults\n\n",
                latest.as_secs_f64(),
                self.small,
                SMALL.0,
                SMALL.1
            );
        }
        out += &format!("{} passed, {} failed, {} skipped\n", self.after.len(), self.missed, self.skipped);
        out
    }
}
