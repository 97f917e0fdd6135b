//! Cursors, the ring's edge, and disposal.

use streamspec_reference_server::Running;

use crate::client::{Client, serve, shown};

/// A server with sessions `a` and `b`, each in a directory of its own, whose numbers are `records`: `a b a …`.
async fn two(arguments: &[&str], records: &str) -> (Running, Client, [String; 2]) {
    let server = serve(arguments).await;
    let client = Client::of(&server);
    let sessions = [client.session("/a").await, client.session("/b").await];
    for record in records.split_whitespace() {
        client.rename(&sessions[usize::from(record == "b")], "x").await;
    }
    (server, client, sessions)
}

fn numbers(frames: &[String]) -> Vec<&str> {
    frames.iter().map(|frame| frame.split_once(' ').unwrap().0).collect()
}

const CONNECTED: &str = "server.connected";

#[tokio::test]
async fn a_valid_cursor_is_replayed_and_every_other_is_answered_by_one_connected() {
    let (server, client, [a, _]) = two(&[], "a b a b").await;
    let (boot, fence) = client.fence().await;
    assert_eq!(fence, 8, "two records for each session, and four changes");
    assert_eq!(numbers(&client.answer(&format!("{boot}:5"), &a).await), [":6", ":7", ":8"]);
    // Each mark is a record.
    for (nth, bad) in ["", "junk", "otherboot-00000000:1", ":1", "-1", "1.5", "0x1", "1e0", " 1", "01", "99999"].into_iter().enumerate() {
        let cursor = if bad.contains(['j', 'o', ':']) || bad.is_empty() { bad.to_owned() } else { format!("{boot}:{bad}") };
        assert_eq!(client.answer(&cursor, &a).await, [format!(":{} {CONNECTED}", 9 + nth)], "{cursor:?}");
    }
    let (_, fence) = client.fence().await;
    assert_eq!(client.answer(&format!("{boot}:{fence}"), &a).await, [""; 0], "nothing is missing, and nothing says so");
    server.stop().await;
}

#[tokio::test]
async fn a_lag_of_the_rings_size_is_whole_and_one_more_is_a_gap() {
    let (server, client, [a, _]) = two(&["--retain-records", "4"], "a a a a a a").await;
    let (boot, fence) = client.fence().await;
    assert_eq!(client.answer(&format!("{boot}:{}", fence - 5), &a).await, [format!(":{fence} {CONNECTED}")]);
    let fence = fence + 1;
    let lag: Vec<String> = (fence - 3..=fence).map(|number| format!(":{number}")).collect();
    assert_eq!(numbers(&client.answer(&format!("{boot}:{}", fence - 4), &a).await), lag);
    server.stop().await;
}

#[tokio::test]
async fn disposing_a_directory_leaves_holes_that_its_record_covers() {
    let (server, client, [_, b]) = two(&[], "b a a b a b").await;
    let (boot, _) = client.fence().await;
    client.dispose("/instance/dispose?directory=/a").await;
    let all = client.answer(&format!("{boot}:2"), &b).await;
    assert_eq!(numbers(&all), [":3", ":4", ":5", ":8", ":10", ":11"], "{all:?}");
    assert_eq!(all.last().unwrap(), ":11 server.instance.disposed");
    assert_eq!(client.answer(&format!("{boot}:0"), &b).await, [format!(":12 {CONNECTED}")], "the hole at the front is a gap");
    server.stop().await;
}

#[tokio::test]
async fn a_live_reader_gets_what_is_removed_while_it_is_on_its_way() {
    let (server, client, [a, _]) = two(&[], "").await;
    let mut live = client.stream(None).await;
    live.until("\n\n").await;
    client.rename(&a, "x").await;
    client.dispose("/instance/dispose?directory=/a").await;
    live.until("server.instance.disposed").await;
    live.until("\"/a\"}}}\n\n").await;
    assert_eq!(
        shown(std::str::from_utf8(&live.body).unwrap()),
        [":4 server.connected", ":5 session.updated", ":6 server.instance.disposed"]
    );
    server.stop().await;
}

#[tokio::test]
async fn disposing_everything_begins_a_boot_that_no_old_cursor_means() {
    let (server, client, [a, _]) = two(&[], "a").await;
    let mut live = client.stream(None).await;
    live.until("\n\n").await;
    let (old, _) = client.fence().await;
    client.dispose("/global/dispose").await;
    client.rename(&a, "x").await;
    live.until("session.updated").await;
    live.until("\n\n").await;
    let body = String::from_utf8(live.body.clone()).unwrap();
    let whole = &body[..body.rfind("\n\n").unwrap() + 2];
    let disposed = "server.instance.disposed";
    assert_eq!(
        shown(whole),
        [":5 server.connected", &format!(":6 {disposed}"), &format!(":7 {disposed}"), "- global.disposed", ":1 session.updated"]
    );
    let (new, fence) = client.fence().await;
    assert!(new != old && fence == 1, "{old} {new}:{fence}");
    assert_eq!(client.answer(&format!("{old}:1"), &a).await, [format!(":1 {CONNECTED}")]);
    assert_eq!(numbers(&client.answer(&format!("{new}:0"), &a).await), [":1", ":2"]);
    server.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_sessions_and_nothing_of_the_ring() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap()];
    let (server, client, [a, _]) = two(&arguments, "a a").await;
    let (old, _) = client.fence().await;
    server.stop().await;
    let server = serve(&arguments).await;
    let client = Client::of(&server);
    let (new, fence) = client.fence().await;
    assert!(new != old && fence == 0, "{old} {new}:{fence}");
    assert_eq!(client.call("GET", &format!("/session/{a}"), &serde_json::Value::Null).await.1["title"], "x");
    assert_eq!(client.answer(&format!("{old}:6"), &a).await, [format!(":0 {CONNECTED}")]);
    server.stop().await;
}
