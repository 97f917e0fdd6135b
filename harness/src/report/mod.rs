//! Consumers of a run's events, one file a format.
