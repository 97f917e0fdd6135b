//! Requests out of a binding's templates.

use std::fmt;

use serde_json::Value;

use crate::contract::{Binding, CursorCarrier, Format, HistoryRead, Operation, Profile, SnapshotRead};
use crate::history::{From, Role};

use super::template::{Vars, fill, fill_json, percent};

/// An HTTP request, ready to be sent to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, as the profile writes it.
    pub method: String,
    /// Path and query; what was filled in is percent-encoded.
    pub path_and_query: String,
    /// Headers in the order in which they are sent; a name stands once. Values are UTF-8 and hold no control characters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
}

/// Why a request cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// A placeholder in the path has no value.
    NoValue {
        /// The placeholder's name.
        placeholder: String,
        /// The template.
        template: String,
    },
    /// A value that no header can carry (SSE-27): control characters, or blanks at its ends, which are not transmitted.
    Header {
        /// The header's name.
        name: String,
        /// The value.
        value: String,
    },
    /// The binding has no way to present a cursor.
    NoCarrier,
    /// A second cursor is to be sent, and the binding knows only one carrier.
    OneCarrier,
    /// The binding cannot ask for new events only.
    NoLive,
    /// The cursor belongs at a place in the body that is no object.
    NoPlace {
        /// The pointer.
        pointer: String,
    },
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsendable::NoValue { placeholder, template } => write!(f, "`{{{placeholder}}}` in `{template}` has no value here"),
            Unsendable::Header { name, value } => write!(f, "the header `{name}` cannot carry {value:?}"),
            Unsendable::NoCarrier => f.write_str("the binding has no way to present a cursor"),
            Unsendable::OneCarrier => f.write_str("the binding has only one way to present a cursor"),
            Unsendable::NoLive => f.write_str("the binding cannot ask for new events only"),
            Unsendable::NoPlace { pointer } => write!(f, "the request's JSON has no object at `{pointer}` to put the cursor into"),
        }
    }
}

impl std::error::Error for Unsendable {}

impl Request {
    /// The request of an operation.
    ///
    /// # Errors
    /// When its path needs a value that is not given, or a header cannot carry one.
    pub fn operation(binding: &Binding, of: &Operation, vars: &Vars) -> Result<Request, Unsendable> {
        let mut draft = Draft::new(binding, &of.request, vars)?;
        draft.templates(&of.headers, &of.query, vars)?;
        draft.json = of.json.as_ref().map(|json| fill_json(json, vars).unwrap_or_else(|| empty_like(json)));
        let body = of.body.as_ref().map(|body| fill(body, vars, str::to_owned).unwrap_or_default().into_bytes());
        draft.finish(body)
    }

    /// The request that opens a stream (or one long-poll) at `from`.
    ///
    /// The cursor goes by the strongest carrier; a second one `beside` it by the carrier that must lose. The values for
    /// "from the oldest" and "new events only" go by a query parameter where there is one, because they are no cursors.
    ///
    /// # Errors
    /// When the binding cannot say this, or a header cannot carry the cursor.
    pub fn subscribe(profile: &Profile, vars: &Vars, from: &From, role: Role) -> Result<Request, Unsendable> {
        let (binding, of) = (&profile.binding, &profile.binding.subscribe);
        let word = match from {
            From::Start => of.start.as_deref(),
            From::Live => Some(of.live.as_deref().ok_or(Unsendable::NoLive)?),
            From::Cursor { value, .. } => Some(value.as_str()),
        };
        let filled = match word {
            Some(word) => vars.clone().text("cursor", word),
            None => vars.clone(),
        };
        let mut draft = Draft::new(binding, &of.request, &filled)?;
        draft.templates(&of.headers, &of.query, &filled)?;
        draft.json = of.json.as_ref().map(|json| fill_json(json, &filled).unwrap_or_else(|| empty_like(json)));
        let accept = match of.format {
            Format::Sse => "text/event-stream",
            Format::Ndjson => "application/x-ndjson",
            Format::LongPoll => "application/json",
        };
        draft.default_header("Accept", accept);
        draft.default_header("Accept-Encoding", if role == Role::Compressed { "gzip" } else { "identity" });
        let strongest = profile.contract.cursor_precedence.as_ref().filter(|wins| of.cursor.contains(wins)).or(of.cursor.first());
        match (from, word) {
            (From::Cursor { value, beside, .. }, _) => {
                match strongest {
                    Some(carrier) => draft.carry(carrier, value)?,
                    None if value.is_empty() || draft.holds_cursor(&of.request, of) => {}
                    None => return Err(Unsendable::NoCarrier),
                }
                if let Some(beside) = beside {
                    let weaker = of.cursor.iter().find(|carrier| Some(*carrier) != strongest).ok_or(Unsendable::OneCarrier)?;
                    draft.carry(weaker, beside)?;
                }
            }
            (From::Start | From::Live, Some(word)) => {
                let query = of.cursor.iter().find(|carrier| matches!(carrier, CursorCarrier::Query(_)));
                match query.or(strongest) {
                    Some(carrier) => draft.carry(carrier, word)?,
                    None if draft.holds_cursor(&of.request, of) => {}
                    None => return Err(Unsendable::NoCarrier),
                }
            }
            (From::Start | From::Live, None) => {}
        }
        draft.finish(None)
    }

    /// The request for one page of history after `cursor`.
    ///
    /// # Errors
    /// As for [`Request::operation`].
    pub fn history(
        binding: &Binding,
        of: &HistoryRead,
        vars: &Vars,
        cursor: Option<&str>,
        limit: Option<i64>,
    ) -> Result<Request, Unsendable> {
        let mut vars = vars.clone();
        if let Some(cursor) = cursor {
            vars = vars.text("cursor", cursor);
        }
        if let Some(limit) = limit {
            vars = vars.number("limit", limit);
        }
        Request::operation(binding, &of.operation, &vars)
    }

    /// The request for the snapshot.
    ///
    /// # Errors
    /// As for [`Request::operation`].
    pub fn snapshot(binding: &Binding, of: &SnapshotRead, vars: &Vars) -> Result<Request, Unsendable> {
        Request::operation(binding, &of.operation, vars)
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A JSON body of which nothing is left is still a JSON body.
fn empty_like(json: &Value) -> Value {
    match json {
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Value::Object(serde_json::Map::new()),
    }
}

/// A request in the making.
struct Draft {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    json: Option<Value>,
}

impl Draft {
    fn new(binding: &Binding, request: &str, vars: &Vars) -> Result<Draft, Unsendable> {
        let (method, path) = request.trim().split_once(char::is_whitespace).unwrap_or(("GET", request));
        let path = fill(path.trim(), vars, percent)
            .map_err(|placeholder| Unsendable::NoValue { placeholder: placeholder.to_owned(), template: request.to_owned() })?;
        let mut draft = Draft { method: method.to_owned(), path, query: Vec::new(), headers: Vec::new(), json: None };
        for (name, value) in &binding.headers {
            if let Ok(value) = fill(value, vars, str::to_owned) {
                draft.header(name, value)?;
            }
        }
        Ok(draft)
    }

    fn templates<'a>(
        &mut self,
        headers: impl IntoIterator<Item = (&'a String, &'a String)>,
        query: impl IntoIterator<Item = (&'a String, &'a String)>,
        vars: &Vars,
    ) -> Result<(), Unsendable> {
        for (name, value) in headers {
            if let Ok(value) = fill(value, vars, str::to_owned) {
                self.header(name, value)?;
            }
        }
        for (name, value) in query {
            if let Ok(value) = fill(value, vars, str::to_owned) {
                self.query.push((name.clone(), value));
            }
        }
        Ok(())
    }

    fn header(&mut self, name: &str, value: String) -> Result<(), Unsendable> {
        let blank = |c: Option<char>| c.is_some_and(|c| c == ' ' || c == '\t');
        // RFC 9110 5.5: no control characters; blanks at the ends are not part of a value.
        if value.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f) || blank(value.chars().next()) || blank(value.chars().next_back()) {
            return Err(Unsendable::Header { name: name.to_owned(), value });
        }
        match self.headers.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
            Some(known) => *known = (name.to_owned(), value),
            None => self.headers.push((name.to_owned(), value)),
        }
        Ok(())
    }

    fn default_header(&mut self, name: &str, value: &str) {
        if !self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name)) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    fn carry(&mut self, carrier: &CursorCarrier, cursor: &str) -> Result<(), Unsendable> {
        match carrier {
            CursorCarrier::Header(name) => self.header(name, cursor.to_owned()),
            CursorCarrier::Query(name) => {
                self.query.retain(|(key, _)| key != name);
                self.query.push((name.clone(), cursor.to_owned()));
                Ok(())
            }
            CursorCarrier::Body(pointer) => {
                let json = self.json.get_or_insert_with(|| Value::Object(serde_json::Map::new()));
                place(json, pointer, Value::String(cursor.to_owned())).ok_or_else(|| Unsendable::NoPlace { pointer: pointer.clone() })
            }
        }
    }

    /// Whether a template of the subscription holds `{cursor}` itself.
    fn holds_cursor(&self, request: &str, of: &crate::contract::Subscribe) -> bool {
        let texts = [request].into_iter().chain(of.query.values().chain(of.headers.values()).map(String::as_str));
        texts.into_iter().any(|text| text.contains("{cursor}"))
            || of.json.as_ref().is_some_and(|json| json.to_string().contains("{cursor}"))
    }

    fn finish(mut self, body: Option<Vec<u8>>) -> Result<Request, Unsendable> {
        let mut path_and_query = std::mem::take(&mut self.path);
        for (name, value) in &self.query {
            path_and_query.push(if path_and_query.contains('?') { '&' } else { '?' });
            path_and_query.push_str(&percent(name));
            path_and_query.push('=');
            path_and_query.push_str(&percent(value));
        }
        let body = match (self.json.take(), body) {
            (Some(json), _) => {
                self.default_header("Content-Type", "application/json");
                Some(json.to_string().into_bytes())
            }
            (None, Some(text)) => {
                self.default_header("Content-Type", "text/plain; charset=utf-8");
                Some(text)
            }
            (None, None) => None,
        };
        Ok(Request { method: self.method, path_and_query, headers: self.headers, body })
    }
}

/// Puts `value` where `pointer` points, making objects on the way; `None` when something else is in the way.
fn place(json: &mut Value, pointer: &str, value: Value) -> Option<()> {
    let mut here = json;
    for token in pointer.strip_prefix('/')?.split('/') {
        let token = token.replace("~1", "/").replace("~0", "~");
        here = here.as_object_mut()?.entry(token).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    *here = value;
    Some(())
}
