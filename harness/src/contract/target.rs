//! Target files: one implementation of a profile, how to start it, and what may be done to it.
//!
//! These types are what TOML is read into and what `streamspec schema target` describes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One implementation of a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name for reports.
    #[serde(default)]
    pub name: String,
    /// The profile: a built-in name, or a path relative to the target file.
    pub profile: String,
    /// Where it runs already: `http://127.0.0.1:8080`. Exclusive with `start`.
    pub url: Option<String>,
    /// How to start it: a command with `{port}` and `{dir}`.
    pub start: Option<String>,
    /// With `url`: where the scripted model provider is that the server asks (`streamspec provider`). With `start`, one runs
    /// beside it wherever `{provider}` stands.
    pub provider: Option<String>,
    /// Environment for `start`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A program that signs payments in the implementation's own way, and its words, instead of the profile's signer: it
    /// reads and writes JSON lines. `{base}` is the server's address; a program written `./…` is relative to this file.
    pub signer: Option<Vec<String>>,
    /// A program that reads streams with the implementation's own client, and its words, for readers of the role `driven`: it
    /// reads and writes JSON lines. `{base}` is the server's address; a program written `./…` is relative to this file.
    pub driver: Option<Vec<String>>,
    /// Working directory for `start`, relative to the target file.
    pub cwd: Option<String>,
    /// When it is ready.
    #[serde(default)]
    pub ready: Ready,
    /// What may be done to it. Default: everything for `start`, nothing for `url`.
    pub allow: Option<Vec<Allowed>>,
    /// Parameters of the contract in which this implementation differs from the profile, in the profile's form
    /// (`retention = { default = { records = 64 } }`).
    #[serde(default)]
    pub contract: BTreeMap<String, serde_json::Value>,
    /// At most this many places of each sweep are run, evenly spread: for a program that takes seconds to start.
    pub sweep_limit: Option<u32>,
    /// Requirements that are known to fail, by id.
    #[serde(default)]
    pub known: BTreeMap<String, Known>,
}

/// When a started target is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ready {
    /// A path that answers (with any status below 500, or with `status`). Default: `binding.health`, else the port.
    pub path: Option<String>,
    /// The status that the path must answer with.
    pub status: Option<u16>,
    /// A text in a line of its output.
    pub output: Option<String>,
    /// Deadline in milliseconds.
    pub within_ms: u64,
    /// Grace of a graceful stop in milliseconds.
    pub stop_within_ms: u64,
}

impl Default for Ready {
    fn default() -> Self {
        Ready { path: None, status: None, output: None, within_ms: 15_000, stop_within_ms: 5_000 }
    }
}

/// What may be done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// Kill and restart.
    Restart,
    /// Pause and continue.
    Pause,
    /// Remove its data.
    Wipe,
}

/// That a requirement is known to fail, and why. Such a failure does not fail the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Known {
    /// It fails in every whole run, for this reason: a run in which it holds is stale.
    Always(String),
    /// With more to say than the reason.
    Described(KnownFailure),
}

/// A known failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// Why it fails, and where that is tracked.
    pub reason: String,
    /// True when it fails in some runs only, as a race does: then it is not stale when it holds.
    #[serde(default)]
    pub sometimes: bool,
}

impl Known {
    /// Why it fails.
    pub fn reason(&self) -> &str {
        match self {
            Known::Always(reason) => reason,
            Known::Described(failure) => &failure.reason,
        }
    }

    /// True when it may hold as well.
    pub fn sometimes(&self) -> bool {
        match self {
            Known::Always(_) => false,
            Known::Described(failure) => failure.sometimes,
        }
    }
}
