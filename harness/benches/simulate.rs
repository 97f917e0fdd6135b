//! How fast schedules are simulated and checked, beside the `turmoil` crate on the same schedule in the same run:
//! `cargo bench -p streamspec --bench simulate`.
//!
//! The schedule: a server streams 50 events, a reader is cut after every tenth and resumes by its cursor. Under turmoil the
//! reader itself checks that it received each event once and in order, by a comparison; here a history is recorded and all
//! checkers judge it. Both run on one thread, and in both the events are there when the reader comes: under turmoil they
//! are numbers, here the beginning that all schedules share, with its 50 acknowledged publishes, is walked once (and
//! stands in each history). Each rate is that of the best of several windows: a machine that others use as well is slower in some.
//!
//! `-- fifty 200` (or `long 1`, `fifty-unchecked 200` …) runs that many schedules and nothing else, for a profiler that counts
//! instructions: they do not depend on what else the machine does.

use std::collections::BTreeMap;
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
/// All are measured in so many rounds, one after the other, and each in so many windows of so long. The best window of each
/// counts: what slows the others down is somebody else's.
const ROUNDS: u32 = 5;
const WINDOWS: u32 = 5;
const WINDOW: Duration = Duration::from_millis(250);

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
    // Cargo says `--bench` to every benchmark.
    let said: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match said.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => compare(),
        ["rate", what] => {
            let (fifty, long) = (fifty(), long());
            let prepared = [simulation.prepare(&fifty), simulation.prepare(&long)];
            let mut run = Runs { simulation: &simulation, fifty: (&fifty, &prepared[0]), long: (&long, &prepared[1]) }.of(what);
            println!("{}", rate(&mut run));
        }
        [what, times] => {
            let (fifty, long) = (fifty(), long());
            let prepared = [simulation.prepare(&fifty), simulation.prepare(&long)];
            let mut run = Runs { simulation: &simulation, fifty: (&fifty, &prepared[0]), long: (&long, &prepared[1]) }.of(what);
            (0..times.parse().expect("how many schedules to run, a number")).for_each(&mut run);
        }
        [_] | [_, _, ..] => panic!("say nothing, a schedule and how often it is to run, or `rate` and a schedule"),
    }
}

/// Each measured in a process of its own: what one leaves behind in an allocator is not the other's concern.
fn compare() {
    const SHORT: [(&str, &str); 4] = [
        ("fifty", "each history judged"),
        ("fifty-once", "each distinct history judged once, as by `streamspec simulate`"),
        ("fifty-unchecked", "none judged"),
        ("fifty-unprepared", "none judged, and each walks its own beginning"),
    ];
    const LONG: [(&str, &str); 2] = [("long", "each history judged"), ("long-unchecked", "none judged")];
    let all = || ["turmoil"].into_iter().chain(SHORT.iter().chain(&LONG).map(|(what, _)| *what));
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    for what in (0..ROUNDS).flat_map(|_| all()) {
        let known = best.entry(what).or_default();
        *known = known.max(rate_of_its_own(what));
    }
    let theirs = best["turmoil"];
    println!("turmoil:         {theirs:>6.0} schedules/s");
    for (what, says) in SHORT {
        println!("streamspec:      {:>6.0} schedules/s, {:>5.1} times turmoil: {says}", best[what], best[what] / theirs);
    }
    for (what, says) in LONG {
        println!("20,000 events:   {:>6.2} M events/s: {says}", best[what] * 20_000.0 / 1e6);
    }
}

/// Runs a second, in a process that does nothing else.
fn rate_of_its_own(what: &str) -> f64 {
    let this = std::env::current_exe().expect("it runs");
    let out = std::process::Command::new(this).args(["rate", what]).output().expect("it runs again");
    let text = String::from_utf8_lossy(&out.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{what}: {text}{}", String::from_utf8_lossy(&out.stderr)))
}

/// Runs a second.
fn rate(run: &mut dyn FnMut(u64)) -> f64 {
    let mut seeds = 0..;
    let mut window = || {
        let (began, mut runs) = (Instant::now(), 0);
        while began.elapsed() < WINDOW {
            seeds.by_ref().take(1).for_each(&mut *run);
            runs += 1;
        }
        f64::from(runs) / began.elapsed().as_secs_f64()
    };
    (0..WINDOWS).map(|_| window()).fold(0.0, f64::max)
}

/// A scenario, ready to be run.
type Ready<'s> = (&'s Scenario, &'s Prepared<'s>);

/// What is run.
struct Runs<'s> {
    simulation: &'s Simulation,
    fifty: Ready<'s>,
    long: Ready<'s>,
}

impl<'s> Runs<'s> {
    fn of(self, what: &str) -> Box<dyn FnMut(u64) + 's> {
        let Runs { simulation, fifty, long } = self;
        let judged = |(scenario, prepared): Ready<'s>, once: bool| {
            let (mut collector, beginning) = (campaign::Collector::default(), prepared.beginning());
            move |seed| {
                let run = prepared.run(Chooser::random(seed), seed);
                assert_eq!(run.aborted, None);
                let found = collector.add(simulation, (seed, &scenario.name, scenario), beginning.as_ref(), run);
                assert!(!found, "the server is right");
                if !once {
                    collector.forget();
                }
            }
        };
        let unchecked = |prepared: &'s Prepared<'s>| move |seed| prepared.run(Chooser::random(seed), seed).reuse();
        match what {
            "turmoil" => Box::new(turmoil_run),
            "fifty" => Box::new(judged(fifty, false)),
            "fifty-once" => Box::new(judged(fifty, true)),
            "fifty-unchecked" => Box::new(unchecked(fifty.1)),
            "fifty-unprepared" => Box::new(move |seed| simulation.run(fifty.0, Chooser::random(seed), seed).reuse()),
            "long" => Box::new(judged(long, false)),
            "long-unchecked" => Box::new(unchecked(long.1)),
            other => panic!(
                "`{other}` is no schedule; there are turmoil, fifty, fifty-once, fifty-unchecked, fifty-unprepared, long and long-unchecked"
            ),
        }
    }
}

fn fifty() -> Scenario {
    Scenario::parse("fifty.toml", FIFTY).expect("it is right")
}

fn long() -> Scenario {
    let text = FIFTY.replace("fifty\"", "long\"").replace("count = 50", "count = 20000");
    Scenario::parse("long.toml", &text).expect("it is right")
}

fn turmoil_run(seed: u64) {
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
}
