//! Where settings come from: the command line, then the environment, then a file; and what came from where.
//!
//! A weaker source gives an argument another default, so that everything else about it (how it is read, what it excludes) stays with
//! the parser of the command line. Target, URL and start command are one setting: a source that names one of them hides what weaker
//! sources say of all three.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Complaint;
use crate::contract::read_settings;

/// The file that is read where none is named.
const FILE: &str = "streamspec.toml";
/// Which server is meant: one setting.
const SUBJECT: [&str; 3] = ["target", "url", "start"];
/// What stands above the sections, for every command.
const SHARED: [&str; 4] = ["target", "url", "start", "profile"];

/// How settings are found.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConfigArgs {
    /// Take settings from this file; default: streamspec.toml, if it is there
    #[arg(long, value_name = "FILE", conflicts_with = "no_config", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Take no settings from a file
    #[arg(long, help_heading = "Settings")]
    no_config: bool,
    /// Print each setting and where it comes from, and stop
    #[arg(long, help_heading = "Settings")]
    pub(super) print_config: bool,
}

/// A file of settings. Above the sections stands what holds for every command.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// A target file.
    target: Option<String>,
    /// A server that runs already.
    url: Option<String>,
    /// A command that starts the server.
    start: Option<String>,
    /// The protocol: a built-in profile's name or a file.
    profile: Option<String>,
    /// Flags of `streamspec test`, without their dashes.
    test: BTreeMap<String, Value>,
    /// Flags of `streamspec fuzz`.
    fuzz: BTreeMap<String, Value>,
    /// Flags of `streamspec doctor`.
    doctor: BTreeMap<String, Value>,
}

/// A setting that does not come from the command line.
struct Given {
    values: Vec<String>,
    source: String,
}

/// The command line with the settings of weaker sources in it, and for each flag where those came from. Ends the process as the
/// command line's parser does, where that is what was typed.
pub(super) fn parse(command: Command) -> Result<(ArgMatches, BTreeMap<String, String>), Complaint> {
    let typed = command.clone().get_matches();
    let Some((name, given)) = typed.subcommand() else { return Ok((typed, BTreeMap::new())) };
    let Some(sub) = command.find_subcommand(name).filter(|sub| sub.get_arguments().any(|arg| arg.get_id() == "print_config")) else {
        return Ok((typed, BTreeMap::new()));
    };
    let flags: Vec<Arg> = sub.get_arguments().filter(|arg| settable(arg)).cloned().collect();
    let explicit = |id: &str| given.try_contains_id(id).is_ok() && given.value_source(id) == Some(ValueSource::CommandLine);
    let path = given.get_one::<PathBuf>("config");
    let mut weaker = match path {
        _ if given.get_flag("no_config") => BTreeMap::new(),
        Some(path) => from_file(path, name, &command)?,
        None if Path::new(FILE).exists() => from_file(Path::new(FILE), name, &command)?,
        None => BTreeMap::new(),
    };
    let stronger = from_environment(name, &flags);
    if SUBJECT.iter().any(|key| stronger.contains_key(*key)) {
        SUBJECT.iter().for_each(|key| drop(weaker.remove(*key)));
    }
    weaker.extend(stronger);
    if ["target", "target_flag", "url", "start"].iter().any(|id| explicit(id)) {
        SUBJECT.iter().for_each(|key| drop(weaker.remove(*key)));
    }
    let mut sources = BTreeMap::new();
    let mut changed = command.clone();
    for (key, given) in weaker {
        let Some(flag) = flags.iter().find(|flag| flag.get_long() == Some(&key)) else { continue };
        // Defaults live as long as the process, which reads them once.
        let values: Vec<&'static str> = given.values.into_iter().map(|value| &*value.leak()).collect();
        let id = flag.get_id().to_string();
        changed = changed.mut_subcommand(name, |sub| sub.mut_arg(id, |arg| arg.default_values(values)));
        sources.insert(key, given.source);
    }
    match changed.try_get_matches() {
        Ok(matches) => Ok((matches, sources)),
        Err(error) => {
            let said = error.to_string();
            let from = sources.iter().find(|(key, _)| said.contains(&format!("--{key}"))).map_or("the settings", |(_, source)| source);
            Err(Complaint::Usage(format!("{from}: {}", said.trim_start_matches("error: ").trim_end())))
        }
    }
}

/// A flag that stays what it is in every run of a command.
fn settable(arg: &Arg) -> bool {
    let own = ["help", "version", "config", "no-config", "print-config", "list", "watch", "write-baseline"];
    arg.get_long().is_some_and(|long| !own.contains(&long))
}

/// What the environment says of a command: `STREAMSPEC_TARGET` for all, `STREAMSPEC_TEST_JOBS` for one.
fn from_environment(name: &str, flags: &[Arg]) -> BTreeMap<String, Given> {
    let mut found = BTreeMap::new();
    for key in flags.iter().filter_map(Arg::get_long) {
        let word = key.to_uppercase().replace('-', "_");
        let names =
            [Some(format!("STREAMSPEC_{}_{word}", name.to_uppercase())), SHARED.contains(&key).then(|| format!("STREAMSPEC_{word}"))];
        let set = names.into_iter().flatten().find_map(|variable| Some((std::env::var(&variable).ok()?, variable)));
        if let Some((value, source)) = set.filter(|(value, _)| !value.is_empty()) {
            found.insert(key.to_owned(), Given { values: vec![value], source });
        }
    }
    found
}

/// What a file says of a command.
fn from_file(path: &Path, name: &str, command: &Command) -> Result<BTreeMap<String, Given>, Complaint> {
    let keys = |sub: &str| -> Vec<String> {
        let flags = command.find_subcommand(sub).into_iter().flat_map(Command::get_arguments);
        flags.filter(|arg| settable(arg)).filter_map(Arg::get_long).map(str::to_owned).collect()
    };
    let settings: Settings = read_settings(path, |settings: &Settings, wrong| {
        for (section, given) in [("test", &settings.test), ("fuzz", &settings.fuzz), ("doctor", &settings.doctor)] {
            for (key, value) in given {
                if !keys(section).contains(key) {
                    wrong(section, key, format!("`streamspec {section}` has no setting `{key}`"), keys(section));
                } else if texts(value).is_none() {
                    wrong(section, key, format!("`{key}` is a text, a number, true or false, or a list of texts"), Vec::new());
                }
            }
        }
        if SUBJECT.iter().filter(|key| settings.shared(key).is_some()).count() > 1 {
            wrong("", "url", "`target`, `url` and `start` exclude each other".to_owned(), Vec::new());
        }
    })?;
    let source = path.display().to_string();
    let given = |values: Vec<String>| Given { values, source: source.clone() };
    let shared = SHARED.iter().filter_map(|key| Some(((*key).to_owned(), given(vec![settings.shared(key)?.clone()]))));
    let mut found: BTreeMap<String, Given> = shared.collect();
    let section = match name {
        "test" => settings.test,
        "fuzz" => settings.fuzz,
        _ => settings.doctor,
    };
    found.extend(section.iter().filter_map(|(key, value)| Some((key.clone(), given(texts(value)?)))));
    Ok(found)
}

impl Settings {
    fn shared(&self, key: &str) -> Option<&String> {
        match key {
            "target" => self.target.as_ref(),
            "url" => self.url.as_ref(),
            "start" => self.start.as_ref(),
            _ => self.profile.as_ref(),
        }
    }
}

/// A value as it would be typed.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Number(_) | Value::Bool(_) => Some(vec![value.to_string()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::Null | Value::Object(_) => None,
    }
}

/// Every setting of the command and where it comes from, as a file of settings.
pub(super) fn print_config(command: &Command, matches: &ArgMatches, sources: &BTreeMap<String, String>) -> String {
    let Some((name, given)) = matches.subcommand() else { return String::new() };
    let Some(sub) = command.find_subcommand(name) else { return String::new() };
    let (mut shared, mut own) = (String::new(), format!("\n[{name}]\n"));
    for flag in sub.get_arguments().filter(|arg| settable(arg)) {
        let (Some(key), id) = (flag.get_long(), flag.get_id().as_str()) else { continue };
        // The target may stand without its flag.
        let id = if key == "target" && given.try_contains_id("target").is_ok_and(|there| there) { "target" } else { id };
        let values: Vec<String> = given.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
        let into = if SHARED.contains(&key) { &mut shared } else { &mut own };
        let source = match given.value_source(id) {
            Some(ValueSource::CommandLine) => "the command line",
            Some(_) => sources.get(key).map_or("default", String::as_str),
            None => {
                let _ = writeln!(into, "# {key} is not set");
                continue;
            }
        };
        let many = matches!(flag.get_action(), ArgAction::Append);
        let value = |text: &String| {
            if matches!(text.as_str(), "true" | "false") || text.parse::<u64>().is_ok() { text.clone() } else { format!("{text:?}") }
        };
        let shown = if many {
            format!("[{}]", values.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", "))
        } else {
            values.first().map_or_else(String::new, value)
        };
        let _ = writeln!(into, "{key} = {shown} # {source}");
    }
    format!("# What is stronger comes first: the command line, the environment, {FILE}.\n{shared}{own}")
}
