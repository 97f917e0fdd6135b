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
use crate::run::suite::{Lateness, StopSign, Subject, Suite, SuiteError, run as run_suite};
use crate::scenario::{Capabilities, Need, Scenario, applicable};

/// How long a wait may take against a broken server: long enough for a right one on a busy machine, short enough that a
/// hundred bugs are done in a minute.
const DEADLINE: Duration = Duration::from_millis(1000);

/// How often the scenarios are run until a bug is killed: a race does not show every time, least of all on a busy machine.
const TRIES: u32 = 8;

/// What to prove.
#[derive(Clone, Debug, Args)]
pub(super) struct SelftestArgs {
    /// Only these bugs; may be repeated
    #[arg(long, value_name = "BUG")]
    only: Vec<String>,
    /// Only under this profile
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Of broken clients instead: the built-in reader passes every case, and each of its planted defects is found
    #[arg(long, conflicts_with = "profile")]
    clients: bool,
    /// How many bugs are tried side by side
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
}

/// What became of one bug.
struct Row {
    bug: &'static BugEntry,
    profile: String,
    failed: BTreeSet<String>,
    by: Option<String>,
    /// In how many cases the requirement that names the bug was kept.
    kept: u32,
    /// How often the scenarios were begun.
    tries: u32,
    trouble: Option<String>,
    took: Duration,
}

impl Row {
    fn is_killed(&self) -> bool {
        self.failed.contains(self.bug.killed_by)
    }
}

pub(super) fn run(args: &SelftestArgs) -> u8 {
    let proven = if args.clients { super::kills::table(&args.only, args.jobs.map_or(8, usize::from)) } else { table(args) };
    match proven {
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
    let under = |name: &&str| args.profile.as_deref().is_none_or(|only| only == *name);
    let grounds = Profile::built_in().filter(under).map(Ground::of).collect::<Result<Vec<Ground>, Complaint>>()?;
    if grounds.is_empty() {
        let all = Profile::built_in().collect::<Vec<_>>().join(", ");
        return Err(Complaint::Usage(format!(
            "there is no built-in profile `{}`; there are {all}",
            args.profile.as_deref().unwrap_or_default()
        )));
    }
    let is_chosen = |bug: &&BugEntry| args.only.is_empty() || args.only.iter().any(|only| only == bug.name);
    let on = |bug: &'static BugEntry| grounds.iter().filter(|ground| ground.shows(bug)).map(move |ground| (bug, ground));
    let chosen: VecDeque<(&'static BugEntry, &Ground)> = BUGS.iter().filter(is_chosen).flat_map(on).collect();
    let jobs = args.jobs.map_or(8, usize::from);
    let (paint, began) = (Paint::for_stdout(), Instant::now());
    let count = chosen.len();
    let queue = Mutex::new(chosen);
    let rows = Mutex::new(Vec::new());
    let progress = Mutex::new(Progress::new(count));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((bug, ground)) = { queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() } {
                    let row = hunt(bug, ground);
                    progress.lock().unwrap_or_else(PoisonError::into_inner).step(bug.name);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            });
        }
    });
    progress.into_inner().unwrap_or_else(PoisonError::into_inner).clear();
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    // What was not killed stands last, where it is seen.
    rows.sort_by_key(|row| (!row.is_killed(), BUGS.iter().position(|b| b.name == row.bug.name), row.profile.clone()));
    for row in &rows {
        print(&line(row, paint));
    }
    let bad = rows.iter().filter(|row| !row.is_killed()).count();
    let mut clean = Clean::default();
    for ground in grounds.iter().filter(|_| args.only.is_empty()) {
        clean.run(ground)?;
    }
    for alarm in &clean.alarms {
        print(&format!("{} {alarm}\n", paint.bad("FALSE ALARM")));
    }
    let proven = |id: &str| BUGS.iter().any(|bug| bug.killed_by == id);
    let whole = args.only.is_empty() && args.profile.is_none();
    let asked = || CATALOGUE.iter().map(|r| r.id).filter(|id| whole && !of_clients(id));
    let unproven: Vec<&str> = asked().filter(|id| !proven(id)).collect();
    let unseen: Vec<&str> = asked().filter(|id| !clean.judged.contains(*id)).collect();
    for id in &unproven {
        print(&format!("{} no bug proves {id}\n", paint.bad("UNPROVEN")));
    }
    for id in &unseen {
        print(&format!("{} the right server never shows {id}\n", paint.bad("UNSEEN  ")));
    }
    print(&format!(
        "\n{} bug{} under {} profile{}, {count} hunts in {:.1} s{}\n{} passed, {} failed, 0 skipped\n",
        rows.iter().map(|row| row.bug.name).collect::<BTreeSet<_>>().len(),
        if count == 1 { "" } else { "s" },
        grounds.len(),
        if grounds.len() == 1 { "" } else { "s" },
        began.elapsed().as_secs_f64(),
        match (clean.judged.len(), unproven.len()) {
            (0, _) => String::new(),
            (judged, 0) => format!("; {judged} requirements judged on the right server, each kills a bug"),
            (judged, without) => format!("; {judged} requirements judged on the right server, {without} of them without a bug"),
        },
        count - bad,
        bad + clean.alarms.len() + unproven.len() + unseen.len(),
    ));
    Ok(if bad > 0 || !clean.alarms.is_empty() || !unproven.is_empty() || !unseen.is_empty() { exit::VIOLATED } else { exit::OK })
}

/// True for a requirement that only programs can break which bring their own client: no bug of a server shows it.
fn of_clients(id: &str) -> bool {
    let scenarios = Profile::built_in().flat_map(|name| Scenario::built_in(name).unwrap_or_default());
    let mut written = scenarios.filter(|scenario| scenario.judges.iter().any(|judged| judged == id)).peekable();
    written.peek().is_some() && written.all(|scenario| scenario.needs.contains(&Need::Driver))
}

fn line(row: &Row, paint: Paint) -> String {
    let (killed, id) = (row.is_killed(), row.bug.killed_by);
    let also: Vec<&str> = row.failed.iter().map(String::as_str).filter(|id| *id != row.bug.killed_by).collect();
    let word = match (killed, also.is_empty()) {
        (true, _) => paint.good("killed  "),
        (false, true) => paint.bad("SURVIVED"),
        (false, false) => paint.bad("MISNAMED"),
    };
    let also = if also.is_empty() { String::new() } else { format!("; also {}", also.join(" ")) };
    let by = row.by.as_deref().map_or(String::new(), |by| format!(" in {by}"));
    let tries = match (killed, row.tries) {
        (true, 0 | 1) => String::new(),
        (true, tries) => format!(" at try {tries}"),
        (false, tries) => format!("; {id} was kept in {} cases of {tries} tries;", row.kept),
    };
    let trouble = row.trouble.as_deref().map_or(String::new(), |t| format!("; {t}"));
    let (name, took) = (row.bug.name, row.took.as_secs_f64());
    format!("{word} {name:<26} {id:<12} {:<9}{by}{}{tries} {took:.1} s{trouble}\n", row.profile, paint.dim(&also))
}

/// A profile that the reference server keeps, and what is run under it.
struct Ground {
    profile: Arc<Profile>,
    scenarios: Vec<Scenario>,
}

impl Ground {
    fn of(name: &'static str) -> Result<Ground, Complaint> {
        let profile = Profile::load(name)?;
        let can = Capabilities::all();
        let scenarios = Scenario::built_in(name)?.into_iter().filter(|s| applicable(s, &profile, &can).is_ok()).collect();
        Ok(Ground { profile: Arc::new(profile), scenarios })
    }

    /// True when a bug shows under this profile: its dialects are names of profiles, with `_` for `-`.
    fn shows(&self, bug: &BugEntry) -> bool {
        bug.dialects.iter().any(|dialect| dialect.replace('_', "-") == self.profile.name)
    }

    fn suite(&self, bugs: &[&str], scenarios: Vec<Scenario>, jobs: usize, repeat: u32) -> Result<Suite, Complaint> {
        let bound = Duration::from_millis(self.profile.contract.liveness.delivery_ms * 2);
        Ok(Suite {
            profile: Arc::clone(&self.profile),
            subject: Subject::Start(reference(&self.profile, bugs)?),
            scenarios,
            seed: 0x5eed,
            jobs,
            repeat,
            fresh: false,
            deadline: if bugs.is_empty() { bound } else { DEADLINE },
            transcribed: Default::default(),
            lateness: if bugs.is_empty() { Lateness::AskedAgain } else { Lateness::Counts },
        })
    }
}

/// Runs the scenarios written for the bug's requirement against the server with that bug, until it is killed.
fn hunt(bug: &'static BugEntry, ground: &Ground) -> Row {
    let began = Instant::now();
    let profile = ground.profile.name.clone();
    let mut row = Row { bug, profile, failed: BTreeSet::new(), by: None, kept: 0, tries: 0, trouble: None, took: Duration::ZERO };
    let mut scenarios: Vec<Scenario> = ground.scenarios.iter().filter(|s| s.judges.iter().any(|j| j == bug.killed_by)).cloned().collect();
    // Those written for little else first: they show it soonest.
    scenarios.sort_by_key(|s| s.judges.len());
    if scenarios.is_empty() {
        row.trouble = Some("no scenario judges it".to_owned());
    }
    match ground.suite(&[bug.name], scenarios, 1, TRIES) {
        Err(complaint) => row.trouble = Some(format!("{complaint:?}")),
        Ok(suite) => {
            let stop = StopSign::default();
            let ran = run_suite(&suite, &stop, |case| {
                if row.by.is_some() {
                    return;
                }
                row.tries = row.tries.max(case.repetition + 1);
                for verdict in &case.verdicts {
                    match verdict.finding {
                        Finding::Fail { .. } => {
                            row.failed.insert(verdict.requirement.clone());
                        }
                        Finding::Pass { .. } => row.kept += u32::from(verdict.requirement == bug.killed_by),
                        Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => {}
                    }
                }
                if row.is_killed() {
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

/// What the runs against the right server bring.
#[derive(Default)]
struct Clean {
    /// What fires although nothing is wrong.
    alarms: Vec<String>,
    /// What was judged.
    judged: BTreeSet<String>,
}

impl Clean {
    fn run(&mut self, ground: &Ground) -> Result<(), Complaint> {
        let suite = ground.suite(&[], ground.scenarios.clone(), 8, 1)?;
        let name = &ground.profile.name;
        let ran = run_suite(&suite, &StopSign::default(), |case| {
            for verdict in &case.verdicts {
                match &verdict.finding {
                    Finding::Fail { violations, .. } => {
                        let says = &violations[0].says;
                        self.alarms.push(format!("{} in {} of {name}: {says}", verdict.requirement, case.scenario.name));
                    }
                    Finding::Pass { .. } => {
                        self.judged.insert(verdict.requirement.clone());
                    }
                    Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => {}
                }
            }
            if let Some(aborted) = &case.aborted {
                self.alarms.push(format!("{} of {name} was not finished: {aborted:?}", case.scenario.name));
            }
        });
        if let Err(error) = ran {
            self.alarms.push(format!("{name}: {error:?}"));
        }
        Ok(())
    }
}
