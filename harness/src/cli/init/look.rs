//! A look at a running server: three events are published and read back, and a reader resumes behind the second.

use std::time::{Duration, Instant};

use super::reading::{self, Reading};
use crate::contract::{CursorCarrier, Format, Found, Operation, Profile, starter_profile};
use crate::history::{CursorClass, From};
use crate::run::binding::{Request, Vars, for_operation, for_stream};
use crate::world::Whole;
use crate::world::live::Server;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a stream may take to bring what is known to be there.
const READING: Duration = Duration::from_secs(5);

/// Paths at which servers usually say that they live.
const HEALTH: [&str; 8] = ["/health", "/healthz", "/up", "/ready", "/api/health", "/ping", "/status", "/"];

/// Ways by which servers usually take a cursor.
const NAMES: [&str; 10] = ["after", "since", "cursor", "from", "offset", "last_event_id", "lastEventId", "start_after", "position", "seq"];

/// What a look at a server brought.
#[derive(Default)]
pub(super) struct Looked {
    /// What was seen, a line a thing.
    pub(super) seen: Vec<String>,
    /// Why the look ended before all was found.
    pub(super) missed: Option<String>,
    /// The server answered a request.
    pub(super) answered: bool,
}

/// Asks the server, and fills `found`.
pub(super) async fn look(server: &Server, found: &mut Found) -> Looked {
    let mut looked = Looked::default();
    let mut unhealthy = None;
    for path in HEALTH {
        let asked = Instant::now();
        match server.overhear(&get(path), PATIENCE, |_| true).await {
            Ok(answer) => {
                looked.answered = true;
                if (200..=299).contains(&answer.status) {
                    looked.seen.push(format!("GET {path} answers"));
                    found.health = Some(format!("GET {path}"));
                    break;
                }
            }
            Err(why) => {
                unhealthy = Some(format!("GET {path}: {why}"));
                // What hangs here hangs at the next path, too.
                if asked.elapsed() >= PATIENCE {
                    break;
                }
            }
        }
    }
    let before = looked.seen.len();
    let missed = read_back(server, found, &mut looked.seen).await.err();
    looked.answered |= looked.seen.len() > before;
    looked.missed = missed.or(unhealthy.filter(|_| !looked.answered));
    looked
}

fn get(path: &str) -> Request {
    Request { method: "GET".to_owned(), target: path.to_owned(), headers: Vec::new(), body: None, secrets: Vec::new() }
}

/// The profile as far as it is known.
pub(super) fn draft(found: &Found) -> Result<Profile, String> {
    Profile::parse("profile.toml", &starter_profile(found)).map_err(|error| format!("{error}; {}", error.next_step()))
}

async fn read_back(server: &Server, found: &mut Found, seen: &mut Vec<String>) -> Result<(), String> {
    let Some(stream) = found.stream.clone() else { return Ok(()) };
    let session = opened(server, found, seen).await?;
    let mut vars = Vars::default();
    vars.text("session", &session);
    if found.publish.is_none() {
        return beginning(server, found, &vars, seen).await;
    }
    let payloads: Vec<String> = ["one", "two", "three"].map(|nth| format!("{nth} of {:016x}", rand::random::<u64>())).to_vec();
    let answers = published(server, found, &vars, &payloads, seen).await?;
    let newest = payloads[2].clone();
    let request = for_stream(&draft(found)?.binding, &vars, &From::Start);
    let whole = server.overhear(&request, READING, |text| text.contains(&newest)).await.map_err(|why| format!("{}: {why}", stream.line))?;
    let media = whole.header("content-type").unwrap_or("no media type").to_owned();
    let told = format!("{} answers {} {media}: {}", stream.line, whole.status, short(&whole.body));
    seen.push(told);
    accepted(&stream.line, whole.status)?;
    let answered: Vec<Vec<String>> = answers.iter().map(scalars).collect();
    let reading = reading::read(&media, &whole.body, &payloads, &answered).ok_or_else(|| nothing_of_it(&media, &whole.body, &payloads))?;
    take(found, &reading, &answers);
    seen.push(match &reading.cursor {
        Some(cursor) => format!("payload at `{}`, cursor at `{cursor}`: {}", reading.payload, reading.cursors.join(", ")),
        None => format!("payload at `{}`; nothing looks like a cursor", reading.payload),
    });
    if let [_, second, ..] = reading.cursors.as_slice() {
        resumed(server, found, &vars, (second, reading.number), &payloads, seen).await?;
    }
    Ok(())
}

/// Opens a session where that must be done; its name.
async fn opened(server: &Server, found: &mut Found, seen: &mut Vec<String>) -> Result<String, String> {
    let session = format!("streamspec-init-{:08x}", rand::random::<u32>());
    let mut vars = Vars::default();
    vars.text("session", &session);
    let Some((open, pointer)) = &mut found.open else { return Ok(session) };
    let operation = Operation { request: open.line.clone(), json: open.json.clone(), ..Operation::default() };
    let binding = draft(&Found { headers: found.headers.clone(), ..Found::default() })?.binding;
    let line = open.line.clone();
    let whole = asked(server, &for_operation(&binding, &operation, &vars), &line, seen).await?;
    let document = whole.json().unwrap_or_default();
    let leaves = reading::leaves(&document);
    let called = |pointer: &str| {
        let name = pointer.rsplit('/').next().unwrap_or_default().to_lowercase();
        ["session", "sessionid", "session_id", "id", "name", "room", "key"].contains(&name.as_str())
    };
    let texts = || leaves.iter().filter(|(_, leaf)| leaf.is_string());
    match texts().find(|(at, _)| called(at)).or_else(|| texts().next()) {
        Some((at, leaf)) => {
            seen.push(format!("a session's name is at `{at}`"));
            *pointer = Some(at.clone());
            Ok(reading::text_of(leaf).unwrap_or(session))
        }
        None => Ok(session),
    }
}

/// Publishes each payload; the answers.
async fn published(
    server: &Server,
    found: &Found,
    vars: &Vars,
    payloads: &[String],
    seen: &mut Vec<String>,
) -> Result<Vec<serde_json::Value>, String> {
    let binding = draft(found)?.binding;
    let operation = binding.publish.as_ref().ok_or("the profile has no way to publish")?;
    let mut answers = Vec::new();
    for payload in payloads {
        let mut vars = vars.clone();
        vars.text("payload", payload);
        let told = &mut Vec::new();
        let whole = asked(server, &for_operation(&binding, operation, &vars), &operation.request, told).await;
        if answers.is_empty() || whole.is_err() {
            seen.append(told);
        }
        answers.push(whole?.json().unwrap_or_default());
    }
    Ok(answers)
}

/// Sends a request that must be accepted.
async fn asked(server: &Server, request: &Request, line: &str, seen: &mut Vec<String>) -> Result<Whole, String> {
    let whole = server.overhear(request, PATIENCE, |_| false).await.map_err(|why| format!("{line}: {why}"))?;
    let told = format!("{line} answers {}: {}", whole.status, short(&whole.body));
    seen.push(told);
    accepted(line, whole.status)?;
    Ok(whole)
}

/// Whether a request was; if not, what that most likely asks for.
fn accepted(line: &str, status: u16) -> Result<(), String> {
    let hint = match status {
        200..=299 => return Ok(()),
        401 | 403 => "; --header \"Authorization: Bearer {env.TOKEN}\" goes with every request",
        404 => ": is the path right, and must a session be opened first (--open)?",
        405 => ": is the method right?",
        _ => "",
    };
    Err(format!("{line} is refused with {status}{hint}"))
}

/// Why nothing can be read from a stream.
fn nothing_of_it(media: &str, body: &str, payloads: &[String]) -> String {
    let came = payloads.iter().filter(|payload| body.contains(payload.as_str())).count();
    if media.contains("html") {
        "the stream is a web page: are address and path right?".to_owned()
    } else if body.trim().is_empty() {
        "not a byte came on the stream: does it begin with what was published before?".to_owned()
    } else if came == 0 {
        "the stream did not bring what was published: is it the stream of the same session, and from its beginning?".to_owned()
    } else {
        format!("{came} of {} events came, in a framing that is none of SSE, JSON lines and one JSON document", payloads.len())
    }
}

/// Without a way to publish: what the stream looks like.
async fn beginning(server: &Server, found: &mut Found, vars: &Vars, seen: &mut Vec<String>) -> Result<(), String> {
    let request = for_stream(&draft(found)?.binding, vars, &From::Start);
    let line = format!("{} {}", request.method, request.target);
    let whole = server.overhear(&request, Duration::from_millis(500), |_| false).await.map_err(|why| format!("{line}: {why}"))?;
    let media = whole.header("content-type").unwrap_or("no media type");
    seen.push(format!("{line} answers {} {media}: {}", whole.status, short(&whole.body)));
    if whole.status == 200 {
        found.format = Some(reading::format_of(media, &whole.body));
        found.ids = whole.body.lines().any(|line| line.starts_with("id:"));
        let mut types: Vec<String> = whole.body.lines().filter_map(|l| l.strip_prefix("event:")).map(|t| t.trim().to_owned()).collect();
        types.sort();
        types.dedup();
        found.types = types;
        seen.push("to see more of it, say how an event is published: --publish".to_owned());
    }
    Ok(())
}

/// What was read, into the profile.
fn take(found: &mut Found, reading: &Reading, answers: &[serde_json::Value]) {
    found.format = Some(reading.format);
    found.ids = reading.cursor.as_deref() == Some("id");
    found.cursor.clone_from(&reading.cursor);
    found.order = Some(reading.order());
    found.kind.clone_from(&reading.kind);
    found.payload = Some(reading.payload.clone());
    found.records.clone_from(&reading.records);
    found.types.clone_from(&reading.types);
    let all = |pointer: &str| {
        answers
            .iter()
            .zip(&reading.cursors)
            .all(|(answer, cursor)| answer.pointer(pointer).and_then(reading::text_of).as_ref() == Some(cursor))
    };
    let first = answers.first().map(reading::leaves).unwrap_or_default();
    found.taken = first.into_iter().map(|(pointer, _)| pointer).find(|pointer| !reading.cursors.is_empty() && all(pointer));
}

/// Finds out by which way the server takes a cursor: behind the second event only the third may come.
async fn resumed(
    server: &Server,
    found: &mut Found,
    vars: &Vars,
    (cursor, number): (&str, bool),
    payloads: &[String],
    seen: &mut Vec<String>,
) -> Result<(), String> {
    let in_body = |pointer: String| if number { CursorCarrier::BodyNumber(pointer) } else { CursorCarrier::Body(pointer) };
    if found.format == Some(Format::LongPoll) {
        seen.push("a document and no stream: `binding.subscribe.next` and `cursor` are left to you".to_owned());
        return Ok(());
    }
    let given = found.carrier.take().map(|carrier| match carrier {
        CursorCarrier::Body(pointer) => in_body(pointer),
        other => other,
    });
    let ways: Vec<CursorCarrier> = match &given {
        Some(way) => vec![way.clone()],
        None => {
            let body = found.stream.as_ref().is_some_and(|stream| stream.json.is_some());
            let header = found.ids.then(|| CursorCarrier::Header("Last-Event-ID".to_owned()));
            let named =
                NAMES.into_iter().map(|name| if body { in_body(format!("/{name}")) } else { CursorCarrier::Query(name.to_owned()) });
            header.into_iter().chain(named).collect()
        }
    };
    for way in ways {
        found.carrier = Some(way.clone());
        let from = From::Cursor { value: cursor.into(), class: CursorClass::Own, beside: None };
        let request = for_stream(&draft(found)?.binding, vars, &from);
        let over = |text: &str| text.contains(&payloads[2]) || text.contains(&payloads[0]);
        let Ok(whole) = server.overhear(&request, READING, over).await else { continue };
        let old = payloads[..2].iter().any(|payload| whole.body.contains(payload));
        if !old && whole.body.contains(&payloads[2]) {
            seen.push(format!("behind cursor {cursor}, sent {}, only what is newer comes", super::way(&way)));
            return Ok(());
        }
        if given.is_some() {
            let brought = if old { "older events came again".to_owned() } else { format!("{}: {}", whole.status, short(&whole.body)) };
            seen.push(format!("behind cursor {cursor}, sent {}: {brought}", super::way(&way)));
            return Ok(());
        }
    }
    found.carrier = None;
    Err("no usual way to send a cursor was understood: write {cursor} where it belongs in --stream".to_owned())
}

fn scalars(answer: &serde_json::Value) -> Vec<String> {
    reading::leaves(answer).into_iter().filter_map(|(_, leaf)| reading::text_of(leaf)).collect()
}

/// The beginning of a body, on one line.
fn short(body: &str) -> String {
    const MOST: usize = 100;
    let body = body.trim();
    if body.is_empty() {
        return "(an empty body)".to_owned();
    }
    let mut short: String = body.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if body.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
