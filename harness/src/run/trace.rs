//! A run told while it runs, for `-v` and `RUST_LOG`: its observations, in the words of timelines, as events of `tracing`.
//!
//! What is told comes from records, which hold no header that a request was sent with and no body; bytes of the wire are not told
//! at all. Nothing is put into words, and no name is kept, where nobody listens to more than warnings.

use std::collections::BTreeMap;

use tracing::level_filters::LevelFilter;
use tracing::{debug, info};

use crate::history::words::{changed, delivered, ended, lane, probed, short, start, struck, waited};
use crate::history::{Action, ConnId, OpId, Outcome, What};

/// Who is told about in one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The scenario, with its place in a sweep.
    case: String,
    /// The names of connections.
    lanes: BTreeMap<ConnId, String>,
    /// What operations without an answer so far ask for.
    asked: BTreeMap<OpId, String>,
}

/// True where somebody listens to more than warnings.
pub(crate) fn is_on() -> bool {
    LevelFilter::current() >= LevelFilter::INFO
}

impl Trace {
    /// From now on the run is called so.
    pub(crate) fn of(&mut self, case: &str) {
        if is_on() {
            case.clone_into(&mut self.case);
        }
    }

    /// Tells of an observation.
    #[inline]
    pub(crate) fn tell(&mut self, what: &What) {
        if is_on() {
            self.told(what);
        }
    }

    fn told(&mut self, what: &What) {
        let case = self.case.as_str();
        let lane_of = |conn: &ConnId| self.lanes.get(conn).map_or("a connection", String::as_str);
        match what {
            What::Step(step) => info!(target: "streamspec::step", case, "{}", short(&step.says)),
            What::Invoke(invoke) => {
                let asked = asked(&invoke.action);
                info!(target: "streamspec::operation", case, op = invoke.op.0, "{asked}: sent");
                self.asked.insert(invoke.op, asked);
            }
            What::Complete(complete) => {
                let asked = self.asked.remove(&complete.op).unwrap_or_default();
                let outcome = outcome(&complete.outcome);
                info!(target: "streamspec::operation", case, op = complete.op.0, "{asked}: {outcome}");
            }
            What::Connect(connect) => {
                let lane = lane(connect);
                info!(target: "streamspec::connection", case, "{lane} connects {}", start(&connect.from));
                self.lanes.insert(connect.conn, lane);
            }
            What::Answer(answer) => {
                info!(target: "streamspec::connection", case, "{} is answered with status {}", lane_of(&answer.conn), answer.status);
            }
            What::End(end) => info!(target: "streamspec::connection", case, "{}: {}", lane_of(&end.conn), ended(&end.how)),
            What::Fault(fault) => {
                let lane = fault.conn.as_ref().map_or("the run", lane_of);
                info!(target: "streamspec::fault", case, "{lane}: {}", struck(fault));
            }
            What::Process(process) => info!(target: "streamspec::process", case, "the server: {}", changed(process)),
            What::Wait(wait) if !wait.reached => info!(target: "streamspec::wait", case, "{}: {}", short(&wait.reader), waited(wait)),
            What::Leaked(leaked) => info!(target: "streamspec::leak", case, "a planted secret came back in {}", leaked.surface),
            What::Delivery(delivery) => {
                debug!(target: "streamspec::frame", case, frame = delivery.frame, "{}: {}", lane_of(&delivery.conn), delivered(delivery));
            }
            What::Comment(comment) => {
                debug!(target: "streamspec::frame", case, "{}: comment `{}`", lane_of(&comment.conn), short(&comment.text));
            }
            What::Lint(lint) => {
                debug!(target: "streamspec::frame", case, "{}: {}: {}", lane_of(&lint.conn), lint.rule, short(&lint.text));
            }
            What::Resources(sum) => {
                let mib = sum.resident >> 20;
                let (descriptors, threads) = (sum.descriptors, sum.threads);
                debug!(target: "streamspec::process", case, descriptors, threads, mib, "the server, {}", short(&sum.label));
            }
            What::Session(_)
            | What::Opened(_)
            | What::Opinion(_)
            | What::Wait(_)
            | What::Expectation(_)
            | What::Paid(_)
            | What::Told(_)
            | What::Named(_)
            | What::Wire(_) => {}
        }
    }
}

/// What an operation asks for.
fn asked(action: &Action) -> String {
    match action {
        Action::Open { session, .. } => format!("open s{}", session.0),
        Action::Publish(publish) => format!("publish {}", publish.marker),
        Action::Close { session, .. } => format!("close s{}", session.0),
        Action::Delete { session } => format!("delete s{}", session.0),
        Action::Health => "health check".to_owned(),
        Action::Custom { name, .. } => short(name),
        Action::Pay(pay) => format!("payment from the wallet {}", pay.wallet),
        Action::Probe { about, .. } => probed(*about).to_owned(),
    }
}

/// How an operation ended. The body of a refusal is left out: it may repeat what was sent.
fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok { status, .. } => format!("acknowledged with {status}"),
        Outcome::Failed { status: 0, .. } => "not sent (the server is away)".to_owned(),
        Outcome::Failed { status, .. } => format!("refused with {status}"),
        Outcome::Unknown { why } => format!("without answer ({})", short(why)),
    }
}
