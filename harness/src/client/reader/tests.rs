use super::*;

fn types() -> Types {
    Types { gap: vec!["gap".to_owned()], terminal: vec!["end".to_owned()], boundary: vec!["ready".to_owned()] }
}

/// A reader on an open stream.
fn open(can_refetch: bool) -> Reader {
    let mut reader = Reader::new(types(), can_refetch, None, BugSet::default());
    assert_eq!(reader.present(), None);
    connect(&mut reader);
    reader
}

fn connect(reader: &mut Reader) {
    let next = reader.answered(200, Some("text/event-stream; charset=utf-8"), false, &mut Vec::new());
    assert_eq!(next, Next::Read);
}

fn read(reader: &mut Reader, text: &str) -> (Vec<String>, Next) {
    let mut out = Vec::new();
    let next = reader.chunk(text.as_bytes(), &mut out);
    (out.iter().map(shown).collect(), next)
}

fn shown(applied: &Applied) -> String {
    match applied {
        Applied::Event { id, data, .. } => format!("{id}={data}"),
        Applied::Gap { .. } => "gap".to_owned(),
        Applied::Reset { .. } => "reset".to_owned(),
        Applied::Closed { .. } => "closed".to_owned(),
        Applied::Error { .. } => "error".to_owned(),
    }
}

#[test]
fn a_repeated_event_is_applied_once_over_connections() {
    let mut reader = open(false);
    assert_eq!(read(&mut reader, "id: 1\ndata: a\n\nid: 2\ndata: b\n\n").0, ["1=a", "2=b"]);
    assert!(matches!(reader.ended(true, &mut Vec::new()), Next::Reconnect(_)));
    assert_eq!(reader.present().as_deref(), Some("2"));
    connect(&mut reader);
    assert_eq!(read(&mut reader, "id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n").0, ["3=c"]);
}

#[test]
fn events_without_an_id_are_never_taken_for_repetitions() {
    let mut reader = open(false);
    assert_eq!(read(&mut reader, "data: a\n\ndata: a\n\nid:\ndata: a\n\nid:\ndata: a\n\n").0, ["=a"; 4]);
}

#[test]
fn waits_double_while_nothing_comes_and_start_over_when_something_does() {
    let mut reader = open(false);
    assert_eq!(read(&mut reader, "retry: 100\n\n").1, Next::Read);
    let ms = Duration::from_millis;
    assert_eq!(reader.ended(false, &mut Vec::new()), Next::Reconnect(ms(100)));
    assert_eq!(reader.no_answer(), Next::Reconnect(ms(200)));
    assert_eq!(reader.no_answer(), Next::Reconnect(ms(400)));
    connect(&mut reader);
    assert_eq!(read(&mut reader, "data: a\n\n").1, Next::Read);
    assert_eq!(reader.ended(true, &mut Vec::new()), Next::Reconnect(ms(100)));
    for _ in 0..40 {
        assert!(matches!(reader.no_answer(), Next::Reconnect(wait) if wait <= LONGEST_WAIT));
    }
}

#[test]
fn a_server_cannot_make_it_wait_for_ever() {
    let mut reader = open(false);
    assert_eq!(read(&mut reader, &format!("retry: {}\n\n", u64::MAX)).1, Next::Read);
    assert_eq!(reader.ended(true, &mut Vec::new()), Next::Reconnect(MOST_RETRY));
}

#[test]
fn behind_a_gap_nothing_is_applied_before_the_state_is() {
    let mut reader = open(true);
    let (out, next) = read(&mut reader, "id: 1\ndata: a\n\nevent: gap\ndata: {}\n\nid: 9\ndata: z\n\n");
    assert_eq!((out, next), (vec!["1=a".to_owned(), "gap".to_owned()], Next::Refetch));
    let mut out = Vec::new();
    assert_eq!(reader.refetched(json!({}), Some("8".to_owned()), &mut out), Next::Reconnect(Duration::ZERO));
    assert_eq!(shown(&out[0]), "reset");
    assert_eq!(reader.present().as_deref(), Some("8"));
}

#[test]
fn a_refused_cursor_is_given_up_and_a_second_refusal_is_final() {
    let mut reader = open(false);
    let _ = read(&mut reader, "id: 1\ndata: a\n\n");
    let _ = reader.ended(true, &mut Vec::new());
    let mut out = Vec::new();
    assert!(reader.present().is_some());
    assert!(matches!(reader.answered(410, None, true, &mut out), Next::Reconnect(_)));
    assert_eq!((shown(&out[0]), reader.present()), ("gap".to_owned(), None));
    assert_eq!(reader.answered(410, None, false, &mut out), Next::Stop(Stop::Refused));
}

#[test]
fn what_stands_behind_the_terminal_is_not_applied() {
    let mut reader = open(false);
    let (out, next) = read(&mut reader, "event: end\ndata: over\n\ndata: late\n\n");
    assert_eq!((out, next), (vec!["=over".to_owned(), "closed".to_owned()], Next::Stop(Stop::Ended)));
}

#[test]
fn refusals_are_final_and_204_is_an_end() {
    for (status, content_type, stop) in [
        (204, None, Stop::Ended),
        (404, None, Stop::Refused),
        (500, Some("text/event-stream"), Stop::Refused),
        (200, Some("text/html"), Stop::Refused),
    ] {
        let mut reader = Reader::new(types(), false, None, BugSet::default());
        assert_eq!(reader.answered(status, content_type, false, &mut Vec::new()), Next::Stop(stop), "{status}");
    }
}
