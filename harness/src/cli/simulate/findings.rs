//! What a simulation found: shrunk, shown, and written down.

use std::fmt::Write;
use std::path::Path;

use super::args::SimulateArgs;
use super::{Prepared, SHRINK_RUNS, name_of};
use crate::check::Finding;
use crate::cli::print;
use crate::contract::{CATALOGUE, Level};
use crate::report::{Failure, Page, ended_early, plural, write_failure};
use crate::scenario::Scenario;
use crate::world::sim::campaign::{self, Found, Outcome, Shrunk};
use crate::world::sim::{Chooser, Run, Schedule};

impl Prepared {
    /// Shrinks and shows what was found; writes it down where asked to.
    pub(super) fn findings(&self, args: &SimulateArgs, outcome: &Outcome) -> Result<(), String> {
        for ((id, shape), found) in &outcome.found {
            let smallest = self.smallest(found, id, shape);
            let Some(requirement) = CATALOGUE.iter().find(|r| r.id == *id) else { continue };
            let word = if requirement.level == Level::Must { self.paint.bad("FAILED") } else { self.paint.warn("WARNING") };
            let level = format!("{:?}", requirement.level).to_uppercase();
            let mut out = format!("{word} {} ({level}): {}\n", self.paint.bold(id), requirement.says);
            if let Some(failure) = smallest.failure(id, shape) {
                write_failure(&mut out, &failure, Page::of_stdout());
            }
            let _ = writeln!(
                out,
                "  schedule: seed {}, {} choices; {} after {}{}: {}",
                found.seed,
                found.schedule.0.len(),
                plural(smallest.schedule.deviations() as u64, "deviation"),
                plural(u64::from(smallest.runs), "run"),
                ended_early(smallest.gave_up),
                smallest.schedule
            );
            let _ = writeln!(out, "  likely:   {}", requirement.likely);
            let _ = writeln!(out, "  spec:     {}", requirement.source);
            let _ = writeln!(out, "  rerun:    {}", self.again(args, found, &smallest.schedule));
            if let Some(folder) = &args.save {
                let stem =
                    save(folder, found, id, shape, &smallest).map_err(|why| format!("cannot write into {}: {why}", folder.display()))?;
                let _ = writeln!(out, "  live:     {}", self.live(args, folder, &stem));
            }
            out.push('\n');
            print(&out);
        }
        Ok(())
    }

    fn smallest(&self, found: &Found, id: &str, shape: &str) -> Smallest {
        let same = |run: &Run| {
            let verdicts = crate::check::judge(&run.history, &self.simulation.profile);
            campaign::violated(&verdicts).any(|(other, form)| other == id && form == shape)
        };
        let Shrunk { schedule, runs, gave_up } = campaign::shrink(&self.simulation, &found.scenario, &found.schedule, SHRINK_RUNS, same);
        let run = self.simulation.run(&found.scenario, Chooser::Fixed(schedule.clone()), found.seed);
        let verdicts = crate::check::judge(&run.history, &self.simulation.profile);
        Smallest { schedule, runs, gave_up, run, verdicts, case: found.scenario.name.clone(), base: found.base.clone() }
    }

    fn again(&self, args: &SimulateArgs, found: &Found, schedule: &Schedule) -> String {
        let mut again = "streamspec simulate".to_owned();
        if args.profile != "sse" {
            let _ = write!(again, " --profile {}", args.profile);
        }
        for bug in &args.bugs {
            let _ = write!(again, " --bug {}", name_of(*bug));
        }
        if let Some(folder) = &args.scenarios {
            let _ = write!(again, " --scenarios {}", folder.display());
        }
        if args.clock_jumps {
            again.push_str(" --clock-jumps");
        }
        let quote = if found.scenario.name.contains('[') { "'" } else { "" };
        let _ = write!(again, " --only {quote}{}{quote} --schedule {schedule}", found.scenario.name);
        again
    }

    fn live(&self, args: &SimulateArgs, folder: &Path, stem: &str) -> String {
        let bugs: String = args.bugs.iter().map(|bug| format!(" --bug {}", name_of(*bug))).collect();
        format!(
            "streamspec replay {} --profile {} --start 'streamspec serve --port {{port}} --data {{dir}} --heartbeat 500ms{bugs}'",
            folder.join(format!("{stem}.toml")).display(),
            args.profile,
        )
    }
}

/// A finding under the smallest schedule that shows it.
struct Smallest {
    schedule: Schedule,
    runs: u32,
    gave_up: bool,
    run: Run,
    verdicts: Vec<crate::check::Verdict>,
    case: String,
    base: String,
}

impl Smallest {
    fn failure(&self, id: &str, shape: &str) -> Option<Failure> {
        let of = self.verdicts.iter().find(|v| v.requirement == id)?;
        let Finding::Fail { violations, .. } = &of.finding else { return None };
        let violation = violations.iter().find(|v| v.shape == shape)?;
        Some(Failure { curl: None, ..Failure::of(&self.case, &self.base, &self.run.history, violation) })
    }
}

/// Writes the scenario, ready to be run live, and the history beside it; the scenario's name.
fn save(folder: &Path, found: &Found, id: &str, shape: &str, smallest: &Smallest) -> Result<String, String> {
    let plain = |text: &str| text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>();
    let stem = format!("{}-{}-{}", plain(id), plain(shape), plain(found.scenario.name.trim_end_matches(']')));
    let mut scenario = found.scenario.clone();
    scenario.name.clone_from(&stem);
    scenario.judges = vec![id.to_owned()];
    let text = scenario
        .to_toml(&format!("Found by `streamspec simulate` under the schedule {}; `streamspec replay` runs it live.", smallest.schedule));
    // What cannot be read again is of no use to anybody.
    Scenario::parse(&format!("{stem}.toml"), &text).map_err(|e| e.to_string())?;
    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    let file = tempfile::NamedTempFile::new_in(folder).map_err(|e| e.to_string())?;
    std::fs::write(file.path(), text).map_err(|e| e.to_string())?;
    file.persist(folder.join(format!("{stem}.toml"))).map_err(|e| e.to_string())?;
    smallest.run.history.save(&folder.join(format!("{stem}.ndjson"))).map_err(|e| e.to_string())?;
    Ok(stem)
}
