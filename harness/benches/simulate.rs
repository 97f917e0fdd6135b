//! How fast schedules are simulated and checked, beside the `turmoil` crate on the same schedule in the same run:
//! `cargo bench -p streamspec --bench simulate`.
//!
//! The schedule: a server streams 50 events, a reader is cut after every tenth and resumes by its cursor. Under turmoil the
//! reader itself checks that it received each event once and in order, by a comparison; here a history is recorded and all
//! checkers judge it. Both run on one thread. Only the ratio is worth something on a machine that others use, too.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use streamspec::check::judge;
use streamspec::contract::Profile;
use streamspec::scenario::Scenario;
use streamspec::world::sim::{Chooser, Simulation, campaign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

const EVENTS: u32 = 50;
const CUT_EVERY: u32 = 10;
const PORT: u16 = 8080;
/// How long each side is measured.
const MEASURED: Duration = Duration::from_secs(5);

const FIFTY: &str = r#"
name = "fifty"
says = "a reader that is cut after every tenth event has all fifty"
needs = ["publish", "resume", "proxy"]
audit = false
steps = [
  { open = { session = "s" } },
  { publish = { session = "s", count = 50 } },
  { subscribe = { reader = "a", session = "s" } },
  { cut = { reader = "a", after_events = 10 } },
  { resume = { reader = "a" } },
  { cut = { reader = "a", after_events = 10 } },
  { resume = { reader = "a" } },
  { cut = { reader = "a", after_events = 10 } },
  { resume = { reader = "a" } },
  { cut = { reader = "a", after_events = 10 } },
  { resume = { reader = "a" } },
  { await = { reader = "a", upto = "last" } },
]
"#;

fn main() {
    let (theirs, _) = measure(turmoil_run);
    println!("turmoil:    {theirs:>9.0} schedules/s");
    let simulation = Simulation::new(Arc::new(Profile::load("sse").expect("it is built in")));
    let fifty = Scenario::parse("fifty.toml", FIFTY).expect("it is right");
    let (ours, actions) = measure(|seed| checked(&simulation, &fifty, seed));
    println!("streamspec: {ours:>9.0} schedules/s, checked ({:.0} actions each)", actions as f64);
    println!("ratio:      {:>9.1}", ours / theirs);
    let (unchecked, _) = measure(|seed| simulation.run(&fifty, Chooser::random(seed), seed).actions);
    println!("checking:   {:>8.0} % of the time ({unchecked:.0} schedules/s without)", 100.0 * (1.0 - ours / unchecked));
    let long =
        Scenario::parse("long.toml", &FIFTY.replace("fifty\"", "long\"").replace("count = 50", "count = 20000")).expect("it is right");
    let (runs, actions) = measure(|seed| checked(&simulation, &long, seed));
    println!(
        "a schedule of 20,000 events: {:.2} M actions/s, {:.2} M events/s, checked",
        runs * actions as f64 / 1e6,
        runs * 20_000.0 / 1e6
    );
}

/// Runs a second, and what the last run returned.
fn measure(mut run: impl FnMut(u64) -> u64) -> (f64, u64) {
    let began = Instant::now();
    let (mut runs, mut last) = (0, 0);
    while began.elapsed() < MEASURED {
        last = run(runs);
        runs += 1;
    }
    (runs as f64 / began.elapsed().as_secs_f64(), last)
}

fn checked(simulation: &Simulation, scenario: &Scenario, seed: u64) -> u64 {
    let run = simulation.run(scenario, Chooser::random(seed), seed);
    assert_eq!(run.aborted, None);
    let verdicts = judge(&run.history, &simulation.profile);
    assert_eq!(campaign::violated(&verdicts).count(), 0, "the server is right");
    run.actions
}

fn turmoil_run(seed: u64) -> u64 {
    let mut simulation = turmoil::Builder::new().rng_seed(seed).build();
    simulation.host("server", || async {
        let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)).await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let Ok(after) = stream.read_u32().await else { return };
                for event in after + 1..=EVENTS {
                    // A reader that has gone is no error of the server's.
                    if stream.write_u32(event).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    simulation.client("reader", async {
        let (mut cursor, mut since) = (0, 0);
        let mut stream = TcpStream::connect(("server", PORT)).await?;
        stream.write_u32(cursor).await?;
        while cursor < EVENTS {
            let event = stream.read_u32().await?;
            assert_eq!(event, cursor + 1);
            (cursor, since) = (event, since + 1);
            if since == CUT_EVERY && cursor < EVENTS {
                stream = TcpStream::connect(("server", PORT)).await?;
                stream.write_u32(cursor).await?;
                since = 0;
            }
        }
        Ok(())
    });
    simulation.run().expect("the schedule ends");
    u64::from(EVENTS)
}
