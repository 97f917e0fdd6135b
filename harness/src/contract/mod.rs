//! What a protocol promises: the requirement catalogue, and (in the files beside it) the contract and profile files.

mod catalogue;
mod profile;

pub use catalogue::{CATALOGUE, FAMILIES, Level, Requirement, requirement};
pub use profile::*;
