//! Sweeps over whole scenarios: one fault, put into every place of a scenario where it can stand.
//!
//! (`"each"` in a scenario file sweeps one number of a fault that is there already; see `crate::scenario::places`.)

use super::mend::mend;
use super::palette::Palette;
use crate::history::Role;
use crate::scenario::{
    Await, Count, Cut, How, OfReader, Publish, Restart, Resume, Scenario, Stall, Start, Step, Stop, Subscribe, Upto, at, places,
};

/// Bytes of the first frame and of the response before it, every one of which is a place.
const BYTES: u32 = 120;

/// What is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A cut after every event, and after every byte of the first ones.
    Cut,
    /// A kill after every operation.
    Kill,
    /// A reader that starts after every event, and one at every id ever emitted.
    Resume,
    /// A publish at every offset inside a replay.
    Seam,
}

/// A scenario with one fault at each of its places.
#[derive(Clone, Debug)]
pub struct Swept {
    /// What was swept: `cut-while-live: a cut after events of a`.
    pub says: String,
    /// The places in words, each with its scenario.
    pub cases: Vec<(String, Scenario)>,
}

/// The sweeps of one kind over `scenario`; those without a place that makes sense are left out.
pub fn sweeps(kind: Kind, scenario: &Scenario, palette: &Palette) -> Vec<Swept> {
    // A sweep of its own is taken at its first place.
    let base = places(scenario).map_or_else(|| scenario.clone(), |sweep| at(scenario, sweep.places[0]));
    let steps = mend(&base.steps, palette);
    let mut all = match kind {
        Kind::Cut => cuts(&steps),
        Kind::Kill => kills(&steps),
        Kind::Resume => resumes(&steps),
        Kind::Seam => seams(&steps),
    };
    for (what, variants) in &mut all {
        variants.retain_mut(|(_, variant)| {
            let wanted = variant.clone();
            *variant = mend(&wanted, palette);
            // What makes no sense there is no place.
            variant.len() >= wanted.len().min(steps.len() + 1)
        });
        *what = format!("{}: {what}", scenario.name);
    }
    let named = |place: &String, nth: usize, steps: Vec<Step>| {
        let mut made = super::mend::scenario(&format!("{}-{nth}", scenario.name), &scenario.says, steps);
        made.judges.clone_from(&scenario.judges);
        (place.clone(), made)
    };
    let swept = all.into_iter().filter(|(_, variants)| !variants.is_empty()).map(|(says, variants)| Swept {
        says,
        cases: variants.into_iter().enumerate().map(|(nth, (place, steps))| named(&place, nth, steps)).collect(),
    });
    swept.collect()
}

type Variants = Vec<(String, Vec<(String, Vec<Step>)>)>;

/// Durable events published to `session` by these steps.
fn published(steps: &[Step], session: &str) -> u32 {
    let of = |step: &Step| match step {
        Step::Publish(publish) if publish.session == session && publish.durable && !publish.retry => match publish.count {
            Count::N(n) => n,
            Count::Each(_) => 0,
        },
        Step::Writer(writer) if writer.session == session => writer.count,
        _ => 0,
    };
    steps.iter().map(of).sum()
}

/// `steps` with others between them.
fn with(steps: &[Step], at: usize, others: Vec<Step>) -> Vec<Step> {
    let mut all = steps.to_vec();
    all.splice(at..at, others);
    all
}

fn resume(reader: &str) -> Step {
    Step::Resume(Resume { reader: reader.to_owned(), overlap: false, same_cursor: false, refuse_first: 0, beside: false })
}

fn last(reader: &str) -> Step {
    Step::Await(Await { reader: reader.to_owned(), upto: Upto::Last, judges: None })
}

fn cuts(steps: &[Step]) -> Variants {
    let mut all = Vec::new();
    for (opened, step) in steps.iter().enumerate() {
        let Step::Subscribe(subscribe) = step else { continue };
        let reader = &subscribe.reader;
        // The cut is armed when the connection opens; it is waited for where the reader is waited for.
        let waits = |step: &Step| matches!(step, Step::Await(wait) if wait.reader == *reader);
        let behind = steps[opened + 1..].iter().position(waits).map_or(steps.len(), |at| opened + 1 + at);
        let events = published(&steps[..behind], &subscribe.session);
        let cut = |after_events: Option<u32>, after_bytes: Option<u32>| {
            let cut = Cut {
                reader: reader.clone(),
                how: How::Rst,
                after_events: after_events.map(Count::N),
                inside: None,
                after_bytes: after_bytes.map(Count::N),
                before_headers: false,
                before_terminal: false,
            };
            with(steps, behind, vec![Step::Cut(cut), resume(reader)])
        };
        let by_event = (0..=events).map(|n| (format!("event {n}"), cut(Some(n), None))).collect();
        let by_byte = (1..=BYTES).map(|n| (format!("byte {n}"), cut(None, Some(n)))).collect();
        all.push((format!("a cut of {reader} after every event"), by_event));
        all.push((format!("a cut of {reader} after every byte of its first frames"), by_byte));
    }
    all
}

fn kills(steps: &[Step]) -> Variants {
    let mut variants = Vec::new();
    let mut readers: Vec<String> = Vec::new();
    let restart = Step::Restart(Restart { how: Stop::Kill, wipe: false, after_acks: None, after_events: None, twice: false });
    for (at, step) in steps.iter().enumerate() {
        let back = |readers: &[String]| [vec![restart.clone()], readers.iter().map(|r| resume(r)).collect()].concat();
        if let Step::Publish(Publish { count: Count::N(n), concurrent: 1, .. }) = step {
            for done in 1..*n {
                let part = |count: u32| match step {
                    Step::Publish(publish) => Step::Publish(Publish { count: Count::N(count), ..publish.clone() }),
                    other => other.clone(),
                };
                let mut split = steps.to_vec();
                split.splice(at..=at, [vec![part(done)], back(&readers), vec![part(n - done)]].concat());
                variants.push((format!("step {}, event {done}", at + 1), split));
            }
        }
        if let Step::Subscribe(subscribe) = step {
            readers.push(subscribe.reader.clone());
        }
        variants.push((format!("step {}", at + 1), with(steps, at + 1, back(&readers))));
    }
    vec![("a kill after every operation".to_owned(), variants)]
}

/// The sessions that are open at the end.
fn open(steps: &[Step]) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    for step in steps {
        match step {
            Step::Open(one) => open.push(one.session.clone()),
            Step::Close(of) => open.retain(|name| *name != of.session),
            Step::Delete(of) => open.retain(|name| *name != of.session),
            _ => {}
        }
    }
    open
}

fn subscribe(session: &str, from: Start) -> Step {
    let (reader, session) = ("sweeper".to_owned(), session.to_owned());
    Step::Subscribe(Subscribe { reader, session, from, role: Role::Plain, beside: false, readers: 1, pay: None, content: None })
}

fn resumes(steps: &[Step]) -> Variants {
    let sweep = |session: String| {
        let after = |n: u32| if n == 0 { Start::Oldest } else { Start::After(Count::N(n)) };
        let one = |n: u32| (format!("event {n}"), with(steps, steps.len(), vec![subscribe(&session, after(n)), last("sweeper")]));
        let mut variants: Vec<_> = (0..=published(steps, &session)).map(one).collect();
        variants.push(("every id".to_owned(), with(steps, steps.len(), vec![subscribe(&session, Start::EveryId)])));
        (format!("a reader of {session} after every event and id"), variants)
    };
    open(steps).into_iter().map(sweep).collect()
}

fn seams(steps: &[Step]) -> Variants {
    let sweep = |session: String| {
        let publish = Publish::plain(&session, 2);
        let one = |n: u32| {
            let reader = "sweeper".to_owned();
            let seam = vec![
                subscribe(&session, Start::Oldest),
                Step::Stall(Stall { reader: reader.clone(), after_events: n }),
                Step::Publish(publish.clone()),
                Step::Unstall(OfReader { reader }),
                last("sweeper"),
            ];
            (format!("event {n}"), with(steps, steps.len(), seam))
        };
        (format!("a publish into {session} at every offset of a replay"), (0..=published(steps, &session)).map(one).collect())
    };
    open(steps).into_iter().map(sweep).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::Profile;
    use crate::scenario::Capabilities;

    #[test]
    fn every_kind_has_its_places() {
        let palette = Palette::new(Arc::new(Profile::load("sse").unwrap()), Capabilities::all(), &[]);
        let text = "name = \"x\"\nsays = \"y\"\nneeds = [\"publish\"]\nsteps = [{ open = { session = \"s\" } },
            { publish = { session = \"s\", count = 4 } }, { subscribe = { reader = \"a\", session = \"s\" } },
            { publish = { session = \"s\", count = 2 } }, { await = { reader = \"a\", upto = \"last\" } }]";
        let scenario = Scenario::parse("it", text).unwrap();
        let counts = |kind: Kind| -> Vec<usize> { sweeps(kind, &scenario, &palette).iter().map(|swept| swept.cases.len()).collect() };
        assert_eq!(counts(Kind::Cut), [7, 120], "0 to 6 events");
        assert_eq!(counts(Kind::Kill), [5 + 3 + 1], "behind each step, and inside each publish");
        assert_eq!(counts(Kind::Resume), [8], "0 to 6 events, and every id");
        assert_eq!(counts(Kind::Seam), [7]);
        for kind in [Kind::Cut, Kind::Kill, Kind::Resume, Kind::Seam] {
            for (place, case) in sweeps(kind, &scenario, &palette).into_iter().flat_map(|swept| swept.cases) {
                assert_eq!(palette.allows(&case), Ok(()), "{place}");
                Scenario::parse("it", &case.to_toml("")).unwrap_or_else(|e| panic!("{place}: {e}"));
            }
        }
    }
}
