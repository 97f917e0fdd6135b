//! Reading the files that people write: profiles, targets and scenarios.
//!
//! A text goes through four passes, each of which stops the way when it finds something: TOML itself; the shape, held
//! against the file's JSON Schema; serde; and what only the meaning of the whole file can tell (`validate.rs` and the
//! scenario's own checks).

mod error;
mod load;
mod shape;
mod spot;
mod words;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::de::DeTable;

use error::Problem;

pub use error::FileError;
pub(crate) use load::text_of;
pub(crate) use spot::{Problems, Seg, spot};
pub(crate) use words::{nearest, short, suggest};

/// The JSON Schema of a kind of file. There are three kinds and a hundred built-in files, so each is made once.
fn schema_of<T: JsonSchema>() -> Arc<Value> {
    static MADE: Mutex<BTreeMap<Cow<'static, str>, Arc<Value>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(made.entry(T::schema_id()).or_insert_with(|| Arc::new(schemars::schema_for!(T).to_value())))
}

/// Reads `text`, which is shown as the file `name`; `check` looks for what is wrong in the meaning.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(
    name: &str,
    text: &str,
    check: impl FnOnce(&T, &mut Problems<'_>),
) -> Result<T, FileError> {
    let fail = |problems: Vec<Problem>| FileError::of(name, text, problems);
    let from_toml = |error: &toml::de::Error, help: &str| Problem {
        span: error.span().unwrap_or(0..0),
        what: error.message().trim_end().replace('\n', ", "),
        label: "here".to_owned(),
        help: help.to_owned(),
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    let syntax = |error: &toml::de::Error| {
        let problem = from_toml(error, "this is no TOML; texts stand in quotes, tables in `[name]` or `{ key = value }`");
        Problem { what: format!("the file is no TOML: {}", problem.what), ..problem }
    };
    // What a parser says behind the first error is mostly about the first error.
    if let Some(error) = fail(errors.iter().take(1).map(syntax).collect()) {
        return Err(error);
    }
    if let Some(error) = fail(shape::misfits(&root, &schema_of::<T>())) {
        return Err(error);
    }
    let value = T::deserialize(toml::de::Deserializer::from(root.clone()));
    let value = match value {
        Ok(value) => value,
        Err(error) => {
            let problem = from_toml(&error, "compare with `streamspec schema` and the built-in files");
            return Err(fail(vec![problem]).expect("one problem makes an error"));
        }
    };
    let mut problems = Problems::new(&root);
    check(&value, &mut problems);
    match fail(problems.list) {
        Some(error) => Err(error),
        None => Ok(value),
    }
}

/// Tells what is wrong with a setting: its section (empty: above them), its name, what is wrong, and which names there are.
pub(crate) type Wrong<'w> = &'w mut dyn FnMut(&str, &str, String, Vec<String>);

/// The file of settings at `path`; `check` looks for what is wrong in its meaning.
pub(crate) fn read_settings<T: DeserializeOwned + JsonSchema>(
    path: &std::path::Path,
    check: impl FnOnce(&T, Wrong<'_>),
) -> Result<T, FileError> {
    read(&path.display().to_string(), &text_of(path, "settings")?, |settings: &T, problems| {
        check(settings, &mut |section, key, what, known| {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let help = if known.is_empty() { "`--print-config` shows the form".to_owned() } else { suggest(key, &known, "settings") };
            if section.is_empty() {
                problems.at(&spot![key], what, "here", help);
            } else {
                problems.at_key(&spot![section, key], what, "here", help);
            }
        });
    })
}
