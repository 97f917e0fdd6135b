//! Exploration: scenarios that nobody wrote, and the smallest one of those that fail.
//!
//! `palette` says what may be asked; `generate` and `source` make scenarios of it and `mend` makes them sensible; `lab`
//! runs them; `goals` and `corpus` say what was new about a run. `pursue` makes a failure small and honest: by `turns` of runs,
//! what was `measured` in them at which `rate`, the `pressure` on the machine, and `shrink`, which `small` uses where runs cost
//! nothing. `failure` writes it down and `replay` asks later whether it is repaired; `campaign` is the loop around all of it.
//! `sweep` makes many scenarios of one, with a fault in every place.

mod campaign;
mod corpus;
mod failure;
mod generate;
mod goals;
mod lab;
mod measured;
mod mend;
mod palette;
mod pressure;
mod pursue;
mod rate;
mod replay;
mod shrink;
mod small;
mod source;
mod sweep;
mod turns;

pub use campaign::{Outcome, Plan, Standing, run};
pub use corpus::{Corpus, Loaded, load};
pub use failure::{About, Failure};
pub use goals::{GOALS, Goal, reached};
pub use lab::{Company, Floor, Lab, Ran, Signature};
pub use palette::{Palette, Theme};
pub use rate::Rate;
pub use replay::{Answer, Replay, replay};
pub use small::{Small, smallest_by};
pub use sweep::{Kind as SweepKind, Swept, sweeps};
