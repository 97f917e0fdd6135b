//! The command line, one file a subcommand.

mod doctor;
mod exit;
mod init;
mod list;
mod plan;
mod selftest;
mod simulate;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use plan::TargetArgs;

/// Finds out whether a dropped connection, a killed process or a second device makes a session-stream server lose, repeat,
/// reorder or leak anything.
///
/// Without a subcommand the built-in reference server is broken and judged, as by `streamspec test`.
#[derive(Debug, Parser)]
#[command(name = "streamspec", version, after_help = exit::TABLE)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Break a server's streams, restart it, and judge what its readers saw
    Test(Box<test::TestArgs>),
    /// Run the built-in reference server, right or with defects
    Serve(streamspec_reference_server::ServeOptions),
    /// Prove that every planted defect of the reference server is found by the requirement that it names
    Selftest(selftest::SelftestArgs),
    /// Run scenarios on a simulated server that keeps the profile's contract, under many schedules and in virtual time
    Simulate(Box<simulate::SimulateArgs>),
    /// Go through a target step by step and show the first thing that is wrong with it, or with its profile
    Doctor(Box<TargetArgs>),
    /// List requirements, scenarios, profiles or bugs
    List(list::ListArgs),
    /// Explain a requirement, a scenario or a bug
    Explain(list::ExplainArgs),
    /// Print the JSON Schema of profile, scenario or target files
    Schema(list::SchemaArgs),
    /// Write a commented profile and target to start from
    Init(init::InitArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let code = match arguments.command {
        None => test::run(&test::TestArgs::default()),
        Some(Command::Test(args)) => test::run(&args),
        Some(Command::Serve(options)) => serve(&options),
        Some(Command::Selftest(args)) => selftest::run(&args),
        Some(Command::Simulate(args)) => simulate::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::List(args)) => list::list(&args),
        Some(Command::Explain(args)) => list::explain(&args),
        Some(Command::Schema(args)) => list::schema(&args),
        Some(Command::Init(args)) => init::run(&args),
    };
    ExitCode::from(code)
}

fn serve(options: &streamspec_reference_server::ServeOptions) -> u8 {
    match streamspec_reference_server::run(options) {
        Ok(()) => exit::OK,
        Err(error) => {
            eprintln!("error: {error}");
            exit::COULD_NOT_TEST
        }
    }
}

/// Prints to standard output; a closed pipe is the reader's choice and no error.
fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Tells what a user has to mend.
fn complain(error: &Complaint) -> u8 {
    match error {
        Complaint::File(error) => eprintln!("{:?}", miette::Report::new(error.clone())),
        Complaint::Usage(text) => eprintln!("error: {text}"),
    }
    exit::USAGE
}

/// What a user has to mend.
#[derive(Debug)]
enum Complaint {
    /// A file.
    File(crate::contract::FileError),
    /// The command line.
    Usage(String),
}

impl From<crate::contract::FileError> for Complaint {
    fn from(error: crate::contract::FileError) -> Self {
        Complaint::File(error)
    }
}
