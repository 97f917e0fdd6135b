//! What is wrong in the meaning of a scenario, although its shape is right.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::file::{Problems, Seg, short, spot, suggest};
use crate::contract::{known_requirement, transcript_rules};
use crate::history::{Probe, Role};

use super::sweep::swept_fields;
use super::{Cut, EvictBy, How, Need, Scenario, Start, Step, Stop, Text, Upto};

/// Looks for what is wrong in a scenario; `stem` is the name that its file demands.
pub(super) fn scenario(scenario: &Scenario, stem: Option<&str>, problems: &mut Problems<'_>) {
    let name = &scenario.name;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        let what = format!("`{}` is no name", short(name));
        problems.at(&spot!["name"], what, "not of a-z, 0-9 and -", "use small letters, digits and dashes, as in `cut-while-live`");
    } else if let Some(stem) = stem.filter(|stem| stem != name) {
        let what = format!("the scenario `{}` stands in the file `{}.toml`", short(name), short(stem));
        problems.at(&spot!["name"], what, "not the file's name", format!("name it `{}`, or rename the file", short(stem)));
    }
    for (index, id) in scenario.judges.iter().enumerate() {
        known_requirement(id, &spot!["judges", index], problems);
    }
    if scenario.sweep_limit == Some(0) {
        problems.at(&spot!["sweep_limit"], "a sweep of no places judges nothing", "zero", "give 1 or more");
    }
    transcript_rules(&scenario.transcript, &spot!["transcript"], problems);
    let swept = swept_fields(&scenario.steps);
    if swept.len() > 1 {
        let what = format!("the scenario has {} sweeps: {}", swept.len(), swept.join(", "));
        problems.at_key(&spot!["steps"], what, "more than one \"each\" in here", "sweep one place; give numbers for the others");
    }
    if swept == ["publish.count"] {
        let help = "sweep `cut.after_events`, `cut.after_bytes`, `restart.after_acks` or `from.after`; give a number here";
        problems.at_key(&spot!["steps"], "`publish.count` has no places to sweep", "\"each\" in here", help);
    }
    let mut cast = Cast { needs: scenario.needs.iter().copied().collect(), ..Cast::default() };
    steps(&scenario.steps, &spot!["steps"], &mut cast, problems);
    for (need, (at, why)) in cast.missing {
        let word = word(need);
        problems.at_key(&at, format!("{why}, which needs `{word}`"), "not among `needs`", format!("add \"{word}\" to `needs`"));
    }
}

/// What these steps need beside nothing at all, in the order of the words.
pub(crate) fn needed(all: &[Step]) -> Vec<Need> {
    let (nothing, _) = toml::de::DeTable::parse_recoverable("");
    let mut cast = Cast::default();
    steps(all, &spot!["steps"], &mut cast, &mut Problems::new(&nothing));
    cast.missing.into_keys().collect()
}

fn word(need: Need) -> String {
    serde_json::to_value(need).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Who was introduced, and what is needed.
#[derive(Default)]
struct Cast {
    needs: BTreeSet<Need>,
    missing: BTreeMap<Need, (Vec<Seg>, String)>,
    sessions: BTreeSet<String>,
    readers: BTreeSet<String>,
    writers: BTreeSet<String>,
    samples: BTreeSet<String>,
    snapshots: BTreeSet<String>,
    remembered: BTreeSet<String>,
}

impl Cast {
    fn need(&mut self, need: Need, at: &[Seg], why: &str) {
        let restarts = need == Need::Kill && self.needs.contains(&Need::Wipe);
        if !self.needs.contains(&need) && !restarts {
            self.missing.entry(need).or_insert_with(|| (at.to_vec(), why.to_owned()));
        }
    }
}

/// A name must have been introduced by an earlier step.
fn known(name: &str, kind: &str, by: &str, names: &BTreeSet<String>, at: &[Seg], problems: &mut Problems<'_>) {
    if !names.contains(name) {
        let there: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = format!("{}; a {kind} comes from an earlier `{by}`", suggest(name, &there, &format!("{kind}s up to here")));
        problems.at(at, format!("the {kind} `{}` is not there yet", short(name)), "unknown here", help);
    }
}

fn steps(all: &[Step], at: &[Seg], cast: &mut Cast, problems: &mut Problems<'_>) {
    if all.is_empty() {
        problems.at_key(at, "there are no steps", "empty", "begin with `{ open = { session = \"s\" } }`");
    }
    for (index, one) in all.iter().enumerate() {
        step(one, &[at, &spot![index]].concat(), cast, problems);
    }
}

fn step(step: &Step, at: &[Seg], cast: &mut Cast, problems: &mut Problems<'_>) {
    let to = |kind: &str, field: &str| [at, &spot![kind, field]].concat();
    let key = |kind: &str| [at, &spot![kind]].concat();
    macro_rules! session {
        ($of:expr, $kind:literal) => {
            known($of, "session", "open", &cast.sessions, &to($kind, "session"), problems)
        };
    }
    macro_rules! reader {
        ($of:expr, $kind:literal) => {
            known($of, "reader", "subscribe", &cast.readers, &to($kind, "reader"), problems)
        };
    }
    match step {
        Step::Open(open) => {
            if let Some(old) = &open.reborn_of {
                known(old, "session", "open", &cast.sessions, &to("open", "reborn_of"), problems);
            }
            if open.refuse {
                cast.need(Need::RetainValidated, &key("open"), "a session is opened with a senseless bound");
            } else if let Some(retain) = &open.retain {
                let bounds = [(retain.records, Need::RetainRecords), (retain.bytes, Need::RetainBytes), (retain.age_ms, Need::RetainAge)];
                for (_, need) in bounds.into_iter().filter(|(bound, _)| bound.is_some()) {
                    cast.need(need, &key("open"), "a session is opened with a bound");
                }
            }
            cast.sessions.insert(open.session.clone());
        }
        Step::Publish(publish) => {
            session!(&publish.session, "publish");
            cast.need(Need::Publish, &key("publish"), "the scenario publishes");
            text(publish.text, &key("publish"), cast);
            if !publish.durable {
                cast.need(Need::Ephemeral, &key("publish"), "live-only events are published");
            }
            if publish.keyed || publish.again.is_some() || publish.retry {
                cast.need(Need::Idempotency, &key("publish"), "publishes carry keys");
            }
            if publish.fault.is_some() {
                cast.need(Need::Proxy, &key("publish"), "a publish has a fault");
            }
            if publish.again.is_some() && !publish.keyed {
                problems.at(&to("publish", "again"), "`again` repeats a key, but no key is sent", "without `keyed`", "add `keyed = true`");
            }
            if publish.concurrent == 0 {
                problems.at(&to("publish", "concurrent"), "nothing would ever be sent", "zero", "give 1 or more");
            }
        }
        Step::Writer(writer) => {
            session!(&writer.session, "writer");
            cast.need(Need::Publish, &key("writer"), "the scenario publishes");
            text(writer.text, &key("writer"), cast);
            if writer.concurrent == 0 {
                problems.at(&to("writer", "concurrent"), "nothing would ever be sent", "zero", "give 1 or more");
            }
            cast.writers.insert(writer.name.clone());
        }
        Step::Join(join) => known(&join.writer, "writer", "writer", &cast.writers, &to("join", "writer"), problems),
        Step::Subscribe(subscribe) => {
            session!(&subscribe.session, "subscribe");
            start(&subscribe.from, &to("subscribe", "from"), cast, problems);
            if subscribe.beside {
                cast.need(Need::TwoCarriers, &key("subscribe"), "two cursors are sent at once");
            }
            if subscribe.pay.is_some() {
                cast.need(Need::Payment, &key("subscribe"), "a reader pays");
            }
            if subscribe.role == Role::Driven {
                cast.need(Need::Driver, &key("subscribe"), "a program reads");
            }
            if let Some(path) = subscribe.content.as_ref().filter(|path| !path.starts_with('/')) {
                let what = format!("`{}` is no path", short(path));
                problems.at(&to("subscribe", "content"), what, "no `/` in front", "give a path of the server, as in `/answer/other`");
            }
            if subscribe.readers == 0 {
                problems.at(&to("subscribe", "readers"), "nobody would read", "zero", "give 1 or more");
            }
            cast.readers.insert(subscribe.reader.clone());
            cast.readers.extend((2..=subscribe.readers.min(10_000)).map(|n| format!("{}{n}", subscribe.reader)));
        }
        Step::Resume(resume) => {
            reader!(&resume.reader, "resume");
            cast.need(Need::Resume, &key("resume"), "a reader resumes");
            if resume.beside {
                cast.need(Need::TwoCarriers, &key("resume"), "two cursors are sent at once");
            }
            if resume.refuse_first > 0 {
                cast.need(Need::Proxy, &key("resume"), "attempts are refused");
            }
        }
        Step::Drop(drop) => reader!(&drop.reader, "drop"),
        Step::Cut(it) => {
            reader!(&it.reader, "cut");
            cut(it, at, cast, problems);
        }
        Step::Stall(stall) => {
            reader!(&stall.reader, "stall");
            cast.need(Need::Proxy, &key("stall"), "a reader is stalled");
        }
        Step::Unstall(of) => reader!(&of.reader, "unstall"),
        Step::Hold(hold) => {
            reader!(&hold.reader, "hold");
            cast.need(Need::Proxy, &key("hold"), "bytes are kept back");
        }
        Step::Release(of) => reader!(&of.reader, "release"),
        Step::Shape(shape) => {
            reader!(&shape.reader, "shape");
            cast.need(Need::Proxy, &key("shape"), "bytes are delayed or re-chunked");
            if shape.rechunk.is_none() && shape.delay_ms.is_none() {
                problems.at_key(&key("shape"), "`shape` changes nothing", "empty", "give `rechunk` or `delay_ms`");
            }
        }
        Step::Await(wait) => {
            reader!(&wait.reader, "await");
            if let Some(id) = &wait.judges {
                known_requirement(id, &to("await", "judges"), problems);
            }
            match wait.upto {
                Upto::Boundary => cast.need(Need::Boundary, &key("await"), "a boundary is awaited"),
                Upto::Gap => cast.need(Need::Gap, &key("await"), "a gap signal is awaited"),
                Upto::Due(_) => cast.need(Need::Payment, &key("await"), "a request for payment is awaited"),
                Upto::Heartbeat => cast.need(Need::Heartbeat, &key("await"), "a heartbeat is awaited"),
                Upto::Terminal => cast.need(Need::Close, &key("await"), "a terminal is awaited"),
                Upto::Last | Upto::Event(_) | Upto::Count(_) | Upto::Headers | Upto::Closed => {}
            }
        }
        Step::Seam(seam) => {
            session!(&seam.session, "seam");
            start(&seam.from, &to("seam", "from"), cast, problems);
            cast.need(Need::Publish, &key("seam"), "the scenario publishes");
            cast.readers.insert(seam.reader.clone());
        }
        Step::Evict(evict) => {
            session!(&evict.session, "evict");
            let (need, by) = match evict.by {
                EvictBy::Records => (Need::RetainRecords, "number"),
                EvictBy::Bytes => (Need::RetainBytes, "bytes"),
                EvictBy::Age => (Need::RetainAge, "age"),
            };
            cast.need(need, &key("evict"), &format!("events are evicted by {by}"));
        }
        Step::Read(read) => {
            session!(&read.session, "read");
            cast.need(Need::History, &key("read"), "history is read");
            // A cursor of a page is presented to the history, not to the stream.
            let resumes = cast.needs.insert(Need::Resume);
            start(&read.from, &to("read", "from"), cast, problems);
            if resumes {
                cast.needs.remove(&Need::Resume);
            }
        }
        Step::Snapshot(snapshot) => {
            session!(&snapshot.session, "snapshot");
            cast.need(Need::Snapshot, &key("snapshot"), "a snapshot is read");
            cast.snapshots.insert(snapshot.session.clone());
        }
        Step::Close(close) => {
            session!(&close.session, "close");
            cast.need(Need::Close, &key("close"), "a session is closed");
        }
        Step::Delete(of) => {
            session!(&of.session, "delete");
            cast.need(Need::Delete, &key("delete"), "a session is deleted");
        }
        Step::Restart(restart) => {
            match restart.how {
                Stop::Kill => cast.need(Need::Kill, &key("restart"), "the server is killed"),
                Stop::Term => cast.need(Need::Restart, &key("restart"), "the server is restarted"),
            }
            if restart.wipe {
                cast.need(Need::Wipe, &key("restart"), "the server's data is removed");
            }
            if restart.after_acks.is_some() && cast.writers.is_empty() {
                let help = "start one before: `{ writer = { name = \"w\", session = \"s\", count = 20 } }`";
                problems.at(&to("restart", "after_acks"), "no background writer gets acknowledgements", "never reached", help);
            }
            for name in restart.after_events.iter().flatten().map(|(name, _)| name) {
                let at = [at, &spot!["restart", "after_events", name.as_str()]].concat();
                known(name, "reader", "subscribe", &cast.readers, &at, problems);
            }
        }
        Step::Pause(_) => cast.need(Need::Pause, &key("pause"), "the server is paused"),
        Step::Continue(_) => cast.need(Need::Pause, &key("continue"), "the server is paused"),
        Step::Probe(probe) => {
            if let Some(session) = &probe.session {
                session!(session, "probe");
            }
            match probe.about {
                Probe::UnknownSession | Probe::PublishUnknown => {
                    cast.need(Need::UnknownSession, &key("probe"), "an unknown session is probed");
                }
                Probe::SenselessLimit => cast.need(Need::History, &key("probe"), "history is read"),
                Probe::NoCredentials => cast.need(Need::Auth, &key("probe"), "credentials are left out"),
                Probe::Escape => cast.need(Need::Files, &key("probe"), "files are asked for"),
                Probe::WrongMethod => {}
            }
            let touches = !matches!(probe.about, Probe::UnknownSession | Probe::PublishUnknown);
            if touches && probe.session.is_none() {
                problems.at_key(&key("probe"), "this probe needs a session", "in here", "add `session = \"…\"`");
            }
        }
        Step::Churn(churn) => {
            session!(&churn.session, "churn");
            if churn.concurrent == 0 {
                problems.at(&to("churn", "concurrent"), "no connection would ever be opened", "zero", "give 1 or more");
            }
        }
        Step::Sample(sample) => {
            cast.need(Need::Resources, &key("sample"), "resources are sampled");
            if let Some(earlier) = &sample.settles_to {
                known(earlier, "sample", "sample", &cast.samples, &to("sample", "settles_to"), problems);
            }
            cast.samples.insert(sample.label.clone());
        }
        Step::Do(ask) => {
            if ask.background {
                cast.writers.insert(ask.op.clone());
            }
            if let Some(session) = &ask.session {
                session!(session, "do");
            }
            for cleared in &ask.clears {
                session!(cleared, "do");
            }
            if let Some(id) = &ask.judges {
                known_requirement(id, &to("do", "judges"), problems);
            }
            if ask.times == 0 || ask.concurrent == 0 {
                problems.at_key(&key("do"), "nothing would ever be sent", "zero", "give 1 or more");
            }
            let same = ask.expect.iter().flat_map(|expect| expect.same_as.iter().chain(&expect.other_than));
            for name in same {
                known(name, "answer", "remember", &cast.remembered, &to("do", "expect"), problems);
            }
            cast.remembered.extend(ask.remember.clone());
        }
        Step::Pay(pay) => {
            session!(&pay.session, "pay");
            cast.need(Need::Payment, &key("pay"), "something is paid");
            if pay.at_once == 0 {
                problems.at(&to("pay", "at_once"), "nothing would ever be sent", "zero", "give 1 or more");
            }
        }
        Step::Repeat(repeat) => steps(&repeat.steps, &to("repeat", "steps"), cast, problems),
    }
}

fn text(text: Text, at: &[Seg], cast: &mut Cast) {
    match text {
        Text::Plain | Text::Bulky | Text::Large => {}
        Text::Hostile | Text::Separators | Text::LineBreaks | Text::Controls | Text::Unicode | Text::FrameLike | Text::Surrogates => {
            cast.need(Need::Text, at, "hostile text is published")
        }
        Text::Secret => cast.need(Need::Redacts, at, "a secret is published"),
        Text::HostileType => cast.need(Need::EventType, at, "a hostile event type is published"),
    }
}

fn start(from: &Start, at: &[Seg], cast: &mut Cast, problems: &mut Problems<'_>) {
    match from {
        Start::Oldest => {}
        Start::Live => cast.need(Need::Live, at, "a reader starts at the live end"),
        Start::Of(other) => {
            known(other, "session", "open", &cast.sessions, &[at, &spot!["of"]].concat(), problems);
            cast.need(Need::Resume, at, "a cursor is presented");
        }
        Start::Snapshot => {
            cast.need(Need::Resume, at, "a cursor is presented");
            if cast.snapshots.is_empty() {
                problems.at(
                    at,
                    "no snapshot was read up to here",
                    "its cursor is not known",
                    "read one before: `{ snapshot = { session = \"s\" } }`",
                );
            }
        }
        Start::After(_) | Start::Head | Start::Synthetic | Start::EveryId | Start::Class(_) | Start::Text(_) => {
            cast.need(Need::Resume, at, "a cursor is presented");
        }
    }
}

fn cut(cut: &Cut, at: &[Seg], cast: &mut Cast, problems: &mut Problems<'_>) {
    let places = [
        ("after_events", cut.after_events.is_some()),
        ("inside", cut.inside.is_some()),
        ("after_bytes", cut.after_bytes.is_some()),
        ("before_headers", cut.before_headers),
        ("before_terminal", cut.before_terminal),
    ];
    let given: Vec<&str> = places.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if let [first, second, ..] = given.as_slice() {
        problems.at_key(
            &[at, &spot!["cut", *second]].concat(),
            format!("one cut has {} places: {}", given.len(), given.join(", ")),
            format!("`{first}` is given as well"),
            "keep one; a second cut goes behind the next `resume`",
        );
    }
    // Closing in order, now, is what any client can do.
    if !given.is_empty() || cut.how != How::Fin {
        cast.need(Need::Proxy, &[at, &spot!["cut"]].concat(), "bytes are cut");
    }
    if cut.before_terminal {
        cast.need(Need::Close, &[at, &spot!["cut"]].concat(), "a terminal is cut off");
    }
}
