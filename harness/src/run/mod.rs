//! The runner: walks the steps of a scenario over a world.

pub mod binding;
