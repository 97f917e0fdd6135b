//! Readers that wait, where what a scenario shows would be a race without.

use super::names::{Kind, of_step};
use crate::explore::mend::mend;
use crate::explore::palette::Palette;
use crate::scenario::{Await, Step, Upto, plain};

/// The same steps with readers that wait for the answer to each of their requests, or for the live part of it, before anything else
/// happens: what is a race without that is none with it.
pub(crate) fn settle(steps: &[Step], palette: &Palette) -> Vec<Vec<Step>> {
    let until = |upto: Upto| {
        let with_wait = |step: &Step| {
            let wait = connects(step).map(|reader| wait(reader, upto.clone()));
            [Some(step.clone()), wait].into_iter().flatten().collect::<Vec<Step>>()
        };
        mend(&steps.iter().flat_map(with_wait).collect::<Vec<Step>>(), palette)
    };
    let mut all: Vec<Vec<Step>> = [Upto::Headers, Upto::Boundary].map(until).into();
    all.retain(|made| made.len() > steps.len());
    all.dedup();
    all
}

/// A reader that waits, in place of whatever stands between one of its connections and its next step or the end, or of the
/// last part of that: all that this did may have been to take the time until an answer came.
pub(super) fn instead(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    for (at, reader) in steps.iter().enumerate().filter_map(|(at, step)| Some((at, connects(step)?))) {
        let next = steps[at + 1..].iter().position(|step| of_step(&plain(step), Kind::Reader).iter().any(|name| name == reader));
        let next = next.map_or(steps.len(), |behind| at + 1 + behind);
        // Of less than two steps it would leave no fewer.
        let stretches = (at + 1..next.saturating_sub(1)).map(|from| (from, next));
        let whole = (next < steps.len()).then_some((at + 1, steps.len()));
        for (from, to) in whole.into_iter().chain(stretches) {
            let with = |upto| [&steps[..from], &[wait(reader, upto)], &steps[to..]].concat();
            all.extend([Upto::Last, Upto::Closed, Upto::Boundary].map(with));
        }
    }
    all
}

/// Who connects by this step, and goes on being connected.
fn connects(step: &Step) -> Option<&str> {
    match step {
        Step::Subscribe(subscribe) => Some(&subscribe.reader),
        Step::Resume(resume) => Some(&resume.reader),
        _ => None,
    }
}

fn wait(reader: &str, upto: Upto) -> Step {
    Step::Await(Await { reader: reader.to_owned(), upto, judges: None })
}
