//! Sweeps: one scenario, run once for every place where its fault can stand.
//!
//! The places are counted from the steps alone, so that a run's number of cases is known before it begins. A place that
//! never comes is recorded as such by the run.

use std::collections::BTreeMap;

use super::{Count, Each, Scenario, Start, Step};

/// At most this many places, unless the scenario says otherwise.
const PLACES: u32 = 64;

/// About how many bytes of a stream belong to one event with a plain payload, frame included.
const BYTES_AN_EVENT: u32 = 128;

/// Counting stops here; no sweep is that fine.
const MOST: u32 = 1 << 20;

/// The places of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// The field that is swept: `cut.after_events`.
    pub field: &'static str,
    /// How many places there are.
    pub of: u32,
    /// Those that are run, ascending; evenly spread, with the first and the last, when there are more than the limit.
    pub places: Vec<u32>,
}

impl Sweep {
    /// How much of it is run: `13 places`, or `64 of 193 places`.
    pub fn says(&self) -> String {
        let run = self.places.len();
        let noun = if self.of == 1 { "place" } else { "places" };
        if run == self.of as usize { format!("{run} {noun}") } else { format!("{run} of {} {noun}", self.of) }
    }
}

/// The places of the scenario's sweep; `None` when it has no `"each"`.
pub fn places(scenario: &Scenario) -> Option<Sweep> {
    let mut found = None;
    let mut steps = scenario.steps.clone();
    each(&mut steps, &mut |field, _| found = found.or(Some(field)));
    let field = found?;
    let (low, high) = domain(&scenario.steps, &mut Counted::default())?;
    let of = high - low + 1;
    let limit = scenario.sweep_limit.unwrap_or(PLACES).max(1);
    let places = if of <= limit {
        (low..=high).collect()
    } else if limit == 1 {
        vec![low]
    } else {
        let spread = |at: u32| low + (u64::from(at) * u64::from(of - 1) / u64::from(limit - 1)) as u32;
        (0..limit).map(spread).collect()
    };
    Some(Sweep { field, of, places })
}

/// The scenario at one place of its sweep, named `base[place]`. A scenario without sweep stays as it is.
pub fn at(scenario: &Scenario, place: u32) -> Scenario {
    let mut one = scenario.clone();
    let mut swept = false;
    each(&mut one.steps, &mut |_, count| {
        *count = Count::N(place);
        swept = true;
    });
    if swept {
        one.name = format!("{}[{place}]", scenario.name);
    }
    one
}

/// The number of fields that say `"each"`.
pub(super) fn swept_fields(steps: &[Step]) -> Vec<&'static str> {
    let mut fields = Vec::new();
    each(&mut steps.to_vec(), &mut |field, _| fields.push(field));
    fields
}

/// Calls `with` for each field that says `"each"`.
fn each(steps: &mut [Step], with: &mut impl FnMut(&'static str, &mut Count)) {
    for step in steps {
        for (field, count) in counts(step) {
            if *count == Count::Each(Each::Each) {
                with(field, count);
            }
        }
        if let Step::Repeat(repeat) = step {
            each(&mut repeat.steps, with);
        }
    }
}

/// The counts of a step.
fn counts(step: &mut Step) -> Vec<(&'static str, &mut Count)> {
    fn start<'a>(field: &'static str, from: &'a mut Start) -> Vec<(&'static str, &'a mut Count)> {
        match from {
            Start::After(count) => vec![(field, count)],
            Start::Oldest
            | Start::Live
            | Start::Head
            | Start::Snapshot
            | Start::Synthetic
            | Start::EveryId
            | Start::Class(_)
            | Start::Of(_)
            | Start::Text(_) => Vec::new(),
        }
    }
    match step {
        Step::Publish(publish) => vec![("publish.count", &mut publish.count)],
        Step::Cut(cut) => {
            let events = cut.after_events.as_mut().map(|count| ("cut.after_events", count));
            events.into_iter().chain(cut.after_bytes.as_mut().map(|count| ("cut.after_bytes", count))).collect()
        }
        Step::Restart(restart) => restart.after_acks.as_mut().map(|count| ("restart.after_acks", count)).into_iter().collect(),
        Step::Subscribe(subscribe) => start("subscribe.from.after", &mut subscribe.from),
        Step::Seam(seam) => start("seam.from.after", &mut seam.from),
        Step::Read(read) => start("read.from.after", &mut read.from),
        Step::Open(_)
        | Step::Writer(_)
        | Step::Join(_)
        | Step::Resume(_)
        | Step::Drop(_)
        | Step::Stall(_)
        | Step::Unstall(_)
        | Step::Hold(_)
        | Step::Release(_)
        | Step::Shape(_)
        | Step::Await(_)
        | Step::Evict(_)
        | Step::Snapshot(_)
        | Step::Close(_)
        | Step::Delete(_)
        | Step::Pause(_)
        | Step::Continue(_)
        | Step::Probe(_)
        | Step::Churn(_)
        | Step::Sample(_)
        | Step::Repeat(_)
        | Step::Pay(_)
        | Step::Do(_) => Vec::new(),
    }
}

/// What was published up to a step.
#[derive(Default)]
struct Counted {
    /// Durable events by session.
    durable: BTreeMap<String, u32>,
    /// Sessions by reader.
    readers: BTreeMap<String, String>,
    /// Events of background writers.
    writers: u32,
}

impl Counted {
    fn count(&mut self, step: &Step) {
        let mut add = |session: &str, events: u32| {
            let count = self.durable.entry(session.to_owned()).or_default();
            *count = count.saturating_add(events);
        };
        if let Step::Publish(publish) = step {
            if let (Count::N(n), true, false) = (publish.count, publish.durable, publish.retry) {
                add(&publish.session, n);
            }
        } else if let Step::Writer(writer) = step {
            add(&writer.session, writer.count);
            self.writers = self.writers.saturating_add(writer.count).min(MOST);
        } else if let Step::Seam(seam) = step {
            add(&seam.session, seam.publish.saturating_mul(seam.times));
            self.readers.insert(seam.reader.clone(), seam.session.clone());
        } else if let Step::Subscribe(subscribe) = step {
            self.readers.insert(subscribe.reader.clone(), subscribe.session.clone());
        }
    }

    fn of(&self, session: &str) -> u32 {
        self.durable.get(session).copied().unwrap_or(0).min(MOST)
    }
}

/// The first and last place of the sweep, counted up to the step that sweeps.
fn domain(steps: &[Step], counted: &mut Counted) -> Option<(u32, u32)> {
    for step in steps {
        let here = swept(step, counted);
        if here.is_some() {
            return here;
        }
        if let Step::Repeat(repeat) = step {
            for _ in 0..repeat.times.min(1_000) {
                let inside = domain(&repeat.steps, counted);
                if inside.is_some() {
                    return inside;
                }
            }
        }
        counted.count(step);
    }
    None
}

/// The places of a step, if it is the one that sweeps.
fn swept(step: &Step, counted: &Counted) -> Option<(u32, u32)> {
    const EACH: Count = Count::Each(Each::Each);
    let after = |from: &Start, session: &str| (*from == Start::After(EACH)).then(|| (0, counted.of(session)));
    if let Step::Cut(cut) = step {
        let events = counted.readers.get(&cut.reader).map_or(0, |session| counted.of(session));
        let by_event = (cut.after_events == Some(EACH)).then_some((0, events));
        by_event.or_else(|| (cut.after_bytes == Some(EACH)).then_some((1, (events * BYTES_AN_EVENT).max(1))))
    } else if let Step::Restart(restart) = step {
        (restart.after_acks == Some(EACH)).then_some((1, counted.writers.max(1)))
    } else if let Step::Subscribe(subscribe) = step {
        after(&subscribe.from, &subscribe.session)
    } else if let Step::Seam(seam) = step {
        after(&seam.from, &seam.session)
    } else if let Step::Read(read) = step {
        after(&read.from, &read.session)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(head: &str, steps: &str) -> Scenario {
        let text = format!("name = \"base\"\nsays = \"it works\"\n{head}\nsteps = [\n{{ open = {{ session = \"s\" }} }},\n{steps}\n]\n");
        Scenario::parse("base.toml", &text).unwrap_or_else(|error| panic!("{}: {error}", error.place()))
    }

    #[test]
    fn a_cut_sweeps_over_what_was_published_before_it() {
        let swept = scenario(
            "needs = [\"publish\", \"proxy\", \"ephemeral\"]",
            "{ repeat = { times = 3, steps = [{ publish = { session = \"s\", count = 2 } }] } },
             { publish = { session = \"s\", durable = false } },
             { subscribe = { reader = \"a\", session = \"s\" } },
             { cut = { reader = \"a\", after_events = \"each\" } },
             { publish = { session = \"s\", count = 50 } },",
        );
        let sweep = places(&swept).unwrap();
        assert_eq!((sweep.field, sweep.says().as_str()), ("cut.after_events", "7 places"));
        assert_eq!(sweep.places, [0, 1, 2, 3, 4, 5, 6]);
        let one = at(&swept, 4);
        assert_eq!(one.name, "base[4]");
        assert!(one.steps.iter().any(|step| matches!(step, Step::Cut(cut) if cut.after_events == Some(Count::N(4)))));
        assert_eq!(places(&one), None, "an expanded scenario is no sweep");
        assert_eq!(at(&one, 9), one);
    }

    #[test]
    fn a_limited_sweep_keeps_both_ends_and_says_so() {
        let text = "{ writer = { name = \"w\", session = \"s\", count = 100 } }, { restart = { after_acks = \"each\" } },";
        let sweep = places(&scenario("needs = [\"publish\", \"kill\"]\nsweep_limit = 5", text)).unwrap();
        assert_eq!((sweep.places.as_slice(), sweep.says().as_str()), (&[1, 25, 50, 75, 100][..], "5 of 100 places"));
        let sweep = places(&scenario("needs = [\"publish\", \"kill\"]\nsweep_limit = 1", text)).unwrap();
        assert_eq!(sweep.places, [1]);
        let sweep = places(&scenario("needs = [\"publish\", \"kill\"]", text)).unwrap();
        assert_eq!(sweep.places.len(), 64);
        assert!(sweep.places.is_sorted_by(|a, b| a < b), "no place twice");
    }

    #[test]
    fn a_start_sweeps_over_its_own_session() {
        let steps =
            "{ open = { session = \"t\" } }, { publish = { session = \"t\", count = 9 } }, { publish = { session = \"s\", count = 3 } },
             { subscribe = { reader = \"a\", session = \"s\", from = { after = \"each\" } } },";
        let sweep = places(&scenario("needs = [\"publish\", \"resume\"]", steps)).unwrap();
        assert_eq!((sweep.field, sweep.places.as_slice()), ("subscribe.from.after", &[0, 1, 2, 3][..]));
        assert_eq!(places(&scenario("needs = [\"publish\"]", "{ publish = { session = \"s\" } },")), None);
    }

    #[test]
    fn absurd_numbers_end_soon() {
        let steps = "{ repeat = { times = 4000000000, steps = [{ publish = { session = \"s\", count = 4000000000 } }] } },
             { subscribe = { reader = \"a\", session = \"s\" } }, { cut = { reader = \"a\", after_bytes = \"each\" } },";
        let sweep = places(&scenario("needs = [\"publish\", \"proxy\"]", steps)).unwrap();
        assert_eq!(sweep.places.len(), 64);
    }
}
