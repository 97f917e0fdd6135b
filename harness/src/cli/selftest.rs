//! `streamspec selftest`: the kill table.
//!
//! The right server passes everything; every planted bug is killed by the requirement that it names; every requirement
//! kills at least one bug.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use streamspec_reference_server::bugs::{BUGS, BugEntry};

use super::plan::reference;
use super::progress::Progress;
use super::{Complaint, complain, exit, meant, print};
use crate::check::Finding;
use crate::contract::{CATALOGUE, Profile};
use crate::report::Paint;
use crate::run::suite::{StopSign, Subject, Suite, SuiteError, run as run_suite};
use crate::scenario::{Capabilities, Scenario, applicable};

/// How long a wait may take against a broken server: long enough for a right one on a busy machine, short enough that a
/// hundred bugs are done in a minute.
const DEADLINE: Duration = Duration::from_millis(1000);

/// How often the scenarios are run until a bug is killed: a race does not show every time.
const TRIES: u32 = 3;

/// What to prove.
#[derive(Clone, Debug, Args)]
pub(super) struct SelftestArgs {
    /// Only these bugs; may be repeated
    #[arg(long, value_name = "BUG")]
    only: Vec<String>,
    /// Only the bugs that show in this profile
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// How many bugs are tried side by side
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
}

/// A profile and everything that can be run on the server that speaks it.
struct Course {
    profile: Arc<Profile>,
    scenarios: Vec<Scenario>,
}

/// Those of all built-in profiles that some bug shows in, or the one of this name.
fn courses(only: Option<&str>) -> Result<Vec<Course>, Complaint> {
    let names =
        Profile::built_in().filter(|name| only.is_none_or(|only| only == *name) && BUGS.iter().any(|bug| bug.dialects.contains(name)));
    let courses: Vec<Course> = names
        .map(|name| {
            let profile = Arc::new(Profile::load(name)?);
            let mut scenarios = Scenario::built_in(name)?;
            scenarios.retain(|scenario| applicable(scenario, &profile, &Capabilities::all()).is_ok());
            Ok(Course { profile, scenarios })
        })
        .collect::<Result<_, Complaint>>()?;
    match (only, courses.is_empty()) {
        (Some(only), true) => Err(Complaint::Usage(format!("no bug shows in a profile `{only}`; `streamspec list profiles` shows them"))),
        (_, _) => Ok(courses),
    }
}

/// What became of one bug in one dialect.
struct Row {
    bug: &'static BugEntry,
    profile: String,
    failed: BTreeSet<String>,
    by: Option<String>,
    trouble: Option<String>,
    took: Duration,
}

pub(super) fn run(args: &SelftestArgs) -> u8 {
    match table(args) {
        Ok(code) => code,
        Err(complaint) => complain(&complaint),
    }
}

fn table(args: &SelftestArgs) -> Result<u8, Complaint> {
    for only in &args.only {
        if !BUGS.iter().any(|b| b.name == only) {
            let hint = meant(only, BUGS.iter().map(|b| b.name));
            return Err(Complaint::Usage(format!("there is no bug `{only}`; {hint}`streamspec list bugs` shows them")));
        }
    }
    let courses = courses(args.profile.as_deref())?;
    let wanted = |bug: &BugEntry| args.only.is_empty() || args.only.iter().any(|only| only == bug.name);
    let chosen: VecDeque<(&'static BugEntry, &Course)> = BUGS
        .iter()
        .filter(|bug| wanted(bug))
        .flat_map(|bug| {
            courses.iter().filter(|course| bug.dialects.contains(&course.profile.name.as_str())).map(move |course| (bug, course))
        })
        .collect();
    let jobs = args.jobs.map_or(8, usize::from);
    let (paint, began) = (Paint::for_stdout(), Instant::now());
    let count = chosen.len();
    let queue = Mutex::new(chosen);
    let rows = Mutex::new(Vec::new());
    let progress = Mutex::new(Progress::new(count));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((bug, course)) = { queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() } {
                    let row = hunt(bug, course);
                    progress.lock().unwrap_or_else(PoisonError::into_inner).step(bug.name);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            });
        }
    });
    progress.into_inner().unwrap_or_else(PoisonError::into_inner).clear();
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|row| BUGS.iter().position(|b| b.name == row.bug.name));
    let mut bad = 0;
    for row in &rows {
        let killed = row.failed.contains(row.bug.killed_by);
        bad += u32::from(!killed);
        print(&line(row, killed, paint));
    }
    let mut clean = Vec::new();
    for course in courses.iter().filter(|_| args.only.is_empty()) {
        clean.extend(false_alarms(course)?);
    }
    for alarm in &clean {
        print(&format!("{} {alarm}\n", paint.bad("FALSE ALARM")));
    }
    let unproven: Vec<&str> = CATALOGUE.iter().filter(|r| !BUGS.iter().any(|b| b.killed_by == r.id)).map(|r| r.id).collect();
    for id in &unproven {
        print(&format!("{} no bug proves {id}\n", paint.bad("UNPROVEN")));
    }
    print(&format!(
        "\n{count} bug{} in {:.1} s; {} requirements, each with a bug that it kills: {}\n{} passed, {} failed, 0 skipped\n",
        if count == 1 { "" } else { "s" },
        began.elapsed().as_secs_f64(),
        CATALOGUE.len(),
        if unproven.is_empty() { "yes" } else { "no" },
        count as u32 - bad,
        bad as usize + clean.len() + unproven.len(),
    ));
    Ok(if bad > 0 || !clean.is_empty() || !unproven.is_empty() { exit::VIOLATED } else { exit::OK })
}

fn line(row: &Row, killed: bool, paint: Paint) -> String {
    let also: Vec<&str> = row.failed.iter().map(String::as_str).filter(|id| *id != row.bug.killed_by).collect();
    let word = match (killed, also.is_empty()) {
        (true, _) => paint.good("killed  "),
        (false, true) => paint.bad("SURVIVED"),
        (false, false) => paint.bad("MISNAMED"),
    };
    let also = if also.is_empty() { String::new() } else { format!("; also {}", also.join(" ")) };
    let by = row.by.as_deref().map_or(String::new(), |by| format!(" in {by}"));
    let trouble = row.trouble.as_deref().map_or(String::new(), |t| format!("; {t}"));
    format!(
        "{word} {:<26} {:<7} {:<12}{by}{} {:.1} s{trouble}\n",
        row.bug.name,
        row.profile,
        row.bug.killed_by,
        paint.dim(&also),
        row.took.as_secs_f64()
    )
}

/// Runs the scenarios written for the bug's requirement against the server with that bug, until it is killed.
fn hunt(bug: &'static BugEntry, course: &Course) -> Row {
    let began = Instant::now();
    let mut row = Row { bug, profile: course.profile.name.clone(), failed: BTreeSet::new(), by: None, trouble: None, took: Duration::ZERO };
    let scenarios = course.scenarios.iter().filter(|s| s.judges.iter().any(|j| j == bug.killed_by)).cloned().collect();
    match suite(&[bug.name], &course.profile, scenarios, TRIES) {
        Err(complaint) => row.trouble = Some(format!("{complaint:?}")),
        Ok(suite) => {
            let stop = StopSign::default();
            let ran = run_suite(&suite, &stop, |case| {
                if row.by.is_some() {
                    return;
                }
                for verdict in &case.verdicts {
                    if matches!(verdict.finding, Finding::Fail { .. }) {
                        row.failed.insert(verdict.requirement.clone());
                    }
                }
                if row.failed.contains(bug.killed_by) {
                    row.by = Some(case.scenario.name);
                    stop.raise();
                }
            });
            match ran {
                Ok(()) => {}
                Err(SuiteError::Server(error)) => row.trouble = Some(error.to_string()),
                Err(SuiteError::Bug(why)) => row.trouble = Some(format!("a defect of streamspec: {why}")),
            }
        }
    }
    row.took = began.elapsed();
    row
}

fn suite(bugs: &[&str], profile: &Arc<Profile>, scenarios: Vec<Scenario>, repeat: u32) -> Result<Suite, Complaint> {
    let subject = Subject::Start(reference(&profile.name, bugs)?);
    let deadline = if bugs.is_empty() { Duration::from_millis(profile.contract.liveness.delivery_ms * 2) } else { DEADLINE };
    Ok(Suite {
        profile: Arc::clone(profile),
        subject,
        scenarios,
        seed: 0x5eed,
        jobs: if bugs.is_empty() { 8 } else { 1 },
        repeat,
        deadline,
    })
}

/// What fires on the right server.
fn false_alarms(course: &Course) -> Result<Vec<String>, Complaint> {
    let suite = suite(&[], &course.profile, course.scenarios.clone(), 1)?;
    let mut alarms = Vec::new();
    let ran = run_suite(&suite, &StopSign::default(), |case| {
        for verdict in &case.verdicts {
            if let Finding::Fail { violations, .. } = &verdict.finding {
                alarms.push(format!("{} in {} ({}): {}", verdict.requirement, case.scenario.name, course.profile.name, violations[0].says));
            }
        }
        if let Some(aborted) = &case.aborted {
            alarms.push(format!("{} ({}) was not finished: {aborted:?}", case.scenario.name, course.profile.name));
        }
    });
    if let Err(error) = ran {
        alarms.push(format!("{error:?}"));
    }
    Ok(alarms)
}
