//! From a history to the text of its transcript.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::redact::Redactor;
use crate::contract::{Format, Profile, TranscriptRules};
use crate::history::{
    Action, ConnView, Ended, Headers, History, Kind, Message, Of, OpId, Role, Seen, SessionIx, Surface, Until, View, Wait, What,
};

/// Headers of answers that are shown in every protocol.
const SHOWN: [&str; 6] = ["allow", "cache-control", "content-type", "location", "retry-after", "www-authenticate"];

/// The canonical transcript of a run under these rules: the scenario's and the profile's.
///
/// # Errors
/// In words, when the history holds no messages, more of them than were kept, or the profile's rules are wrong.
pub fn transcript(history: &History, profile: &Profile, rules: &TranscriptRules) -> Result<String, String> {
    let view = View::of(history);
    if let Some(missed) = view.waits.iter().find(|wait| !wait.what.reached) {
        return Err(format!(
            "reader `{}` waited in vain for {:?}: what came instead is no canonical run",
            missed.what.reader, missed.what.until
        ));
    }
    let mut messages: BTreeMap<Of, Vec<&Message>> = BTreeMap::new();
    for record in &history.records {
        if let What::Wire(wire) = &record.what {
            if wire.message == Message::Full {
                return Err("the run has more messages than are kept: no transcript can be whole".to_owned());
            }
            messages.entry(wire.of).or_default().push(&wire.message);
        }
    }
    if messages.is_empty() {
        return Err("the history holds no messages as they stood on the wire".to_owned());
    }
    let redactor = Redactor::of(history, profile, rules)?;
    let mut writer = Writer { view: &view, profile, rules, messages, redactor, out: String::new() };
    writer.sessions();
    Ok(writer.out)
}

struct Writer<'h> {
    view: &'h View<'h>,
    profile: &'h Profile,
    rules: &'h TranscriptRules,
    messages: BTreeMap<Of, Vec<&'h Message>>,
    redactor: Redactor,
    out: String,
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Actor {
    Steps,
    Wallet(String),
}

impl Writer<'_> {
    fn sessions(&mut self) {
        let view = self.view;
        for (at, session) in view.sessions.iter().enumerate() {
            let ix = SessionIx(at as u32);
            self.redactor.session = Some(ix);
            for (actor, requests) in self.requests(ix) {
                match actor {
                    Actor::Steps => self.heading(&format!("session {}", session.name)),
                    Actor::Wallet(wallet) => self.heading(&format!("wallet {wallet}, session {}", session.name)),
                }
                for (nth, of) in requests.iter().enumerate() {
                    // What is asked again until the answer is right is shown once: how often is not the server's doing.
                    if !requests.get(nth + 1).is_some_and(|next| self.repeats(*of, *next)) {
                        self.exchange(*of);
                    }
                }
            }
            for id in &session.conns {
                let conn = view.conn(*id);
                if conn.is_stream() && conn.connect.what.role != Role::Witness {
                    self.stream(conn, session.name);
                }
            }
        }
    }

    /// A session's requests that have an end, by who sent them, in the order in which they were sent.
    fn requests(&self, session: SessionIx) -> BTreeMap<Actor, Vec<Of>> {
        let view = self.view;
        let witness = |actor: &Actor| {
            let of_witness = |conn: &ConnView<'_>| {
                conn.connect.what.role == Role::Witness && *actor == Actor::Wallet(conn.connect.what.reader.to_string())
            };
            view.conns.iter().any(of_witness)
        };
        let mut found: BTreeMap<Actor, Vec<(usize, Of)>> = BTreeMap::new();
        for (at, op) in self.view.ops.iter().enumerate() {
            let of = Of::Op(OpId(at as u32));
            if self.messages.contains_key(&of)
                && let Some((of_session, actor)) = sender(op.invoked.what)
                && of_session == session
                && !witness(&actor)
            {
                found.entry(actor).or_default().push((op.invoked.record, of));
            }
        }
        for id in &self.view.sessions[session.0 as usize].conns {
            let conn = self.view.conn(*id);
            if conn.connect.what.surface != Surface::Stream {
                found.entry(Actor::Steps).or_default().push((conn.connect.record, Of::Conn(*id)));
            }
        }
        let in_order = |mut all: Vec<(usize, Of)>| {
            all.sort();
            all.into_iter().map(|(_, of)| of).collect()
        };
        found.into_iter().map(|(actor, all)| (actor, in_order(all))).collect()
    }

    /// True when both are the same one GET.
    fn repeats(&self, of: Of, next: Of) -> bool {
        let asked = |of: &Of| match self.messages.get(of).map(Vec::as_slice) {
            Some([request @ Message::Request { method, .. }, _]) if method == "GET" => Some(*request),
            Some(_) | None => None,
        };
        asked(&of).is_some_and(|request| asked(&next) == Some(request))
    }

    fn heading(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        let _ = writeln!(self.out, "== {text} ==");
    }

    fn line(&mut self, text: &str) {
        // A transcript's lines are its own: what would end one is shown.
        let plain = text.replace('\r', "\\r").replace('\n', "\\n").replace('\0', "\\0");
        self.out.push_str(plain.trim_end());
        self.out.push('\n');
    }

    fn exchange(&mut self, of: Of) {
        for message in self.messages.get(&of).cloned().unwrap_or_default() {
            self.message(message);
        }
    }

    fn message(&mut self, message: &Message) {
        match message {
            Message::Request { method, target, headers, body } => {
                self.out.push('\n');
                let target = self.redactor.target(target);
                self.line(&format!("> {method} {target}"));
                for (name, value) in headers {
                    let value = self.redactor.header(name, value);
                    self.line(&format!("> {name}: {value}"));
                }
                if let Some(body) = body {
                    let body = self.redactor.body(body);
                    self.line(&format!("> {body}"));
                }
            }
            Message::Sent { text } => {
                let text = self.redactor.body(text);
                self.line(&format!("> {text}"));
            }
            Message::Answer { status, headers, body } => {
                self.line(&format!("< {status}"));
                self.headers(headers);
                if !body.is_empty() {
                    let body = self.redactor.body(body);
                    self.line(&format!("< {body}"));
                }
            }
            Message::Silence => self.line("< no answer"),
            Message::Frame { text, .. } => self.frame(text),
            Message::Full => {}
        }
    }

    fn headers(&mut self, headers: &Headers) {
        let mut shown: Vec<(String, String)> = Vec::new();
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            if SHOWN.contains(&name.as_str()) || self.reads(&name) {
                shown.push((name, value.clone()));
            }
        }
        shown.sort();
        for (name, value) in shown {
            let value = self.redactor.header(&name, &value);
            self.line(&format!("< {name}: {value}"));
        }
    }

    /// True for a header that the profile shows, or that the binding reads.
    fn reads(&self, name: &str) -> bool {
        let binding = &self.profile.binding;
        let named = |source: &String| source.strip_prefix("header:").is_some_and(|header| header.eq_ignore_ascii_case(name));
        let operations = [&binding.open, &binding.publish, &binding.close];
        let of_operations = operations.into_iter().flatten().chain(binding.ops.values());
        self.rules.headers.iter().any(|shown| shown.eq_ignore_ascii_case(name))
            || binding.subscribe.next.as_ref().is_some_and(named)
            || binding.history.as_ref().and_then(|history| history.next.as_ref()).is_some_and(named)
            || of_operations.flat_map(|operation| operation.take.values()).any(named)
    }

    fn stream(&mut self, conn: &ConnView<'_>, session: &str) {
        let Some(messages) = self.messages.get(&Of::Conn(conn.id)).cloned() else { return };
        self.heading(&format!("reader {}, session {session}", conn.name()));
        let kept = kept(conn);
        for message in messages {
            match message {
                Message::Frame { frame, text } => {
                    let of_frame: Vec<_> = conn.got.iter().filter(|got| got.what.frame == *frame).collect();
                    if of_frame.iter().all(|got| self.left_out(got)) {
                        continue;
                    }
                    if kept.is_none_or(|upto| of_frame.iter().any(|got| got.record <= upto)) {
                        self.frame(text);
                    }
                }
                other => self.message(other),
            }
        }
        self.out.push('\n');
        for fault in conn.faults.iter().filter(|fault| fault.what.reached) {
            let says = self.redactor.text(&fault.what.says);
            self.line(&format!("({says})"));
        }
        let ended = conn.end.map(|end| &end.what.how);
        self.line(match ended {
            Some(Ended::Eof) => "(ended by the server)",
            Some(Ended::Done) => "(refused)",
            Some(Ended::Ours) if conn.faults.is_empty() => "(closed by the reader)",
            Some(Ended::Ours) => "(ended by the fault)",
            Some(Ended::Broken { .. }) => "(broken)",
            Some(Ended::NoAnswer { .. }) => "(no answer)",
            Some(Ended::Undecodable { .. }) => "(not decodable)",
            None => "(left open)",
        });
    }

    fn left_out(&self, got: &Seen<&crate::history::Delivery>) -> bool {
        got.what.kind == Kind::Heartbeat || self.rules.leave_out.iter().any(|left_out| got.what.event_type == *left_out)
    }

    fn frame(&mut self, text: &str) {
        self.out.push('\n');
        if self.profile.binding.subscribe.format != Format::Sse {
            let text = self.redactor.body(text);
            self.line(&text);
            return;
        }
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let field = |line: &str, name: &str| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?;
            Some(value.strip_prefix(' ').unwrap_or(value).to_owned())
        };
        let data: Vec<String> = text.lines().filter_map(|line| field(line, "data")).collect();
        let whole = self.redactor.json(&data.join("\n"));
        let mut told = false;
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
            match (field(line, "data"), field(line, "id"), &whole) {
                (Some(_), _, Some(json)) if !told => {
                    self.line(&format!("data: {json}"));
                    told = true;
                }
                (Some(_), _, Some(_)) => {}
                (None, Some(id), _) => {
                    let id = self.redactor.cursor(&id);
                    self.line(&format!("id: {id}"));
                }
                (Some(_), _, None) | (None, None, _) => {
                    let line = self.redactor.text(line);
                    self.line(&line);
                }
            }
        }
    }
}

fn sender(action: &Action) -> Option<(SessionIx, Actor)> {
    match action {
        Action::Open { session, .. } | Action::Close { session, .. } | Action::Delete { session } => Some((*session, Actor::Steps)),
        Action::Publish(publish) => Some((publish.session, Actor::Steps)),
        Action::Pay(payment) => Some((payment.session, Actor::Wallet(payment.wallet.clone()))),
        Action::Custom { session, .. } | Action::Probe { session, .. } => Some(((*session)?, Actor::Steps)),
        Action::Health => None,
    }
}

/// Up to which record a connection's frames belong to the transcript; `None` for all. When a reader leaves by itself, what came
/// behind the last thing that was waited for might as well not have come.
fn kept(conn: &ConnView<'_>) -> Option<usize> {
    let ours = matches!(conn.end.map(|end| &end.what.how), Some(Ended::Ours) | None);
    if !ours || conn.faults.iter().any(|fault| fault.what.reached) {
        return None;
    }
    Some(conn.waits.iter().map(|wait| reached(conn, wait)).max().unwrap_or(0))
}

/// The record of what a wait waited for.
fn reached(conn: &ConnView<'_>, wait: &Seen<&Wait>) -> usize {
    let of = |kind: Kind| conn.got.iter().find(|got| got.what.kind == kind);
    let events = || conn.got.iter().filter(|got| matches!(got.what.kind, Kind::Event | Kind::Terminal));
    let found = match wait.what.until {
        Until::Marker(marker) => conn.got.iter().find(|got| got.what.marker == Some(marker)),
        Until::Events(n) => events().nth((n as usize).saturating_sub(1)),
        Until::Boundary => of(Kind::Boundary),
        Until::Gap => of(Kind::Gap),
        Until::Terminal => of(Kind::Terminal),
        Until::Headers | Until::Heartbeat | Until::Due(_) => None,
        Until::Closed => conn.got.last(),
    };
    found.filter(|_| wait.what.reached).map_or(0, |got| got.record)
}
