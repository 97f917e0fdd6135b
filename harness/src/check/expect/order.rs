//! The authoritative order of a session: the one that the strongest view shows.

use rustc_hash::{FxHashMap, FxHashSet};

use super::ranks::{Ranks, Sequence};
use crate::history::{ConnView, CursorClass, EventView, From, Kind, Piece, Role, SessionView, Surface, View};

/// True when `a` was acknowledged before `b` was sent.
pub(crate) fn real_time(a: &EventView<'_>, b: &EventView<'_>) -> bool {
    a.acked_at().is_some_and(|acked| acked < b.invoked.at)
}

/// A view of the whole session: finite pages that follow each other, or the connections of a reader's life.
#[derive(Default)]
struct Candidate {
    events: Sequence,
    strength: u8,
}

/// The events in the order that the strongest view shows: of all views from the beginning the one with the most events;
/// history before streams, the undisturbed before others.
pub(super) fn ranked(view: &View<'_>, session: &SessionView<'_>) -> Ranks {
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
            shown(conn, &mut candidate.events);
            ended.insert(life, conn.ended_at());
        }
    }
    let mut seen = FxHashSet::default();
    let mut strongest: Option<(usize, u8, &str)> = None;
    let mut order = Sequence::default();
    for ((reader, _), mut candidate) in candidates {
        // Ascending, as nearly all views are, they hold nothing twice.
        if !candidate.events.ascends() {
            seen.clear();
            let mut once = Sequence::default();
            candidate.events.events().filter(|event| seen.insert(*event)).for_each(|event| once.extend(event as usize..event as usize + 1));
            candidate.events = once;
        }
        let this = (candidate.events.len(), candidate.strength, reader);
        // The reader's name only makes the choice the same each time.
        if strongest.is_none_or(|best| this > best) {
            (strongest, order) = (Some(this), candidate.events);
        }
    }
    Ranks::new(order, session.events.len())
}

/// Adds the durable events that a connection shows.
fn shown(conn: &ConnView<'_>, events: &mut Sequence) {
    for piece in conn.pieces(usize::MAX) {
        match piece {
            Piece::Stretch(stretch) => events.extend(stretch.events()),
            Piece::Loose(got) => {
                let durable = conn.frames_at(got).filter(|(got, _)| got.what.kind == Kind::Event && got.what.durable);
                durable.filter_map(|(_, event)| event).for_each(|event| events.extend(event..event + 1));
            }
        }
    }
}
