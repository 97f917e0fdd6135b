//! Each event applied once and in order; gaps; ends.

use super::super::case::{Case, Check, Need, Reference, Reply, Step, dues};
use super::SOON;
use crate::world::live::proxy::{Fault, How, Place, Within};

fn events(ids: &[u32]) -> String {
    ids.iter().map(|id| format!("id: {id}\ndata: e{id}\n\n")).collect()
}

fn due(reply: u32, ids: &[u32]) -> Vec<(u32, &'static str, String)> {
    ids.iter().map(|id| (reply, "message", format!("e{id}"))).collect()
}

fn all_of(events: &[(u32, &'static str, String)]) -> Check {
    let events: Vec<(u32, &str, &str)> = events.iter().map(|(reply, kind, data)| (*reply, *kind, data.as_str())).collect();
    Check::Applies(dues(&events))
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = delivered();
    all.extend(gaps());
    all.extend(ends());
    all
}

fn delivered() -> Vec<Case> {
    let burst: Vec<u32> = (1..=5000).collect();
    vec![
        Case::new("inclusive-resume", "the server resumes with the cursor's own event, twice")
            .needs(Need::Dedup)
            .reply(Reply::stream().send(SOON).send(events(&[1, 2, 3])))
            .reply(Reply::stream().send(events(&[3, 4])))
            .reply(Reply::stream().send(events(&[4, 5])).end())
            .check("C-DELIVER-1", all_of(&[due(1, &[1, 2, 3]), due(2, &[4]), due(3, &[5])].concat())),
        Case::new("cursor-ignored", "the server begins at its first event at each connection")
            .needs(Need::Dedup)
            .reply(Reply::stream().send(SOON).send(events(&[1, 2, 3])))
            .reply(Reply::stream().send(events(&[1, 2, 3, 4])).end())
            .check("C-DELIVER-2", all_of(&[due(1, &[1, 2, 3]), due(2, &[4])].concat())),
        Case::new("late-among-new", "what was sent before comes again among new events")
            .needs(Need::Dedup)
            .reply(Reply::stream().send(SOON).send(events(&[1, 2, 3])))
            .reply(Reply::stream().send(events(&[4, 2, 5, 3, 1, 6])).end())
            .check("C-DELIVER-2", all_of(&[due(1, &[1, 2, 3]), due(2, &[4, 5, 6])].concat())),
        Case::new("ids-of-any-order", "ids that no order can be read from")
            .reply(Reply::stream().send(SOON).send(events(&[9, 100, 20])))
            .reply(Reply::stream().send(events(&[3, 1])))
            .reply(Reply::stream().send(events(&[50, 2])).end())
            .check("C-DELIVER-3", all_of(&[due(1, &[9, 100, 20]), due(2, &[3, 1]), due(3, &[50, 2])].concat())),
        Case::new("burst", "5,000 events in one write")
            .reply(Reply::stream().send(events(&burst)).end())
            .check("C-DELIVER-4", all_of(&due(1, &burst))),
        reference(),
    ]
}

/// Events 1 to 12 of a session of the reference server: eight replayed, four live.
fn reference() -> Case {
    let cut = |at: Place, how: How| Fault::Cut { at, how }.into();
    let plans = vec![
        cut(Place::AfterEvent(3), How::Fin),
        cut(Place::InEvent { event: 2, at: Within::AfterIdLine }, How::Rst),
        vec![Fault::Rechunk { size: 3 }, Fault::Cut { at: Place::InEvent { event: 7, at: Within::InLine }, how: How::Rst }].into(),
    ];
    let mut case = Case::new("reference-server", "the reference server behind the fault proxy, cut three times in replay and live");
    case.reference = Some(Reference { before: 8, live: 4, plans });
    let data: Vec<String> = (1..=12).map(Reference::data).collect();
    let due: Vec<(u32, &str, &str)> = data.iter().map(|data| (1, "message", data.as_str())).collect();
    case.check("C-DELIVER-5", Check::Applies(dues(&due)))
}

impl Reference {
    /// The data of an event as the dialect writes it.
    fn data(n: u32) -> String {
        format!(r#"{{"session":"s","data":"e{n} …"}}"#)
    }

    /// What is published as event `n`.
    pub(in crate::client::trial) fn payload(n: u32) -> String {
        format!("\"e{n} …\"")
    }

    /// The data of the event behind which the live ones are published.
    pub(in crate::client::trial) fn last_before(&self) -> String {
        Reference::data(self.before)
    }
}

fn gaps() -> Vec<Case> {
    const SNAPSHOT: &str = r#"{"cursor":"40","items":[{"id":"40","data":"e40"}]}"#;
    let gap = "event: gap\ndata: {\"requested\":\"2\",\"oldest\":\"30\"}\n\n";
    let mut announced = Case::new("gap", "a resume is answered with a gap signal and what is left")
        .needs(Need::Gap)
        .reply(Reply::stream().send(SOON).send(events(&[1, 2])))
        .reply(Reply::stream().send(gap).send(events(&[30, 40])).step(Step::Hold))
        .reply(Reply::stream().send(events(&[41])).end())
        .check("C-GAP-1", Check::TellsGap { after: 2 })
        .check("C-GAP-2", Check::Refetches { after: 2 })
        .presents("C-GAP-2", 3, "40");
    announced.snapshot = Some(SNAPSHOT.to_owned());
    let mut refused = Case::new("cursor-refused", "a resume is answered with 410")
        .needs(Need::Gap)
        .reply(Reply::stream().send(SOON).send(events(&[1, 2])))
        .reply(Reply::status("410 Gone", ""))
        .reply(Reply::stream().send(events(&[41])).end())
        .check("C-GAP-1", Check::TellsGap { after: 2 })
        .presents("C-GAP-3", 3, "40");
    refused.snapshot = Some(SNAPSHOT.to_owned());
    vec![announced, refused]
}

fn ends() -> Vec<Case> {
    vec![
        Case::new("no-content", "a reconnect is answered with 204")
            .reply(Reply::stream().send(SOON).send("data: a\n\n"))
            .reply(Reply::status("204 No Content", ""))
            .check("C-END-1", Check::StopsAfter(2)),
        Case::new("no-content-first", "the first request is answered with 204")
            .reply(Reply::status("204 No Content", ""))
            .check("C-END-1", Check::StopsAfter(1)),
        Case::new("terminal", "the terminal event, behind which the server ends the body")
            .reply(Reply::stream().send(SOON).send("data: a\n\n").end())
            .check("C-END-2", Check::StopsAfter(1))
            .applies("C-END-2", &[(1, "message", "a"), (1, "end", "over")]),
        Case::new("close", "the application closes the stream, which goes on")
            .needs(Need::Close)
            .reply(
                Reply::stream()
                    .send(SOON)
                    .send(events(&[1, 2]))
                    .until("e2")
                    .step(Step::Close)
                    .step(Step::UntilClosed)
                    .send(events(&[3, 4])),
            )
            .check("C-END-3", Check::QuietAfterClose),
    ]
}
