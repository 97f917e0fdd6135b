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
use super::{Complaint, complain, exit, print};
use crate::check::Finding;
use crate::contract::{CATALOGUE, Profile};
use crate::report::Paint;
use crate::run::suite::{StopSign, Subject, Suite, SuiteError, run as run_suite};
use crate::scenario::Scenario;

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
    /// How many bugs are tried side by side
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
}

/// What became of one bug.
struct Row {
    bug: &'static BugEntry,
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
            return Err(Complaint::Usage(format!("there is no bug `{only}`; `streamspec list bugs` shows them")));
        }
    }
    let profile = Arc::new(Profile::load("sse")?);
    let scenarios = Scenario::built_in("sse")?;
    let chosen: VecDeque<&'static BugEntry> =
        BUGS.iter().filter(|b| b.dialects.contains(&"sse") && (args.only.is_empty() || args.only.iter().any(|o| o == b.name))).collect();
    let jobs = args.jobs.map_or(8, usize::from);
    let (paint, began) = (Paint::for_stdout(), Instant::now());
    let count = chosen.len();
    let queue = Mutex::new(chosen);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(bug) = { queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() } {
                    let row = hunt(bug, &profile, &scenarios);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|row| BUGS.iter().position(|b| b.name == row.bug.name));
    let mut bad = 0;
    for row in &rows {
        let killed = row.failed.contains(row.bug.killed_by);
        bad += u32::from(!killed);
        print(&line(row, killed, paint));
    }
    let clean = if args.only.is_empty() { false_alarms(&profile, &scenarios)? } else { Vec::new() };
    for alarm in &clean {
        print(&format!("{} {alarm}\n", paint.bad("FALSE ALARM")));
    }
    let unproven: Vec<&str> = CATALOGUE.iter().filter(|r| !BUGS.iter().any(|b| b.killed_by == r.id)).map(|r| r.id).collect();
    for id in &unproven {
        print(&format!("{} no bug proves {id}\n", paint.bad("UNPROVEN")));
    }
    print(&format!(
        "\n{count} bugs in {:.1} s; {} requirements, each with a bug that it kills: {}\n{} passed, {} failed, 0 skipped\n",
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
    format!("{word} {:<26} {:<12}{by}{} {:.1} s{trouble}\n", row.bug.name, row.bug.killed_by, paint.dim(&also), row.took.as_secs_f64())
}

/// Runs the scenarios written for the bug's requirement against the server with that bug, until it is killed.
fn hunt(bug: &'static BugEntry, profile: &Arc<Profile>, scenarios: &[Scenario]) -> Row {
    let began = Instant::now();
    let mut row = Row { bug, failed: BTreeSet::new(), by: None, trouble: None, took: Duration::ZERO };
    let scenarios = scenarios.iter().filter(|s| s.judges.iter().any(|j| j == bug.killed_by)).cloned().collect();
    match suite(&[bug.name], profile, scenarios, TRIES) {
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
    let subject = Subject::Start(reference(bugs)?);
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
fn false_alarms(profile: &Arc<Profile>, scenarios: &[Scenario]) -> Result<Vec<String>, Complaint> {
    let suite = suite(&[], profile, scenarios.to_vec(), 1)?;
    let mut alarms = Vec::new();
    let ran = run_suite(&suite, &StopSign::default(), |case| {
        for verdict in &case.verdicts {
            if let Finding::Fail { violations, .. } = &verdict.finding {
                alarms.push(format!("{} in {}: {}", verdict.requirement, case.scenario.name, violations[0].says));
            }
        }
        if let Some(aborted) = &case.aborted {
            alarms.push(format!("{} was not finished: {aborted:?}", case.scenario.name));
        }
    });
    if let Err(error) = ran {
        alarms.push(format!("{error:?}"));
    }
    Ok(alarms)
}
