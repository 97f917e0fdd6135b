//! The catalogue of requirements: one table from which ids, levels, sentences, `streamspec list`, `streamspec explain`
//! and the documentation all come.
//!
//! What makes a requirement applicable to a profile stands with its checker (`crate::check`), because that is where the
//! contract is read. The order of the table is the order of every report.

/// How strongly a requirement binds (RFC 2119). Only a violated MUST makes a run fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// A violation fails the run.
    Must,
    /// A violation is reported as a warning.
    Should,
    /// A violation is reported as information.
    May,
}

/// One sentence that a server (or client) is held to.
#[derive(Debug)]
pub struct Requirement {
    /// Stable id, `FAMILY-n`; never given to another sentence.
    pub id: &'static str,
    /// How strongly it binds.
    pub level: Level,
    /// The sentence, as a statement about a correct implementation.
    pub says: &'static str,
    /// Where it comes from: a rule of the SSE dossier, a dossier id of another protocol, or a specification.
    pub source: &'static str,
    /// What the harness looks at in order to judge it.
    pub observed: &'static str,
    /// What usually causes a violation; shown with a failure.
    pub likely: &'static str,
}

impl Requirement {
    /// The part of the id before its number: the family under which reports group it.
    pub fn family(&self) -> &'static str {
        self.id.rsplit_once('-').map_or(self.id, |(family, _)| family)
    }

    /// True when it is violated by being late and by nothing else, so that a machine with too much to do can look like a server
    /// that does not keep it.
    pub fn timed(&self) -> bool {
        matches!(self.id, "WIRE-5" | "LIVE-1" | "LIVE-2" | "LIVE-3" | "LIVE-4" | "FANOUT-3")
    }
}

/// The requirement with this id, if there is one: a server's or a client's.
pub fn requirement(id: &str) -> Option<&'static Requirement> {
    CATALOGUE.iter().chain(CLIENT_CATALOGUE).find(|r| r.id == id)
}

/// The families in the order of the table, each with one line on what it is about.
pub const FAMILIES: &[(&str, &str)] = &[
    ("WIRE", "framing, headers and heartbeats of the stream"),
    ("OPEN", "how a stream is refused or opened"),
    ("ORDER", "one order for every reader, and cursors that name it"),
    ("DELIVER", "nothing lost, repeated, invented or altered while connected"),
    ("RESUME", "what a presented cursor means"),
    ("SEAM", "the passage from replay to live"),
    ("GAP", "what could not be kept is announced, and nothing else is"),
    ("RESTART", "what survives a kill, a graceful restart and a wipe"),
    ("EPHEMERAL", "live-only events stay live-only"),
    ("END", "the terminal event and what follows it"),
    ("FANOUT", "many readers, slow readers, overlapping connections"),
    ("IDEM", "a retried publish is one event"),
    ("ISOLATE", "no session sees another"),
    ("SNAPSHOT", "snapshot and history agree with the stream"),
    ("LIVE", "delivery in time, and life after every fault"),
    ("LEAK", "resources return after connections end"),
    ("START", "a refusal is no stream, and content is no control"),
    ("AUTH", "every surface demands its credentials"),
    ("CAUSE", "start before delta before end, by key"),
    ("FINAL", "what has ended stays ended, and says so everywhere"),
    ("DETACH", "work outlives whoever started or watched it"),
    ("CRASH", "a killed run is visibly interrupted, and nothing shown is lost"),
    ("RETRY", "trying again repeats no output"),
    ("COMPACT", "a replaced history is not misread"),
    ("REDACT", "secrets come back on no surface"),
    ("CONTAIN", "files outside the root never come back"),
    ("MONEY", "accounts that only go forward, and pay for what was delivered"),
];

macro_rules! catalogue {
    ($(#[$about:meta])* $name:ident: $($id:literal $level:ident $says:literal, from $source:literal, by $observed:literal, likely $likely:literal;)+) => {
        $(#[$about])*
        pub static $name: &[Requirement] = &[$(Requirement {
            id: $id, level: Level::$level, says: $says, source: $source, observed: $observed, likely: $likely,
        }),+];
    };
}

mod clients;

pub use clients::{CLIENT_CATALOGUE, CLIENT_FAMILIES};

catalogue! {
    /// Every requirement of servers, in report order.
    CATALOGUE:
    "WIRE-1" Must "a stream is answered with status 200 and the media type of its format",
        from "SSE-1, SSE-4", by "status and Content-Type of every accepted subscription",
        likely "the framework's default media type (text/plain, application/json) was left on the response";
    "WIRE-2" Must "the bytes of a stream are valid UTF-8 and well-formed frames",
        from "SSE-5, SSE-13, SSE-16, SSE-17", by "the lint of the byte-exact decoder on every connection",
        likely "a multi-byte character was cut by a buffer, or a frame was written by string concatenation";
    "WIRE-3" Must "line breaks in a payload never break its frame",
        from "SSE-46", by "fields that no standard knows, and payloads that come back shortened, in scenarios with hostile text",
        likely "CR, LF or CR LF in the payload is written without a `data:` line of its own, or a splitter treats U+2028 or U+0085 as a line end";
    "WIRE-4" Should "a stream asks caches and proxies to leave it alone",
        from "SSE-39, SSE-40", by "Cache-Control (no-cache or no-store) of every accepted subscription",
        likely "no Cache-Control header on the stream response";
    "WIRE-5" Must "an idle stream sends its heartbeat at the promised interval",
        from "SSE-42", by "silence on an idle connection, against twice the contract's heartbeat interval",
        likely "the heartbeat timer is only started with the first event, or not at all";
    "WIRE-6" Should "a mainstream client decodes the stream as the standard does",
        from "design 10; SSE-6, SSE-19", by "the same bytes, fed in small chunks to the eventsource-stream crate",
        likely "a byte-order mark, an id-only block or bytes that are not UTF-8, which common clients mishandle";
    "WIRE-7" Must "a stream that the server ends is ended after a whole frame",
        from "SSE-24", by "bytes behind the last frame at a clean end of the body",
        likely "the last frame lacks its empty line, so every reader discards it together with its id";
    "WIRE-8" Must "an event id or type contains no line break or NUL",
        from "SSE-21, SSE-46, SSE-34", by "ids and types of all frames, when sessions and event types carry hostile text",
        likely "client input is copied into `id:` or `event:` unescaped";

    "OPEN-1" Must "an unknown session is refused before the stream, with a 4xx status",
        from "SSE-11", by "status and body of a subscription to a session that never was",
        likely "the stream is opened first and the look-up fails inside it";
    "OPEN-2" Must "a deleted session is refused like an unknown one",
        from "SSE-11, OC-37", by "subscription, and an already open stream, after the session was deleted",
        likely "deletion removes the row but not the cached log or its subscribers";
    "OPEN-3" Must "a refusal says why in a body that a program can read",
        from "SSE-11", by "Content-Type and body of refused subscriptions",
        likely "an HTML error page or an empty body of the framework";
    "OPEN-4" Should "a method that the stream does not support is refused",
        from "RFC 9110 15.5.6", by "status of a subscription with an unsupported method",
        likely "the route matches every method";
    "OPEN-5" Must "a publish to an unknown session is refused",
        from "design 4", by "status of a publish to a session that never was",
        likely "sessions are created on first use, also by mistake";

    "ORDER-1" Must "a reader sees events in the order in which they were acknowledged",
        from "design 4; OC-1, PAW-1", by "real-time order: an event acknowledged before another was sent never follows it",
        likely "events are published from several tasks, or replay and live are interleaved";
    "ORDER-2" Must "all readers and the history agree on one order",
        from "OC-16, OC-27, DISP-2", by "pairwise order of every two views of the same session",
        likely "each connection sorts or numbers for itself";
    "ORDER-3" Must "cursors ascend (and are dense, where the contract says so)",
        from "OC-1, PAW-1", by "cursors of consecutive durable events on each connection and history page",
        likely "the number is taken before the lock under which the event is appended";
    "ORDER-4" Must "a cursor names one event, for ever",
        from "SSE-32", by "the map from cursor to event, over all connections, sessions and restarts of a run",
        likely "two concurrent publishes read the same counter, or numbering starts anew after a restart";
    "ORDER-5" Must "an event has one cursor, on every connection",
        from "SSE-32, PAW-1", by "the map from event to cursor, over all connections and restarts of a run",
        likely "the cursor is a position in this response, not in the log";
    "ORDER-6" Must "every durable event carries its cursor",
        from "SSE-31, PAW-2", by "durable deliveries without a committed cursor",
        likely "the id is written for live events only, or for replayed events only";

    "DELIVER-1" Must "a connected reader receives every acknowledged event",
        from "design 4; OC-24", by "acknowledged events missing between two deliveries of one connection, away from its seam",
        likely "a bounded channel drops when it is full, or a send error is ignored";
    "DELIVER-2" Must "a connection delivers an event once",
        from "design 4", by "markers repeated on one connection, away from its seam",
        likely "two subscriptions feed one response";
    "DELIVER-3" Must "nothing is delivered that nobody published",
        from "Jepsen kafka checker: phantom", by "markers of deliveries that no operation wrote, and events of refused publishes",
        likely "an event is published before its transaction commits and rolled back later";
    "DELIVER-4" Must "a payload arrives unchanged",
        from "SSE-13, SSE-25, PAW-24", by "digest of each payload, live, in replay, in history and in the snapshot",
        likely "text is re-encoded, trimmed, split at Unicode separators or cut at a buffer's size";

    "RESUME-1" Must "a cursor is exclusive: nothing at or before it is sent again",
        from "SSE-30, OC-2, PAW-5", by "deliveries on a resumed connection at or before the presented cursor",
        likely "`>=` instead of `>`, or the cursor is not read at all";
    "RESUME-2" Must "a resumed connection starts with the successor of its cursor, one without a cursor at the beginning",
        from "SSE-30, OC-10, PAW-4", by "acknowledged events between the presented cursor and the first delivery, and inside the replay",
        likely "the replay starts one too late, or only live events are sent after a reconnect";
    "RESUME-3" Must "every id that the server ever emitted is a resume point",
        from "SSE-31, HERMES-3", by "a resume from each id seen, those of synthetic and terminal frames included",
        likely "a synthetic frame carries an id that was never stored";
    "RESUME-4" Must "a cursor ahead of the head gets the contract's answer and swallows nothing",
        from "SSE-33, OC-38, PAW-9", by "answer to a cursor above the head, and delivery of what is published afterwards",
        likely "`seq > cursor` is applied to live events too";
    "RESUME-5" Must "a cursor of another session gets the contract's answer",
        from "SSE-33, SSE-34", by "answer to a cursor taken from another session",
        likely "only the number is compared";
    "RESUME-6" Must "a cursor of another epoch gets the contract's answer",
        from "SSE-33, PAW-14; design 11", by "answer to a cursor from before the data was wiped or the session was created anew",
        likely "no epoch in the cursor: the same number means another history";
    "RESUME-7" Must "a malformed cursor gets the contract's answer",
        from "SSE-33, SSE-34, PAW-27", by "answer to cursors that are no cursor (junk, signs, other radix, overlong, other scripts)",
        likely "a failed parse counts as no cursor or as zero";
    "RESUME-8" Must "an empty cursor means no cursor",
        from "SSE-21, SSE-26, PAW-3", by "answer to an empty cursor, compared with a connection without one",
        likely "the empty string is parsed as a number";
    "RESUME-9" Must "the same cursor gives the same replay twice",
        from "design 4; OC-10", by "two replays of one stretch, compared event by event",
        likely "reading consumes: a queue where a log was promised";
    "RESUME-10" Must "if cursors arrive by two ways, the documented one wins",
        from "SSE-35", by "header and query cursor sent together",
        likely "the query of the original URL wins over the newer Last-Event-ID";

    "SEAM-1" Must "an event published while a reader goes from replay to live is not lost",
        from "OC-11, PAW-7; design 1", by "acknowledged events whose publication overlaps the seam of a connection",
        likely "the history is read before the live subscription is registered";
    "SEAM-2" Must "an event published in the seam is delivered once",
        from "OC-11, PAW-7", by "markers repeated on one connection whose publication overlaps its seam",
        likely "the live subscription is registered before the history is read and nothing is skipped at the fence";
    "SEAM-3" Must "the boundary marks the seam as often as the contract says",
        from "OC-31, PAW-3", by "boundary frames of each connection that reached live",
        likely "the boundary is tied to a non-empty replay, or is sent by both the replay and the live path";
    "SEAM-4" Must "what was acknowledged before the reader connected comes before the boundary, what was sent after it comes behind",
        from "OC-30, PAW-8", by "position of the boundary among the deliveries of each connection",
        likely "live frames are pushed while the replay is still being read, or the fence is another reader's";

    "GAP-1" Must "a cursor older than what is kept is answered with the gap signal",
        from "PAW-10; SSE-33", by "connections whose presented cursor was evicted",
        likely "the replay silently starts with the oldest event that is left";
    "GAP-2" Must "there is no gap signal where nothing was lost",
        from "PAW-11", by "gap signals of connections whose cursor was within retention",
        likely "`cursor < oldest` instead of `cursor < oldest - 1`";
    "GAP-3" Must "what has expired or was removed is not replayed, however quiet it is",
        from "PAW-12", by "replay and history after a quiet time longer than the age limit",
        likely "expired events are pruned only when the next one is appended";
    "GAP-4" Must "no more is kept than the contract's bound, and no less",
        from "PAW-13", by "number of events replayed after the bound was exceeded",
        likely "the bound is compared with the wrong counter";
    "GAP-5" Must "a retention that makes no sense is refused",
        from "PAW-25", by "answer to a session with a negative or fractional bound, and the server's health afterwards",
        likely "a negative bound makes the prune loop endless";
    "GAP-6" Must "after a gap signal the stream goes on, in order, from where the signal says",
        from "PAW-10", by "first delivery after a gap signal, against its payload and the events kept",
        likely "the resume position is computed from the requested cursor, not from the oldest event kept";

    "RESTART-1" Must "an acknowledged event survives a kill",
        from "design 4; OC-39", by "acknowledged events that no view shows after SIGKILL and restart",
        likely "the answer is sent before the write is durable";
    "RESTART-2" Must "a publish whose answer was lost appears once or never",
        from "design 4", by "events whose operation ended as unknown, in all views after the restart",
        likely "recovery replays the last record on top of itself";
    "RESTART-3" Must "a number is not given out twice, restarts included",
        from "OC-8, SSE-32", by "cursors acknowledged or delivered before a restart, against those after it",
        likely "the counter is kept in memory, or recovered from what is left instead of what was promised";
    "RESTART-4" Must "a graceful restart loses nothing",
        from "design 4", by "acknowledged events that no view shows after SIGTERM and restart",
        likely "shutdown drops a write buffer";
    "RESTART-5" Must "a session is still known after a restart",
        from "design 4; OC-39", by "answer to the first subscription after a restart on the same data",
        likely "the session registry lives in memory";

    "EPHEMERAL-1" Must "an ephemeral event carries no cursor",
        from "OC-14, PAW-2", by "cursors of ephemeral deliveries",
        likely "every frame is written by one function that always adds the id";
    "EPHEMERAL-2" Must "an ephemeral event is never replayed",
        from "OC-13", by "ephemeral markers on connections opened after they were published, in history and in snapshots",
        likely "ephemeral events are stored with the others";
    "EPHEMERAL-3" Must "an ephemeral event keeps its place among durable ones",
        from "OC-17, OC-33", by "each connection's order of a durable event acknowledged before an ephemeral one was sent",
        likely "ephemeral events go straight to the socket, durable ones through the log";
    "EPHEMERAL-4" Must "a heartbeat or other frame without an event moves no cursor",
        from "SSE-31, PAW-18", by "ids on heartbeats, comments, boundaries and gap signals",
        likely "control frames take the next number";
    "EPHEMERAL-5" Must "a reader that keeps up receives ephemeral events",
        from "OC-17", by "ephemeral events published while a reader was live and reading",
        likely "only durable events are put on the live path";

    "END-1" Must "the terminal event is delivered once",
        from "SSE-37", by "terminal frames of each connection, and of each reader's life",
        likely "both the log and the shutdown of the stream write it";
    "END-2" Must "nothing follows the terminal event",
        from "SSE-37", by "events behind the terminal on each connection, and acknowledged events missing before it",
        likely "the terminal overtakes data that is still queued";
    "END-3" Must "the terminal is delivered after a resume, too",
        from "SSE-37; HERMES-9", by "readers that were away when the session ended",
        likely "the terminal goes to live subscribers only";
    "END-4" Must "a reconnect after the end is told to stop",
        from "SSE-2", by "status of a reconnect that presents the terminal's cursor",
        likely "200 with an empty body, so that a conforming client polls for ever";
    "END-5" Must "a closed session takes no more events",
        from "SSE-37", by "status of a publish after the close, and its absence from every view",
        likely "the state is checked by the reader, not by the writer";
    "END-6" Must "the stream is closed after its terminal event",
        from "SSE-37", by "end of the body within the contract's delivery bound after the terminal",
        likely "the response waits for more events that never come";

    "FANOUT-1" Must "every reader of a session receives every event",
        from "OC-27, DISP-2", by "what each of several simultaneous readers received",
        likely "readers compete for one queue, or a fixed number of listeners is served";
    "FANOUT-2" Must "overlapping connections of one reader do not disturb each other",
        from "design 6", by "a second connection with the same cursor while the first is still open",
        likely "subscriptions are keyed by client, and the new one replaces the old one in silence";
    "FANOUT-3" Must "a slow reader harms nobody else",
        from "OC-23, PAW-28", by "deliveries to others, and publishes, while one reader does not read",
        likely "the publisher awaits each subscriber's queue";
    "FANOUT-4" Must "a slow reader loses nothing in silence",
        from "SSE-47, OC-24", by "what a stalled reader receives once it reads again: everything, a gap signal, or the end of its connection",
        likely "its queue drops the oldest entries and stays open";

    "IDEM-1" Must "a publish repeated with the same key is one event",
        from "OC-42", by "events per idempotency key in every view",
        likely "the key is ignored";
    "IDEM-2" Must "an idempotency key outlives a restart",
        from "OC-42; design 4", by "events per key when the retry follows a kill",
        likely "keys are kept in memory only";
    "IDEM-3" Must "a repeated publish is answered with the first one's cursor",
        from "OC-42", by "cursors of the answers to a repeated publish",
        likely "the retry is deduplicated but answered with a new number";
    "IDEM-4" Must "a key used again with other content is refused",
        from "OC-42", by "status of a publish with a known key and another payload",
        likely "only the key is compared";

    "ISOLATE-1" Must "no live event of another session is delivered",
        from "OC-28, DISP-14", by "markers of other sessions among live deliveries",
        likely "deltas are routed to every open connection";
    "ISOLATE-2" Must "no event of another session is replayed",
        from "OC-28; SSE-34", by "markers of other sessions among replayed deliveries, history and snapshots",
        likely "the log is read without the session in the condition";
    "ISOLATE-3" Must "a cursor obtained in one session reveals nothing of another",
        from "SSE-34", by "bodies of answers to foreign cursors",
        likely "the cursor is looked up globally and its stream is replayed";

    "SNAPSHOT-1" Must "the events after a snapshot's cursor, added to the snapshot, are everything",
        from "HERMES-7", by "snapshot plus a stream resumed from its cursor, while a writer is busy",
        likely "the cursor is read after the state and has moved on";
    "SNAPSHOT-2" Must "a snapshot holds nothing behind its cursor",
        from "HERMES-7", by "snapshot items that the stream delivers again after the snapshot's cursor",
        likely "the state is read after the cursor and has moved on";
    "SNAPSHOT-3" Must "history pages, joined by their cursors, are the stream",
        from "OC-3, OC-4", by "finite pages of several sizes against the stream's replay",
        likely "`more` is `length == limit`, or the next cursor is off by one";
    "SNAPSHOT-4" Must "a page holds no more than its limit, and a senseless limit is refused",
        from "OC-6", by "page sizes, and the answer to a limit of zero, a negative and an absurd one",
        likely "the limit is clamped in silence or not applied";

    "LIVE-1" Must "an event reaches a live reader within the delivery bound",
        from "design 4", by "time from acknowledgement to delivery on live connections",
        likely "a lost wake-up, hidden by a poll or by the next event";
    "LIVE-2" Must "response headers do not wait for the first event",
        from "SSE-12, OC-29, PAW-26", by "time to the headers of a subscription on an idle session",
        likely "the response is not flushed until something is written";
    "LIVE-3" Must "the server answers after every fault",
        from "design 6", by "a health check, a publish and a subscription after each fault",
        likely "a lock is held, or a task panicked, when a connection went away";
    "LIVE-4" Should "compression holds no event back",
        from "SSE-41", by "delivery time on a connection that offers gzip",
        likely "the compressor is not flushed after each event";

    "LEAK-1" Must "descriptors return after connections end",
        from "PAW-29, OC-23", by "open descriptors of the server's processes before and after 1,000 dropped connections",
        likely "the response task waits for an event before it notices that its reader is gone";
    "LEAK-2" Must "threads return after connections end",
        from "PAW-29", by "threads of the server's processes before and after 1,000 dropped connections",
        likely "a thread a connection, parked on a queue";
    "LEAK-3" Should "memory returns after connections end",
        from "PAW-29, OC-23", by "resident memory of the server's processes over two rounds of 1,000 dropped connections",
        likely "subscriptions are never removed from the session";

    "START-1" Must "what is no stream is refused with its status and media type, never with an error inside a stream",
        from "MPPX-15, SSE-11", by "status, media type and first bytes of subscriptions that must be refused",
        likely "the stream's headers are sent before the request was checked, or an error handler writes into the stream";
    "START-2" Must "content that looks like a control frame arrives as content",
        from "MPPX-26, SSE-46", by "payloads with line breaks and with the protocol's own control frames in them",
        likely "content is written into the stream without being encoded as data";
    "START-3" Must "a client takes nothing from an answer that is no stream, and says that it failed",
        from "MPPX-15, SSE-1", by "what a program that reads reports of answers with another status or media type",
        likely "the body is parsed as soon as its media type fits, whatever the status";

    "AUTH-1" Must "every surface demands its credentials",
        from "OC-43, hermes b.2", by "each bound operation and stream, sent without the credentials and with wrong ones",
        likely "the check stands in the router of some paths, and streams or files are served by another one";
    "AUTH-2" Must "what is public needs no credentials",
        from "hermes b.2", by "the health check without credentials",
        likely "the check stands before every path";

    "CAUSE-1" Must "a key starts before it goes on, and says nothing after its end",
        from "OC-17, OC-18, OC-33", by "the contract's machines, walked along every connection by key",
        likely "fragments are published directly while starts and ends go through the store";
    "CAUSE-2" Must "the whole at a key's end equals its pieces",
        from "OC-17, DISP-10", by "the text at a key's end against the pieces on a connection that saw all of it",
        likely "a piece is lost between the buffer and live, or merged across a boundary";
    "CAUSE-3" Must "at most one key is open at a time, where the contract says so",
        from "OC-18, DISP-23", by "the contract's machines that are single, walked along every connection",
        likely "a second turn starts while the first one runs";

    "FINAL-1" Must "a key ends once",
        from "DISP-1, HERMES-8, PAW-21", by "ends by key over all connections and the history, repetitions by cursor apart",
        likely "two code paths report the end: the worker and whoever waits for it";
    "FINAL-2" Must "a key that has ended never starts again",
        from "PAW-21, PAW-16", by "starts by key after its end, on every connection, in replay and in live",
        likely "a stale request is replayed after its answer, or a disposed part keeps its records";
    "FINAL-3" Must "what has ended says so in every view",
        from "DISP-20, HERMES-12, OC-19", by "status, lists and snapshots asked after the end",
        likely "the state is broadcast before it is stored, or an error path forgets it";

    "DETACH-1" Must "work outlives the connection that started it",
        from "DISP-5, DISP-16, DISP-26", by "the rest of a turn, at another reader and in the history, after its starter was cut off",
        likely "the work is bound to the request's scope and is cancelled with it";
    "DETACH-2" Must "work that nobody watches completes and is kept",
        from "DISP-6", by "the history after a turn without readers",
        likely "the transport that carries the events is also what stores them";
    "DETACH-3" Must "leaving and joining change nothing for others",
        from "DISP-7, DISP-8, DISP-9, HERMES-15", by "other readers' deliveries, and repeated reads, around a reader that comes and goes",
        likely "subscribers are kept by session and not by connection, or reading has effects";

    "CRASH-1" Must "work that a kill ended is visibly interrupted",
        from "HERMES-12, DISP-27, OC-19", by "the stream and the state of a turn that ran at a kill, after the restart",
        likely "nothing looks for open work at the start";
    "CRASH-2" Must "killed work is never reported complete, nor running for ever",
        from "HERMES-12, DISP-27", by "status, lists and terminals after the restart",
        likely "the state in memory is lost and the stored one still says running, or its absence is read as complete";
    "CRASH-3" Must "what readers saw before the kill comes back, or is declared lost",
        from "HERMES-13", by "replay, snapshot and history after the restart against what was delivered before the kill",
        likely "the journal is not read by the repair, or a second repair clears what the first one needs";
    "CRASH-4" Must "after a kill new work is possible",
        from "DISP-27, OC-39", by "a new turn after the restart",
        likely "the dead turn still holds the session";

    "RETRY-1" Must "trying again repeats no output",
        from "DISP-18", by "words of a turn whose provider failed before, after and amid its first output",
        likely "the step is tried again although a part of it was sent";
    "RETRY-2" Must "a retry is announced before its wait and is not kept",
        from "DISP-19", by "retry events before the second attempt, and their absence from the history",
        likely "all events of a turn go to the history alike";

    "COMPACT-1" Must "a cursor from before a compaction is refused or reset, never misread",
        from "DISP-21", by "the answer to an old cursor after the history was replaced",
        likely "numbering starts again without a sign of it";
    "COMPACT-2" Must "compaction waits for running work",
        from "DISP-21", by "the answer to a compaction during a turn, and the turn's history",
        likely "the history is replaced while the turn still writes";

    "REDACT-1" Must "a planted secret comes back on no surface",
        from "HERMES-18", by "the raw bytes of every stream, page, snapshot and answer",
        likely "the mask is applied to one view, and live frames or tool arguments go around it";

    "CONTAIN-1" Must "a file outside the root never comes back",
        from "HERMES-19, HERMES-20", by "a planted file, asked for by every spelling of its path",
        likely "the path is compared as text, or decoded once more than it is checked";
    "CONTAIN-2" Must "an escape is answered like a missing file",
        from "HERMES-19", by "status and body of every escape against those of a file that is not there",
        likely "the check answers 403 and thereby tells what exists";

    "MONEY-1" Must "accepted, spent and units never go back",
        from "MPPX-2, MPPX-10", by "every receipt and request for payment of an account, over connections and restarts",
        likely "a racing lower voucher overwrites the higher one, or an account begins again when it is opened again";
    "MONEY-2" Must "spent is at most accepted, and accepted at most the deposit",
        from "MPPX-3", by "every receipt and request for payment of an account",
        likely "the charge is committed without looking at what was authorised";
    "MONEY-3" Must "the charge equals the delivery",
        from "MPPX-4, MPPX-6, MPPX-27", by "items delivered times their price against what the last receipt says was spent",
        likely "the opening request is charged as well as the first item, or a charge is committed when it is reserved";
    "MONEY-4" Must "nothing unpaid is delivered",
        from "MPPX-1, MPPX-5", by "the number of items before each voucher against what was authorised by then",
        likely "the item is written before its charge is committed";
    "MONEY-5" Must "a pause for payment is announced once and neither loses nor repeats",
        from "MPPX-7, MPPX-8", by "numbered items around each request for payment",
        likely "the loop that waits for payment announces itself at every look";
    "MONEY-6" Must "a repeated voucher changes nothing; a lower or foreign one is refused",
        from "MPPX-9, MPPX-11", by "the answers to vouchers sent twice, lowered, and crossed between accounts",
        likely "vouchers are compared with < or not at all, or bound to the request and not to the account";
    "MONEY-7" Must "managing an account neither runs content nor costs anything",
        from "MPPX-12", by "bodies of management answers, and what was spent before and after them",
        likely "the payment middleware runs the handler behind it for every request";
    "MONEY-8" Must "a stream ends with one receipt that is true, and no failure has one",
        from "MPPX-13, MPPX-14", by "receipts by place and content on each stream, and on error answers",
        likely "the receipt is sent from a destructor, or before the last item";
    "MONEY-9" Must "accounts survive a restart",
        from "MPPX-17, MPPX-20, MPPX-21", by "the account before a kill and after the restart, and how often it is opened",
        likely "what was accepted or spent is kept in memory";
    "MONEY-10" Must "closing settles what was spent, once",
        from "MPPX-22", by "the settlement, a second close, and vouchers after it",
        likely "the authorised amount is settled, or charges go on while the close is pending";
    "MONEY-11" Must "a stream whose reader has left stops charging",
        from "MPPX-28", by "what is spent when a voucher comes after its reader left",
        likely "the task of an abandoned stream waits for its voucher for ever";
    "MONEY-12" Must "a challenge or proof is good once and for its time",
        from "MPPX-24, MPPX-25", by "challenges after their expiry and proofs sent twice",
        likely "nothing remembers what was used";
    "MONEY-13" Must "a client pays once for what it asks once",
        from "MPPX-4, MPPX-15", by "requests of a program that pay for one stream and are answered, as they pass the proxy",
        likely "a receipt in an answer that cannot be used is taken for a reason to ask again";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_belong_to_a_family() {
        let mut seen = std::collections::BTreeSet::new();
        for r in CATALOGUE.iter().chain(CLIENT_CATALOGUE) {
            assert!(seen.insert(r.id), "{} is given twice", r.id);
            assert!(FAMILIES.iter().chain(CLIENT_FAMILIES).any(|(f, _)| *f == r.family()), "{} has no family", r.id);
        }
    }
}
