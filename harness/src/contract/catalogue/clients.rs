//! What clients are held to: a table beside the servers', of the same form.
//!
//! The rules are those of the SSE dossier that bind readers, and what the issue adds for applications that resume.

use super::{Level, Requirement};

/// The families of the table in its order, each with one line on what it is about.
pub const CLIENT_FAMILIES: &[(&str, &str)] = &[
    ("C-PARSE", "bytes to events, as the standard has it"),
    ("C-OPEN", "what opens a stream, and what a request carries"),
    ("C-RETRY", "reconnecting, its waits and its limits"),
    ("C-RESUME", "the cursor that a reconnect presents"),
    ("C-DELIVER", "each event applied once and in order"),
    ("C-GAP", "missing events lead to a refetch, not to silence"),
    ("C-END", "what stops a client"),
    ("C-RESTORE", "what survives a kill of the client"),
    ("C-POST", "publishes, and streams opened by POST"),
    ("C-SOCKET", "streams that are WebSockets"),
    ("C-ADAPT", "what an adapter answers to orders"),
];

catalogue! {
    /// Every requirement of clients, in report order.
    CLIENT_CATALOGUE:
    "C-PARSE-1" Must "CR LF, LF and CR end a line, freely mixed",
        from "SSE-13", by "events applied from bodies with each line end and all of them",
        likely "the body is split at \\n\\n";
    "C-PARSE-2" Must "chunk borders have no meaning",
        from "SSE-14, SSE-5", by "events applied from bodies that arrive byte by byte, cut between CR and LF and inside characters",
        likely "a CR at the end of a chunk is a line end and so is the LF behind it, or each chunk is decoded as text by itself";
    "C-PARSE-3" Must "comments and unknown fields are ignored, and end nothing",
        from "SSE-15, SSE-17", by "events applied from blocks with comments, unknown fields, other case and leading spaces",
        likely "a comment is taken for an empty line, or field names are compared without regard to case";
    "C-PARSE-4" Must "one space behind the first colon is removed, and nothing else",
        from "SSE-16", by "data with leading and trailing spaces, tabs and colons",
        likely "the value is trimmed, or the line is split at every colon";
    "C-PARSE-5" Must "data lines are joined by line feeds; a block is dispatched if and only if it has one, also an empty one",
        from "SSE-18, SSE-19", by "events applied from blocks with several, empty and no data lines",
        likely "empty data is taken for no data";
    "C-PARSE-6" Must "an event type holds for its own block; an empty one means `message`",
        from "SSE-20, SSE-19", by "types of applied events behind typed, empty and data-less blocks",
        likely "the type is not reset when a block ends";
    "C-PARSE-7" Must "a body is UTF-8 whatever its charset says, and bytes that are not become U+FFFD",
        from "SSE-5", by "data of events with invalid bytes, under a foreign charset parameter",
        likely "a strict decoder throws and the connection is given up";
    "C-PARSE-8" Must "one byte-order mark at the very start is dropped, also when it is split; a second one is data",
        from "SSE-6", by "events applied from bodies with one and two marks",
        likely "the mark becomes part of the first field's name";
    "C-PARSE-9" Must "no other character ends a line, and NUL is data like any other",
        from "SSE-13", by "data with U+000B, U+000C, U+001C to U+001E, U+0085, U+2028, U+2029 and U+0000",
        likely "the language's own line splitter is used";
    "C-PARSE-10" Must "a line may be megabytes long",
        from "SSE-25", by "an event with a line of 2 MiB",
        likely "a buffer with a fixed size";
    "C-PARSE-11" Should "a CR acts at once",
        from "SSE-14", by "an event of a CR-only stream that goes quiet behind it",
        likely "the parser waits for the LF that may follow";
    "C-PARSE-12" Must "an unfinished block at the end of a body is discarded",
        from "SSE-24", by "events applied from a body that ends inside a block",
        likely "the buffer is flushed when the body ends";

    "C-OPEN-1" Must "only status 200 opens a stream; any other final status ends it for good and no byte of its body is applied",
        from "SSE-1", by "requests and applied events after 201, 205, 299, 404, 410, 500 and 503 with the body of a stream",
        likely "2xx is taken for 200, or a refusal for a broken connection";
    "C-OPEN-2" Must "an answer of another media type is no stream, and ends it for good",
        from "SSE-4", by "requests and applied events after text/html, text/plain, text/event-streamx and no type at all",
        likely "the Content-Type is not looked at, or compared by its beginning";
    "C-OPEN-3" Must "parameters of the media type are ignored",
        from "SSE-4", by "events applied from `text/event-stream; charset=windows-1252`, a trailing `;` and other case",
        likely "the whole header is compared";
    "C-OPEN-4" Must "redirects are followed",
        from "SSE-3", by "requests and events behind 301, 302, 303, 307 and 308",
        likely "the HTTP client is told not to follow, or follows GET only for some of them";
    "C-OPEN-5" Must "a reconnect asks the original URL again",
        from "SSE-3", by "the path of the request after a redirected stream broke",
        likely "the URL of the last response replaces the stream's";
    "C-OPEN-6" Must "a redirect that leads nowhere is an error, not a loop",
        from "SSE-3", by "requests after a 307 without Location",
        likely "the redirect is retried like a broken connection";
    "C-OPEN-7" Must "requests say that they want an event stream",
        from "SSE-7", by "the Accept header of each request",
        likely "the HTTP client's default Accept is sent";
    "C-OPEN-8" Must "the caller's headers are on every request",
        from "issue 5", by "Authorization and a header of the caller's on each request of several",
        likely "the reconnect builds its request anew";

    "C-RETRY-1" Must "the end of a body and a broken connection both lead to a reconnect",
        from "SSE-8", by "the next request after a clean end, a reset, and a chunked body that is cut",
        likely "a clean end is taken for the end of the stream, or an error is final";
    "C-RETRY-2" Must "a reconnect waits for the server's reconnection time",
        from "SSE-9", by "the time from the end of a connection to the next request, at least 90 % of `retry:`",
        likely "`retry:` is not read, or is used after failures only";
    "C-RETRY-3" Should "a reconnect does not wait much longer than the server asks for",
        from "SSE-9", by "the time from the end of a connection to the next request, against `retry:` and what the client's start took",
        likely "a default of the client's own replaces `retry:`";
    "C-RETRY-4" Must "a reconnection time that is not ASCII digits alone is ignored",
        from "SSE-23", by "the time to the next request after `60000x`, `+60000`, `6e4` and an empty value",
        likely "the leading digits are parsed";
    "C-RETRY-5" Must "a client does not hammer a server that refuses connections",
        from "SSE-9", by "the time between attempts while connections are refused",
        likely "the wait is skipped where no connection was made";
    "C-RETRY-6" Must "a client outlives refused connections",
        from "SSE-8", by "the request after three refused connections",
        likely "a failed connect on a reconnect is final";

    "C-RESUME-1" Must "the first request presents no cursor",
        from "SSE-26", by "Last-Event-ID of the first request",
        likely "an empty or invented cursor is sent";
    "C-RESUME-2" Must "a reconnect presents the newest cursor",
        from "SSE-26, SSE-28", by "Last-Event-ID of three connections in a row",
        likely "the cursor of the first connection is kept, or none is sent";
    "C-RESUME-3" Must "a connection that brings no id leaves the cursor as it is",
        from "SSE-28; typescript-sdk #2499", by "Last-Event-ID after two resumed streams that died before their first id",
        likely "the cursor is reset when a connection opens";
    "C-RESUME-4" Must "the id of a block that was never finished is not presented",
        from "SSE-24, SSE-45", by "Last-Event-ID after a body that ended between `id:` and the empty line",
        likely "the id is stored when its line is read";
    "C-RESUME-5" Must "an id without data moves the cursor",
        from "SSE-22", by "Last-Event-ID after a block with an id alone",
        likely "the id is stored when an event is dispatched";
    "C-RESUME-6" Must "an event without id leaves the cursor as it is, and carries the last id",
        from "SSE-22; eventsource #358", by "Last-Event-ID after an event without id, and the id it was applied with",
        likely "the id of the block is taken for the last event id";
    "C-RESUME-7" Must "an empty id resets the cursor",
        from "SSE-21", by "Last-Event-ID after `id:` with nothing behind it",
        likely "an empty value is taken for none";
    "C-RESUME-8" Must "an id with NUL is ignored",
        from "SSE-21", by "Last-Event-ID after an id with NUL in it",
        likely "the value is stored, or cut at the NUL";
    "C-RESUME-9" Must "a cursor goes out as the UTF-8 bytes of its id",
        from "SSE-27", by "the bytes of Last-Event-ID after an id with U+2026",
        likely "the header is written as Latin-1, or refused by the HTTP client";
    "C-RESUME-10" Must "an id that no header can carry does not stop the reconnect",
        from "SSE-27; undici #5746", by "the request after an id with a control character",
        likely "the HTTP client throws when the header is set";

    "C-DELIVER-1" Must "an event that comes again at a resume is applied once",
        from "SSE-38, issue 5", by "events applied when the server begins with the cursor's own event",
        likely "delivery at least once is handed to the application";
    "C-DELIVER-2" Must "events that come again out of place are applied once",
        from "SSE-38, issue 5", by "events applied when the server ignores the cursor and when it repeats older ones among new ones",
        likely "only the newest id is remembered";
    "C-DELIVER-3" Must "every event is applied, in the order in which they came",
        from "issue 5", by "events with ids of any order over three connections",
        likely "ids are compared as numbers or text";
    "C-DELIVER-4" Must "a burst loses nothing",
        from "SSE-47, issue 5", by "5,000 events in one write",
        likely "a queue with a bound and nobody who waits";
    "C-DELIVER-5" Must "a session is read whole from a right server over broken connections",
        from "design 1", by "events applied from the reference server behind the fault proxy, cut three times",
        likely "any of the above";

    "C-GAP-1" Must "a gap signal reaches the application",
        from "issue 5", by "what the client says between the gap frame and the next event",
        likely "the frame's type has no handler";
    "C-GAP-2" Must "after a gap the state is fetched before the next event is applied",
        from "issue 5; OM-26", by "the request for the snapshot, and the cursor of the stream's next request",
        likely "the reader goes on with what comes";
    "C-GAP-3" Must "a cursor that is refused is not presented again",
        from "PM-21, issue 5", by "Last-Event-ID of requests after 410 answered a resume",
        likely "410 is retried like a broken connection";

    "C-END-1" Must "204 ends the stream",
        from "SSE-2", by "requests after a reconnect was answered with 204",
        likely "204 is a success with an empty body, so the client polls for ever";
    "C-END-2" Must "the terminal event is applied once, and ends the stream",
        from "SSE-37, issue 5", by "requests and events after `end`",
        likely "nothing closes the reader at the last event";
    "C-END-3" Must "when the application has closed the stream nothing more is applied or asked",
        from "SSE-10", by "events and requests after the close",
        likely "close only keeps the next connection from being made";

    "C-RESTORE-1" Must "a client that was killed presents the cursor that it stored",
        from "issue 5", by "Last-Event-ID of the first request of a restarted client",
        likely "the state is written at a graceful end only";
    "C-RESTORE-2" Must "a restart repeats nothing but what was under way at the kill",
        from "issue 5", by "events applied before and after a kill, from a server that resumes after the cursor",
        likely "the cursor is stored seldom";
    "C-RESTORE-3" Must "a restart skips nothing",
        from "issue 5", by "events applied after a kill",
        likely "the cursor is stored before its event is applied";
    "C-RESTORE-4" Must "the cursor of a stream that has ended is not presented again",
        from "issue 5", by "Last-Event-ID of a client that is started again after the end",
        likely "nothing clears the state";
    "C-RESTORE-5" Must "damaged state is not presented as a cursor, and does not stop the client",
        from "issue 5", by "the first request of a client whose state file was overwritten",
        likely "the file is read as it is, or its parse error is fatal";
    "C-RESTORE-6" Must "a client that was restarted within its process has left the connection of its former life",
        from "issue 5", by "the connection that was open at the restart",
        likely "close drops the object and leaves its reader at work";

    "C-POST-1" Must "a reconnect repeats the method of the request",
        from "issue 5", by "the method of the second request of a stream that was opened by POST",
        likely "reconnects go through a code path that knows GET alone";
    "C-POST-2" Must "a reconnect repeats the body of the request",
        from "issue 5", by "the body of the second request of a stream that was opened by POST",
        likely "the body was a stream that is used up";
    "C-POST-3" Must "a publish whose answer was lost is repeated under its own idempotency key, or not at all",
        from "issue 5", by "Idempotency-Key of every request with the same publish, whose first answer was a reset",
        likely "the key is made where the request is made";
    "C-POST-4" Must "a publish that the server refused is reported as refused",
        from "issue 5", by "what the client says became of publishes answered with 400, 409, 413 and 422",
        likely "only failed connections are errors";
    "C-POST-5" Must "what nobody acknowledged is not reported as accepted or refused",
        from "issue 5", by "what the client says became of a publish whose every answer was lost",
        likely "a lost answer is taken for success, or for failure";
    "C-POST-6" Must "publishes arrive in the order in which they were asked for",
        from "issue 5", by "publishes as the server accepted them, the first of which was put off with 503",
        likely "the next one is sent while the one before is repeated";
    "C-POST-7" Must "a publish that was acknowledged is reported so, and not sent again",
        from "issue 5", by "requests behind an acknowledgement, also while the stream reconnects",
        likely "an outbox is emptied when the stream opens, not when its entries were acknowledged";
    "C-POST-8" Must "a publish that the server refused is not repeated",
        from "RFC 9110 15.5", by "requests behind an answer of 400, 409, 413 or 422",
        likely "every answer that is no success is retried";
    "C-POST-9" Should "a publish that was put off is repeated no earlier than Retry-After says",
        from "RFC 9110 10.2.3", by "the time between an answer of 429 or 503 and the next request with the same publish",
        likely "Retry-After is not looked at";
    "C-POST-10" Must "a publish carries the caller's headers and its body byte for byte",
        from "issue 5", by "the first request of a publish with U+2028, U+0085, quotes and line feeds in it",
        likely "the body is parsed and written anew, or the headers are those of the stream alone";

    "C-SOCKET-1" Must "each connection subscribes anew",
        from "DISP-3", by "the first message on each WebSocket",
        likely "the subscription is sent where the client is made, not where a connection opens";
    "C-SOCKET-2" Must "only events of the conversation that was subscribed to are applied",
        from "DISP-14", by "what is applied among broadcasts, errors, pings, binary messages and another conversation's events",
        likely "every message is taken for an event of one's own";
    "C-SOCKET-3" Must "a handshake that is refused ends the client, or is tried again after a wait; nothing of the answer is applied",
        from "issue 5", by "requests and applied events after 200, 404 and 503 with a message as body",
        likely "every end of a WebSocket is taken for a lost connection, and nothing counts the failures";
    "C-SOCKET-4" Must "a ping is answered by a pong with its content",
        from "RFC 6455 5.5.2", by "a ping inside a turn, which goes on when its pong has come",
        likely "nothing reads while the application works";

    "C-ADAPT-1" Must "`init` is answered with the version that it names, and features that there are",
        from "docs/client-testing.md", by "the first answer of each life of the client",
        likely "the adapter waits for another order, or buffers its output";
    "C-ADAPT-2" Must "each order is answered once, under its number",
        from "docs/client-testing.md", by "orders and answers",
        likely "an order is carried out and not answered, or output is buffered";
    "C-ADAPT-3" Must "what is declared is not answered with `unsupported`",
        from "docs/client-testing.md", by "answers to orders that a declared feature is about",
        likely "the list of features was copied";
}
