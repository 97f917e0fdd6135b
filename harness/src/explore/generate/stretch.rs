//! Stretches of steps, each about one theme.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::mostly_few;
use super::plain::{cutting, last, open, publish, resume, resuming, stall, subscribe, subscribing};
use crate::explore::mend::MOST_HEAPED;
use crate::explore::palette::Theme;
use crate::history::{CursorClass, Probe, Retain, Role};
use crate::scenario::{
    Again, Await, Churn, Close, Count, Cut, Empty, Evict, EvictBy, How, Inside, InsideAt, Join, OfReader, OfSession, Open, ProbeStep,
    Publish, PublishFault, Read, Restart, Resume, Seam, SeamTime, Shape, SnapshotStep, Stall, Start, Step, Stop, Subscribe, Text, Upto,
    Writer,
};

fn session() -> impl Strategy<Value = String> {
    prop_oneof![5 => Just("s"), 1 => Just("t")].prop_map(str::to_owned)
}

fn reader() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("a"), 2 => Just("b"), 1 => Just("c")].prop_map(str::to_owned)
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![3 => Just(How::Rst), 2 => Just(How::Fin), 1 => Just(How::Silence)]
}

fn start() -> BoxedStrategy<Start> {
    prop_oneof![4 => Just(Start::Oldest), 3 => (1_u32..12).prop_map(|n| Start::After(Count::N(n))), 1 => Just(Start::Head)].boxed()
}

/// A stretch about a theme.
pub(super) fn stretch(theme: Theme) -> BoxedStrategy<Vec<Step>> {
    match theme {
        Theme::Stream => (reader(), session(), start(), mostly_few(1..8), any::<bool>())
            .prop_map(|(r, s, from, n, first)| {
                let (subscribe, publish) = (subscribe(&r, &s, from), publish(&s, n));
                let mut steps = if first { vec![subscribe, publish] } else { vec![publish, subscribe] };
                steps.push(last(&r));
                steps
            })
            .boxed(),
        Theme::Cut => cuts(),
        Theme::Seam => {
            let when = select(vec![SeamTime::WithRequest, SeamTime::AtHeaders, SeamTime::InReplay, SeamTime::AtBoundary]);
            (reader(), session(), start(), when, mostly_few(1..6), 1_u32..4, mostly_few(0..20))
                .prop_map(|(reader, session, from, when, n, times, before)| {
                    let seam = Step::Seam(Seam { reader, session: session.clone(), publish: n, from, when, times });
                    if before > 0 { vec![publish(&session, before), seam] } else { vec![seam] }
                })
                .boxed()
        }
        Theme::Overlap => overlap(),
        Theme::Cursor => cursors(),
        Theme::Retention => prop_oneof![
            (session(), 0_u32..6).prop_map(|(session, beyond)| vec![Step::Evict(Evict { session, by: EvictBy::Records, beyond })]),
            (session(), reader(), 0_u32..3, start()).prop_map(|(session, r, beyond, from)| {
                let evict = Step::Evict(Evict { session: session.clone(), by: EvictBy::Records, beyond });
                vec![evict, subscribe(&r, &session, from), last(&r)]
            }),
            (bounded(), reader(), start()).prop_map(|(mut steps, r, from)| {
                // When nothing is left, nothing that is due ends the wait.
                let answered = Step::Await(Await { reader: r.clone(), upto: Upto::Boundary, judges: None });
                steps.extend([subscribe(&r, "v", from), answered, last(&r)]);
                steps
            }),
            (session(), select(vec![EvictBy::Records, EvictBy::Records, EvictBy::Bytes, EvictBy::Age]))
                .prop_map(|(session, by)| vec![Step::Evict(Evict { session, by, beyond: 2 })]),
            (reader(), 0_u32..8).prop_map(|(r, n)| {
                let of = OfReader { reader: r.clone() };
                vec![subscribe(&r, "s", Start::Oldest), publish("s", n + 1), stall(&r, n, true), publish("s", 12), Step::Unstall(of)]
            }),
        ]
        .boxed(),
        Theme::Terminal => terminals(),
        Theme::Retry => retries(),
        Theme::Ephemeral => (reader(), session(), 1_u32..6, 1_u32..6, any::<bool>())
            .prop_map(|(r, s, notes, events, again)| {
                let mut steps = vec![
                    subscribe(&r, &s, Start::Oldest),
                    Step::Await(Await { reader: r.clone(), upto: Upto::Boundary, judges: None }),
                    Step::Publish(Publish { durable: false, ..Publish::plain(&s, notes) }),
                    publish(&s, events),
                ];
                if again {
                    steps.push(last(&r));
                    steps.push(resume(&r));
                }
                steps
            })
            .boxed(),
        Theme::Hostile => {
            let texts = vec![
                Text::Hostile,
                Text::Separators,
                Text::LineBreaks,
                Text::Controls,
                Text::Unicode,
                Text::FrameLike,
                Text::Surrogates,
                Text::HostileType,
                Text::Bulky,
            ];
            (session(), prop_oneof![30 => select(texts), 1 => Just(Text::Large)], 1_u32..8, option::of(reader()))
                .prop_map(|(s, text, n, r)| {
                    let mut steps = vec![Step::Publish(Publish { text, ..Publish::plain(&s, n) })];
                    if let Some(r) = r {
                        steps.extend([subscribe(&r, &s, Start::Oldest), last(&r)]);
                    }
                    steps
                })
                .boxed()
        }
        Theme::Pages => {
            prop_oneof![
                (session(), option::of(1_u32..6), start(), any::<bool>())
                    .prop_map(|(session, limit, from, moving)| vec![Step::Read(Read { session, limit, from, moving })]),
                (session(), reader(), 0_u32..4).prop_map(|(s, r, n)| {
                    let mut steps = vec![Step::Snapshot(SnapshotStep { session: s.clone() })];
                    steps.extend((n > 0).then(|| publish(&s, n)));
                    steps.extend([subscribe(&r, &s, Start::Snapshot), last(&r)]);
                    steps
                }),
            ]
            .boxed()
        }
        Theme::Writers => prop_oneof![
            (session(), mostly_few(2..20), 2_u32..8, option::of(reader())).prop_map(|(s, n, concurrent, r)| {
                let mut steps: Vec<Step> = r.iter().map(|r| subscribe(r, &s, Start::Oldest)).collect();
                steps.push(Step::Publish(Publish { concurrent, ..Publish::plain(&s, n) }));
                steps.extend(r.iter().map(|r| last(r)));
                steps
            }),
            (session(), mostly_few(4..30), 1_u32..5, reader(), any::<bool>(), any::<bool>()).prop_map(
                |(s, count, concurrent, r, keyed, snap)| {
                    let name = "w".to_owned();
                    let writer = Writer { name: name.clone(), session: s.clone(), count, concurrent, text: Text::Plain, keyed };
                    let mut steps = vec![Step::Writer(writer)];
                    if snap {
                        steps.push(Step::Snapshot(SnapshotStep { session: s.clone() }));
                        steps.push(subscribe(&r, &s, Start::Snapshot));
                    } else {
                        steps.push(subscribe(&r, &s, Start::Oldest));
                    }
                    steps.extend([Step::Join(Join { writer: name }), last(&r)]);
                    steps
                }
            ),
            (session(), mostly_few(4..30), 1_u32..5).prop_map(|(session, count, concurrent)| {
                vec![Step::Writer(Writer { name: "w".to_owned(), session, count, concurrent, text: Text::Plain, keyed: false })]
            }),
        ]
        .boxed(),
        Theme::Slow => slow_readers(),
        Theme::Idle => idle_readers(),
        Theme::Sessions => sessions(),
        Theme::Restart => restarts(),
        Theme::Pause => (reader(), 1_u32..5)
            .prop_map(|(r, n)| {
                vec![subscribe(&r, "s", Start::Oldest), Step::Pause(Empty {}), Step::Continue(Empty {}), publish("s", n), last(&r)]
            })
            .boxed(),
    }
}

/// Streams on which nothing happens until a heartbeat comes.
pub(super) fn idle_readers() -> BoxedStrategy<Vec<Step>> {
    (reader(), Just("s"), 1_u32..3, prop::bool::weighted(0.25))
        .prop_map(|(r, s, n, resumed)| {
            let heartbeat = Step::Await(Await { reader: r.clone(), upto: Upto::Heartbeat, judges: None });
            let mut steps = vec![subscribe(&r, s, Start::Oldest), publish(s, n), last(&r), heartbeat];
            if resumed {
                steps.extend([Step::Cut(cutting(&r)), publish(s, 1), resume(&r), last(&r)]);
            }
            steps
        })
        .boxed()
}

/// Readers that stop reading. What is published meanwhile fits mostly into the buffers on the way; once in a while it fills all
/// of them, so that the server itself must keep what the reader does not take.
fn slow_readers() -> BoxedStrategy<Vec<Step>> {
    let some = (mostly_few(1..30), any::<bool>(), any::<bool>()).prop_map(|(n, slow, bulky)| (n, 1, slow, bulky));
    unread(prop_oneof![80 => some, 1 => Just((MOST_HEAPED, 8, true, true))].boxed())
}

/// A reader that does not read while so many events are published, so many of them at once; then whether that is because it is
/// slow or because the network keeps what it is sent, and whether they are bulky.
pub(super) fn unread(published: BoxedStrategy<(u32, u32, bool, bool)>) -> BoxedStrategy<Vec<Step>> {
    (reader(), Just("s"), 0_u32..4, published)
        .prop_map(|(r, s, after, (n, concurrent, slow, bulky))| {
            let of = OfReader { reader: r.clone() };
            let role = if slow { Role::Slow } else { Role::Plain };
            let text = if bulky { Text::Bulky } else { Text::Plain };
            vec![
                Step::Subscribe(Subscribe { role, ..subscribing(&r, s, Start::Oldest) }),
                publish(s, after + 1),
                stall(&r, after, slow),
                Step::Publish(Publish { text, concurrent, ..Publish::plain(s, n) }),
                if slow { Step::Unstall(of) } else { Step::Release(of) },
                last(&r),
            ]
        })
        .boxed()
}

/// Cuts of every kind, and the resume behind them.
fn cuts() -> BoxedStrategy<Vec<Step>> {
    let place = prop_oneof![
        6 => (0_u32..12).prop_map(|n| Cut { after_events: Some(Count::N(n)), ..cutting("") }),
        3 => (0_u32..8, select(vec![InsideAt::Line, InsideAt::AfterId, InsideAt::BeforeEnd]))
            .prop_map(|(after_events, at)| Cut { inside: Some(Inside { after_events, at }), ..cutting("") }),
        2 => (1_u32..400).prop_map(|n| Cut { after_bytes: Some(Count::N(n)), ..cutting("") }),
        1 => Just(Cut { before_headers: true, ..cutting("") }),
        3 => Just(cutting("")),
    ];
    let again = (1_u32..4, any::<bool>(), prop_oneof![5 => Just(0_u32), 1 => 1_u32..3]);
    (reader(), session(), start(), place, how(), 0_u32..8, again, option::weighted(0.15, (option::of(1_u32..20), option::of(1_u32..3))))
        .prop_map(|(r, s, from, place, how, between, (cuts, wait, refuse_first), shape)| {
            let mut steps = vec![subscribe(&r, &s, from)];
            if let Some((rechunk, delay_ms)) = shape {
                steps.push(Step::Shape(Shape { reader: r.clone(), rechunk, delay_ms }));
            }
            for nth in 0..cuts {
                steps.push(Step::Cut(Cut { reader: r.clone(), how, ..place.clone() }));
                if between > nth {
                    steps.push(publish(&s, between - nth));
                }
                steps.push(Step::Resume(Resume { refuse_first, ..resuming(&r) }));
            }
            if wait {
                steps.push(last(&r));
            }
            steps
        })
        .boxed()
}

fn overlap() -> BoxedStrategy<Vec<Step>> {
    prop_oneof![
        (reader(), session(), any::<bool>(), any::<bool>(), 1_u32..8).prop_map(|(r, s, same_cursor, wait, n)| {
            let mut steps = vec![subscribe(&r, &s, Start::Oldest)];
            steps.extend(wait.then(|| last(&r)));
            steps.push(Step::Resume(Resume { overlap: true, same_cursor, ..resuming(&r) }));
            steps.extend([publish(&s, n), last(&r)]);
            steps
        }),
        (reader(), session(), 0_u32..6, 1_u32..6).prop_map(|(r, s, after, n)| {
            let of = OfReader { reader: r.clone() };
            vec![
                subscribe(&r, &s, Start::Oldest),
                Step::Hold(Stall { reader: r.clone(), after_events: after }),
                Step::Resume(Resume { overlap: true, ..resuming(&r) }),
                publish(&s, n),
                last(&r),
                Step::Release(of),
            ]
        }),
        (session(), start(), start(), 1_u32..6).prop_map(|(s, one, other, n)| {
            vec![subscribe("a", &s, one), subscribe("b", &s, other), publish(&s, n), last("a"), last("b")]
        }),
        (session(), start(), 2_u32..12, 1_u32..6).prop_map(|(s, from, readers, n)| {
            vec![Step::Subscribe(Subscribe { readers, ..subscribing("c", &s, from) }), publish(&s, n), last("c")]
        }),
    ]
    .boxed()
}

fn cursors() -> BoxedStrategy<Vec<Step>> {
    let classes = vec![CursorClass::Ahead, CursorClass::OtherSession, CursorClass::Malformed, CursorClass::Empty, CursorClass::OtherEpoch];
    let from = prop_oneof![
        4 => (0_u32..20).prop_map(|n| Start::After(Count::N(n))),
        2 => Just(Start::Head),
        1 => Just(Start::EveryId),
        1 => Just(Start::Synthetic),
        1 => Just(Start::Live),
        1 => Just(Start::Of("t".to_owned())),
        3 => select(classes).prop_map(Start::Class),
    ];
    let foreign = (reader(), 1_u32..8, 0_u32..8).prop_map(|(r, n, m)| {
        let mut steps = vec![open("t"), publish("t", n)];
        steps.extend((m > 0).then(|| publish("s", m)));
        steps.extend([subscribe(&r, "s", Start::Of("t".to_owned())), publish("s", 1)]);
        steps
    });
    let any_class =
        (reader(), session(), from, 0_u32..6, prop::bool::weighted(0.2), any::<bool>()).prop_map(|(r, s, from, n, beside, twice)| {
            let mut steps = vec![Step::Subscribe(Subscribe { beside, ..subscribing(&r, &s, from) })];
            steps.extend((n > 0).then(|| publish(&s, n)));
            steps.push(last(&r));
            if twice {
                steps.extend([
                    Step::Drop(OfReader { reader: r.clone() }),
                    Step::Resume(Resume { same_cursor: true, ..resuming(&r) }),
                    last(&r),
                ]);
            }
            steps
        });
    prop_oneof![8 => any_class, 1 => foreign].boxed()
}

fn terminals() -> BoxedStrategy<Vec<Step>> {
    let close = |session: &str, racing: u32| Step::Close(Close { session: session.to_owned(), racing });
    let wait = |r: &str, upto: Upto| Step::Await(Await { reader: r.to_owned(), upto, judges: None });
    prop_oneof![
        (reader(), session(), prop_oneof![3 => Just(0_u32), 1 => 1_u32..4]).prop_map(move |(r, s, racing)| vec![
            subscribe(&r, &s, Start::Oldest),
            close(&s, racing),
            wait(&r, Upto::Closed)
        ]),
        (reader(), session(), any::<bool>(), 0_u32..5).prop_map(move |(r, s, again, n)| {
            let mut steps = vec![subscribe(&r, &s, Start::Oldest), last(&r), Step::Cut(cutting(&r))];
            steps.extend((n > 0).then(|| publish(&s, n)));
            steps.extend([close(&s, 0), resume(&r), wait(&r, Upto::Closed)]);
            steps.extend(again.then(|| resume(&r)));
            steps
        }),
        (reader(), session(), how()).prop_map(move |(r, s, how)| {
            let cut = Step::Cut(Cut { how, before_terminal: true, ..cutting(&r) });
            vec![subscribe(&r, &s, Start::Oldest), close(&s, 0), cut, resume(&r), wait(&r, Upto::Closed)]
        }),
        (session(), reader(), start()).prop_map(move |(s, r, from)| vec![
            close(&s, 0),
            publish(&s, 1),
            subscribe(&r, &s, from),
            wait(&r, Upto::Closed),
            resume(&r)
        ]),
    ]
    .boxed()
}

fn retries() -> BoxedStrategy<Vec<Step>> {
    let retry = |s: &str| Step::Publish(Publish { retry: true, count: Count::N(0), ..Publish::plain(s, 1) });
    prop_oneof![
        (session(), 1_u32..6, option::of(select(vec![PublishFault::DropAnswer, PublishFault::Duplicate])), 1_u32..4).prop_map(
            move |(s, n, fault, concurrent)| {
                let concurrent = if fault.is_some() { 1 } else { concurrent };
                let keyed = Step::Publish(Publish { keyed: true, fault, concurrent, ..Publish::plain(&s, n) });
                vec![keyed, retry(&s), publish(&s, 1)]
            }
        ),
        (session(), 1_u32..5, select(vec![Again::Same, Again::Conflict])).prop_map(|(s, n, again)| vec![Step::Publish(Publish {
            keyed: true,
            again: Some(again),
            ..Publish::plain(&s, n)
        })]),
        (session(), 1_u32..4).prop_map(|(s, n)| vec![
            Step::Publish(Publish { fault: Some(PublishFault::DropAnswer), ..Publish::plain(&s, n) }),
            publish(&s, 1)
        ]),
        session().prop_map(move |s| vec![retry(&s)]),
    ]
    .boxed()
}

fn sessions() -> BoxedStrategy<Vec<Step>> {
    let reborn = |n: u32, r: String, with_cursor: bool| {
        let from = if with_cursor { Start::Class(CursorClass::OtherEpoch) } else { Start::Oldest };
        vec![
            Step::Delete(OfSession { session: "s".to_owned() }),
            Step::Open(Open { session: "u".to_owned(), retain: None, refuse: false, reborn_of: Some("s".to_owned()), unwatched: false }),
            publish("u", n),
            subscribe(&r, "u", from),
            publish("u", 2),
        ]
    };
    prop_oneof![
        3 => (1_u32..8, 1_u32..8).prop_map(|(n, m)| {
            let readers = [subscribe("a", "s", Start::Oldest), subscribe("b", "t", Start::Oldest)];
            let mut steps = vec![open("t"), publish("t", n)];
            steps.extend(readers);
            steps.extend([publish("s", m), publish("t", n), last("a"), last("b")]);
            steps
        }),
        2 => (1_u32..14, select(vec!["c", "d"]), any::<bool>()).prop_map(move |(n, r, with)| reborn(n, r.to_owned(), with)),
        1 => session().prop_map(|session| vec![Step::Delete(OfSession { session })]),
        2 => (select(vec![Probe::UnknownSession, Probe::PublishUnknown, Probe::WrongMethod, Probe::SenselessLimit]), session())
            .prop_map(|(about, session)| vec![Step::Probe(ProbeStep { about, session: Some(session) })]),
        1 => (session(), 1_u32..20).prop_map(|(session, connections)| vec![Step::Churn(Churn { session, connections, concurrent: 5 })]),
        1 => (-2_i64..1).prop_map(|records| {
            let retain = Some(Retain { records: Some(records), ..Retain::default() });
            vec![Step::Open(Open { session: "v".to_owned(), retain, refuse: true, reborn_of: None, unwatched: false })]
        }),
    ]
    .boxed()
}

fn restarts() -> BoxedStrategy<Vec<Step>> {
    let stop = prop_oneof![3 => Just(Stop::Kill), 1 => Just(Stop::Term)];
    let restart = (stop, prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(|(how, wipe, twice)| Restart {
        how,
        wipe,
        twice,
        after_acks: None,
        after_events: None,
    });
    let plain = restart.clone().prop_map(|restart| vec![Step::Restart(restart)]);
    let keyed = (restart.clone(), 1_u32..5).prop_map(|(restart, n)| {
        let retry = Step::Publish(Publish { retry: true, count: Count::N(0), ..Publish::plain("s", 1) });
        vec![Step::Publish(Publish { keyed: true, ..Publish::plain("s", n) }), Step::Restart(restart), retry, publish("s", 1)]
    });
    let resumed = (restart.clone(), reader(), 0_u32..6, any::<bool>()).prop_map(|(restart, r, n, close)| {
        let mut steps = vec![subscribe(&r, "s", Start::Oldest), last(&r)];
        steps.extend((n > 0).then(|| publish("s", n)));
        if close {
            // The terminal is told to a reader that comes back after the restart, and not before.
            steps.extend([Step::Cut(cutting(&r)), Step::Close(Close { session: "s".to_owned(), racing: 0 })]);
        }
        steps.extend([Step::Restart(restart), resume(&r), last(&r)]);
        steps
    });
    let reborn = restart.clone().prop_map(|restart| {
        let open =
            Step::Open(Open { session: "u".to_owned(), retain: None, refuse: false, reborn_of: Some("s".to_owned()), unwatched: false });
        let from = Start::Class(CursorClass::OtherEpoch);
        vec![Step::Restart(Restart { wipe: true, ..restart }), open, publish("u", 9), subscribe("b", "u", from), publish("u", 1)]
    });
    let evicted = (restart.clone(), bounded(), reader()).prop_map(|(restart, mut steps, r)| {
        let restart = Step::Restart(Restart { wipe: false, ..restart });
        steps.extend([restart, publish("v", 2), subscribe(&r, "v", Start::Oldest), last(&r)]);
        steps
    });
    let written = (restart, mostly_few(4..40), 1_u32..6, 1_u32..30, any::<bool>(), reader()).prop_map(
        |(restart, count, concurrent, acks, keyed, r)| {
            let name = "w".to_owned();
            let writer = Writer { name: name.clone(), session: "s".to_owned(), count, concurrent, text: Text::Plain, keyed };
            vec![
                subscribe(&r, "s", Start::Oldest),
                Step::Writer(writer),
                Step::Restart(Restart { after_acks: Some(Count::N(acks)), wipe: false, ..restart }),
                Step::Join(Join { writer: name }),
                resume(&r),
                publish("s", 1),
                last(&r),
            ]
        },
    );
    prop_oneof![3 => plain, 2 => keyed, 3 => resumed, 1 => reborn, 2 => evicted, 3 => written].boxed()
}

/// A session of its own with a bound of any kind, and what that bound takes away of it.
fn bounded() -> BoxedStrategy<Vec<Step>> {
    (select(vec![EvictBy::Records, EvictBy::Bytes, EvictBy::Age]), 1_u32..6)
        .prop_map(|(by, n)| {
            let retain = match by {
                EvictBy::Records => Retain { records: Some(3), ..Retain::default() },
                EvictBy::Bytes => Retain { bytes: Some(16 << 10), ..Retain::default() },
                EvictBy::Age => Retain { age_ms: Some(200), ..Retain::default() },
            };
            let session = "v".to_owned();
            let open = Open { session: session.clone(), retain: Some(retain), refuse: false, reborn_of: None, unwatched: false };
            vec![Step::Open(open), publish("v", n), Step::Evict(Evict { session, by, beyond: 0 })]
        })
        .boxed()
}
