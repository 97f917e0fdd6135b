//! Collecting what the checkers find.

use std::borrow::Cow;
use std::cell::Cell;

use super::verdict::{Finding, Verdict, Violation};
use crate::contract::{CATALOGUE, CLIENT_CATALOGUE, Requirement};

/// What was found so far. What every judgement has stands in arrays by the places of requirements (see [`place`]), and what
/// few have in a list: a campaign makes a million of these.
#[derive(Debug)]
pub(crate) struct Judge {
    judged: Times,
    not_applicable: [Option<Cow<'static, str>>; REQUIREMENTS],
    told: Vec<Told>,
}

/// How many requirements there are, of servers and of clients.
const REQUIREMENTS: usize = CATALOGUE.len() + CLIENT_CATALOGUE.len();

/// How often each requirement was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times([u64; REQUIREMENTS]);

impl Default for Times {
    fn default() -> Self {
        Times([0; REQUIREMENTS])
    }
}

impl Times {
    /// The requirements that were judged at all, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ids().zip(self.0).filter(|(_, times)| *times > 0)
    }

    /// Adds those of another.
    pub(crate) fn absorb(&mut self, other: &Times) {
        self.0.iter_mut().zip(other.0).for_each(|(all, times)| *all += times);
    }
}

/// What is wrong with a requirement, or keeps it from being judged.
#[derive(Debug)]
struct Told {
    place: Place,
    violations: Vec<Violation>,
    count: u64,
    undecided: Option<String>,
}

/// The ids of all requirements, by their places.
fn ids() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().chain(CLIENT_CATALOGUE).map(|r| r.id)
}

/// How many ids' places are remembered, and how many neighbours are looked at for one. A program says fewer ids than that.
const SLOTS: usize = 1024;
const NEIGHBOURS: usize = 8;

/// The place of a requirement among those of servers and clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

impl From<&'static str> for Place {
    fn from(id: &'static str) -> Place {
        place(id)
    }
}

/// The places of the requirements of these families.
pub(crate) fn places_of(families: &[&str]) -> Vec<Place> {
    CATALOGUE.iter().filter(|r| families.contains(&r.family())).map(|r| place(r.id)).collect()
}

/// Address, length and place of an id.
type Slot = Cell<(usize, u32, u32)>;

/// The place of a requirement. Checkers say ids millions of times, each time the same constants, so places are remembered by
/// the addresses of ids, which each thread looks up once.
#[inline]
fn place(id: &'static str) -> Place {
    thread_local! {
        static PLACES: [Slot; SLOTS] = const { [const { Cell::new((0, 0, 0)) }; SLOTS] };
    }
    let address = id.as_ptr() as usize;
    let first = ((address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SLOTS;
    PLACES.with(|places| {
        let known = places[first].get();
        if known.0 == address && known.1 as usize == id.len() { Place(known.2 as usize) } else { look_up(places, first, id) }
    })
}

#[cold]
fn look_up(places: &[Slot; SLOTS], first: usize, id: &'static str) -> Place {
    let find = || ids().position(|known| known == id).unwrap_or_else(|| panic!("{id} is not in the catalogue"));
    let (address, len) = (id.as_ptr() as usize, id.len() as u32);
    for step in 0..NEIGHBOURS {
        let slot = &places[(first + step) % SLOTS];
        let known = slot.get();
        if (known.0, known.1) == (address, len) {
            return Place(known.2 as usize);
        }
        if known.0 == 0 {
            let place = find();
            slot.set((address, len, place as u32));
            return Place(place);
        }
    }
    Place(find())
}

impl Default for Judge {
    fn default() -> Self {
        Judge { judged: Times::default(), not_applicable: [const { None }; REQUIREMENTS], told: Vec::new() }
    }
}

impl Judge {
    fn told(&mut self, place: Place) -> &mut Told {
        let at = self.told.iter().position(|told| told.place == place).unwrap_or_else(|| {
            self.told.push(Told { place, violations: Vec::new(), count: 0, undecided: None });
            self.told.len() - 1
        });
        &mut self.told[at]
    }

    /// Adds to `all` how often each requirement was judged that is applicable.
    pub(crate) fn count(&self, all: &mut Times) {
        for ((all, times), why) in all.0.iter_mut().zip(self.judged.0).zip(&self.not_applicable) {
            *all += if why.is_none() { times } else { 0 };
        }
    }

    /// The requirements that were violated, in no order.
    pub(crate) fn broken(&self) -> impl Iterator<Item = &'static str> {
        let broken = self.told.iter().filter(|told| told.count > 0 && self.not_applicable[told.place.0].is_none());
        broken.filter_map(|told| ids().nth(told.place.0))
    }

    /// It was looked at, and held.
    pub(crate) fn held(&mut self, requirement: &'static str) {
        self.held_n(requirement, 1);
    }

    /// It was looked at that many times, and held.
    pub(crate) fn held_n(&mut self, requirement: &'static str, times: u64) {
        // Many have nothing to tell of a connection, and to find their place is what this costs.
        if times > 0 {
            self.judged.0[place(requirement).0] += times;
        }
    }

    /// It was violated.
    pub(crate) fn violated(&mut self, requirement: &'static str, violation: Violation) {
        let place = place(requirement);
        self.judged.0[place.0] += 1;
        let told = self.told(place);
        told.count += 1;
        if told.violations.len() < Violation::KEPT {
            told.violations.push(violation);
        }
    }

    /// It held, or else was violated as `violation` says.
    pub(crate) fn require(&mut self, requirement: &'static str, holds: bool, violation: impl FnOnce() -> Violation) {
        if holds { self.held(requirement) } else { self.violated(requirement, violation()) }
    }

    /// The contract does not promise it.
    pub(crate) fn not_applicable(&mut self, requirement: impl Into<Place>, why: impl Into<Cow<'static, str>>) {
        self.not_applicable[requirement.into().0] = Some(why.into());
    }

    /// A scenario asks for it outright: it is promised, whatever the contract says of the ways by which checkers see it.
    pub(crate) fn asked(&mut self, requirement: &'static str) {
        let place = place(requirement);
        if self.not_applicable[place.0].take().is_some() {
            self.judged.0[place.0] = 0;
            self.told.retain(|told| told.place != place);
        }
    }

    /// Nothing in the history asks for it: it is not applicable there, unless it was judged all the same.
    pub(crate) fn not_asked(&mut self, requirement: impl Into<Place>, why: &'static str) {
        let Place(place) = requirement.into();
        if self.judged.0[place] == 0 {
            self.not_applicable[place] = Some(why.into());
        }
    }

    /// What was seen does not decide.
    pub(crate) fn undecided(&mut self, requirement: &'static str, why: String) {
        self.told(place(requirement)).undecided.get_or_insert(why);
    }

    /// One verdict for each requirement of servers, in the order of the catalogue.
    pub(crate) fn verdicts(self) -> Vec<Verdict> {
        self.verdicts_on(CATALOGUE)
    }

    /// One verdict for each of these requirements, in this order.
    pub(crate) fn verdicts_on<'r>(mut self, requirements: impl IntoIterator<Item = &'r Requirement>) -> Vec<Verdict> {
        let verdict = |r: &Requirement| Verdict { requirement: r.id.to_owned(), finding: self.finding(place(r.id)) };
        requirements.into_iter().map(verdict).collect()
    }

    /// What was found on the requirement at a place; asked for once.
    fn finding(&mut self, place: Place) -> Finding {
        let told = self.told.iter().position(|told| told.place == place).map(|at| self.told.swap_remove(at));
        // A promise that was not made cannot be broken, whatever a checker saw on its way.
        if let Some(why) = self.not_applicable[place.0].take() {
            return Finding::NotApplicable { why: why.into_owned() };
        }
        let judged = self.judged.0[place.0];
        match told {
            Some(Told { violations, count, .. }) if count > 0 => Finding::Fail { judged, violations, count },
            Some(_) | None if judged > 0 => Finding::Pass { judged },
            told => {
                let undecided = told.and_then(|told| told.undecided);
                Finding::Inconclusive { why: undecided.unwrap_or_else(|| "nothing in this history shows it".to_owned()) }
            }
        }
    }
}
