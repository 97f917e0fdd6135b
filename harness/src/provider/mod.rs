//! A scripted model provider: what an agent's server is driven with, so that its output is known word by word.
//!
//! It speaks the three APIs that agents use (OpenAI's chat completions and responses, Anthropic's messages), streaming and
//! not. What it answers is a [`Script`], which comes with the prompt itself (`[[say words 8; pause; words 8]]`), so that any
//! agent is driven through its own prompt operation, or from whoever holds the [`Board`].
//!
//! [`Script`], [`Request`] and [`Player`] do no IO: requests in, [`Act`]s out. [`Board`] is what the provider and its owner
//! share: held answers, releases, and what was asked. [`Provider`] puts both behind a socket.

mod board;
mod control;
mod glyph;
mod parse;
mod player;
mod request;
mod script;
mod server;
mod wire;

pub use board::{Asked, Board, Ending, Source};
pub use player::{Act, Player};
pub use request::{Api, Request};
pub use script::{Finish, Move, Script, ScriptError};
pub use server::{Provider, ProviderError};
