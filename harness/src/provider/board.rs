//! What a provider and its owner share: scripts, held answers, releases, and what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::player::Player;
use super::request::{Api, Request};
use super::script::{Move, Script, ScriptError};

/// How many requests are kept; older ones are forgotten first.
const KEPT: usize = 10_000;
/// How much of a prompt is kept.
const PROMPT_KEPT: usize = 4096;
/// How many releases may wait for their pause.
const EARLY_RELEASES: usize = 10_000;

/// Where an answer's script came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// From the prompt.
    Prompt,
    /// From the queue of the owner.
    Queue,
    /// The script for all prompts without one.
    Standing,
    /// None: a request for a title or a summary gets a short answer.
    Beside,
    /// None: the prompt's script cannot be read, and the answer is status 400.
    Unreadable,
}

/// How an answer stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Under way.
    Open,
    /// Waiting for the release of this pause.
    Held(String),
    /// Said to the end of its script, deliberate breaks included.
    Done,
    /// Answered with this status.
    Refused(u16),
    /// The agent left before the end.
    Left,
}

/// A request, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its number, from 1.
    pub number: u64,
    /// The API.
    pub api: Api,
    /// The model's name.
    pub model: String,
    /// True when a stream was wanted.
    pub stream: bool,
    /// How many tools were offered.
    pub tools: usize,
    /// The text of the last user message, at most 4 KiB of it.
    pub prompt: String,
    /// The step of the turn, from 0.
    pub step: usize,
    /// The attempt at this step, from 0; counted only where the script tells attempts apart.
    pub attempt: usize,
    /// Where the script came from.
    pub source: Source,
    /// The last word said.
    pub last_word: Option<String>,
    /// How it stands.
    pub ending: Ending,
    /// Tells attempts at one step from everything else.
    #[serde(skip)]
    key: u64,
}

#[derive(Debug)]
struct State {
    asked: VecDeque<Asked>,
    count: u64,
    queue: VecDeque<Script>,
    standing: Script,
    /// Releases that no held answer has used yet, by the pause's name.
    released: BTreeMap<String, u32>,
    /// What was told to live answers and not made yet, by their names; `None` lets the script go on.
    told: BTreeMap<String, VecDeque<Option<Vec<Move>>>>,
}

/// The shared part. All methods may be called from anywhere; none but the `async` ones waits.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Board {
    /// A board whose prompts without a script are answered by `standing`.
    pub fn new(standing: Script) -> Board {
        let state =
            State { asked: VecDeque::new(), count: 0, queue: VecDeque::new(), standing, released: BTreeMap::new(), told: BTreeMap::new() };
        Board { state: Mutex::new(state), changed: watch::Sender::new(()) }
    }

    /// Answers all prompts without a script by this one from now on.
    pub fn stand(&self, script: Script) {
        self.lock().standing = script;
    }

    /// Answers the next prompt without a script by this one; queued scripts are used in order, each for one turn's step.
    pub fn queue(&self, script: Script) {
        self.lock().queue.push_back(script);
    }

    /// Lets one answer that is held at this pause go on; when none is yet, the first that comes there does not stop.
    /// False when too many releases wait already.
    pub fn release(&self, pause: &str) -> bool {
        let mut state = self.lock();
        if state.released.len() >= EARLY_RELEASES && !state.released.contains_key(pause) {
            return false;
        }
        *state.released.entry(pause.to_owned()).or_default() += 1;
        drop(state);
        self.changed.send_replace(());
        true
    }

    /// Tells the live answer of this name what to say and do next, or with `None` that its script goes on. When there is no
    /// such answer yet, the first that becomes live under the name begins with it. False when too much waits already.
    pub fn tell(&self, name: &str, moves: Option<Vec<Move>>) -> bool {
        let mut state = self.lock();
        if state.told.values().map(VecDeque::len).sum::<usize>() >= EARLY_RELEASES {
            return false;
        }
        state.told.entry(name.to_owned()).or_default().push_back(moves);
        drop(state);
        self.changed.send_replace(());
        true
    }

    /// Waits for what is told under this name.
    pub(super) async fn told(&self, name: &str) -> Option<Vec<Move>> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(moves) = self.take_told(name) {
                return moves;
            }
            changed.changed().await.expect("the sender lives as long as the board");
        }
    }

    fn take_told(&self, name: &str) -> Option<Option<Vec<Move>>> {
        let mut state = self.lock();
        let waiting = state.told.get_mut(name)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            state.told.remove(name);
        }
        next
    }

    /// Lets every answer that is held now go on; their number.
    pub fn release_all(&self) -> usize {
        let held = self.held();
        for pause in &held {
            self.release(pause);
        }
        held.len()
    }

    /// The pauses at which answers are held now.
    pub fn held(&self) -> Vec<String> {
        let name = |asked: &Asked| match &asked.ending {
            Ending::Held(pause) => Some(pause.clone()),
            Ending::Open | Ending::Done | Ending::Refused(_) | Ending::Left => None,
        };
        self.lock().asked.iter().filter_map(name).collect()
    }

    /// What was asked, oldest first; at most the last 10,000.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.iter().cloned().collect()
    }

    /// Waits until what was asked, and what became of it, is as `enough` says; false when it is not within the deadline.
    pub async fn wait_until(&self, deadline: Duration, enough: impl Fn(&[Asked]) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.borrow_and_update();
                if enough(self.lock().asked.make_contiguous()) {
                    return;
                }
                changed.changed().await.expect("the sender lives as long as the board");
            }
        };
        tokio::time::timeout(deadline, wait).await.is_ok()
    }

    /// Waits until an answer is held at this pause.
    pub async fn wait_held(&self, pause: &str, deadline: Duration) -> bool {
        self.wait_until(deadline, |asked| asked.iter().any(|a| matches!(&a.ending, Ending::Held(name) if name == pause))).await
    }

    /// Takes note of a request and finds its script: the answer's number and its player, or why the script is unreadable.
    pub(super) fn ask(&self, request: Request, boot: &str, now: u64, bytes: usize) -> (u64, Result<Player, ScriptError>) {
        let mut state = self.lock();
        let (source, script) = match Script::in_prompt(&request.prompt) {
            _ if request.beside => (Source::Beside, Ok(beside())),
            Some(Ok(script)) => (Source::Prompt, Ok(script)),
            Some(Err(error)) => (Source::Unreadable, Err(error)),
            None => match state.queue.pop_front() {
                Some(script) => (Source::Queue, Ok(script)),
                None => (Source::Standing, Ok(state.standing.clone())),
            },
        };
        let key = key(&request);
        let counted = script.as_ref().is_ok_and(Script::counts_attempts);
        let attempt = if counted { state.asked.iter().filter(|a| a.key == key).count() } else { 0 };
        state.count += 1;
        let number = state.count;
        if state.asked.len() == KEPT {
            state.asked.pop_front();
        }
        state.asked.push_back(Asked {
            number,
            api: request.api,
            model: request.model.clone(),
            stream: request.stream,
            tools: request.tools.len(),
            prompt: request.prompt[..request.prompt.floor_char_boundary(PROMPT_KEPT)].to_owned(),
            step: request.step,
            attempt,
            source,
            last_word: None,
            ending: Ending::Open,
            key,
        });
        drop(state);
        self.changed.send_replace(());
        let player = script.map(|script| Player::new(&script, attempt, request, format!("{boot}{number}"), now, bytes));
        (number, player)
    }

    /// Takes note of how an answer stands. What has ended does not change again.
    pub(super) fn note(&self, number: u64, last_word: Option<String>, ending: Ending) {
        let mut state = self.lock();
        let Some(asked) = state.asked.iter_mut().rev().find(|asked| asked.number == number) else { return };
        match asked.ending {
            Ending::Open | Ending::Held(_) => (asked.last_word, asked.ending) = (last_word.or(asked.last_word.take()), ending),
            Ending::Done | Ending::Refused(_) | Ending::Left => return,
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Waits for a release of this pause and uses it up.
    pub(super) async fn released(&self, pause: &str) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if self.use_release(pause) {
                return;
            }
            changed.changed().await.expect("the sender lives as long as the board");
        }
    }

    fn use_release(&self, pause: &str) -> bool {
        let mut state = self.lock();
        let Some(left) = state.released.get_mut(pause) else { return false };
        *left -= 1;
        if *left == 0 {
            state.released.remove(pause);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the board in hand")
    }
}

/// The same for attempts at one step, other for other turns: a retry repeats the prompt without adding one.
fn key(request: &Request) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    (&request.prompt, request.prompts, request.step).hash(&mut hasher);
    hasher.finish()
}

/// What a request for a title or a summary gets: no word that could be taken for one of a turn.
fn beside() -> Script {
    Script { steps: vec![vec![vec![Move::Text("Scripted session".to_owned())]]] }
}

#[cfg(test)]
#[path = "tests/board.rs"]
mod tests;
