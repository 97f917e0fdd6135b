//! `streamspec test --sweep`: one fault at every place of a scenario, and a line for each sweep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::exit::{self, Ended};
use super::plan::Resolved;
use super::test::watch_for_interrupt;
use super::{Complaint, print};
use crate::check::Finding;
use crate::contract::{CATALOGUE, Level};
use crate::explore::{Palette, SweepKind, Swept, sweeps};
use crate::report::Paint;
use crate::run::suite::{Case, StopSign, Suite, run as run_suite};
use crate::scenario::Scenario;

/// What is swept unless scenarios are named.
const PLAIN: &str = r#"
name = "steady"
says = "a reader in replay and live"
needs = ["publish"]
steps = [
  { open = { session = "s" } },
  { publish = { session = "s", count = 8 } },
  { subscribe = { reader = "a", session = "s" } },
  { publish = { session = "s", count = 4 } },
  { await = { reader = "a", upto = "last" } },
]
"#;

/// What failed at one place.
#[derive(Default)]
struct Broken {
    places: Vec<String>,
    requirements: BTreeSet<String>,
    unfinished: Option<String>,
}

/// Sweeps over the scenarios of `suite` (or over a plain one, when none was `named`); the exit code.
pub(super) fn run(kind: SweepKind, mut suite: Suite, named: bool, resolved: &Resolved) -> Result<u8, Complaint> {
    let palette = Palette::new(resolved.profile.clone(), resolved.capabilities, &[]);
    let bases = if named { std::mem::take(&mut suite.scenarios) } else { vec![Scenario::parse("steady", PLAIN)?] };
    let all: Vec<Swept> = bases.iter().flat_map(|base| sweeps(kind, base, &palette)).collect();
    if all.is_empty() {
        let what = "this sweep has no place in these scenarios: the profile or the target lacks what it takes, or nothing is published";
        return Err(Complaint::Usage(format!("{what}; name others with --only")));
    }
    let mut where_is: BTreeMap<String, (usize, String)> = BTreeMap::new();
    suite.scenarios.clear();
    for (nth, swept) in all.iter().enumerate() {
        for (at, (place, scenario)) in swept.cases.iter().enumerate() {
            let name = format!("sweep-{nth}-{at}");
            where_is.insert(name.clone(), (nth, place.clone()));
            suite.scenarios.push(Scenario { name, ..scenario.clone() });
        }
    }
    let stop = StopSign::default();
    watch_for_interrupt(&stop);
    let mut broken: Vec<Broken> = all.iter().map(|_| Broken::default()).collect();
    let mut done = vec![0_usize; all.len()];
    let known = |id: &str| resolved.target.known.contains_key(id);
    let ran = run_suite(&suite, &stop, |case| {
        let Some((nth, place)) = where_is.get(&case.base) else { return };
        done[*nth] += 1;
        let failed: Vec<String> = violated(&case).filter(|id| !known(id)).collect();
        let why = case.aborted.as_ref().filter(|_| !stop.is_raised()).map(|why| format!("{why:?}"));
        if failed.is_empty() && why.is_none() {
            return;
        }
        let of = &mut broken[*nth];
        of.places.push(place.clone());
        of.requirements.extend(failed);
        of.unfinished = of.unfinished.take().or(why);
    });
    let mut ended = Ended {
        violated: broken.iter().any(|of| !of.requirements.is_empty()),
        could_not_test: broken.iter().any(|of| of.unfinished.is_some()),
        interrupted: stop.is_raised(),
        nothing_ran: done.iter().all(|cases| *cases == 0),
        ..Ended::default()
    };
    ended.hear(&ran);
    let paint = Paint::for_stdout();
    let mut out = String::new();
    for (nth, swept) in all.iter().enumerate() {
        line(&mut out, swept, &broken[nth], done[nth], paint);
    }
    let cases: usize = done.iter().sum();
    let failed = broken.iter().filter(|of| !of.places.is_empty()).count();
    let _ = writeln!(out, "{cases} places, {} sweeps held, {failed} failed", all.len() - failed);
    print(&out);
    Ok(if ended.code() == exit::OK && cases == 0 { exit::NOTHING_RAN } else { ended.code() })
}

/// The requirements that a server must keep and did not.
fn violated(case: &Case) -> impl Iterator<Item = String> + '_ {
    let must = case.verdicts.iter().zip(CATALOGUE).filter(|(_, requirement)| requirement.level == Level::Must);
    must.filter(|(verdict, _)| matches!(verdict.finding, Finding::Fail { .. })).map(|(verdict, _)| verdict.requirement.clone())
}

fn line(out: &mut String, swept: &Swept, broken: &Broken, done: usize, paint: Paint) {
    let of = swept.cases.len();
    let run = if done == of { format!("{of} places") } else { format!("{done} of {of} places") };
    if broken.places.is_empty() {
        let _ = writeln!(out, "{} {}, {run}", paint.good("held  "), swept.says);
        return;
    }
    // In the order of the sweep, not in that of the workers.
    let places: Vec<&str> =
        swept.cases.iter().map(|(place, _)| place.as_str()).filter(|place| broken.places.iter().any(|p| p == place)).collect();
    let ids: Vec<&str> = broken.requirements.iter().map(String::as_str).collect();
    let why = broken.unfinished.as_ref().map_or(String::new(), |why| format!("; not finished: {why}"));
    let _ = writeln!(out, "{} {}, {run}, failed at {}: {}{why}", paint.bad("FAILED"), swept.says, places.join(", "), ids.join(" "));
}
