//! Attachments and files of the workspace. A path names a file of the session's own folders, or nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::answer::{Answered, Refusal, ok};
use super::conversation::Conversation;
use super::{Server, Shared};
use crate::bugs::Bug;
use crate::contain;

/// Longest name of an attachment, in characters.
const MOST_NAME: usize = 200;
/// How many attachments of one name there may be.
const MOST_CLASHES: u32 = 10_000;

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not found")
}

fn broken(error: &std::io::Error) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot use the file: {error}"))
}

/// A name without anything that a path or a shell could misread.
fn safe(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let kept: String = last.chars().map(|c| if c.is_alphanumeric() || "_.-".contains(c) { c } else { '_' }).take(MOST_NAME).collect();
    let kept = kept.trim_start_matches('.');
    if kept.is_empty() { "file".to_owned() } else { kept.to_owned() }
}

/// The media type of a name, and whether a browser may show it in place.
fn media(name: &str) -> (&'static str, bool) {
    let extension = name.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase());
    match extension.as_str() {
        "png" => ("image/png", true),
        "jpg" | "jpeg" => ("image/jpeg", true),
        "gif" => ("image/gif", true),
        "webp" => ("image/webp", true),
        "txt" | "md" | "log" => ("text/plain; charset=utf-8", true),
        "json" => ("application/json", true),
        "pdf" => ("application/pdf", true),
        // What can run a script is never shown in place.
        "svg" => ("image/svg+xml", false),
        "html" | "htm" | "xhtml" => ("text/html; charset=utf-8", false),
        _ => ("application/octet-stream", false),
    }
}

pub(super) async fn upload(State(server): State<Shared>, headers: HeaderMap, mut form: Multipart) -> Answered {
    let wrong = |error: MultipartError| Refusal::new(error.status(), &error.body_text());
    let (mut session, mut file) = (None, None);
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        match field.name() {
            Some("session_id") => session = Some(field.text().await.map_err(wrong)?),
            Some("file") => {
                let name = field.file_name().unwrap_or("file").to_owned();
                file = Some((name, field.bytes().await.map_err(wrong)?));
            }
            Some(_) | None => {}
        }
    }
    let session = session.ok_or_else(|| Refusal::bad("session_id is missing"))?;
    let (name, bytes) = file.ok_or_else(|| Refusal::bad("file is missing"))?;
    let conversation = Conversation::of(&server, &headers, &session)?;
    let folder = server.attachments.join(&conversation.id);
    let name = safe(&name);
    let (filename, path) = tokio::task::spawn_blocking({
        let (name, bytes) = (name, bytes.clone());
        move || store(&folder, &name, &bytes)
    })
    .await
    .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the file was not stored"))?
    .map_err(|e| broken(&e))?;
    let (mime, _) = media(&filename);
    ok(json!({ "filename": filename, "path": path, "size": bytes.len(), "mime": mime, "is_image": mime.starts_with("image/") }))
}

/// Stores under this name, or with a number behind it when the name is taken.
fn store(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<(String, PathBuf)> {
    use std::io::Write;
    std::fs::create_dir_all(folder)?;
    let (stem, extension) = name.rsplit_once('.').map_or((name, String::new()), |(stem, extension)| (stem, format!(".{extension}")));
    for n in 0..MOST_CLASHES {
        let name = if n == 0 { name.to_owned() } else { format!("{stem}-{n}{extension}") };
        let path = folder.join(&name);
        match std::fs::File::create_new(&path) {
            Ok(mut file) => {
                file.write_all(bytes)?;
                file.sync_all()?;
                return Ok((name, path));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::other("there are too many files of that name"))
}

/// The file that a path names for a session: in the workspace, then among its own attachments.
fn find(server: &Server, session: &str, asked: &str) -> Option<PathBuf> {
    let bugs = server.hub.bugs;
    let own = server.attachments.join(session);
    if bugs.has(Bug::AttachmentRoot) {
        // The folder of all sessions, with the session's only to begin in.
        let found = contain::inside(&server.attachments, own.join(asked).to_str()?);
        return contain::inside(&server.workspace, asked).or(found);
    }
    if bugs.has(Bug::PrefixContainment) {
        let file = own.join(asked).canonicalize().ok()?;
        let root = own.canonicalize().ok()?;
        if file.is_file() && file.to_str()?.starts_with(root.to_str()?) {
            return Some(file);
        }
    }
    contain::inside(&server.workspace, asked).or_else(|| contain::inside(&own, asked))
}

pub(super) async fn raw(State(server): State<Shared>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answered {
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    let conversation = Conversation::of(&server, &headers, text("session_id"))?;
    let path = find(&server, &conversation.id, text("path")).ok_or_else(|| {
        let told = server.hub.bugs.has(Bug::EscapeForbidden) && text("path").contains("..");
        if told { Refusal::new(StatusCode::FORBIDDEN, "outside the workspace") } else { not_found() }
    })?;
    let bytes = tokio::fs::read(&path).await.map_err(|_| not_found())?;
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (mime, in_place) = media(&name);
    let disposition = if !in_place || text("download") == "1" { "attachment" } else { "inline" };
    let length = bytes.len();
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(|range| wanted(range, length));
    let (status, bytes) = match &range {
        Some((from, to)) => (StatusCode::PARTIAL_CONTENT, bytes[*from..=*to].to_vec()),
        None => (StatusCode::OK, bytes),
    };
    let mut response = (status, Body::from(bytes)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = format!("{disposition}; filename=\"{}\"", safe(&name)).parse() {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if let Some((from, to)) = range
        && let Ok(value) = format!("bytes {from}-{to}/{length}").parse()
    {
        headers.insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// The bytes of a single satisfiable range; any other is answered with the whole file, as RFC 9110, section 14.2 allows.
fn wanted(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=").filter(|range| !range.contains(','))?.split_once('-')?;
    let last = length.checked_sub(1)?;
    let (from, to) = match (from.parse::<usize>().ok(), to.parse::<usize>().ok()) {
        (Some(from), to) => (from, to.unwrap_or(last).min(last)),
        (None, Some(count)) if from.is_empty() && count > 0 => (length.saturating_sub(count), last),
        (None, _) => return None,
    };
    (from <= to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_reduced_and_clashes_numbered() {
        for (name, kept) in
            [("a b.txt", "a_b.txt"), ("../../etc/passwd", "passwd"), ("..", "file"), ("", "file"), (".x", "x"), ("é-1.p", "é-1.p")]
        {
            assert_eq!(safe(name), kept);
        }
        assert_eq!(safe(&"x".repeat(500)).len(), MOST_NAME);
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..3).map(|_| store(dir.path(), "a.tar", b"x").unwrap().0).collect();
        assert_eq!(names, ["a.tar", "a-1.tar", "a-2.tar"]);
    }

    #[test]
    fn ranges_are_clipped_to_the_file() {
        for (range, bytes) in [
            ("bytes=0-3", Some((0, 3))),
            ("bytes=8-", Some((8, 9))),
            ("bytes=-2", Some((8, 9))),
            ("bytes=5-99", Some((5, 9))),
            ("bytes=10-", None),
            ("bytes=3-1", None),
            ("bytes=-", None),
            ("lines=1-2", None),
            ("bytes=0-1,3-4", None),
        ] {
            assert_eq!(wanted(range, 10), bytes, "{range}");
        }
        assert_eq!(wanted("bytes=0-0", 0), None);
    }
}
