//! What is wrong in the mapping of a log.

use super::parts::pointer;
use crate::contract::LogMapping;
use crate::contract::file::{Problems, spot};

/// Looks for what is wrong in `[log]`.
pub(super) fn log(log: &LogMapping, problems: &mut Problems<'_>) {
    let LogMapping { time, connection, reader, session, id, event_type, data, kind, opens, cursor, status, events, closes } = log;
    pointer(data, &spot!["log", "data"], problems);
    let places = [
        ("time", time),
        ("connection", connection),
        ("reader", reader),
        ("session", session),
        ("id", id),
        ("type", event_type),
        ("kind", kind),
        ("cursor", cursor),
        ("status", status),
    ];
    for (name, place) in places {
        if let Some(place) = place {
            pointer(place, &spot!["log", name], problems);
        }
    }
    for (name, kinds) in [("opens", opens), ("events", events), ("closes", closes)] {
        if kinds.is_some() && kind.is_none() {
            let what = format!("`{name}` names kinds of lines, and nothing says where the kind of a line stands");
            problems.at_key(&spot!["log", name], what, "no `kind`", "add `kind = \"/kind\"`, a pointer into the line");
        }
    }
    for (name, place) in [("cursor", cursor), ("status", status)] {
        if place.is_some() && opens.is_none() {
            let what = format!("`{name}` is read from lines that open a connection, and there are none");
            problems.at_key(&spot!["log", name], what, "no `opens`", "add `opens = \"open\"`, the kind of those lines");
        }
    }
}
