//! History and contract in, verdicts out.

mod verdict;

pub use verdict::{Finding, Verdict, Violation};
