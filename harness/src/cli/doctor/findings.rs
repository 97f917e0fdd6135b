//! What the histories of the two runs show, step by step; pure.

use crate::cli::init::way;
use crate::contract::{Format, Profile};
use crate::history::{Action, ConnId, ConnView, Kind, Message, Of, Outcome, Process, Surface, View, What};
use crate::report::plural;
use crate::run::Abort;
use crate::run::suite::Case;

/// At most so many characters of a message are shown.
const MOST: usize = 400;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Right,
    /// It is not promised, or cannot be done to this target.
    NotTried,
    Wrong,
}

/// What else there is to say of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// The place in the binding that may be wrong.
    Hint(String),
    /// What stood on the wire, to be copied as it is.
    Bytes(String),
}

/// One step, and what was found there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) came: Came,
    pub(super) found: String,
    pub(super) notes: Vec<Note>,
    /// Nothing of the stream was understood, so that its bytes are not in the history.
    pub(super) unread: bool,
}

impl Step {
    pub(super) fn right(what: &'static str, found: impl Into<String>) -> Step {
        Step { what, came: Came::Right, found: found.into(), notes: Vec::new(), unread: false }
    }

    pub(super) fn not_tried(what: &'static str, why: impl Into<String>) -> Step {
        Step { came: Came::NotTried, ..Step::right(what, why) }
    }

    pub(super) fn wrong(what: &'static str, found: impl Into<String>) -> Step {
        Step { came: Came::Wrong, ..Step::right(what, found) }
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.came == Came::Wrong
    }

    fn hint(mut self, text: impl Into<String>) -> Step {
        self.notes.push(Note::Hint(text.into()));
        self
    }

    fn bytes(mut self, text: impl Into<String>) -> Step {
        self.notes.push(Note::Bytes(text.into()));
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
        let wrong = step.is_wrong();
        steps.push(step);
        if wrong {
            return steps;
        }
    }
    if let Some(aborted) = &case.aborted {
        steps.push(Step::wrong("resume", broken_off(aborted)));
    } else if !profile.replays() {
        steps.extend(["cut", "resume"].map(|what| Step::not_tried(what, "not promised: readers get new events only")));
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
        let opens = |action: &Action| matches!(action, Action::Open { .. });
        let step = self.operations("open", opens);
        let taken = self.profile.binding.open.as_ref().and_then(|open| open.take.get("session"));
        match taken.filter(|_| !step.is_wrong()) {
            Some(pointer) if !self.heads(opens).any(|(headers, body)| holds(pointer, headers, body)) => {
                let wrong = Step::wrong("open", format!("{}, and no answer has the session's name at `{pointer}`", step.found));
                let wrong = wrong.hint("`binding.open.take.session` says that it has; put it right, or remove it");
                self.answered(wrong, pointer, opens)
            }
            Some(_) | None => step,
        }
    }

    fn publish(&self) -> Step {
        let publishes = |action: &Action| matches!(action, Action::Publish(_));
        let step = self.operations("publish", publishes);
        let pointer = self.profile.binding.publish.as_ref().and_then(|publish| publish.take.get("cursor"));
        match pointer {
            Some(pointer) if !step.is_wrong() && !self.cursors().any(|cursor| cursor.is_some()) => {
                let wrong = Step::wrong("publish", format!("{}, and no answer has a cursor at `{pointer}`", step.found));
                let wrong = wrong.hint("`binding.publish.take.cursor` says that it has; put it right, or remove it");
                self.answered(wrong, pointer, publishes)
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

    /// Headers and bodies of the answers to these operations, as they stood on the wire.
    fn heads(&self, of: impl Fn(&Action) -> bool) -> impl Iterator<Item = (&'l [(String, String)], &'l str)> {
        let asked = self.case.history.records.iter().filter_map(|record| match &record.what {
            What::Invoke(invoke) if of(&invoke.action) => Some(Of::Op(invoke.op)),
            _ => None,
        });
        let asked: Vec<Of> = asked.collect();
        self.messages(move |of| asked.contains(&of)).filter_map(|message| match message {
            Message::Answer { headers, body, .. } => Some((headers.as_slice(), body.as_str())),
            Message::Request { .. } | Message::Sent { .. } | Message::Frame { .. } | Message::Silence | Message::Full => None,
        })
    }

    /// `step`, which misses something at `pointer`, with the first answer to these operations.
    fn answered(&self, step: Step, pointer: &str, of: impl Fn(&Action) -> bool) -> Step {
        let Some((headers, body)) = self.heads(of).next() else { return step };
        let media = |name: &str| name.eq_ignore_ascii_case("content-type");
        let page = headers.iter().any(|(name, value)| media(name) && is_page(value));
        let step = if page { step.hint(PAGE) } else { step };
        let telling = headers.iter().filter(|(name, _)| media(name) || pointer.starts_with("header:"));
        let head: String = telling.map(|(name, value)| format!("{name}: {value} · ")).collect();
        step.bytes(format!("the answer: {head}{}", shown(body)))
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
            let nameless = self.profile.binding.open.is_none();
            let (wrong, hints) = match op.completed.map(|completed| completed.what) {
                Some(Outcome::Ok { status, cursor }) => {
                    statuses.push(status.to_string());
                    cursors.extend(cursor.as_deref());
                    continue;
                }
                Some(Outcome::Failed { status: 0, body }) => (format!("not sent: {body}"), vec![hint()]),
                Some(Outcome::Failed { status: status @ 404, body }) if nameless => {
                    (refusal(*status, body), vec![hint(), "must a session be opened first? `binding.open` says how".to_owned()])
                }
                Some(Outcome::Failed { status, body }) => (refusal(*status, body), vec![hint()]),
                Some(Outcome::Unknown { why }) => {
                    (why.clone(), vec!["the connection was taken, and this got no answer: is it the right port?".to_owned()])
                }
                None => ("no end of it was seen".to_owned(), vec![hint()]),
            };
            let wrong = Step::wrong(what, wrong).bytes(format!("asked: {}", self.request(&of)));
            return hints.into_iter().fold(wrong, Step::hint);
        }
        if ops.is_empty() {
            let why = self.case.aborted.as_ref().map_or_else(|| "nothing was asked".to_owned(), broken_off);
            return Step::wrong(what, why).hint(hint());
        }
        statuses.dedup();
        let mut found = format!("{} done, status {}", ops.len(), statuses.join(", "));
        match cursors.as_slice() {
            [] => {}
            [one] => found += &format!("; cursor {one}"),
            [first, .., last] => found += &format!("; cursors {first} … {last}"),
        }
        Step::right(what, found)
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
        let cut =
            Step::right("cut", format!("the reader left after {}; two more were published without it", plural(before as u64, "event")));
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
        if !step.is_wrong() && known.len() > 1 && repeated >= known.len() {
            let ways: Vec<String> = self.profile.binding.subscribe.cursor.iter().map(way).collect();
            return Step::wrong("resume", format!("the cursor `{presented}` was not heard: all {repeated} events before it came again"))
                .hint(format!("`binding.subscribe.cursor` sends it {}; which way does the server read?", ways.join(" and ")))
                .bytes(&*again.connect.what.request);
        }
        let found = format!("with cursor `{presented}`: {}", step.found);
        Step { found, ..step }
    }

    fn stream(&self, what: &'static str, conn: &ConnView<'_>) -> Step {
        let request = &*conn.connect.what.request;
        let Some(answer) = conn.answer else {
            return Step::wrong(what, "no head of an answer came").hint("check `binding.subscribe.request`").bytes(request);
        };
        let status = answer.what.status;
        if !answer.what.accepted {
            return Step::wrong(what, refusal(status, &answer.what.body))
                .hint("check `binding.subscribe`: its method, path and body")
                .bytes(request);
        }
        let media = answer.what.content_type.as_deref().unwrap_or("no media type");
        let ours: Vec<_> = conn.arrivals().map(|(got, _)| got.what).collect();
        let cursors = conn.got.iter().filter(|got| got.what.cursor.is_some()).count();
        let other = conn.got.iter().filter(|got| got.what.kind != Kind::Event).count();
        let mut found = format!("status {status}, {media}; {} of our events, {}", ours.len(), plural(cursors as u64, "cursor"));
        if other > 0 {
            found += &format!(", {}", plural(other as u64, "other frame"));
        }
        let frames: Vec<String> = self.frames(conn.id).map(|frame| format!("it came: {frame}")).collect();
        let show = |step: Step| frames.iter().take(super::SHOWN).cloned().fold(step, Step::bytes).bytes(request);
        let format = self.profile.binding.subscribe.format;
        if conn.got.is_empty() {
            let step = Step::wrong(what, format!("{found}: nothing on it is a frame of the format `{}`", word(format)));
            let step = match fits(format, media) {
                _ if is_page(media) => step.hint(PAGE),
                true => step.hint("is the session's own stream asked for, and from its beginning?"),
                false => step.hint("the media type speaks of another one: check `binding.subscribe.format`"),
            };
            return Step { unread: frames.is_empty(), ..show(step) };
        }
        if ours.is_empty() {
            let step = Step::wrong(what, format!("{found}: no event holds what was published"));
            return show(step.hint("is it the stream of the same session, and is `binding.event.records` needed?"));
        }
        let session = self.view.session_of(conn);
        let mut bodies = conn.arrivals().filter_map(|(got, event)| Some((got.what.body.as_ref()?, session.events[event].body))).peekable();
        if bodies.peek().is_some() && bodies.all(|(came, sent)| came != sent) {
            let at: Vec<&str> = self.profile.binding.event.payload.iter().collect();
            let step = Step::wrong(what, format!("{found}: the payload is not at `{}`", at.join("`, `")));
            return show(step.hint("check `binding.event.payload`: a /pointer into the JSON, or \"data\""));
        }
        if cursors == 0 && self.profile.contract.cursor.is_some() {
            let at = self.profile.binding.event.cursor.as_deref();
            let place = at.map_or_else(|| "`binding.event.cursor` is not given".to_owned(), |at| format!("nothing is at `{at}`"));
            let step = Step::wrong(what, format!("{found}: {place}, and without cursors nothing can be resumed"));
            return show(step.hint("check `binding.event.cursor`; without a `contract.cursor` no resumption is judged"));
        }
        if self.view.waits.iter().any(|wait| wait.what.conn == Some(conn.id) && !wait.what.reached) {
            return show(Step::wrong(what, format!("{found}: the newest event did not come in time")));
        }
        match &self.case.aborted {
            Some(aborted) if ours.len() < 2 => Step::wrong(what, broken_off(aborted)),
            _ => Step::right(what, found),
        }
    }

    fn frames(&self, conn: ConnId) -> impl Iterator<Item = String> {
        self.messages(move |of| of == Of::Conn(conn)).filter_map(|message| match message {
            Message::Frame { text, .. } => Some(shown(text)),
            Message::Request { .. } | Message::Sent { .. } | Message::Answer { .. } | Message::Silence | Message::Full => None,
        })
    }
}

fn refusal(status: u16, body: &str) -> String {
    format!("status {status}: {}", shown(body))
}

/// Whether an answer has something at a pointer into its JSON, or in its `header:Name`.
fn holds(pointer: &str, headers: &[(String, String)], body: &str) -> bool {
    match pointer.strip_prefix("header:") {
        Some(name) => headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name.trim())),
        None => serde_json::from_str::<serde_json::Value>(body).is_ok_and(|document| document.pointer(pointer).is_some()),
    }
}

/// What is said of an answer that is made for browsers.
const PAGE: &str = "the answer is a web page: are address and path right?";

fn is_page(media: &str) -> bool {
    media.contains("html")
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
    let stop = Step::right("stop", format!("{grace}, and nothing that it started is left"));
    let restart = match (&case.aborted, ready.as_slice()) {
        (None, [.., pid]) => Step::right("restart", format!("on the same data; process {pid} listens, and it is new")),
        _ => Step::wrong("restart", why()),
    };
    vec![stop, restart]
}
