//! `streamspec test`: break a server's streams, restart it, and judge what its readers saw.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::baseline::{BaselineArgs, Tested};
use super::compare::Golden;
use super::exit::{self, Ended};
use super::plan::{Resolved, TargetArgs, quoted};
use super::progress::Progress;
use super::reports::{Report, Reports, keepable, report, shows_bytes};
use super::{Complaint, complain, every, print, reason, tell};
use crate::contract::RequirementSet;
use crate::report::{Event, Finished, Heading, Page, Rerun, Tally, case_failure, write_text};
use crate::run::Abort;
use crate::run::suite::{Case, Lateness, StopSign, Subject, Suite, SuiteError, Told, cases, run_all};
use crate::scenario::Scenario;
use crate::verify::selection::{Selection, select, unknown};

/// Cases wait more than they compute, so more workers than cores are right.
const JOBS_A_CORE: usize = 4;

/// What to test, and how.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct TestArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Only scenarios of this name, or written for requirements whose id begins so; may be repeated
    #[arg(long, value_name = "ID|SCENARIO")]
    pub(super) only: Vec<String>,
    /// Scenarios of your own: a folder, whose *.toml are run beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub(super) scenarios: Option<PathBuf>,
    /// The seed of names and choices
    #[arg(long, value_parser = seed, value_name = "HEX")]
    pub(super) seed: Option<u64>,
    /// How many servers are tested side by side
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) jobs: Option<u16>,
    /// Run every case this often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) repeat: u32,
    /// Start the server anew, on empty data, for every case: none can be influenced by another
    #[arg(long)]
    pub(super) fresh: bool,
    /// How long to wait for anything; default: twice the profile's delivery bound
    #[arg(long, value_name = "TIME", value_parser = streamspec_reference_server::duration)]
    pub(super) deadline: Option<Duration>,
    /// Write a report: json, junit, ndjson, tap, md, sarif, html, svg=DIR, or `github` alone; may be repeated
    #[arg(long, value_name = "FORMAT=PATH", value_parser = report)]
    pub(super) report: Vec<Report>,
    #[command(flatten)]
    pub(super) baseline: BaselineArgs,
    /// Let only the requirements of this frozen set decide, such as 2026-11; newer ones are run, reported and unscored
    #[arg(long, value_name = "REV", value_parser = RequirementSet::named)]
    pub(super) requirements: Option<&'static RequirementSet>,
    /// Keep the history of every case that failed in this folder
    #[arg(long, value_name = "DIR")]
    pub(super) history: Option<PathBuf>,
    /// Compare with the golden transcripts in this folder, and fail where one differs; without it those in `snapshots`, if it
    /// is there, are compared and a difference is only told
    #[arg(long, value_name = "DIR")]
    pub(super) snapshots: Option<PathBuf>,
    /// Put a fault into every place of a plain scenario, or of those named with --only, and print a line for each sweep
    #[arg(long, value_name = "KIND")]
    pub(super) sweep: Option<crate::explore::SweepKind>,
    /// Run again whenever a file in this folder has changed, until it is interrupted; the run itself should write nothing there
    #[arg(long, value_name = "DIR", conflicts_with = "list")]
    pub(super) watch: Option<PathBuf>,
    /// List what would be run, and stop
    #[arg(long)]
    pub(super) list: bool,
    /// Pass over what the profile has nothing of, because another one has.
    #[arg(skip)]
    pub(super) lenient: bool,
}

pub(super) fn seed(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| format!("`{text}` is no seed; write up to 16 hexadecimal digits, such as 0x5eed"))
}

/// Runs it; the exit code.
pub(super) fn run(args: &TestArgs) -> u8 {
    if let Some(folder) = &args.watch {
        return super::watch::run(folder);
    }
    if args.target.is_nothing() {
        return every::run(args);
    }
    match prepare(args) {
        Ok(prepared) => match args.sweep {
            Some(kind) => {
                let named = !args.only.is_empty();
                super::sweep::run(kind, prepared.suite, named, &prepared.resolved).unwrap_or_else(|complaint| complain(&complaint))
            }
            None => prepared.run(args),
        },
        Err(complaint) => complain(&complaint),
    }
}

/// Everything that a run needs.
pub(super) struct Prepared {
    resolved: Resolved,
    pub(super) suite: Suite,
    pub(super) heading: Heading,
    pub(super) tally: Tally,
    pub(super) golden: Golden,
    /// Why some history could not be kept.
    trouble: Option<String>,
}

/// What a run came to.
pub(super) struct Done {
    pub(super) code: u8,
    pub(super) seconds: f64,
    /// False when there was nothing to report on.
    pub(super) ran: bool,
}

/// Reads the files, and finds out which scenarios are to be run.
pub(super) fn prepare(args: &TestArgs) -> Result<Prepared, Complaint> {
    let resolved = args.target.resolve()?;
    if !args.list {
        keepable(&args.report, args.history.as_deref())?;
    }
    if args.fresh && matches!(resolved.subject, Subject::Url { .. }) {
        let why = "--fresh starts the server anew for every case, and this one was given by its URL: leave it out, or use --start";
        return Err(Complaint::Usage(why.to_owned()));
    }
    let mut all = Scenario::built_in(&resolved.profile.name)?;
    if let Some(folder) = &args.scenarios {
        all.extend(own_scenarios(folder)?);
    }
    if let Some(what) = unknown(&args.only, &all, NAMES).filter(|_| !args.lenient) {
        return Err(Complaint::Usage(what));
    }
    let names: Vec<String> = all.iter().map(|scenario| scenario.name.clone()).collect();
    for scenario in &mut all {
        scenario.sweep_limit = [scenario.sweep_limit, resolved.target.sweep_limit].into_iter().flatten().min();
    }
    let Selection { scenarios, tally } = select(all, &args.only, &resolved.profile, &resolved.capabilities);
    let golden = Golden::of(args.snapshots.as_deref(), &resolved.profile, &scenarios).map_err(Complaint::Usage)?;
    let bound = Duration::from_millis(resolved.profile.contract.liveness.delivery_ms);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // What stood on the wire is kept where a report shows it.
    let transcribed = if shows_bytes(&args.report) { scenarios.iter().map(|s| s.name.clone()).collect() } else { golden.names() };
    let suite = Suite {
        profile: resolved.profile.clone(),
        subject: resolved.subject.clone(),
        scenarios,
        seed: args.seed.unwrap_or_else(rand::random),
        jobs: args.jobs.map_or(cores * JOBS_A_CORE, usize::from),
        repeat: args.repeat.max(1),
        fresh: args.fresh,
        deadline: args.deadline.unwrap_or(bound * 2),
        transcribed,
        lateness: Lateness::AskedAgain,
    };
    let known = &resolved.target.known;
    let tested = Tested { known, profile: &resolved.profile.name, built_in: resolved.built_in, clients: false, scenarios: &names };
    let baseline = args.baseline.of(&tested)?;
    let heading = Heading {
        profile: resolved.profile.name.clone(),
        target: resolved.name.clone(),
        seed: Some(suite.seed),
        tested: "server",
        rerun: Rerun::Command { subcommand: "test", arguments: format!("{}{}", resolved.again, again(args)) },
        baseline,
        requirements: args.requirements,
    };
    Ok(Prepared { resolved, suite, heading, tally, golden, trouble: None })
}

/// The arguments beside the target's that a failure may hang on.
fn again(args: &TestArgs) -> String {
    let scenarios = args.scenarios.as_ref().map(|folder| format!(" --scenarios {}", quoted(&folder.display().to_string())));
    let deadline = args.deadline.map(|deadline| format!(" --deadline {}ms", deadline.as_millis()));
    let fresh = if args.fresh { " --fresh" } else { "" };
    scenarios.unwrap_or_default() + &deadline.unwrap_or_default() + fresh
}

/// The scenarios in a folder.
pub(super) fn own_scenarios(folder: &std::path::Path) -> Result<Vec<Scenario>, Complaint> {
    let unreadable = |e: std::io::Error| Complaint::Usage(format!("cannot read the folder {}: {}", folder.display(), reason(&e)));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).map_err(unreadable)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "toml"));
    files.sort();
    if files.is_empty() {
        return Err(Complaint::Usage(format!("there is no scenario (*.toml) in {}", folder.display())));
    }
    files.iter().map(|file| Scenario::load(file).map_err(Complaint::from)).collect()
}

/// Where the names stand that `--only` takes.
const NAMES: &str = "`streamspec list scenarios` and `streamspec list requirements` show what there is";

/// What to do next, said when the built-in server passed.
pub(super) const NEXT: &str =
    "That was the built-in server. Yours: `streamspec init`, then `streamspec doctor`, then `streamspec test TARGET`.";

impl Prepared {
    fn run(mut self, args: &TestArgs) -> u8 {
        if args.list {
            let names: String = self.suite.scenarios.iter().map(|s| format!("{:<32} {}\n", s.name, s.says)).collect();
            print(&names);
            return exit::OK;
        }
        let mut reports = match Reports::open(&args.report) {
            Ok(reports) => reports,
            Err(complaint) => return complain(&complaint),
        };
        let page = Page::of_stdout();
        let first = format!(
            "streamspec {} · profile {} · {} · seed {:#x}",
            env!("CARGO_PKG_VERSION"),
            self.heading.profile,
            self.heading.target,
            self.suite.seed
        );
        print(&page.fit(format!("{}\n\n", page.paint.bold(&first))));
        let stop = StopSign::default();
        watch_for_interrupt(&stop);
        let done = self.execute(args, &stop, &mut reports);
        if done.ran {
            print(&self.golden.report(page));
            print(&write_text(&self.tally, &self.heading, done.seconds, page));
        }
        let suite = self.finished(&done);
        reports.hear(&Event::SuiteFinished(suite));
        let code = reports.finish(&[suite], done.code);
        if self.resolved.built_in && code == exit::OK {
            tell(NEXT);
        }
        code
    }

    /// What reports say of it.
    pub(super) fn finished<'r>(&'r self, done: &Done) -> Finished<'r> {
        Finished { heading: &self.heading, tally: &self.tally, seconds: done.seconds, exit: done.code }
    }

    /// Tells the reports what is about to run.
    pub(super) fn announce(&self, reports: &mut Reports) {
        reports.hear(&Event::SuiteStarted { heading: &self.heading, cases: cases(&self.suite) as u64 });
        for (scenario, why) in &self.tally.skipped {
            reports.hear(&Event::ScenarioSkipped { profile: &self.heading.profile, scenario, why });
        }
    }

    /// Runs the scenarios and counts what they bring; says on standard error what kept them from running.
    fn execute(&mut self, args: &TestArgs, stop: &StopSign, reports: &mut Reports) -> Done {
        let began = Instant::now();
        let progress = Progress::new(cases(&self.suite));
        let suite = self.suite.clone();
        self.announce(reports);
        let mut ran = run_all(std::slice::from_ref(&suite), suite.jobs, stop, |_, told| {
            if let Told::Finished(case) = &told {
                progress.step(&case.base);
            }
            self.take(args, &told, reports);
        });
        progress.clear();
        let ran = ran.pop().expect("one for each suite");
        self.finish(args, &ran, stop, began.elapsed().as_secs_f64())
    }

    /// Tells the reports of a case; counts what it brought, and keeps its history where that is asked.
    pub(super) fn take(&mut self, args: &TestArgs, told: &Told, reports: &mut Reports) {
        reports.hear_case(&self.heading.profile, told, case_failure);
        let Told::Finished(case) = told else { return };
        if let Err(why) = keep(args.history.as_deref(), case) {
            self.trouble.get_or_insert(why);
        }
        self.golden.compare(case, &self.suite.profile);
        self.tally.add(case);
    }

    /// What it came to, when there are no more cases.
    pub(super) fn finish(&mut self, args: &TestArgs, ran: &Result<(), SuiteError>, stop: &StopSign, seconds: f64) -> Done {
        self.tally.cut_short = stop.is_raised() || ran.is_err();
        if let Some(baseline) = args.baseline.write(&self.heading, &self.tally, &mut self.trouble) {
            self.heading.baseline = baseline;
        }
        let mut ended = self.ended(stop);
        ended.hear(ran);
        if let Some(why) = &self.trouble {
            tell(&format!("error: {why}"));
        }
        let code = if self.trouble.is_some() { exit::USAGE } else { ended.code() };
        Done { code, seconds, ran: self.tally.cases > 0 || ran.is_ok() }
    }

    fn ended(&self, stop: &StopSign) -> Ended {
        let rows = self.tally.rows();
        Ended {
            our_bug: false,
            violated: self.golden.fails() || rows.iter().any(|r| self.heading.is_failure(r)),
            could_not_test: !self.tally.aborted.is_empty() && !stop.is_raised(),
            stale: rows.iter().any(|r| !self.heading.stale(r).is_empty()),
            inconclusive: rows.iter().any(|r| self.heading.is_undecided(r)),
            nothing_ran: self.tally.cases == 0,
            interrupted: stop.is_raised(),
        }
    }
}

/// The first interrupt stops the run, which then writes what it has; the second ends the process.
pub(super) fn watch_for_interrupt(stop: &StopSign) {
    let stop = stop.clone();
    on_interrupt(move || {
        let before = stop.is_raised();
        stop.raise();
        before
    });
}

/// Calls `stop` at every interrupt; it tells whether it was called before, which ends the process.
pub(super) fn on_interrupt(stop: impl Fn() -> bool + Send + 'static) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stop() {
                    // The guards end the servers when this process is gone.
                    std::process::exit(i32::from(exit::INTERRUPTED));
                }
                tell("interrupted: writing what there is (once more to end at once)");
            }
        });
    });
}

/// Writes the history of a case that failed.
fn keep(folder: Option<&std::path::Path>, case: &Case) -> Result<(), String> {
    let Some(folder) = folder else { return Ok(()) };
    let failed = case.verdicts.iter().any(|v| matches!(v.finding, crate::check::Finding::Fail { .. }));
    if !failed && !matches!(case.aborted, Some(Abort::CouldNot(_) | Abort::ServerDied(_))) {
        return Ok(());
    }
    let name = case.scenario.name.replace(['[', ']'], "-");
    let path = folder.join(format!("{}-{}.ndjson", name.trim_end_matches('-'), case.repetition));
    std::fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    case.history.save(&path).map_err(|e| format!("cannot write {}: {e}", path.display()))
}
