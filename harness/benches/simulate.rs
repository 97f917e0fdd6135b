//! How fast schedules are simulated and checked, beside the `turmoil` crate on the same schedule in the same run:
//! `cargo bench -p streamspec --bench simulate`.
//!
//! The schedule: a server streams 50 events, a reader is cut after every tenth and resumes by its cursor. Under turmoil the
//! reader itself checks that it received each event once and in order, by a comparison; here a history is recorded and all
//! checkers judge it. Both run on one thread, and in both the events are there when the reader comes: under turmoil they
//! are numbers, here the beginning that all schedules share, with its 50 acknowledged publishes, is walked once (and
//! stands in each history). Only the ratio is worth something on a machine that others use, too.
//!
//! `-- fifty 200` (or `long 1`, `fifty-unchecked 200` …) runs that many schedules and nothing else, for a profiler that counts
//! instructions: they do not depend on what else the machine does.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use streamspec::contract::Profile;
use streamspec::scenario::Scenario;
use streamspec::world::sim::{Chooser, Prepared, Simulation, campaign};
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
  { open = { session = "s", unwatched = true } },
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
    let simulation = Simulation::new(Arc::new(Profile::load("sse").expect("it is built in")));
    let (fifty, long) = (fifty(), long());
    let schedules = Schedules { simulation: &simulation, fifty: simulation.prepare(&fifty), long: simulation.prepare(&long) };
    // Cargo says `--bench` to every benchmark.
    let said: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [what, times] = said.as_slice() {
        for seed in 0..times.parse().expect("how many schedules to run, a number") {
            match what.as_str() {
                "fifty" => schedules.judged(&schedules.fifty, &fifty, seed),
                "long" => schedules.judged(&schedules.long, &long, seed),
                "fifty-unchecked" => schedules.fifty.run(Chooser::random(seed), seed).actions,
                "long-unchecked" => schedules.long.run(Chooser::random(seed), seed).actions,
                "fifty-unprepared" => simulation.run(&fifty, Chooser::random(seed), seed).actions,
                other => panic!("`{other}` is no schedule; there are fifty, long, fifty-unchecked, long-unchecked and fifty-unprepared"),
            };
        }
        return;
    }
    let (theirs, _) = measure(turmoil_run);
    println!("turmoil:    {theirs:>9.0} schedules/s");
    let (ours, actions) = measure(|seed| schedules.judged(&schedules.fifty, &fifty, seed));
    println!("streamspec: {ours:>9.0} schedules/s, each history judged ({actions} actions each)");
    println!("ratio:      {:>9.1}", ours / theirs);
    let mut collector = campaign::Collector::default();
    let (once, _) = measure(|seed| schedules.collected(&schedules.fifty, &fifty, seed, &mut collector));
    let (runs, distinct) = (collector.outcome.schedules, collector.outcome.distinct);
    println!("as `simulate`:   {once:>4.0} schedules/s, each distinct history judged once ({distinct} in {runs} runs)");
    let (unchecked, _) = measure(|seed| schedules.fifty.run(Chooser::random(seed), seed).actions);
    println!("checking:   {:>8.0} % of the time ({unchecked:.0} schedules/s without)", 100.0 * (1.0 - ours / unchecked));
    let (whole, _) = measure(|seed| simulation.run(&fifty, Chooser::random(seed), seed).actions);
    println!("publishing: {:>8.0} schedules/s, unchecked, when each walks its own beginning", whole);
    let (runs, actions) = measure(|seed| schedules.judged(&schedules.long, &long, seed));
    println!(
        "a schedule of 20,000 events: {:.2} M actions/s, {:.2} M events/s, judged",
        runs * actions as f64 / 1e6,
        runs * 20_000.0 / 1e6
    );
}

struct Schedules<'s> {
    simulation: &'s Simulation,
    fifty: Prepared<'s>,
    long: Prepared<'s>,
}

impl Schedules<'_> {
    /// One schedule, judged whatever was judged before.
    fn judged(&self, prepared: &Prepared<'_>, scenario: &Scenario, seed: u64) -> u64 {
        self.collected(prepared, scenario, seed, &mut campaign::Collector::default())
    }

    fn collected(&self, prepared: &Prepared<'_>, scenario: &Scenario, seed: u64, collector: &mut campaign::Collector) -> u64 {
        let run = prepared.run(Chooser::random(seed), seed);
        assert_eq!(run.aborted, None);
        let actions = run.actions;
        assert!(!collector.add(self.simulation, seed, &scenario.name, scenario, run), "the server is right");
        actions
    }
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

fn fifty() -> Scenario {
    Scenario::parse("fifty.toml", FIFTY).expect("it is right")
}

fn long() -> Scenario {
    let text = FIFTY.replace("fifty\"", "long\"").replace("count = 50", "count = 20000");
    Scenario::parse("long.toml", &text).expect("it is right")
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
