//! Collecting what the checkers find.

use std::borrow::Cow;
use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::verdict::{Finding, Verdict, Violation};
use crate::contract::{CATALOGUE, CLIENT_CATALOGUE, Requirement};

/// How many ids are looked up without asking for their place.
const RECENT: usize = 64;

/// What was found so far, by requirement.
#[derive(Debug)]
pub(crate) struct Judge {
    found: Vec<Found>,
    /// For each requirement by its place (see [`place`]) one more than its index in `found`; 0 while nothing was found.
    slots: Vec<u16>,
    /// By the low bits of an id's address: the address and the index in `found` of the one that was asked for last. Ids come
    /// many times, each time the same constants.
    recent: [(usize, u16); RECENT],
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

/// The place of a requirement among those of servers and clients. Checkers say ids millions of times, each time the same
/// constants, so they are remembered by their address.
fn place(id: &'static str) -> usize {
    thread_local! {
        static PLACES: RefCell<FxHashMap<(usize, usize), usize>> = RefCell::default();
    }
    let find = || CATALOGUE.iter().chain(CLIENT_CATALOGUE).position(|r| r.id == id);
    PLACES.with_borrow_mut(|places| {
        let key = (id.as_ptr() as usize, id.len());
        *places.entry(key).or_insert_with(|| find().unwrap_or_else(|| panic!("{id} is not in the catalogue")))
    })
}

impl Default for Judge {
    fn default() -> Judge {
        Judge { found: Vec::new(), slots: Vec::new(), recent: [(0, 0); RECENT] }
    }
}

impl Judge {
    fn of(&mut self, id: &'static str) -> &mut Found {
        let address = id.as_ptr() as usize;
        let recent = address / size_of::<usize>() % RECENT;
        let (known, at) = (self.recent[recent].0, usize::from(self.recent[recent].1));
        if known == address && self.found[at].requirement.len() == id.len() {
            return &mut self.found[at];
        }
        if self.slots.is_empty() {
            self.slots.resize(CATALOGUE.len() + CLIENT_CATALOGUE.len(), 0);
            self.found.reserve(64);
        }
        let slot = &mut self.slots[place(id)];
        if *slot == 0 {
            self.found.push(Found::new(id));
            *slot = u16::try_from(self.found.len()).expect("there are fewer requirements than that");
        }
        self.recent[recent] = (address, *slot - 1);
        &mut self.found[usize::from(*slot) - 1]
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
        let mut found: Vec<Option<Found>> = self.found.drain(..).map(Some).collect();
        let mut of = |id: &'static str| {
            let slot = self.slots.get(place(id)).copied().unwrap_or(0);
            usize::from(slot).checked_sub(1).and_then(|at| found[at].take()).unwrap_or_else(|| Found::new(id))
        };
        requirements.into_iter().map(|r| Verdict { requirement: r.id.to_owned(), finding: of(r.id).finding() }).collect()
    }
}
