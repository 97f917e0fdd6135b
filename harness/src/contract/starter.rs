//! Profiles and targets to start from.
