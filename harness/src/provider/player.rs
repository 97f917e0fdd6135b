//! A script at work: moves in, what to send and what to wait for out.

use std::collections::VecDeque;
use std::time::Duration;

use super::request::Request;
use super::script::{Finish, Move, Script};
use super::wire::{Block, Encoder, Head, Say, error_body};

/// What the server has to do next. After the last one the body ends properly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answer with this status and body instead. Always the last, and nothing was sent before.
    Refuse {
        /// The status.
        status: u16,
        /// Seconds of `Retry-After`.
        retry_after: Option<u32>,
        /// The body, JSON.
        body: String,
    },
    /// Send this; the first one is preceded by status 200 and the headers.
    Send(String),
    /// Let this time pass.
    Rest(Duration),
    /// Go on when the pause with this name is released.
    Hold(String),
    /// Wait for what the owner tells under this name, and give it to [`Player::told`].
    Listen(String),
    /// Break the connection. Always the last.
    Cut,
}

/// How words look, and which comes next. It outlives a step: words of a turn are numbered through.
#[derive(Clone, Debug)]
struct Speech {
    word: String,
    thought: Option<String>,
    size: usize,
    gap: Duration,
    words: u64,
    thoughts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Thought,
}

/// One answer.
#[derive(Debug)]
pub struct Player {
    stream: bool,
    request: Request,
    encoder: Encoder,
    speech: Speech,
    moves: VecDeque<Move>,
    /// Words still to come of the move at hand.
    left: (Kind, u32),
    blocks: Vec<Block>,
    /// True while the last block may go on.
    in_block: bool,
    opened: bool,
    broken: bool,
    finish: Option<Finish>,
    over: bool,
    ready: VecDeque<Act>,
}

impl Player {
    /// Answers `request` as `script` says at this attempt. `id` makes the ids of the answer unique; `now` is in seconds since
    /// 1970; `bytes` is the length of the request.
    pub fn new(script: &Script, attempt: usize, request: Request, id: String, now: u64, bytes: usize) -> Player {
        let mut speech = Speech { word: "w#".to_owned(), thought: None, size: 0, gap: Duration::ZERO, words: 0, thoughts: 0 };
        for before in script.before(request.step) {
            speech.hear(before);
        }
        let past_the_end = [Move::Text("done".to_owned())];
        let moves = script.answer(request.step, attempt).unwrap_or(&past_the_end).to_vec();
        let head = Head { id, created: now, model: request.model.clone(), usage: request.usage, input_tokens: (bytes as u64).div_ceil(4) };
        Player {
            stream: request.stream,
            encoder: Encoder::new(request.api, head),
            request,
            speech,
            moves: moves.into(),
            left: (Kind::Word, 0),
            blocks: Vec::new(),
            in_block: false,
            opened: false,
            broken: false,
            finish: None,
            over: false,
            ready: VecDeque::new(),
        }
    }

    /// The last word said in this turn, reasoning aside.
    pub fn last_word(&self) -> Option<String> {
        (self.speech.words > 0).then(|| self.speech.place())
    }

    /// What the owner told while the answer was live: moves to make now, or nothing more, so that the script goes on.
    pub fn told(&mut self, moves: Option<Vec<Move>>) {
        match moves {
            Some(moves) => moves.into_iter().rev().for_each(|one| self.moves.push_front(one)),
            None if matches!(self.moves.front(), Some(Move::Live(_))) => drop(self.moves.pop_front()),
            None => {}
        }
    }

    fn step(&mut self) {
        if self.left.1 > 0 {
            self.left.1 -= 1;
            return self.word(self.left.0);
        }
        let Some(next) = self.moves.pop_front() else { return self.conclude() };
        match next {
            Move::As(_) | Move::ThinkAs(_) | Move::Size(_) | Move::Gap(_) => self.speech.hear(&next),
            Move::Words(count) => self.left = (Kind::Word, count),
            Move::Think(count) => self.left = (Kind::Thought, count),
            Move::Text(text) => self.speak(Block::Text(String::new()), &[&text]),
            Move::Tool { name, arguments } => self.call(name, &arguments),
            Move::Pause(name) => {
                let name = name.unwrap_or_else(|| self.speech.place());
                self.ready.push_back(Act::Hold(name));
            }
            Move::Live(name) => {
                self.ready.push_back(Act::Listen(name.clone()));
                self.moves.push_front(Move::Live(name));
            }
            Move::Status { code, retry_after } => {
                let body = error_body(self.request.api, code, "scripted failure");
                self.end_with(Act::Refuse { status: code, retry_after, body });
            }
            Move::Error(message) if self.stream => {
                self.open();
                self.say(|encoder, _| encoder.frames(&Say::Error(&message)));
                self.over = true;
            }
            Move::Error(message) => {
                let body = error_body(self.request.api, 500, &message);
                self.end_with(Act::Refuse { status: 500, retry_after: None, body });
            }
            Move::Cut => {
                self.break_off();
                self.end_with(Act::Cut);
            }
            Move::End => {
                self.break_off();
                self.over = true;
            }
            Move::Malformed => {
                self.broken = true;
                self.open();
                self.say(|encoder, _| encoder.malformed());
            }
            Move::Raw(text) => {
                self.open();
                self.say(|_, _| text);
            }
            Move::Finish(finish) => self.finish = Some(finish),
            Move::Usage(tokens) => self.encoder.claim_input_tokens(tokens),
        }
    }

    /// Sends frames of a stream; of an answer that is none, nothing is sent before its end.
    fn say(&mut self, frames: impl FnOnce(&mut Encoder, &[Block]) -> String) {
        if self.stream {
            let frames = frames(&mut self.encoder, &self.blocks);
            if !frames.is_empty() {
                self.ready.push_back(Act::Send(frames));
            }
        }
    }

    fn open(&mut self) {
        if !std::mem::replace(&mut self.opened, true) {
            self.say(|encoder, _| encoder.frames(&Say::Open));
        }
    }

    fn end_block(&mut self) {
        if std::mem::take(&mut self.in_block) {
            self.say(|encoder, blocks| encoder.frames(&Say::End(blocks)));
        }
    }

    /// Says these pieces in a block such as `empty`: in the last one when it is of that kind, else in a new one.
    fn speak(&mut self, empty: Block, pieces: &[&str]) {
        self.open();
        let goes_on = self.in_block && self.blocks.last().is_some_and(|last| last.takes(&empty));
        if !goes_on {
            self.end_block();
            self.blocks.push(empty);
            self.in_block = true;
            self.say(|encoder, blocks| encoder.frames(&Say::Begin(blocks)));
        }
        for piece in pieces {
            self.blocks.last_mut().expect("a block has begun").said_mut().push_str(piece);
            self.say(|encoder, blocks| encoder.frames(&Say::More(blocks, piece)));
        }
    }

    /// A call in two pieces of arguments, so that whoever reads only one of them is found out.
    fn call(&mut self, name: String, arguments: &str) {
        let call = format!("call_{}_{}", self.encoder.id(), self.blocks.len());
        let (one, two) = arguments.split_at(arguments.floor_char_boundary(arguments.len() / 2));
        let pieces: Vec<&str> = [one, two].into_iter().filter(|piece| !piece.is_empty()).collect();
        self.speak(Block::Tool { call, name, arguments: String::new() }, &pieces);
        self.end_block();
    }

    fn word(&mut self, kind: Kind) {
        if !self.speech.gap.is_zero() {
            self.ready.push_back(Act::Rest(self.speech.gap));
        }
        let word = self.speech.next(kind);
        let block = match kind {
            Kind::Word => Block::Text(String::new()),
            Kind::Thought => Block::Thought(String::new()),
        };
        self.speak(block, &[&word]);
    }

    fn conclude(&mut self) {
        self.over = true;
        self.open();
        self.end_block();
        let finish = self.finish;
        self.say(|encoder, blocks| encoder.frames(&Say::Finish(blocks, finish)));
        if !self.stream {
            if self.broken {
                return self.break_off();
            }
            self.ready.push_back(Act::Send(self.encoder.whole(&self.blocks, finish)));
        }
    }

    /// Leaves the answer as it is: a stream without its last frames, a body in its middle.
    fn break_off(&mut self) {
        self.open();
        if !self.stream {
            let whole = self.encoder.whole(&self.blocks, self.finish);
            self.ready.push_back(Act::Send(whole[..whole.floor_char_boundary(whole.len() / 2)].to_owned()));
        }
    }

    fn end_with(&mut self, act: Act) {
        self.over = true;
        self.ready.push_back(act);
    }
}

impl Iterator for Player {
    type Item = Act;

    fn next(&mut self) -> Option<Act> {
        loop {
            if let Some(act) = self.ready.pop_front() {
                return Some(act);
            }
            if self.over {
                return None;
            }
            self.step();
        }
    }
}

impl Speech {
    /// Takes note of a move: of one that was made in an earlier step too.
    fn hear(&mut self, heard: &Move) {
        match heard {
            Move::As(pattern) => self.word.clone_from(pattern),
            Move::ThinkAs(pattern) => self.thought = Some(pattern.clone()),
            Move::Size(size) => self.size = *size as usize,
            Move::Gap(gap) => self.gap = *gap,
            Move::Words(count) => self.words += u64::from(*count),
            Move::Think(count) => self.thoughts += u64::from(*count),
            Move::Text(_) | Move::Tool { .. } | Move::Pause(_) | Move::Live(_) | Move::Status { .. } => {}
            Move::Error(_) | Move::Cut | Move::End => {}
            Move::Malformed | Move::Raw(_) | Move::Finish(_) | Move::Usage(_) => {}
        }
    }

    /// The last word; number 0 stands for none.
    fn place(&self) -> String {
        self.word.replace('#', &self.words.to_string())
    }

    /// The next word, filled up, with the blank that ends it.
    fn next(&mut self, kind: Kind) -> String {
        let mut word = match kind {
            Kind::Word => {
                self.words += 1;
                self.word.replace('#', &self.words.to_string())
            }
            Kind::Thought => {
                self.thoughts += 1;
                let pattern =
                    self.thought.clone().unwrap_or_else(|| if self.word == "w#" { "r#".to_owned() } else { format!("r{}", self.word) });
                pattern.replace('#', &self.thoughts.to_string())
            }
        };
        let filler = self.size.saturating_sub(word.len() + 1);
        word.extend(std::iter::repeat_n('~', filler));
        word.push(' ');
        word
    }
}

#[cfg(test)]
#[path = "tests/player.rs"]
mod tests;
