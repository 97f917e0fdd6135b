//! History and contract in, verdicts out.
