use std::sync::Arc;

use super::*;
use crate::contract::Profile;
use crate::explore::source::Source;
use crate::scenario::{Capabilities, Count, Publish, Scenario, Upto};

fn palette() -> Palette {
    Palette::new(Arc::new(Profile::load("sse").unwrap()), Capabilities::all(), &[])
}

fn smallest(steps: Vec<Step>, shows: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let Shrunk { trail, gave_up } = runtime.block_on(shrink(steps, &palette(), 3, async |steps: &[Step]| shows(steps), || false));
    assert!(!gave_up);
    assert!(trail.is_sorted_by_key(|steps| std::cmp::Reverse(Size::of(steps))));
    trail.last().unwrap().clone()
}

#[test]
fn what_matters_is_left_and_nothing_else() {
    let mut source = Source::new(palette(), 11);
    let cut_and_resumed = |steps: &[Step]| {
        let cut = steps.iter().position(|s| matches!(s, Step::Cut(cut) if cut.after_events.is_some()));
        cut.is_some_and(|cut| steps[cut..].iter().any(|s| matches!(s, Step::Resume(_))))
    };
    let mut seen = 0;
    while seen < 10 {
        let made = source.next(seen % 2 == 0, &[]);
        if !cut_and_resumed(&made.steps) {
            continue;
        }
        seen += 1;
        let least = smallest(made.steps.clone(), cut_and_resumed);
        assert!(least.len() <= 5, "{}", Scenario { steps: least, ..made }.to_toml(""));
        assert_eq!(Size::of(&least).faults, 1);
    }
}

#[test]
fn numbers_and_texts_become_plain_and_names_are_the_first_ones() {
    let text = "name = \"x\"\nsays = \"y\"\nneeds = [\"publish\", \"text\", \"resume\"]\nsteps = [
        { open = { session = \"t\" } }, { publish = { session = \"t\", count = 17, text = \"hostile\", concurrent = 3 } },
        { subscribe = { reader = \"c\", session = \"t\", from = { after = 9 } } }]";
    let steps = Scenario::parse("it", text).unwrap().steps;
    let least = smallest(steps, |steps| steps.iter().any(|s| matches!(s, Step::Subscribe(_))));
    let written: Vec<String> = least.iter().map(crate::run::in_words).collect();
    assert_eq!(written, ["open session=s", "subscribe reader=a session=s"]);
}

/// The steps of a scenario that is written down.
fn written(needs: &str, steps: &str) -> Vec<Step> {
    let text = format!("name = \"x\"\nsays = \"y\"\nneeds = [{needs}]\nsteps = [{steps}]");
    Scenario::parse("it", &text).unwrap_or_else(|e| panic!("{e}: {}", e.place())).steps
}

fn in_words(steps: &[Step]) -> Vec<String> {
    steps.iter().map(crate::run::in_words).collect()
}

fn tried(steps: &[Step]) -> Vec<Vec<String>> {
    smaller(steps, &palette()).iter().map(|candidate| in_words(candidate)).collect()
}

#[test]
fn one_session_and_its_readers_are_tried_alone() {
    let steps = written(
        "\"publish\"",
        "{ open = { session = \"s\" } }, { open = { session = \"t\" } }, { subscribe = { reader = \"a\", session = \"s\" } },
        { subscribe = { reader = \"b\", session = \"t\" } }, { publish = { session = \"s\", count = 3 } },
        { publish = { session = \"t\", count = 4 } }, { await = { reader = \"a\", upto = \"last\" } },
        { await = { reader = \"b\", upto = \"last\" } }",
    );
    let all = tried(&steps);
    let of = |session: &str, reader: &str, count: u32| {
        [
            format!("open session={session}"),
            format!("subscribe reader={reader} session={session}"),
            format!("publish count={count} session={session}"),
            format!("await reader={reader} upto=last"),
        ]
    };
    for part in [of("s", "a", 3), of("t", "b", 4)] {
        // A part is bolder than any removal.
        let at = all.iter().position(|candidate| *candidate == part);
        assert!(at.is_some_and(|at| at < 4), "{part:?} at {at:?} of {all:#?}");
    }
}

#[test]
fn publishes_are_added_up_and_readers_counted_in_one_step() {
    let steps = written(
        "\"publish\"",
        "{ open = { session = \"s\" } }, { publish = { session = \"s\", count = 2 } }, { subscribe = { reader = \"a\", session = \"s\" } },
        { publish = { session = \"s\", count = 3 } }, { subscribe = { reader = \"b\", session = \"s\" } }",
    );
    let five_events_and_two_readers = |steps: &[Step]| {
        let count = |step: &Step| match step {
            Step::Publish(Publish { count: Count::N(n), .. }) => (*n, 0),
            Step::Subscribe(subscribe) => (0, subscribe.readers),
            _ => (0, 0),
        };
        let (events, readers) = steps.iter().map(count).fold((0, 0), |sum, (events, readers)| (sum.0 + events, sum.1 + readers));
        events >= 5 && readers >= 2
    };
    let least = smallest(steps, five_events_and_two_readers);
    assert_eq!(in_words(&least), ["open session=s", "subscribe reader=a readers=2 session=s", "publish count=5 session=s"]);
}

#[test]
fn a_bound_and_what_exceeds_it_are_lessened_together() {
    let steps = written(
        "\"publish\", \"retain-records\"",
        "{ open = { session = \"s\", retain = { records = 9 } } }, { publish = { session = \"s\", count = 20 } },
        { subscribe = { reader = \"a\", session = \"s\" } }",
    );
    // Exactly eleven events too many, as no number alone can be less.
    let eleven_too_many = |steps: &[Step]| match steps {
        [Step::Open(open), Step::Publish(publish), Step::Subscribe(_)] => {
            let kept = open.retain.and_then(|retain| retain.records).unwrap_or(0);
            publish.count == Count::N(u32::try_from(kept).unwrap() + 11) && kept > 0
        }
        _ => false,
    };
    let least = smallest(steps, eleven_too_many);
    let all = in_words(&least);
    assert_eq!(all[..2], ["open retain={records:1} session=s", "publish count=12 session=s"]);
}

#[test]
fn a_bound_by_age_is_tried_as_one_by_number() {
    let steps = written(
        "\"publish\", \"retain-age\"",
        "{ open = { session = \"s\", retain = { age_ms = 300 } } }, { publish = { session = \"s\", count = 6 } },
        { evict = { session = \"s\", by = \"age\" } }, { subscribe = { reader = \"a\", session = \"s\" } }",
    );
    let bounded_and_read = |steps: &[Step]| {
        let bounded = steps.iter().any(|step| matches!(step, Step::Open(open) if open.retain.is_some()));
        bounded && steps.iter().any(|step| matches!(step, Step::Subscribe(_))) && steps.iter().any(|step| matches!(step, Step::Publish(_)))
    };
    let least = smallest(steps, bounded_and_read);
    assert!(matches!(&least[0], Step::Open(open) if open.retain.is_some_and(|r| r.records == Some(1) && r.age_ms.is_none())), "{least:?}");
    assert_eq!(waits(&least), 0);
}

#[test]
fn three_steps_that_only_make_sense_together_are_left_out_together() {
    let publishes = |counts: &[u32]| {
        let steps: Vec<String> = counts.iter().map(|n| format!("{{ publish = {{ session = \"s\", count = {n} }} }}")).collect();
        written("\"publish\"", &format!("{{ open = {{ session = \"s\" }} }}, {}", steps.join(", ")))
    };
    let least = publishes(&[16]);
    assert_eq!(smallest(publishes(&[11, 16, 13, 15]), |steps| steps == least), least);
}

#[test]
fn many_readers_in_one_step_stand_for_all_others() {
    let steps = written(
        "\"publish\"",
        "{ open = { session = \"s\" } }, { subscribe = { reader = \"a\", session = \"s\", readers = 9 } },
        { subscribe = { reader = \"b\", session = \"s\" } }, { seam = { reader = \"c\", session = \"s\", publish = 2 } },
        { publish = { session = \"s\", count = 3 } }",
    );
    // Eleven connections, in whatever steps.
    let eleven = |steps: &[Step]| {
        let connections = |step: &Step| match step {
            Step::Subscribe(subscribe) => subscribe.readers,
            Step::Seam(_) => 1,
            _ => 0,
        };
        steps.iter().map(connections).sum::<u32>() >= 11
    };
    assert_eq!(in_words(&smallest(steps, eleven)), ["open session=s", "subscribe reader=a readers=11 session=s"]);
}

#[test]
fn how_many_events_fill_a_buffer_is_asked_last() {
    let steps = written(
        "\"publish\", \"text\", \"proxy\"",
        "{ open = { session = \"s\" } }, { subscribe = { reader = \"a\", session = \"s\" } }, { publish = { session = \"s\" } },
        { stall = { reader = \"a\", after_events = 1 } }, { publish = { session = \"s\", count = 900, text = \"bulky\" } },
        { unstall = { reader = \"a\" } }, { await = { reader = \"a\", upto = \"last\" } }",
    );
    let all = smaller(&steps, &palette());
    let heavy: Vec<&Vec<Step>> = all.iter().filter(|candidate| crate::explore::mend::is_heavy(candidate)).collect();
    let fewer_steps = heavy.iter().position(|candidate| candidate.len() < steps.len()).unwrap();
    let fewer_events = heavy.iter().position(|candidate| candidate.len() == steps.len()).unwrap();
    assert!(fewer_steps < fewer_events, "{heavy:?}");
}

#[test]
fn what_waits_less_is_tried_first_and_choices_of_a_few_steps_last() {
    let steps = written(
        "\"publish\", \"heartbeat\", \"resume\", \"kill\"",
        "{ open = { session = \"s\" } }, { publish = { session = \"s\", count = 2 } }, { subscribe = { reader = \"a\", session = \"s\" } },
        { await = { reader = \"a\", upto = \"last\" } }, { await = { reader = \"a\", upto = \"heartbeat\" } }, { restart = {} },
        { resume = { reader = \"a\" } }, { publish = { session = \"s\" } }, { await = { reader = \"a\", upto = \"last\" } }",
    );
    assert_eq!(waits(&steps), 1_200);
    let all = smaller(&steps, &palette());
    let waited: Vec<u32> = all.iter().map(|candidate| waits(candidate)).collect();
    let [none, most] = [waited.iter().position(|ms| *ms == 0), waited.iter().position(|ms| *ms == 1_200)];
    assert!(none == Some(0) && most.is_some(), "{waited:?}");
    // Twice in ascending order: all that changes something, and then the choices.
    let descents = waited.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(descents <= 1, "{waited:?}");
    assert!(all.iter().all(|candidate| Size::of(candidate) < Size::of(&steps) && mend(candidate, &palette()) == *candidate));
}

#[test]
fn a_good_answer_is_not_kept_back_by_a_slow_one() {
    let steps = written(
        "\"publish\"",
        "{ open = { session = \"s\" } }, { publish = { session = \"s\", count = 9 } }, { subscribe = { reader = \"a\", session = \"s\" } },
        { await = { reader = \"a\", upto = \"last\" } }",
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answered = std::cell::Cell::new(0);
    // The first candidate is answered only when nothing else is left.
    let asked = std::cell::Cell::new(0);
    let shows = async |steps: &[Step]| {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            std::future::poll_fn(|context| {
                if asked.get() == answered.get() + 1 {
                    return std::task::Poll::Ready(());
                }
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
            return false;
        }
        answered.set(answered.get() + 1);
        steps.iter().any(|step| matches!(step, Step::Publish(_)))
    };
    let Shrunk { trail, gave_up } = runtime.block_on(shrink(steps, &palette(), 2, shows, || false));
    assert!(!gave_up && answered.get() > 1);
    assert!(trail.last().unwrap().len() <= 3, "{trail:?}");
}

#[test]
fn what_two_candidates_leave_out_is_left_out_next() {
    let publishes: String = (11..22).map(|n| format!(", {{ publish = {{ session = \"s\", count = {n} }} }}")).collect();
    let steps = written("\"publish\"", &format!("{{ open = {{ session = \"s\" }} }}{publishes}"));
    let without = |left_out: &[usize]| -> Vec<Step> {
        steps.iter().enumerate().filter(|(at, _)| !left_out.contains(at)).map(|(_, step)| step.clone()).collect()
    };
    // The bolder one is asked first and answered last.
    let (slow, quick, together) = (without(&[6, 7, 8, 9, 10, 11]), without(&[3, 4, 5]), without(&[3, 4, 5, 6, 7, 8, 9, 10, 11]));
    let asked = std::cell::RefCell::new(Vec::new());
    let (quick_is_answered, then) = (std::cell::Cell::new(false), std::cell::Cell::new(0));
    let shows = async |candidate: &[Step]| {
        asked.borrow_mut().push(candidate.to_vec());
        if candidate == slow {
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if quick_is_answered.get() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            then.set(asked.borrow().len());
            return true;
        }
        quick_is_answered.set(quick_is_answered.get() || candidate == quick);
        candidate == quick
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(shrink(steps.clone(), &palette(), 2, shows, || false));
    assert!(quick_is_answered.get() && then.get() > 1);
    // Beside the one that took the place of the quick one.
    assert!(asked.borrow()[then.get()..then.get() + 2].contains(&together), "{:?}", asked.borrow());
}

#[test]
fn an_end_before_everything_was_tried_is_told() {
    let mut source = Source::new(palette(), 3);
    let steps = loop {
        let made = source.next(false, &[]).steps;
        if made.len() >= 6 {
            break made;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let search = |most: u32| {
        let asked = std::cell::Cell::new(0);
        let shows = async |_: &[Step]| {
            asked.set(asked.get() + 1);
            false
        };
        let Shrunk { trail, gave_up } = runtime.block_on(shrink(steps.clone(), &palette(), 1, shows, || asked.get() >= most));
        assert!(trail.len() == 1 && trail[0] == steps);
        (gave_up, asked.get())
    };
    let (gave_up, all) = search(u32::MAX);
    assert!(!gave_up && all > 5);
    assert_eq!(search(4), (true, 4));
    assert_eq!(search(all), (false, all));
}

#[test]
fn around_what_shows_seldom_is_something_small_that_waits() {
    let steps = written(
        "\"publish\", \"retain-age\", \"text\"",
        "{ open = { session = \"s\" } }, { open = { session = \"t\" } }, { publish = { session = \"s\" } },
        { open = { session = \"v\", retain = { age_ms = 200 } } }, { publish = { session = \"v\", count = 3 } },
        { evict = { session = \"v\", by = \"age\", beyond = 0 } }, { subscribe = { reader = \"b\", session = \"v\" } },
        { publish = { session = \"s\", count = 3, text = \"controls\" } }, { subscribe = { reader = \"a\", session = \"s\" } },
        { publish = { session = \"s\", count = 3 } }, { await = { reader = \"a\", upto = \"last\" } }",
    );
    let all = around(&steps, &palette());
    assert!(all.len() > 20 && all.len() <= 200, "{}", all.len());
    // One of each kind, and of these the ones first that wait least.
    let kinds: Vec<Vec<_>> = all
        .iter()
        .map(|made| made.iter().map(|step| (std::mem::discriminant(step), waits(std::slice::from_ref(step)))).collect())
        .collect();
    let each = kinds.iter().enumerate().take_while(|(at, kinds_of)| !kinds[..*at].contains(kinds_of)).count();
    let evicts = |made: &Vec<Step>| made.iter().any(|step| matches!(step, Step::Evict(_)));
    assert!(each > 10 && all[..each].is_sorted_by_key(|made| waits(made)) && all[..each].iter().any(evicts), "{each}");
    let all: Vec<Vec<String>> = all.iter().map(|made| in_words(made)).collect();
    let distinct: HashSet<&Vec<String>> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    for expected in [
        vec!["open session=s", "subscribe reader=a session=s", "await reader=a upto=heartbeat"],
        vec!["open session=s", "publish count=1 session=s", "subscribe reader=a session=s"],
        vec![
            "open retain={age_ms:200} session=s",
            "publish count=2 session=s",
            "evict beyond=0 by=age session=s",
            "subscribe reader=a session=s",
            "await reader=a upto=boundary",
        ],
    ] {
        assert!(all.iter().any(|made| *made == expected), "{expected:?} is not among {all:#?}");
    }
}

#[test]
fn a_race_is_ended_by_readers_that_wait_for_their_answers() {
    let steps = written(
        "\"publish\", \"retain-age\"",
        "{ open = { session = \"s\", retain = { age_ms = 200 } } }, { publish = { session = \"s\" } },
        { evict = { session = \"s\", by = \"age\" } }, { subscribe = { reader = \"a\", session = \"s\" } }",
    );
    let all: Vec<Vec<String>> = settle(&steps, &palette()).iter().map(|made| in_words(made)).collect();
    let before = in_words(&steps);
    let with = |wait: &str| [before.clone(), vec![wait.to_owned()]].concat();
    assert_eq!(all, [with("await reader=a upto=headers"), with("await reader=a upto=boundary")]);
    assert!(settle(&written("\"publish\"", "{ open = { session = \"s\" } }, { publish = { session = \"s\" } }"), &palette()).is_empty());
}

/// `cursor-ignored`, met as END-4, kept refused publishes that gave the terminal the time to come.
#[test]
fn what_only_takes_time_gives_way_to_a_reader_that_waits() {
    let steps = written(
        "\"publish\", \"close\", \"resume\"",
        "{ open = { session = \"s\" } }, { close = { session = \"s\" } }, { subscribe = { reader = \"a\", session = \"s\" } },
        { publish = { session = \"s\" } }, { publish = { session = \"s\" } }, { publish = { session = \"s\" } }, { resume = { reader = \"a\" } }",
    );
    // The terminal has come by the time of the third publish, or of one that was waited for.
    let shows = |steps: &[Step]| {
        let closed = steps.iter().position(|step| matches!(step, Step::Close(_)));
        let reads = steps.iter().position(|step| matches!(step, Step::Subscribe(_)));
        let resumes = steps.iter().position(|step| matches!(step, Step::Resume(_)));
        let (Some(closed), Some(reads), Some(resumes)) = (closed, reads, resumes) else { return false };
        let between = steps.get(reads..resumes).unwrap_or_default();
        let waits = between.iter().any(|step| matches!(step, Step::Await(wait) if wait.upto == Upto::Closed));
        closed < reads && (waits || between.len() > 3)
    };
    let least = in_words(&smallest(steps, shows));
    assert_eq!(least.len(), 5, "{least:?}");
    assert_eq!(least[3], "await reader=a upto=closed");
}

#[test]
fn what_stands_behind_a_connection_gives_way_to_a_wait_for_its_answer() {
    let steps = written(
        "\"publish\", \"retain-age\", \"proxy\"",
        "{ open = { session = \"s\", retain = { age_ms = 200 } } }, { publish = { session = \"s\", count = 2 } },
        { evict = { session = \"s\", by = \"age\" } }, { subscribe = { reader = \"a\", session = \"s\" } },
        { open = { session = \"t\" } }, { publish = { session = \"t\", count = 9 } }, { subscribe = { reader = \"b\", session = \"t\" } }",
    );
    let all = tried(&steps);
    let expected = [&in_words(&steps)[..4], &["await reader=a upto=boundary".to_owned()]].concat();
    assert!(all.contains(&expected), "{expected:?} is not among {all:#?}");
}
