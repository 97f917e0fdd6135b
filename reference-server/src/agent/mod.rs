//! What runs a turn: a model that is asked, tools that it may call, and the loop between both.
//!
//! A dialect gives a [`Turn`] the conversation and a channel, and translates the [`Happening`]s that come out of it. Nothing
//! here knows a wire format of the dialects, stores anything, or depends on anybody watching.

mod chat;
mod model;
mod tools;
mod turn;

pub use model::{Failure, Finish, Message, Model, ModelError, Piece, Pieces, ToolCall, Usage};
pub use tools::Tools;
pub use turn::{End, Happening, Plan, Reply, Turn, wait};
