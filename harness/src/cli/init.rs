//! `streamspec init`: a commented profile and target to start from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{Complaint, address, complain, exit, print};
use crate::contract::{Format, Found, starter_profile, starter_target};

/// Where to look, and where to write.
#[derive(Clone, Debug, Args)]
pub(super) struct InitArgs {
    /// A running server, which is asked what it can do
    #[arg(long)]
    url: Option<String>,
    /// The command that starts the server, with {port} and {dir}
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// The path of the stream, with {session}: /sessions/{session}/events
    #[arg(long, value_name = "PATH")]
    stream: Option<String>,
    /// How a publish looks: "POST /sessions/{session}/events"
    #[arg(long, value_name = "REQUEST")]
    publish: Option<String>,
    /// The folder to write into
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &InitArgs) -> u8 {
    match write(args) {
        Ok(text) => {
            print(&text);
            exit::OK
        }
        Err(complaint) => complain(&complaint),
    }
}

fn write(args: &InitArgs) -> Result<String, Complaint> {
    let mut found = Found {
        name: "my-server".to_owned(),
        url: args.url.clone(),
        start: args.start.clone(),
        stream: args.stream.clone(),
        publish: args.publish.clone(),
        ..Found::default()
    };
    let mut seen = Vec::new();
    if let Some(url) = &args.url {
        address(url)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Complaint::Usage(format!("cannot start: {e}")))?;
        runtime.block_on(ask(url, &mut found, &mut seen))?;
    }
    let (profile, target) = (args.dir.join("profile.toml"), args.dir.join("target.toml"));
    for path in [&profile, &target] {
        if path.exists() && !args.force {
            return Err(Complaint::Usage(format!(
                "{} is there already; name another folder with --dir, or replace it with --force",
                path.display()
            )));
        }
    }
    save(&profile, &starter_profile(&found))?;
    save(&target, &starter_target(&found, "profile.toml"))?;
    let seen: String = seen.iter().map(|line| format!("  {line}\n")).collect();
    Ok(format!(
        "{seen}wrote {} and {}\nnext: fill in what they ask for, then `streamspec doctor {}`\n",
        profile.display(),
        target.display(),
        target.display()
    ))
}

fn save(path: &Path, text: &str) -> Result<(), Complaint> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|e| e.error).map(drop)
    });
    written.map_err(|e| Complaint::Usage(format!("cannot write {}: {e}", path.display())))
}

/// Asks a running server: which usual paths answer, and what a stream looks like.
async fn ask(url: &str, found: &mut Found, seen: &mut Vec<String>) -> Result<(), Complaint> {
    let server = crate::world::live::Server::at(url, None).await.map_err(|e| Complaint::Unreachable(e.to_string()))?;
    for path in ["/health", "/healthz", "/api/health", "/ping", "/"] {
        if let Some((200..=299, _, _)) = get(&server, path).await {
            seen.push(format!("GET {path} answers"));
            found.health = Some(format!("GET {path}"));
            break;
        }
    }
    let Some(stream) = found.stream.clone() else { return Ok(()) };
    let path = stream.replace("{session}", "streamspec-init");
    match get(&server, &path).await {
        Some((200, media, body)) => {
            seen.push(format!("GET {path} answers 200 {media}"));
            found.format = Some(if media.contains("event-stream") {
                Format::Sse
            } else if media.contains("ndjson") || media.contains("jsonl") {
                Format::Ndjson
            } else {
                Format::LongPoll
            });
            found.ids = body.lines().any(|line| line.starts_with("id:"));
            let mut types: Vec<String> = body.lines().filter_map(|l| l.strip_prefix("event:")).map(|t| t.trim().to_owned()).collect();
            types.sort();
            types.dedup();
            found.types = types;
        }
        Some((status, media, body)) => {
            seen.push(format!("GET {path} answers {status} {media}: {}", body.trim().chars().take(80).collect::<String>()))
        }
        None => seen.push(format!("GET {path} does not answer within 3 s")),
    }
    Ok(())
}

/// Status, media type and the beginning of the body.
async fn get(server: &crate::world::live::Server, path: &str) -> Option<(u16, String, String)> {
    server.peek(path, Duration::from_secs(3)).await
}
