//! The corpus: scenarios that each reach something that the others do not, kept between runs.
//!
//! In a folder each is a scenario file with one line of comment above it, which says the version of the format and what
//! the scenario reaches. What it reaches is never believed: every scenario is run again before it counts. Files without
//! that line were put there by a person; they are used, and left alone.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::failure::write_whole;
use super::goals::GOALS;
use crate::contract::FileError;
use crate::scenario::{Scenario, at, places};

/// The version of the format that this streamspec writes, and the newest that it reads.
const VERSION: u32 = 1;

/// What a corpus file of ours begins with.
const MARK: &str = "# streamspec corpus ";

/// More scenarios are not kept; those that are there reach nearly everything.
const MOST: usize = 400;

/// Something that a scenario can reach: a goal, a goal several times, or two goals in one case.
type Feature = (usize, usize);

/// Scenarios that each reached something new.
#[derive(Debug, Default)]
pub struct Corpus {
    entries: Vec<Entry>,
    seen: BTreeSet<Feature>,
}

#[derive(Debug)]
struct Entry {
    scenario: Scenario,
    features: BTreeSet<Feature>,
}

/// Goals and pairs of goals; a goal that was reached three times or more stands above the table of goals.
fn features(reached: &[usize]) -> BTreeSet<Feature> {
    let goals: Vec<usize> = (0..reached.len()).filter(|goal| reached[*goal] > 0).collect();
    let mut all = BTreeSet::new();
    for (nth, goal) in goals.iter().enumerate() {
        all.insert((*goal, *goal));
        if reached[*goal] > 2 {
            all.insert((reached.len() + goal, *goal));
        }
        all.extend(goals[nth + 1..].iter().map(|other| (*goal, *other)));
    }
    all
}

impl Corpus {
    /// Takes note of what a scenario reached, and keeps it when some of that is new.
    pub fn consider(&mut self, scenario: &Scenario, reached: &[usize]) -> bool {
        let features = features(reached);
        if self.entries.len() >= MOST || features.is_subset(&self.seen) {
            return false;
        }
        self.seen.extend(features.iter().copied());
        self.entries.push(Entry { scenario: scenario.clone(), features });
        true
    }

    /// How many scenarios are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The scenario at a place of the list, for whoever chooses at random.
    pub fn pick(&self, at: u64) -> Option<&Scenario> {
        let len = self.entries.len() as u64;
        (len > 0).then(|| &self.entries[(at % len) as usize].scenario)
    }

    /// Leaves out what others reach together: the shortest scenarios stay.
    pub fn minimise(&mut self) {
        self.entries.sort_by_key(|entry| entry.scenario.steps.len());
        let mut covered = BTreeSet::new();
        self.entries.retain(|entry| {
            let new = !entry.features.is_subset(&covered);
            covered.extend(entry.features.iter().copied());
            new
        });
    }

    /// Writes the corpus into `folder` in place of what was loaded from there. How many files it has now.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn save(&mut self, folder: &Path, loaded: &[PathBuf]) -> io::Result<usize> {
        self.minimise();
        std::fs::create_dir_all(folder)?;
        let mut written = BTreeSet::new();
        let mut told: BTreeSet<usize> = BTreeSet::new();
        for entry in &self.entries {
            let own: Vec<usize> = entry.features.iter().filter(|(goal, other)| goal == other).map(|(goal, _)| *goal).collect();
            // Named for a goal that no earlier one is named for, so that a listing of the folder tells what is there.
            let goal = own.iter().find(|goal| !told.contains(*goal)).or(own.first());
            told.extend(goal);
            let base = goal.map_or("nothing", |goal| GOALS[*goal].name);
            let free = |n: usize| if n == 1 { base.to_owned() } else { format!("{base}-{n}") };
            let taken = |name: &String| {
                let path = folder.join(format!("{name}.toml"));
                written.contains(&path) || (path.exists() && !loaded.contains(&path))
            };
            let name = (1..=MOST * 2).map(free).find(|name| !taken(name)).unwrap_or_else(|| base.to_owned());
            let path = folder.join(format!("{name}.toml"));
            let goals: Vec<&str> = own.iter().map(|goal| GOALS[*goal].name).collect();
            let says = goal.map_or("", |goal| GOALS[*goal].says);
            let scenario = Scenario { name, says: says.to_owned(), ..entry.scenario.clone() };
            write_whole(&path, format!("{MARK}{VERSION}\n{}", scenario.to_toml(&format!("reaches {}", goals.join(", ")))).as_bytes())?;
            written.insert(path);
        }
        for old in loaded.iter().filter(|old| !written.contains(*old)) {
            std::fs::remove_file(old)?;
        }
        Ok(written.len())
    }
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Scenarios, those with sweeps at each of their places.
    pub scenarios: Vec<Scenario>,
    /// The files that are ours to replace.
    pub ours: Vec<PathBuf>,
    /// Files that cannot be read any more, with the reason; they stay where they are.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Reads a corpus; a folder that is not there yet is an empty one.
///
/// # Errors
/// When the folder cannot be read.
pub fn load(folder: &Path) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(loaded),
        Err(error) => return Err(error),
    };
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|end| end == "toml"));
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let version = text.lines().next().and_then(|line| line.strip_prefix(MARK)).map(|rest| rest.trim().parse::<u32>());
        match version {
            Some(Ok(version)) if version > VERSION => {
                let why = format!("version {version} of the format; this streamspec reads up to version {VERSION}");
                loaded.unreadable.push((file, why));
                continue;
            }
            Some(Ok(_)) => loaded.ours.push(file.clone()),
            Some(Err(_)) | None => {}
        }
        match Scenario::parse(&file.display().to_string(), &text) {
            Ok(scenario) => {
                let all = places(&scenario).map_or_else(|| vec![0], |sweep| sweep.places);
                loaded.scenarios.extend(all.into_iter().map(|place| at(&scenario, place)));
            }
            Err(error) => {
                loaded.ours.retain(|ours| *ours != file);
                loaded.unreadable.push((file, in_words(&error)));
            }
        }
    }
    Ok(loaded)
}

fn in_words(error: &FileError) -> String {
    format!("{error} ({})", error.place())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(events: u32) -> Scenario {
        let text = format!(
            "name = \"x\"\nsays = \"y\"\nneeds = [\"publish\"]\nsteps = [{{ open = {{ session = \"s\" }} }},
             {{ publish = {{ session = \"s\", count = {events} }} }}]"
        );
        Scenario::parse("it", &text).unwrap()
    }

    fn reaches(goals: &[usize]) -> Vec<usize> {
        (0..GOALS.len()).map(|goal| usize::from(goals.contains(&goal))).collect()
    }

    #[test]
    fn what_is_saved_is_read_again_and_what_others_reach_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut corpus = Corpus::default();
        assert!(corpus.consider(&scenario(1), &reaches(&[3])));
        assert!(!corpus.consider(&scenario(2), &reaches(&[3])), "nothing new");
        assert!(corpus.consider(&scenario(3), &reaches(&[3, 5])));
        assert_eq!(corpus.save(folder.path(), &[]).unwrap(), 2);
        let own = folder.path().join("mine.toml");
        std::fs::write(&own, scenario(9).to_toml("").replace("\"x\"", "\"mine\"")).unwrap();

        let loaded = load(folder.path()).unwrap();
        assert_eq!((loaded.scenarios.len(), loaded.ours.len(), loaded.unreadable.len()), (3, 2, 0));
        let mut again = Corpus::default();
        // This one reaches everything, so that it alone is kept.
        assert!(again.consider(&scenario(4), &reaches(&[3, 5])));
        assert_eq!(again.save(folder.path(), &loaded.ours).unwrap(), 1);
        let left = load(folder.path()).unwrap();
        assert_eq!((left.scenarios.len(), left.ours.len()), (2, 1), "the old files are gone, the person's is not");
        assert!(own.exists());
    }

    #[test]
    fn a_file_of_a_later_version_is_named_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let later = folder.path().join("x.toml");
        std::fs::write(&later, format!("{MARK}9\n{}", scenario(1).to_toml(""))).unwrap();
        let loaded = load(folder.path()).unwrap();
        assert!(loaded.scenarios.is_empty() && loaded.ours.is_empty());
        assert!(loaded.unreadable[0].1.contains("version 9"), "{:?}", loaded.unreadable);
    }
}
