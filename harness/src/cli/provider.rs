//! `streamspec provider`: the scripted model provider alone.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::{Complaint, complain, exit, print};
use crate::provider::{Board, Provider, Script};

/// What a prompt without a script is answered with.
const STANDING: &str = "words 8";

/// Options of `streamspec provider`.
#[derive(Debug, clap::Args)]
pub(super) struct ProviderArgs {
    /// The port; 0 takes a free one, which the first line names.
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// The address to listen at.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,
    /// The script for prompts that bring none (docs/provider.md has the language). Default: `words 8`.
    #[arg(long, value_name = "TEXT", conflicts_with = "script_file")]
    script: Option<String>,
    /// The same, from a file.
    #[arg(long, value_name = "FILE")]
    script_file: Option<PathBuf>,
}

pub(super) fn run(args: &ProviderArgs) -> u8 {
    let standing = match args.standing() {
        Ok(script) => script,
        Err(message) => return complain(&Complaint::Usage(message)),
    };
    match serve(SocketAddr::new(args.host, args.port), standing) {
        Ok(()) => exit::OK,
        Err(message) => {
            eprintln!("error: {message}");
            exit::COULD_NOT_TEST
        }
    }
}

impl ProviderArgs {
    fn standing(&self) -> Result<Script, String> {
        let Some(file) = &self.script_file else {
            return self.script.as_deref().unwrap_or(STANDING).parse().map_err(|e| format!("--script: {e}"));
        };
        let text = std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        text.parse().map_err(|e| format!("{}: {e}", file.display()))
    }
}

/// Serves until SIGTERM or SIGINT.
fn serve(listen: SocketAddr, standing: Script) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(async {
        let listen_for = |kind| signal(kind).map_err(|e| format!("cannot listen for signals: {e}"));
        let (mut terminate, mut interrupt) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
        let provider = Provider::start(listen, Arc::new(Board::new(standing))).await.map_err(|e| e.to_string())?;
        print(&format!("listening on http://{}\n", provider.address()));
        tokio::select! {
            () = provider.serve() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
