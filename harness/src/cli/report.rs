//! `streamspec report`: draws a stored history.

use std::path::PathBuf;

use clap::Args;

use super::{Complaint, complain, exit, print, reason};
use crate::check::{Finding, judge};
use crate::contract::Profile;
use crate::history::History;
use crate::report::{html_of_history, plural, replace, svg_of_history};

/// Which history, and what to draw.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct ReportArgs {
    /// A history: what `test --history`, `fuzz` and `check -o` keep
    #[arg(value_name = "HISTORY")]
    history: PathBuf,
    /// Where the page goes (.html), or the picture alone (.svg); default: beside the history, with the ending .html
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The protocol: a built-in profile's name or a file; default: the one that the history names
    #[arg(long, value_name = "NAME|FILE")]
    profile: Option<String>,
}

/// Runs it; the exit code. Drawing is all that is asked for, so a violation in the history does not fail it.
pub(super) fn run(args: &ReportArgs) -> u8 {
    draw(args).unwrap_or_else(|complaint| complain(&complaint))
}

fn draw(args: &ReportArgs) -> Result<u8, Complaint> {
    let shown = args.history.display();
    let file = std::fs::File::open(&args.history).map_err(|e| {
        Complaint::Usage(format!(
            "the history {shown} cannot be read: {}; `streamspec test --history DIR` keeps those of failures",
            reason(&e)
        ))
    })?;
    let output = args.output.clone().unwrap_or_else(|| args.history.with_extension("html"));
    let ending = output.extension().and_then(|ending| ending.to_str()).unwrap_or("").to_ascii_lowercase();
    if !["html", "htm", "svg"].contains(&ending.as_str()) {
        return Err(Complaint::Usage(format!("what is {} to be? name a file that ends in .html or .svg", output.display())));
    }
    if output == args.history {
        return Err(Complaint::Usage(format!("{shown} is the history itself; name another file with --output")));
    }
    let history = History::read(std::io::BufReader::new(file)).map_err(|e| Complaint::Usage(format!("{shown}, {e}")))?;
    let profile = Profile::load(args.profile.as_deref().unwrap_or(&history.header.profile))?;
    let verdicts = judge(&history, &profile);
    let violation = verdicts.iter().find_map(|verdict| match &verdict.finding {
        Finding::Fail { violations, .. } => violations.first(),
        Finding::Pass { .. } | Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => None,
    });
    let text = if ending == "svg" { svg_of_history(&history, violation) } else { html_of_history(&history, &verdicts) };
    replace(&output, text.as_bytes()).map_err(|e| Complaint::Usage(format!("cannot write {}: {}", output.display(), reason(&e))))?;
    print(&format!("{}: {}\n", output.display(), plural(history.records.len() as u64, "record")));
    Ok(exit::OK)
}
