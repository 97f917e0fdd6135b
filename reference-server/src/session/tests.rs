use proptest::prelude::*;

use super::*;
use crate::bugs::{Bug, BugSet};

fn session(retention: Retention, bugs: BugSet) -> Session {
    Session::new("s".to_owned(), Epoch(7), retention, bugs)
}

fn append(session: &mut Session, data: &str, now: u64) -> Cursor {
    let append = Append { event_type: "message".into(), data: data.into(), key: None, terminal: data == "end" };
    match session.prepare(&append, Millis(now), now) {
        Ok(Prepared::New(event)) => session.publish(event, Millis(now)),
        other => panic!("{other:?}"),
    }
}

fn subscribe(session: &mut Session, start: Start, now: u64) -> SubscriptionId {
    let id = session.register(start);
    session.fix_fence(id, Millis(now));
    id
}

/// At most about three frames for a reader, to whom the plain events are given first. In whatever room, those are the frames, and
/// the session is then what it is, as if all frames had been made.
fn both_ways(session: &mut Session, id: SubscriptionId, now: u64) -> Vec<Frame> {
    for room in [Room::of(1), Room::of(3), Room { frames: 64, bytes: 2 }, Room { frames: 2, bytes: 1 }] {
        let (mut plainly, mut framed, mut frames) = (session.clone(), session.clone(), Vec::new());
        framed.next_into(id, Millis(now), room, &mut frames);
        assert_eq!(alike(&plain_first(&mut plainly, id, now, room)), alike(&frames), "{room:?}");
        assert_eq!(alike(&plainly), alike(&framed), "{room:?}");
    }
    plain_first(session, id, now, Room::of(3))
}

/// The next frames for a reader who takes what is plain as it is.
fn plain_first(session: &mut Session, id: SubscriptionId, now: u64, room: Room) -> Vec<Frame> {
    let epoch = session.epoch;
    let Plain { events, room, more } = session.next_plain(id, Millis(now), room);
    let cursor = |event: &Event| Some(Cursor { epoch, seq: event.label });
    let mut frames: Vec<Frame> =
        events.map(|event| Frame::Event { event: Arc::clone(event), cursor: cursor(event), replayed: false }).collect();
    let mut behind = Vec::new();
    if !more {
        session.next_into(id, Millis(now), room, &mut behind);
    }
    frames.append(&mut behind);
    frames
}

/// As text, without what need not be alike: which phase an event is of, and how many bytes were counted last.
fn alike(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}").replace("replayed: true", "replayed: false");
    let mut parts = text.split("taken: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// What a reader is sent, in short: numbers of events, `|` for the boundary, `gap>n`, `.` for the end, `~` for ephemeral.
fn drain(session: &mut Session, id: SubscriptionId, now: u64) -> String {
    let mut said = Vec::new();
    loop {
        let frames = both_ways(session, id, now);
        if frames.is_empty() {
            return said.join(" ");
        }
        for frame in frames {
            match frame {
                Frame::Event { event, .. } => said.push(event.seq.to_string()),
                Frame::Ephemeral { note, .. } => said.push(format!("~{}", note.data)),
                Frame::Boundary { fence } => said.push(format!("|{}", fence.seq)),
                Frame::Gap { oldest, .. } => said.push(format!("gap>{}", oldest.seq)),
                Frame::Synthetic { .. } => said.push("?".to_owned()),
                Frame::End => {
                    said.push(".".to_owned());
                    return said.join(" ");
                }
            }
        }
    }
}

#[test]
fn what_stands_side_by_side_is_plain_and_nothing_else_is() {
    let mut s = session(Retention { records: Some(6), ..Retention::default() }, BugSet::default());
    for _ in 0..5 {
        append(&mut s, "a", 1);
    }
    let after = |seq| Start::After(Cursor { epoch: Epoch(7), seq });
    let plain = |s: &mut Session, id, room: Room| {
        let plain = s.next_plain(id, Millis(1), room);
        (plain.events.map(|event| event.seq).collect::<Vec<_>>(), plain.room, plain.more)
    };
    let registered = s.register(after(0));
    assert_eq!(plain(&mut s, registered, Room::of(3)), (vec![], Room::of(3), false), "its fence is not fixed");
    let id = subscribe(&mut s, after(1), 1);
    assert_eq!(plain(&mut s, id, Room::of(3)), (vec![2, 3, 4], Room { frames: 0, bytes: Room::BYTES - 3 }, true));
    assert_eq!(plain(&mut s, id, Room::of(9)), (vec![5], Room { frames: 8, bytes: Room::BYTES - 1 }, false), "the boundary is due");
    assert_eq!(drain(&mut s, id, 1), "|5");
    for _ in 0..2 {
        append(&mut s, "a", 1);
    }
    s.announce("t", "x");
    assert_eq!(plain(&mut s, id, Room::of(3)).0, [0; 0], "a live-only event waits among them");
    assert_eq!(drain(&mut s, id, 1), "6 7 ~x");
    for _ in 0..2 {
        append(&mut s, "a", 1);
    }
    append(&mut s, "end", 1);
    assert_eq!(plain(&mut s, id, Room::of(9)), (vec![8, 9], Room { frames: 7, bytes: Room::BYTES - 2 }, false), "no terminal");
    assert_eq!(drain(&mut s, id, 1), "10 .");
    let late = subscribe(&mut s, after(1), 1);
    assert_eq!(plain(&mut s, late, Room::of(3)).0, [0; 0], "a gap comes first");
    let ending = subscribe(&mut s, after(7), 1);
    assert_eq!(plain(&mut s, ending, Room { frames: 9, bytes: 1 }), (vec![8], Room { frames: 8, bytes: 0 }, true), "no more bytes");
    assert_eq!(plain(&mut s, ending, Room::of(1)), (vec![9], Room { frames: 0, bytes: Room::BYTES - 1 }, true), "no room for the end");
    assert_eq!(drain(&mut s, ending, 1), "10 .");
    let mut bent = session(Retention::default(), BugSet::default().with(Bug::LossyLive));
    append(&mut bent, "a", 1);
    let id = subscribe(&mut bent, Start::Oldest, 1);
    assert_eq!(plain(&mut bent, id, Room::of(3)).0, [0; 0]);
}

#[test]
fn replay_then_boundary_then_live() {
    let mut s = session(Retention::default(), BugSet::default());
    for _ in 0..4 {
        append(&mut s, "a", 1);
    }
    let id = subscribe(&mut s, Start::After(Cursor { epoch: Epoch(7), seq: 2 }), 1);
    append(&mut s, "b", 1);
    assert_eq!(drain(&mut s, id, 1), "3 4 |4 5");
    append(&mut s, "c", 1);
    assert_eq!(drain(&mut s, id, 1), "6");
}

#[test]
fn what_is_removed_is_replayed_no_more_and_reaches_who_is_live() {
    let mut s = session(Retention { records: Some(4), ..Retention::default() }, BugSet::default());
    let live = subscribe(&mut s, Start::Oldest, 1);
    assert_eq!(drain(&mut s, live, 1), "|0");
    for data in ["a", "b", "a", "b", "a"] {
        append(&mut s, data, 1);
    }
    s.remove(|event| &*event.data == "a");
    assert_eq!((s.oldest(), s.is_empty()), (2, false));
    let behind = subscribe(&mut s, Start::After(Cursor { epoch: Epoch(7), seq: 1 }), 1);
    assert_eq!(drain(&mut s, behind, 1), "2 4 |5");
    let before = subscribe(&mut s, Start::Oldest, 1);
    assert_eq!(drain(&mut s, before, 1), "gap>2 2 4 |5");
    assert_eq!(drain(&mut s, live, 1), "gap>2 2 3 4 5", "what retention took is told, what was removed still comes");
    let seqs = |page: &Page| page.events.iter().map(|event| event.seq).collect::<Vec<_>>();
    let page = s.page(Start::Oldest, 10, Millis(1));
    assert_eq!((seqs(&page), page.next.seq, page.more), (vec![2, 4], 5, false));
    // What was removed does not count: two more records fit before one is evicted.
    append(&mut s, "c", 1);
    append(&mut s, "c", 1);
    assert_eq!(s.oldest(), 2);
    append(&mut s, "c", 1);
    assert_eq!(s.oldest(), 4);
}

#[test]
fn what_is_removed_is_not_held_without_end() {
    let mut s = session(Retention::default(), BugSet::default());
    append(&mut s, "stays", 1);
    for _ in 0..MOST_REMOVED + 10 {
        append(&mut s, "a", 1);
    }
    s.remove(|event| &*event.data == "a");
    assert_eq!((s.events.len(), s.removed.len()), (MOST_REMOVED + 1, MOST_REMOVED));
    let id = subscribe(&mut s, Start::Oldest, 1);
    append(&mut s, "b", 1);
    assert_eq!(drain(&mut s, id, 1), format!("1 |{0} {1}", MOST_REMOVED + 11, MOST_REMOVED + 12));
}

#[test]
fn an_ephemeral_event_keeps_its_place() {
    let mut s = session(Retention::default(), BugSet::default());
    let id = subscribe(&mut s, Start::Oldest, 1);
    append(&mut s, "a", 1);
    s.announce("t", "x");
    append(&mut s, "b", 1);
    assert_eq!(drain(&mut s, id, 1), "|0 1 ~x 2");
}

#[test]
fn an_ephemeral_event_from_before_the_fence_keeps_its_place() {
    let mut s = session(Retention::default(), BugSet::default());
    append(&mut s, "a", 1);
    let id = s.register(Start::Oldest);
    s.announce("t", "x");
    append(&mut s, "b", 1);
    s.announce("t", "y");
    s.fix_fence(id, Millis(1));
    append(&mut s, "c", 1);
    assert_eq!(drain(&mut s, id, 1), "1 ~x 2 |2 ~y 3");
}

#[test]
fn the_terminal_is_last_and_a_reconnect_is_told() {
    let mut s = session(Retention::default(), BugSet::default());
    append(&mut s, "a", 1);
    let live = subscribe(&mut s, Start::Oldest, 1);
    let end = append(&mut s, "end", 1);
    assert_eq!(drain(&mut s, live, 1), "1 |1 2 .");
    let late = subscribe(&mut s, Start::Oldest, 1);
    assert_eq!(drain(&mut s, late, 1), "1 2 .", "no live part, no boundary");
    assert_eq!(s.resolve(Some(&end.to_string()), |_| false), Err(Refused::Ended));
    let more = Append { event_type: "message".into(), data: "b".into(), key: None, terminal: false };
    assert_eq!(s.prepare(&more, Millis(1), 9), Err(Refusal::Closed));
}

#[test]
fn retention_by_records_bytes_and_age() {
    let mut s = session(Retention { records: Some(3), ..Retention::default() }, BugSet::default());
    for _ in 0..5 {
        append(&mut s, "a", 1);
    }
    let at_edge = subscribe(&mut s, Start::After(Cursor { epoch: Epoch(7), seq: 2 }), 1);
    assert_eq!(drain(&mut s, at_edge, 1), "3 4 5 |5", "the cursor before the oldest is no gap");
    let evicted = subscribe(&mut s, Start::After(Cursor { epoch: Epoch(7), seq: 1 }), 1);
    assert_eq!(drain(&mut s, evicted, 1), "gap>3 3 4 5 |5");

    let mut s = session(Retention { bytes: Some(10), ..Retention::default() }, BugSet::default());
    for _ in 0..5 {
        append(&mut s, "1234", 1);
    }
    assert_eq!(s.oldest(), 4);

    let mut s = session(Retention { age_ms: Some(100), ..Retention::default() }, BugSet::default());
    append(&mut s, "a", 0);
    let kept = subscribe(&mut s, Start::Oldest, 100);
    assert_eq!(drain(&mut s, kept, 100), "1 |1", "exactly as old as the limit");
    let expired = subscribe(&mut s, Start::Oldest, 101);
    assert_eq!(drain(&mut s, expired, 101), "gap>2 |1", "pruned on read");
    let head = subscribe(&mut s, Start::After(Cursor { epoch: Epoch(7), seq: 1 }), 101);
    assert_eq!(drain(&mut s, head, 101), "|1", "a cursor at the head is never a gap");
    assert_eq!(append(&mut s, "b", 102).seq, 2, "numbers go on");
}

#[test]
fn a_live_reader_overtaken_by_eviction_is_told() {
    let mut s = session(Retention { records: Some(2), ..Retention::default() }, BugSet::default());
    let id = subscribe(&mut s, Start::Oldest, 1);
    assert_eq!(drain(&mut s, id, 1), "|0");
    for _ in 0..6 {
        append(&mut s, "a", 1);
    }
    assert_eq!(drain(&mut s, id, 1), "gap>5 5 6");
}

// It was told without end to a reader that took one frame at a time.
#[test]
fn a_false_gap_is_told_once_to_whoever_takes_one_frame_at_a_time() {
    let mut s = session(Retention { records: Some(2), ..Retention::default() }, BugSet::default().with(Bug::FalseGap));
    for _ in 0..4 {
        append(&mut s, "a", 1);
    }
    let id = subscribe(&mut s, Start::After(Cursor { epoch: Epoch(7), seq: 2 }), 1);
    let frames: Vec<Frame> = (0..6).flat_map(|_| s.next(id, Millis(1), 1)).collect();
    let gaps = frames.iter().filter(|frame| matches!(frame, Frame::Gap { .. })).count();
    let events = frames.iter().filter(|frame| matches!(frame, Frame::Event { .. })).count();
    assert_eq!((gaps, events), (1, 2), "{frames:?}");
}

#[test]
fn an_overflow_of_ephemeral_events_ends_the_reader() {
    let mut s = session(Retention::default(), BugSet::default());
    let id = subscribe(&mut s, Start::Oldest, 1);
    assert_eq!(drain(&mut s, id, 1), "|0");
    for _ in 0..2000 {
        s.announce("t", "x");
    }
    append(&mut s, "a", 1);
    assert_eq!(drain(&mut s, id, 1), ".", "also where an event is due");
}

#[test]
fn keys_make_one_event_and_refuse_another() {
    let mut s = session(Retention::default(), BugSet::default());
    let keyed = |data: &str| Append { event_type: "m".into(), data: data.into(), key: Some("k".to_owned()), terminal: false };
    let Ok(Prepared::New(event)) = s.prepare(&keyed("a"), Millis(1), 1) else { panic!() };
    // The repeat arrives before the first is durable: it names the same event.
    assert_eq!(s.prepare(&keyed("a"), Millis(1), 1), Ok(Prepared::Again(Cursor { epoch: Epoch(7), seq: 1 })));
    s.publish(event, Millis(1));
    assert_eq!(s.prepare(&keyed("b"), Millis(1), 1), Err(Refusal::Conflict));
}

#[test]
fn a_number_given_back_is_given_out_again() {
    let mut s = session(Retention::default(), BugSet::default());
    let keyed = Append { event_type: "m".into(), data: "a".into(), key: Some("k".to_owned()), terminal: false };
    let Ok(Prepared::New(event)) = s.prepare(&keyed, Millis(1), 1) else { panic!() };
    s.abandon(&event);
    let Ok(Prepared::New(again)) = s.prepare(&keyed, Millis(1), 1) else { panic!("the key is free again") };
    assert_eq!(again.seq, 1);
}

#[test]
fn cursors_are_told_apart() {
    let mut s = session(Retention::default(), BugSet::default());
    append(&mut s, "a", 1);
    let resolve = |text: &str| s.resolve(Some(text), |_| true);
    assert_eq!(resolve(""), Ok(Start::Oldest));
    assert_eq!(resolve("latest"), Ok(Start::Live));
    assert_eq!(resolve("00000007:1"), Ok(Start::After(Cursor { epoch: Epoch(7), seq: 1 })));
    assert_eq!(resolve("00000007:2"), Err(Refused::Ahead));
    assert_eq!(resolve("00000008:1"), Err(Refused::Epoch));
    assert_eq!(resolve("00000007:+1"), Err(Refused::Malformed));
}

#[test]
fn planted_seam_bugs_lose_or_repeat_exactly_the_event_in_the_seam() {
    for (bug, said) in [(Bug::ReadBeforeRegister, "1 |1"), (Bug::NoSkipAtFence, "1 2 |1 2")] {
        let mut s = session(Retention::default(), BugSet::default().with(bug));
        append(&mut s, "a", 1);
        let id = subscribe(&mut s, Start::Oldest, 1);
        append(&mut s, "in the seam", 1);
        assert_eq!(drain(&mut s, id, 1), said, "{bug:?}");
    }
}

#[test]
fn a_close_asked_for_twice_before_it_is_durable_is_one_terminal() {
    let mut s = session(Retention::default(), BugSet::default());
    let close = Append { event_type: "end".into(), data: "1".into(), key: None, terminal: true };
    let Ok(Prepared::New(event)) = s.prepare(&close, Millis(1), 1) else { panic!() };
    assert_eq!(s.prepare(&close, Millis(1), 1), Ok(Prepared::Again(Cursor { epoch: Epoch(7), seq: 1 })));
    s.abandon(&event);
    assert!(matches!(s.prepare(&close, Millis(1), 2), Ok(Prepared::New(_))), "given back, it can be asked for again");
}

#[test]
fn a_slow_reader_is_handed_bounded_portions() {
    let mut s = session(Retention::default(), BugSet::default());
    for _ in 0..8 {
        append(&mut s, &"x".repeat(100 << 10), 1);
    }
    let id = subscribe(&mut s, Start::Oldest, 1);
    assert_eq!(s.next(id, Millis(1), 64).len(), 3, "three make 256 KiB");
    for _ in 0..12 {
        s.announce("t", &"x".repeat(100 << 10));
    }
    assert_eq!(s.next(id, Millis(1), 64), [Frame::End], "too many live-only bytes end the connection");
    let large = subscribe(&mut s, Start::Live, 1);
    s.announce("t", &"x".repeat(4 << 20));
    assert_eq!(s.next(large, Millis(1), 64).len(), 2, "the boundary, and a single one of any size");
}

#[test]
fn what_expired_while_the_server_was_away_is_not_restored() {
    let event = |seq| Event { seq, label: seq, at: Millis(seq), event_type: "m".into(), data: "1".into(), terminal: false, batch: seq };
    let stored = || Stored {
        id: "s".to_owned(),
        epoch: 7,
        head: 3,
        retention: Retention { age_ms: Some(10), ..Retention::default() },
        events: (1..=3).map(event).collect(),
        ..Stored::default()
    };
    let mut s = Session::restore(stored(), Millis(12), BugSet::default());
    assert_eq!((s.oldest(), s.head().seq), (2, 3));
    assert_eq!(append(&mut s, "a", 12).seq, 4);
    let mut s = Session::restore(stored(), Millis(99), BugSet::default());
    assert_eq!(append(&mut s, "a", 99).seq, 4, "numbers go on although nothing is left");
    let mut s = Session::restore(stored(), Millis(99), BugSet::default().with(Bug::MintedTwice));
    assert_eq!(append(&mut s, "a", 99).seq, 1);
}

#[derive(Clone, Debug)]
enum Act {
    Append,
    Announce,
    Connect(u64),
    Read(usize),
}

/// What can happen between two reads.
#[derive(Clone, Debug)]
enum Between {
    Append(usize),
    Announce,
    Register(u64),
    Fence(usize),
    Slip(usize),
    Remove(u64),
    Pass(u64),
    Close,
    Delete,
    Read(usize),
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        12 => (1_usize..4).prop_map(Between::Append),
        2 => Just(Between::Announce),
        4 => (0_u64..8).prop_map(Between::Register),
        4 => (0_usize..4).prop_map(Between::Fence),
        1 => (0_usize..4).prop_map(Between::Slip),
        1 => (1_u64..12).prop_map(Between::Remove),
        5 => (1_u64..16).prop_map(Between::Pass),
        1 => Just(Between::Close),
        1 => Just(Between::Delete),
        12 => (0_usize..4).prop_map(Between::Read),
    ]
}

proptest! {
    /// Whatever is interleaved, a reader sees each event after its cursor exactly once, in order, and one boundary at its
    /// fence.
    #[test]
    fn readers_see_everything_once(acts in proptest::collection::vec(
        prop_oneof![3 => Just(Act::Append), 1 => (0u64..12).prop_map(Act::Connect), 3 => (0usize..4).prop_map(Act::Read)], 1..60)
    ) {
        let mut s = session(Retention::default(), BugSet::default());
        let mut readers: Vec<(SubscriptionId, u64, u64, String)> = Vec::new();
        for act in acts.into_iter().chain((0..8).map(Act::Read)) {
            match act {
                Act::Append => { append(&mut s, "a", 1); }
                Act::Announce => {}
                Act::Connect(after) => {
                    let after = after.min(s.head().seq);
                    let fence = s.head().seq;
                    let id = subscribe(&mut s, Start::After(Cursor { epoch: Epoch(7), seq: after }), 1);
                    readers.push((id, after, fence, String::new()));
                }
                Act::Read(nth) => if let Some((id, _, _, said)) = readers.get_mut(nth) {
                    let more = drain(&mut s, *id, 1);
                    if !more.is_empty() { said.push_str(&more); said.push(' '); }
                }
            }
        }
        let head = s.head().seq;
        for (id, after, fence, said) in &mut readers {
            said.push_str(&drain(&mut s, *id, 1));
            let expected: Vec<String> = (*after + 1..=*fence).map(|n| n.to_string()).chain([format!("|{fence}")]).chain((*fence + 1..=head).map(|n| n.to_string())).collect();
            prop_assert_eq!(said.split_whitespace().collect::<Vec<_>>(), expected);
        }
    }

    /// Whoever takes plain events as they are gets what all get, whatever happens in between.
    #[test]
    fn plain_events_are_those_of_the_frames(
        records in prop_oneof![2 => Just(None), 1 => (2_u64..6).prop_map(Some)],
        age_ms in prop_oneof![2 => Just(None), 1 => Just(Some(10))],
        acts in proptest::collection::vec(between(), 1..80),
    ) {
        let mut s = session(Retention { records, age_ms, ..Retention::default() }, BugSet::default());
        let (mut readers, mut now, mut over) = (Vec::new(), 1, false);
        for act in acts.into_iter().chain((0..12).map(|nth| Between::Read(nth % 4))) {
            match act {
                Between::Append(_) | Between::Close if over => {}
                Between::Append(size) => {
                    append(&mut s, &"x".repeat(size), now);
                }
                Between::Close => {
                    append(&mut s, "end", now);
                    over = true;
                }
                Between::Announce => s.announce("t", "x"),
                Between::Register(after) => {
                    let after = after.min(s.head().seq);
                    readers.push(s.register(Start::After(Cursor { epoch: Epoch(7), seq: after })));
                }
                Between::Fence(nth) => if let Some(id) = readers.get(nth) { s.fix_fence(*id, Millis(now)) },
                Between::Slip(nth) => if let Some(id) = readers.get(nth) { s.slip(*id, "t", "x") },
                Between::Remove(seq) => s.remove(|event| event.seq == seq),
                Between::Pass(time) => now += time,
                Between::Delete => {
                    s.delete();
                    over = true;
                }
                Between::Read(nth) => if let Some(id) = readers.get(nth) { drop(both_ways(&mut s, *id, now)) },
            }
        }
    }

    /// With eviction and live-only events in between: what a reader is not sent is announced, exactly; nothing comes twice
    /// or out of order; a live-only event stands behind the durable one that was newest when it was published.
    #[test]
    fn readers_are_told_of_every_loss(keep in 1u64..5, acts in proptest::collection::vec(
        prop_oneof![4 => Just(Act::Append), 1 => Just(Act::Announce), 1 => (0u64..12).prop_map(Act::Connect), 3 => (0usize..4).prop_map(Act::Read)], 1..80)
    ) {
        let mut s = session(Retention { records: Some(keep), ..Retention::default() }, BugSet::default());
        let mut readers: Vec<(SubscriptionId, u64, Vec<String>)> = Vec::new();
        for act in acts.into_iter().chain((0..80).map(Act::Read)) {
            match act {
                Act::Append => { append(&mut s, "a", 1); }
                Act::Announce => s.announce("t", &s.head().seq.to_string()),
                Act::Connect(after) => {
                    let after = after.min(s.head().seq);
                    readers.push((subscribe(&mut s, Start::After(Cursor { epoch: Epoch(7), seq: after }), 1), after, Vec::new()));
                }
                Act::Read(nth) => if let Some((id, _, said)) = readers.get_mut(nth) {
                    said.extend(drain(&mut s, *id, 1).split_whitespace().map(str::to_owned));
                }
            }
        }
        for (_, after, said) in &readers {
            let (mut position, mut received, mut boundaries) = (*after, *after, 0);
            for word in said {
                if let Some(oldest) = word.strip_prefix("gap>") {
                    let oldest: u64 = oldest.parse().unwrap();
                    prop_assert!(oldest > position + 1, "a gap where nothing was lost: {:?}", said);
                    position = oldest - 1;
                } else if let Some(behind) = word.strip_prefix('~') {
                    let behind: u64 = behind.parse().unwrap();
                    prop_assert!((received..=position).contains(&behind), "out of its place: {:?}", said);
                } else if word.starts_with('|') {
                    boundaries += 1;
                } else {
                    prop_assert_eq!(word.parse::<u64>().unwrap(), position + 1, "{:?}", said);
                    position += 1;
                    received = position;
                }
            }
            if !said.is_empty() {
                prop_assert_eq!((position, boundaries), (s.head().seq, 1), "{:?}", said);
            }
        }
    }
}
