//! `streamspec replay`: is a failure repaired?

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::exit::{self, Ended};
use super::plan::TargetFlags;
use super::test::watch_for_interrupt;
use super::{Complaint, complain, print};
use crate::check::{Finding, judge};
use crate::contract::{CATALOGUE, Level, Profile, requirement};
use crate::explore::{About, Answer, Replay, replay};
use crate::history::History;
use crate::report::{Page, Paint, drawn, timeline, visible};
use crate::run::suite::StopSign;
use crate::scenario::Scenario;

/// What to replay, and on what.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct ReplayArgs {
    /// Scenarios, as `fuzz` writes them (or histories, with --history)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetFlags,
    /// How often each is run; default: as often as its own rate asks for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: Option<u32>,
    /// Judge stored histories again, without any target
    #[arg(long, conflicts_with_all = ["repeat", "url", "start", "target"])]
    history: bool,
    /// How long to wait for anything; default: twice the profile's delivery bound
    #[arg(long, value_name = "TIME", value_parser = streamspec_reference_server::duration)]
    deadline: Option<Duration>,
}

/// Runs it; the exit code.
pub(super) fn run(args: &ReplayArgs) -> u8 {
    let done = if args.history { histories(args) } else { scenarios(args) };
    done.unwrap_or_else(|complaint| complain(&complaint))
}

fn scenarios(args: &ReplayArgs) -> Result<u8, Complaint> {
    let resolved = args.target.resolve()?;
    let mut all = Vec::new();
    for file in &args.files {
        if file.extension().is_some_and(|end| end == "ndjson") {
            let what = format!("{} is a history; judge it with --history, or name the scenario beside it", file.display());
            return Err(Complaint::Usage(what));
        }
        let about = About::beside(file).map_err(Complaint::Usage)?;
        all.push((Scenario::load(file)?, about));
    }
    let plan = Replay {
        profile: resolved.profile.clone(),
        subject: resolved.subject.clone(),
        capabilities: resolved.capabilities,
        repeat: args.repeat,
        deadline: args.deadline.unwrap_or(Duration::from_millis(resolved.profile.contract.liveness.delivery_ms) * 2),
        seed: rand::random(),
    };
    let (paint, stop) = (Paint::for_stdout(), StopSign::default());
    watch_for_interrupt(&stop);
    let mut counts = [0_u64; 3];
    let ran = replay(&plan, all, &stop, |scenario, answer| {
        let (nth, text) = told(scenario, &answer, paint);
        counts[nth] += 1;
        print(&text);
    });
    let [fixed, failing, cannot] = counts;
    if let Err(error) = &ran {
        eprintln!("error: {error}");
    }
    print(&format!("{fixed} fixed, {failing} still failing, {cannot} that cannot be told\n"));
    Ok(Ended { violated: failing > 0, could_not_test: cannot > 0 || ran.is_err(), interrupted: stop.is_raised(), ..Ended::default() }
        .code())
}

/// Which of the three it is, and the text.
fn told(scenario: &Scenario, answer: &Answer, paint: Paint) -> (usize, String) {
    let name = &scenario.name;
    match answer {
        Answer::Fixed { runs, judged } => {
            (0, format!("{} {name}: held in {runs} of {runs} runs, judged {judged} times\n", paint.good("FIXED")))
        }
        Answer::Cannot(why) => (2, format!("{} {name}: {why}\n", paint.warn("CANNOT"))),
        Answer::StillFails { rate, now, ran } => {
            let ids: Vec<&str> = now.iter().map(|signature| signature.requirement.as_str()).collect();
            let mut out = format!("{} {name}: {rate} of its runs, {}\n", paint.bad("STILL FAILS"), ids.join(" "));
            if let Some((_, violation)) = ran.violations().first() {
                let _ = writeln!(out, "  {}", violation.says);
                out.push_str(&drawn(&timeline(&ran.history, violation), Page::of_stdout()));
                let _ = writeln!(out, "  expected: {}\n  seen:     {}", violation.expected, violation.seen);
            }
            (1, out)
        }
    }
}

fn histories(args: &ReplayArgs) -> Result<u8, Complaint> {
    let paint = Paint::for_stdout();
    let mut violated = 0;
    for file in &args.files {
        let history = read(file)?;
        let profile = Profile::load(args.target.profile.as_deref().unwrap_or(&history.header.profile))?;
        let Judged { text, judged, failed, .. } = judged(&history, &profile, paint);
        let mut out = text;
        violated += failed;
        let _ = writeln!(out, "{} ({}): {judged} judged, {failed} requirements violated", file.display(), history.header.scenario);
        print(&out);
        if judged == 0 {
            eprintln!("error: nothing in {} could be judged", file.display());
            return Ok(exit::NOTHING_RAN);
        }
    }
    Ok(if violated > 0 { exit::VIOLATED } else { exit::OK })
}

/// What the checkers say of a stored history.
pub(super) struct Judged {
    /// The violations, drawn.
    pub(super) text: String,
    /// How often anything was judged.
    pub(super) judged: u64,
    /// Requirements that are violated and must not be.
    pub(super) failed: usize,
    /// Requirements that held.
    pub(super) held: usize,
    /// Requirements that it does not decide, by the reason.
    pub(super) undecided: BTreeMap<String, Vec<String>>,
}

/// Judges a history and draws the first violation of each requirement.
pub(super) fn judged(history: &History, profile: &Profile, paint: Paint) -> Judged {
    let mut done = Judged { text: String::new(), judged: 0, failed: 0, held: 0, undecided: BTreeMap::new() };
    for verdict in judge(history, profile) {
        let must = CATALOGUE.iter().any(|r| r.id == verdict.requirement && r.level == Level::Must);
        match &verdict.finding {
            Finding::Pass { judged: times } => {
                done.judged += times;
                done.held += 1;
            }
            Finding::Fail { judged: times, violations, .. } => {
                done.judged += times;
                done.failed += usize::from(must);
                let says = requirement(&verdict.requirement).map_or("", |r| r.says);
                let word = if must { paint.bad("FAILED") } else { paint.warn("WARNING") };
                let _ = writeln!(done.text, "{word} {}: {says}", paint.bold(&verdict.requirement));
                for violation in violations.iter().take(1) {
                    // What a server sent must not steer the terminal.
                    let page = Page::of_stdout();
                    done.text.push_str(&page.prose("  ", &visible(&violation.says)));
                    done.text.push_str(&drawn(&timeline(history, violation), page));
                    done.text.push_str(&page.prose("  expected: ", &visible(&violation.expected)));
                    done.text.push_str(&page.prose("  seen:     ", &visible(&violation.seen)));
                }
            }
            Finding::Inconclusive { why } => {
                done.undecided.entry(why.clone()).or_default().push(verdict.requirement.to_string());
            }
            Finding::NotApplicable { .. } => {}
        }
    }
    done
}

/// A history, by its own name or by that of the scenario beside it.
fn read(file: &Path) -> Result<History, Complaint> {
    let path = if file.extension().is_some_and(|end| end == "toml") { file.with_extension("ndjson") } else { file.to_path_buf() };
    let open = std::fs::File::open(&path).map_err(|e| {
        Complaint::Usage(format!("the history {} cannot be read: {e}; `fuzz` writes one beside each failure", path.display()))
    })?;
    History::read(std::io::BufReader::new(open)).map_err(|e| Complaint::Usage(format!("{}, {e}", path.display())))
}
