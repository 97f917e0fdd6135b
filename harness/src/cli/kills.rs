//! `streamspec selftest --clients`: the kill table of clients.
//!
//! The built-in reader passes every case; every broken client made of it is killed by the requirement that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::{Complaint, exit, meant, print};
use crate::check::{Finding, Verdict, judge_client};
use crate::client::trial::{Case, Check, ClientCommand, Patience, Ran, Trial, cases, run_trials};
use crate::client::{BUGS, BugEntry, SOCKET_BUGS};
use crate::contract::CLIENT_CATALOGUE;
use crate::report::Paint;
use crate::run::suite::StopSign;
use crate::world::live::process::CommandLine;

/// Patience with the right reader: it is to be judged, however slow the machine is.
const RIGHT: Patience = Patience { start: Duration::from_secs(60), step: Duration::from_secs(30), watch: Duration::from_secs(5) };
/// Patience with a broken one: what does not come is what is looked for. Four times its start is added to each.
const BROKEN: Patience = Patience { start: Duration::from_secs(60), step: Duration::from_secs(8), watch: Duration::from_secs(3) };
/// How often a broken client is tried until it is killed: on a busy machine a wait that is too short may look long enough.
const TRIES: u32 = 3;
/// Added to upper bounds for the right reader: a machine that is slow for a moment is no slow client.
const SLACK_MS: u64 = 30_000;

/// Proves the bugs that are named, or all of them; the exit code.
pub(super) fn table(only: &[String], jobs: usize) -> Result<u8, Complaint> {
    for name in only {
        if !BUGS.iter().any(|bug| bug.name == name) {
            let hint = meant(name, BUGS.iter().map(|bug| bug.name));
            return Err(Complaint::Usage(format!("there is no broken client `{name}`; {hint}`streamspec list client-bugs` shows them")));
        }
    }
    let named = |bug: &&BugEntry| only.is_empty() || only.iter().any(|name| name == bug.name);
    let chosen: Vec<Broken> = BUGS.iter().filter(named).flat_map(broken).collect();
    let (paint, began) = (Paint::for_stdout(), Instant::now());
    let mut found = BTreeMap::new();
    if only.is_empty() {
        let mut trials = Vec::new();
        for case in cases() {
            // What is asked of a client by orders, or by other means of a plain one.
            if !case.needs.is_empty() || case.again {
                trials.push((case.clone().with_orders(), reader(None, &case, true)?));
            }
            if !case.is_of_adapters() {
                let client = reader(None, &case, false)?;
                trials.push((case, client));
            }
        }
        let trial = |(case, client)| (RIGHT_READER, Trial { case: lenient(case), client, patience: RIGHT });
        let trials = trials.into_iter().map(trial).collect();
        hunt(trials, jobs, &mut found)?;
    }
    for _ in 0..TRIES {
        let is_killed = |of: &&Broken| found.get(&of.key()).is_some_and(|row: &Row| row.failed.contains_key(of.bug.killed_by));
        let mut trials = Vec::new();
        for of in chosen.iter().filter(|of| !is_killed(of)) {
            for case in cases().into_iter().filter(|case| case.socket == of.socket && case.judges().contains(&of.bug.killed_by)) {
                let client = reader(Some(of.bug), &case, case.is_of_adapters())?;
                trials.push((of.key(), Trial { case, client, patience: BROKEN }));
            }
        }
        if !trials.is_empty() {
            hunt(trials, jobs, &mut found)?;
        }
    }

    let none = Row::default();
    let row = |of: &Broken| found.get(&of.key()).unwrap_or(&none);
    let (killed, survived): (Vec<&Broken>, Vec<&Broken>) = chosen.iter().partition(|of| row(of).failed.contains_key(of.bug.killed_by));
    // What was not killed stands last, where it is seen.
    for of in killed.iter().chain(&survived) {
        print(&line(of, row(of), paint));
    }
    let mut bad = survived.len();
    let clean = found.get(&RIGHT_READER).unwrap_or(&none);
    let whole = only.is_empty();
    let unseen = || CLIENT_CATALOGUE.iter().map(|r| r.id).filter(|id| whole && !clean.held.contains(*id));
    let unproven = || CLIENT_CATALOGUE.iter().map(|r| r.id).filter(|id| whole && !BUGS.iter().any(|bug| bug.killed_by == *id));
    let alarms = clean.failed.iter().map(|(id, case)| format!("{} {id} in {case} of the right reader\n", paint.bad("FALSE ALARM")));
    let troubles = clean.trouble.iter().map(|why| format!("{} {why}\n", paint.bad("NOT FINISHED")));
    let unproven = unproven().map(|id| format!("{} no broken client proves {id}\n", paint.bad("UNPROVEN")));
    let unseen = unseen().map(|id| format!("{} the right reader never shows {id}\n", paint.bad("UNSEEN  ")));
    for complaint in alarms.chain(troubles).chain(unproven).chain(unseen) {
        bad += 1;
        print(&complaint);
    }
    print(&format!(
        "\n{} broken clients, {} cases with the right one, {} requirements judged on it, in {:.1} s\n{} passed, {bad} failed, 0 skipped\n",
        chosen.len(),
        clean.cases,
        clean.held.len(),
        began.elapsed().as_secs_f64(),
        killed.len(),
    ));
    Ok(if bad > 0 { exit::VIOLATED } else { exit::OK })
}

/// Which client a row is about: the name of its bug, and whether its stream is a WebSocket.
type Key = (&'static str, bool);

const RIGHT_READER: Key = ("(right)", false);

/// A broken client.
struct Broken {
    bug: &'static BugEntry,
    socket: bool,
}

impl Broken {
    fn key(&self) -> Key {
        (self.bug.name, self.socket)
    }
}

/// The clients that are broken by a bug: a reader of server-sent events, one of WebSockets, or both.
fn broken(bug: &'static BugEntry) -> Vec<Broken> {
    let all = [false, true].map(|socket| Broken { bug, socket });
    let shows = |of: &Broken| if of.socket { SOCKET_BUGS.contains(&bug.bug) } else { !bug.killed_by.starts_with("C-SOCKET") };
    all.into_iter().filter(shows).collect()
}

/// What became of one client.
#[derive(Clone, Debug, Default)]
struct Row {
    /// Requirements that it violated, each with a case that shows it.
    failed: BTreeMap<String, String>,
    /// Requirements that it was seen to keep.
    held: BTreeSet<String>,
    trouble: Vec<String>,
    cases: u32,
}

/// The built-in reader as a client under test, which is told what to do by its command or by orders.
fn reader(bug: Option<&BugEntry>, case: &Case, adapter: bool) -> Result<ClientCommand, Complaint> {
    let own = std::env::current_exe().map_err(|e| Complaint::Usage(format!("cannot find streamspec's own program: {e}")))?;
    let mut words = vec![own.to_string_lossy().into_owned(), "tail".to_owned()];
    if let Some(bug) = bug {
        words.extend(["--bug".to_owned(), bug.name.to_owned()]);
    }
    if case.socket {
        words.extend(["--profile".to_owned(), "dispatch".to_owned()]);
    }
    words.extend(adapter.then(|| "--adapter".to_owned()));
    Ok(ClientCommand { command: CommandLine::from_words(words), folder: None, environment: Vec::new(), adapter })
}

/// The case with room for a slow machine.
fn lenient(mut case: Case) -> Case {
    for (_, check) in &mut case.checks {
        if let Check::Waits { most: Some(most), .. } = check {
            *most += SLACK_MS;
        }
    }
    case
}

/// Runs the trials and adds what they show to the rows of their clients.
fn hunt(trials: Vec<(Key, Trial)>, jobs: usize, found: &mut BTreeMap<Key, Row>) -> Result<(), Complaint> {
    let progress = Progress::new(trials.len());
    // A case is told apart by the client that it was run with.
    let (names, trials): (Vec<Key>, Vec<Trial>) = trials
        .into_iter()
        .enumerate()
        .map(|(nth, (name, mut trial))| {
            trial.case.says = nth.to_string();
            (name, trial)
        })
        .unzip();
    let ran = run_trials(trials, jobs, &StopSign::default(), |case, ran| {
        let name = names[case.says.parse::<usize>().expect("it was put there")];
        progress.step(&format!("{} {}", name.0, case.name));
        take(found.entry(name).or_default(), &case, &ran);
    });
    progress.clear();
    ran.map_err(|e| Complaint::Usage(format!("cannot run clients: {e}")))
}

fn take(row: &mut Row, case: &Case, ran: &Ran) {
    row.cases += 1;
    if let Some(why) = ran.aborted.as_ref().or(ran.unsupported.as_ref()) {
        row.trouble.push(format!("{}: {why}", case.name));
        return;
    }
    for Verdict { requirement, finding } in judge_client(case, &ran.log) {
        match finding {
            Finding::Fail { violations, .. } => {
                row.failed.entry(requirement).or_insert_with(|| format!("{} ({})", case.name, violations[0].says));
            }
            Finding::Pass { .. } => {
                row.held.insert(requirement);
            }
            Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => {}
        }
    }
}

fn line(of: &Broken, row: &Row, paint: Paint) -> String {
    let bug = of.bug;
    let also: Vec<&str> = row.failed.keys().map(String::as_str).filter(|id| *id != bug.killed_by).collect();
    let by = row.failed.get(bug.killed_by);
    let word = match (by, also.is_empty()) {
        (Some(_), _) => paint.good("killed  "),
        (None, true) => paint.bad("SURVIVED"),
        (None, false) => paint.bad("MISNAMED"),
    };
    let also = if also.is_empty() { String::new() } else { format!("; also {}", also.join(" ")) };
    let by = by.map_or(String::new(), |case| format!(" in {}", case.split(' ').next().unwrap_or_default()));
    let trouble = row.trouble.first().map_or(String::new(), |why| format!("; {why}"));
    let by = if of.socket && by.is_empty() { " over a WebSocket".to_owned() } else { by };
    format!("{word} {:<22} {:<12}{by}{}{trouble}\n", bug.name, bug.killed_by, paint.dim(&also))
}
