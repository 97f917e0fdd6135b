//! The authoritative order of a session: the one that the strongest view shows.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::history::{ConnView, CursorClass, EventView, From, Kind, Role, SessionView, Surface, View};

/// True when `a` was acknowledged before `b` was sent.
pub(crate) fn real_time(a: &EventView<'_>, b: &EventView<'_>) -> bool {
    a.acked_at().is_some_and(|acked| acked < b.invoked.at)
}

/// A view of the whole session: finite pages that follow each other, or the connections of a reader's life.
#[derive(Default)]
struct Candidate {
    events: Vec<u32>,
    strength: u8,
}

/// The events in the order that the strongest view shows: of all views from the beginning the one with the most events;
/// history before streams, the undisturbed before others.
pub(super) fn ranked(view: &View<'_>, session: &SessionView<'_>) -> Vec<u32> {
    let mut candidates: FxHashMap<(&str, bool), Candidate> = FxHashMap::default();
    let mut ended: FxHashMap<(&str, bool), crate::history::Micros> = FxHashMap::default();
    for conn in session.conns.iter().map(|id| view.conn(*id)).filter(|c| c.accepted() && !c.astray) {
        let connect = conn.connect.what;
        let finite = match connect.surface {
            Surface::History => true,
            Surface::Stream => false,
            Surface::Snapshot => continue,
        };
        let life = (connect.reader.as_str(), finite);
        let begins = conn.from_the_beginning(session);
        let goes_on = match &connect.from {
            _ if begins => false,
            From::Start => false,
            From::Cursor { class: CursorClass::Own, .. } => ended.get(&life).is_some_and(|end| *end <= conn.connect.at),
            From::Cursor { .. } | From::Live => {
                ended.remove(&life);
                continue;
            }
        };
        if begins || goes_on {
            let candidate = candidates.entry(life).or_default();
            // A reader that begins anew shows the beginning again: the longest of its lives counts.
            if !goes_on {
                if candidate.events.len() > conn.events.len() {
                    ended.remove(&life);
                    continue;
                }
                candidate.events.clear();
            }
            candidate.strength = if finite { 2 } else { u8::from(connect.role == Role::Witness) };
            candidate.events.extend(durable(conn));
            ended.insert(life, conn.ended_at());
        }
    }
    let mut seen = FxHashSet::default();
    let mut strongest: Option<(usize, u8, &str, &[u32])> = None;
    for ((reader, _), candidate) in &mut candidates {
        // Strictly ascending, as nearly all views are, they hold nothing twice.
        if !candidate.events.is_sorted_by(|event, next| event < next) {
            seen.clear();
            candidate.events.retain(|event| seen.insert(*event));
        }
        let this = (candidate.events.len(), candidate.strength, *reader, candidate.events.as_slice());
        // The reader's name only makes the choice the same each time.
        if strongest.is_none_or(|best| (this.0, this.1, this.2) > (best.0, best.1, best.2)) {
            strongest = Some(this);
        }
    }
    strongest.map_or_else(Vec::new, |(_, _, _, events)| events.to_vec())
}

fn durable(conn: &ConnView<'_>) -> impl Iterator<Item = u32> {
    conn.arrivals().filter(|(got, _)| got.what.kind == Kind::Event && got.what.durable).map(|(_, event)| event as u32)
}
