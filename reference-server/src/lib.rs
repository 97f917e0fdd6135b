//! ref.
