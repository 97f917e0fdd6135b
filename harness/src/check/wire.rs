//! WIRE: framing, headers, heartbeats.
//!
//! Judged are accepted streams; what a page or a refusal looks like is no matter of the wire format.
//!
//! | id | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | WIRE-1 | answer with status 200 | a media type of another format | an empty long-poll (204, 304): it has no body |
//! | WIRE-2 | stream that carried something | an error of the lint | warnings: clients ignore them |
//! | WIRE-3 | delivery of a hostile payload | an altered payload beside a field that nobody knows, or one that ends at its own line break | alterations without either: DELIVER-4 |
//! | WIRE-4 | answer | no `no-cache` and no `no-store` | streams that are asked for by POST: no cache keeps them |
//! | WIRE-5 | wait for a heartbeat, and undisturbed stream | a wait of two intervals in vain, a silence of two intervals and the delivery bound | faults, pauses, compression, frames that the binding ignores |
//! | WIRE-6 | stream that a mainstream client was asked about | its first difference | streams with lint, which are broken for everybody |
//! | WIRE-7 | end of a body, chosen by a running server | bytes behind the last whole frame | ends that a fault or a signal may have caused |
//! | WIRE-8 | publish of a hostile type that is refused, and its deliveries otherwise | a torn or altered frame of it, NUL in an id | lint that the event before it may have left behind |

use rustc_hash::FxHashSet;

use super::deliver::is_slow;
use super::expect::Expect;
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::{Format, Profile};
use crate::history::{Answer, Body, ConnId, ConnView, Ended, EventView, Kind, Lint, Micros, Role, Seen, Until, View};

/// The runner records no more comments of one connection than this; behind them silence is no silence.
const MOST_COMMENTS: usize = 10_000;

pub(super) fn check(view: &View<'_>, profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let format = profile.binding.subscribe.format;
    if format != Format::Sse {
        judge.not_applicable("WIRE-6", "the stream is no SSE");
        judge.not_applicable("WIRE-8", "the stream is no SSE: types break no frame");
    }
    if format == Format::LongPoll {
        judge.not_applicable("WIRE-7", "a long-poll's answers end by their length");
    }
    let cacheable = profile.binding.subscribe.request.split_whitespace().next().is_none_or(|method| method.eq_ignore_ascii_case("GET"));
    if format == Format::Websocket {
        judge.not_applicable("WIRE-4", "no cache keeps a WebSocket");
    } else if !cacheable {
        judge.not_applicable("WIRE-4", "the stream is not asked for by GET, so no cache keeps it");
    }
    for conn in view.conns.iter().filter(|c| c.is_stream() && c.accepted()) {
        media_type(conn, format, judge);
        if cacheable && format != Format::Websocket {
            cache(conn, judge);
        }
        framing(view, conn, format, judge);
        ordinary(conn, judge);
    }
    for expect in expects {
        let course = &expect.session.course;
        for conn in expect.conns().filter(|c| course.hostile && c.is_stream() && c.accepted()) {
            payloads(expect, conn, format, judge);
        }
        if course.hostile_types {
            let refused = expect.session.events.iter().filter(|e| e.hostile_type && e.refused).count();
            judge.held_n("WIRE-8", refused as u64);
        }
    }
    match profile.contract.liveness.heartbeat_ms {
        None => judge.not_applicable("WIRE-5", "the profile promises no heartbeat"),
        Some(interval) => {
            let waited_for = awaited(view, interval, judge);
            // Between a long-poll's answers, and behind frames that are not recorded, silence cannot be told from traffic.
            if format != Format::LongPoll && profile.binding.frames.ignore.is_none() {
                let silence = 2_000 * interval + 1_000 * profile.contract.liveness.delivery_ms;
                silences(view, (interval, silence), &waited_for, judge);
            }
        }
    }
}

fn media_type(conn: &ConnView<'_>, format: Format, judge: &mut Judge) {
    if format == Format::Websocket {
        // The handshake was checked by who opened it: anything else than a right 101 is no accepted stream.
        return judge.held("WIRE-1");
    }
    let Some(answer) = conn.answer.filter(|a| a.what.status == 200) else { return };
    if is_hearsay(conn) {
        return;
    }
    let media = answer.what.content_type.as_deref().unwrap_or("");
    let essence = media.split(';').next().unwrap_or("").trim();
    let fits = match format {
        Format::Sse => essence.eq_ignore_ascii_case("text/event-stream"),
        // `application/x-ndjson`, `application/jsonl`, `application/json-seq` and the like.
        Format::Ndjson | Format::LongPoll => essence.to_ascii_lowercase().contains("json"),
        Format::Websocket => true,
    };
    judge.require("WIRE-1", fits, || Violation {
        says: format!("the stream of {} is announced as {media:?}", conn.name()),
        expected: match format {
            Format::Sse => "text/event-stream",
            Format::Ndjson => "application/x-ndjson",
            Format::LongPoll | Format::Websocket => "application/json",
        }
        .to_owned(),
        seen: if media.is_empty() { "no Content-Type".to_owned() } else { media.to_owned() },
        records: vec![answer.record, conn.connect.record],
        shape: "media-type".to_owned(),
    });
}

/// True for an answer that a program tells of, without its headers.
fn is_hearsay(conn: &ConnView<'_>) -> bool {
    let bare = |answer: &Answer| answer.content_type.is_none() && answer.cache_control.is_none();
    conn.connect.what.role == Role::Driven && conn.answer.is_some_and(|answer| bare(answer.what))
}

fn cache(conn: &ConnView<'_>, judge: &mut Judge) {
    let Some(answer) = conn.answer else { return };
    if is_hearsay(conn) {
        return;
    }
    let cache = answer.what.cache_control.as_deref().unwrap_or("");
    let kept_out = |directives: &str| directives.contains("no-cache") || directives.contains("no-store");
    judge.require("WIRE-4", kept_out(cache) || kept_out(&cache.to_ascii_lowercase()), || Violation {
        says: format!("the stream of {} may be cached", conn.name()),
        expected: "Cache-Control: no-cache or no-store".to_owned(),
        seen: if cache.is_empty() { "no Cache-Control".to_owned() } else { cache.to_owned() },
        records: vec![answer.record, conn.connect.record],
        shape: "cacheable".to_owned(),
    });
}

/// WIRE-2, WIRE-7, and of WIRE-8 the ids.
fn framing(view: &View<'_>, conn: &ConnView<'_>, format: Format, judge: &mut Judge) {
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
    if let Some(nul) = conn.lint.iter().find(|l| l.what.rule == "SSE-21") {
        judge.violated(
            "WIRE-8",
            Violation {
                says: format!("an id on {} contains NUL, so every client ignores it", conn.name()),
                expected: "ids that clients keep".to_owned(),
                seen: nul.what.text.clone(),
                records: vec![nul.record, conn.connect.record],
                shape: "nul-in-id".to_owned(),
            },
        );
    }
    let Some(end) = conn.end.filter(|e| e.what.how == Ended::Eof && format != Format::LongPoll) else { return };
    let last = conn.got.last().map_or(conn.connect.at, |g| g.at);
    if conn.disturbed() || !view.running(last, end.at) {
        return;
    }
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
fn payloads(expect: &Expect<'_, '_>, conn: &ConnView<'_>, format: Format, judge: &mut Judge) {
    let mut before: Option<(usize, &EventView<'_>)> = None;
    let mut own = conn.arrivals().map(|(got, event)| (got, &expect.session.events[event])).peekable();
    while let Some((got, event)) = own.next() {
        let (since, behind) = before.replace((got.record, event)).map_or((0, None), |(record, event)| (record, Some(event)));
        if !event.hostile || !matches!(got.what.kind, Kind::Event | Kind::Other) {
            continue;
        }
        let same = got.what.body.as_ref().is_none_or(|body| body.same(event.body));
        if event.hostile_type {
            // What the event before left behind may stand here, too.
            let clear = behind.is_none_or(|b| !b.hostile || b.hostile_type);
            let torn = lint_between(conn, since, got.record).find(|_| clear);
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
        let until = own.peek().map_or(usize::MAX, |(next, _)| next.record);
        let torn = lint_between(conn, since, until).find(|_| !same);
        let shortened = got.what.body.as_ref().filter(|body| ends_at_line_break(body, event.body));
        judge.require("WIRE-3", torn.is_none() && shortened.is_none(), || Violation {
            says: format!("the payload of {} broke its frame on {}", event.marker, conn.name()),
            expected: format!("{} bytes: {:?}", event.body.len, event.body.head),
            seen: match (torn, shortened) {
                (Some(torn), _) => torn.what.text.clone(),
                (None, Some(body)) => format!("{} bytes, up to a line break", body.len),
                (None, None) => String::new(),
            },
            records: vec![got.record, event.invoked.record],
            shape: "payload-breaks-frame".to_owned(),
        });
    }
}

/// The fields that no client knows among the frames between two records.
fn lint_between<'c, 'h>(conn: &'c ConnView<'h>, since: usize, until: usize) -> impl Iterator<Item = &'c Seen<&'h Lint>> {
    conn.lint.iter().filter(move |l| l.record > since && l.record < until && l.what.rule == "SSE-17")
}

/// True when `got` is what `sent` has before one of its line breaks, and more than line breaks follows there. Only the
/// beginning that both digests keep can tell.
fn ends_at_line_break(got: &Body, sent: &Body) -> bool {
    let Some((kept, rest)) = usize::try_from(got.len).ok().and_then(|len| sent.head.split_at_checked(len)) else { return false };
    let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    &*got.head == kept && rest.starts_with(breaks) && !rest.trim_matches(breaks).is_empty()
}

/// WIRE-5 by waits; gives the connections that were waited for.
fn awaited(view: &View<'_>, interval: u64, judge: &mut Judge) -> FxHashSet<ConnId> {
    let mut judged = FxHashSet::default();
    for wait in view.waits.iter().filter(|w| w.what.until == Until::Heartbeat) {
        let Some(conn) = wait.what.conn.and_then(|id| view.conns.get(id.0 as usize)) else { continue };
        let since = Micros(wait.at.0.saturating_sub(wait.what.waited));
        let short = wait.what.waited < interval * 2_000;
        let gone = conn.ended_at() <= wait.at || conn.disturbed() || !view.running(since, wait.at);
        if !wait.what.reached && (short || gone) {
            continue;
        }
        judged.insert(conn.id);
        judge.require("WIRE-5", wait.what.reached, || silent(conn, wait.what.waited, interval, wait.record));
    }
    judged
}

/// WIRE-5 on every other stream that was left alone: no two items are further apart than `silence`.
fn silences(view: &View<'_>, (interval, silence): (u64, u64), judged: &FxHashSet<ConnId>, judge: &mut Judge) {
    let last = view.ended_at();
    let alone = |c: &&ConnView<'_>| c.is_stream() && c.accepted() && !c.disturbed() && !is_slow(c) && !judged.contains(&c.id);
    for conn in view.conns.iter().filter(alone) {
        let plain = !matches!(conn.connect.what.role, Role::Compressed | Role::Churn) && conn.comments.len() < MOST_COMMENTS;
        let (Some(answer), true) = (conn.answer, plain) else { continue };
        let deleted = view.session_of(conn).deleting.unwrap_or(last);
        let over = conn.frames(Kind::Terminal).next().map_or(last, |g| g.at);
        let until = conn.ended_at().min(deleted).min(over).min(last);
        if until.0.saturating_sub(answer.at.0) <= silence {
            continue;
        }
        let mut items: Vec<(Micros, usize)> = vec![(answer.at, answer.record)];
        items.extend(conn.got.iter().map(|g| (g.at, g.record)));
        items.extend(conn.comments.iter().map(|c| (c.at, c.record)));
        items.retain(|(at, _)| *at <= until);
        items.sort_unstable_by_key(|(_, record)| *record);
        items.push((until, items.last().map_or(answer.record, |(_, record)| *record)));
        let gap = items.windows(2).find(|w| w[1].0.0.saturating_sub(w[0].0.0) > silence && view.running(w[0].0, w[1].0));
        match gap {
            Some(gap) => judge.violated("WIRE-5", silent(conn, gap[1].0.0 - gap[0].0.0, interval, gap[0].1)),
            None => judge.held("WIRE-5"),
        }
    }
}

fn silent(conn: &ConnView<'_>, micros: u64, interval: u64, record: usize) -> Violation {
    Violation {
        says: format!("{} was silent for {} ms", conn.name(), micros / 1000),
        expected: format!("a heartbeat every {interval} ms"),
        seen: "nothing".to_owned(),
        records: vec![record, conn.connect.record],
        shape: "silent".to_owned(),
    }
}
