//! `streamspec matrix`: several runs side by side.

use std::path::PathBuf;

use clap::Args;

use super::{Complaint, complain, exit, print, reason};
use crate::report::{Column, matrix_html, matrix_markdown, replace};

/// Largest report that is read.
const MOST_BYTES: u64 = 256 << 20;

/// Which runs.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct MatrixArgs {
    /// JSON reports, as `test --report json=PATH` writes them
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Where it goes: a page (.html) or Markdown (.md); default: Markdown on standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs it; the exit code. Comparing is all that is asked for, so what the runs failed does not fail it.
pub(super) fn run(args: &MatrixArgs) -> u8 {
    compare(args).unwrap_or_else(|complaint| complain(&complaint))
}

fn compare(args: &MatrixArgs) -> Result<u8, Complaint> {
    let page = match args.output.as_ref().map(|path| path.extension().and_then(|ending| ending.to_str()).unwrap_or("")) {
        Some("html" | "htm") => true,
        Some("md") | None => false,
        Some(_) => return Err(Complaint::Usage("what is it to be? name a file that ends in .html or .md".to_owned())),
    };
    let mut columns = Vec::new();
    for run in &args.runs {
        let told = |why: String| Complaint::Usage(format!("{}: {why}", run.display()));
        let length = std::fs::metadata(run).map_err(|e| told(format!("cannot be read: {}", reason(&e))))?.len();
        if length > MOST_BYTES {
            return Err(told(format!("the file has more than {} MiB, and is no report", MOST_BYTES >> 20)));
        }
        let bytes = std::fs::read(run).map_err(|e| told(format!("cannot be read: {}", reason(&e))))?;
        let value = serde_json::from_slice(&bytes).map_err(|e| told(format!("it is no JSON report: {e}")))?;
        columns.extend(Column::of_report(&value).map_err(told)?);
    }
    let text = if page { matrix_html(&columns) } else { matrix_markdown(&columns) };
    match &args.output {
        Some(path) => {
            replace(path, text.as_bytes()).map_err(|e| Complaint::Usage(format!("cannot write {}: {}", path.display(), reason(&e))))?;
            print(&format!("{}\n", path.display()));
        }
        None => print(&text),
    }
    Ok(exit::OK)
}
