//! `streamspec review`: accepts, rejects or skips pending snapshots.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit;
use super::{Complaint, complain, print, reason};
use crate::report::{Page, drawn_difference, plural};
use crate::transcript::Snapshot;

/// Folders deeper than this below the one that is named are not looked into.
const DEEPEST: usize = 8;

/// Which snapshots, and what to do with them.
#[derive(Clone, Debug, Args)]
pub(super) struct ReviewArgs {
    /// Where snapshots are
    #[arg(value_name = "DIR", default_value = "snapshots")]
    folder: PathBuf,
    /// Accept all that are pending
    #[arg(long, conflicts_with_all = ["reject", "check"])]
    accept: bool,
    /// Reject all that are pending
    #[arg(long, conflicts_with = "check")]
    reject: bool,
    /// Change nothing; exit code 1 when some are pending
    #[arg(long)]
    check: bool,
}

/// What happens to a pending snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Accept,
    Reject,
    Skip,
    Quit,
}

/// Runs it; the exit code.
pub(super) fn run(args: &ReviewArgs) -> u8 {
    review(args, &mut std::io::stdin().lock()).unwrap_or_else(|complaint| complain(&complaint))
}

fn review(args: &ReviewArgs, answers: &mut impl BufRead) -> Result<u8, Complaint> {
    let mut pending = Vec::new();
    find(&args.folder, 0, &mut pending)?;
    pending.sort();
    let page = Page::of_stdout();
    let (mut accepted, mut rejected, mut left) = (0_u64, 0_u64, 0_u64);
    let mut quit = false;
    for (nth, new) in pending.iter().enumerate() {
        let path = new.with_extension("");
        print(&page.fit(shown(new, &path, (nth + 1, pending.len()), page)?));
        let choice = match (args.accept, args.reject, args.check || quit) {
            (true, _, _) => Choice::Accept,
            (_, true, _) => Choice::Reject,
            (_, _, true) => Choice::Skip,
            (false, false, false) => asked(answers, &page.fit(format!("[{} of {}] {}\n", nth + 1, pending.len(), path.display())))?,
        };
        match choice {
            Choice::Accept => {
                std::fs::rename(new, &path).map_err(|e| cannot("replace", &path, &e))?;
                accepted += 1;
            }
            Choice::Reject => {
                std::fs::remove_file(new).map_err(|e| cannot("remove", new, &e))?;
                rejected += 1;
            }
            Choice::Skip | Choice::Quit => left += 1,
        }
        quit |= choice == Choice::Quit;
        if quit {
            left += (pending.len() - nth - 1) as u64;
            break;
        }
    }
    let all = plural(pending.len() as u64, "pending snapshot");
    print(&format!("{all}: {accepted} accepted, {rejected} rejected, {left} left\n"));
    Ok(if args.check && left > 0 { exit::VIOLATED } else { exit::OK })
}

/// The pending snapshots in a folder and those below it.
fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Complaint> {
    let entries = std::fs::read_dir(folder).map_err(|e| {
        Complaint::Usage(format!("cannot read the folder {}: {}; name the one with snapshots", folder.display(), reason(&e)))
    })?;
    for entry in entries.filter_map(Result::ok) {
        // A link may lead round in circles.
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() && depth < DEEPEST {
            find(&path, depth + 1, found)?;
        } else if kind.is_file() && path.to_string_lossy().ends_with(".snap.new") {
            found.push(path);
        }
    }
    Ok(())
}

fn shown(new: &Path, path: &Path, (nth, of): (usize, usize), page: Page) -> Result<String, Complaint> {
    let load = |path: &Path| Snapshot::load(path).map_err(|e| Complaint::Usage(e.to_string()));
    let is = load(new)?;
    let was = if path.exists() { load(path)?.contents } else { String::new() };
    let heading = format!("[{nth} of {of}] {}", path.display());
    let what = if was.is_empty() { "a new transcript" } else { "what differs (- before, + now)" };
    Ok(format!("{}\n{what}, from {}:\n{}\n\n", page.paint.bold(&heading), is.source, drawn_difference(&was, &is.contents, page).trim_end()))
}

/// Asks until the answer is one; the end of input is to quit. What is asked about stands with the question, because its
/// beginning may have left the screen.
fn asked(answers: &mut impl BufRead, about: &str) -> Result<Choice, Complaint> {
    print(about);
    loop {
        print("accept (a), reject (r), skip (s) or quit (q)? ");
        let mut answer = String::new();
        let read = answers.read_line(&mut answer).map_err(|e| Complaint::Usage(format!("no answer can be read: {e}")))?;
        match answer.trim() {
            _ if read == 0 => return Ok(Choice::Quit),
            "a" | "accept" => return Ok(Choice::Accept),
            "r" | "reject" => return Ok(Choice::Reject),
            "s" | "skip" => return Ok(Choice::Skip),
            "q" | "quit" => return Ok(Choice::Quit),
            _ => {}
        }
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Complaint {
    Complaint::Usage(format!("cannot {what} {}: {}", path.display(), reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str, contents: &str) {
        Snapshot { source: "x".to_owned(), expression: "y".to_owned(), contents: contents.to_owned() }.save(&folder.join(name)).unwrap();
    }

    fn answered(folder: &Path, answers: &str, flags: [bool; 3]) -> u8 {
        let [accept, reject, check] = flags;
        let args = ReviewArgs { folder: folder.to_owned(), accept, reject, check };
        review(&args, &mut answers.as_bytes()).unwrap()
    }

    #[test]
    fn each_pending_snapshot_is_decided_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("sse");
        for name in ["a", "b", "c"] {
            put(&folder, &format!("{name}.snap"), "old");
            put(&folder, &format!("{name}.snap.new"), "new");
        }
        assert_eq!(answered(dir.path(), "", [false, false, true]), exit::VIOLATED);
        assert_eq!(answered(dir.path(), "what?\na\nreject\ns\n", [false; 3]), exit::OK);
        let contents = |name: &str| Snapshot::load(&folder.join(name)).map(|snapshot| snapshot.contents).ok();
        let is = |text: &str| Some(text.to_owned());
        assert_eq!([contents("a.snap"), contents("b.snap"), contents("c.snap")], [is("new"), is("old"), is("old")]);
        assert_eq!([contents("a.snap.new"), contents("b.snap.new"), contents("c.snap.new")], [None, None, is("new")]);
        assert_eq!(answered(dir.path(), "", [false; 3]), exit::OK, "the end of input decides nothing");
        assert_eq!(contents("c.snap.new"), is("new"));
        assert_eq!(answered(dir.path(), "", [false, true, false]), exit::OK);
        assert_eq!((contents("c.snap.new"), contents("c.snap")), (None, is("old")));
        assert_eq!(answered(dir.path(), "", [false, false, true]), exit::OK);
    }
}
