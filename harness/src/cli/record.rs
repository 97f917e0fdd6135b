//! `streamspec record`: runs scenarios and writes their canonical transcripts; with `--upstream`, the conversation of others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::conversation::ConversationArgs;
use super::exit::{self, Ended};
use super::plan::{Resolved, TargetFlags};
use super::test::watch_for_interrupt;
use super::{Complaint, complain, meant, print, reason, tell};
use crate::check::Finding;
use crate::contract::{Level, requirement};
use crate::report::{Page, drawn_difference};
use crate::run::suite::{Case, Lateness, StopSign, Suite, run as run_suite};
use crate::scenario::{Scenario, applicable, places};
use crate::transcript::{Snapshot, transcript};

/// How long anything is waited for. A transcript shows what comes, not when.
const DEADLINE: Duration = Duration::from_secs(20);

/// What to record, and of what.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct RecordArgs {
    /// Scenarios, by name or as files; none: every one that has a snapshot
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    #[command(flatten)]
    target: TargetFlags,
    #[command(flatten)]
    conversation: ConversationArgs,
    /// Where snapshots are; those of a profile are in a folder of its name
    #[arg(long, value_name = "DIR", default_value = "snapshots")]
    snapshots: PathBuf,
    /// How often each scenario is run; a transcript is written when all runs agree
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Replace snapshots that differ, instead of leaving the new text for `streamspec review`
    #[arg(long)]
    accept: bool,
    /// Print the transcripts and write nothing
    #[arg(long, conflicts_with = "accept")]
    print: bool,
    /// Keep the histories, messages included, in this folder
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
}

/// Runs it; the exit code.
pub(super) fn run(args: &RecordArgs) -> u8 {
    let recorded = match &args.conversation.upstream {
        Some(upstream) => super::conversation::record(&args.conversation, upstream, args.target.profile.as_deref()),
        None => record(args),
    };
    recorded.unwrap_or_else(|complaint| complain(&complaint))
}

fn record(args: &RecordArgs) -> Result<u8, Complaint> {
    let resolved = args.target.resolve()?;
    let folder = args.snapshots.join(&resolved.profile.name);
    let scenarios = chosen(args, &resolved, &folder)?;
    if let Some(folder) = &args.history {
        std::fs::create_dir_all(folder)
            .map_err(|e| Complaint::Usage(format!("cannot keep histories in {}: {}", folder.display(), reason(&e))))?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let suite = Suite {
        profile: resolved.profile.clone(),
        subject: resolved.subject.clone(),
        fresh: false,
        transcribed: scenarios.iter().map(|scenario| scenario.name.clone()).collect(),
        lateness: Lateness::AskedAgain,
        scenarios,
        seed: rand::random(),
        jobs: cores * 2,
        repeat: args.runs,
        deadline: DEADLINE,
    };
    let stop = StopSign::default();
    watch_for_interrupt(&stop);
    let mut taken: BTreeMap<String, Vec<Take>> = BTreeMap::new();
    let mut trouble = None;
    let ran = run_suite(&suite, &stop, |case| {
        if let Some(folder) = &args.history {
            let path = folder.join(format!("{}-{}.ndjson", case.base, case.repetition));
            if let Err(error) = case.history.save(&path) {
                trouble.get_or_insert(format!("cannot write {}: {error}", path.display()));
            }
        }
        let take = Take::of(&case, &resolved);
        taken.entry(case.base).or_default().push(take);
    });
    let mut ended = Ended { interrupted: stop.is_raised(), ..Ended::default() };
    ended.hear(&ran);
    if let Some(why) = trouble {
        return Err(Complaint::Usage(why));
    }
    let mut desk = Desk { args, resolved: &resolved, folder, page: Page::of_stdout(), counts: Counts::default(), ended };
    for scenario in &suite.scenarios {
        if let Some(takes) = taken.remove(&scenario.name) {
            desk.place(&scenario.name, takes)?;
        }
    }
    let Counts { new, same, changed, unfit } = desk.counts;
    print(&format!("{new} new, {same} unchanged, {changed} changed, {unfit} without a transcript\n"));
    desk.ended.nothing_ran = new + same + changed + unfit == 0;
    Ok(desk.ended.code())
}

/// The scenarios that are meant.
fn chosen(args: &RecordArgs, resolved: &Resolved, folder: &Path) -> Result<Vec<Scenario>, Complaint> {
    let built_in = Scenario::built_in(&resolved.profile.name)?;
    let mut chosen = Vec::new();
    for name in &args.scenarios {
        let scenario = match built_in.iter().find(|scenario| scenario.name == *name) {
            Some(scenario) => scenario.clone(),
            None if name.ends_with(".toml") => Scenario::load(Path::new(name))?,
            None => {
                let hint = meant(name, built_in.iter().map(|scenario| scenario.name.as_str()));
                return Err(Complaint::Usage(format!(
                    "no scenario of the profile `{}` is called `{name}`; {hint}`streamspec list scenarios` shows them, and a file ends in .toml",
                    resolved.profile.name
                )));
            }
        };
        applicable(&scenario, &resolved.profile, &resolved.capabilities)
            .map_err(|why| Complaint::Usage(format!("`{name}` cannot be run here: {why}")))?;
        if places(&scenario).is_some() {
            let what = "it is a sweep, many runs under one name; write the place into a scenario of its own";
            return Err(Complaint::Usage(format!("`{name}` has no transcript: {what}")));
        }
        chosen.push(scenario);
    }
    if args.scenarios.is_empty() {
        let has = |scenario: &Scenario| folder.join(format!("{}.snap", scenario.name)).is_file();
        let fits = |scenario: &Scenario| applicable(scenario, &resolved.profile, &resolved.capabilities).is_ok();
        chosen.extend(built_in.into_iter().filter(|scenario| has(scenario) && fits(scenario)));
        if chosen.is_empty() {
            return Err(Complaint::Usage(format!("there is no snapshot in {} yet; name the scenarios to record", folder.display())));
        }
    }
    Ok(chosen)
}

/// What one run brought.
struct Take {
    text: Result<String, String>,
    /// Required promises that it broke.
    broken: Vec<String>,
}

impl Take {
    fn of(case: &Case, resolved: &Resolved) -> Take {
        let must = |id: &str| requirement(id).is_none_or(|requirement| requirement.level == Level::Must);
        let fails = |verdict: &&crate::check::Verdict| matches!(verdict.finding, Finding::Fail { .. }) && must(&verdict.requirement);
        let broken = case.verdicts.iter().filter(fails).map(|verdict| verdict.requirement.to_string()).collect();
        let text = match &case.aborted {
            Some(abort) => Err(format!("the run was broken off: {abort:?}")),
            None => transcript(&case.history, &resolved.profile, &case.scenario.transcript.and(&resolved.profile.transcript)),
        };
        Take { text, broken }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    new: u32,
    same: u32,
    changed: u32,
    unfit: u32,
}

/// Where transcripts are put.
struct Desk<'a> {
    args: &'a RecordArgs,
    resolved: &'a Resolved,
    folder: PathBuf,
    page: Page,
    counts: Counts,
    ended: Ended,
}

impl Desk<'_> {
    /// Puts the transcript of a scenario where it belongs, and says what it is.
    fn place(&mut self, name: &str, takes: Vec<Take>) -> Result<(), Complaint> {
        let mut broken: Vec<&String> = takes.iter().flat_map(|take| &take.broken).collect();
        broken.sort();
        broken.dedup();
        let mut texts = Vec::new();
        for take in &takes {
            match &take.text {
                Ok(text) => texts.push(text),
                Err(why) => {
                    self.counts.unfit += 1;
                    self.ended.could_not_test = true;
                    return self.say(&format!("{name}: no transcript: {why}"));
                }
            }
        }
        let Some(first) = texts.first() else { return Ok(()) };
        if let Some(other) = texts.iter().find(|text| text != &first) {
            self.counts.unfit += 1;
            self.ended.inconclusive = true;
            self.say(&format!("{name}: not the same in every run; redact what differs (`transcript.redact` of the profile)"))?;
            print(&drawn_difference(first, other, self.page));
            return Ok(());
        }
        if self.args.print {
            self.counts.same += 1;
            print(first);
            return Ok(());
        }
        if !broken.is_empty() {
            self.counts.unfit += 1;
            self.ended.violated = true;
            let ids = broken.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
            return self.say(&format!("{name}: not written: the run violates {ids}; `streamspec test --only {name}` shows how"));
        }
        let path = self.folder.join(format!("{name}.snap"));
        let pending = self.folder.join(format!("{name}.snap.new"));
        let snapshot = Snapshot {
            source: format!("{name} ({})", self.resolved.profile.name),
            expression: format!("streamspec record {name}{}", self.resolved.again),
            contents: first.trim_end().to_owned(),
        };
        let before = if path.exists() { Some(Snapshot::load(&path).map_err(|e| Complaint::Usage(e.to_string()))?) } else { None };
        match before {
            Some(before) if before.agrees(first) => {
                self.counts.same += 1;
                // What was pending is settled by this.
                let _ = std::fs::remove_file(&pending);
                self.say(&format!("{name}: unchanged"))
            }
            Some(before) if !self.args.accept => {
                self.counts.changed += 1;
                self.ended.violated = true;
                self.write(&snapshot, &pending)?;
                self.say(&format!("{name}: changed; `streamspec review {}` decides", self.args.snapshots.display()))?;
                print(&drawn_difference(&before.contents, first, self.page));
                Ok(())
            }
            before => {
                let new = before.is_none();
                self.write(&snapshot, &path)?;
                let _ = std::fs::remove_file(&pending);
                self.counts.new += u32::from(new);
                self.counts.changed += u32::from(!new);
                self.say(&format!("{name}: {} {}", if new { "new," } else { "replaced," }, path.display()))
            }
        }
    }

    fn write(&self, snapshot: &Snapshot, path: &Path) -> Result<(), Complaint> {
        snapshot.save(path).map_err(|e| Complaint::Usage(format!("cannot write {}: {}", path.display(), reason(&e))))
    }

    fn say(&self, line: &str) -> Result<(), Complaint> {
        if self.args.print {
            tell(line);
        } else {
            print(&format!("{line}\n"));
        }
        Ok(())
    }
}
