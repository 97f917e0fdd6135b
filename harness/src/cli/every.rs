//! `streamspec test` without a target: the built-in server under every built-in profile.

use std::time::Instant;

use super::exit;
use super::plan::TargetArgs;
use super::test::{NEXT, Prepared, Report, TestArgs, prepare, wanted, watch_for_interrupt};
use super::{Complaint, complain, print, tell};
use crate::contract::Profile;
use crate::report::{Counts, Page, json_report, json_reports, write_json, write_text};
use crate::run::suite::StopSign;
use crate::scenario::Scenario;

/// Runs every profile, one after the other; the exit code.
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
    Ok(judge(args, seed, all))
}

fn judge(args: &TestArgs, seed: u64, all: Vec<Prepared>) -> u8 {
    let (page, stop, began) = (Page::of_stdout(), StopSign::default(), Instant::now());
    watch_for_interrupt(&stop);
    let first =
        format!("streamspec {} · {} profiles · the built-in reference server · seed {seed:#x}", env!("CARGO_PKG_VERSION"), all.len());
    print(&page.fit(format!("{}\n\n", page.paint.bold(&first))));
    let (mut sum, mut codes, mut reports, mut cases) = (Counts::default(), Vec::new(), Vec::new(), 0);
    let width = all.iter().map(|prepared| prepared.heading.profile.len()).max().unwrap_or(0);
    for mut prepared in all {
        if stop.is_raised() {
            break;
        }
        let done = prepared.execute(args, &stop);
        let rows = prepared.tally.rows();
        let counts = Counts::of(&rows, &prepared.heading);
        let judged: u64 = rows.iter().map(|row| row.judged).sum();
        let word = if done.code == exit::OK { page.paint.good("pass") } else { page.paint.bad("FAIL") };
        print(&format!(
            "{word} {:<width$}  {:>4} cases {:>8} judgements  {counts}  {:.1} s\n",
            prepared.heading.profile, prepared.tally.cases, judged, done.seconds
        ));
        if done.ran && done.code != exit::OK {
            print(&format!("\n{}\n", write_text(&prepared.tally, &prepared.heading, done.seconds, page)));
        }
        reports.push(json_report(&prepared.tally, &prepared.heading, done.seconds, done.code));
        sum.add(&counts);
        cases += prepared.tally.cases;
        codes.push(done.code);
    }
    let mut code = exit::worst(&codes);
    for Report::Json(path) in &args.report {
        if let Err(error) = write_json(path, &json_reports(reports.clone(), code)) {
            tell(&format!("error: cannot write {}: {error}", path.display()));
            code = exit::USAGE;
        }
    }
    print(&format!(
        "\n{cases} cases in {:.1} s, seed {seed:#x}; one profile in full: --profile NAME\n{sum}\n",
        began.elapsed().as_secs_f64()
    ));
    if code == exit::OK {
        tell(NEXT);
    }
    code
}
