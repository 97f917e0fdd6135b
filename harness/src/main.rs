//! streamspec: breaks session streams and judges what their readers saw.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use streamspec::check::Finding;
use streamspec::contract::Profile;
use streamspec::run::suite::{Suite, StopSign, Subject, run};
use streamspec::scenario::{Capabilities, Scenario, applicable};
use streamspec::world::live::{StartSpec, process::{CommandLine, Readiness, guard_if_asked}};

#[derive(Parser)]
struct Args { #[command(subcommand)] command: Command }
#[derive(Subcommand)]
enum Command { Serve { #[command(flatten)] options: streamspec_reference_server::ServeOptions }, Test { #[arg(long)] only: Vec<String>, #[arg(long)] bug: Option<String>, #[arg(long)] dump: bool, #[arg(long, default_value_t=4000)] deadline: u64, #[arg(short, default_value_t=2)] j: usize } }

fn main() -> ExitCode {
    if let Some(code) = guard_if_asked() { return code; }
    match Args::parse().command {
        Command::Serve { options } => { streamspec_reference_server::run(&options).unwrap(); }
        Command::Test { only, bug, dump, deadline, j } => {
            let profile = Arc::new(Profile::load("sse").unwrap());
            let scenarios: Vec<_> = Scenario::built_in("sse").unwrap().into_iter().filter(|s| applicable(s, &profile, &Capabilities::all()).is_ok()).filter(|s| only.is_empty() || only.iter().any(|o| s.name.starts_with(o) || s.judges.contains(o))).collect();
            let exe = std::env::current_exe().unwrap();
            let mut words: Vec<String> = [exe.to_str().unwrap(), "serve", "--data", "{dir}", "--port", "{port}", "--heartbeat", "500ms"].map(String::from).to_vec();
            if let Some(bug) = bug { words.push("--bug".into()); words.push(bug); }
            let spec = StartSpec { command: CommandLine::from_words(words), environment: vec![], folder: None, ready: Readiness::Http { path: "/health".into(), status: None }, ready_within: Duration::from_secs(10), stop_within: Duration::from_secs(5) };
            let suite = Suite { profile, subject: Subject::Start(spec), scenarios, seed: 7, jobs: j, repeat: 1, deadline: Duration::from_millis(deadline) };
            let began = std::time::Instant::now();
            let r = run(&suite, &StopSign::default(), |case| {
                println!("{} {:?} {} records{}", case.scenario.name, case.elapsed, case.history.records.len(), case.aborted.as_ref().map_or(String::new(), |a| format!(" ABORTED {a:?} {}", case.output)));
                if dump { for (i, r) in case.history.records.iter().enumerate() { println!("  {i} {}", serde_json::to_string(r).unwrap().chars().take(300).collect::<String>()); } }
                for v in &case.verdicts { match &v.finding { Finding::Fail { violations, count, .. } => { println!("  FAIL {} x{count}: {} | expected {} | seen {} | {:?}", v.requirement, violations[0].says, violations[0].expected, violations[0].seen, violations[0].records); } Finding::Pass {..} | Finding::Inconclusive{..} | Finding::NotApplicable{..} => {} } }
            });
            println!("{r:?} {:?}", began.elapsed());
        }
    }
    ExitCode::SUCCESS
}
