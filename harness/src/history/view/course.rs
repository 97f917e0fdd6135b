//! How the events of a session were sent and answered.

use super::{EventView, Grown};
use crate::history::Micros;

/// What is so of all events of a session, and how many are out of the usual. Kept up while they come, so that nobody has to
/// look for what is not there.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    /// True while they were sent, and acknowledged, one after the other in the order of their places, and none was refused:
    /// then those that are acknowledged come before those that are not, and times ascend with places.
    pub(crate) in_turn: bool,
    /// How many were acknowledged, as long as they were in turn: those come first.
    pub(crate) acked: usize,
    /// True when some are live-only.
    pub(crate) ephemeral: bool,
    /// True when the payload of some is hostile.
    pub(crate) hostile: bool,
    /// True when some hold a secret that must come back masked.
    pub(crate) secret: bool,
    /// True when the type of some is hostile.
    pub(crate) hostile_types: bool,
    /// True when a publish was repeated with the same key and content.
    pub(crate) repeats: bool,
    /// How many durable ones have a cursor.
    pub(crate) named: usize,
    /// Durable ones that were seen with a second cursor, by their places, in the order in which that came out.
    pub(crate) renamed: Vec<usize>,
}

impl Default for Course {
    fn default() -> Self {
        Course {
            in_turn: true,
            acked: 0,
            ephemeral: false,
            hostile: false,
            secret: false,
            hostile_types: false,
            repeats: false,
            named: 0,
            renamed: Vec::new(),
        }
    }
}

impl Course {
    /// An event is sent behind the others.
    pub(super) fn sent(&mut self, others: &Grown<'_, EventView<'_>>, event: &EventView<'_>) {
        self.in_turn &= others.last().is_none_or(|before| before.invoked.at <= event.invoked.at);
        self.ephemeral |= !event.durable;
        self.hostile |= event.hostile;
        self.secret |= event.secret;
        self.hostile_types |= event.hostile_type;
    }

    /// The event at a place is acknowledged for the first time.
    pub(super) fn acknowledged(&mut self, events: &Grown<'_, EventView<'_>>, place: usize, at: Micros) {
        let before = place.checked_sub(1).and_then(|before| events[before].acked_at());
        self.in_turn &= place == self.acked && events[place].invoked.at <= at && before.is_none_or(|before| before <= at);
        self.acked += 1;
    }

    pub(super) fn refused(&mut self) {
        self.in_turn = false;
    }

    /// What is known of some of them was forgotten.
    pub(super) fn forgotten(&mut self, events: &Grown<'_, EventView<'_>>) {
        self.in_turn = false;
        self.named = events.iter().filter(|event| event.durable && event.cursor.is_some()).count();
        self.renamed.retain(|place| events[*place].other_cursor.is_some());
    }
}
