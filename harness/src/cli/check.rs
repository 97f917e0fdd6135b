//! `streamspec check`: judges what others recorded.

use std::path::PathBuf;

use clap::Args;

use super::conversation::summary;
use super::replay::{Judged, judged};
use super::{Complaint, complain, exit, print, reason};
use crate::capture::tape::{Tape, conversation, is_tape};
use crate::capture::{self, Captured};
use crate::contract::Profile;
use crate::history::History;
use crate::report::{Page, Paint, plural, visible};

/// Largest file that is read.
const MOST_BYTES: u64 = 1 << 30;

/// What to judge, and by which protocol.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct CheckArgs {
    /// A history or a tape of streamspec, a HAR file, a log that the profile describes, or captures of `curl -N` (several are one reader's connections, in this order)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The protocol: a built-in profile's name or a file; a history of streamspec names its own
    #[arg(long, value_name = "NAME|FILE")]
    profile: Option<String>,
    /// Write what was read as a history, which `streamspec replay --history` judges again
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs it; the exit code.
pub(super) fn run(args: &CheckArgs) -> u8 {
    check(args).unwrap_or_else(|complaint| complain(&complaint))
}

fn check(args: &CheckArgs) -> Result<u8, Complaint> {
    let mut captured: Vec<Captured> = Vec::new();
    let mut histories: Vec<History> = Vec::new();
    let mut taped: Vec<History> = Vec::new();
    for file in &args.files {
        let told = |why: String| Complaint::Usage(format!("{}: {why}", file.display()));
        let length = std::fs::metadata(file).map_err(|e| told(format!("cannot be read: {}", reason(&e))))?.len();
        if length > MOST_BYTES {
            return Err(told(format!("the file has more than {} MiB; cut it into smaller ones", MOST_BYTES >> 20)));
        }
        let bytes = std::fs::read(file).map_err(|e| told(format!("cannot be read: {}", reason(&e))))?;
        if bytes.starts_with(b"{\"streamspec_history\"") {
            histories.push(History::read(bytes.as_slice()).map_err(|e| told(e.to_string()))?);
        } else if is_tape(&bytes) {
            let tape = Tape::read(bytes.as_slice()).map_err(told)?;
            let conversation = conversation(tape, &named(args)?).map_err(told)?;
            print(&summary(&conversation));
            tell_open(&conversation.open);
            taped.push(conversation.history);
        } else {
            // What comes in files of its own came one after the other.
            let behind = captured.iter().map(|one| one.ends_at().0 + 1).max().unwrap_or(0);
            let profile = args.profile.as_deref().map(Profile::load).transpose()?;
            let read = capture::read(&bytes, profile.as_ref()).map_err(told)?;
            captured.extend(read.into_iter().map(|one| one.later(behind)));
        }
    }
    let paint = Paint::for_stdout();
    let mut codes = Vec::new();
    for history in &histories {
        let profile = Profile::load(args.profile.as_deref().unwrap_or(&history.header.profile))?;
        codes.push(tell_of(&history.header.scenario, history, &profile, paint));
    }
    for history in &taped {
        codes.push(tell_of("recorded", history, &named(args)?, paint));
        keep(args, history)?;
    }
    if !captured.is_empty() {
        let profile = named(args)?;
        let told = capture::history(&captured, &profile).map_err(Complaint::Usage)?;
        print(&format!(
            "{}, {} known by cursor, {} missing between them\n",
            plural(captured.len() as u64, "captured stream"),
            plural(told.events as u64, "event"),
            plural(told.holes as u64, "event")
        ));
        tell_open(&told.open);
        codes.push(tell_of("captured", &told.history, &profile, paint));
        keep(args, &told.history)?;
    }
    Ok(exit::worst(&codes))
}

/// The profile that was asked for; what others recorded names none.
fn named(args: &CheckArgs) -> Result<Profile, Complaint> {
    match &args.profile {
        Some(name) => Ok(Profile::load(name)?),
        None => Err(Complaint::Usage("which protocol? name it with --profile (a built-in name or a file)".to_owned())),
    }
}

/// Writes a history where one was asked for.
fn keep(args: &CheckArgs, history: &History) -> Result<(), Complaint> {
    let Some(path) = &args.output else { return Ok(()) };
    history.save(path).map_err(|e| Complaint::Usage(format!("cannot write {}: {}", path.display(), reason(&e))))
}

/// Prints what a file leaves open.
pub(super) fn tell_open(open: &[String]) {
    for line in open {
        print(&Page::of_stdout().prose("open: ", &visible(line)));
    }
}

/// Requirements of one family with numbers that follow each other, in short: `WIRE-1…3 OPEN-2`.
fn in_ranges(ids: &[String]) -> String {
    let parts = |id: &str| id.rsplit_once('-').and_then(|(family, number)| Some((family.to_owned(), number.parse::<u32>().ok()?)));
    let follows = |before: &String, id: &String| match (parts(before), parts(id)) {
        (Some((of, before)), Some((family, number))) => of == family && before + 1 == number,
        (_, _) => false,
    };
    let word = |run: &[String]| match run {
        [first, .., last] => format!("{first}…{}", last.rsplit('-').next().unwrap_or_default()),
        alone => alone.concat(),
    };
    ids.chunk_by(follows).map(word).collect::<Vec<_>>().join(" ")
}

/// Prints what the checkers say; the exit code.
fn tell_of(name: &str, history: &History, profile: &Profile, paint: Paint) -> u8 {
    let page = Page::of_stdout();
    let Judged { text, judged, failed, held, undecided } = judged(history, profile, paint);
    print(&page.fit(text));
    let open: usize = undecided.values().map(Vec::len).sum();
    for (why, ids) in &undecided {
        print(&page.prose("undecided: ", &format!("{} ({})", in_ranges(ids), visible(why))));
    }
    print(&format!("{name}: {judged} judged; {held} passed, {failed} failed, {open} undecided\n"));
    match (failed, judged) {
        (1.., _) => exit::VIOLATED,
        (_, 0) => exit::INCONCLUSIVE,
        _ => exit::OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_a_range() {
        let of = |ids: &[&str]| in_ranges(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["WIRE-1", "WIRE-2", "WIRE-3", "WIRE-5", "OPEN-6", "OPEN-7", "ODD"]), "WIRE-1…3 WIRE-5 OPEN-6…7 ODD");
        assert_eq!(of(&[]), "");
    }
}
