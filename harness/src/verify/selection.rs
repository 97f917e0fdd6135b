//! Which scenarios are run, of all that there are: those that were asked for, and apply.

use crate::contract::{CATALOGUE, FAMILIES, Profile, nearest, requirement};
use crate::report::Tally;
use crate::scenario::{Capabilities, Scenario, applicable};

/// What is run, and a tally that knows of what is not.
pub(crate) struct Selection {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) tally: Tally,
}

/// Sorts `all` scenarios by whether they are named in `only` (all are, where it is empty) and apply to profile and target.
pub(crate) fn select(all: Vec<Scenario>, only: &[String], profile: &Profile, capabilities: &Capabilities) -> Selection {
    let everything = Capabilities { driver: true, ..Capabilities::all() };
    let mut scenarios = Vec::new();
    let mut tally = Tally::default();
    tally.expects_all = only.is_empty();
    for scenario in all {
        let selected = wanted(&scenario, only);
        match applicable(&scenario, profile, capabilities) {
            Ok(()) if selected => {
                tally.plan(&scenario);
                scenarios.push(scenario);
            }
            Ok(()) => tally.leave_out(&scenario),
            Err(why) if selected && applicable(&scenario, profile, &everything).is_ok() => tally.cannot_see(&scenario, &why),
            Err(why) if selected => tally.skip(&scenario, &why),
            Err(_) => {}
        }
    }
    Selection { scenarios, tally }
}

/// What is wrong with a word of `only` that none of the scenarios fits; `next` says where the words stand that fit.
pub(crate) fn unknown(only: &[String], all: &[Scenario], next: &str) -> Option<String> {
    let word = only.iter().find(|word| !all.iter().any(|scenario| wanted(scenario, std::slice::from_ref(word))))?;
    let names = all.iter().map(|scenario| scenario.name.as_str());
    let families = FAMILIES.iter().map(|(family, _)| *family);
    let near = nearest(word, names.chain(CATALOGUE.iter().map(|requirement| requirement.id)).chain(families));
    let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Some(format!("no scenario is called `{word}` or written for a requirement that begins so; {hint}{next}"))
}

/// A whole id means that requirement alone: `RESUME-1` is not `RESUME-10`.
pub(crate) fn wanted(scenario: &Scenario, only: &[String]) -> bool {
    let judges = |word: &str| match requirement(word) {
        Some(_) => scenario.judges.iter().any(|id| id == word),
        None => scenario.judges.iter().any(|id| id.starts_with(word)),
    };
    only.is_empty() || only.iter().any(|word| scenario.name == *word || judges(&word.to_uppercase()))
}
