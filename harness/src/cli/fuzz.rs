//! `streamspec fuzz`: scenarios that nobody wrote, until one of them fails.

mod table;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::exit::{self, Ended};
use super::plan::{Resolved, TargetArgs};
use super::progress::Progress;
use super::reports::{campaign_page, page_keepable};
use super::test::{seed, watch_for_interrupt};
use super::{Complaint, complain, print, reason};
use crate::contract::requirement;
use crate::explore::{Failure, GOALS, Loaded, Outcome, Palette, Plan, Standing, Theme, load, run as run_campaign};
use crate::report::{Campaign, Distinct, Failure as Shown, Page, Paint, drawn, ended_early, html_of_campaign, replace, timeline, visible};
use crate::run::suite::{StopSign, SuiteError};

/// Where failures are kept.
const FAILURES: &str = ".streamspec/failures";
/// How long one failure may be shrunk.
const SHRINK: Duration = Duration::from_secs(60);
/// Cases side by side on one shared process.
const LANES: usize = 8;
/// More processes of the target than these are started only for who asks for them.
const MOST_DEFAULT_JOBS: usize = 4;

/// What to explore, and for how long.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct FuzzArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// End after this long; default 1m, unless --cases is given
    #[arg(long, value_name = "TIME", value_parser = streamspec_reference_server::duration)]
    max_time: Option<Duration>,
    /// End after this many cases
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cases: Option<u64>,
    /// The seed of everything random
    #[arg(long, value_parser = seed, value_name = "HEX")]
    seed: Option<u64>,
    /// Go on after the first failure, and tell distinct ones apart
    #[arg(long)]
    keep_going: bool,
    /// How many processes of the target are explored side by side; default: one a processor, at most 4
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Themes that come more often, such as restart,seam
    #[arg(long, value_name = "THEME,…", value_delimiter = ',', value_parser = Theme::from_word)]
    prefer: Vec<Theme>,
    /// Themes that never come; without restart and pause, all cases share one process
    #[arg(long, value_name = "THEME,…", value_delimiter = ',', value_parser = Theme::from_word)]
    avoid: Vec<Theme>,
    /// Keep scenarios that reach something new in this folder, and begin with those that are there
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Write the scenarios of failures into this folder as well, beside the project's own
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Write a page with the rate over time, the goals and the distinct violations: html=PATH
    #[arg(long, value_name = "html=PATH", value_parser = campaign_page)]
    report: Option<PathBuf>,
    /// Fail (exit code 5) when a goal was never reached: those named, or all that apply
    #[arg(long, value_name = "GOAL,…", value_delimiter = ',', num_args = 0..=1, default_missing_value = "all")]
    require_goals: Option<Vec<String>>,
    /// How long to wait for anything; default: twice the profile's delivery bound
    #[arg(long, value_name = "TIME", value_parser = streamspec_reference_server::duration)]
    deadline: Option<Duration>,
    /// Instead, switch on each defect that the built-in server has under the profile, or those named, and tell how soon a
    /// campaign finds it and how small it becomes
    #[arg(
        long,
        value_name = "BUG,…",
        value_delimiter = ',',
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        conflicts_with_all = ["target_flag", "url", "start", "keep_going", "corpus", "save", "report", "require_goals"]
    )]
    table: Option<Vec<String>>,
}

/// Runs it; the exit code.
pub(super) fn run(args: &FuzzArgs) -> u8 {
    let ran = prepare(args).and_then(|prepared| match &args.table {
        Some(only) => prepared.table(only),
        None => Ok(prepared.run(args)),
    });
    match ran {
        Ok(code) => code,
        Err(complaint) => complain(&complaint),
    }
}

struct Prepared {
    resolved: Resolved,
    plan: Plan,
    corpus: Loaded,
    /// Goals that must be reached, by their place in the table.
    required: Vec<usize>,
    /// Goals that the profile and the target have what it takes for.
    applying: Vec<usize>,
}

fn prepare(args: &FuzzArgs) -> Result<Prepared, Complaint> {
    let resolved = args.target.resolve()?;
    args.report.as_deref().map_or(Ok(()), page_keepable)?;
    if let Some(theme) = args.prefer.iter().find(|theme| args.avoid.contains(theme)) {
        let word = Theme::ALL.iter().find(|(named, _)| named == theme).map_or("it", |(_, word)| *word);
        return Err(Complaint::Usage(format!("the theme `{word}` is both preferred and avoided; leave it out of one of the two")));
    }
    let palette = Palette::new(resolved.profile.clone(), resolved.capabilities, &args.prefer).avoiding(&args.avoid);
    if palette.themes(false).is_empty() {
        return Err(Complaint::Usage("every theme that leaves the process alone is avoided; leave one of them".to_owned()));
    }
    for theme in &args.prefer {
        if theme.touches_the_process() && !palette.touches_the_process() {
            let why = "the target cannot be restarted or paused, or its profile does not say what survives that";
            return Err(Complaint::Usage(format!("a preferred theme cannot be had: {why}; leave it out of --prefer")));
        }
    }
    let applying: Vec<usize> = (0..GOALS.len()).filter(|goal| GOALS[*goal].applies(&palette)).collect();
    let required = match &args.require_goals {
        None => Vec::new(),
        Some(words) if words.iter().any(|word| word == "all") => applying.clone(),
        Some(words) => words.iter().map(|word| required_goal(word, &applying)).collect::<Result<_, _>>()?,
    };
    let corpus = match &args.corpus {
        Some(folder) => {
            load(folder).map_err(|e| Complaint::Usage(format!("cannot read the corpus {}: {e}; name another folder", folder.display())))?
        }
        None => Loaded::default(),
    };
    let first = corpus.scenarios.iter().filter(|scenario| palette.allows(scenario).is_ok()).cloned().collect();
    let preferred = |theme: Theme| args.prefer.contains(&theme);
    let plan = Plan {
        profile: resolved.profile.clone(),
        subject: resolved.subject.clone(),
        seed: args.seed.unwrap_or_else(rand::random),
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        lanes: LANES,
        process_lanes: if preferred(Theme::Restart) || preferred(Theme::Pause) { 3 } else { 1 },
        max_time: args.max_time.or(args.cases.is_none().then_some(Duration::from_secs(60))),
        cases: args.cases,
        keep_going: args.keep_going,
        deadline: args.deadline.unwrap_or(Duration::from_millis(resolved.profile.contract.liveness.delivery_ms) * 2),
        shrink_for: SHRINK,
        known: resolved.target.known.keys().cloned().collect(),
        first,
        palette,
    };
    Ok(Prepared { resolved, plan, corpus, required, applying })
}

fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_DEFAULT_JOBS))
}

fn required_goal(word: &str, applying: &[usize]) -> Result<usize, Complaint> {
    let Some(goal) = GOALS.iter().position(|goal| goal.name == word) else {
        let names: Vec<&str> = GOALS.iter().map(|goal| goal.name).collect();
        return Err(Complaint::Usage(format!("there is no goal `{word}`; there are: {}", names.join(", "))));
    };
    if applying.contains(&goal) {
        return Ok(goal);
    }
    Err(Complaint::Usage(format!("the goal `{word}` cannot be reached: the profile or the target lacks what it takes; leave it out")))
}

impl Prepared {
    fn run(self, args: &FuzzArgs) -> u8 {
        let paint = Paint::for_stdout();
        print(&format!(
            "{}\n",
            paint.bold(&format!(
                "streamspec {} · fuzz · profile {} · {} · seed {:#x}",
                env!("CARGO_PKG_VERSION"),
                self.resolved.profile.name,
                self.resolved.name,
                self.plan.seed
            ))
        ));
        for (file, why) in &self.corpus.unreadable {
            eprintln!("warning: {} is left out of the corpus: {why}", file.display());
        }
        let stop = StopSign::default();
        watch_for_interrupt(&stop);
        let began = Instant::now();
        let progress = Progress::of_a_campaign();
        let mut trouble: Option<String> = None;
        let campaign = std::cell::RefCell::new(Campaign::default());
        let (outcome, ran) = run_campaign(
            &self.plan,
            &stop,
            |mut failure| {
                let kept = failure.save(FAILURES.as_ref());
                let saved = args.save.as_ref().map(|folder| failure.save_scenario(folder));
                let paths: Vec<PathBuf> = kept.into_iter().chain(saved.into_iter().flatten()).collect();
                if paths.len() < 1 + usize::from(args.save.is_some()) {
                    trouble.get_or_insert(format!("a failure could not be written; {FAILURES} must be a folder that can be written to"));
                }
                progress.aside(|| print(&told(&failure, &paths, &self.resolved.again, paint)));
                if args.report.is_some() {
                    campaign.borrow_mut().found(distinct(&failure));
                }
            },
            |standing| {
                campaign.borrow_mut().sample(began.elapsed().as_secs_f64(), standing.cases);
                progress.say(&standing_line(standing, began, self.applying.len()));
            },
        );
        progress.clear();
        let (standing, took) = (outcome.standing.clone(), began.elapsed());
        let code = self.finish(args, outcome, ran, trouble, took, &stop, paint);
        match &args.report {
            Some(path) => self.page(path, campaign.into_inner(), &standing, took, code),
            None => code,
        }
    }

    /// Writes the campaign's page; the exit code, which says so when that cannot be done.
    fn page(&self, path: &std::path::Path, mut campaign: Campaign, standing: &Standing, took: Duration, exit: u8) -> u8 {
        let goal =
            |goal: &usize| (GOALS[*goal].name.to_owned(), GOALS[*goal].says.to_owned(), standing.goals.get(*goal).copied().unwrap_or(0));
        campaign.profile.clone_from(&self.resolved.profile.name);
        campaign.target.clone_from(&self.resolved.name);
        campaign.seed = self.plan.seed;
        campaign.goals = self.applying.iter().map(goal).collect();
        (campaign.cases, campaign.unfinished) = (standing.cases, standing.unfinished.0);
        (campaign.seconds, campaign.exit) = (took.as_secs_f64(), exit);
        match replace(path, html_of_campaign(&campaign).as_bytes()) {
            Ok(()) => exit,
            Err(error) => complain(&Complaint::Usage(format!("cannot write the page {}: {}", path.display(), reason(&error)))),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that a campaign leaves behind, once")]
    fn finish(
        &self,
        args: &FuzzArgs,
        mut outcome: Outcome,
        ran: Result<(), SuiteError>,
        mut trouble: Option<String>,
        took: Duration,
        stop: &StopSign,
        paint: Paint,
    ) -> u8 {
        let standing = outcome.standing;
        if let Some(folder) = &args.corpus {
            match outcome.corpus.save(folder, &self.corpus.ours) {
                Ok(files) => print(&format!("corpus {}: {files} scenarios\n", folder.display())),
                Err(error) => trouble = Some(format!("cannot write the corpus {}: {error}", folder.display())),
            }
        }
        let missed: Vec<&str> = self.required.iter().filter(|goal| standing.goals[**goal] == 0).map(|goal| GOALS[*goal].name).collect();
        let mut ended = Ended {
            violated: standing.found > 0,
            interrupted: stop.is_raised(),
            inconclusive: !missed.is_empty(),
            nothing_ran: standing.cases == 0,
            // A target on which hardly a case comes to its end was not explored.
            could_not_test: standing.unfinished.0 * 2 > standing.cases && !stop.is_raised(),
            ..Ended::default()
        };
        ended.hear(&ran);
        print(&self.summary(&standing, &missed, took, paint));
        if let Some(why) = trouble {
            eprintln!("error: {why}");
            return exit::USAGE;
        }
        ended.code()
    }

    fn summary(&self, standing: &Standing, missed: &[&str], took: Duration, paint: Paint) -> String {
        let mut out = String::from("\n");
        // What ends with its first failure is about that failure.
        let explored = standing.found == 0 || self.plan.keep_going;
        for goal in self.applying.iter().filter(|_| explored) {
            let cases = standing.goals[*goal];
            let count = if cases == 0 { paint.warn("      never") } else { format!("{cases:>11}") };
            let _ = writeln!(out, "{count}  {:<34} {}", GOALS[*goal].name, paint.dim(GOALS[*goal].says));
        }
        out.push_str(if explored { "\n" } else { "" });
        if !missed.is_empty() {
            let _ = writeln!(out, "{} never reached: {}", paint.bad("required goals"), missed.join(", "));
        }
        if standing.unfinished.0 > 0 {
            let first = standing.unfinished.1.first().map_or("", String::as_str);
            let (word, first) = (paint.warn("unfinished"), visible(first));
            let _ = writeln!(out, "{word} {} cases did not reach their end, such as: {first}", standing.unfinished.0);
        }
        if standing.late > 0 {
            let _ = writeln!(
                out,
                "late on a busy machine, and not always alone: {} cases; a machine with less to do would tell more",
                standing.late
            );
        }
        if standing.known > 0 {
            let _ = writeln!(out, "{} cases broke nothing but what the target file lists as known", standing.known);
        }
        let seconds = took.as_secs_f64();
        let _ = writeln!(
            out,
            "{} cases in {seconds:.1} s ({:.0} a second), {} connections struck, {} stops, {} of {} goals reached, {} kept",
            standing.cases,
            standing.cases as f64 / seconds.max(0.001),
            standing.faults,
            standing.stops,
            standing.reached(),
            self.applying.len(),
            standing.kept,
        );
        let word = if standing.found == 1 { "failure" } else { "failures" };
        let _ = writeln!(out, "{} distinct {word}", standing.found);
        out
    }
}

/// A failure as the campaign's page shows it.
fn distinct(failure: &Failure) -> Distinct {
    let name = &failure.scenario.name;
    Distinct {
        requirement: failure.about.signature.requirement.to_string(),
        rate: failure.about.rate.to_string(),
        after: failure.after_cases,
        scenario: failure.scenario.to_toml(""),
        failure: Shown::of(name, name, &failure.history, &failure.violation),
    }
}

/// What a person reads of a failure.
fn told(failure: &Failure, paths: &[PathBuf], again: &str, paint: Paint) -> String {
    let about = &failure.about;
    let mut out = String::new();
    let says = requirement(&about.signature.requirement).map_or("", |r| r.says);
    let _ = writeln!(out, "\n{} {} ({}): {says}", paint.bad("FAILED"), paint.bold(&about.signature.requirement), about.signature.shape);
    let beside = if about.never_alone { "; seen beside other cases, and never alone" } else { "" };
    let _ = writeln!(
        out,
        "  {} of its runs; found by case {}, shrunk from {} steps to {}{}{beside}",
        about.rate,
        failure.after_cases,
        failure.found_with,
        failure.scenario.steps.len(),
        ended_early(about.gave_up)
    );
    for line in failure.scenario.to_toml("").lines().filter(|line| line.starts_with("  ")) {
        let _ = writeln!(out, "   {line}");
    }
    // What a server sent must not steer the terminal.
    let page = Page::of_stdout();
    out.push_str(&page.prose("  ", &visible(&about.says)));
    out.push_str(&drawn(&timeline(&failure.history, &failure.violation), page));
    out.push_str(&page.prose("  expected: ", &visible(&about.expected)));
    out.push_str(&page.prose("  seen:     ", &visible(&about.seen)));
    let also: BTreeSet<&str> = about.also.iter().map(|signature| signature.requirement.as_str()).collect();
    if !also.is_empty() {
        let _ = writeln!(out, "  also:     {}", also.into_iter().collect::<Vec<_>>().join(" "));
    }
    for path in paths {
        let _ = writeln!(out, "  saved:    {}", path.display());
    }
    if let Some(path) = paths.first() {
        let _ = writeln!(out, "  replay:   streamspec replay {}{again}", path.display());
    }
    out
}

/// How far the campaign is, in one line.
fn standing_line(standing: &Standing, began: Instant, goals: usize) -> String {
    let seconds = began.elapsed().as_secs_f64();
    format!(
        "{seconds:>4.0} s  {} cases  {:.0}/s  {} cuts  {} kills  {}/{goals} goals  {} failures{}",
        standing.cases,
        standing.cases as f64 / seconds.max(0.001),
        standing.faults,
        standing.stops,
        standing.reached(),
        standing.found,
        if standing.shrinking { "  shrinking" } else { "" },
    )
}
