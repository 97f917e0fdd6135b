//! `streamspec client`: play a hostile but conforming server to a client, and judge what it applied.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::baseline::{BaselineArgs, Tested};
use super::exit::{self, Ended};
use super::plan::quoted;
use super::progress::Progress;
use super::reports::{Report, Reports, report};
use super::test::watch_for_interrupt;
use super::{Complaint, complain, meant, print, tell};
use crate::check::Finding;
use crate::check::{Violation, judge_client};
use crate::client::trial::{Case, ClientCommand, Patience, Ran, Trial, cases_of, run_trials};
use crate::contract::{CLIENT_CATALOGUE, CLIENT_FAMILIES, ClientTarget, Known, requirement};
use crate::report::{Event, Finished, Heading, Page, Rerun, Tally, client_failure, write_text};
use crate::run::suite::StopSign;
use crate::world::live::process::CommandLine;

/// The profiles whose servers are played; the first one where none is named.
const PROFILES: [&str; 2] = ["sse", "dispatch"];

/// Which client, and how it is tested.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct ClientArgs {
    /// A client's target file
    #[arg(value_name = "TARGET", conflicts_with = "cmd")]
    target: Option<PathBuf>,
    /// The client: a command, to which the URL of the stream is added as its last word
    #[arg(long, value_name = "COMMAND")]
    cmd: Option<String>,
    /// The client is an adapter: it takes orders on its standard input
    #[arg(long)]
    adapter: bool,
    /// The protocol that the client reads
    #[arg(long, value_name = "NAME", default_value = PROFILES[0], value_parser = clap::builder::PossibleValuesParser::new(PROFILES))]
    profile: String,
    /// Only cases of this name, or about requirements whose id begins so; may be repeated
    #[arg(long, value_name = "ID|CASE")]
    only: Vec<String>,
    /// How many clients run side by side
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// How long to wait for a request or an event that should come
    #[arg(long, value_name = "TIME", value_parser = streamspec_reference_server::duration, default_value = "15s")]
    deadline: Duration,
    /// How long a client that was sent everything, and does not end, is watched
    #[arg(long, value_name = "TIME", value_parser = streamspec_reference_server::duration, default_value = "3s")]
    watch: Duration,
    /// Write a report: json, junit, ndjson, tap, md, sarif, html, svg=DIR, or `github` alone; may be repeated
    #[arg(long, value_name = "FORMAT=PATH", value_parser = report)]
    report: Vec<Report>,
    #[command(flatten)]
    baseline: BaselineArgs,
    /// List the cases that would be run, and stop
    #[arg(long)]
    list: bool,
}

pub(super) fn run(args: &ClientArgs) -> u8 {
    test(args).unwrap_or_else(|complaint| complain(&complaint))
}

/// True when a case is wanted: by its name, or by what it is about.
pub(super) fn wanted(case: &Case, only: &[String]) -> bool {
    let about = |o: &str| match requirement(o) {
        Some(_) => case.judges().contains(&o),
        None => case.judges().iter().any(|id| id.starts_with(o)),
    };
    only.is_empty() || only.iter().any(|o| case.name == *o || about(&o.to_uppercase()))
}

fn test(args: &ClientArgs) -> Result<u8, Complaint> {
    let all = cases_of(&args.profile);
    let names: Vec<String> = all.iter().map(|case| case.name.clone()).collect();
    for only in &args.only {
        if !all.iter().any(|case| wanted(case, std::slice::from_ref(only))) {
            let families = CLIENT_FAMILIES.iter().map(|(family, _)| *family);
            let hint = meant(only, all.iter().map(|c| c.name.as_str()).chain(CLIENT_CATALOGUE.iter().map(|r| r.id)).chain(families));
            return Err(Complaint::Usage(format!(
                "no case is called `{only}` or about a requirement that begins so; {hint}`streamspec list client-cases` shows what there is"
            )));
        }
    }
    let chosen = all.into_iter().filter(|case| wanted(case, &args.only));
    if args.list {
        print(&chosen.map(|case| format!("{:<28} {}\n", case.name, case.says)).collect::<String>());
        return Ok(exit::OK);
    }
    let (client, name, mut again, known) = subject(args)?;
    if args.profile != PROFILES[0] {
        again.push_str(&format!(" --profile {}", args.profile));
    }
    let chosen: Vec<Case> = if client.adapter { chosen.map(Case::with_orders).collect() } else { chosen.collect() };
    let tested = Tested { known: &known, profile: &args.profile, built_in: false, clients: true, scenarios: &names };
    let baseline = args.baseline.of(&tested)?;
    let mut heading = Heading {
        profile: args.profile.clone(),
        target: name,
        seed: None,
        tested: "client",
        rerun: Rerun::Command { subcommand: "client", arguments: again },
        baseline,
        requirements: None,
    };
    let page = Page::of_stdout();
    let first = format!("streamspec {} · clients of {} · {}", env!("CARGO_PKG_VERSION"), heading.profile, heading.target);
    print(&page.fit(format!("{}\n\n", page.paint.bold(&first))));

    let mut reports = Reports::open(&args.report)?;
    reports.hear(&Event::SuiteStarted { heading: &heading, cases: chosen.len() as u64 });
    let stop = StopSign::default();
    watch_for_interrupt(&stop);
    let mut tally = Tally::default();
    let progress = Progress::new(chosen.len());
    let began = Instant::now();
    let patience = Patience { start: args.deadline.max(Duration::from_secs(30)), step: args.deadline, watch: args.watch };
    let trials = chosen.into_iter().map(|case| Trial { case, client: client.clone(), patience }).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores * 2, usize::from);
    let ran = run_trials(trials, jobs, &stop, |case, ran| {
        progress.step(&case.name);
        count(&mut tally, &args.profile, &case, &ran, &mut reports);
    });
    progress.clear();
    tally.cut_short = stop.is_raised() || ran.is_err();
    if let Err(error) = &ran {
        tell(&format!("error: cannot run clients: {error}"));
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut trouble = None;
    if let Some(baseline) = args.baseline.write(&heading, &tally, &mut trouble) {
        heading.baseline = baseline;
    }
    if let Some(trouble) = &trouble {
        tell(&format!("error: {trouble}"));
    }
    let rows = tally.rows();
    let ended = Ended {
        our_bug: false,
        violated: rows.iter().any(|row| heading.is_failure(row)),
        could_not_test: (!tally.aborted.is_empty() || ran.is_err() || trouble.is_some()) && !stop.is_raised(),
        stale: rows.iter().any(|row| !heading.stale(row).is_empty()),
        inconclusive: rows.iter().any(|row| heading.is_undecided(row)),
        nothing_ran: tally.cases == 0 && tally.aborted.is_empty(),
        interrupted: stop.is_raised(),
    };
    let code = ended.code();
    drop(rows);
    print(&write_text(&tally, &heading, seconds, page));
    let suite = Finished { heading: &heading, tally: &tally, seconds, exit: code };
    reports.hear(&Event::SuiteFinished(suite));
    Ok(reports.finish(&[suite], code))
}

/// Counts a case that was run, and tells the reports of it.
fn count(tally: &mut Tally, profile: &str, case: &Case, ran: &Ran, reports: &mut Reports) {
    if let Some(why) = &ran.unsupported {
        tally.skip_for(&case.name, case.judges(), why);
        reports.hear(&Event::ScenarioSkipped { profile, scenario: &case.name, why });
        return;
    }
    tally.plan_for(&case.name, case.judges());
    let verdicts = if ran.aborted.is_some() { Vec::new() } else { judge_client(case, &ran.log) };
    let show = |violation: &Violation| client_failure(&case.name, &ran.log, violation, &ran.errors);
    for verdict in &verdicts {
        if let Finding::Fail { violations, count, .. } = &verdict.finding
            && let Some(first) = violations.first()
        {
            let (requirement, failure) = (&verdict.requirement, &show(first));
            reports.hear(&Event::Violated { profile, repetition: 0, requirement, count: *count, failure });
        }
    }
    let (aborted, seconds) = (ran.aborted.as_deref(), ran.log.last().map_or(0.0, |entry| entry.at.0 as f64 / 1e6));
    reports.hear(&Event::CaseFinished { profile, case: &case.name, repetition: 0, seconds, aborted, verdicts: &verdicts });
    match &ran.aborted {
        Some(why) => tally.abort(&case.name, why.clone(), &ran.errors),
        None => tally.count(&case.name, &verdicts, show),
    }
}

type Subject = (ClientCommand, String, String, BTreeMap<String, Known>);

fn subject(args: &ClientArgs) -> Result<Subject, Complaint> {
    let words = |text: &str| CommandLine::parse(text).map_err(|e| Complaint::Usage(format!("the client's command is none: {e}")));
    match (&args.target, &args.cmd) {
        (Some(file), _) => {
            let target = ClientTarget::load(file)?;
            let client = ClientCommand {
                command: words(&target.command)?,
                folder: target.cwd.as_ref().map(PathBuf::from),
                environment: target.env.into_iter().collect(),
                adapter: target.adapter || args.adapter,
            };
            Ok((client, target.name, format!(" {}", quoted(&file.display().to_string())), target.known))
        }
        (None, Some(cmd)) => {
            let client = ClientCommand { command: words(cmd)?, folder: None, environment: Vec::new(), adapter: args.adapter };
            let adapter = if args.adapter { " --adapter" } else { "" };
            Ok((client, cmd.clone(), format!("{adapter} --cmd {}", quoted(cmd)), BTreeMap::new()))
        }
        (None, None) => Err(Complaint::Usage("which client? name its command with --cmd, or its target file".to_owned())),
    }
}
