//! For each requirement a history that violates it and alone it, and histories that look close and are right.

mod answers;
mod bounds;
