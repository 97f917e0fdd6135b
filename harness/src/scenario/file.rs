//! From paths, names and texts to scenarios.

use std::path::Path;

use include_dir::{Dir, include_dir};

use crate::contract::FileError;
use crate::contract::file::{read, text_of};

use super::{Scenario, validate};

/// The scenarios that are compiled in: a folder `core` for every profile, and one for each profile that has its own.
static SCENARIOS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

impl Scenario {
    /// The scenario in the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn load(path: impl AsRef<Path>) -> Result<Scenario, FileError> {
        let path = path.as_ref();
        Scenario::parse(&path.display().to_string(), &text_of(path, "scenario")?)
    }

    /// The scenario in `text`; `file` is how messages call it, and must be named for the scenario when it ends in `.toml`.
    ///
    /// # Errors
    /// When it is no TOML, is shaped otherwise, or does what cannot be done.
    pub fn parse(file: &str, text: &str) -> Result<Scenario, FileError> {
        let stem = Path::new(file).extension().is_some_and(|end| end == "toml").then(|| Path::new(file).file_stem()).flatten();
        read(file, text, |scenario: &Scenario, problems| validate::scenario(scenario, stem.and_then(|stem| stem.to_str()), problems))
    }

    /// The built-in scenarios for this profile, by name: those for every profile and its own.
    ///
    /// # Errors
    /// Never in a released binary: tests read every built-in scenario.
    pub fn built_in(profile: &str) -> Result<Vec<Scenario>, FileError> {
        let mut all = Vec::new();
        for file in ["core", profile].iter().filter_map(|folder| SCENARIOS.get_dir(folder)).flat_map(Dir::files) {
            if let (Some("toml"), Some(text)) = (file.path().extension().and_then(|end| end.to_str()), file.contents_utf8()) {
                all.push(Scenario::parse(&format!("scenarios/{}", file.path().display()), text)?);
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_is_read() {
        let mut broken = Vec::new();
        for file in SCENARIOS.dirs().flat_map(Dir::files) {
            let name = file.path().display().to_string();
            if let Err(error) = Scenario::parse(&name, file.contents_utf8().unwrap()) {
                broken.push(format!("{}: {error}; {}", error.place(), error.next_step()));
            }
        }
        assert_eq!(broken, Vec::<String>::new());
        let all = Scenario::built_in("sse").unwrap();
        assert!(all.len() >= 40, "only {} scenarios", all.len());
        let mut names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), all.len(), "a name is given twice");
    }
}
