//! Operations of a protocol's own, and what a scenario expects of their answers.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::contract::StatusSet;
use crate::history::{Action, Expectation, Marker, OpId, Opened, Outcome, Probe, SessionIx, What};
use crate::run::binding::Vars;
use crate::scenario::{Do, Expect, Markers};
use crate::world::{Address, Call, Reply, Whole, World};

use super::{Abort, Walk};

/// Pause between two looks at an answer that is not yet as expected.
const AGAIN: Duration = Duration::from_millis(20);
/// How much of an answer is shown.
const MOST_SHOWN: usize = 300;

/// What an answer is compared with.
struct Context {
    vars: Vars,
    /// The acknowledged durable events of the session, in order.
    markers: Vec<Marker>,
    same_as: Option<String>,
    other_than: Option<String>,
}

/// How an answer differs from what was expected.
#[derive(Debug, PartialEq, Eq)]
struct Differs {
    expected: String,
    seen: String,
}

impl<W: World> Walk<'_, W> {
    /// Sends the operation of a `do` step as often as it says.
    pub(super) async fn ask(&self, step: &Do) -> Result<(), Abort> {
        use futures_util::StreamExt;
        let lanes = step.concurrent.max(1) as usize;
        let asked = futures_util::stream::iter((0..step.times.max(1)).map(|_| self.ask_once(step)));
        asked.buffer_unordered(lanes).collect::<Vec<_>>().await.into_iter().collect()
    }

    async fn ask_once(&self, step: &Do) -> Result<(), Abort> {
        let since = self.world.now();
        loop {
            let (session, address) = self.asked_of(step)?;
            let with = filled(&step.with, &address);
            let clears = step.clears.iter().map(|name| self.with(name, |s| s.ix)).collect::<Result<Vec<_>, _>>()?;
            let sent = self.world.now();
            let (op, reply) = self.send(&step.op, &with, (session, clears), &address).await;
            let took = self.world.now().0.saturating_sub(sent.0) / 1000;
            if let Some(name) = &step.session {
                self.with(name, |s| Rc::make_mut(&mut s.address).taken.extend(reply.taken.clone()))?;
            }
            if let (Some(name), Some(answer)) = (&step.remember, &reply.answer) {
                self.cast.borrow_mut().remembered.insert(name.clone(), answer.body.clone());
            }
            self.begin_anew(&step.clears).await?;
            let context = self.context(step, with, address)?;
            let differs = differs(step, &reply, &context).or_else(|| late(step, took));
            let waited = Duration::from_micros(self.world.now().0.saturating_sub(since.0));
            if differs.is_some() && step.until && waited < self.deadline() {
                self.world.pass(AGAIN).await;
                continue;
            }
            return self.conclude(step, op, &reply, differs);
        }
    }

    /// Sessions whose events were removed begin where the stream is now, for readers that want everything.
    async fn begin_anew(&self, cleared: &[String]) -> Result<(), Abort> {
        for name in cleared {
            if self.with(name, |s| s.opened.is_none())? {
                continue;
            }
            let Some(cursor) = self.world.fence(self.deadline()).await else { continue };
            let session = self.with(name, |s| {
                s.opened = Some(cursor.as_str().into());
                s.ix
            })?;
            self.record(What::Opened(Opened { session, cursor }));
        }
        Ok(())
    }

    fn asked_of(&self, step: &Do) -> Result<(Option<SessionIx>, Address), Abort> {
        match &step.session {
            Some(name) => self.with(name, |s| (Some(s.ix), Address::clone(&s.address))),
            None => Ok((None, Address::default())),
        }
    }

    async fn send(
        &self,
        name: &str,
        with: &BTreeMap<String, String>,
        (session, clears): (Option<SessionIx>, Vec<SessionIx>),
        address: &Address,
    ) -> (OpId, Reply) {
        let op = self.world.recorder().operation();
        let action = Action::Custom { name: name.to_owned(), session, clears };
        let call = Call::Custom { name: name.to_owned(), with: with.clone() };
        (op, self.operation_as(op, action, address, call).await)
    }

    fn context(&self, step: &Do, with: BTreeMap<String, String>, address: Address) -> Result<Context, Abort> {
        let mut vars = known_of(&address);
        let markers = match &step.session {
            Some(name) => self.with(name, |s| {
                for (name, value) in &s.address.taken {
                    vars.text(name, value.clone());
                }
                s.published.iter().filter(|p| p.acknowledged && p.durable).map(|p| p.marker).collect()
            })?,
            None => Vec::new(),
        };
        for (name, value) in with {
            vars.text(&name, value);
        }
        let cast = self.cast.borrow();
        let remembered = |name: &Option<String>| match name {
            Some(name) => match cast.remembered.get(name) {
                Some(body) => Ok(Some(body.clone())),
                None => self.could_not(format!("no answer was remembered as `{name}`")),
            },
            None => Ok(None),
        };
        let expect = step.expect.as_ref();
        let same_as = remembered(&expect.and_then(|e| e.same_as.clone()))?;
        let other_than = remembered(&expect.and_then(|e| e.other_than.clone()))?;
        Ok(Context { vars, markers, same_as, other_than })
    }

    /// What a probe found that more than its outcome tells.
    pub(super) fn probed(&self, about: Probe, reply: &Reply) {
        let of = |name: &str| reply.taken.get(name).map_or("", String::as_str);
        let count = |name: &str| of(name).parse().unwrap_or(0_u32);
        let expect = |judges: &str, says: &str, expected: &str, (asked, against): (&str, &str)| {
            if count(asked) == 0 {
                return;
            }
            let held = of(against).is_empty();
            let seen = if held { format!("{} answers", of(asked)) } else { of(against).to_owned() };
            let seen = seen[..seen.floor_char_boundary(4 * MOST_SHOWN)].to_owned();
            let (judges, says, expected) = (judges.to_owned(), says.to_owned(), expected.to_owned());
            self.record(What::Expectation(Box::new(Expectation { judges, says, held, expected, seen, op: None })));
        };
        match about {
            Probe::NoCredentials => {
                expect("AUTH-1", "every surface, without credentials and with wrong ones", "a refusal", ("asked", "open"));
                expect("AUTH-2", "what is public, without credentials", "an answer", ("public", "shut"));
            }
            Probe::Escape => {
                expect(
                    "CONTAIN-1",
                    "a planted file outside the root, by every spelling of its path",
                    "no byte of it",
                    ("asked", "outside"),
                );
                expect("CONTAIN-2", "the answer to an escape", "the answer to a missing file", ("asked", "told"));
            }
            Probe::UnknownSession | Probe::PublishUnknown | Probe::WrongMethod | Probe::SenselessLimit => {}
        }
    }

    /// Records the judgement of an expectation; one that judges nothing must hold for the scenario to go on.
    fn conclude(&self, step: &Do, op: OpId, reply: &Reply, differs: Option<Differs>) -> Result<(), Abort> {
        let what = step.expect.as_ref().and_then(|e| e.says.clone()).unwrap_or_else(|| format!("the answer to `{}`", step.op));
        match (&step.judges, differs) {
            (Some(judges), differs) => {
                let held = differs.is_none();
                let (expected, seen) = differs.map_or_else(|| (String::new(), shown(reply)), |d| (d.expected, d.seen));
                let expectation = Expectation { judges: judges.clone(), says: what, held, expected, seen, op: Some(op) };
                self.record(What::Expectation(Box::new(expectation)));
                Ok(())
            }
            (None, None) => Ok(()),
            (None, Some(differs)) => self.could_not(format!("{what}: expected {}, but {}", differs.expected, differs.seen)),
        }
    }
}

/// What a session is called, and what was taken from the answers about it.
fn known_of(address: &Address) -> Vars {
    let mut vars = Vars::default();
    vars.text("session", address.id.clone());
    for (name, value) in &address.taken {
        vars.text(name, value.clone());
    }
    vars
}

/// The values that a step gives, with their placeholders filled in. One that is a placeholder alone without a value is left out.
fn filled(with: &BTreeMap<String, String>, address: &Address) -> BTreeMap<String, String> {
    let vars = known_of(address);
    let fill = |(name, value): (&String, &String)| Some((name.clone(), vars.fill(value, str::to_owned)?));
    with.iter().filter_map(fill).collect()
}

/// An answer in short.
fn shown(reply: &Reply) -> String {
    match (&reply.answer, &reply.outcome) {
        (Some(answer), _) => {
            let body = answer.body.trim();
            let body = &body[..body.floor_char_boundary(MOST_SHOWN)];
            if body.is_empty() { format!("status {}", answer.status) } else { format!("status {} {body}", answer.status) }
        }
        (None, Outcome::Unknown { why }) => format!("no answer: {why}"),
        (None, Outcome::Failed { body, .. }) => format!("no answer: {body}"),
        (None, Outcome::Ok { status, .. }) => format!("status {status}"),
    }
}

/// How an answer that took this many milliseconds came too late.
fn late(step: &Do, took: u64) -> Option<Differs> {
    let within = step.expect.as_ref()?.within_ms.filter(|within| took > *within)?;
    Some(Differs { expected: format!("it within {within} ms"), seen: format!("it after {took} ms") })
}

fn differs(step: &Do, reply: &Reply, context: &Context) -> Option<Differs> {
    let done = matches!(reply.outcome, Outcome::Ok { .. });
    let Some(expect) = &step.expect else {
        return (!done).then(|| Differs { expected: "it to be done".to_owned(), seen: shown(reply) });
    };
    // A condition on the status replaces the rule that an operation must be done.
    if expect.status.is_none() && done == expect.refused {
        let expected = if expect.refused { "a refusal" } else { "it to be done" };
        return Some(Differs { expected: expected.to_owned(), seen: shown(reply) });
    }
    let Some(answer) = &reply.answer else {
        let nothing_more = expect.refused && *expect == Expect { refused: true, says: expect.says.clone(), ..Expect::default() };
        return (!nothing_more).then(|| Differs { expected: "an answer".to_owned(), seen: shown(reply) });
    };
    of_answer(expect, answer, context).map(|expected| Differs { expected, seen: shown(reply) })
}

/// The first condition that an answer does not meet, in words.
fn of_answer(expect: &Expect, answer: &Whole, context: &Context) -> Option<String> {
    let fill = |text: &String| context.vars.fill(text, str::to_owned).unwrap_or_default();
    let json = answer.json();
    let at = |pointer: &String| json.as_ref().and_then(|json| json.pointer(&fill(pointer))).filter(|value| !value.is_null());
    if let Some(status) = expect.status.as_ref().filter(|status: &&StatusSet| !status.contains(answer.status)) {
        return Some(format!("status {status}"));
    }
    for (pointer, wanted) in &expect.json {
        let wanted = context.vars.fill_json(wanted).unwrap_or(Value::Null);
        if at(pointer) != Some(&wanted) && !(wanted.is_null() && at(pointer).is_none()) {
            return Some(format!("{wanted} at {}", fill(pointer)));
        }
    }
    for (pointer, unwanted) in &expect.json_not {
        let unwanted = context.vars.fill_json(unwanted).unwrap_or(Value::Null);
        if at(pointer) == Some(&unwanted) {
            return Some(format!("something else than {unwanted} at {}", fill(pointer)));
        }
    }
    if let Some(pointer) = expect.nothing_at.iter().find(|pointer| at(pointer).is_some()) {
        return Some(format!("nothing at {}", fill(pointer)));
    }
    if let Some(text) = expect.contains.iter().map(fill).find(|text| !answer.body.contains(text.as_str())) {
        return Some(format!("`{text}` in the body"));
    }
    if let Some(text) = expect.lacks.iter().map(fill).find(|text| answer.body.contains(text.as_str())) {
        return Some(format!("no `{text}` in the body"));
    }
    for (name, wanted) in &expect.headers {
        let (value, wanted) = (answer.header(name), fill(wanted));
        if wanted.is_empty() && value.is_some() {
            return Some(format!("no header {name}"));
        }
        if !wanted.is_empty() && value.is_none_or(|value| !value.contains(&wanted)) {
            return Some(format!("`{wanted}` in the header {name}"));
        }
    }
    if context.same_as.as_ref().is_some_and(|same| *same != answer.body) {
        return Some(format!("the same answer as `{}`", expect.same_as.as_deref().unwrap_or_default()));
    }
    if context.other_than.as_ref().is_some_and(|other| *other == answer.body) {
        return Some(format!("another answer than `{}`", expect.other_than.as_deref().unwrap_or_default()));
    }
    markers(expect.markers?, &context.markers, &answer.body)
}

/// Whether a body holds the markers that it must hold; else what was expected.
fn markers(which: Markers, published: &[Marker], body: &str) -> Option<String> {
    let found = Marker::find_all(body);
    let own: Vec<Marker> = found.into_iter().filter(|marker| published.contains(marker)).collect();
    match which {
        Markers::None => own.first().map(|marker| format!("no published event in it, not {marker} either")),
        Markers::All => published.iter().find(|marker| !own.contains(marker)).map(|marker| format!("{marker} in it")),
        Markers::Once => (own != published).then(|| match published.iter().find(|marker| !own.contains(marker)) {
            Some(marker) => format!("{marker} in it"),
            None => format!("the {} events once each and in their order, not {}", published.len(), own.len()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Whole {
        Whole { status, headers: vec![("Content-Type".to_owned(), "application/json".to_owned())], body: body.to_owned() }
    }

    fn context(markers: &[u32]) -> Context {
        let mut vars = Vars::default();
        vars.text("session", "s1");
        let markers = markers.iter().map(|n| Marker { session: 0, n: *n }).collect();
        Context { vars, markers, same_as: None, other_than: None }
    }

    fn expect(text: &str) -> Expect {
        toml::from_str(text).unwrap()
    }

    fn why(expected: &str, body: &str) -> Option<String> {
        of_answer(&expect(expected), &answer(200, body), &context(&[1, 2]))
    }

    #[test]
    fn conditions_name_what_is_not_so() {
        let body = r#"{"state":"idle","id":"s1","n":2,"none":null}"#;
        assert_eq!(why("json = { \"/state\" = \"idle\", \"/id\" = \"{session}\", \"/n\" = 2 }", body), None);
        assert_eq!(why("json = { \"/state\" = \"busy\" }", body).unwrap(), "\"busy\" at /state");
        assert_eq!(why("json_not = { \"/state\" = \"idle\" }", body).unwrap(), "something else than \"idle\" at /state");
        assert_eq!(why("nothing_at = [\"/none\", \"/x\"]", body), None);
        assert_eq!(why("nothing_at = [\"/n\"]", body).unwrap(), "nothing at /n");
        assert_eq!(why("contains = [\"{session}\"]\nlacks = [\"busy\"]", body), None);
        assert_eq!(why("lacks = [\"{session}\"]", body).unwrap(), "no `s1` in the body");
        assert_eq!(why("status = [409, 410]", body).unwrap(), "status 409 or 410");
        assert_eq!(why("headers = { content-type = \"json\" }", body), None);
        assert_eq!(why("headers = { content-type = \"\" }", body).unwrap(), "no header content-type");
    }

    #[test]
    fn values_name_their_session() {
        let address = Address { id: "s1".to_owned(), taken: BTreeMap::from([("run".to_owned(), "r2".to_owned())]) };
        let with = [("text", "for {session}: [[say tool t {}]]"), ("run", "{run}"), ("other", "{other}")];
        let with = with.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let wanted = [("text", "for s1: [[say tool t {}]]"), ("run", "r2")];
        assert_eq!(filled(&with, &address), wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn markers_are_counted() {
        let once = "text «s0.1» «s0.2» of another «s1.1»";
        let twice = "«s0.1» «s0.2» «s0.2»";
        assert_eq!(why("markers = \"once\"", once), None);
        assert_eq!(why("markers = \"all\"", twice), None);
        assert_eq!(why("markers = \"once\"", twice).unwrap(), "the 2 events once each and in their order, not 3");
        assert_eq!(why("markers = \"once\"", "«s0.2» «s0.1»").unwrap(), "the 2 events once each and in their order, not 2");
        assert_eq!(why("markers = \"all\"", "«s0.2»").unwrap(), "«s0.1» in it");
        assert_eq!(why("markers = \"none\"", "«s1.1»"), None);
        assert!(why("markers = \"none\"", "«s0.2»").is_some());
    }
}
