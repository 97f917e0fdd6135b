//! What can be asked of `streamspec simulate`.

use std::ops::Range;
use std::path::PathBuf;

use clap::Args;
use streamspec_reference_server::bugs::Bug;

use crate::cli::exit;
use crate::world::sim::Schedule;

/// Schedules after which an exhaustive search of one scenario is given up, unless `--most` says otherwise.
const MOST_EXHAUSTIVE: u64 = 1_000_000;

/// What to simulate, and how.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(in crate::cli) struct SimulateArgs {
    /// The protocol whose contract the simulated server keeps: a built-in profile's name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "sse")]
    pub(super) profile: String,
    /// Only scenarios of this name, at one place of their sweep (`name[7]`) or at all, or written for requirements whose id
    /// begins so; may be repeated
    #[arg(long, value_name = "ID|SCENARIO")]
    pub(super) only: Vec<String>,
    /// Scenarios of your own: a folder, whose *.toml are run beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub(super) scenarios: Option<PathBuf>,
    /// Which seeds; each stands for a scenario and a schedule
    #[arg(long, value_name = "FROM..TO", value_parser = seeds, default_value = "0..10000", conflicts_with_all = ["exhaustive", "schedule"])]
    pub(super) seeds: Range<u64>,
    /// Choose by priorities that change DEPTH - 1 times (PCT) instead of at random
    #[arg(long, value_name = "DEPTH", value_parser = clap::value_parser!(u32).range(1..=50), conflicts_with_all = ["exhaustive", "schedule"])]
    pub(super) pct: Option<u32>,
    /// Run every schedule that differs from the calm one in at most N choices; without N, every schedule there is
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = bound)]
    pub(super) exhaustive: Option<Bound>,
    /// Give up an exhaustive search of one scenario after this many schedules
    #[arg(long, value_name = "N", requires = "exhaustive", default_value_t = MOST_EXHAUSTIVE)]
    pub(super) most: u64,
    /// Run the one scenario that --only names under this schedule, as a finding shows it
    #[arg(long, value_name = "CHOICES", conflicts_with = "exhaustive")]
    pub(super) schedule: Option<Schedule>,
    /// Switch a defect of the simulated server on; may be repeated
    #[arg(long = "bug", value_name = "NAME")]
    pub(super) bugs: Vec<Bug>,
    /// Let the server's clock jump by an hour, back or forth, while it is restarted
    #[arg(long)]
    pub(super) clock_jumps: bool,
    /// Run every seed twice, and once more by its recorded choices, and compare the histories byte for byte
    #[arg(long, conflicts_with_all = ["exhaustive", "schedule"])]
    pub(super) check_determinism: bool,
    /// For every defect that can be simulated, or for those that --bug names: how many schedules until its requirement finds it,
    /// and how small the scenario becomes
    #[arg(long, conflicts_with_all = ["exhaustive", "schedule", "check_determinism"])]
    pub(super) table: bool,
    /// Write each finding's scenario and history into this folder
    #[arg(long, value_name = "DIR")]
    pub(super) save: Option<PathBuf>,
    /// On how many threads
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) jobs: Option<u16>,
}

/// How far an exhaustive search goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    All,
    Deviations(usize),
}

fn bound(text: &str) -> Result<Bound, String> {
    match text {
        "all" => Ok(Bound::All),
        number => number.parse().map(Bound::Deviations).map_err(|_| format!("`{text}` is no number of choices")),
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds; write 0..100000, or 17 for one");
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).map_err(|_| wrong()),
        None => text.parse::<u64>().map_err(|_| wrong()),
    };
    match text.split_once("..") {
        Some((from, to)) => {
            let range = number(from)?..number(to)?;
            if range.is_empty() { Err(format!("there is no seed in {text}")) } else { Ok(range) }
        }
        None => number(text).map(|one| one..one.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_one() {
        assert_eq!(seeds("0..10"), Ok(0..10));
        assert_eq!(seeds("0x10"), Ok(16..17));
        for bad in ["", "x", "5..5", "9..1", "1..x"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
    }
}
