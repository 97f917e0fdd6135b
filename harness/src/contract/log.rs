//! Logs of others: where in their lines the parts of a delivery stand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMany;

/// How lines of JSON in a log are read by `streamspec check`. Each place is a pointer into a line; what a line lacks is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogMapping {
    /// When: seconds, milliseconds or microseconds since 1970 (by their size), or `2026-11-21T11:22:33.123Z`. Absent: the lines
    /// stand in their order.
    pub time: Option<String>,
    /// Which connection, any value. Absent: all lines are of one.
    pub connection: Option<String>,
    /// Which reader, any value; its connections follow each other. Absent: all connections of a session are one reader's.
    pub reader: Option<String>,
    /// Which session. Absent: all lines are of one.
    pub session: Option<String>,
    /// The id of the event: the SSE id, where the profile's events have one.
    pub id: Option<String>,
    /// The type of the event.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// The data of the event, as it stood in the stream: text, or JSON, which is taken as its compact text.
    pub data: String,
    /// What kind of line it is.
    pub kind: Option<String>,
    /// The kinds of lines by which a connection opens. Absent: it opens with its first event, and where it began is not known.
    pub opens: Option<OneOrMany>,
    /// The cursor with which a connection opens, in a line that opens it.
    pub cursor: Option<String>,
    /// The HTTP status by which it is answered, in a line that opens it.
    pub status: Option<String>,
    /// The kinds of lines that are events. Absent: every line that has data and is of no other kind.
    pub events: Option<OneOrMany>,
    /// The kinds of lines by which a connection closes.
    pub closes: Option<OneOrMany>,
}
