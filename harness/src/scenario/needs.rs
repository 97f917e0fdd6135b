//! Whether a scenario can be run against a profile and a target, and if not, why.

use std::collections::BTreeSet;

use crate::contract::{Allowed, CursorCarrier, CursorOrder, Profile, RetainKind, Target, placeholder_used};
use crate::history::Retain;

use super::{Need, Open, Scenario, Step};

/// A default bound within reach of a scenario that publishes beyond it.
const REACHABLE_RECORDS: i64 = 2_000;
/// The same in bytes.
const REACHABLE_BYTES: i64 = 4 << 20;
/// The same in milliseconds.
const REACHABLE_AGE_MS: i64 = 5_000;

/// What may be done to a target, beside talking to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// It is under streamspec's control at all.
    pub started: bool,
    /// Kill and restart on the same data.
    pub restart: bool,
    /// Pause and continue.
    pub pause: bool,
    /// Remove its data before a restart.
    pub wipe: bool,
    /// Put a proxy that cuts bytes before it.
    pub proxy: bool,
    /// Read descriptors, threads and memory of its processes.
    pub resources: bool,
    /// Read its streams with a program that brings its own client.
    pub driver: bool,
}

impl Capabilities {
    /// Those of a target: of one that streamspec starts, what its file allows (everything, if it does not say); of a URL,
    /// only the proxy, and that for plain HTTP.
    pub fn of(target: &Target) -> Capabilities {
        let started = target.start.is_some();
        let may = |what: Allowed| started && target.allow.as_ref().is_none_or(|allow| allow.contains(&what));
        Capabilities {
            started,
            restart: may(Allowed::Restart),
            pause: may(Allowed::Pause),
            wipe: may(Allowed::Wipe) && may(Allowed::Restart),
            proxy: target.url.as_ref().is_none_or(|url| url.starts_with("http://")),
            resources: started && cfg!(target_os = "linux"),
            driver: target.driver.is_some(),
        }
    }

    /// Those of a server that runs at this URL.
    pub fn of_url(url: &str) -> Capabilities {
        Capabilities {
            started: false,
            restart: false,
            pause: false,
            wipe: false,
            proxy: url.starts_with("http://"),
            resources: false,
            driver: false,
        }
    }

    /// Everything that the built-in server allows: streamspec starts it, may do anything to it, and reads it itself.
    pub fn all() -> Capabilities {
        let resources = cfg!(target_os = "linux");
        Capabilities { started: true, restart: true, pause: true, wipe: true, proxy: true, resources, driver: false }
    }

    fn process(self, may: bool, what: &str) -> Result<(), String> {
        match (may, self.started) {
            (true, _) => Ok(()),
            (false, true) => Err(format!("the target file does not allow to {what} it")),
            (false, false) => Err("the target was given by URL: no process control".to_owned()),
        }
    }
}

/// Whether `scenario` can be run; `Err` says in words why not.
///
/// # Errors
/// When the profile or the target lacks something that the scenario needs.
pub fn applicable(scenario: &Scenario, profile: &Profile, capabilities: &Capabilities) -> Result<(), String> {
    scenario.needs.iter().try_for_each(|need| met(*need, scenario, profile, *capabilities))?;
    if !profile.replays() && reads_back(&scenario.steps, &mut BTreeSet::new()) {
        return Err("the profile's streams replay nothing".to_owned());
    }
    Ok(())
}

/// True when a reader joins a session to which something was published before; `published` are those sessions.
fn reads_back<'s>(steps: &'s [Step], published: &mut BTreeSet<&'s str>) -> bool {
    steps.iter().any(|step| match step {
        Step::Publish(publish) => {
            published.insert(&publish.session);
            false
        }
        Step::Writer(writer) => {
            published.insert(&writer.session);
            false
        }
        Step::Subscribe(subscribe) => published.contains(subscribe.session.as_str()),
        // Each turn of a repetition finds what the one before has published.
        Step::Repeat(repeat) => reads_back(&repeat.steps, published) || reads_back(&repeat.steps, published),
        _ => false,
    })
}

fn met(need: Need, scenario: &Scenario, profile: &Profile, can: Capabilities) -> Result<(), String> {
    let (contract, binding) = (&profile.contract, &profile.binding);
    let has = |there: bool, what: &str| if there { Ok(()) } else { Err(format!("the profile has no {what}")) };
    let promises = |there: bool, what: &str| if there { Ok(()) } else { Err(format!("the profile does not promise {what}")) };
    match need {
        Need::Publish => has(binding.publish.is_some(), "`publish`"),
        Need::Resume => has(contract.cursor.is_some(), "cursors to resume from"),
        Need::Numbers => {
            let counts = contract.cursor.as_ref().is_some_and(|c| c.order == CursorOrder::Number);
            has(counts, "cursors that count: none can be made up above the head")
        }
        Need::Proxy if can.proxy => Ok(()),
        Need::Proxy => Err("the target is not plain HTTP: its bytes cannot be cut".to_owned()),
        Need::Kill | Need::Restart => can.process(can.restart, "restart"),
        Need::Wipe => {
            can.process(can.wipe, "wipe")?;
            promises(contract.cursor.as_ref().is_none_or(|c| c.outlives_wipe), "that cursors from before a wipe are told apart")
        }
        Need::Pause => can.process(can.pause, "pause"),
        Need::SurvivesKill => promises(contract.durability.kill, "that events survive a kill"),
        Need::SurvivesRestart => promises(contract.durability.restart, "that events survive a restart"),
        Need::History => has(binding.history.is_some(), "history"),
        Need::Snapshot => has(binding.snapshot.is_some(), "snapshot"),
        Need::Close => {
            has(binding.close.is_some(), "way to close a session")?;
            has(contract.terminal.is_some(), "terminal event")
        }
        Need::Delete => has(binding.delete.is_some(), "way to delete a session"),
        Need::Ephemeral => {
            has(binding.publish_ephemeral.is_some(), "way to publish live-only events")?;
            promises(contract.ephemeral.is_some(), "anything about live-only events")
        }
        Need::Idempotency => promises(contract.idempotency.is_some(), "idempotent publishes"),
        Need::KeysSurvive => {
            promises(contract.idempotency.as_ref().is_some_and(|keys| keys.survives_restart), "that idempotency keys outlive a restart")
        }
        Need::Boundary => has(contract.boundary.is_some(), "boundary"),
        Need::Gap => has(contract.gap.is_some(), "gap signal"),
        Need::RetainRecords => bound(RetainKind::Records, scenario, profile),
        Need::RetainBytes => bound(RetainKind::Bytes, scenario, profile),
        Need::RetainAge => bound(RetainKind::Age, scenario, profile),
        Need::RetainValidated => {
            promises(contract.retention.as_ref().is_some_and(|r| r.validated), "that senseless bounds are refused")?;
            has(contract.retention.as_ref().is_some_and(|r| !r.settable.is_empty()), "bounds that a session can set")
        }
        Need::Heartbeat => promises(contract.liveness.heartbeat_ms.is_some(), "heartbeats"),
        Need::Live => has(binding.subscribe.live.is_some(), "way to ask for new events only"),
        Need::TwoCarriers => {
            has(binding.subscribe.cursor.len() >= 2, "second way to carry a cursor")?;
            promises(contract.cursor_precedence.is_some(), "which of two cursors wins")?;
            let alike = |c: &CursorCarrier| {
                matches!(c, CursorCarrier::Body(_) | CursorCarrier::BodyNumber(_)) && binding.subscribe.request.starts_with("GET")
            };
            has(!binding.subscribe.cursor.iter().any(alike), "request body to carry a cursor in")
        }
        Need::Text if contract.text_payload == Some(false) => Err("the profile restricts payloads: hostile text is not sent".to_owned()),
        Need::Text => Ok(()),
        Need::EventType => has(binding.publish.as_ref().is_some_and(|publish| placeholder_used(publish, "type")), "`{type}` in `publish`"),
        Need::UnknownSession if contract.creates_on_use => Err("the profile creates sessions on first use: none is unknown".to_owned()),
        Need::UnknownSession => Ok(()),
        Need::Resources if can.resources => Ok(()),
        Need::Resources if can.started => Err("the resources of processes can be read on Linux only".to_owned()),
        Need::Resources => Err("the target was given by URL: its resources cannot be read".to_owned()),
        Need::SlowReader => promises(contract.slow_reader.is_some(), "anything about slow readers"),
        Need::OutlivesProcess if contract.ends_with_process => Err("the profile's sessions end with the process".to_owned()),
        Need::OutlivesProcess => Ok(()),
        Need::EndsWithProcess => promises(contract.ends_with_process, "that sessions end with the process"),
        Need::Auth => promises(contract.auth.is_some(), "that credentials are demanded"),
        Need::Redacts => promises(contract.redacts, "that secrets are masked"),
        Need::Files => {
            promises(contract.files.is_some(), "files")?;
            if can.started { Ok(()) } else { Err("the target was given by URL: no file can be planted beside it".to_owned()) }
        }
        Need::Payment => promises(contract.payment.is_some() && binding.payment.is_some(), "that streams are paid"),
        Need::Driver if can.driver => Ok(()),
        Need::Driver => Err("the target names no `driver`: no program reads its streams".to_owned()),
        Need::Machines => promises(!contract.machines.is_empty(), "things that start and end"),
    }
}

/// A bound that the scenario sets must be settable; else the default one must be small enough to be reached.
fn bound(kind: RetainKind, scenario: &Scenario, profile: &Profile) -> Result<(), String> {
    let (what, reach) = match kind {
        RetainKind::Records => ("number of events", REACHABLE_RECORDS),
        RetainKind::Bytes => ("bytes", REACHABLE_BYTES),
        RetainKind::Age => ("age", REACHABLE_AGE_MS),
    };
    let of = |retain: &Retain| match kind {
        RetainKind::Records => retain.records,
        RetainKind::Bytes => retain.bytes,
        RetainKind::Age => retain.age_ms,
    };
    let Some(retention) = &profile.contract.retention else { return Err("the profile has no retention".to_owned()) };
    if retention.settable.contains(&kind) && profile.binding.open.is_some() {
        return Ok(());
    }
    if opens(&scenario.steps).into_iter().any(|open| open.retain.as_ref().and_then(of).is_some()) {
        return Err(format!("the profile's sessions cannot set a bound by {what}"));
    }
    match of(&retention.default) {
        Some(default) if default <= reach => Ok(()),
        Some(default) => Err(format!("the profile's bound by {what} ({default}) is out of reach")),
        None => Err(format!("the profile has no bound by {what}")),
    }
}

fn opens(steps: &[Step]) -> Vec<&Open> {
    let mut found = Vec::new();
    for step in steps {
        if let Step::Open(open) = step {
            found.push(open);
        } else if let Step::Repeat(repeat) = step {
            found.extend(opens(&repeat.steps));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(needs: &str, change: impl FnOnce(&mut Profile), target: &str) -> Result<(), String> {
        let mut profile = Profile::load("sse").unwrap();
        change(&mut profile);
        let target = Target::parse("t.toml", &format!("profile = \"sse\"\n{target}")).unwrap();
        let text = format!("name = \"x\"\nsays = \"y\"\nneeds = [{needs}]\nsteps = [{{ open = {{ session = \"s\" }} }}]");
        applicable(&Scenario::parse("x.toml", &text).unwrap(), &profile, &Capabilities::of(&target))
    }

    const START: &str = "start = \"server --port {port}\"";

    #[test]
    fn every_built_in_scenario_can_be_run_on_the_reference_server() {
        let profile = Profile::load("sse").unwrap();
        let all = Scenario::built_in("sse").unwrap();
        let of_its_own = |s: &&Scenario| !s.needs.contains(&Need::Driver);
        let not: Vec<_> = all
            .iter()
            .filter(of_its_own)
            .filter_map(|s| applicable(s, &profile, &Capabilities::all()).err().map(|why| (&s.name, why)))
            .collect();
        assert_eq!(not, []);
    }

    #[test]
    fn what_the_profile_lacks_is_named() {
        let no = |why: &str| Err(why.to_owned());
        assert_eq!(why("\"snapshot\"", |_| {}, START), Ok(()));
        assert_eq!(why("\"snapshot\"", |p| p.binding.snapshot = None, START), no("the profile has no snapshot"));
        assert_eq!(why("\"resume\"", |p| p.contract.cursor = None, START), no("the profile has no cursors to resume from"));
        assert_eq!(why("\"close\"", |p| p.contract.terminal = None, START), no("the profile has no terminal event"));
        assert_eq!(
            why("\"survives-kill\"", |p| p.contract.durability.kill = false, START),
            no("the profile does not promise that events survive a kill")
        );
        assert_eq!(
            why("\"two-carriers\"", |p| p.contract.cursor_precedence = None, START),
            no("the profile does not promise which of two cursors wins")
        );
        assert_eq!(why("\"publish\", \"gap\"", |p| p.contract.gap = None, START), no("the profile has no gap signal"));
    }

    #[test]
    fn what_may_not_be_done_to_the_target_is_named() {
        let url = "url = \"https://example.org\"";
        let no = |why: &str| Err(why.to_owned());
        assert_eq!(why("\"kill\"", |_| {}, url), no("the target was given by URL: no process control"));
        assert_eq!(why("\"proxy\"", |_| {}, url), no("the target is not plain HTTP: its bytes cannot be cut"));
        assert_eq!(why("\"proxy\"", |_| {}, "url = \"http://127.0.0.1:80\""), Ok(()));
        assert_eq!(why("\"resources\"", |_| {}, url), no("the target was given by URL: its resources cannot be read"));
        let some = format!("{START}\nallow = [\"restart\"]");
        assert_eq!(why("\"kill\"", |_| {}, &some), Ok(()));
        assert_eq!(why("\"wipe\"", |_| {}, &some), no("the target file does not allow to wipe it"));
    }

    #[test]
    fn a_bound_must_be_within_reach() {
        let fixed = |records: i64| {
            move |p: &mut Profile| {
                let retention = p.contract.retention.as_mut().unwrap();
                retention.settable.clear();
                retention.default.records = Some(records);
            }
        };
        assert_eq!(why("\"retain-records\"", fixed(50), START), Ok(()));
        assert_eq!(
            why("\"retain-records\"", fixed(1 << 40), START),
            Err("the profile's bound by number of events (1099511627776) is out of reach".to_owned())
        );
        assert_eq!(why("\"retain-age\"", fixed(50), START), Err("the profile has no bound by age".to_owned()));
    }
}
