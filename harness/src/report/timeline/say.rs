//! One observation in words.

use rustc_hash::FxHashMap;

use crate::history::words::{changed, delivered, ended, lane, probed, short, start, struck, waited};
use crate::history::{Action, Complete, ConnId, History, Marker, OpId, Outcome, ToldBy, What};

use super::money;

/// What a timeline shows of a history, and under which names.
pub(in crate::report) struct Cast<'h> {
    /// What each operation asked for.
    actions: FxHashMap<OpId, &'h Action>,
    /// The connections of the readers that are shown.
    lanes: FxHashMap<ConnId, String>,
    /// The session that is shown, if it is one.
    session: Option<u32>,
}

/// An observation in words.
pub(in crate::report) struct Said {
    pub(in crate::report) lane: String,
    pub(in crate::report) text: String,
    /// True for what gives the others their place: a connection begins or ends, a fault strikes, the process changes.
    pub(in crate::report) landmark: bool,
    /// The event that it is about, where a run of alike observations can be told as one.
    pub(in crate::report) event: Option<Marker>,
}

impl<'h> Cast<'h> {
    /// The cast of a history of which the observations with these indices are to be shown.
    pub(in crate::report) fn of(history: &'h History, shown: &[usize]) -> Cast<'h> {
        let shown = || shown.iter().filter_map(|at| history.records.get(*at)).map(|r| &r.what);
        let touched: Vec<ConnId> = shown().filter_map(connection).collect();
        let connects = || history.records.iter().filter_map(|r| if let What::Connect(c) = &r.what { Some(c) } else { None });
        let readers: Vec<&str> = connects().filter(|c| touched.contains(&c.conn)).map(|c| c.reader.as_str()).collect();
        let lanes = connects().filter(|c| readers.contains(&c.reader.as_str())).map(|c| (c.conn, lane(c))).collect();
        let invoked = history.records.iter().filter_map(|r| if let What::Invoke(i) = &r.what { Some((i.op, &i.action)) } else { None });
        let mut cast = Cast { actions: invoked.collect(), lanes, session: None };
        cast.session = shown().find_map(|what| cast.session_of(what));
        cast
    }

    /// The cast of a whole history: every reader, every session.
    pub(in crate::report) fn whole(history: &'h History) -> Cast<'h> {
        let records = || history.records.iter();
        let lanes = records().filter_map(|r| if let What::Connect(c) = &r.what { Some((c.conn, lane(c))) } else { None });
        let actions = records().filter_map(|r| if let What::Invoke(i) = &r.what { Some((i.op, &i.action)) } else { None });
        Cast { actions: actions.collect(), lanes: lanes.collect(), session: None }
    }

    /// The event that an observation of a publish is about.
    pub(in crate::report) fn published(&self, what: &What) -> Option<Marker> {
        if let Some(Action::Publish(publish)) = self.action(what) { Some(publish.marker) } else { None }
    }

    fn action<'s>(&'s self, what: &'s What) -> Option<&'s Action> {
        if let What::Complete(complete) = what {
            self.actions.get(&complete.op).copied()
        } else if let What::Invoke(invoke) = what {
            Some(&invoke.action)
        } else {
            None
        }
    }

    fn session_of(&self, what: &What) -> Option<u32> {
        if let What::Connect(connect) = what {
            return Some(connect.session.0);
        }
        if let What::Delivery(delivery) = what {
            return delivery.marker.map(|m| m.session);
        }
        match self.action(what)? {
            Action::Publish(publish) => Some(publish.session.0),
            Action::Open { session, .. } | Action::Close { session, .. } | Action::Delete { session } => Some(session.0),
            Action::Custom { session, .. } | Action::Probe { session, .. } => session.map(|s| s.0),
            Action::Pay(pay) => Some(pay.session.0),
            Action::Health => None,
        }
    }

    /// The observation in words, if it belongs to the timeline.
    pub(in crate::report) fn say(&self, what: &What) -> Option<Said> {
        let on = |conn: ConnId, text: String| Some(Said { lane: self.lanes.get(&conn)?.clone(), text, landmark: false, event: None });
        let server = |text: String, landmark: bool| Some(Said { lane: "server".to_owned(), text, landmark, event: None });
        match what {
            What::Complete(complete) => self.completed(complete),
            What::Connect(connect) => Some(Said { landmark: true, ..on(connect.conn, format!("connects {}", start(&connect.from)))? }),
            What::Answer(answer) if answer.body.is_empty() => on(answer.conn, format!("status {}", answer.status)),
            What::Answer(answer) => on(answer.conn, format!("status {}: {}", answer.status, short(&answer.body))),
            What::Delivery(delivery) => Some(Said { event: delivery.marker, ..on(delivery.conn, delivered(delivery))? }),
            What::Lint(lint) => on(lint.conn, format!("{}: {}", lint.rule, short(&lint.text))),
            What::Opinion(opinion) => on(opinion.conn, format!("an ordinary client differs: {}", short(opinion.differs.as_deref()?))),
            What::End(end) => Some(Said { landmark: true, ..on(end.conn, ended(&end.how))? }),
            What::Fault(fault) => match fault.conn {
                Some(conn) => Some(Said { landmark: true, ..on(conn, struck(fault))? }),
                None => Some(Said { lane: "harness".to_owned(), text: struck(fault), landmark: true, event: None }),
            },
            What::Process(process) => server(changed(process), true),
            What::Resources(r) => {
                let mib = r.resident >> 20;
                server(format!("{}: {} descriptors, {} threads, {mib} MiB", r.label, r.descriptors, r.threads), false)
            }
            What::Wait(wait) if !wait.reached => on(wait.conn?, waited(wait)),
            What::Expectation(one) if !one.held => {
                let text = format!("{}: expected {}, got {}", one.says, short(&one.expected), short(&one.seen));
                Some(Said { lane: "harness".to_owned(), text, landmark: false, event: None })
            }
            What::Leaked(leaked) => {
                let lane = leaked.conn.and_then(|conn| self.lanes.get(&conn).cloned()).unwrap_or_else(|| "server".to_owned());
                Some(Said { lane, text: format!("a secret in {}: {}", leaked.surface, leaked.around), landmark: false, event: None })
            }
            What::Told(one) => match one.by {
                ToldBy::Frame(conn) => on(conn, money::told(one)),
                ToldBy::Answer(_) => server(money::told(one), false),
            },
            What::Step(_)
            | What::Session(_)
            | What::Opened(_)
            | What::Invoke(_)
            | What::Paid(_)
            | What::Comment(_)
            | What::Wait(_)
            | What::Expectation(_)
            | What::Named(_)
            | What::Wire(_) => None,
        }
    }

    fn completed(&self, complete: &Complete) -> Option<Said> {
        let action = self.actions.get(&complete.op)?;
        let outcome = match &complete.outcome {
            Outcome::Ok { .. } => "acknowledged".to_owned(),
            Outcome::Failed { status: 0, .. } => "not sent (the server is away)".to_owned(),
            Outcome::Failed { status, .. } => format!("refused with {status}"),
            Outcome::Unknown { why } => format!("without answer ({})", short(why)),
        };
        let ours = |ix: u32| self.session.is_none_or(|session| session == ix);
        let (text, event) = match action {
            Action::Publish(p) if ours(p.session.0) => (format!("{outcome} {}", p.marker), Some(p.marker)),
            Action::Close { session, by_stop: true } if ours(session.0) => ("the session ends with its process".to_owned(), None),
            Action::Close { session, .. } if ours(session.0) => (format!("close {outcome}"), None),
            Action::Custom { name, session, .. } if session.is_none_or(|session| ours(session.0)) => (format!("{name} {outcome}"), None),
            Action::Delete { session } if ours(session.0) => (format!("delete {outcome}"), None),
            Action::Open { session, refuse: true } if ours(session.0) => (format!("open with a senseless retention: {outcome}"), None),
            Action::Probe { about, .. } => (format!("{}: {outcome}", probed(*about)), None),
            Action::Pay(pay) if ours(pay.session.0) => (format!("{}: {outcome}", money::payment(pay)), None),
            Action::Health if matches!(complete.outcome, Outcome::Ok { .. }) => return None,
            Action::Health => (format!("health check {outcome}"), None),
            Action::Publish(_)
            | Action::Close { .. }
            | Action::Delete { .. }
            | Action::Open { .. }
            | Action::Custom { .. }
            | Action::Pay(_) => return None,
        };
        Some(Said { lane: "writer".to_owned(), text, landmark: false, event })
    }
}

fn connection(what: &What) -> Option<ConnId> {
    match what {
        What::Connect(c) => Some(c.conn),
        What::Answer(a) => Some(a.conn),
        What::Delivery(d) => Some(d.conn),
        What::Comment(c) => Some(c.conn),
        What::End(e) => Some(e.conn),
        What::Lint(l) => Some(l.conn),
        What::Opinion(o) => Some(o.conn),
        What::Wait(w) => w.conn,
        What::Fault(f) => f.conn,
        What::Leaked(l) => l.conn,
        What::Told(told) => match told.by {
            ToldBy::Frame(conn) => Some(conn),
            ToldBy::Answer(_) => None,
        },
        What::Step(_)
        | What::Session(_)
        | What::Opened(_)
        | What::Invoke(_)
        | What::Complete(_)
        | What::Process(_)
        | What::Resources(_)
        | What::Paid(_)
        | What::Expectation(_)
        | What::Named(_)
        | What::Wire(_) => None,
    }
}
