//! `streamspec init`: a commented profile and target to start from.

mod look;
mod reading;
mod template;

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Complaint, address, complain, exit, print};
use crate::contract::{CursorCarrier, Found, starter_profile, starter_target};
use crate::report::{replace, visible};
use crate::world::live::Server;
use template::{Template, template};

/// How requests are written down.
const HOW: &str = "\
Requests are written as they are sent, with placeholders: {session} is a session's name, {payload} what is published, and
{cursor} stands where a reader that resumes says what it has seen. A server that runs is asked: three events are published to
a session of their own and read back, and what is seen of framing, payload and cursor is written into the profile.

  streamspec init http://127.0.0.1:8080 \\
    --publish 'POST /rooms/{session} {\"text\": \"{payload}\"}' --stream 'GET /rooms/{session}?since={cursor}'";

/// Where to look, and where to write.
#[derive(Clone, Debug, Args)]
#[command(after_help = HOW)]
pub(super) struct InitArgs {
    /// A running server, which is asked what it can do
    #[arg(value_name = "URL")]
    server: Option<String>,
    /// The same
    #[arg(long, conflicts_with = "server")]
    url: Option<String>,
    /// The command that starts the server, with {port} and {dir}
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// How a session is opened, where that must be done: "POST /rooms"
    #[arg(long, value_name = "REQUEST", value_parser = template)]
    open: Option<Template>,
    /// How the stream is asked for: "/rooms/{session}/events", or with method and document
    #[arg(long, value_name = "REQUEST", value_parser = template)]
    stream: Option<Template>,
    /// How an event is published: "POST /rooms/{session} {\"text\": \"{payload}\"}"
    #[arg(long, value_name = "REQUEST", value_parser = template)]
    publish: Option<Template>,
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
    let url = args.server.as_ref().or(args.url.as_ref());
    let asking = |template: &Option<Template>| template.as_ref().map(|template| template.asking.clone());
    if let Some(publish) =
        args.publish.as_ref().filter(|publish| publish.asking.json.as_ref().is_some_and(|json| !json.to_string().contains("{payload}")))
    {
        let why =
            format!("`{}` publishes nothing: write {{payload}} where the text of an event belongs in its document", publish.asking.line);
        return Err(Complaint::Usage(why));
    }
    let mut found = Found {
        name: "my-server".to_owned(),
        url: url.cloned(),
        start: args.start.clone(),
        open: asking(&args.open).map(|open| (open, None)),
        stream: asking(&args.stream),
        publish: asking(&args.publish),
        carrier: args.stream.as_ref().and_then(|stream| stream.carrier.clone()),
        ..Found::default()
    };
    let (profile, target) = (args.dir.join("profile.toml"), args.dir.join("target.toml"));
    for path in [&profile, &target] {
        if path.exists() && !args.force {
            return Err(Complaint::Usage(format!(
                "{} is there already; name another folder with --dir, or replace it with --force",
                path.display()
            )));
        }
    }
    let mut seen = Vec::new();
    if let Some(url) = url {
        address(url)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Complaint::Usage(format!("cannot start: {e}")))?;
        runtime.block_on(async {
            let server = Server::at(url, None).await.map_err(|e| Complaint::Unreachable(e.to_string()))?;
            look::look(&server, &mut found, &mut seen).await;
            Ok::<(), Complaint>(())
        })?;
    }
    save(&profile, &starter_profile(&found))?;
    save(&target, &starter_target(&found, "profile.toml"))?;
    let seen: String = seen.iter().map(|line| format!("  {}\n", visible(line))).collect();
    Ok(format!(
        "{seen}wrote {} and {}\nnext: fill in what they ask for, then `streamspec doctor {}`\n",
        profile.display(),
        target.display(),
        target.display()
    ))
}

fn save(path: &Path, text: &str) -> Result<(), Complaint> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| replace(path, text.as_bytes()));
    written.map_err(|e| Complaint::Usage(format!("cannot write {}: {e}", path.display())))
}

/// By which way a cursor travels, in words.
pub(super) fn way(carrier: &CursorCarrier) -> String {
    match carrier {
        CursorCarrier::Header(name) => format!("in the header `{name}`"),
        CursorCarrier::Query(name) => format!("in the parameter `{name}`"),
        CursorCarrier::Body(pointer) => format!("in the body at `{pointer}`"),
        CursorCarrier::BodyNumber(pointer) => format!("in the body at `{pointer}`, as a number"),
    }
}
