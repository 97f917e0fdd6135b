//! A scenario that has become a race, with readers that end it.

use crate::explore::mend::mend;
use crate::explore::palette::Palette;
use crate::scenario::{Await, Step, Upto};

/// The same steps with readers that wait for the answer to each of their requests, or for the live part of it, before anything else
/// happens: what is a race without that is none with it.
pub(crate) fn settle(steps: &[Step], palette: &Palette) -> Vec<Vec<Step>> {
    let until = |upto: Upto| {
        let with_wait = |step: &Step| {
            let reader = match step {
                Step::Subscribe(subscribe) => Some(subscribe.reader.clone()),
                Step::Resume(resume) => Some(resume.reader.clone()),
                _ => None,
            };
            let wait = reader.map(|reader| Step::Await(Await { reader, upto: upto.clone(), judges: None }));
            [Some(step.clone()), wait].into_iter().flatten().collect::<Vec<Step>>()
        };
        mend(&steps.iter().flat_map(with_wait).collect::<Vec<Step>>(), palette)
    };
    let mut all: Vec<Vec<Step>> = [Upto::Headers, Upto::Boundary].map(until).into();
    all.retain(|made| made.len() > steps.len());
    all.dedup();
    all
}
