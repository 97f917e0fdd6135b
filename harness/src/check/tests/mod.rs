//! For each requirement a history that violates it and alone it, and histories that look close and are right.

mod alike;
mod answers;
mod ask;
mod batches;
mod bounds;
mod cleared;
mod deliver;
mod end;
mod ephemeral;
mod fanout;
mod gap;
mod idem;
mod leak;
mod live;
mod machine;
mod money;
mod open;
mod order;
mod restart;
mod resume;
mod seam;
mod snapshot;
mod wire;
