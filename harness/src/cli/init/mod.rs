//! `streamspec init`: a commented profile and target to start from.

mod look;
mod reading;
mod template;

use std::path::{Path, PathBuf};

use clap::Args;

use super::progress::Progress;
use super::{Complaint, address, complain, exit, print};
use crate::contract::{CursorCarrier, Found, Ready, starter_profile, starter_target};
use crate::report::{Page, Paint, replace, visible};
use crate::run::binding::unset;
use crate::world::live::{Server, StartSpec};
use look::Looked;
use template::{Template, template};

/// How requests are written down.
const HOW: &str = "\
Requests are written as they are sent, with placeholders: {session} is a session's name, {payload} what is published, and \
{cursor} stands where a reader that resumes says what it has seen. A server is asked: three events are published to a session \
of their own and read back, and what is seen of framing, payload and cursor is written into the profile.

  streamspec init --start './rooms {port}' \\
    --publish 'POST /rooms/{session} {\"text\": \"{payload}\"}' \\
    --stream 'GET /rooms/{session}?since={cursor}'";

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
    /// The command that starts the server, with {port} and {dir}; without a URL it is started, asked and stopped
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// A header of every request, such as "Authorization: Bearer {env.TOKEN}"
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
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
        headers: args.headers.clone(),
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
    let seen = ask(url.map(String::as_str), args.start.as_deref(), &mut found)?;
    save(&profile, &starter_profile(&found))?;
    save(&target, &starter_target(&found, "profile.toml"))?;
    Ok(told(&seen, &found, &[&profile, &target]))
}

/// Asks the server that is named, if one is; what was seen, line by line.
fn ask(url: Option<&str>, start: Option<&str>, found: &mut Found) -> Result<Vec<String>, Complaint> {
    if let Some(url) = url {
        address(url)?;
    }
    let draft = look::draft(found).map_err(Complaint::Usage)?;
    let missing = unset(&draft.binding);
    if !missing.is_empty() {
        return Err(Complaint::Usage(format!("the headers need the environment variables {}; set them", missing.join(", "))));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| Complaint::Usage(format!("cannot start: {e}")))?;
    let waiting = Progress::of_a_wait();
    runtime.block_on(async {
        let server = match (url, start) {
            (Some(url), _) => {
                waiting.say(&format!("asking {url}"));
                Server::at(url, None).await
            }
            (None, Some(start)) => {
                waiting.say(&format!("starting {start}"));
                let spec = StartSpec::of(start, &Ready::default(), &draft);
                Server::start(spec.map_err(|e| Complaint::Usage(format!("the start command is none: {e}")))?).await
            }
            (None, None) => return Ok(Vec::new()),
        };
        let server = server.map_err(|e| Complaint::Unreachable(e.to_string()))?;
        let looked = look::look(&server, found).await;
        server.shut_down().await;
        match looked {
            Looked { answered: false, missed: Some(why), .. } => {
                Err(Complaint::Unreachable(format!("{}: {why}; is it an HTTP server, and does it hang?", server.base())))
            }
            Looked { seen, missed, .. } => {
                found.missed = missed;
                Ok(seen)
            }
        }
    })
}

/// What was seen, what was written, and what is to be done next.
fn told(seen: &[String], found: &Found, written: &[&Path; 2]) -> String {
    let page = Page::of_stdout();
    let mut text: String = seen.iter().map(|line| page.prose("  ", &visible(line))).collect();
    if let Some(missed) = &found.missed {
        text += &page.entry("missed:", Paint::bad, &visible(missed));
    }
    text += &format!("wrote {} and {}\n", written[0].display(), written[1].display());
    let asked = found.url.is_some() || found.start.is_some();
    let next = match (&found.missed, asked && (found.stream.is_none() || found.publish.is_none())) {
        (Some(_), _) => "put the requests right and say --force, or fill in what the files ask for",
        (None, true) => "more is found with --publish and --stream (and --force); or fill in what the files ask for",
        (None, false) => "fill in what they ask for",
    };
    text += &page.prose("next: ", &format!("{next}, then `streamspec doctor {}`", written[1].display()));
    page.fit(text)
}

/// Reads `Name: value`. For the command line's parser.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() || name.contains(char::is_whitespace) {
        return Err(format!("`{text}` is no header; write its name, a colon and its value: Authorization: Bearer {{env.TOKEN}}"));
    }
    Ok((name.to_owned(), value.to_owned()))
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
