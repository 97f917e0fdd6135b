//! `streamspec doctor`: a target step by step, up to the first thing that is wrong.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::plan::{Resolved, TargetArgs};
use super::{complain, exit, print};
use crate::history::{Action, ConnId, History, Kind, Outcome, Process, Surface, View, What};
use crate::report::Paint;
use crate::run::suite::{Case, Lateness, StopSign, Suite, SuiteError, run as run_suite};
use crate::scenario::Scenario;

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

/// The same, with a kill at the end.
const RESTART: &str = r#"
name = "doctor-restart"
says = "kill, and start again"
needs = ["publish", "kill"]
audit = false
steps = [
  { open = { session = "s" } },
  { publish = { session = "s" } },
  { restart = {} },
]
"#;

pub(super) fn run(args: &TargetArgs) -> u8 {
    let resolved = match args.resolve() {
        Ok(resolved) => resolved,
        Err(complaint) => return complain(&complaint),
    };
    let mut report = Report {
        out: format!("streamspec doctor · profile {} · {}\n\n", resolved.profile.name, resolved.name),
        paint: Paint::for_stdout(),
        failed: false,
    };
    let code = examine(&resolved, &mut report);
    print(&report.out);
    code
}

struct Report {
    out: String,
    paint: Paint,
    failed: bool,
}

impl Report {
    fn step(&mut self, ok: bool, what: &str, found: &str) {
        let word = if ok { self.paint.good("ok    ") } else { self.paint.bad("WRONG ") };
        let _ = writeln!(self.out, "{word} {what:<10} {found}");
        self.failed |= !ok;
    }

    fn note(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.out, "         {line}");
        }
    }
}

fn examine(resolved: &Resolved, report: &mut Report) -> u8 {
    let case = match one(resolved, BASICS) {
        Ok(case) => case,
        Err(why) => {
            report.step(false, "start", &why);
            return exit::COULD_NOT_TEST;
        }
    };
    report.step(true, "start", "the server is there and ready");
    basics(&case, report);
    if report.failed {
        report.note(case.output.trim());
        return exit::COULD_NOT_TEST;
    }
    if resolved.capabilities.restart {
        match one(resolved, RESTART) {
            Ok(case) => restarted(&case, report),
            Err(why) => report.step(false, "restart", &why),
        }
    } else {
        report.step(true, "restart", "not tried: no control over the process");
    }
    if report.failed {
        return exit::COULD_NOT_TEST;
    }
    let _ = writeln!(report.out, "\nready: `streamspec test{}`", resolved.again);
    exit::OK
}

/// Runs one scenario on a server of its own.
fn one(resolved: &Resolved, text: &str) -> Result<Case, String> {
    let scenario = Scenario::parse("doctor", text).map_err(|e| format!("{e}"))?;
    let suite = Suite {
        profile: Arc::clone(&resolved.profile),
        subject: resolved.subject.clone(),
        scenarios: vec![scenario],
        seed: rand::random(),
        jobs: 1,
        repeat: 1,
        fresh: false,
        deadline: Duration::from_millis(resolved.profile.contract.liveness.delivery_ms * 2),
        transcribed: Default::default(),
        lateness: Lateness::AskedAgain,
    };
    let mut done = None;
    match run_suite(&suite, &StopSign::default(), |case| done = Some(case)) {
        Ok(()) => done.ok_or_else(|| "nothing was run".to_owned()),
        Err(SuiteError::Server(error)) => Err(error.to_string()),
        Err(SuiteError::Bug(why)) => Err(format!("a defect of streamspec: {why}")),
    }
}

fn basics(case: &Case, report: &mut Report) {
    let history = &case.history;
    let view = View::of(history);
    for op in &view.ops {
        let what = match op.invoked.what {
            Action::Open { .. } => "open",
            Action::Publish(_) => "publish",
            Action::Health => "health",
            Action::Close { .. } | Action::Delete { .. } | Action::Custom { .. } | Action::Pay(_) | Action::Probe { .. } => continue,
        };
        let (ok, found) = match op.completed.map(|c| c.what) {
            Some(Outcome::Ok { status, cursor }) => {
                (true, format!("status {status}{}", cursor.as_ref().map_or(String::new(), |c| format!(", cursor {c}"))))
            }
            Some(Outcome::Failed { status: 0, body }) => (false, format!("not sent: {body}")),
            Some(Outcome::Failed { status, body }) => (false, format!("status {status}: {body}")),
            Some(Outcome::Unknown { why }) => (false, why.clone()),
            None => (false, "no end of it was seen".to_owned()),
        };
        report.step(ok, what, &found);
        if !ok {
            report.note(&format!("check `binding.{what}`: method, path, body, and which statuses mean `ok`"));
            return;
        }
    }
    if let Some(aborted) = &case.aborted {
        report.step(false, "run", &format!("{aborted:?}"));
        return;
    }
    let streams: Vec<ConnId> = view
        .conns
        .iter()
        .filter(|c| c.connect.what.surface == Surface::Stream && c.connect.what.reader == "reader")
        .map(|c| c.id)
        .collect();
    for (nth, id) in streams.iter().enumerate() {
        stream(history, &view, *id, if nth == 0 { "read" } else { "resume" }, report);
        if report.failed {
            return;
        }
    }
    if streams.len() < 2 {
        report.step(false, "resume", "the reader could not connect again");
    }
}

fn stream(history: &History, view: &View<'_>, id: ConnId, what: &str, report: &mut Report) {
    let conn = view.conn(id);
    let Some(answer) = conn.answer else {
        report.step(false, what, "no response head");
        report.note(&conn.connect.what.request);
        return;
    };
    if !answer.what.accepted {
        report.step(false, what, &format!("status {}: {}", answer.what.status, answer.what.body));
        report.note(&conn.connect.what.request);
        return;
    }
    let media = answer.what.content_type.as_deref().unwrap_or("no media type");
    let events: Vec<_> = conn.got.iter().filter(|g| g.what.kind == Kind::Event && g.what.marker.is_some()).collect();
    let cursors = conn.got.iter().filter(|g| g.what.cursor.is_some()).count();
    let kinds: std::collections::BTreeSet<String> = conn.got.iter().map(|g| format!("{:?}", g.what.kind).to_lowercase()).collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    let found =
        format!("status {}, {media}; {} of our events, {cursors} cursors, frames: {}", answer.what.status, events.len(), kinds.join(" "));
    let missed = view.waits.iter().any(|w| w.what.conn == Some(id) && !w.what.reached);
    let first = history.records.iter().position(|r| matches!(&r.what, What::Delivery(d) if d.conn == id));
    if events.is_empty() {
        report.step(false, what, &found);
        report.note("nothing that came holds a marker of ours: is `binding.event.payload` where the payload is?");
        report.note(&format!(
            "first delivery: {}",
            first.map_or("none".to_owned(), |at| serde_json::to_string(&history.records[at].what).unwrap_or_default())
        ));
        report.note(&conn.connect.what.request);
        return;
    }
    report.step(!missed, what, &found);
    if missed {
        report.note("the newest event did not come in time; the whole stream:");
        for got in conn.got.iter().take(12) {
            report.note(&serde_json::to_string(got.what).unwrap_or_default());
        }
    } else if cursors == 0 {
        report.note("no frame carries a cursor: is `binding.event.cursor` right? Without cursors nothing can be resumed.");
    }
}

fn restarted(case: &Case, report: &mut Report) {
    let ready = case.history.records.iter().rev().find_map(|r| match &r.what {
        What::Process(Process::Ready { pid, .. }) => Some(*pid),
        _ => None,
    });
    match (&case.aborted, ready) {
        (None, Some(pid)) => report.step(true, "restart", &format!("SIGKILL, gone, and a new process {pid} listens")),
        (Some(aborted), _) => {
            report.step(false, "restart", &format!("{aborted:?}"));
            report.note(case.output.trim());
        }
        (None, None) => report.step(false, "restart", "no new process was seen"),
    }
}
