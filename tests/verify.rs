//! `streamspec::verify` in the tests of somebody's server: an axum router that each test serves itself, on a runtime of one thread,
//! and a program that streamspec starts.

#[path = "verify/rooms.rs"]
mod rooms;

use std::time::Duration;

use rooms::Defect;
use streamspec::{Outcome, Profile, Report, Target, VerifyError};

/// The protocol of the rooms, and of the examples in other languages.
const PROFILE: &str = include_str!("../docs/examples/rooms.toml");

/// A few places of each sweep do for what is tested here; the time is for a machine that is busy with other things.
fn target(url: String) -> Target {
    Target::at(url).profile_toml(PROFILE).jobs(2).sweep_limit(3).deadline(Duration::from_secs(120))
}

/// The profile of the reference server, which may be as late as a busy machine makes it.
fn patient() -> String {
    let own = Profile::built_in_text("sse").unwrap();
    let times = ["delivery_ms = 2000", "headers_ms = 1000", "heartbeat_ms = 500"];
    times.iter().fold(own.to_owned(), |text, time| {
        assert!(text.contains(time), "{time}");
        text.replace(time, &format!("{} = 60000", time.split(' ').next().unwrap()))
    })
}

async fn resumes_with(defect: Option<Defect>, target: impl Fn(Target) -> Target) -> Report {
    let url = rooms::serve(defect).await;
    streamspec::verify(target(self::target(url).only("resume-after-cut").only("seam-in-replay"))).await.unwrap()
}

#[tokio::test]
async fn a_right_router_conforms() {
    let report = resumes_with(None, |target| target).await;
    report.assert_conforms();
    assert!(report.conforms() && report.findings().is_empty());
    for id in ["RESUME-1", "SEAM-1"] {
        let verdict = report.verdict(id).unwrap();
        assert_eq!(verdict.outcome(), Outcome::Passed, "{verdict}");
        assert!(verdict.judged() > 0, "{verdict}");
        assert!(verdict.to_string().starts_with(&format!("{id} passed, judged ")), "{verdict}");
    }
    assert!(report.counts().passed > 5 && report.cases() > 1, "{report}");
}

#[tokio::test]
async fn a_router_that_loses_the_event_behind_a_replay_fails_and_the_requirement_is_named() {
    // What never comes is waited for in vain, so not for long.
    let report = resumes_with(Some(Defect::LosesAtTheSeam), |target| target.deadline(Duration::from_secs(6))).await;
    assert!(!report.conforms());
    let lost = report.verdict("SEAM-1").unwrap();
    assert_eq!(lost.outcome(), Outcome::Failed, "{report}");
    let told = lost.to_string();
    for part in ["FAILED SEAM-1 (MUST)", "belongs here and never came", "expected:", "seen:", "likely:", "rerun:  Target::at(…).only(\""]
    {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert!(report.findings().iter().any(|finding| finding.requirement().id == "SEAM-1"));
    assert!(report.to_string().contains(&told), "the whole report shows it in the same words");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| report.assert_conforms())).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains(&told), "and so does the panic of a test");
}

#[tokio::test]
async fn a_router_that_repeats_the_cursor_fails_another_requirement() {
    let report = resumes_with(Some(Defect::ReplaysTheCursor), |target| target).await;
    assert_eq!(report.verdict("RESUME-1").unwrap().outcome(), Outcome::Failed, "{report}");
    assert_eq!(report.verdict("SEAM-1").unwrap().outcome(), Outcome::Passed, "{report}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_a_command_starts_is_killed_and_started_again() {
    let own = env!("CARGO_BIN_EXE_streamspec");
    let restarted = |bug: &str, deadline: u64| {
        let command = format!("{own} serve --data {{dir}} --port {{port}} --heartbeat 500ms{bug}");
        Target::start(command).guard(own).profile_toml(patient()).only("kill-and-resume").jobs(1).deadline(Duration::from_secs(deadline))
    };
    let right = streamspec::verify(restarted("", 120)).await.unwrap();
    right.assert_conforms();
    assert!(right.verdict("RESTART-1").unwrap().judged() > 0, "{right}");

    let forgetful = streamspec::verify(restarted(" --bug sessions-forgotten", 6)).await.unwrap();
    let verdict = forgetful.verdict("RESTART-5").unwrap();
    assert_eq!(verdict.outcome(), Outcome::Failed, "{forgetful}");
    assert!(verdict.to_string().contains("rerun:  Target::start(…).only(\"kill-and-resume\")"), "{verdict}");
}

#[tokio::test]
async fn a_known_failure_fails_nothing_until_it_is_gone() {
    let of = |url| target(url).only("resume-after-cut").known("RESUME-1", "issue 7");
    let broken = streamspec::verify(of(rooms::serve(Some(Defect::ReplaysTheCursor)).await)).await.unwrap();
    assert_eq!(broken.verdict("RESUME-1").unwrap().outcome(), Outcome::Known { reason: "issue 7", flaky: false });
    assert!(!broken.objections().iter().any(|why| why.contains("RESUME-1")), "{broken}");
    // With --only a row can be stale only where all that looks for its requirement was run, so the requirement is what is named.
    let mended = streamspec::verify(target(rooms::serve(None).await).only("SEAM-1").known("SEAM-1", "issue 8")).await.unwrap();
    assert_eq!(mended.verdict("SEAM-1").unwrap().outcome(), Outcome::Stale { reason: "issue 8" }, "{mended}");
    assert!(mended.objections().contains(&"known to fail, and held: SEAM-1".to_owned()), "{mended}");
}

#[tokio::test]
async fn a_run_that_is_out_of_time_does_not_conform() {
    let url = rooms::serve(None).await;
    let report = streamspec::verify(target(url).repeat(1000).only("seam-in-replay").within(Duration::from_millis(1))).await.unwrap();
    assert!(!report.conforms());
    let objections = report.objections();
    assert!(objections[0].starts_with("the time for the whole run, 1ms, was over after "), "{objections:?}");
}

#[tokio::test]
async fn what_cannot_be_verified_is_an_error_that_says_what_to_do() {
    async fn refused(target: Target) -> VerifyError {
        streamspec::verify(target).await.map(|report| report.to_string()).expect_err("it is refused")
    }
    let at = || Target::at("http://127.0.0.1:1").profile_toml(PROFILE);
    assert!(matches!(refused(at()).await, VerifyError::Unreachable(why) if why.starts_with("nothing answers at http://127.0.0.1:1")));
    let unguarded = Target::start("true {port}").guard("/no/such/streamspec");
    assert!(matches!(refused(unguarded).await, VerifyError::Unreachable(why) if why.contains("there is no program `/no/such/streamspec`")));
    assert!(matches!(refused(Target::start("true 'x")).await, VerifyError::Usage(why) if why.contains("the start command is none")));
    assert!(matches!(refused(Target::at("localhost")).await, VerifyError::Usage(why) if why.contains("is no URL")));
    assert!(
        matches!(refused(at().only("resume-after-cat")).await, VerifyError::Usage(why) if why.contains("did you mean `resume-after-cut`?"))
    );
    assert!(matches!(refused(at().known("SEAM-99", "x")).await, VerifyError::Usage(why) if why.contains("no requirement `SEAM-99`")));
    assert!(matches!(refused(at().requirements("1999-01")).await, VerifyError::Usage(why) if why.contains("2026-11")));
    assert!(matches!(refused(at().profile("roms")).await, VerifyError::File(_)));
    let broken = refused(at().profile_toml("name = 7")).await;
    assert!(format!("{broken:?}").starts_with("profile:1: "), "{broken:?}");
}
