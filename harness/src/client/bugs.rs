//! The catalogue of switchable defects of the built-in reader: broken clients, each of which a client requirement must catch.
//!
//! Each is a mistake that real clients have shipped. Bugs are values: the set that is switched on is handed to whoever asks.

/// A defect that can be switched on.
#[derive(Debug)]
pub struct BugEntry {
    /// The switch.
    pub bug: Bug,
    /// Its name on the command line.
    pub name: &'static str,
    /// What the broken client does, in one sentence.
    pub says: &'static str,
    /// Where it was seen: a rule or evidence of the SSE dossier, or the list of the issue.
    pub source: &'static str,
    /// The client requirement that must catch it.
    pub killed_by: &'static str,
}

macro_rules! bugs {
    ($($bug:ident $name:literal $killed:literal $source:literal $says:literal;)+) => {
        /// Every defect, in the order of the requirements that catch them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug { $(#[doc = $says] $bug),+ }

        /// The table.
        pub static BUGS: &[BugEntry] = &[$(BugEntry { bug: Bug::$bug, name: $name, says: $says, source: $source, killed_by: $killed }),+];
    };
}

bugs! {
    LfOnly "lf-only" "C-PARSE-1" "vercel/ai #6200" "only a line feed ends a line";
    PhantomLine "phantom-line" "C-PARSE-2" "eventsource-parser #17" "CR LF split over two chunks is two line ends";
    ChunkIsText "chunk-is-text" "C-PARSE-2" "SSE-14" "each chunk is decoded as text by itself, so a character that is cut in two is lost";
    CommentEndsBlock "comment-ends-block" "C-PARSE-3" "SSE-15" "a comment line ends the block";
    CaselessFields "caseless-fields" "C-PARSE-3" "SSE-17" "field names are compared without regard to case";
    TrimsValues "trims-values" "C-PARSE-4" "SSE-16" "all white space around a value is removed";
    SkipsEmptyData "skips-empty-data" "C-PARSE-5" "SSE-19" "an event with empty data is not dispatched";
    LastDataLine "last-data-line" "C-PARSE-5" "SSE-18" "of several data lines only the last one counts";
    TypeSticks "type-sticks" "C-PARSE-6" "SSE-20" "an event type holds until another one comes";
    StrictText "strict-text" "C-PARSE-7" "SSE-5" "bytes that are not UTF-8 break the connection";
    KeepsMark "keeps-mark" "C-PARSE-8" "SSE-6" "a byte-order mark is taken for the beginning of the first line";
    UnicodeLines "unicode-lines" "C-PARSE-9" "httpx-sse #34" "U+0085, U+2028 and U+2029 end a line";
    ShortLines "short-lines" "C-PARSE-10" "SSE-25" "a block of more than 64 KiB breaks the connection";
    HoldsCr "holds-cr" "C-PARSE-11" "SSE-14" "a CR at the end of a chunk waits for the next chunk";
    TakesUnfinished "takes-unfinished" "C-PARSE-12" "SSE-24" "the unfinished block at the end of a body is dispatched";

    AnyStatus "any-status" "C-OPEN-1" "issue 5" "the body of an error page is read as a stream";
    RetriesRefusals "retries-refusals" "C-OPEN-1" "SSE-1" "a refusal is taken for a broken connection";
    AnyType "any-type" "C-OPEN-2" "SSE-4" "the media type is not looked at";
    ExactType "exact-type" "C-OPEN-3" "SSE-4" "the media type may have no parameters";
    NoRedirects "no-redirects" "C-OPEN-4" "SSE-3" "a redirect is a refusal";
    StaysRedirected "stays-redirected" "C-OPEN-5" "SSE-3" "a reconnect asks where the last redirect led";
    LoopsNowhere "loops-nowhere" "C-OPEN-6" "SSE-3" "a redirect that cannot be followed is taken for a broken connection";
    NoAccept "no-accept" "C-OPEN-7" "SSE-7" "requests carry no Accept header";
    HeadersOnce "headers-once" "C-OPEN-8" "issue 5" "the caller's headers are on the first request only";

    EndsAtEof "ends-at-eof" "C-RETRY-1" "SSE-8" "the end of a body is taken for the end of the stream";
    GivesUpBroken "gives-up-broken" "C-RETRY-1" "SSE-8" "a connection that breaks is an error for good";
    ReconnectsAtOnce "reconnects-at-once" "C-RETRY-2" "SSE-9" "a reconnect does not wait";
    IgnoresRetry "ignores-retry" "C-RETRY-3" "SSE-9" "the server's reconnection time is ignored; a minute is always waited";
    LenientRetry "lenient-retry" "C-RETRY-4" "SSE-23" "the leading digits of a reconnection time count";
    Hammers "hammers" "C-RETRY-5" "SSE-9" "after a refused connection the next one is tried at once";
    GivesUpRefused "gives-up-refused" "C-RETRY-6" "SSE-8" "a refused connection ends the client";

    InventsCursor "invents-cursor" "C-RESUME-1" "SSE-26" "the first request presents a cursor that nobody sent";
    FirstCursor "first-cursor" "C-RESUME-2" "eventsource #27" "the first id that came is presented for ever";
    NoCursor "no-cursor" "C-RESUME-2" "vayu #21" "no request carries a cursor";
    ForgetsCursor "forgets-cursor" "C-RESUME-3" "typescript-sdk #2499" "a resumed stream that dies before its first id loses the cursor";
    IdOnSight "id-on-sight" "C-RESUME-4" "SSE-45" "an id is stored before its block is finished";
    IdNeedsData "id-needs-data" "C-RESUME-5" "SSE-22" "the id of a block without data is ignored";
    IdOfBlock "id-of-block" "C-RESUME-6" "eventsource #358" "an event without id has none, and resets the cursor";
    EmptyIdIgnored "empty-id-ignored" "C-RESUME-7" "SSE-21" "an empty id does not reset the cursor";
    CutsIdAtNul "cuts-id-at-nul" "C-RESUME-8" "whatwg/html #2849" "an id with NUL counts up to it";
    AsciiId "ascii-id" "C-RESUME-9" "SSE-27" "characters of an id that are not ASCII are presented as question marks";
    StopsAtOddId "stops-at-odd-id" "C-RESUME-10" "undici #5746" "an id that no header can carry ends the client";

    AppliesAgain "applies-again" "C-DELIVER-1" "SSE-38" "an event that was applied is applied again when it comes again";
    KnowsLastOnly "knows-last-only" "C-DELIVER-2" "SSE-38" "only the newest event is recognised when it comes again";
    DropsOlder "drops-older" "C-DELIVER-3" "issue 5" "an event whose id is smaller than the newest is taken for a repetition";
    BoundedQueue "bounded-queue" "C-DELIVER-4" "SSE-47" "a burst overruns a queue of a thousand events, silently";
    EndsAtBoundary "ends-at-boundary" "C-DELIVER-5" "PM-21" "the boundary between replay and live is taken for the end";

    SwallowsGap "swallows-gap" "C-GAP-1" "issue 5" "a gap signal is ignored";
    NoRefetch "no-refetch" "C-GAP-2" "OM-26" "after a gap the reader goes on with what comes";
    PresentsAgain "presents-again" "C-GAP-3" "PM-21" "a cursor that was refused is presented for ever";

    ReturnsAfter204 "returns-after-204" "C-END-1" "SSE-2" "204 is taken for a stream without events";
    ReturnsAfterEnd "returns-after-end" "C-END-2" "SSE-37" "the terminal event is an event like any other";
    AppliesAfterClose "applies-after-close" "C-END-3" "SSE-10" "what is buffered when the application closes is still delivered";

    ForgetsState "forgets-state" "C-RESTORE-1" "issue 5" "what was stored is not read at the start";
    SavesSeldom "saves-seldom" "C-RESTORE-2" "issue 5" "the cursor is stored after every fourth event only";
    SkipsFirst "skips-first" "C-RESTORE-3" "issue 5" "the first two events after a restart are taken for repetitions";
    KeepsState "keeps-state" "C-RESTORE-4" "issue 5" "the cursor of a stream that has ended is kept";
    TrustsState "trusts-state" "C-RESTORE-5" "issue 5" "a damaged state file is presented as a cursor";
    RestartsBeside "restarts-beside" "C-RESTORE-6" "issue 5" "a restart leaves the old reader at work beside the new one";

    GetsAgain "gets-again" "C-POST-1" "fetch-event-source" "a stream that was opened by POST is reconnected by GET";
    BodyOnce "body-once" "C-POST-2" "fetch-event-source" "the body of the request is sent once";
    NewKey "new-key" "C-POST-3" "issue 5" "a publish whose answer was lost is repeated under another key";
    SwallowsRefusal "swallows-refusal" "C-POST-4" "issue 5" "a publish that was refused is dropped in silence";
    GuessesLost "guesses-lost" "C-POST-5" "issue 5" "a publish whose answer was lost is taken for accepted";
    PublishesSideBySide "publishes-side-by-side" "C-POST-6" "issue 5" "a publish does not wait for the outcome of the one before";
    PostsTwice "posts-twice" "C-POST-7" "issue 5" "a publish that was acknowledged is sent again";
    Insists "insists" "C-POST-8" "RFC 9110 15.5" "a publish that was refused is repeated as if its connection had broken";
    IgnoresRetryAfter "ignores-retry-after" "C-POST-9" "RFC 9110 10.2.3" "Retry-After is not looked at";
    PublishesBare "publishes-bare" "C-POST-10" "issue 5" "the caller's headers are on the stream's requests only";

    SubscribesOnce "subscribes-once" "C-SOCKET-1" "DISP-3" "only the first connection subscribes";
    TakesAll "takes-all" "C-SOCKET-2" "DISP-14" "events of other conversations are applied";
    InsistsOnHandshake "insists-on-handshake" "C-SOCKET-3" "issue 5" "a refused handshake is tried again at once";
    MutePongs "mute-pongs" "C-SOCKET-4" "RFC 6455 5.5.2" "pings are not answered";

    MuteInit "mute-init" "C-ADAPT-1" "issue 5" "the adapter does not answer `init`";
    OtherVersion "other-version" "C-ADAPT-1" "issue 5" "the adapter speaks a version that was not offered";
    ForgetsAnswer "forgets-answer" "C-ADAPT-2" "issue 5" "the adapter closes and does not answer";
    WrongNumber "wrong-number" "C-ADAPT-2" "issue 5" "the adapter answers under numbers of its own";
    Boasts "boasts" "C-ADAPT-3" "issue 5" "the adapter declares what it cannot do";
}

/// Those that a reader of WebSockets shows as well, or alone. Where they break what a stream of server-sent events shows too,
/// both kinds of streams must catch them.
pub static SOCKET_BUGS: &[Bug] = &[
    Bug::HeadersOnce,
    Bug::EndsAtEof,
    Bug::GivesUpBroken,
    Bug::Hammers,
    Bug::GivesUpRefused,
    Bug::AppliesAgain,
    Bug::SwallowsGap,
    Bug::NoRefetch,
    Bug::ReturnsAfterEnd,
    Bug::AppliesAfterClose,
    Bug::SavesSeldom,
    Bug::SkipsFirst,
    Bug::SubscribesOnce,
    Bug::TakesAll,
    Bug::InsistsOnHandshake,
    Bug::MutePongs,
];

impl std::str::FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Bug, String> {
        let found = BUGS.iter().find(|entry| entry.name == name);
        found.map(|entry| entry.bug).ok_or_else(|| format!("there is no such bug; `streamspec list client-bugs` shows them, not `{name}`"))
    }
}

/// A set of bugs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BugSet(u128);

impl BugSet {
    /// True when `bug` is switched on.
    pub fn has(self, bug: Bug) -> bool {
        self.0 & (1 << bug as u32) != 0
    }
}

impl FromIterator<Bug> for BugSet {
    fn from_iter<I: IntoIterator<Item = Bug>>(bugs: I) -> BugSet {
        BugSet(bugs.into_iter().fold(0, |set, bug| set | 1 << bug as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_the_set() {
        let names: std::collections::BTreeSet<_> = BUGS.iter().map(|b| b.name).collect();
        assert_eq!(names.len(), BUGS.len());
        assert!(BUGS.len() <= 128);
        for entry in BUGS {
            assert!(BugSet::from_iter([entry.bug]).has(entry.bug) && !BugSet::default().has(entry.bug));
            assert!(crate::contract::requirement(entry.killed_by).is_some(), "{} is killed by nothing", entry.name);
        }
    }
}
