//! streamspec: breaks session streams and judges what their readers saw.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all, before any thread: this process may have been started as the guard of a server.
    match streamspec::world::live::process::guard_if_asked() {
        Some(code) => code,
        None => streamspec::cli::main(),
    }
}
