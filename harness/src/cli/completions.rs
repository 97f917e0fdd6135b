//! `streamspec completions`: what a shell needs to complete subcommands, flags and their values.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Arguments, exit, print};

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Where the output belongs:
  bash        ~/.local/share/bash-completion/completions/streamspec
  zsh         a file `_streamspec` in a folder of $fpath
  fish        ~/.config/fish/completions/streamspec.fish
  powershell  a line in $PROFILE: streamspec completions powershell | Out-String | Invoke-Expression")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints them; the exit code.
pub(super) fn run(args: &CompletionsArgs) -> u8 {
    let mut script = Vec::new();
    generate(args.shell, &mut Arguments::command(), "streamspec", &mut script);
    print(&String::from_utf8(script).expect("a script is made of texts"));
    exit::OK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_is_completed_in_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let mut script = Vec::new();
            generate(shell, &mut Arguments::command(), "streamspec", &mut script);
            let script = String::from_utf8(script).unwrap();
            for subcommand in Arguments::command().get_subcommands() {
                let name = subcommand.get_name();
                assert!(script.contains(name), "{name} is missing for {shell}");
            }
            assert!(script.contains("write-baseline"), "flags are missing for {shell}");
        }
    }
}
