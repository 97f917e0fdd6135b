//! Exploration: scenarios that nobody wrote, and the smallest one of those that fail.

mod generate;
mod goals;
mod lab;
mod mend;
mod palette;
mod source;

pub use goals::{GOALS, Goal, reached};
pub use lab::{Company, Lab, Ran, Signature};
pub use palette::{Palette, Theme};
