//! `streamspec man`: manual pages, made of what the command line says of itself.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{Arguments, Complaint, complain, exit, print, reason};
use crate::report::replace;

/// Which pages, and where to.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for streamspec and for each of its subcommands into this folder, as `man` looks for them (man1)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the page of streamspec, or writes all pages; the exit code.
pub(super) fn run(args: &ManArgs) -> u8 {
    let Some(folder) = &args.dir else {
        print(&page(whole()));
        return exit::OK;
    };
    match write(folder) {
        Ok(()) => exit::OK,
        Err(complaint) => complain(&complaint),
    }
}

fn write(folder: &Path) -> Result<(), Complaint> {
    let cannot = |what: &Path, error: std::io::Error| Complaint::Usage(format!("cannot write {}: {}", what.display(), reason(&error)));
    std::fs::create_dir_all(folder).map_err(|error| cannot(folder, error))?;
    for (name, text) in pages() {
        let path = folder.join(name);
        replace(&path, text.as_bytes()).map_err(|error| cannot(&path, error))?;
    }
    Ok(())
}

/// The command line, each subcommand with its full name.
fn whole() -> Command {
    let mut command = Arguments::command();
    command.build();
    command
}

/// Every page by the name of its file.
fn pages() -> Vec<(String, String)> {
    let whole = whole();
    // `help` is no command of ours.
    let subcommands = whole.get_subcommands().filter(|subcommand| subcommand.get_name() != "help");
    // A command line that is built calls each of them by its full name, `streamspec-test`.
    let named = subcommands
        .map(|subcommand| (format!("{}.1", subcommand.get_display_name().unwrap_or(subcommand.get_name())), page(subcommand.clone())));
    std::iter::once(("streamspec.1".to_owned(), page(whole.clone()))).chain(named).collect()
}

fn page(command: Command) -> String {
    let mut text = Vec::new();
    let version = concat!("streamspec ", env!("CARGO_PKG_VERSION"));
    Man::new(command).source(version).render(&mut text).expect("memory can be written to");
    String::from_utf8(text).expect("a page is made of texts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_has_a_page_with_its_flags() {
        let pages = pages();
        assert_eq!(pages.len(), 1 + Arguments::command().get_subcommands().count());
        let of = |name: &str| &pages.iter().find(|(file, _)| file == name).unwrap().1;
        assert!(of("streamspec.1").contains("streamspec\\-selftest(1)"), "{}", of("streamspec.1"));
        let test = of("streamspec-test.1");
        for part in [".TH streamspec-test 1", "\\-\\-baseline", "a requirement is violated"] {
            assert!(test.contains(part), "{part} is missing in {test}");
        }
    }
}
