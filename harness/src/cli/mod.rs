//! The command line, one file a subcommand.

mod baseline;
mod check;
mod client;
mod compare;
mod completions;
mod config;
mod conversation;
mod doctor;
mod every;
mod exit;
mod fuzz;
mod init;
mod kills;
mod list;
mod man;
mod matrix;
mod plan;
mod progress;
mod provider;
mod proxy;
mod record;
mod replay;
mod report;
mod reports;
mod review;
mod selftest;
mod simulate;
mod sweep;
mod tail;
mod test;
mod verbosity;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::report::visible;
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
    #[command(flatten)]
    verbosity: verbosity::Verbosity,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Break a server's streams, restart it, and judge what its readers saw
    Test(Box<test::TestArgs>),
    /// Explore a server with scenarios that nobody wrote, and hand over the smallest one that fails
    Fuzz(Box<fuzz::FuzzArgs>),
    /// Run failures that were found before once more: FIXED, STILL FAILS or CANNOT
    Replay(Box<replay::ReplayArgs>),
    /// Run scenarios and write down what stood on the wire, in a form that is the same for every run of a right server; or,
    /// with --upstream, record the conversation of a client and a server
    Record(Box<record::RecordArgs>),
    /// Stand between a client and a server, and break their connections where an HTTP request asks for it
    Proxy(proxy::ProxyArgs),
    /// Judge a history, a HAR file or captures of curl by the same requirements
    Check(check::CheckArgs),
    /// Draw a stored history as a page or a picture
    Report(report::ReportArgs),
    /// Put several runs side by side: rows requirements, columns targets
    Matrix(matrix::MatrixArgs),
    /// Accept, reject or skip transcripts that changed
    Review(review::ReviewArgs),
    /// Run the built-in reference server, right or with defects
    Serve(streamspec_reference_server::ServeOptions),
    /// Run a scripted model provider, with which an agent's server says exactly what its prompt tells it to
    Provider(provider::ProviderArgs),
    /// Prove that every planted defect of the reference server is found by the requirement that it names
    Selftest(selftest::SelftestArgs),
    /// Run scenarios on a simulated server that keeps the profile's contract, under many schedules and in virtual time
    Simulate(Box<simulate::SimulateArgs>),
    /// Play a hostile but conforming server to a client, and judge what it applies
    Client(Box<client::ClientArgs>),
    /// Read a stream, reconnecting and resuming, and print each event that is applied as a JSON line
    Tail(Box<tail::TailArgs>),
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
    /// Print what a shell needs in order to complete this command line
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write those of all subcommands
    Man(man::ManArgs),
}

/// Runs the command line of this process. A panic is a defect of ours and has its own exit code.
pub fn main() -> ExitCode {
    crate::wire::opinion::hush();
    // Requirements and flags are copied from errors: none may be torn at its hyphen. A hook that is there already stays.
    let _ = miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().word_splitter(textwrap::WordSplitter::NoHyphenation).build())
    }));
    let code = std::panic::catch_unwind(begin).unwrap_or_else(|_| {
        tell("error: a defect of streamspec (above); the command line and these lines are what a report needs");
        exit::OUR_BUG
    });
    ExitCode::from(code)
}

/// Reads the command line with the settings beside it, and does what it says.
fn begin() -> u8 {
    let (matches, sources) = match config::parse(Arguments::command()) {
        Ok(parsed) => parsed,
        Err(complaint) => return complain(&complaint),
    };
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    verbosity::listen(&arguments.verbosity);
    let wants = |config: &config::ConfigArgs| config.print_config;
    let shows = match &arguments.command {
        Some(Command::Test(args)) => wants(&args.target.config),
        Some(Command::Fuzz(args)) => wants(&args.target.config),
        Some(Command::Doctor(args)) => wants(&args.config),
        _ => false,
    };
    if shows {
        print(&config::print_config(&Arguments::command(), &matches, &sources));
        return exit::OK;
    }
    dispatch(&arguments)
}

fn dispatch(arguments: &Arguments) -> u8 {
    match &arguments.command {
        None => test::run(&test::TestArgs::default()),
        Some(Command::Test(args)) => test::run(args),
        Some(Command::Fuzz(args)) => fuzz::run(args),
        Some(Command::Replay(args)) => replay::run(args),
        Some(Command::Record(args)) => record::run(args),
        Some(Command::Proxy(args)) => proxy::run(args),
        Some(Command::Check(args)) => check::run(args),
        Some(Command::Report(args)) => report::run(args),
        Some(Command::Matrix(args)) => matrix::run(args),
        Some(Command::Review(args)) => review::run(args),
        Some(Command::Simulate(args)) => simulate::run(args),
        Some(Command::Serve(options)) => serve(options),
        Some(Command::Provider(args)) => provider::run(args),
        Some(Command::Selftest(args)) => selftest::run(args),
        Some(Command::Client(args)) => client::run(args),
        Some(Command::Tail(args)) => tail::run(args),
        Some(Command::Doctor(args)) => doctor::run(args),
        Some(Command::List(args)) => list::list(args),
        Some(Command::Explain(args)) => list::explain(args),
        Some(Command::Schema(args)) => list::schema(args),
        Some(Command::Init(args)) => init::run(args),
        Some(Command::Completions(args)) => completions::run(args),
        Some(Command::Man(args)) => man::run(args),
    }
}

fn serve(options: &streamspec_reference_server::ServeOptions) -> u8 {
    match streamspec_reference_server::run(options) {
        Ok(()) => exit::OK,
        Err(error) => {
            tell(&format!("error: {error}"));
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

/// Prints a line to standard error. `eprintln!` would panic when nobody reads it, and so change the exit code.
fn tell(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Tells what a user has to mend; the exit code.
fn complain(error: &Complaint) -> u8 {
    match error {
        Complaint::File(error) => tell(&format!("{:?}", miette::Report::new(error.clone()))),
        Complaint::Usage(text) | Complaint::Unreachable(text) => tell(&format!("error: {}", visible(text))),
    }
    match error {
        Complaint::File(_) | Complaint::Usage(_) => exit::USAGE,
        Complaint::Unreachable(_) => exit::COULD_NOT_TEST,
    }
}

/// Why a file or a folder could not be had, without the numbers of the system.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        kind => kind.to_string(),
    }
}

/// `did you mean `x`? `, where one of the words is near enough to what was typed.
fn meant<'a>(typed: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    crate::contract::nearest(typed, words).map_or_else(String::new, |near| format!("did you mean `{near}`? "))
}

/// Complains about what cannot be the URL of a server.
fn address(url: &str) -> Result<(), Complaint> {
    let complaint = || Complaint::Usage(format!("`{url}` is no URL; write it as http://127.0.0.1:8080"));
    crate::contract::names_a_host(url).then_some(()).ok_or_else(complaint)
}

/// What a user has to mend.
#[derive(Debug)]
enum Complaint {
    /// A file.
    File(crate::contract::FileError),
    /// The command line.
    Usage(String),
    /// A server that does not answer.
    Unreachable(String),
}

impl From<crate::contract::FileError> for Complaint {
    fn from(error: crate::contract::FileError) -> Self {
        Complaint::File(error)
    }
}
