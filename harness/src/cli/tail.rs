//! `streamspec tail`: the built-in reader.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use clap::Args;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{mpsc, watch};

use super::{Complaint, address, complain, exit, tell};
use crate::client::{Applied, Bug, BugSet, Follow, FollowError, Opening, Shape, Stop, Types, carry_out, follow};
use crate::contract::{Format, FrameMatch, OneOrMany, Profile};
use crate::report::visible;

/// Which stream to read, and how.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Prints a JSON line for each event that is applied: {\"id\":…,\"type\":…,\"data\":…}; also {\"gap\":…}, {\"reset\":…}, \
{\"closed\":…} and {\"error\":…}. Reconnects until the stream says that it has ended (a terminal event, or status 204)."
)]
pub(super) struct TailArgs {
    /// The stream
    #[arg(required_unless_present = "adapter")]
    url: Option<String>,
    /// Keep the position in this file, and go on from there when started again
    #[arg(long, value_name = "FILE", env = "STREAMSPEC_STATE")]
    state: Option<PathBuf>,
    /// A header for every request, `Name: value`; may be repeated
    #[arg(long, value_name = "K:V", env = "STREAMSPEC_HEADERS", value_delimiter = '\n')]
    header: Vec<String>,
    /// Begin behind this cursor, where no position is kept
    #[arg(long, value_name = "CURSOR")]
    from: Option<String>,
    /// Where the state is from which to go on after a gap: a JSON document with a `cursor`
    #[arg(long, value_name = "URL", env = "STREAMSPEC_SNAPSHOT")]
    snapshot: Option<String>,
    /// The session to subscribe to, of a profile whose streams are WebSockets
    #[arg(long, value_name = "NAME", env = "STREAMSPEC_SESSION")]
    session: Option<String>,
    /// The method of the request
    #[arg(long, value_name = "METHOD", env = "STREAMSPEC_METHOD", default_value = "GET")]
    method: String,
    /// The body of the request
    #[arg(long, value_name = "TEXT", env = "STREAMSPEC_BODY")]
    body: Option<String>,
    /// The protocol, which says what gap, boundary and terminal frames are called: a built-in profile's name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "sse")]
    profile: String,
    /// Take `{"close":true}` on standard input
    #[arg(long, hide = true, env = "STREAMSPEC_CONTROL")]
    control: bool,
    /// Take the orders of the adapter protocol on standard input, in place of a stream
    #[arg(long, hide = true, conflicts_with = "url")]
    adapter: bool,
    /// A defect to switch on; may be repeated
    #[arg(long = "bug", value_name = "NAME", hide = true)]
    bugs: Vec<Bug>,
}

pub(super) fn run(args: &TailArgs) -> u8 {
    let ended = if args.adapter {
        args.types().map(|(types, profile)| adapter(types, profile, args.defects()))
    } else {
        args.read().map(|what| tail(what, args.control))
    };
    match ended {
        Ok(Ok(Stop::Ended)) => exit::OK,
        Ok(Ok(Stop::Refused)) => exit::COULD_NOT_TEST,
        // A reader of ours that has seen enough.
        Ok(Err(FollowError::Application(error))) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Ok(Err(error)) => {
            tell(&format!("error: {error}"));
            exit::COULD_NOT_TEST
        }
        Err(complaint) => complain(&complaint),
    }
}

impl TailArgs {
    fn read(&self) -> Result<Follow, Complaint> {
        let usage = |why: String| Complaint::Usage(why);
        let url = |text: &str| {
            address(&text.replacen("ws://", "http://", 1))?;
            reqwest::Url::parse(text).map_err(|e| Complaint::Usage(format!("`{text}` is no URL: {e}")))
        };
        let mut headers = HeaderMap::new();
        for line in self.header.iter().filter(|line| !line.trim().is_empty()) {
            let wrong = || usage(format!("`{line}` is no header; write it as `Name: value`"));
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
            headers.append(name, HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| wrong())?);
        }
        let method = reqwest::Method::from_bytes(self.method.as_bytes())
            .map_err(|_| usage(format!("`{}` is no method; write GET or POST", self.method)))?;
        let (types, profile) = self.types()?;
        let messages = self.session.as_deref().and_then(|session| shape(&profile, session));
        let stream = self.url.as_deref().unwrap_or_default();
        let opening = Opening {
            url: url(stream)?,
            snapshot: self.snapshot.as_deref().map(url).transpose()?,
            method,
            body: self.body.clone(),
            headers,
        };
        let (from, state) = (self.from.clone(), self.state.clone());
        let unanswered = |why: &str| tell(&visible(why));
        Ok(Follow { opening, types, from, state, messages, unanswered, bugs: self.defects() })
    }

    /// Which frames the profile says are no ordinary events.
    fn types(&self) -> Result<(Types, Profile), Complaint> {
        let profile = Profile::load(&self.profile)?;
        let frames = profile.binding.frames.clone();
        Ok((Types { gap: types(frames.gap), terminal: types(frames.terminal), boundary: types(frames.boundary) }, profile))
    }

    fn defects(&self) -> BugSet {
        self.bugs.iter().copied().collect()
    }
}

/// The event types by which a frame is known; none for one that is known by its content.
fn types(frame: Option<FrameMatch>) -> Vec<String> {
    match frame.and_then(|frame| frame.event_type) {
        Some(OneOrMany::One(one)) => vec![one],
        Some(OneOrMany::Many(many)) => many,
        None => Vec::new(),
    }
}

fn tail(what: Follow, control: bool) -> Result<Stop, FollowError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| FollowError::Client(e.to_string()))?;
    let (close, closing) = watch::channel(false);
    if control {
        std::thread::spawn(move || listen(&close));
        return runtime.block_on(follow(what, closing, write));
    }
    let stop = runtime.block_on(follow(what, closing, write));
    drop(close);
    stop
}

/// What messages look like in a profile whose streams are WebSockets; `None` for others.
fn shape(profile: &Profile, session: &str) -> Option<Shape> {
    let (subscribe, event) = (&profile.binding.subscribe, &profile.binding.event);
    if subscribe.format != Format::Websocket {
        return None;
    }
    let quoted = serde_json::to_string(session).ok()?;
    let message = subscribe.json.as_ref()?.to_string().replace("{session}", quoted.trim_matches('"'));
    let turn = profile.contract.machines.iter().find(|machine| machine.single)?.key.as_ref()?;
    Some(Shape {
        subscribe: message,
        session: session.to_owned(),
        session_at: event.session.clone()?,
        type_at: event.event_type.clone()?,
        data_at: event.payload.iter().map(str::to_owned).collect(),
        turn_at: turn.iter().next()?.to_owned(),
        refused: subscribe.refused.clone().into_iter().collect(),
    })
}

/// Carries out orders until there are no more.
fn adapter(types: Types, profile: Profile, bugs: BugSet) -> Result<Stop, FollowError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| FollowError::Client(e.to_string()))?;
    let (sender, orders) = mpsc::channel(16);
    std::thread::spawn(move || {
        // Ends with the input, or with the one who carries orders out.
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    runtime.block_on(carry_out(orders, types, Box::new(move |session| shape(&profile, session)), bugs))?;
    Ok(Stop::Ended)
}

/// Reads orders until there are no more.
fn listen(close: &watch::Sender<bool>) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if serde_json::from_str::<serde_json::Value>(&line).is_ok_and(|order| order["close"] == true) {
            close.send_replace(true);
        }
    }
    // The sender's end would be taken for nothing; without orders the stream decides.
    std::thread::park();
}

fn write(batch: &[Applied]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for applied in batch {
        serde_json::to_writer(&mut out, applied)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
