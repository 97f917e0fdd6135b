//! Broken scenarios and targets.

use super::shown;
use crate::contract::Target;
use crate::scenario::Scenario;

fn scenario(head: &str, steps: &str) -> String {
    let text = format!("name = \"mine\"\nsays = \"it works\"\n{head}\nsteps = [\n{steps}\n]\n");
    shown(&Scenario::parse("mine.toml", &text).expect_err("this scenario is broken"))
}

fn target(text: &str) -> String {
    shown(&Target::parse("target.toml", text).expect_err("this target is broken"))
}

#[test]
fn broken_target() {
    insta::assert_snapshot!(target("profile = \"sse\"\n"), @r##"
         × the target has neither `url` nor `start`
          ╭─[target.toml:1:1]
        1 │ profile = "sse"
          · ▲
          · ╰── in here
          ╰────
         help: add `start = "my-server --port {port} --data {dir}"`, or `url =
               "http://127.0.0.1:8080"`
        "##);
    insta::assert_snapshot!(target("profile = \"sse\"\nurl = \"127.0.0.1:8080\"\n"), @r##"
         × `127.0.0.1:8080` is no URL
          ╭─[target.toml:2:7]
        1 │ profile = "sse"
        2 │ url = "127.0.0.1:8080"
          ·       ────────┬───────
          ·               ╰── no http:// URL
          ╰────
         help: write it as `http://127.0.0.1:8080`
        "##);
    insta::assert_snapshot!(target("profile = \"sse\"\nstart = \"node server.js\"\n[known]\nORDER-9 = \"because\"\n"), @r##"
          × nothing says on which port the server listens
           ╭─[target.toml:2:9]
         1 │ profile = "sse"
         2 │ start = "node server.js"
           ·         ────────┬───────
           ·                 ╰── no `{port}`
         3 │ [known]
           ╰────
          help: put `{port}` into the command (or into `env`), or set `ready.output`
                to the line in which the server names its port

        Error:
          × there is no requirement `ORDER-9`
           ╭─[target.toml:4:1]
         3 │ [known]
         4 │ ORDER-9 = "because"
           · ───┬───
           ·    ╰── unknown requirement
           ╰────
          help: did you mean `ORDER-1`? in that family: `ORDER-1`, `ORDER-2`, `ORDER-
                3`, `ORDER-4`, `ORDER-5`, `ORDER-6`
        "##);
}

#[test]
fn names_that_no_step_introduced() {
    insta::assert_snapshot!(scenario("needs = [\"resume\"]", "  { open = { session = \"s\" } },\n  { resume = { reader = \"a\" } },"), @r##"
         × the reader `a` is not there yet
          ╭─[mine.toml:6:25]
        5 │   { open = { session = "s" } },
        6 │   { resume = { reader = "a" } },
          ·                         ─┬─
          ·                          ╰── unknown here
        7 │ ]
          ╰────
         help: readers up to here: nothing; a reader comes from an earlier
               `subscribe`
        "##);
    insta::assert_snapshot!(
        scenario("needs = [\"publish\"]", "  { open = { session = \"main\" } },\n  { publish = { session = \"mian\", count = 3 } },"), @r##"
         × the session `mian` is not there yet
          ╭─[mine.toml:6:27]
        5 │   { open = { session = "main" } },
        6 │   { publish = { session = "mian", count = 3 } },
          ·                           ───┬──
          ·                              ╰── unknown here
        7 │ ]
          ╰────
         help: did you mean `main`? sessions up to here: `main`; a session comes from
               an earlier `open`
        "##
    );
}

#[test]
fn places_of_a_cut() {
    let open = "  { open = { session = \"s\" } },\n  { subscribe = { reader = \"a\", session = \"s\" } },";
    insta::assert_snapshot!(
        scenario("needs = [\"proxy\"]", &format!("{open}\n  {{ cut = {{ reader = \"a\", after_events = 2, after_bytes = 10 }} }},")), @r##"
         × one cut has 2 places: after_events, after_bytes
          ╭─[mine.toml:7:45]
        6 │   { subscribe = { reader = "a", session = "s" } },
        7 │   { cut = { reader = "a", after_events = 2, after_bytes = 10 } },
          ·                                             ─────┬─────
          ·                                                  ╰── `after_events` is given as well
        8 │ ]
          ╰────
         help: keep one; a second cut goes behind the next `resume`
        "##
    );
    insta::assert_snapshot!(
        scenario(
            "needs = [\"proxy\"]",
            &format!("{open}\n  {{ cut = {{ reader = \"a\", after_events = \"each\" }} }},\n  {{ cut = {{ reader = \"a\", after_bytes = \"each\" }} }},")
        ),
        @r##"
         × the scenario has 2 sweeps: cut.after_events, cut.after_bytes
          ╭─[mine.toml:4:1]
        3 │ needs = ["proxy"]
        4 │ steps = [
          · ──┬──
          ·   ╰── more than one "each" in here
        5 │   { open = { session = "s" } },
          ╰────
         help: sweep one place; give numbers for the others
        "##
    );
}

#[test]
fn what_a_scenario_does_must_stand_in_its_needs() {
    insta::assert_snapshot!(scenario("needs = []", "  { open = { session = \"s\" } },\n  { restart = { how = \"kill\" } },"), @r##"
         × the server is killed, which needs `kill`
          ╭─[mine.toml:6:5]
        5 │   { open = { session = "s" } },
        6 │   { restart = { how = "kill" } },
          ·     ───┬───
          ·        ╰── not among `needs`
        7 │ ]
          ╰────
         help: add "kill" to `needs`
        "##);
}

#[test]
fn a_step_is_one_known_kind() {
    insta::assert_snapshot!(scenario("", "  { opne = { session = \"s\" } },"), @r##"
         × `opne` is not possible in `steps`
          ╭─[mine.toml:5:5]
        4 │ steps = [
        5 │   { opne = { session = "s" } },
          ·     ──┬─
          ·       ╰── unknown
        6 │ ]
          ╰────
         help: did you mean `open`? possible here: `open`, `publish`, `writer`,
               `join`, `subscribe`, `resume`, `drop`, `cut`, `stall`, `unstall`,
               `hold`, `release`, `shape`, `await`, `seam`, `evict`, `read`,
               `snapshot`, `close`, `delete`, `restart`, `pause`, `continue`,
               `probe`, `churn`, `sample`, `repeat`, `do`, `pay`
        "##);
    insta::assert_snapshot!(scenario("", "  { open = { session = \"s\" }, publish = { session = \"s\" } },"), @r##"
         × `steps` holds 2 kinds at once: `open`, `publish`
          ╭─[mine.toml:5:31]
        4 │ steps = [
        5 │   { open = { session = "s" }, publish = { session = "s" } },
          ·                               ───┬───
          ·                                  ╰── only one is possible
        6 │ ]
          ╰────
         help: give each a table of its own
        "##);
    insta::assert_snapshot!(scenario("", "  { open = { session = \"s\", retain = { record = 3 } } },\n  { await = { reader = \"a\" } },"), @r##"
          × `record` is not known in `retain`
           ╭─[mine.toml:5:40]
         4 │ steps = [
         5 │   { open = { session = "s", retain = { record = 3 } } },
           ·                                        ───┬──
           ·                                           ╰── unknown key
         6 │   { await = { reader = "a" } },
           ╰────
          help: did you mean `records`? allowed here: `age_ms`, `bytes`, `records`

        Error:
          × `upto` is missing in `await`
           ╭─[mine.toml:6:13]
         5 │   { open = { session = "s", retain = { record = 3 } } },
         6 │   { await = { reader = "a" } },
           ·             ────────┬───────
           ·                     ╰── in here
         7 │ ]
           ╰────
          help: add `upto`: What for
        "##);
}

#[test]
fn requirement_and_name_of_a_scenario() {
    insta::assert_snapshot!(scenario("judges = [\"RESUME-99\"]", "  { open = { session = \"s\" } },"), @r##"
         × there is no requirement `RESUME-99`
          ╭─[mine.toml:3:11]
        2 │ says = "it works"
        3 │ judges = ["RESUME-99"]
          ·           ─────┬─────
          ·                ╰── unknown requirement
        4 │ steps = [
          ╰────
         help: did you mean `RESUME-9`? in that family: `RESUME-1`, `RESUME-2`,
               `RESUME-3`, `RESUME-4`, `RESUME-5`, `RESUME-6`, `RESUME-7`, `RESUME-
               8`, `RESUME-9`, `RESUME-10`
        "##);
    let text = "name = \"mine\"\nsays = \"it works\"\nsteps = [{ open = { session = \"s\" } }]\n";
    insta::assert_snapshot!(shown(&Scenario::parse("scenarios/yours.toml", text).unwrap_err()), @r##"
         × the scenario `mine` stands in the file `yours.toml`
          ╭─[scenarios/yours.toml:1:8]
        1 │ name = "mine"
          ·        ───┬──
          ·           ╰── not the file's name
        2 │ says = "it works"
          ╰────
         help: name it `yours`, or rename the file
        "##);
    Scenario::parse("standard input", text).unwrap();
}
