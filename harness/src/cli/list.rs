//! `streamspec list`, `explain`, `schema`: what streamspec knows.

use clap::{Args, ValueEnum};
use streamspec_reference_server::bugs::BUGS;

use super::{Complaint, complain, exit, meant, print};
use crate::client;
use crate::client::trial::cases;
use crate::contract::{CATALOGUE, CLIENT_CATALOGUE, CLIENT_FAMILIES, FAMILIES, Profile, Requirement, requirement};
use crate::scenario::Scenario;

/// What to list.
#[derive(Clone, Debug, Args)]
pub(super) struct ListArgs {
    #[arg(value_enum)]
    what: What,
    /// Print the requirements as the Markdown page of the documentation, with the defects that each catches
    #[arg(long)]
    markdown: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Requirements,
    Scenarios,
    Profiles,
    Bugs,
    ClientRequirements,
    ClientCases,
    ClientBugs,
}

/// What to explain.
#[derive(Clone, Debug, Args)]
pub(super) struct ExplainArgs {
    /// A requirement's id (SEAM-1), a scenario's or a bug's name
    id: String,
}

/// Which schema.
#[derive(Clone, Debug, Args)]
pub(super) struct SchemaArgs {
    /// profile, scenario, target or client-target
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(crate::contract::SCHEMAS))]
    what: String,
}

fn scenarios() -> Result<Vec<Scenario>, Complaint> {
    Ok(Scenario::built_in("sse")?)
}

pub(super) fn list(args: &ListArgs) -> u8 {
    if args.markdown && !matches!(args.what, What::Requirements) {
        return complain(&Complaint::Usage("only `list requirements` has a Markdown page; leave --markdown away".to_owned()));
    }
    let text = match args.what {
        What::Requirements if args.markdown => page(),
        What::Requirements => by_family(FAMILIES, CATALOGUE),
        What::ClientRequirements => by_family(CLIENT_FAMILIES, CLIENT_CATALOGUE),
        What::ClientCases => cases().iter().map(|c| format!("{:<28} {}\n", c.name, c.says)).collect(),
        What::ClientBugs => client::BUGS.iter().map(|b| format!("{:<22} {:<12} {}\n", b.name, b.killed_by, b.says)).collect(),
        What::Scenarios => match scenarios() {
            Ok(all) => all.iter().map(|s| format!("{:<32} {}\n", s.name, s.says)).collect(),
            Err(error) => return complain(&error),
        },
        What::Profiles => Profile::built_in()
            .map(|name| format!("{name:<12} {}\n", Profile::load(name).map_or_else(|_| String::new(), |p| p.says)))
            .collect(),
        What::Bugs => BUGS.iter().map(|b| format!("{:<26} {:<12} {}\n", b.name, b.killed_by, b.says)).collect::<String>(),
    };
    print(&text);
    exit::OK
}

fn by_family(families: &[(&str, &str)], catalogue: &[Requirement]) -> String {
    let family = |(family, about): &(&str, &str)| {
        let of = catalogue.iter().filter(|r| r.family() == *family);
        let lines: String = of.map(|r| format!("  {:<12} {:<6} {}\n", r.id, format!("{:?}", r.level).to_uppercase(), r.says)).collect();
        format!("{family}: {about}\n{lines}")
    };
    families.iter().map(family).collect()
}

/// docs/requirements.md.
fn page() -> String {
    let mut page = "# Requirements

Every sentence that a server is held to. `streamspec explain ID` adds what is looked at, the usual cause and the scenarios
written for it. The last column names the defects of the reference server that the requirement catches; `streamspec selftest`
proves it. This page is what `streamspec list requirements --markdown` prints.
"
    .to_owned();
    for (family, about) in FAMILIES {
        page.push_str(&format!("\n## {family}: {about}\n\n| id | level | sentence | source | catches |\n|---|---|---|---|---|\n"));
        for r in CATALOGUE.iter().filter(|r| r.family() == *family) {
            let bugs: Vec<String> = BUGS.iter().filter(|b| b.killed_by == r.id).map(|b| format!("`{}`", b.name)).collect();
            let level = format!("{:?}", r.level).to_uppercase();
            page.push_str(&format!("| {} | {level} | {} | {} | {} |\n", r.id, r.says, r.source, bugs.join(", ")));
        }
    }
    page
}

pub(super) fn explain(args: &ExplainArgs) -> u8 {
    let all = match scenarios() {
        Ok(all) => all,
        Err(error) => return complain(&error),
    };
    let id = args.id.as_str();
    if let Some(r) = CLIENT_CATALOGUE.iter().find(|r| r.id == id.to_uppercase()) {
        print(&of_clients(r));
        return exit::OK;
    }
    if let Some(r) = requirement(&id.to_uppercase()) {
        let written = all.iter().filter(|s| s.judges.iter().any(|j| j == r.id));
        let scenarios: String = written.map(|s| format!("\n  {:<30} {}", s.name, s.says)).collect();
        let bugs: String = BUGS.iter().filter(|b| b.killed_by == r.id).map(|b| format!("\n  {:<26} {}", b.name, b.says)).collect();
        print(&format!(
            "{} ({}): {}\n\nsource:   {}\nobserved: {}\nlikely:   {}\n\nscenarios written for it:{scenarios}\n\nbugs of the reference server that it catches:{bugs}\n",
            r.id,
            format!("{:?}", r.level).to_uppercase(),
            r.says,
            r.source,
            r.observed,
            r.likely
        ));
        return exit::OK;
    }
    if let Some(s) = all.iter().find(|s| s.name == id) {
        let steps: String =
            s.steps.iter().enumerate().map(|(at, step)| format!("  {:>2}. {}\n", at + 1, crate::run::in_words(step))).collect();
        print(&format!("{}: {}\n\nwritten for: {}\n\n{steps}", s.name, s.says, s.judges.join(", ")));
        return exit::OK;
    }
    if let Some(b) = client::BUGS.iter().find(|b| b.name == id) {
        print(&format!(
            "{}: {}\n\nsource:    {}\nkilled by: {}\ntry it:    streamspec selftest --clients --only {}\n",
            b.name, b.says, b.source, b.killed_by, b.name
        ));
        return exit::OK;
    }
    if let Some(b) = BUGS.iter().find(|b| b.name == id) {
        print(&format!(
            "{}: {}\n\nsource:    {}\nkilled by: {}\ntry it:    streamspec selftest --only {}\n",
            b.name, b.says, b.source, b.killed_by, b.name
        ));
        return exit::OK;
    }
    let family = id.to_uppercase().rsplit_once('-').map_or_else(|| id.to_uppercase(), |(family, _)| family.to_owned());
    let ids: Vec<&str> = CATALOGUE.iter().chain(CLIENT_CATALOGUE).filter(|r| r.family() == family).map(|r| r.id).collect();
    let names = all.iter().map(|s| s.name.as_str()).chain(BUGS.iter().map(|b| b.name)).chain(client::BUGS.iter().map(|b| b.name));
    let hint = match meant(id, CATALOGUE.iter().chain(CLIENT_CATALOGUE).map(|r| r.id).chain(names)) {
        _ if !ids.is_empty() => format!("the family {family} holds {}", ids.join(", ")),
        hint => format!("{hint}`streamspec list requirements|scenarios|bugs` shows what there is"),
    };
    complain(&Complaint::Usage(format!("`{id}` is no requirement, scenario or bug; {hint}")))
}

/// A requirement of clients, with its cases and the broken clients that it catches.
fn of_clients(r: &Requirement) -> String {
    let level = format!("{:?}", r.level).to_uppercase();
    let about = cases().into_iter().filter(|case| case.judges().contains(&r.id));
    let cases: String = about.map(|case| format!("\n  {:<28} {}", case.name, case.says)).collect();
    let caught = client::BUGS.iter().filter(|bug| bug.killed_by == r.id);
    let bugs: String = caught.map(|bug| format!("\n  {:<22} {}", bug.name, bug.says)).collect();
    format!(
        "{} ({level}): {}\n\nsource:   {}\nobserved: {}\nlikely:   {}\n\ncases:{cases}\n\nbroken clients that it catches:{bugs}\n",
        r.id, r.says, r.source, r.observed, r.likely
    )
}

pub(super) fn schema(args: &SchemaArgs) -> u8 {
    match crate::contract::schema(&args.what) {
        Some(schema) => {
            print(&format!("{schema:#}\n"));
            exit::OK
        }
        None => complain(&Complaint::Usage(format!("there is no schema `{}`", args.what))),
    }
}
