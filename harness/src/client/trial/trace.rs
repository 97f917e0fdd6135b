//! A case told while it runs, for `-v` and `RUST_LOG`. Nothing is told of a request's headers, body and path.

use tracing::{debug, info};

use super::log::{Said, Saw};
use crate::history::words::short;
use crate::run::trace::is_on;

/// Tells of an observation of the case.
pub(super) fn tell(case: &str, saw: &Saw) {
    if !is_on() {
        return;
    }
    match saw {
        Saw::Started { life } => info!(target: "streamspec::process", case, "the client: start {life}"),
        Saw::Killed { life } => info!(target: "streamspec::process", case, "the client: start {life} is killed"),
        Saw::Exited { life, status } => {
            let status = status.map_or_else(|| "by a signal".to_owned(), |status| format!("with status {status}"));
            info!(target: "streamspec::process", case, "the client: start {life} ended {status}");
        }
        Saw::Request(request) => info!(target: "streamspec::connection", case, "request {}: {}", request.nth, short(&request.method)),
        Saw::Refused { nth } => info!(target: "streamspec::fault", case, "request {nth} is refused"),
        Saw::Ended { nth, how } => info!(target: "streamspec::connection", case, "request {nth}: the server ends it ({how})"),
        Saw::Left { nth } => info!(target: "streamspec::connection", case, "request {nth}: the client leaves"),
        Saw::Posted { answer, .. } => info!(target: "streamspec::operation", case, "publish: {answer:?}"),
        Saw::Ordered { order, .. } => info!(target: "streamspec::operation", case, "order {order} is given"),
        Saw::ToldToClose => info!(target: "streamspec::operation", case, "the client is told to close"),
        Saw::InVain { what } => info!(target: "streamspec::wait", case, "waited in vain for {}", short(what)),
        Saw::Heard { nth, .. } => debug!(target: "streamspec::frame", case, "request {nth}: the client's first message"),
        Saw::Ponged { nth } => debug!(target: "streamspec::frame", case, "request {nth}: the client answers a ping"),
        Saw::Sent { nth, says } => debug!(target: "streamspec::frame", case, "request {nth}: {}", short(says)),
        Saw::Said(Said::Closed) => info!(target: "streamspec::connection", case, "the client has closed"),
        Saw::Said(_) => debug!(target: "streamspec::frame", case, "the client says a line"),
        Saw::Over => info!(target: "streamspec::step", case, "the case is over"),
    }
}
