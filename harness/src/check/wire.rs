//! WIRE: framing, headers, heartbeats.

use super::expect::Expect;
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::{Format, Profile};
use crate::history::{ConnView, Ended, Kind, Until, View};

pub(super) fn check(view: &View<'_>, profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let format = profile.binding.subscribe.format;
    if format != Format::Sse {
        judge.not_applicable("WIRE-6", "the stream is no SSE");
        judge.not_applicable("WIRE-8", "the stream is no SSE: types break no frame");
    }
    if format == Format::LongPoll {
        judge.not_applicable("WIRE-7", "a long-poll's answers end by their length");
    }
    if profile.contract.liveness.heartbeat_ms.is_none() {
        judge.not_applicable("WIRE-5", "the profile promises no heartbeat");
    }
    for conn in view.conns.iter().filter(|c| c.is_stream() && c.accepted()) {
        head(conn, format, judge);
        framing(conn, format, judge);
        ordinary(conn, judge);
    }
    for expect in expects {
        payloads(expect, format, judge);
    }
    heartbeats(view, profile, judge);
}

fn head(conn: &ConnView<'_>, format: Format, judge: &mut Judge) {
    let Some(answer) = conn.answer else { return };
    let media = answer.what.content_type.as_deref().unwrap_or("");
    let essence = media.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let fits = match format {
        Format::Sse => essence == "text/event-stream",
        Format::Ndjson => ["ndjson", "jsonl", "json-seq", "json"].iter().any(|part| essence.contains(part)),
        Format::LongPoll => essence.contains("json") || answer.what.status == 204,
    };
    judge.require("WIRE-1", fits, || Violation {
        says: format!("the stream of {} is announced as {media:?}", conn.name()),
        expected: match format {
            Format::Sse => "text/event-stream",
            Format::Ndjson => "application/x-ndjson",
            Format::LongPoll => "application/json",
        }
        .to_owned(),
        seen: if media.is_empty() { "no Content-Type".to_owned() } else { media.to_owned() },
        records: vec![answer.record, conn.connect.record],
        shape: "media-type".to_owned(),
    });
    let cache = answer.what.cache_control.as_deref().unwrap_or("");
    judge.require("WIRE-4", cache.contains("no-cache") || cache.contains("no-store"), || Violation {
        says: format!("the stream of {} may be cached", conn.name()),
        expected: "Cache-Control: no-cache or no-store".to_owned(),
        seen: if cache.is_empty() { "no Cache-Control".to_owned() } else { cache.to_owned() },
        records: vec![answer.record, conn.connect.record],
        shape: "cacheable".to_owned(),
    });
}

fn framing(conn: &ConnView<'_>, format: Format, judge: &mut Judge) {
    let mut errors = conn.lint.iter().filter(|l| l.what.error).peekable();
    if errors.peek().is_none() && !(conn.got.is_empty() && conn.comments.is_empty()) {
        judge.held("WIRE-2");
    }
    for error in errors {
        judge.violated(
            "WIRE-2",
            Violation {
                says: format!("the body of {} breaks {} at byte {}", conn.name(), error.what.rule, error.what.offset),
                expected: "valid UTF-8 in well-formed frames".to_owned(),
                seen: error.what.text.clone(),
                records: vec![error.record, conn.connect.record],
                shape: error.what.rule.clone(),
            },
        );
    }
    let Some(end) = conn.end.filter(|e| e.what.how == Ended::Eof && format != Format::LongPoll) else { return };
    judge.require("WIRE-7", end.what.unfinished == 0, || Violation {
        says: format!("the server ended the stream of {} inside a frame", conn.name()),
        expected: "a whole frame, its empty line included, before the end".to_owned(),
        seen: format!("{} bytes that every reader discards", end.what.unfinished),
        records: vec![end.record],
        shape: "unfinished".to_owned(),
    });
}

fn ordinary(conn: &ConnView<'_>, judge: &mut Judge) {
    let Some(opinion) = conn.opinion.filter(|o| o.what.events > 0 || o.what.differs.is_some()) else { return };
    // What the lint has named is broken for everybody; this requirement is about streams that only look right.
    if !conn.lint.is_empty() {
        return;
    }
    judge.require("WIRE-6", opinion.what.differs.is_none(), || Violation {
        says: format!("a mainstream client reads the stream of {} differently", conn.name()),
        expected: "the same events with the same ids".to_owned(),
        seen: opinion.what.differs.clone().unwrap_or_default(),
        records: vec![opinion.record, conn.connect.record],
        shape: "differs".to_owned(),
    });
}

/// WIRE-3 and WIRE-8: hostile payloads and types come back in intact frames.
fn payloads(expect: &Expect<'_, '_>, format: Format, judge: &mut Judge) {
    for conn in expect.conns().filter(|c| c.is_stream() && c.accepted()) {
        let torn = conn.lint.iter().find(|l| l.what.rule == "SSE-17" || l.what.error);
        let unknown_field = conn.lint.iter().find(|l| l.what.rule == "SSE-17");
        for (got, event) in conn.arrivals().filter(|(g, _)| matches!(g.what.kind, Kind::Event | Kind::Other)) {
            let event = &expect.session.events[event];
            if !event.hostile {
                continue;
            }
            let same = got.what.body.as_ref().is_none_or(|body| body.same(event.body));
            if event.hostile_type {
                if format == Format::Sse {
                    judge.require("WIRE-8", torn.is_none() && same, || Violation {
                        says: format!("the type of {} broke its frame on {}", event.marker, conn.name()),
                        expected: "a refusal of the type, or a type without line breaks".to_owned(),
                        seen: torn.map_or_else(|| "an altered frame".to_owned(), |t| t.what.text.clone()),
                        records: vec![got.record, event.invoked.record],
                        shape: "type-breaks-frame".to_owned(),
                    });
                }
                continue;
            }
            // UTF-8 that is torn is WIRE-2's; here the frame itself must be whole.
            let broken = unknown_field.filter(|_| !same);
            judge.require("WIRE-3", broken.is_none(), || Violation {
                says: format!("the payload of {} broke its frame on {}", event.marker, conn.name()),
                expected: format!("{} bytes: {:?}", event.body.len, event.body.head),
                seen: broken.map_or_else(String::new, |b| b.what.text.clone()),
                records: vec![got.record, event.invoked.record],
                shape: "payload-breaks-frame".to_owned(),
            });
        }
    }
    for event in expect.session.events.iter().filter(|e| e.hostile_type && e.refused) {
        let _ = event;
        judge.held("WIRE-8");
    }
}

fn heartbeats(view: &View<'_>, profile: &Profile, judge: &mut Judge) {
    let Some(interval) = profile.contract.liveness.heartbeat_ms else { return };
    for wait in view.waits.iter().filter(|w| w.what.until == Until::Heartbeat) {
        let Some(conn) = wait.what.conn.and_then(|id| view.conns.get(id.0 as usize)) else { continue };
        let ended = conn.end.is_some_and(|e| e.at <= wait.at);
        let in_time = wait.what.reached || wait.what.waited < interval * 2_000;
        if ended && !wait.what.reached {
            continue;
        }
        judge.require("WIRE-5", in_time, || Violation {
            says: format!("{} was silent for {} ms", conn.name(), wait.what.waited / 1000),
            expected: format!("a heartbeat every {interval} ms"),
            seen: "nothing".to_owned(),
            records: vec![wait.record, conn.connect.record],
            shape: "silent".to_owned(),
        });
    }
}
