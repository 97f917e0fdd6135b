//! What the provider is to say: moves in order, for each step of a turn and each attempt at it.

use std::fmt;

/// Most bytes that the words of one script may come to.
pub(super) const MOST_BYTES: u64 = 64 << 20;

/// A script: one answer a step of the turn (a step ends with tool calls), and for each step one answer an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// By step; never empty, and no step is.
    pub(super) steps: Vec<Vec<Vec<Move>>>,
}

/// One thing the provider does.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// From here on words look like this; `#` is their number.
    As(String),
    /// From here on words of reasoning look like this.
    ThinkAs(String),
    /// From here on every word is filled up to this many bytes.
    Size(u32),
    /// From here on there is a rest before every word.
    Gap(std::time::Duration),
    /// Numbered words, one a chunk.
    Words(u32),
    /// Numbered words of reasoning, one a chunk.
    Think(u32),
    /// This text in one chunk. Half of a surrogate pair stands in it as its stand-in (`glyph`).
    Text(String),
    /// A call of a tool.
    Tool {
        /// Its name.
        name: String,
        /// Its arguments, as JSON text.
        arguments: String,
    },
    /// Hold the answer until the pause is released. Without a name it has the name of the last word.
    Pause(Option<String>),
    /// Say and do what the owner tells under this name, until told to go on.
    Live(String),
    /// Answer with this status instead of a stream; ends the answer.
    Status {
        /// The status.
        code: u16,
        /// Seconds of `Retry-After`.
        retry_after: Option<u32>,
    },
    /// Say in the stream that something failed; ends the answer.
    Error(String),
    /// Break the connection without the end of the body; ends the answer.
    Cut,
    /// End the body properly but without the frames that finish an answer; ends the answer.
    End,
    /// A frame that is no JSON.
    Malformed,
    /// These bytes between two frames.
    Raw(String),
    /// The reason for the end.
    Finish(Finish),
    /// Claim that the request had this many tokens.
    Usage(u64),
}

impl Move {
    /// True when it sends something of an answer, after which a status comes too late.
    pub(super) fn says(&self) -> bool {
        match self {
            Move::Words(_) | Move::Think(_) | Move::Text(_) | Move::Tool { .. } | Move::Malformed | Move::Raw(_) => true,
            Move::As(_)
            | Move::ThinkAs(_)
            | Move::Size(_)
            | Move::Gap(_)
            | Move::Pause(_)
            | Move::Live(_)
            | Move::Finish(_)
            | Move::Usage(_) => false,
            Move::Status { .. } | Move::Error(_) | Move::Cut | Move::End => false,
        }
    }
}

/// Why an answer ended, when it is not for the usual reason (the end of the text, or tool calls).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model's limit.
    Length,
    /// Refused by a filter.
    Filter,
}

/// A script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The offending text, shortened.
    pub(super) at: String,
    /// Its byte in the script.
    pub(super) byte: usize,
    /// What is wrong, and what could stand there.
    pub(super) message: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "script, byte {}, at `{}`: {}", self.byte, self.at, self.message)
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// What is said in this step (from 0) at this attempt (from 0), or `None` when the turn has more steps than the script.
    /// A step that is attempted more often than the script says is answered as the last time.
    pub(super) fn answer(&self, step: usize, attempt: usize) -> Option<&[Move]> {
        let attempts = self.steps.get(step)?;
        Some(&attempts[attempt.min(attempts.len() - 1)])
    }

    /// True when attempts at this step are answered differently.
    pub(super) fn counts_attempts(&self) -> bool {
        self.steps.iter().any(|attempts| attempts.len() > 1)
    }

    /// The moves that precede a step in a turn that went as the script says: in each step before, the last attempt.
    pub(super) fn before(&self, step: usize) -> impl Iterator<Item = &Move> {
        self.steps.iter().take(step).filter_map(|attempts| attempts.last()).flatten()
    }
}
