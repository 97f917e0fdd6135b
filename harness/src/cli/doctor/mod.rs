//! `streamspec doctor`: a target step by step, up to the first thing that is wrong.
//!
//! Two runs of the ordinary runner are looked at: one goes from start to resume, the other stops and restarts the process. What
//! their histories show is read in `findings`.

mod findings;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::plan::{Resolved, TargetArgs};
use super::progress::Progress;
use super::{complain, exit, print};
use crate::check::Finding;
use crate::contract::{Format, requirement};
use crate::history::{Message, What};
use crate::report::{Page, Paint, visible};
use crate::run::suite::{Case, Lateness, StopSign, Subject, Suite, SuiteError, run as run_suite};
use crate::scenario::Scenario;
use crate::world::live::ServerError;
use crate::world::live::process::{ProcessError, Readiness};
use findings::{Came, Note, Step};

/// What every resumable stream must be able to do.
const BASICS: &str = r#"
name = "doctor"
says = "open, publish, read, cut, resume"
needs = ["publish", "resume"]
audit = false
steps = [
  { open = { session = "s" } },
  { publish = { session = "s", count = 3 } },
  { subscribe = { reader = "reader", session = "s" } },
  { await = { reader = "reader", upto = "last" } },
  { drop = { reader = "reader" } },
  { publish = { session = "s", count = 2 } },
  { resume = { reader = "reader" } },
  { await = { reader = "reader", upto = "last" } },
]
"#;

/// What a stream can do that brings new events only.
const LIVE: &str = r#"
name = "doctor"
says = "open, read, publish"
needs = ["publish"]
audit = false
steps = [
  { open = { session = "s" } },
  { subscribe = { reader = "reader", session = "s" } },
  { publish = { session = "s", count = 3 } },
  { await = { reader = "reader", upto = "last" } },
]
"#;

/// Both ways of ending a process.
const RESTART: &str = r#"
name = "doctor-restart"
says = "ask it to end, and start it again; kill it, and start it again"
needs = ["publish", "restart", "kill"]
audit = false
steps = [
  { open = { session = "s" } },
  { publish = { session = "s" } },
  { restart = { how = "term" } },
  { restart = { how = "kill" } },
]
"#;

/// What stands for the output of a process that printed nothing.
const NOTHING_PRINTED: &str = "(it printed nothing)";

/// So many frames are shown of a stream that is not understood.
const SHOWN: usize = 3;

pub(super) fn run(args: &TargetArgs) -> u8 {
    let resolved = match args.resolve() {
        Ok(resolved) => resolved,
        Err(complaint) => return complain(&complaint),
    };
    let page = Page::of_stdout();
    print(&page.fit(format!("streamspec doctor · profile {} · {}\n\n", resolved.profile.name, visible(&resolved.name))));
    if examine(&resolved, page) { exit::OK } else { exit::COULD_NOT_TEST }
}

/// Goes through the steps and prints each; true when nothing is wrong.
fn examine(resolved: &Resolved, page: Page) -> bool {
    let case = match one(resolved, if resolved.profile.replays() { BASICS } else { LIVE }) {
        Ok(case) => case,
        Err(NoCase { alive, why }) => {
            let [start, _] = started(resolved);
            return if alive {
                tell(page, &start) && tell(page, &Step::wrong("ready", why))
            } else {
                tell(page, &Step::wrong("start", why))
            };
        }
    };
    for step in started(resolved) {
        tell(page, &step);
    }
    for step in findings::basics(&case, &resolved.profile) {
        if !tell(page, &step) {
            if step.unread {
                unread(resolved, page);
            }
            printed(page, &case);
            return false;
        }
    }
    if resolved.capabilities.restart {
        let case = match one(resolved, RESTART) {
            Ok(case) => case,
            Err(NoCase { why, .. }) => return tell(page, &Step::wrong("stop", why)),
        };
        for step in findings::restarts(&case) {
            if !tell(page, &step) {
                printed(page, &case);
                return false;
            }
        }
    } else {
        for what in ["stop", "restart"] {
            tell(page, &Step::not_tried(what, "streamspec has no control over the process"));
        }
    }
    let mut out = violations(page, &case);
    let _ = writeln!(out, "\nready: `streamspec test{}`", visible(&resolved.again));
    print(&page.fit(out));
    true
}

/// How the target came to life.
fn started(resolved: &Resolved) -> [Step; 2] {
    match &resolved.subject {
        Subject::Url { url, .. } => [Step::right("start", "it runs already"), Step::right("ready", format!("{url} accepts connections"))],
        Subject::Start(spec) => {
            let ready = match &spec.ready {
                Readiness::Line(text) => format!("it printed a line with `{text}`"),
                Readiness::Http { path, status } => {
                    let wanted = status.map_or_else(|| "a 2xx status".to_owned(), |status| status.to_string());
                    format!("GET {path} answered with {wanted}")
                }
                Readiness::Port => "its port is open".to_owned(),
            };
            [Step::right("start", "its process runs, under a guard"), Step::right("ready", ready)]
        }
    }
}

/// What stands before a note: it begins below what was found, behind the word and the step, where the page is wide enough for both.
fn indent(page: Page) -> &'static str {
    const BELOW: &str = "                ";
    if page.room(BELOW.len()).is_some_and(|room| room < 2 * BELOW.len()) { "    " } else { BELOW }
}

/// Prints a step; true when nothing is wrong with it.
fn tell(page: Page, step: &Step) -> bool {
    let (word, paint): (_, fn(Paint, &str) -> String) = match step.came {
        Came::Right => ("ok", Paint::good),
        Came::NotTried => ("--", Paint::dim),
        Came::Wrong => ("WRONG", Paint::bad),
    };
    let mut out = page.prose(&format!("{word:<6} {:<8} ", step.what), &visible(&step.found));
    out.replace_range(..word.len(), &paint(page.paint, word));
    let indent = indent(page);
    for note in &step.notes {
        match note {
            Note::Hint(text) => out += &page.prose(indent, &visible(text)),
            Note::Bytes(text) => out.extend(text.lines().map(|line| format!("{indent}{}\n", visible(line.trim_end())))),
        }
    }
    print(&page.fit(out));
    !step.is_wrong()
}

/// What the server printed, where it may say why.
fn printed(page: Page, case: &Case) {
    let output = case.output.trim();
    if !output.is_empty() && output != NOTHING_PRINTED {
        let lines: String = output.lines().map(|line| format!("  {}\n", visible(line))).collect();
        print(&page.fit(format!("\n{}\n{lines}", page.paint.dim("what the server printed last:"))));
    }
}

/// Shows the lines of a stream of which no frame was understood: read once more, line by line.
fn unread(resolved: &Resolved, page: Page) {
    let mut profile = (*resolved.profile).clone();
    profile.binding.subscribe.format = Format::Ndjson;
    let lines = Resolved { profile: Arc::new(profile), ..resolved.clone() };
    let Ok(case) = one(&lines, BASICS) else { return };
    let frames = case.history.records.iter().filter_map(|record| match &record.what {
        What::Wire(wire) => match &wire.message {
            Message::Frame { text, .. } => Some(findings::shown(text)),
            Message::Request { .. } | Message::Sent { .. } | Message::Answer { .. } | Message::Silence | Message::Full => None,
        },
        _ => None,
    });
    let frames: Vec<String> = frames.filter(|text| !text.is_empty()).take(SHOWN).collect();
    let head = if frames.is_empty() { "not a byte came on the stream" } else { "the stream began with these lines:" };
    let indent = indent(page);
    let lines: String = frames.iter().map(|line| format!("{indent}{}\n", visible(line))).collect();
    print(&page.fit(format!("{indent}{}\n{lines}", page.paint.dim(head))));
}

/// Promises that the two runs showed broken already.
fn violations(page: Page, case: &Case) -> String {
    let failed = case.verdicts.iter().filter(|verdict| matches!(verdict.finding, Finding::Fail { .. }));
    let lines: String =
        failed.map(|v| page.prose(&format!("  {:<11} ", v.requirement), requirement(&v.requirement).map_or("", |r| r.says))).collect();
    if lines.is_empty() { lines } else { format!("\nthe binding fits; these promises were broken on the way:\n{lines}") }
}

/// Why nothing was run.
struct NoCase {
    /// The process runs, and is not ready.
    alive: bool,
    why: String,
}

/// Runs one scenario on a server of its own, and keeps what stood on the wire.
fn one(resolved: &Resolved, text: &str) -> Result<Case, NoCase> {
    let bug = |why: String| NoCase { alive: false, why: format!("a defect of streamspec: {why}") };
    let scenario = Scenario::parse("doctor", text).map_err(|error| bug(error.to_string()))?;
    let waiting = Progress::of_a_wait();
    waiting.say(&scenario.says);
    let suite = Suite {
        profile: Arc::clone(&resolved.profile),
        subject: resolved.subject.clone(),
        transcribed: [scenario.name.clone()].into(),
        scenarios: vec![scenario],
        seed: rand::random(),
        jobs: 1,
        repeat: 1,
        fresh: false,
        deadline: Duration::from_millis(resolved.profile.contract.liveness.delivery_ms * 2),
        lateness: Lateness::AskedAgain,
    };
    let mut done = None;
    match run_suite(&suite, &StopSign::default(), |case| done = Some(case)) {
        Ok(()) => done.ok_or_else(|| bug("nothing was run".to_owned())),
        Err(SuiteError::Server(error)) => {
            let alive = matches!(error, ServerError::Process(ProcessError::NeverReady { .. }));
            Err(NoCase { alive, why: error.to_string() })
        }
        Err(SuiteError::Bug(why)) => Err(bug(why)),
    }
}
