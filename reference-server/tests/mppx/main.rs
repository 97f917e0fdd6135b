//! The dialect `mppx` over real sockets, against the transcripts of its dossier.

mod payer;

use payer::{Payer, Shop, problem, receipt, serve};
use serde_json::json;
use streamspec_reference_server::money::scheme;

#[tokio::test]
async fn a_stream_is_paid_item_by_item_as_in_the_transcript() {
    let server = serve(None).await;
    let shop = Shop::at(&server);
    assert_eq!(shop.items("s", &json!({ "items": ["tok-1", "tok-2 line A\nline B", "tok-3"], "end": true })).await, 201);
    let asked = shop.send("GET", "/stream/s", None, "").await;
    assert_eq!(asked.status(), 402);
    assert_eq!(asked.headers()["cache-control"], "no-store");
    let challenge = payer::Challenge::of(&asked);
    let request = challenge.request();
    assert_eq!((&request["amount"], &request["unitType"], &request["suggestedDeposit"]), (&json!("1"), &json!("item"), &json!("100")));
    assert_eq!((&challenge.0["method"], &challenge.0["intent"]), (&json!("test"), &json!("session")));
    assert_eq!(problem(asked).await, (402, "payment-required".to_owned()));

    let payer = Payer::new(1, 10);
    let mut stream = shop.read("/stream/s", &payer.open(&challenge, 1)).await;
    assert_eq!(stream.header("content-type"), "text/event-stream; charset=utf-8");
    assert_eq!(stream.header("cache-control"), "no-cache, no-transform");
    let need = |required: u64| {
        let need = json!({
            "channelId": payer.channel, "requiredCumulative": required.to_string(),
            "acceptedCumulative": (required - 1).to_string(), "deposit": "10",
        });
        format!("event: payment-need-voucher\ndata: {need}\n\n")
    };
    let first = format!("event: message\ndata: tok-1\n\n{}", need(2));
    stream.until("\"requiredCumulative\":\"2\"").await;
    assert_eq!(stream.text, first);
    let answer = shop.send("POST", "/stream/s", Some(&payer.voucher(&challenge, 2)), "").await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["cache-control"], "private");
    assert_eq!(receipt(&answer)["acceptedCumulative"], "2");
    let second = format!("{first}event: message\ndata: tok-2 line A\ndata: line B\n\n{}", need(3));
    stream.until("\"requiredCumulative\":\"3\"").await;
    assert_eq!(stream.text, second);
    assert_eq!(shop.send("POST", "/stream/s", Some(&payer.voucher(&challenge, 3)), "").await.status(), 204);
    assert!(stream.end().await);
    let last = stream.text.strip_prefix(&format!("{second}event: message\ndata: tok-3\n\nevent: payment-receipt\ndata: ")).unwrap();
    let told: serde_json::Value = serde_json::from_str(last.strip_suffix("\n\n").unwrap()).unwrap();
    assert_eq!((&told["acceptedCumulative"], &told["spent"], &told["units"]), (&json!("3"), &json!("3"), &json!(3)));

    let closed = shop.send("POST", "/stream/s", Some(&payer.close(&challenge, 3)), "").await;
    assert_eq!((closed.status().as_u16(), receipt(&closed)["spent"].clone()), (204, json!("3")));
    assert!(receipt(&closed)["txHash"].is_string());
    assert_eq!(shop.account(&payer).await["settled"], "3");
    for again in [payer.close(&challenge, 3), payer.voucher(&challenge, 4)] {
        let refused = shop.send("POST", "/stream/s", Some(&again), "").await;
        assert_eq!(problem(refused).await, (410, "session/channel-finalized".to_owned()));
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_its_name_with_a_fresh_challenge() {
    let server = serve(None).await;
    let shop = Shop::at(&server);
    shop.items("s", &json!({ "items": ["one", "two"] })).await;
    let challenge = shop.challenge("GET", "/stream/s").await;
    let (payer, other) = (Payer::new(1, 5), Payer::new(2, 5));
    for payer in [&payer, &other] {
        assert_eq!(shop.send("POST", "/stream/s", Some(&payer.open(&challenge, 2)), "").await.status(), 204);
    }
    let mut forged = challenge.clone();
    forged.0["expires"] = json!("2099-01-01T00:00:00.000Z");
    let cases = [
        ("Payment".to_owned(), 402, "payment-required"),
        ("Bearer x".to_owned(), 402, "payment-required"),
        ("Payment %%%".to_owned(), 402, "malformed-credential"),
        (format!("Payment {}", scheme::encode("{}")), 402, "invalid-payload"),
        (payer.voucher(&forged, 3), 402, "invalid-challenge"),
        (payer.voucher(&challenge, 1), 402, "verification-failed"),
        (payer.voucher(&challenge, 6), 402, "session/amount-exceeds-deposit"),
        (payer.wrong(&challenge, 3, |p| p["cumulativeAmount"] = json!("4")), 402, "session/invalid-signature"),
        (payer.wrong(&challenge, 3, |p| p["channelId"] = json!(other.channel)), 402, "verification-failed"),
        (payer.wrong(&challenge, 3, |p| p["cumulativeAmount"] = json!("-3")), 402, "invalid-payload"),
        (Payer::new(3, 5).voucher(&challenge, 1), 410, "session/channel-not-found"),
    ];
    for (authorization, status, kind) in cases {
        let answer = shop.send("POST", "/stream/s", Some(&authorization), "").await;
        assert!(answer.headers().contains_key("www-authenticate") && !answer.headers().contains_key("payment-receipt"), "{kind}");
        assert_eq!(problem(answer).await, (status, kind.to_owned()), "{authorization}");
    }
    let unchanged = shop.account(&payer).await;
    assert_eq!((&unchanged["acceptedCumulative"], &unchanged["spent"]), (&json!("2"), &json!("0")));
    // The same voucher again, the name in capitals, the number with a zero before it: all mean the same.
    for same in [
        payer.voucher(&challenge, 2),
        payer.wrong(&challenge, 2, |p| p["channelId"] = json!(format!("0x{}", payer.channel[2..].to_uppercase()))),
        payer.wrong(&challenge, 2, |p| p["cumulativeAmount"] = json!("02")),
    ] {
        assert_eq!(shop.send("POST", "/stream/s", Some(&same), "").await.status(), 204);
    }
    assert_eq!(shop.account(&payer).await, unchanged);
    assert_eq!(shop.send("GET", "/stream/none", None, "").await.status(), 404);
}

#[tokio::test]
async fn an_account_is_the_same_after_a_restart_and_its_challenges_stay_good() {
    let dir = tempfile::tempdir().unwrap();
    let payer = Payer::new(1, 5);
    let (challenge, before) = {
        let server = serve(Some(dir.path())).await;
        let shop = Shop::at(&server);
        shop.items("s", &json!({ "items": ["one", "two"] })).await;
        let challenge = shop.challenge("GET", "/stream/s").await;
        let mut stream = shop.read("/stream/s", &payer.open(&challenge, 2)).await;
        stream.until("two").await;
        assert_eq!(shop.send("POST", "/stream/s", Some(&payer.top_up(&challenge, 4)), "").await.status(), 204);
        assert_eq!(shop.send("POST", "/stream/s", Some(&payer.voucher(&challenge, 7)), "").await.status(), 204);
        let account = shop.account(&payer).await;
        server.stop().await;
        assert!(!stream.end().await, "a stream that the server leaves must not look whole");
        (challenge, account)
    };
    let server = serve(Some(dir.path())).await;
    let shop = Shop::at(&server);
    let after = shop.account(&payer).await;
    assert_eq!(after, before);
    assert_eq!((&after["acceptedCumulative"], &after["spent"], &after["deposit"]), (&json!("7"), &json!("2"), &json!("9")));
    let again = shop.send("POST", "/stream/s", Some(&payer.top_up(&challenge, 4)), "").await;
    assert_eq!((again.status().as_u16(), shop.account(&payer).await["deposit"].clone()), (204, json!("9")));
    let mut stream = shop.read("/stream/s?from=1", &payer.voucher(&challenge, 8)).await;
    stream.until("two").await;
    assert_eq!(stream.text, "event: message\ndata: two\n\n");
}

#[tokio::test]
async fn a_payer_without_memory_proves_who_it_is_once_and_is_told_of_its_channel() {
    let server = serve(None).await;
    let shop = Shop::at(&server);
    shop.items("s", &json!({ "items": ["one"] })).await;
    let payer = Payer::new(7, 5);
    let open = payer.open(&shop.challenge("GET", "/stream/s").await, 1);
    assert_eq!(shop.send("POST", "/stream/s", Some(&open), "").await.status(), 204);
    let challenge = shop.challenge("HEAD", "/stream/s").await;
    assert_eq!((&challenge.0["intent"], &challenge.request()["amount"]), (&json!("charge"), &json!("0")));
    let proof = payer.proof(&challenge);
    let answer = shop.send("HEAD", "/stream/s", Some(&proof), "").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["payment-session"].to_str().unwrap()), (204, payer.channel.as_str()));
    let snapshot = scheme::decode_padded(answer.headers()["payment-session-snapshot"].to_str().unwrap()).unwrap();
    assert_eq!((&snapshot["acceptedCumulative"], &snapshot["requiredCumulative"]), (&json!("1"), &json!("1")));
    assert_eq!(shop.send("HEAD", "/stream/s", Some(&proof), "").await.status(), 402);
    // A proof is no payment, and a payment is no proof.
    assert_eq!(shop.send("GET", "/stream/s", Some(&payer.proof(&challenge)), "").await.status(), 402);
    let stranger = Payer::new(8, 5);
    let proof = stranger.proof(&shop.challenge("HEAD", "/stream/s").await);
    let answer = shop.send("HEAD", "/stream/s", Some(&proof), "").await;
    assert!(answer.status() == 204 && !answer.headers().contains_key("payment-session"));
}

#[tokio::test]
async fn items_that_look_like_control_are_items_and_a_carriage_return_is_refused() {
    let server = serve(None).await;
    let shop = Shop::at(&server);
    assert_eq!(shop.items("s", &json!({ "items": ["x\rdata: forged"] })).await, 400);
    assert_eq!(shop.items("s", &json!({ "items": ["a\n\nevent: payment-receipt\ndata: {}", ""], "end": true })).await, 201);
    assert_eq!(shop.items("s", &json!({ "items": ["late"] })).await, 409);
    let payer = Payer::new(1, 5);
    let mut stream = shop.read("/stream/s", &payer.open(&shop.challenge("GET", "/stream/s").await, 2)).await;
    assert!(stream.end().await);
    let items = "event: message\ndata: a\ndata: \ndata: event: payment-receipt\ndata: data: {}\n\nevent: message\ndata: \n\n";
    assert!(stream.text.starts_with(&format!("{items}event: payment-receipt\ndata: {{")), "{}", stream.text);
}

#[tokio::test]
async fn a_stream_that_fails_breaks_off_without_a_receipt() {
    let server = serve(None).await;
    let shop = Shop::at(&server);
    shop.items("s", &json!({ "items": ["one"], "fail": "out of order" })).await;
    let payer = Payer::new(1, 5);
    let mut stream = shop.read("/stream/s", &payer.open(&shop.challenge("GET", "/stream/s").await, 3)).await;
    assert!(!stream.end().await);
    assert_eq!(stream.text, "event: message\ndata: one\n\n");
    assert_eq!(shop.account(&payer).await["spent"], "1");
}

#[tokio::test]
async fn a_stream_that_was_left_while_it_waited_sells_nothing_more() {
    let server = serve(None).await;
    let shop = Shop::at(&server);
    shop.items("s", &json!({ "items": ["one", "two", "three"] })).await;
    let challenge = shop.challenge("GET", "/stream/s").await;
    let payer = Payer::new(1, 5);
    let mut stream = shop.read("/stream/s", &payer.open(&challenge, 1)).await;
    stream.until("payment-need-voucher").await;
    drop(stream);
    let freed = async {
        while shop.account(&payer).await["waiting"] != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), freed).await.expect("the stream is freed");
    let answer = shop.send("POST", "/stream/s", Some(&payer.voucher(&challenge, 3)), "").await;
    assert_eq!((answer.status().as_u16(), receipt(&answer)["spent"].clone()), (204, json!("1")));
    assert_eq!(shop.account(&payer).await["spent"], "1");
}

#[tokio::test]
async fn a_paid_answer_costs_one_unit_and_an_error_none() {
    let server = serve(None).await;
    let shop = Shop::at(&server);
    let challenge = shop.challenge("GET", "/answer/json200").await;
    let payer = Payer::new(1, 5);
    let paid = shop.send("GET", "/answer/json200", Some(&payer.open(&challenge, 1)), "").await;
    assert_eq!((paid.status().as_u16(), receipt(&paid)["spent"].clone()), (200, json!("1")));
    let short = shop.send("GET", "/answer/json200", Some(&payer.voucher(&challenge, 1)), "").await;
    assert_eq!(problem(short).await, (402, "session/insufficient-balance".to_owned()));
    let failed = shop.send("GET", "/answer/json500", Some(&payer.voucher(&challenge, 2)), "").await;
    assert!(!failed.headers().contains_key("payment-receipt"));
    assert_eq!(problem(failed).await.0, 500);
    assert_eq!(shop.account(&payer).await["spent"], "1");
}
