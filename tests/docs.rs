//! Documentation that cannot rot: links lead somewhere, the book has every page, commands exist, and those in `console` blocks are
//! run and print what the page says.
//!
//! In a block, `$ ` begins a command and what follows is its output; a line `…` stands for any lines. Numbers, seeds and times are
//! compared as numbers, not by their value. A comment above a block says what is special about it: `<!-- not run: WHY -->`, or
//! `<!-- exit: 0 1 -->`, the exit codes of its commands in order (0 for those that are not named).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A page: its path from the root of the repository, and its text.
struct Page {
    path: String,
    text: String,
}

/// A fenced block.
#[derive(Debug)]
struct Block {
    page: String,
    /// Its first line, from 1.
    line: usize,
    language: String,
    /// What the comment above it says.
    remark: String,
    lines: Vec<String>,
}

fn pages() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(Path::new(ROOT).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                // What an example installs is not ours.
                true if entry.file_name() != "node_modules" => folders.push(path),
                true => {}
                false if path.extension().is_some_and(|end| end == "md") => paths.push(path),
                false => {}
            }
        }
    }
    paths.sort();
    let read =
        |path: PathBuf| Page { text: std::fs::read_to_string(Path::new(ROOT).join(&path)).unwrap(), path: path.display().to_string() };
    paths.into_iter().map(read).collect()
}

fn blocks(page: &Page) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut open, mut remark) = (false, String::new());
    for (nth, line) in page.text.lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                open = true;
                let language = language.trim().to_owned();
                found.push(Block {
                    page: page.path.clone(),
                    line: nth + 2,
                    language,
                    remark: std::mem::take(&mut remark),
                    lines: Vec::new(),
                });
            }
            None if open => found.last_mut().expect("a block is open").lines.push(line.to_owned()),
            None if line.starts_with("<!--") => remark = line.trim_matches(['<', '!', '-', '>', ' ']).to_owned(),
            None if !line.trim().is_empty() => remark.clear(),
            None => {}
        }
    }
    assert!(!open, "{}: a block is not closed", page.path);
    found
}

/// The words of a simple command, as a shell would have them; `None` for what is more than one.
fn words(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '#') if word.is_empty() && !begun => break,
            (None, '|' | '>' | '<' | '&' | ';' | '$' | '(') => return None,
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, c) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    Some(words)
}

/// The arguments of streamspec in a command of a page, if it is one of streamspec and whole.
fn arguments(command: &str) -> Option<Vec<String>> {
    let command = command.trim().trim_start_matches("$ ");
    let rest = ["streamspec", "cargo run --release --", "cargo run --"].iter().find_map(|program| {
        let rest = command.strip_prefix(program)?;
        (rest.is_empty() || rest.starts_with(' ')).then_some(rest)
    })?;
    // A heading of its output names streamspec too, and has dots between its parts.
    words(rest).filter(|words| !words.iter().any(|word| word.contains('…') || word == "·"))
}

/// The commands in a block with the lines behind each; a `\` at the end of a line goes on with the next.
fn commands(block: &Block) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut unfinished = false;
    for line in &block.lines {
        let (text, more) = line.strip_suffix('\\').map_or((line.as_str(), false), |text| (text, true));
        match (text.strip_prefix("$ "), found.last_mut()) {
            (_, Some((command, _))) if unfinished => *command += text,
            (Some(command), _) => found.push((command.to_owned(), Vec::new())),
            (None, Some((_, output))) => output.push(line.clone()),
            // The middle of an output that is shown elsewhere.
            (None, None) => {}
        }
        unfinished = more;
    }
    found
}

fn streamspec(folder: &Path, arguments: &[String]) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_streamspec"));
    let path = std::env::join_paths(
        std::iter::once(binary.parent().unwrap().to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .unwrap();
    Command::new(binary)
        .args(arguments)
        .current_dir(folder)
        .envs([("NO_COLOR", "1"), ("COLUMNS", "80")])
        .env("PATH", path)
        .env_remove("GITHUB_ACTIONS")
        .env_remove("RUST_LOG")
        .output()
        .expect("the binary runs")
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut checked = 0;
    let all = pages();
    for page in &all {
        let prose = without_blocks(&page.text);
        for (at, _) in prose.match_indices("](") {
            let target: String = prose[at + 2..].chars().take_while(|c| *c != ')' && !c.is_whitespace()).collect();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (path, anchor) = target.split_once('#').map_or((target.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let folder = Path::new(ROOT).join(&page.path).parent().unwrap().to_owned();
            let file = if path.is_empty() { Path::new(ROOT).join(&page.path) } else { folder.join(path) };
            let there = file.exists()
                && anchor.is_none_or(|anchor| std::fs::read_to_string(&file).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !there {
                broken.push(format!("{}: {target}", page.path));
            }
        }
    }
    assert!(checked > 50, "only {checked} links were found");
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

fn without_blocks(text: &str) -> String {
    let mut open = false;
    let mut keep = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        open ^= fence;
        !open && !fence
    };
    text.lines().filter(|line| keep(line)).map(|line| format!("{line}\n")).collect()
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c)).collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn the_book_has_every_page_once() {
    let summary = std::fs::read_to_string(format!("{ROOT}/docs/SUMMARY.md")).unwrap();
    let index = std::fs::read_to_string(format!("{ROOT}/docs/README.md")).unwrap();
    for page in pages() {
        let Some(name) = page.path.strip_prefix("docs/").filter(|name| *name != "SUMMARY.md" && !name.starts_with("examples/")) else {
            continue;
        };
        assert_eq!(summary.matches(&format!("]({name})")).count(), 1, "docs/SUMMARY.md names {name} once");
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "docs/README.md names {name}");
    }
    let book: toml::Table = std::fs::read_to_string(format!("{ROOT}/docs/book.toml")).unwrap().parse().unwrap();
    assert_eq!(book["book"]["src"].as_str(), Some("."));
    let site = Path::new("docs").join(book["build"]["build-dir"].as_str().unwrap());
    assert_eq!(site, Path::new("docs/../book"), "a page's `../tests` leads to the same folder from the site as from `docs`");
}

#[test]
fn every_command_exists_with_its_flags() {
    let folder = tempfile::tempdir().unwrap();
    let mut asked = BTreeSet::new();
    for block in pages().iter().flat_map(blocks) {
        let lines = block.lines.join("\n").replace("\\\n", " ");
        for line in lines.lines() {
            let Some(mut arguments) = arguments(line).filter(|_| ["sh", "console", "text", "", "yaml"].contains(&block.language.as_str()))
            else {
                continue;
            };
            // Help is printed where every argument before it is known.
            arguments.push("--help".to_owned());
            if asked.insert(arguments.clone()) {
                let output = streamspec(folder.path(), &arguments);
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{}:{}: {line}\n{said}", block.page, block.line);
            }
        }
    }
    assert!(asked.len() > 40, "only {} commands were found", asked.len());
}

#[test]
fn what_stands_in_console_blocks_is_what_is_printed() {
    let mut run = 0;
    for page in pages() {
        // A page's commands follow each other in one folder, beside the files of the repository that they name.
        let folder = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        for name in ["tests", "scenarios", "docs", "harness"] {
            std::os::unix::fs::symlink(Path::new(ROOT).join(name), folder.path().join(name)).unwrap();
        }
        for block in blocks(&page).iter().filter(|block| block.language == "console") {
            if let Some(why) = block.remark.strip_prefix("not run:") {
                assert!(!why.trim().is_empty(), "{}:{}: a block that is not run says why", block.page, block.line);
                continue;
            }
            let codes: Vec<i32> = block
                .remark
                .strip_prefix("exit:")
                .map_or(Vec::new(), |codes| codes.split_whitespace().map(|code| code.parse().expect("exit codes are numbers")).collect());
            for (nth, (command, expected)) in commands(block).into_iter().enumerate() {
                let place = format!("{}:{}: {command}", block.page, block.line);
                let arguments =
                    arguments(&command).unwrap_or_else(|| panic!("{place}: this is no command of streamspec; mark the block `not run`"));
                let output = streamspec(folder.path(), &arguments);
                let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(codes.get(nth).copied().unwrap_or(0)), "{place}\n{printed}");
                let fits = fits(&expected, &printed);
                assert!(fits, "{place}\nthe page says:\n{}\n\nprinted was:\n{printed}", expected.join("\n"));
                run += 1;
            }
        }
    }
    assert!(run >= 10, "only {run} commands were run");
}

/// True when `printed` is as `expected` says; without any line, everything is.
fn fits(expected: &[String], printed: &str) -> bool {
    let expected: Vec<String> = expected.iter().map(|line| alike(line)).collect();
    let printed: Vec<String> = printed.lines().map(alike).collect();
    let trim = |lines: &[String]| lines.iter().rposition(|line| !line.is_empty()).map_or(0, |at| at + 1);
    let (expected, printed) = (&expected[..trim(&expected)], &printed[..trim(&printed)]);
    expected.is_empty() || follows(expected, printed)
}

fn follows(expected: &[String], printed: &[String]) -> bool {
    match expected {
        [] => printed.is_empty(),
        [any, rest @ ..] if any == "…" => (0..=printed.len()).any(|at| follows(rest, &printed[at..])),
        [line, rest @ ..] => printed.first() == Some(line) && follows(rest, &printed[1..]),
    }
}

/// A line with every number as `N` and every run of blanks as one: widths follow numbers.
fn alike(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in line.trim_end().chars().chain(['\n']) {
        if c.is_alphanumeric() || (c == '.' || c == ',') && word.ends_with(|c: char| c.is_ascii_digit()) {
            word.push(c);
            continue;
        }
        let tail = word.trim_end_matches(['.', ',']).len();
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        out += if number { "N" } else { &word[..tail] };
        out += &word[tail..];
        word.clear();
        match c {
            '\n' => {}
            ' ' if out.ends_with(' ') => {}
            c => out.push(c),
        }
    }
    out
}

#[test]
fn numbers_are_compared_as_numbers_and_words_as_words() {
    assert_eq!(alike("165 cases in 2.2 s, seed 0xd4479689e6195e2a"), alike("9 cases in  12.25 s, seed 0x1"));
    assert_ne!(alike("5 passed, 0 failed"), alike("5 passed, 0 skipped"));
    assert!(fits(&["a".into(), "…".into(), "9 z".into()], "a\nb\n\n10 z\n"));
    assert!(!fits(&["a".into(), "…".into(), "z".into()], "a\nb\n"));
    assert!(!fits(&["a".into()], "a\nb\n"));
    assert_eq!(words("test --start 'a b' # c").unwrap(), ["test", "--start", "a b"]);
    assert_eq!(words("a | b"), None);
}
