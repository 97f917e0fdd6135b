//! From names and paths to profiles and targets.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::contract::validate;
use crate::contract::{Profile, Target};

use super::{FileError, read, short, spot, suggest};

/// The profiles that are compiled in, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("sse", include_str!("../../../profiles/sse.toml")),
    ("opencode", include_str!("../../../profiles/opencode.toml")),
    ("opencode-live", include_str!("../../../profiles/opencode-live.toml")),
    ("opencode-unified", include_str!("../../../profiles/opencode-unified.toml")),
    ("pawwork", include_str!("../../../profiles/pawwork.toml")),
    ("hermes", include_str!("../../../profiles/hermes.toml")),
    ("hermes-session", include_str!("../../../profiles/hermes-session.toml")),
    ("dispatch", include_str!("../../../profiles/dispatch.toml")),
    ("mppx", include_str!("../../../profiles/mppx.toml")),
];

/// No file that people write is larger.
const LARGEST: u64 = 4 << 20;

impl Profile {
    /// The names of the built-in profiles.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The text of a built-in profile, as an example to start from.
    pub fn built_in_text(name: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The built-in profile of this name, or else the one in the file at this path.
    ///
    /// # Errors
    /// When there is neither, or the file cannot be used.
    pub fn load(name_or_path: &str) -> Result<Profile, FileError> {
        if let Some(text) = Profile::built_in_text(name_or_path) {
            return Profile::parse(&format!("{name_or_path}.toml"), text);
        }
        if !Path::new(name_or_path).exists() && !looks_like_a_path(name_or_path) {
            let known: Vec<&str> = Profile::built_in().collect();
            let help = suggest(name_or_path, &known, "built-in profiles") + "; or give the path of a profile file";
            return Err(FileError::unread(name_or_path, format!("there is no profile `{}`", short(name_or_path)), help));
        }
        Profile::parse(name_or_path, &text_of(Path::new(name_or_path), "profile")?)
    }

    /// The profile with some parameters of its contract replaced, as a target file gives them.
    ///
    /// # Errors
    /// When the result is no contract; the text says where.
    pub fn with(mut self, changes: &std::collections::BTreeMap<String, serde_json::Value>) -> Result<Profile, String> {
        fn merge(into: &mut serde_json::Value, from: &serde_json::Value) {
            match (into, from) {
                (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
                    for (key, value) in from {
                        merge(into.entry(key.clone()).or_insert(serde_json::Value::Null), value);
                    }
                }
                (into, from) => *into = from.clone(),
            }
        }
        let mut contract = serde_json::to_value(&self.contract).map_err(|e| e.to_string())?;
        for (key, value) in changes {
            merge(&mut contract[key.as_str()], value);
        }
        self.contract = serde_json::from_value(contract).map_err(|e| e.to_string())?;
        Ok(self)
    }

    /// The profile in `text`; `file` is how messages call it.
    ///
    /// # Errors
    /// When it is no TOML, is shaped otherwise, or contradicts itself.
    pub fn parse(file: &str, text: &str) -> Result<Profile, FileError> {
        read(file, text, validate::profile)
    }
}

impl Target {
    /// The target in the file at `path`. Its `profile` (where that is a path) and `cwd` are then relative to the current
    /// folder, no longer to the file's.
    ///
    /// # Errors
    /// When the file cannot be read or used, or names a profile that is not there.
    pub fn load(path: impl AsRef<Path>) -> Result<Target, FileError> {
        let path = path.as_ref();
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let mut target: Target = read(&path.display().to_string(), &text_of(path, "target")?, |target: &Target, problems| {
            validate::target(target, problems);
            if Profile::built_in_text(&target.profile).is_none() && !folder.join(&target.profile).is_file() {
                let known: Vec<&str> = Profile::built_in().collect();
                let help = suggest(&target.profile, &known, "built-in profiles") + "; or give a path relative to this file";
                problems.at(&spot!["profile"], format!("there is no profile `{}`", short(&target.profile)), "not found", help);
            }
            let named = match Profile::built_in_text(&target.profile) {
                Some(_) => target.profile.clone(),
                None => folder.join(&target.profile).display().to_string(),
            };
            // A profile that cannot be used has an error of its own, in its own file.
            let misfit = Profile::load(&named).ok().and_then(|profile| profile.with(&target.contract).err());
            if let Some(why) = misfit.filter(|_| !target.contract.is_empty()) {
                let what = format!("`contract` does not fit the profile `{}`: {why}", short(&target.profile));
                problems.at(
                    &spot!["contract"],
                    what,
                    "does not fit",
                    "write it as the profile does; `streamspec schema profile` shows how",
                );
            }
            if let Some(cwd) = target.cwd.as_ref().filter(|cwd| !folder.join(cwd).is_dir()) {
                let what = format!("there is no folder `{}`", short(cwd));
                problems.at(&spot!["cwd"], what, "not found", "give a folder relative to this file");
            }
        })?;
        if Profile::built_in_text(&target.profile).is_none() {
            target.profile = folder.join(&target.profile).display().to_string();
        }
        for words in [&mut target.signer, &mut target.driver] {
            if let Some(program) = words.as_mut().and_then(|words| words.first_mut()).filter(|program| program.starts_with("./")) {
                *program = folder.join(&*program).display().to_string();
            }
        }
        target.cwd = target.cwd.map(|cwd| folder.join(cwd).display().to_string());
        if target.name.is_empty() {
            target.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        Ok(target)
    }

    /// The target in `text`; `file` is how messages call it. Paths are left as they are.
    ///
    /// # Errors
    /// When it is no TOML, is shaped otherwise, or contradicts itself.
    pub fn parse(file: &str, text: &str) -> Result<Target, FileError> {
        read(file, text, validate::target)
    }
}

fn looks_like_a_path(text: &str) -> bool {
    text.contains(['/', '\\']) || Path::new(text).extension().is_some_and(|end| end.eq_ignore_ascii_case("toml"))
}

/// The text of a file that a person named; `what` is what it should be.
pub(crate) fn text_of(path: &Path, what: &str) -> Result<String, FileError> {
    let name = path.display().to_string();
    let fail = |why: String, help: &str| Err(FileError::unread(&name, format!("{name}: {why}"), help.to_owned()));
    let mut bytes = Vec::new();
    match std::fs::metadata(path) {
        Ok(about) if about.is_dir() => return fail("this is a folder".to_owned(), &format!("name the {what} file inside it")),
        Ok(_) => {}
        Err(error) => {
            return fail(format!("the {what} file cannot be read: {error}"), "check the path; relative paths start at the current folder");
        }
    }
    let reading = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    if let Err(error) = reading {
        return fail(format!("the {what} file cannot be read: {error}"), "check its permissions");
    }
    if bytes.len() as u64 > LARGEST {
        return fail(format!("the {what} file is larger than {} MiB", LARGEST >> 20), "name the right file");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            fail(format!("the {what} file is no UTF-8 text (byte {at})"), "save it as UTF-8")
        }
    }
}
