//! What the histories of the two runs show, step by step; pure.

use crate::cli::init::way;
use crate::contract::{Format, Profile};
use crate::history::{Action, ConnId, ConnView, Kind, Message, Of, Outcome, Process, Surface, View, What};
use crate::run::Abort;
use crate::run::suite::Case;

/// At most so many characters of a message are shown.
const MOST: usize = 400;

/// One step, and what was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) ok: bool,
    pub(super) found: String,
    /// What else there is to say: the place in the binding that may be wrong, and the bytes.
    pub(super) notes: Vec<String>,
    /// Nothing of the stream was understood, so that its bytes are not in the history.
    pub(super) unread: bool,
}

impl Step {
    pub(super) fn right(what: &'static str, found: &str) -> Step {
        Step { what, ok: true, found: found.to_owned(), notes: Vec::new(), unread: false }
    }

    pub(super) fn wrong(what: &'static str, found: impl Into<String>) -> Step {
        Step { what, ok: false, found: found.into(), notes: Vec::new(), unread: false }
    }

    fn note(mut self, text: impl Into<String>) -> Step {
        self.notes.push(text.into());
        self
    }
}

/// A message on one line, at most so long.
pub(super) fn shown(text: &str) -> String {
    let text = text.trim();
    let mut short: String = text.chars().take(MOST).flat_map(|c| if c == '\n' { vec!['\\', 'n'] } else { vec![c] }).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}

/// From open to resume; the last step is the first that is wrong, if any is.
pub(super) fn basics(case: &Case, profile: &Profile) -> Vec<Step> {
    let view = View::of(&case.history);
    let look = Look { case, view: &view, profile };
    let mut steps = Vec::new();
    let way = [Look::open, Look::publish, Look::read, Look::cut, Look::resume];
    let way = if profile.replays() { &way[..] } else { &way[..3] };
    for step in way {
        let step = step(&look);
        let ok = step.ok;
        steps.push(step);
        if !ok {
            return steps;
        }
    }
    if let Some(aborted) = &case.aborted {
        steps.push(Step::wrong("resume", broken_off(aborted)));
    } else if !profile.replays() {
        steps.extend(["cut", "resume"].map(|what| Step::right(what, "not promised: readers get new events only")));
    }
    steps
}

fn broken_off(aborted: &Abort) -> String {
    match aborted {
        Abort::ServerDied(why) => format!("the server ended by itself: {why}"),
        Abort::CouldNot(why) => why.clone(),
        Abort::Interrupted => "it was interrupted".to_owned(),
    }
}

struct Look<'l, 'h> {
    case: &'l Case,
    view: &'l View<'h>,
    profile: &'l Profile,
}

impl<'l, 'h> Look<'l, 'h> {
    fn open(&self) -> Step {
        if self.profile.binding.open.is_none() {
            return Step::right("open", "nothing to do: a session is a name that streamspec makes up");
        }
        self.operations("open", |action| matches!(action, Action::Open { .. }))
    }

    fn publish(&self) -> Step {
        let step = self.operations("publish", |action| matches!(action, Action::Publish(_)));
        let pointer = self.profile.binding.publish.as_ref().and_then(|publish| publish.take.get("cursor"));
        match pointer {
            Some(pointer) if step.ok && !self.cursors().any(|cursor| cursor.is_some()) => {
                let wrong = Step::wrong("publish", format!("{}, and no answer has a cursor at `{pointer}`", step.found));
                let wrong = wrong.note("`binding.publish.take.cursor` says that it has; put it right, or remove it");
                self.answers(|action| matches!(action, Action::Publish(_))).take(1).fold(wrong, Step::note)
            }
            _ => step,
        }
    }

    /// The cursors in the answers to publishes.
    fn cursors(&self) -> impl Iterator<Item = Option<&'l str>> {
        let publishes = self.view.ops.iter().filter(|op| matches!(op.invoked.what, Action::Publish(_)));
        publishes.filter_map(|op| match op.completed?.what {
            Outcome::Ok { cursor, .. } => Some(cursor.as_deref()),
            Outcome::Failed { .. } | Outcome::Unknown { .. } => None,
        })
    }

    /// The answers to these operations, as they stood on the wire.
    fn answers(&self, of: impl Fn(&Action) -> bool) -> impl Iterator<Item = String> {
        let asked = self.case.history.records.iter().filter_map(|record| match &record.what {
            What::Invoke(invoke) if of(&invoke.action) => Some(Of::Op(invoke.op)),
            _ => None,
        });
        let asked: Vec<Of> = asked.collect();
        self.messages(move |of| asked.contains(&of)).filter_map(|message| match message {
            Message::Answer { status, headers, body } => {
                let headers: String = headers.iter().map(|(name, value)| format!(" · {name}: {value}")).collect();
                Some(format!("the answer: {status}{headers} · {}", shown(body)))
            }
            Message::Request { .. } | Message::Sent { .. } | Message::Frame { .. } | Message::Silence | Message::Full => None,
        })
    }

    fn messages(&self, of: impl Fn(Of) -> bool) -> impl Iterator<Item = &'l Message> {
        self.case.history.records.iter().filter_map(move |record| match &record.what {
            What::Wire(wire) if of(wire.of) => Some(&wire.message),
            _ => None,
        })
    }

    fn operations(&self, what: &'static str, of: impl Fn(&Action) -> bool) -> Step {
        let mut statuses = Vec::new();
        let mut cursors: Vec<&str> = Vec::new();
        let hint = || format!("check `binding.{what}`: its method, path and body, and which statuses are `ok`");
        let ops: Vec<_> = self.view.ops.iter().filter(|op| of(op.invoked.what)).collect();
        for op in &ops {
            let wrong = match op.completed.map(|completed| completed.what) {
                Some(Outcome::Ok { status, cursor }) => {
                    statuses.push(status.to_string());
                    cursors.extend(cursor.as_deref());
                    continue;
                }
                Some(Outcome::Failed { status: 0, body }) => format!("not sent: {body}"),
                Some(Outcome::Failed { status, body }) => format!("status {status}: {}", shown(body)),
                Some(Outcome::Unknown { why }) => why.clone(),
                None => "no end of it was seen".to_owned(),
            };
            return Step::wrong(what, wrong).note(format!("asked: {}", self.request(&of))).note(hint());
        }
        if ops.is_empty() {
            let why = self.case.aborted.as_ref().map_or_else(|| "nothing was asked".to_owned(), broken_off);
            return Step::wrong(what, why).note(hint());
        }
        statuses.dedup();
        let mut found = format!("{} done, status {}", ops.len(), statuses.join(", "));
        match cursors.as_slice() {
            [] => {}
            [one] => found += &format!("; cursor {one}"),
            [first, .., last] => found += &format!("; cursors {first} … {last}"),
        }
        Step::right(what, &found)
    }

    /// The last request of such an operation, as it stood on the wire.
    fn request(&self, of: impl Fn(&Action) -> bool) -> String {
        let asked = self.case.history.records.iter().rev().find_map(|record| match &record.what {
            What::Invoke(invoke) if of(&invoke.action) => Some(Of::Op(invoke.op)),
            _ => None,
        });
        let messages = self.messages(|of| Some(of) == asked);
        let requests = messages.filter_map(|message| match message {
            Message::Request { method, target, body, .. } => {
                Some(format!("{method} {target} {}", shown(body.as_deref().unwrap_or_default())).trim_end().to_owned())
            }
            Message::Sent { text } => Some(shown(text)),
            Message::Answer { .. } | Message::Frame { .. } | Message::Silence | Message::Full => None,
        });
        requests.last().unwrap_or_else(|| "nothing reached the wire".to_owned())
    }

    /// The connections of the reader.
    fn streams(&self) -> Vec<&'l ConnView<'h>> {
        let own = |conn: &&ConnView<'_>| conn.connect.what.surface == Surface::Stream && conn.connect.what.reader == "reader";
        self.view.conns.iter().filter(own).collect()
    }

    fn read(&self) -> Step {
        match self.streams().first() {
            Some(conn) => self.stream("read", conn),
            None => Step::wrong("read", self.case.aborted.as_ref().map_or_else(|| "no reader connected".to_owned(), broken_off)),
        }
    }

    fn cut(&self) -> Step {
        let streams = self.streams();
        let before = streams.first().map_or(0, |conn| conn.arrivals().count());
        let cut = Step::right("cut", &format!("the reader left after {before} events; two more were published without it"));
        match (&self.case.aborted, streams.len()) {
            (Some(aborted), ..2) => Step::wrong("cut", broken_off(aborted)),
            (_, _) => cut,
        }
    }

    fn resume(&self) -> Step {
        let streams = self.streams();
        let [first, .., again] = streams.as_slice() else { return Step::wrong("resume", "the reader could not connect again") };
        let step = self.stream("resume", again);
        let Some((presented, _)) = again.presented() else { return step };
        let known: Vec<usize> = first.arrivals().map(|(_, event)| event).collect();
        let repeated = again.arrivals().filter(|(_, event)| known.contains(event)).count();
        if step.ok && known.len() > 1 && repeated >= known.len() {
            let ways: Vec<String> = self.profile.binding.subscribe.cursor.iter().map(way).collect();
            return Step::wrong("resume", format!("the cursor `{presented}` was not heard: all {repeated} events before it came again"))
                .note(format!("`binding.subscribe.cursor` sends it {}; which way does the server read?", ways.join(" and ")))
                .note(&*again.connect.what.request);
        }
        let found = format!("with cursor `{presented}`: {}", step.found);
        Step { found, ..step }
    }

    fn stream(&self, what: &'static str, conn: &ConnView<'_>) -> Step {
        let request = &*conn.connect.what.request;
        let Some(answer) = conn.answer else {
            return Step::wrong(what, "no head of an answer came").note("check `binding.subscribe.request`").note(request);
        };
        let status = answer.what.status;
        if !answer.what.accepted {
            return Step::wrong(what, format!("status {status}: {}", shown(&answer.what.body)))
                .note("check `binding.subscribe`: its method, path and body")
                .note(request);
        }
        let media = answer.what.content_type.as_deref().unwrap_or("no media type");
        let ours: Vec<_> = conn.arrivals().map(|(got, _)| got.what).collect();
        let cursors = conn.got.iter().filter(|got| got.what.cursor.is_some()).count();
        let other = conn.got.iter().filter(|got| got.what.kind != Kind::Event).count();
        let mut found = format!("status {status}, {media}; {} of our events, {cursors} cursors", ours.len());
        if other > 0 {
            found += &format!(", {other} other frames");
        }
        let frames: Vec<String> = self.frames(conn.id).map(|frame| format!("it came: {frame}")).collect();
        let show = |step: Step| frames.iter().take(super::SHOWN).cloned().fold(step, Step::note).note(request);
        let format = self.profile.binding.subscribe.format;
        if conn.got.is_empty() {
            let step = Step::wrong(what, format!("{found}: nothing on it is a frame of the format `{}`", word(format)));
            let step = match fits(format, media) {
                true => step.note("is the session's own stream asked for, and from its beginning?"),
                false => step.note("the media type speaks of another one: check `binding.subscribe.format`"),
            };
            return Step { unread: frames.is_empty(), ..show(step) };
        }
        if ours.is_empty() {
            let step = Step::wrong(what, format!("{found}: no event holds what was published"));
            return show(step.note("is it the stream of the same session, and is `binding.event.records` needed?"));
        }
        let session = self.view.session_of(conn);
        let mut bodies = conn.arrivals().filter_map(|(got, event)| Some((got.what.body.as_ref()?, session.events[event].body))).peekable();
        if bodies.peek().is_some() && bodies.all(|(came, sent)| came != sent) {
            let at: Vec<&str> = self.profile.binding.event.payload.iter().collect();
            let step = Step::wrong(what, format!("{found}: the payload is not at `{}`", at.join("`, `")));
            return show(step.note("check `binding.event.payload`: a /pointer into the JSON, or \"data\""));
        }
        if cursors == 0 && self.profile.contract.cursor.is_some() {
            let at = self.profile.binding.event.cursor.as_deref();
            let place = at.map_or_else(|| "`binding.event.cursor` is not given".to_owned(), |at| format!("nothing is at `{at}`"));
            let step = Step::wrong(what, format!("{found}: {place}, and without cursors nothing can be resumed"));
            return show(step.note("check `binding.event.cursor`; without a `contract.cursor` no resumption is judged"));
        }
        if self.view.waits.iter().any(|wait| wait.what.conn == Some(conn.id) && !wait.what.reached) {
            return show(Step::wrong(what, format!("{found}: the newest event did not come in time")));
        }
        match &self.case.aborted {
            Some(aborted) if ours.len() < 2 => Step::wrong(what, broken_off(aborted)),
            _ => Step::right(what, &found),
        }
    }

    fn frames(&self, conn: ConnId) -> impl Iterator<Item = String> {
        self.messages(move |of| of == Of::Conn(conn)).filter_map(|message| match message {
            Message::Frame { text, .. } => Some(shown(text)),
            Message::Request { .. } | Message::Sent { .. } | Message::Answer { .. } | Message::Silence | Message::Full => None,
        })
    }
}

/// A format as it stands in a profile.
fn word(format: Format) -> &'static str {
    match format {
        Format::Sse => "sse",
        Format::Ndjson => "ndjson",
        Format::LongPoll => "long-poll",
        Format::Websocket => "websocket",
    }
}

/// False when a media type is that of another format.
fn fits(format: Format, media: &str) -> bool {
    let sse = media.contains("event-stream");
    match format {
        Format::Sse => sse,
        Format::Ndjson | Format::LongPoll => !sse,
        Format::Websocket => true,
    }
}

/// Stop and restart.
pub(super) fn restarts(case: &Case) -> Vec<Step> {
    let mut signals = Vec::new();
    let (mut gone, mut overdue, mut ready) = (0, false, Vec::new());
    for record in &case.history.records {
        match &record.what {
            What::Process(Process::Signal { name }) => signals.push(name.as_str()),
            What::Process(Process::Gone) => gone += 1,
            What::Process(Process::Overdue) => overdue = true,
            What::Process(Process::Ready { pid, .. }) => ready.push(*pid),
            _ => {}
        }
    }
    let why = || case.aborted.as_ref().map_or_else(|| "no end of it was seen".to_owned(), broken_off);
    if gone < signals.len().max(1) {
        let signal = signals.last().map_or_else(String::new, |name| format!("SIG{name}: "));
        return vec![Step::wrong("stop", format!("{signal}{}", why()))];
    }
    let grace = if overdue { "SIGTERM was not enough in time, SIGKILL was" } else { "SIGTERM and SIGKILL both end it" };
    let stop = Step::right("stop", &format!("{grace}, and nothing that it started is left"));
    let restart = match (&case.aborted, ready.as_slice()) {
        (None, [.., pid]) => Step::right("restart", &format!("on the same data; process {pid} listens, and it is new")),
        _ => Step::wrong("restart", why()),
    };
    vec![stop, restart]
}
