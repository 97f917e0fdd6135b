//! Operations of a binding, performed: one request or several, to the server or to the provider, once or until the answer
//! says so, over HTTP or over a WebSocket. An answer that does not come is an outcome, not an error.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

use super::http::{NoAnswer, excerpt, send};
use super::proxy::{Fault, Framing, Link, LinkConfig, Plan};
use super::server::Server;
use super::tap::Tap;
use super::{probe, socket};
use crate::contract::{Binding, Condition, Operation, Profile, Recipient, StatusSet};
use crate::history::Outcome;
use crate::run::binding::{Request, Vars, for_operation, taken};
use crate::scenario::PublishFault;
use crate::world::{Call, Reply, Whole};

/// Pause between two tries of an operation that is repeated until its answer is right.
const AGAIN: Duration = Duration::from_millis(25);
/// How long an operation is repeated when its condition does not say.
const REPEATED: Duration = Duration::from_secs(10);

/// A reply without an answer.
pub(super) fn unknown(why: NoAnswer) -> Reply {
    let outcome = match why {
        NoAnswer::NotSent(why) => Outcome::Failed { status: 0, body: why },
        NoAnswer::Lost(why) => Outcome::Unknown { why },
    };
    Reply { outcome, taken: BTreeMap::new(), answer: None }
}

/// The operation of this name: of the profile's own, or a bound one.
fn named<'b>(binding: &'b Binding, name: &str) -> Option<&'b Operation> {
    binding.ops.get(name).or_else(|| match name {
        "open" => binding.open.as_ref(),
        "publish" => binding.publish.as_ref(),
        "publish_ephemeral" => binding.publish_ephemeral.as_ref(),
        "close" => binding.close.as_ref(),
        "delete" => binding.delete.as_ref(),
        "health" => binding.health.as_ref(),
        "history" => binding.history.as_ref().map(|history| &history.operation),
        "snapshot" => binding.snapshot.as_ref().map(|snapshot| &snapshot.operation),
        _ => None,
    })
}

/// Where an operation is performed: at which server, by which binding, how long it may take, and who listens.
pub(super) struct Site<'s> {
    pub(super) server: &'s Server,
    pub(super) binding: &'s Binding,
    pub(super) tap: Tap,
    pub(super) within: Duration,
    /// Whether an exchange over a WebSocket was waited for in vain in this run; the next ones are not waited for as long.
    pub(super) unanswered: &'s Cell<bool>,
}

/// Performs what the runner asks for.
pub(super) async fn call(at: &Site<'_>, profile: &Profile, mut vars: Vars, call: Call) -> Reply {
    let (name, fault) = match &call {
        Call::Open(retain) => {
            let retain = retain.unwrap_or_default();
            for (name, bound) in [("retain_records", retain.records), ("retain_bytes", retain.bytes), ("retain_age_ms", retain.age_ms)] {
                if let Some(bound) = bound {
                    vars.number(name, bound);
                }
            }
            ("open", None)
        }
        Call::Publish { payload, event_type, key, durable, by, fault } => {
            vars.text("payload", payload.to_string()).text("type", event_type.to_owned());
            if let Some(key) = key {
                vars.text("key", key.clone());
            }
            (by.as_deref().unwrap_or(if *durable { "publish" } else { "publish_ephemeral" }), *fault)
        }
        Call::Close => ("close", None),
        Call::Delete => ("delete", None),
        Call::Health => ("health", None),
        Call::Probe(about) => return probe::probe(at.server, profile, vars, *about, at.within).await,
        Call::Custom { name, with } => {
            for (name, value) in with {
                vars.text(name, value.clone());
            }
            (name.as_str(), None)
        }
    };
    match named(at.binding, name) {
        Some(operation) => perform(at, operation, vars, fault).await,
        None => unknown(NoAnswer::NotSent(format!("the profile has no `binding.{name}`, nor `binding.ops.{name}`"))),
    }
}

/// Performs an operation and those behind it. The reply is the last one's, with what all of them took.
async fn perform(at: &Site<'_>, operation: &Operation, mut vars: Vars, fault: Option<PublishFault>) -> Reply {
    let mut all = BTreeMap::new();
    let mut fault = fault;
    let mut reply = unknown(NoAnswer::NotSent("nothing was asked".to_owned()));
    for one in std::iter::once(operation).chain(&operation.then) {
        reply = repeated(at, one, &vars, fault.take()).await;
        tell(at, one, &vars, &reply);
        for (name, value) in &reply.taken {
            vars.text(name, value.clone());
        }
        all.extend(std::mem::take(&mut reply.taken));
        if !matches!(reply.outcome, Outcome::Ok { .. }) {
            break;
        }
    }
    if let Outcome::Ok { cursor, .. } = &mut reply.outcome {
        *cursor = all.get("cursor").map(SmolStr::from);
    }
    Reply { taken: all, ..reply }
}

/// Lets the tap hear an operation on the server. Of one that was repeated that is the last time: how often it was asked is not
/// the server's doing.
fn tell(at: &Site<'_>, operation: &Operation, vars: &Vars, reply: &Reply) {
    if operation.to == Recipient::Provider || !at.tap.recorder.keeps_wire() {
        return;
    }
    at.tap.asks(&for_operation(at.binding, operation, vars));
    for message in operation.socket.iter().flat_map(|exchange| &exchange.send) {
        at.tap.sends(&vars.fill_json(message).unwrap_or_default().to_string());
    }
    at.tap.hears(reply.answer.as_ref());
}

/// Performs one request, again and again where the operation says until when.
async fn repeated(at: &Site<'_>, operation: &Operation, vars: &Vars, fault: Option<PublishFault>) -> Reply {
    let Some(until) = &operation.until else { return once(at, operation, vars, fault).await };
    let end = Instant::now() + until.within_ms.map_or(REPEATED, Duration::from_millis);
    loop {
        let reply = once(at, operation, vars, None).await;
        if reply.answer.as_ref().is_some_and(|answer| meets(until, answer)) {
            return reply;
        }
        if Instant::now() >= end {
            let seen =
                reply.answer.as_ref().map_or_else(|| "no answer".to_owned(), |answer| format!("{} {}", answer.status, excerpt(answer)));
            return unknown(NoAnswer::Lost(format!("the answer to `{}` did not become what it should: {seen}", operation.request)));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn meets(until: &Condition, answer: &Whole) -> bool {
    let json = answer.json();
    until.status.as_ref().is_none_or(|status| status.contains(answer.status))
        && until.json.iter().all(|(pointer, wanted)| json.as_ref().and_then(|json| json.pointer(pointer)) == Some(wanted))
}

async fn once(at: &Site<'_>, operation: &Operation, vars: &Vars, fault: Option<PublishFault>) -> Reply {
    let Site { server, binding, within, unanswered, .. } = at;
    let within = *within;
    let request = for_operation(binding, operation, vars);
    let base = match operation.to {
        Recipient::Server => server.base(),
        Recipient::Provider => match server.provider() {
            Some(base) => base,
            None => return unknown(NoAnswer::NotSent("no model provider runs beside this target".to_owned())),
        },
    };
    let answer = match (&operation.socket, fault) {
        (Some(exchange), _) => {
            let within = if unanswered.get() { within / 4 } else { within };
            let since = Instant::now();
            let answer = socket::exchange(&base, &request, exchange, vars, within).await;
            unanswered.set(unanswered.get() || answer.is_err() && since.elapsed() >= within);
            answer
        }
        (None, None) => send(&server.clients().operations(), &base, &request, within).await,
        (None, Some(fault)) => send_broken(server, &request, fault, within).await,
    };
    match answer {
        Ok(whole) => judge(operation, whole),
        Err(why) => unknown(why),
    }
}

fn judge(operation: &Operation, whole: Whole) -> Reply {
    let done = operation.ok.as_ref().map_or((200..300).contains(&whole.status), |ok: &StatusSet| ok.contains(whole.status));
    if !done {
        let outcome = Outcome::Failed { status: whole.status, body: excerpt(&whole) };
        return Reply { outcome, taken: BTreeMap::new(), answer: Some(whole) };
    }
    let json = whole.json();
    let take = |source: &String| taken(source, json.as_ref(), |name| whole.header(name).map(str::to_owned));
    let taken: BTreeMap<_, _> = operation.take.iter().filter_map(|(name, source)| Some((name.clone(), take(source)?))).collect();
    Reply { outcome: Outcome::Ok { status: whole.status, cursor: taken.get("cursor").map(SmolStr::from) }, taken, answer: Some(whole) }
}

/// Sends a request through a link that loses its answer.
async fn send_broken(server: &Server, request: &Request, fault: PublishFault, within: Duration) -> Result<Whole, NoAnswer> {
    let Some(upstream) = server.upstream() else { return Err(NoAnswer::NotSent("the proxy cannot read https".to_owned())) };
    let config = LinkConfig { upstream, framing: Framing::None, origin: std::time::Instant::now(), observer: std::sync::Arc::new(|_| ()) };
    let link = Link::open(config).await.map_err(|e| NoAnswer::NotSent(e.to_string()))?;
    link.plan(Plan::from(match fault {
        PublishFault::DropAnswer => Fault::DropAnswer,
        PublishFault::Duplicate => Fault::DuplicateRequest,
    }));
    let base = format!("http://{}", link.address());
    send(&server.clients().streams(), &base, request, within).await
}
