//! `streamspec test --watch DIR`: the same run again whenever something in a folder has changed.
//!
//! The run is a process of its own with the same arguments, so that each begins from nothing. Names, sizes and times of the
//! folder's files are compared a few times a second: that works on every file system, mounted ones too, which report no changes
//! by themselves.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{Complaint, complain, exit, print, reason, tell};

/// How often the folder is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// Folders that hold what is built or fetched, not what is written.
const PASSED_OVER: [&str; 5] = [".git", "target", "node_modules", "__pycache__", ".streamspec"];
/// A folder with more files than this is a mistake.
const MOST: usize = 50_000;

/// Size and time of every file below a folder.
type State = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Runs until it is interrupted; the exit code when it cannot begin.
pub(super) fn run(folder: &Path) -> u8 {
    match watch(folder) {
        Ok(never) => match never {},
        Err(complaint) => complain(&complaint),
    }
}

fn watch(folder: &Path) -> Result<std::convert::Infallible, Complaint> {
    let own = std::env::current_exe().map_err(|e| Complaint::Usage(format!("cannot find streamspec's own program: {e}")))?;
    let arguments = without_watch(std::env::args_os().skip(1));
    loop {
        // What changes during the run is seen after it.
        let before = state(folder)?;
        if std::io::stdout().is_terminal() {
            print("\u{1b}[2J\u{1b}[H");
        }
        let ran = Command::new(&own).args(&arguments).status();
        let ran = ran.map_err(|e| Complaint::Usage(format!("cannot run {}: {e}", own.display())))?;
        if ran.code() == Some(i32::from(exit::INTERRUPTED)) {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        tell(&format!("watching {}; Ctrl-C ends it", folder.display()));
        let mut seen = state(folder)?;
        while seen == before {
            std::thread::sleep(EVERY);
            seen = state(folder)?;
        }
        // An editor writes in several steps: what it writes is whole when two looks are alike.
        loop {
            std::thread::sleep(EVERY);
            let next = state(folder)?;
            if next == seen {
                break;
            }
            seen = next;
        }
    }
}

/// What there is now.
fn state(folder: &Path) -> Result<State, Complaint> {
    let unreadable = |e: std::io::Error| Complaint::Usage(format!("cannot watch the folder {}: {}", folder.display(), reason(&e)));
    std::fs::read_dir(folder).map_err(unreadable)?;
    let mut state = State::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        // What is gone by now has changed, and is seen as that.
        for entry in std::fs::read_dir(&inner).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            match about.is_dir() {
                true if PASSED_OVER.iter().any(|name| entry.file_name() == *name) => {}
                true => folders.push(entry.path()),
                false => drop(state.insert(entry.path(), (about.len(), about.modified().ok()))),
            }
        }
        if state.len() > MOST {
            let why = format!("{} holds more than {MOST} files; name the folder that holds your sources", folder.display());
            return Err(Complaint::Usage(why));
        }
    }
    Ok(state)
}

/// The arguments of one run.
fn without_watch(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut value = false;
    for argument in arguments {
        let text = argument.to_string_lossy();
        match (value, text == "--watch", text.starts_with("--watch=")) {
            (true, _, _) => value = false,
            (false, true, _) => value = true,
            (false, false, true) => {}
            (false, false, false) => kept.push(argument),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_not_told_to_watch() {
        let of = |words: &[&str]| without_watch(words.iter().map(OsString::from));
        for words in [["test", "--watch", "src", "--only", "SEAM"].as_slice(), &["test", "--watch=src", "--only", "SEAM"]] {
            assert_eq!(of(words), ["test", "--only", "SEAM"]);
        }
    }

    #[test]
    fn what_was_written_removed_or_grew_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let look = || state(dir.path()).unwrap();
        let nothing = look();
        std::fs::create_dir_all(dir.path().join("a/target")).unwrap();
        std::fs::write(dir.path().join("a/target/x"), "built").unwrap();
        assert_eq!(look(), nothing, "what is built is passed over");
        std::fs::write(dir.path().join("a/b.rs"), "1").unwrap();
        let one = look();
        assert_ne!(one, nothing);
        std::fs::write(dir.path().join("a/b.rs"), "12").unwrap();
        assert_ne!(look(), one);
        std::fs::remove_file(dir.path().join("a/b.rs")).unwrap();
        assert_eq!(look(), nothing);
        assert!(state(&dir.path().join("nowhere")).is_err());
    }
}
