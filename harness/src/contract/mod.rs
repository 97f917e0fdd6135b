//! What a protocol promises: the requirement catalogue, and (in the files beside it) the contract and profile files.

mod ask;
mod baseline;
mod binding;
mod catalogue;
mod client_target;
pub(crate) mod file;
mod log;
mod machine;
mod payment;
mod profile;
mod requirement_set;
mod schema;
mod starter;
mod target;
mod transcript;
mod validate;

pub use ask::{Acknowledged, AuthContract, Condition, Exchange, FilesContract, Recipient, Talk};
pub use baseline::{BASELINE_FILE, Baseline, BaselineFile, Excuse, KnownEntry, Nameable};
pub use binding::*;
pub use catalogue::{CATALOGUE, CLIENT_CATALOGUE, CLIENT_FAMILIES, FAMILIES, Level, Requirement, requirement};
pub use client_target::ClientTarget;
pub use file::FileError;
pub(crate) use file::{nearest, read_settings};
pub use log::LogMapping;
pub use machine::Machine;
pub use payment::{PaymentBinding, PaymentContract, Signer};

pub use profile::*;
pub use requirement_set::{REQUIREMENT_SETS, RequirementSet};
pub use schema::{SCHEMAS, schema};
pub use starter::{Asking, Found, starter_profile, starter_target};
pub use target::*;
pub use transcript::{Redaction, TranscriptRules};
pub(crate) use validate::{known_requirement, names_a_host, placeholder_used, transcript as transcript_rules};
