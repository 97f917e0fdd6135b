//! The catalogue of switchable defects.
//!
//! Each bug is one that real servers have shipped, sits where it would sit in real code, and names the requirement of the
//! harness's catalogue that must catch it. Bugs are values: the set that is switched on is handed to whoever asks.

/// A defect that can be switched on.
#[derive(Debug)]
pub struct BugEntry {
    /// The switch.
    pub bug: Bug,
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub says: &'static str,
    /// Where it was seen: a rule or evidence of a dossier, or the list of the issue.
    pub source: &'static str,
    /// The requirement that must catch it.
    pub killed_by: &'static str,
    /// The dialects that show it; each is a profile of the harness.
    pub dialects: &'static [&'static str],
}

// A bug without an `in` shows in the dialect `sse`; one that sits in the core and shows elsewhere too names them all.
macro_rules! bugs {
    (@ $name:ident) => { &["sse"] };
    (@ $name:ident $($dialect:ident)+) => { &[$(stringify!($dialect)),+] };
    ($($bug:ident $name:literal $killed:literal $source:literal $says:literal $(in $($dialect:ident),+)?;)+) => {
        /// Every defect, in the order of the requirements that catch them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug { $(#[doc = $says] $bug),+ }

        /// The table.
        pub static BUGS: &[BugEntry] = &[$(BugEntry {
            bug: Bug::$bug,
            name: $name,
            says: $says,
            source: $source,
            killed_by: $killed,
            dialects: bugs!(@ $bug $($($dialect)+)?),
        }),+];
    };
}

bugs! {
    PlainContentType "plain-content-type" "WIRE-1" "SSE-4" "streams are answered as text/plain";
    TornCharacter "torn-character" "WIRE-2" "SSE-5" "the last byte of a four-byte character is lost at a buffer's edge";
    CrUnescaped "cr-unescaped" "WIRE-3" "SSE-46" "a carriage return in a payload is written as it is";
    SplitsOnUnicodeLines "splits-on-unicode-lines" "WIRE-3" "SSE-13; httpx-sse #34" "U+0085, U+2028 and U+2029 are taken for line ends and break the data line";
    CacheableStream "cacheable-stream" "WIRE-4" "SSE-39" "streams carry no Cache-Control";
    NoHeartbeat "no-heartbeat" "WIRE-5" "SSE-42, HERMES B31" "idle streams are silent" in sse, hermes, pawwork;
    LeadingMark "leading-mark" "WIRE-6" "SSE-6" "the stream begins with a byte-order mark";
    UnfinishedLastFrame "unfinished-last-frame" "WIRE-7" "SSE-24" "the terminal frame lacks its empty line";
    TypeUnescaped "type-unescaped" "WIRE-8" "SSE-46, SSE-34" "event types with line breaks are accepted and written as they are";
    ErrorInsideStream "error-inside-stream" "OPEN-1" "SSE-11" "an unknown session is answered with 200 and an error event";
    DeletedStillStreams "deleted-still-streams" "OPEN-2" "OC-37, HERMES B24" "a deleted session keeps its streams and can be subscribed to" in sse, hermes, opencode;
    EmptyRefusals "empty-refusals" "OPEN-3" "SSE-11" "refusals have no body";
    AnyMethod "any-method" "OPEN-4" "RFC 9110" "every method opens the stream";
    CreatesOnPublish "creates-on-publish" "OPEN-5" "design 4" "a publish to an unknown session creates it";
    SwappedNeighbours "swapped-neighbours" "ORDER-1" "issue 2" "replay swaps every fifth event with its successor" in sse, pawwork;
    OrderPerReader "order-per-reader" "ORDER-2" "OC-27" "every second reader sees concurrent events the other way round";
    NumberBeforeLock "number-before-lock" "ORDER-3" "issue 2" "concurrent events are appended in another order than their numbers";
    CounterRace "counter-race" "ORDER-4" "issue 2" "two concurrent events get the same number";
    PositionalCursor "positional-cursor" "ORDER-5" "issue 2" "ids count the events of this response" in sse, hermes, pawwork;
    NoIdInReplay "no-id-in-replay" "ORDER-6" "SSE-31" "replayed events carry no id" in sse, hermes, pawwork;
    LossyLive "lossy-live" "DELIVER-1" "hermes-webui #6137" "every tenth live event is dropped and nobody is told" in sse, hermes, opencode, pawwork, dispatch;
    LiveTwice "live-twice" "DELIVER-2" "issue 2" "every tenth live event is written twice" in sse, hermes, pawwork, dispatch;
    RefusedStillBroadcast "refused-still-broadcast" "DELIVER-3" "OM-15" "an event whose publish is refused reaches live readers all the same" in sse, opencode_unified;
    ReplayDropsControls "replay-drops-controls" "DELIVER-4" "HERMES V-1" "control characters are missing in replay" in sse, hermes, pawwork;
    PayloadCut "payload-cut" "DELIVER-4" "SSE-25" "payloads are cut after 64 KiB when stored";
    ReplayInclusive "replay-inclusive" "RESUME-1" "OM-2, SSE-30" "replay begins with the cursor's own event" in sse, hermes, opencode, opencode_unified, pawwork;
    CursorIgnored "cursor-ignored" "RESUME-1" "hermes-webui #6886" "the cursor is not read; every connection begins at the oldest event" in sse, hermes;
    OffByOne "off-by-one" "RESUME-2" "issue 2" "replay begins one event too late" in sse, hermes, pawwork;
    ResumeLiveOnly "resume-live-only" "RESUME-2" "DM-3" "a valid cursor gets live events only" in sse, pawwork;
    UnstoredId "unstored-id" "RESUME-3" "HERMES V-4, HERMES B16, SSE-31" "a synthetic frame carries an id that no resume knows" in sse, hermes;
    AheadSwallows "ahead-swallows" "RESUME-4" "OM-19, PM-8, HERMES B5" "a cursor above the head is accepted and hides what comes below it" in sse, hermes, opencode, pawwork;
    ForeignCursor "foreign-cursor" "RESUME-5" "issue 2" "a cursor of another session is taken for one's own";
    NoEpoch "no-epoch" "RESUME-6" "PM-7, OM-18" "only the number of a cursor is compared" in sse, opencode, pawwork;
    MalformedIsZero "malformed-is-zero" "RESUME-7" "issue 2" "a cursor that cannot be parsed counts as none";
    LenientCursor "lenient-cursor" "RESUME-7" "PAW-27" "signs, other radixes and fractions are accepted in cursors" in sse, pawwork;
    EmptyIsRefused "empty-is-refused" "RESUME-8" "SSE-21" "an empty cursor is refused as malformed";
    ReplayOnce "replay-once" "RESUME-9" "issue 2" "the second replay from the same cursor lacks an event" in sse, pawwork;
    QueryBeatsHeader "query-beats-header" "RESUME-10" "SSE-35" "the query's cursor wins over Last-Event-ID";
    ReadBeforeRegister "read-before-register" "SEAM-1" "OM-1, PM-9, HERMES B10, DM-4" "the log is read before the reader is registered" in sse, hermes, opencode, opencode_unified, pawwork, dispatch;
    NoSkipAtFence "no-skip-at-fence" "SEAM-2" "PM-10, DM-5" "what was appended during the replay is replayed and then sent live" in sse, hermes, opencode_unified, pawwork, dispatch;
    BoundaryTwice "boundary-twice" "SEAM-3" "OM-7" "the boundary is sent by the replay and by the live path" in sse, opencode_unified, pawwork;
    BoundaryNever "boundary-never" "SEAM-3" "OM-7" "the boundary is missing when nothing is replayed" in sse, opencode_unified;
    BoundaryAlways "boundary-always" "SEAM-3" "issue 2" "the boundary is sent each time the reader has caught up";
    BoundaryEarly "boundary-early" "SEAM-4" "OM-9, PM-12" "the boundary is sent before the replay";
    SharedBaseline "shared-baseline" "SEAM-4" "issue 2" "a second reader gets the fence of the first";
    SilentEviction "silent-eviction" "GAP-1" "PM-4" "an evicted cursor is replayed from the oldest event without a word" in sse, pawwork;
    FalseGap "false-gap" "GAP-2" "PM-5" "the cursor just before the oldest event counts as a gap" in sse, pawwork;
    AgeOnAppendOnly "age-on-append-only" "GAP-3" "PM-2" "expired events are removed only when the next one comes";
    KeepsDouble "keeps-double" "GAP-4" "PAW-13" "twice as many events are kept as asked for" in sse, pawwork;
    KeepsFewer "keeps-fewer" "GAP-4" "PAW-13" "fewer events are kept than asked for" in sse, pawwork;
    NegativeRetention "negative-retention" "GAP-5" "PM-3" "a negative bound is accepted and the server never answers";
    GapMisplaced "gap-misplaced" "GAP-6" "issue 2" "the gap signal names the event after the requested cursor as the oldest";
    AckBeforeDurable "ack-before-durable" "RESTART-1" "issue 2" "events are acknowledged before they are on disk";
    RecoveryDoublesLast "recovery-doubles-last" "RESTART-2" "issue 2" "recovery after a crash appends the last record again";
    IdsRestart "ids-restart" "RESTART-3" "OM-16" "numbering starts at 1 after a restart" in sse, opencode;
    MintedTwice "minted-twice" "RESTART-3" "issue 2" "after a restart the next number follows the newest event that is left";
    ShutdownTruncates "shutdown-truncates" "RESTART-4" "issue 2" "a graceful stop drops the newest record of each session";
    SessionsForgotten "sessions-forgotten" "RESTART-5" "issue 2" "sessions are unknown after a restart";
    EphemeralWithId "ephemeral-with-id" "EPHEMERAL-1" "OM-17, PM-13" "live-only events carry an id" in sse, opencode_unified, pawwork;
    EphemeralReplayed "ephemeral-replayed" "EPHEMERAL-2" "OM-28" "live-only events are stored and replayed" in sse, opencode_unified;
    EphemeralOvertakes "ephemeral-overtakes" "EPHEMERAL-3" "OM-6" "live-only events overtake the stored ones before them" in sse, pawwork;
    HeartbeatWithId "heartbeat-with-id" "EPHEMERAL-4" "PM-13" "heartbeats carry the next id" in sse, pawwork;
    EphemeralDropped "ephemeral-dropped" "EPHEMERAL-5" "issue 2" "live-only events reach nobody" in sse, pawwork;
    TerminalTwice "terminal-twice" "END-1" "HERMES V-6" "the terminal is written twice" in sse, hermes;
    TerminalEarly "terminal-early" "END-2" "issue 2" "the terminal overtakes the last event";
    TerminalLiveOnly "terminal-live-only" "END-3" "HERMES B11" "the terminal is not replayed" in sse, hermes;
    EmptyAfterEnd "empty-after-end" "END-4" "SSE-2, HERMES V-11" "a reconnect after the end gets 200 and nothing" in sse, hermes;
    PublishAfterClose "publish-after-close" "END-5" "issue 2" "a closed session takes events";
    OpenAfterTerminal "open-after-terminal" "END-6" "HERMES B7" "the stream stays open after its terminal" in sse, hermes;
    DestructiveQueue "destructive-queue" "FANOUT-1" "issue 2" "live readers of a session share one queue";
    TenListeners "ten-listeners" "FANOUT-1" "OM-23" "readers after the tenth stay silent" in sse, opencode, pawwork;
    ReplacedReader "replaced-reader" "FANOUT-2" "issue 2" "a second connection with the same cursor silences the first" in sse, pawwork;
    SlowStallsAll "slow-stalls-all" "FANOUT-3" "OM-11, DM-28" "publishing waits for the slowest reader" in sse, opencode, dispatch;
    SilentSkip "silent-skip" "FANOUT-4" "OM-10, HERMES V-7, HERMES B9" "a reader that falls behind skips to the newest events" in sse, hermes, opencode, pawwork;
    KeyIgnored "key-ignored" "IDEM-1" "OC-42" "idempotency keys are not read" in sse, opencode;
    KeysInMemory "keys-in-memory" "IDEM-2" "issue 2" "idempotency keys are forgotten at a restart" in sse, opencode;
    RetryNewNumber "retry-new-number" "IDEM-3" "OC-42" "a repeated publish is answered with the head's cursor" in sse, opencode;
    ConflictAccepted "conflict-accepted" "IDEM-4" "OC-42" "a key used again with other content is answered as done" in sse, opencode;
    LiveToEveryone "live-to-everyone" "ISOLATE-1" "DM-25" "every fifth live event goes to the readers of all sessions" in sse, opencode_unified, dispatch;
    ReplayLeaks "replay-leaks" "ISOLATE-2" "issue 2" "replay holds an event of another session";
    ForeignCursorTells "foreign-cursor-tells" "ISOLATE-3" "SSE-34" "the refusal of a foreign cursor quotes the event that it names";
    SnapshotAhead "snapshot-ahead" "SNAPSHOT-1" "HERMES V-1" "a snapshot's cursor is read after its state" in sse, hermes;
    SnapshotBehind "snapshot-behind" "SNAPSHOT-2" "issue 2" "a snapshot's state is read after its cursor" in sse, hermes;
    PageSkipsOne "page-skips-one" "SNAPSHOT-3" "OM-13, OM-14" "the next page begins one event too late";
    LimitClamped "limit-clamped" "SNAPSHOT-4" "OC-6" "senseless limits are clamped in silence";
    LimitIgnored "limit-ignored" "SNAPSHOT-4" "OC-6" "pages are as long as the server likes";
    LostWakeup "lost-wakeup" "LIVE-1" "OM-12" "every third event wakes nobody and waits for the next one" in sse, opencode, opencode_unified, pawwork;
    HeadersWait "headers-wait" "LIVE-2" "OC-29, PAW-26" "response headers wait for the first event" in sse, hermes, opencode, pawwork;
    PoisonedByReset "poisoned-by-reset" "LIVE-3" "issue 2" "a stream that its reader breaks off leaves a lock behind";
    GzipUnflushed "gzip-unflushed" "LIVE-4" "SSE-41" "compressed streams are flushed only when a buffer is full";
    DescriptorLeak "descriptor-leak" "LEAK-1" "OM-22" "each connection leaves a descriptor behind" in sse, opencode, pawwork;
    ThreadLeak "thread-leak" "LEAK-2" "PAW-29" "each connection leaves a thread behind" in sse, pawwork;
    MemoryLeak "memory-leak" "LEAK-3" "OM-22" "each connection leaves its buffer behind" in sse, opencode, pawwork;
    HealthNeedsLogin "health-needs-login" "AUTH-2" "hermes b.2" "the health check demands a login" in hermes;
    EscapeForbidden "escape-forbidden" "CONTAIN-2" "hermes b.11" "a path out of the folder is answered as forbidden, not as missing" in hermes;
    DeadRunHolds "dead-run-holds" "CRASH-4" "hermes b.9" "a run that a kill ended keeps its session busy" in hermes;
    VoucherBeyondDeposit "voucher-beyond-deposit" "MONEY-2" "mppx b.8" "a voucher above the deposit is accepted" in mppx;
    VoucherCharges "voucher-charges" "MONEY-7" "MM-1" "posting a voucher consumes a charge" in mppx;
    VoucherRunsContent "voucher-runs-content" "MONEY-7" "MM-2" "a posted voucher is treated as a request for content" in mppx;
    RepeatedVoucherRefused "repeated-voucher-refused" "MONEY-6" "MM-3" "a repeated voucher is refused" in mppx;
    LowerVoucherWins "lower-voucher-wins" "MONEY-1" "MM-4" "a racing lower voucher overwrites the higher one" in mppx;
    OpeningCharged "opening-charged" "MONEY-3" "MM-5" "the request that opens a stream is charged, and its first item again" in mppx;
    ChargedWhenReserved "charged-when-reserved" "MONEY-3" "MM-6" "the charge is committed before there is an item" in mppx;
    EmittedBeforeCharge "emitted-before-charge" "MONEY-4" "MM-7" "an item is sent before its charge is committed" in mppx;
    NeedAtEveryLook "need-at-every-look" "MONEY-5" "MM-8" "the request for payment is repeated at every look" in mppx;
    ItemLostAtPause "item-lost-at-pause" "MONEY-5" "MM-9" "the item that waited for payment is lost" in mppx;
    ItemRepeatedAtPause "item-repeated-at-pause" "MONEY-5" "MM-9" "the item before the pause is sent again after it" in mppx;
    AcceptedInMemory "accepted-in-memory" "MONEY-9" "MM-10" "the authorised amount is kept in memory only" in mppx;
    ReopenResetsSpent "reopen-resets-spent" "MONEY-1" "MM-11" "opening a channel again begins its account anew" in mppx;
    ChannelLetterCase "channel-letter-case" "MONEY-6" "MM-12" "a channel's name is compared with its letter case" in mppx;
    ForeignDescriptor "foreign-descriptor" "MONEY-6" "MM-13" "a voucher is accepted with another channel's descriptor" in mppx;
    ChargesWhileClosing "charges-while-closing" "MONEY-10" "MM-14" "an open stream goes on after its account was closed" in mppx;
    SettlesAccepted "settles-accepted" "MONEY-10" "MM-15" "closing settles what was authorised" in mppx;
    ReceiptMissing "receipt-missing" "MONEY-8" "MM-16" "a stream ends without its receipt" in mppx;
    ReceiptTwice "receipt-twice" "MONEY-8" "MM-16" "the receipt is sent twice" in mppx;
    ReceiptEarly "receipt-early" "MONEY-8" "MM-16" "the receipt is sent before the last item" in mppx;
    ReceiptOnErrors "receipt-on-errors" "MONEY-8" "MM-17" "refusals carry a receipt" in mppx;
    ItemBreaksFrame "item-breaks-frame" "START-2" "MM-18" "line breaks in an item are written as they are" in mppx;
    ErrorAsStream "error-as-stream" "START-1" "MM-19" "an error is answered as an event stream with the error in it" in mppx;
    AnySigner "any-signer" "MONEY-6" "MM-25" "whoever signs a voucher, the channel goes on" in mppx;
    ExpiredAccepted "expired-accepted" "MONEY-12" "MM-26" "challenges are good for ever" in mppx;
    StreamDiesAtExpiry "stream-dies-at-expiry" "MONEY-12" "MM-26" "a stream ends when the challenge that opened it expires" in mppx;
    AbandonedCharges "abandoned-charges" "MONEY-11" "MM-27" "a stream whose reader has left waits for payment and is charged" in mppx;
    WakesOneStream "wakes-one-stream" "MONEY-5" "MM-28" "a voucher wakes one waiting stream, whichever it is" in mppx;
    ProofReplay "proof-replay" "MONEY-12" "MM-29" "a proof of identity is good more than once" in mppx;
    TopUpForgotten "top-up-forgotten" "MONEY-1" "MM-30" "a top-up is forgotten when the voucher after it is refused" in mppx;
    LiveWithoutId "live-without-id" "ORDER-6" "HERMES B1" "live events carry no id, replayed ones do" in hermes;
    LatestIdTable "latest-id-table" "ORDER-5" "HERMES B2" "an event is sent with the newest id there is instead of its own" in hermes;
    SeqFilterAcrossRuns "seq-filter-across-runs" "DELIVER-1" "HERMES B3" "the filter of repetitions compares numbers of different runs" in hermes_session;
    HeaderCursorIgnored "header-cursor-ignored" "RESUME-1" "HERMES B4" "Last-Event-ID is not read, only query parameters are" in hermes;
    AheadOfDeadIsEmpty "ahead-of-dead-is-empty" "RESUME-4" "HERMES B6" "a cursor ahead of a finished run is answered with 200 and nothing" in hermes;
    DetachedTailOnly "detached-tail-only" "RESUME-2" "HERMES B8" "who comes back to a run that nobody watched gets its last events only" in hermes;
    ShortRunMissed "short-run-missed" "LIVE-1" "HERMES B12" "an idle session stream never learns of a run that was over when it looked" in hermes_session;
    PartialDropped "partial-dropped" "CRASH-3" "HERMES B13" "the repair of a killed run drops what it had said" in hermes;
    RepairBeforeJournal "repair-before-journal" "CRASH-3" "HERMES B14" "the repair does not see the journal and notes for ever that nothing was recovered" in hermes;
    RepairSkipped "repair-skipped" "CRASH-1" "HERMES B15, V-3" "another reconciler clears the state of a killed run, and nobody ends it" in hermes, opencode;
    JournalSplitsLines "journal-splits-lines" "RESUME-2" "HERMES B17, V-1" "replay loses events with U+0085, U+2028 or U+2029, because the journal is split there" in hermes;
    CancelIdReused "cancel-id-reused" "FINAL-1" "HERMES B18, V-6" "the live cancel carries the id of the event before it" in hermes;
    CancelledStillActive "cancelled-still-active" "FINAL-3" "HERMES B19" "a cancelled run is still shown as active" in hermes;
    LateWorkerWrites "late-worker-writes" "CAUSE-2" "HERMES B20" "the worker of a cancelled run goes on and writes its answer over the transcript" in hermes;
    CancelLosesPrompt "cancel-loses-prompt" "FINAL-3" "HERMES B21" "a cancel clears the pending prompt before it is in the transcript" in hermes;
    CloseOnLongLived "close-on-long-lived" "WIRE-4" "HERMES B22" "long-lived streams carry Connection: close" in hermes_session;
    SnapshotUnredacted "snapshot-unredacted" "REDACT-1" "HERMES B23" "the snapshot is not passed through the redaction" in hermes;
    LiveUnredacted "live-unredacted" "REDACT-1" "HERMES V-9" "streamed text is not passed through the redaction" in hermes;
    NumbersSurvive "numbers-survive" "ORDER-3" "HERMES B25" "a session made anew under a deleted one's name goes on with its numbers" in hermes;
    AttachmentRoot "attachment-root" "CONTAIN-1" "HERMES B26" "attachments are looked up in the folder of all sessions" in hermes;
    PrefixContainment "prefix-containment" "CONTAIN-1" "HERMES B26" "a folder whose name begins like the session's counts as inside it" in hermes;
    ProfileUnchecked "profile-unchecked" "ISOLATE-2" "HERMES B27" "sessions of other profiles are served" in hermes;
    LeavingTouches "leaving-touches" "DETACH-3" "HERMES B28" "leaving a stream makes its session the newest" in hermes;
    RowAppendedAgain "row-appended-again" "RESTART-2" "HERMES B29, V-8" "after a restart the newest prompt is in the transcript twice" in hermes;
    ZeroIsNone "zero-is-none" "RESUME-2" "HERMES B30" "a cursor of zero counts as none" in hermes;
    TornRowRenumbered "torn-row-renumbered" "CRASH-3" "HERMES B32, V-5" "the last row before a kill is torn, and its number is given to another event" in hermes;
    TurnDiesWithItsReader "turn-dies-with-its-reader" "DETACH-1" "hermes-webui #2307, DM-1" "a run is stopped when its last reader leaves" in hermes, dispatch;
    StreamWithoutLogin "stream-without-login" "AUTH-1" "HERMES b.2" "the run stream is served without a login" in hermes, opencode;
    FullPageHasMore "full-page-has-more" "SNAPSHOT-3" "OM-13" "a page that is full says that more follows, also when nothing does" in opencode;
    LimitBeforeFilter "limit-before-filter" "SNAPSHOT-3" "OM-14" "pages are cut before private rows are taken out of them" in opencode;
    PrivateRowSkips "private-row-skips" "RESUME-2" "OM-24" "a private row hides the public one behind it in the same read" in opencode;
    CutTurnStaysOpen "cut-turn-stays-open" "FINAL-3" "OM-20, OC-19" "a turn whose model breaks off leaves its step without an end" in opencode;
    MovingCutoff "moving-cutoff" "SEAM-4" "OM-9, OC-35" "the replay ends where the head is by then, so that a writer can postpone the boundary for ever" in opencode_unified;
    ChildrenCount "children-count" "FINAL-3" "OM-8, OC-34" "a background child makes its parent active" in opencode;
    ActivityStored "activity-stored" "CRASH-2" "OM-8, OC-31" "what was active is active again after a restart" in opencode;
    ForeignFillsQueue "foreign-fills-queue" "DELIVER-1" "OM-21" "live-only events of other sessions take places in a reader's queue before they are filtered out" in opencode_unified;
    FragmentOvertakes "fragment-overtakes" "CAUSE-1" "OM-6, OC-33" "fragments are told at once, and overtake the rows that are on their way to the disk" in opencode_unified;
    ReadyBeforeListening "ready-before-listening" "DELIVER-1" "OM-3, OC-20" "server.connected is written before the reader is registered" in opencode_live;
    EndsWhenReady "ends-when-ready" "LIVE-1" "OM-4, OC-24" "the stream ends right behind server.connected" in opencode_live;
    UnencodableEnds "unencodable-ends" "LIVE-3" "OM-5, OC-25" "an event that cannot be encoded ends every stream that would carry it" in opencode_live;
    GapOneLate "gap-one-late" "GAP-1" "PM-5" "a cursor that lacks one event at the edge of retention is resumed without a word" in sse, pawwork;
    EmptyIsNoGap "empty-is-no-gap" "GAP-1" "PM-6" "when nothing is kept, no cursor is behind a gap";
    SkipsBehindFence "skips-behind-fence" "SEAM-1" "PM-10" "the first event behind the fence is skipped with those up to it" in sse, pawwork;
    LiveDuringReplay "live-during-replay" "ORDER-1" "PM-12" "what is appended during the replay is sent before it" in sse, pawwork;
    ConnectedOnResume "connected-on-resume" "SEAM-3" "PM-1" "the sign to fetch everything anew is sent on a valid resume too" in pawwork;
    FenceWithoutBoot "fence-without-boot" "DELIVER-1" "PM-11" "numbers up to a connection's fence are skipped, also those of a later boot" in pawwork;
    UpdatesNotKept "updates-not-kept" "RESUME-2" "PM-14" "updates of a session are not in the list of what is replayed" in pawwork;
    KeptByReference "kept-by-reference" "RESUME-2" "PM-15" "what was changed later is replayed as it is now" in pawwork;
    DisposeKeepsRecords "dispose-keeps-records" "GAP-3" "PM-16" "the records of a disposed directory are still replayed" in pawwork;
    DisposeRemovesItself "dispose-removes-itself" "GAP-1" "PM-17" "the event that tells of a disposal is removed with the others" in pawwork;
    DisposeKeepsBoot "dispose-keeps-boot" "RESUME-6" "PM-18" "a disposal of everything empties the ring and starts its numbers again, in the same boot" in pawwork;
    DisposeRepeatsIds "dispose-repeats-ids" "ORDER-4" "PM-19" "the disposal of a directory starts the numbers again" in pawwork;
    AskTimesOut "ask-times-out" "FINAL-1" "PM-26" "a question is rejected because the human takes long" in pawwork;
    UnwatchedTurnLost "unwatched-turn-lost" "DETACH-2" "DM-2" "a turn is stored by its transport only: what nobody watches is lost" in dispatch;
    JoinerLiveOnly "joiner-live-only" "RESUME-2" "DM-3" "a late joiner gets live events only" in dispatch;
    BufferKept "buffer-kept" "FINAL-2" "DM-6" "the events of a turn are kept after its seal and sent to the next subscriber" in dispatch;
    BufferNotReset "buffer-not-reset" "FINAL-2" "DM-7" "the buffer is not emptied when a turn begins: a joiner is sent two turns" in dispatch;
    SubscribersCleared "subscribers-cleared" "DELIVER-1" "DM-8" "a seal forgets the subscribers, and they miss the next turn" in dispatch;
    DoubleSubscribe "double-subscribe" "DELIVER-2" "DM-9" "whoever subscribes twice is sent everything twice" in dispatch;
    UnsubscribesAll "unsubscribes-all" "DETACH-3" "DM-10" "one client's unsubscribing takes all clients of the conversation off" in dispatch;
    SealedBeforeWritten "sealed-before-written" "FINAL-3" "DM-11" "a turn is reported sealed before its history is written" in dispatch;
    InterruptedResultTwice "interrupted-result-twice" "FINAL-1" "DM-12" "the result of an interrupted tool is stored twice" in dispatch;
    SinceInclusive "since-inclusive" "DELIVER-2" "DM-13" "history begins with the chunk of the number that was given, and has 0 for its newest when it is empty" in dispatch;
    PartialThrownAway "partial-thrown-away" "CAUSE-2" "DM-14, CR-4c" "what an aborted turn has said is thrown away" in dispatch;
    CloseWaitsForRetry "close-waits-for-retry" "LIVE-3" "DM-15" "closing during the wait for a retry takes as long as that wait" in dispatch;
    QueuedLost "queued-lost" "DELIVER-1" "DM-16" "a queued message is lost when its turn ends without a tool call" in dispatch;
    QueuedTwice "queued-twice" "DELIVER-2" "DM-17" "a queued message steers its turn and begins another one" in dispatch;
    RetryAfterOutput "retry-after-output" "RETRY-1" "DM-18" "a question is asked again although some of its answer was shown" in dispatch;
    RetryInHistory "retry-in-history" "RETRY-2" "DM-19" "retries are written to the history" in dispatch;
    StaysActive "stays-active" "FINAL-3" "DM-20" "a conversation stays active when its turn was aborted or has failed" in dispatch;
    StatusBeforeStored "status-before-stored" "FINAL-3" "DM-21" "a status is told before it is stored, and the list disagrees" in dispatch;
    CompactionUnsigned "compaction-unsigned" "COMPACT-1" "DM-22" "a compaction begins the numbers anew without a sign" in dispatch;
    CompactsInTurn "compacts-in-turn" "COMPACT-2" "DM-23" "a compaction runs while a turn writes, whose chunks vanish" in dispatch;
    InterleavedTurns "interleaved-turns" "CAUSE-3" "DM-24" "two prompts run two turns of one conversation at once" in dispatch;
    EmitterUnset "emitter-unset" "FANOUT-1" "DM-26" "an emitter that was never set swallows what is for every client" in dispatch;
    ActiveForEver "active-for-ever" "CRASH-2" "DM-27" "after a kill a conversation stays active for ever" in dispatch;
    UnboundedBuffer "unbounded-buffer" "LEAK-3" "DM-29" "the events of a running turn are kept without bound" in dispatch;
    DanglingAnsweredAgain "dangling-answered-again" "CRASH-3" "DM-30" "a restart writes a result for the last tool call, whether it has one or not" in dispatch;
}

/// Words of 64 bits that hold a bit for each bug.
const WORDS: usize = 8;

/// The defects that are switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BugSet([u64; WORDS]);

impl BugSet {
    /// True when `bug` is on.
    pub fn has(self, bug: Bug) -> bool {
        self.0[bug as usize / 64] & (1 << (bug as usize % 64)) != 0
    }

    /// True when none is on.
    pub fn is_empty(self) -> bool {
        self == BugSet::default()
    }

    /// Switches `bug` on.
    #[must_use]
    pub fn with(mut self, bug: Bug) -> BugSet {
        self.0[bug as usize / 64] |= 1 << (bug as usize % 64);
        self
    }
}

impl Bug {
    /// The bug of this name.
    pub fn from_name(name: &str) -> Option<Bug> {
        BUGS.iter().find(|entry| entry.name == name).map(|entry| entry.bug)
    }
}

impl std::str::FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Bug, String> {
        Bug::from_name(name).ok_or_else(|| format!("there is no bug `{name}`; `streamspec list bugs` shows them"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_given_once_and_every_bug_is_its_own_bit() {
        let names: std::collections::BTreeSet<_> = BUGS.iter().map(|b| b.name).collect();
        assert_eq!(names.len(), BUGS.len());
        assert!(BUGS.len() <= WORDS * 64);
        for entry in BUGS {
            let only = BugSet::default().with(entry.bug);
            assert_eq!(BUGS.iter().filter(|other| only.has(other.bug)).count(), 1, "{}", entry.name);
            assert!(
                entry.killed_by.split_once('-').is_some_and(|(f, n)| f.chars().all(|c| c.is_ascii_uppercase()) && n.parse::<u32>().is_ok())
            );
        }
    }
}
