//! What the profile's contract makes of the reference core: cursors as text, the answers to cursors that are none, the
//! gap and boundary signals, what is durable.
//!
//! The core follows the contract of the profile `sse`. Where another contract says otherwise, the simulated server follows
//! that one, so that whoever edits a profile sees which of its promises the others need: without `cursor.epoch`, say, a
//! cursor of a wiped history is a number like any other.

use std::borrow::Cow;
use std::sync::Arc;

use smol_str::SmolStr;
use streamspec_reference_server::session::{Cursor, Epoch, Event, Frame, Refused, Retention};

use super::shown::Row;
use super::{letters, shown};
use crate::contract::{AfterGap, BoundarySent, CursorAnswer, GapSignal, Profile, StatusSet, StreamAnswer};
use crate::history::{CursorClass, Item, Kind, Retain, SharedItem};

/// The type of live-only events.
pub(super) const NOTE: &str = "note";
/// About how many bytes a frame has beside its payload.
const FRAME_BYTES: usize = 60;

/// A profile's contract, as the simulated server keeps it.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    profile: Arc<Profile>,
    pub(super) heartbeat_ms: Option<u64>,
    pub(super) most_limit: i64,
    epochs: bool,
    cursors: bool,
}

/// How a subscription is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Before the stream, with a status and why.
    Refused(u16, String),
    /// By a stream that begins at the oldest event.
    Oldest,
    /// By one that begins with what is new, after a gap signal or a boundary of its own where one is due.
    Live,
    /// By one that goes on behind this number, which is not above the head.
    After(u64),
    /// By a gap signal and what the contract says follows it.
    Gap,
}

impl Rules {
    pub(super) fn new(profile: &Arc<Profile>) -> Rules {
        let contract = &profile.contract;
        Rules {
            heartbeat_ms: contract.liveness.heartbeat_ms,
            most_limit: profile.binding.history.as_ref().and_then(|h| h.max_limit).map_or(1000, i64::from),
            epochs: contract.cursor.as_ref().is_some_and(|c| c.epoch),
            cursors: contract.cursor.is_some(),
            profile: Arc::clone(profile),
        }
    }

    /// The epoch of a new session: its own, or the same for all where cursors name none.
    pub(super) fn epoch(&self, fresh: u32) -> Epoch {
        Epoch(if self.epochs { fresh } else { 0 })
    }

    /// A cursor as its readers see it.
    pub(super) fn show(&self, cursor: Cursor) -> SmolStr {
        if self.epochs { shown::text(cursor) } else { SmolStr::from(cursor.seq.to_string()) }
    }

    /// A presented cursor as the core reads it.
    pub(super) fn read<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let number = || !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !self.epochs && number() { format!("{}:{text}", Epoch(0)).into() } else { text.into() }
    }

    pub(super) fn durable_at_kill(&self) -> bool {
        self.profile.contract.durability.kill
    }

    pub(super) fn durable_at_stop(&self) -> bool {
        self.profile.contract.durability.restart || self.profile.contract.durability.kill
    }

    pub(super) fn keys_survive(&self) -> bool {
        self.profile.contract.idempotency.as_ref().is_some_and(|i| i.survives_restart)
    }

    /// True when idempotency keys are read at all.
    pub(super) fn keys(&self) -> bool {
        self.profile.contract.idempotency.is_some()
    }

    pub(super) fn creates_on_use(&self) -> bool {
        self.profile.contract.creates_on_use
    }

    pub(super) fn unknown(&self) -> u16 {
        self.profile.contract.unknown_session.as_ref().map_or(404, first)
    }

    pub(super) fn closes(&self) -> bool {
        self.profile.contract.terminal.as_ref().is_none_or(|t| t.closes)
    }

    pub(super) fn replays_terminal(&self) -> bool {
        self.profile.contract.terminal.as_ref().is_none_or(|t| t.replayed)
    }

    /// The retention of a session that asks for `asked`.
    pub(super) fn retention(&self, asked: Option<Retain>) -> Result<Retention, String> {
        let bound = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        let default = self.profile.contract.retention.as_ref().map(|r| r.default).unwrap_or_default();
        let default = Retention { records: bound(default.records), bytes: bound(default.bytes), age_ms: bound(default.age_ms) };
        let asked = asked.unwrap_or_default();
        let number = |n: Option<i64>| n.map(|n| n as f64);
        let kept = Retention::asked(number(asked.records), number(asked.bytes), number(asked.age_ms), default);
        match kept {
            Err(_) if self.profile.contract.retention.as_ref().is_some_and(|r| !r.validated) => Ok(default),
            kept => kept,
        }
    }

    /// How a cursor that the core refuses is answered; `foreign` says that it is of another session that is there.
    pub(super) fn refused(&self, refused: Refused, foreign: bool, head: u64, presented: u64) -> Opened {
        let class = match refused {
            Refused::Deleted => return Opened::Refused(self.unknown(), "there is no session of this name".to_owned()),
            Refused::Ended => {
                let stops = self.profile.contract.terminal.as_ref().is_none_or(|t| t.stops_reconnect);
                return if stops { Opened::Refused(204, String::new()) } else { Opened::After(head) };
            }
            Refused::Malformed => CursorClass::Malformed,
            Refused::Ahead => CursorClass::Ahead,
            Refused::Epoch if foreign => CursorClass::OtherSession,
            Refused::Epoch => CursorClass::OtherEpoch,
        };
        self.answered(class, head, presented)
    }

    /// How a cursor of this class is answered.
    pub(super) fn answered(&self, class: CursorClass, head: u64, presented: u64) -> Opened {
        let refusal = |status: u16| Opened::Refused(status, format!("{{\"error\":\"the cursor is {}\"}}", class_says(class)));
        match self.profile.contract.answers.get(&class) {
            Some(CursorAnswer::Refused { status }) => refusal(first(status)),
            Some(CursorAnswer::Stream(StreamAnswer::Refuse)) | None => refusal(400),
            Some(CursorAnswer::Stream(StreamAnswer::Start)) => Opened::Oldest,
            Some(CursorAnswer::Stream(StreamAnswer::Live | StreamAnswer::Boundary)) => Opened::Live,
            Some(CursorAnswer::Stream(StreamAnswer::Resume)) => Opened::After(presented.min(head)),
            Some(CursorAnswer::Stream(StreamAnswer::Gap)) => Opened::Gap,
        }
    }

    /// How the empty cursor is answered; `None` as no cursor at all.
    pub(super) fn empty(&self) -> Option<Opened> {
        self.profile.contract.answers.get(&CursorClass::Empty).map(|_| self.answered(CursorClass::Empty, 0, 0))
    }

    /// How a cursor is answered whose next event is no longer kept; `None` when the stream says so itself, or nobody does.
    pub(super) fn evicted(&self) -> Option<Opened> {
        let gap = self.profile.contract.gap.as_ref()?;
        match (gap.signal, gap.then) {
            (GapSignal::Refusal, _) => Some(Opened::Refused(410, "{\"error\":\"the cursor was evicted\"}".to_owned())),
            (GapSignal::Boundary, _) => Some(Opened::Live),
            (GapSignal::Frame, AfterGap::Kept) => None,
            (GapSignal::Frame, AfterGap::Live | AfterGap::End) => Some(Opened::Gap),
        }
    }

    /// True when a stream can say in its middle that retention has overtaken its reader.
    pub(super) fn tells_in_mid_stream(&self) -> bool {
        self.profile.contract.gap.as_ref().is_none_or(|gap| gap.signal == GapSignal::Frame)
    }

    /// True when every stream that replays nothing has a boundary, and no other.
    pub(super) fn marks_what_replays_nothing(&self) -> bool {
        self.profile.contract.boundary.as_ref().is_some_and(|b| b.sent == BoundarySent::WithoutReplay)
    }

    /// What follows a gap signal that stands at the beginning of a stream.
    pub(super) fn after_gap(&self) -> AfterGap {
        self.profile.contract.gap.as_ref().map_or(AfterGap::Kept, |gap| gap.then)
    }

    /// The bytes of a frame of the core; `None` when the contract has no such frame. `resumed` is true on a stream that
    /// goes on behind its cursor without a gap.
    pub(super) fn size(&self, frame: &Frame, resumed: bool) -> Option<usize> {
        match frame {
            Frame::Event { event, .. } if event.terminal => Some(FRAME_BYTES),
            Frame::Event { event, .. } => Some(size_of(event)),
            Frame::Ephemeral { note, .. } => Some(note.data.len() + FRAME_BYTES),
            Frame::Boundary { .. } => match self.profile.contract.boundary.as_ref()?.sent {
                BoundarySent::WithoutReplay if resumed => None,
                BoundarySent::WithoutReplay | BoundarySent::Always | BoundarySent::AtLeastOnce => Some(FRAME_BYTES),
            },
            Frame::Gap { requested, .. } => {
                let gap = self.profile.contract.gap.as_ref()?;
                (gap.signal == GapSignal::Frame && (requested.is_some() || gap.on_start)).then_some(FRAME_BYTES)
            }
            Frame::Synthetic { .. } => Some(FRAME_BYTES),
            Frame::End => None,
        }
    }

    /// What a reader sees of a frame of the core that has a [size](Rules::size).
    pub(super) fn see(&self, frame: &Frame) -> Arc<SharedItem> {
        let item = match frame {
            Frame::Event { event, cursor, .. } if event.terminal => {
                let cursor = cursor.filter(|_| self.cursors).map(|cursor| self.show(cursor));
                Item { kind: Kind::Terminal, event_type: type_of(&event.event_type), cursor, ..Item::default() }
            }
            Frame::Event { event, cursor, .. } => {
                let epoch = cursor.and_then(|cursor| self.shows(cursor.epoch));
                return shown::with(|shown| self.see_event(event, *cursor, &mut shown.row(epoch)));
            }
            Frame::Ephemeral { note, cursor } => Item {
                event_type: type_of(&note.event_type),
                cursor: cursor.map(|cursor| self.show(cursor)),
                durable: note.event_type != NOTE,
                ..letters::item(&note.data)
            },
            Frame::Boundary { fence } => Item {
                kind: Kind::Boundary,
                event_type: SmolStr::new_static("ready"),
                points_to: Some(self.show(*fence)),
                ..Item::default()
            },
            Frame::Gap { oldest, .. } => {
                Item { kind: Kind::Gap, event_type: SmolStr::new_static("gap"), points_to: Some(self.show(*oldest)), ..Item::default() }
            }
            Frame::Synthetic { near } => {
                let cursor = Some(smol_str::format_smolstr!("{}.s", self.show(*near)));
                Item { kind: Kind::Other, event_type: SmolStr::new_static("notice"), cursor, ..Item::default() }
            }
            Frame::End => unreachable!("the end has no size"),
        };
        item.into()
    }

    /// An epoch, where there are cursors.
    pub(super) fn shows(&self, epoch: Epoch) -> Option<Epoch> {
        self.cursors.then_some(epoch)
    }

    /// What a reader sees of an event that is not the terminal; `shown` are those of its cursor's epoch, if it [has one](Rules::shows).
    #[inline]
    pub(super) fn see_event(&self, event: &Arc<Event>, cursor: Option<Cursor>, shown: &mut Row<'_>) -> Arc<SharedItem> {
        let cursor = cursor.filter(|_| self.cursors);
        shown.event(event, cursor.map_or(event.seq, |cursor| cursor.seq), || Item {
            event_type: type_of(&event.event_type),
            cursor: cursor.map(|cursor| self.show(cursor)),
            durable: *event.event_type != *NOTE,
            ..letters::read(&event.data)
        })
    }
}

/// The bytes of an event that is not the terminal.
pub(super) fn size_of(event: &Event) -> usize {
    event.data.len() + FRAME_BYTES
}

/// A type as a reader sees it. Nearly all events are of two types.
fn type_of(event_type: &str) -> SmolStr {
    match event_type {
        "message" => SmolStr::new_static("message"),
        NOTE => SmolStr::new_static(NOTE),
        other => other.into(),
    }
}

fn first(set: &StatusSet) -> u16 {
    match set {
        StatusSet::One(status) => *status,
        StatusSet::Any(all) => all.first().copied().unwrap_or(400),
    }
}

fn class_says(class: CursorClass) -> &'static str {
    match class {
        CursorClass::Own => "this session's own",
        CursorClass::Snapshot => "a snapshot's",
        CursorClass::Synthetic => "no event's",
        CursorClass::Ahead => "above the newest event",
        CursorClass::OtherSession => "another session's",
        CursorClass::OtherEpoch => "of another history",
        CursorClass::Malformed => "malformed",
        CursorClass::Empty => "empty",
    }
}
