//! Targets as processes: the cases that matter are wrappers, daemons and deaf servers.
