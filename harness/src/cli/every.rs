//! `streamspec test` without a target: the built-in server under every built-in profile.

use std::time::Instant;

use super::exit;
use super::plan::TargetArgs;
use super::progress::Progress;
use super::reports::Reports;
use super::test::{Done, NEXT, Prepared, TestArgs, prepare, watch_for_interrupt};
use super::{Complaint, complain, print, tell};
use crate::contract::Profile;
use crate::report::{Counts, Event, Finished, Page, write_text};
use crate::run::suite::{StopSign, Suite, SuiteError, Told, cases, run_all};
use crate::scenario::Scenario;
use crate::verify::selection::wanted;

/// Runs all profiles with the same workers; the exit code.
pub(super) fn run(args: &TestArgs) -> u8 {
    match every(args) {
        Ok(code) => code,
        Err(complaint) => complain(&complaint),
    }
}

/// The profiles under which something is to be run.
fn chosen(args: &TestArgs) -> Result<Vec<&'static str>, Complaint> {
    let mut chosen = Vec::new();
    for name in Profile::built_in() {
        let own = Profile::load(name)?;
        let any = args.only.is_empty() || Scenario::built_in(name)?.iter().any(|scenario| wanted(scenario, &args.only));
        if any && !own.reference.is_empty() {
            chosen.push(name);
        }
    }
    Ok(chosen)
}

fn every(args: &TestArgs) -> Result<u8, Complaint> {
    let names = chosen(args)?;
    let [_, ..] = names.as_slice() else {
        // The complaint about what is unknown is the one for the base profile.
        return Ok(super::test::run(&TestArgs { target: TargetArgs::under("sse"), ..args.clone() }));
    };
    if args.baseline.write_baseline {
        let why = "--write-baseline writes what one target fails: name a target, or one profile with --profile";
        return Err(Complaint::Usage(why.to_owned()));
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    let under = |name: &&str| prepare(&TestArgs { target: TargetArgs::under(name), seed: Some(seed), lenient: true, ..args.clone() });
    let all = names.iter().map(under).collect::<Result<Vec<Prepared>, Complaint>>()?;
    if args.list {
        for prepared in &all {
            let line = |s: &Scenario| format!("{:<10} {:<32} {}\n", prepared.heading.profile, s.name, s.says);
            print(&prepared.suite.scenarios.iter().map(line).collect::<String>());
        }
        return Ok(exit::OK);
    }
    Ok(judge(args, seed, all, Reports::open(&args.report)?))
}

fn judge(args: &TestArgs, seed: u64, all: Vec<Prepared>, reports: Reports) -> u8 {
    let (page, stop, began) = (Page::of_stdout(), StopSign::default(), Instant::now());
    watch_for_interrupt(&stop);
    let first =
        format!("streamspec {} · {} profiles · the built-in reference server · seed {seed:#x}", env!("CARGO_PKG_VERSION"), all.len());
    print(&page.fit(format!("{}\n\n", page.paint.bold(&first))));
    let suites: Vec<Suite> = all.iter().map(|prepared| prepared.suite.clone()).collect();
    let jobs = suites.iter().map(|suite| suite.jobs).max().unwrap_or(1);
    let mut table = Table::new(page, all, reports);
    let ended = run_all(&suites, jobs, &stop, |nth, told| {
        let line = &mut table.lines[nth];
        if let Told::Finished(case) = &told {
            table.progress.step(&format!("{} {}", suites[nth].profile.name, case.base));
            line.began.get_or_insert_with(|| Instant::now().checked_sub(case.elapsed).unwrap_or(began));
            line.left -= 1;
        }
        line.prepared.take(args, &told, &mut table.reports);
        while table.lines.get(table.shown).is_some_and(|line| line.left == 0) {
            table.show(args, &Ok(()), &stop);
        }
    });
    table.progress.clear();
    for ran in &ended[table.shown..] {
        table.show(args, ran, &stop);
    }
    let code = exit::worst(&table.codes);
    let suites: Vec<Finished<'_>> = table.lines.iter().filter_map(Line::finished).collect();
    let code = table.reports.finish(&suites, code);
    print(&format!(
        "\n{} cases in {:.1} s, seed {seed:#x}; one profile in full: --profile NAME\n{}\n",
        table.cases,
        began.elapsed().as_secs_f64(),
        table.sum
    ));
    if code == exit::OK {
        tell(NEXT);
    }
    code
}

/// A line for each profile, in their order; and what they come to together.
struct Table {
    page: Page,
    progress: Progress,
    lines: Vec<Line>,
    /// So many lines are printed.
    shown: usize,
    sum: Counts,
    codes: Vec<u8>,
    reports: Reports,
    cases: u64,
}

struct Line {
    prepared: Prepared,
    /// Cases that have not come in yet.
    left: usize,
    /// When its first case began.
    began: Option<Instant>,
    /// What it came to, once its line is printed.
    done: Option<Done>,
}

impl Line {
    fn finished(&self) -> Option<Finished<'_>> {
        Some(self.prepared.finished(self.done.as_ref()?))
    }
}

impl Table {
    fn new(page: Page, all: Vec<Prepared>, mut reports: Reports) -> Table {
        all.iter().for_each(|prepared| prepared.announce(&mut reports));
        let line = |prepared: Prepared| Line { left: cases(&prepared.suite), prepared, began: None, done: None };
        let lines: Vec<Line> = all.into_iter().map(line).collect();
        let progress = Progress::new(lines.iter().map(|line| line.left).sum());
        Table { page, progress, lines, shown: 0, sum: Counts::default(), codes: Vec::new(), reports, cases: 0 }
    }

    /// Prints the next line; and all about its profile, if it failed.
    fn show(&mut self, args: &TestArgs, ran: &Result<(), SuiteError>, stop: &StopSign) {
        let (page, width) = (self.page, self.lines.iter().map(|line| line.prepared.heading.profile.len()).max().unwrap_or(0));
        let line = &mut self.lines[self.shown];
        let Line { prepared, began, .. } = &mut *line;
        self.shown += 1;
        if stop.is_raised() && began.is_none() && !self.codes.is_empty() {
            return;
        }
        let done = prepared.finish(args, ran, stop, began.map_or(0.0, |began| began.elapsed().as_secs_f64()));
        let rows = prepared.tally.rows();
        let counts = Counts::of(&rows, &prepared.heading);
        let judged: u64 = rows.iter().map(|row| row.judged).sum();
        let word = if done.code == exit::OK { page.paint.good("pass") } else { page.paint.bad("FAIL") };
        let mut told = format!(
            "{word} {:<width$}  {:>4} cases {:>8} judgements  {counts}  {:.1} s\n",
            prepared.heading.profile, prepared.tally.cases, judged, done.seconds
        );
        if done.ran && done.code != exit::OK {
            told += &prepared.golden.report(page);
            told += &format!("\n{}\n", write_text(&prepared.tally, &prepared.heading, done.seconds, page));
        }
        self.progress.aside(|| print(&told));
        self.sum.add(&counts);
        self.cases += prepared.tally.cases;
        self.codes.push(done.code);
        line.done = Some(done);
        if let Some(finished) = line.finished() {
            self.reports.hear(&Event::SuiteFinished(finished));
        }
    }
}
