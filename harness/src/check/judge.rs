//! Collecting what the checkers find.

use std::borrow::Cow;
use std::cell::Cell;

use super::verdict::{Finding, Verdict, Violation};
use crate::contract::{CATALOGUE, CLIENT_CATALOGUE, Requirement};

/// What was found so far, by requirement.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// One for each requirement, by its place (see [`place`]); empty while nothing was found.
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    requirement: &'static str,
    judged: u64,
    violations: Vec<Violation>,
    count: u64,
    not_applicable: Option<Cow<'static, str>>,
    undecided: Option<String>,
}

impl Found {
    fn new(requirement: &'static str) -> Found {
        Found { requirement, judged: 0, violations: Vec::new(), count: 0, not_applicable: None, undecided: None }
    }

    fn finding(self) -> Finding {
        // A promise that was not made cannot be broken, whatever a checker saw on its way.
        if let Some(why) = self.not_applicable {
            Finding::NotApplicable { why: why.into_owned() }
        } else if self.count > 0 {
            Finding::Fail { judged: self.judged, violations: self.violations, count: self.count }
        } else if self.judged > 0 {
            Finding::Pass { judged: self.judged }
        } else {
            Finding::Inconclusive { why: self.undecided.unwrap_or_else(|| "nothing in this history shows it".to_owned()) }
        }
    }
}

/// How many ids' places are remembered, and how many neighbours are looked at for one. A program says fewer ids than that.
const SLOTS: usize = 1024;
const NEIGHBOURS: usize = 8;

/// The place of a requirement among those of servers and clients. Checkers say ids millions of times, each time the same
/// constants, so places are remembered by the addresses of ids, which each thread looks up once.
fn place(id: &'static str) -> usize {
    thread_local! {
        /// Address, length and place.
        static PLACES: [Cell<(usize, u32, u32)>; SLOTS] = const { [const { Cell::new((0, 0, 0)) }; SLOTS] };
    }
    let find = || {
        let place = CATALOGUE.iter().chain(CLIENT_CATALOGUE).position(|r| r.id == id);
        place.unwrap_or_else(|| panic!("{id} is not in the catalogue"))
    };
    let (address, len) = (id.as_ptr() as usize, id.len() as u32);
    let first = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    PLACES.with(|places| {
        for step in 0..NEIGHBOURS {
            let slot = &places[(first as usize + step) % SLOTS];
            let known = slot.get();
            if (known.0, known.1) == (address, len) {
                return known.2 as usize;
            }
            if known.0 == 0 {
                let place = find();
                slot.set((address, len, place as u32));
                return place;
            }
        }
        find()
    })
}

impl Judge {
    fn of(&mut self, id: &'static str) -> &mut Found {
        if self.found.is_empty() {
            self.found.extend(CATALOGUE.iter().chain(CLIENT_CATALOGUE).map(|r| Found::new(r.id)));
        }
        &mut self.found[place(id)]
    }

    /// How often each requirement was judged that was judged at all, in no order.
    pub(crate) fn judged(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.found.iter().filter(|f| f.not_applicable.is_none() && f.judged > 0).map(|f| (f.requirement, f.judged))
    }

    /// The requirements that were violated, in no order.
    pub(crate) fn broken(&self) -> impl Iterator<Item = &'static str> {
        self.found.iter().filter(|f| f.not_applicable.is_none() && f.count > 0).map(|f| f.requirement)
    }

    /// It was looked at, and held.
    pub(crate) fn held(&mut self, requirement: &'static str) {
        self.of(requirement).judged += 1;
    }

    /// It was looked at that many times, and held.
    pub(crate) fn held_n(&mut self, requirement: &'static str, times: u64) {
        self.of(requirement).judged += times;
    }

    /// It was violated.
    pub(crate) fn violated(&mut self, requirement: &'static str, violation: Violation) {
        let found = self.of(requirement);
        found.judged += 1;
        found.count += 1;
        if found.violations.len() < Violation::KEPT {
            found.violations.push(violation);
        }
    }

    /// It held, or else was violated as `violation` says.
    pub(crate) fn require(&mut self, requirement: &'static str, holds: bool, violation: impl FnOnce() -> Violation) {
        if holds { self.held(requirement) } else { self.violated(requirement, violation()) }
    }

    /// The contract does not promise it.
    pub(crate) fn not_applicable(&mut self, requirement: &'static str, why: impl Into<Cow<'static, str>>) {
        self.of(requirement).not_applicable = Some(why.into());
    }

    /// A scenario asks for it outright: it is promised, whatever the contract says of the ways by which checkers see it.
    pub(crate) fn asked(&mut self, requirement: &'static str) {
        let found = self.of(requirement);
        if found.not_applicable.is_some() {
            *found = Found::new(requirement);
        }
    }

    /// Nothing in the history asks for it: it is not applicable there, unless it was judged all the same.
    pub(crate) fn not_asked(&mut self, requirement: &'static str, why: &'static str) {
        let found = self.of(requirement);
        if found.judged == 0 {
            found.not_applicable = Some(why.into());
        }
    }

    /// What was seen does not decide.
    pub(crate) fn undecided(&mut self, requirement: &'static str, why: String) {
        self.of(requirement).undecided.get_or_insert(why);
    }

    /// One verdict for each requirement of servers, in the order of the catalogue.
    pub(crate) fn verdicts(self) -> Vec<Verdict> {
        self.verdicts_on(CATALOGUE)
    }

    /// One verdict for each of these requirements, in this order.
    pub(crate) fn verdicts_on<'r>(mut self, requirements: impl IntoIterator<Item = &'r Requirement>) -> Vec<Verdict> {
        let mut of = |id: &'static str| std::mem::replace(self.of(id), Found::new(id));
        requirements.into_iter().map(|r| Verdict { requirement: r.id.to_owned(), finding: of(r.id).finding() }).collect()
    }
}
