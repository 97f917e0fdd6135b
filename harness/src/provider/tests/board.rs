//! Which script answers, attempts, pauses and releases.

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn board() -> Board {
    Board::new("text \"standing\"".parse().unwrap())
}

fn request(prompt: &str) -> Request {
    Request {
        api: Api::Chat,
        model: "m".to_owned(),
        stream: true,
        usage: false,
        tools: Vec::new(),
        prompt: prompt.to_owned(),
        prompts: 1,
        step: 0,
        beside: false,
    }
}

/// The frames of the answer.
fn ask(board: &Board, request: Request) -> String {
    let (_, player) = board.ask(request, "b-", 0, 0);
    player.unwrap().map(|act| format!("{act:?}")).collect()
}

#[test]
fn the_prompt_comes_before_the_queue_and_the_queue_before_the_standing_script() {
    let board = board();
    board.queue("text \"queued\"".parse().unwrap());
    assert!(ask(&board, request("[[say text \"prompted\"]]")).contains("prompted"));
    assert!(ask(&board, Request { beside: true, ..request("[[say text \"prompted\"]]") }).contains("Scripted session"));
    assert!(ask(&board, request("x")).contains("queued"));
    assert!(ask(&board, request("x")).contains("standing"));
    board.stand("text \"other\"".parse().unwrap());
    assert!(ask(&board, request("x")).contains("other"));
    assert!(board.ask(request("[[say nothing]]"), "b-", 0, 0).1.is_err());
    let sources: Vec<Source> = board.asked().iter().map(|asked| asked.source).collect();
    let expected = [Source::Prompt, Source::Beside, Source::Queue, Source::Standing, Source::Standing, Source::Unreadable];
    assert_eq!(sources, expected);
}

#[test]
fn attempts_are_counted_within_one_step_of_one_turn() {
    let board = board();
    let prompt = "[[say text \"first\"; again; text \"second\"]]";
    assert!(ask(&board, request(prompt)).contains("first"));
    assert!(ask(&board, request(prompt)).contains("second"));
    // The same words as a new prompt of the conversation are a turn of their own.
    assert!(ask(&board, Request { prompts: 2, ..request(prompt) }).contains("first"));
    assert_eq!(board.asked().iter().map(|asked| asked.attempt).collect::<Vec<_>>(), [0, 1, 0]);
}

#[test]
fn the_oldest_requests_are_forgotten_and_prompts_shortened() {
    let board = board();
    for _ in 0..KEPT + 5 {
        board.ask(request(&"é".repeat(PROMPT_KEPT)), "b-", 0, 0).1.unwrap();
    }
    let asked = board.asked();
    assert_eq!((asked.len(), asked[0].number), (KEPT, 6));
    assert_eq!(asked[0].prompt.len(), PROMPT_KEPT);
}

#[tokio::test]
async fn a_release_lets_one_answer_go_on_even_when_it_comes_first() {
    let board = board();
    assert!(board.release("p"));
    tokio::time::timeout(SOON, board.released("p")).await.expect("it was released before");
    {
        let held = board.released("p");
        tokio::pin!(held);
        assert!(futures_util::poll!(&mut held).is_pending(), "one release is for one answer");
        board.release("other");
        assert!(futures_util::poll!(&mut held).is_pending());
        board.release("p");
        tokio::time::timeout(SOON, held).await.expect("it is released now");
    }
}

#[tokio::test]
async fn what_is_held_is_known_until_it_ends() {
    let board = board();
    let (number, _) = board.ask(request("x"), "b-", 0, 0);
    board.note(number, Some("w2".to_owned()), Ending::Held("p".to_owned()));
    assert!(board.wait_held("p", SOON).await);
    assert_eq!(board.held(), ["p"]);
    assert_eq!(board.release_all(), 1);
    board.note(number, None, Ending::Left);
    board.note(number, None, Ending::Done);
    assert_eq!((board.held().len(), &board.asked()[0].ending), (0, &Ending::Left));
    assert_eq!(board.asked()[0].last_word.as_deref(), Some("w2"));
    assert!(!board.wait_held("p", Duration::from_millis(1)).await);
}

#[test]
fn releases_that_nobody_waits_for_do_not_pile_up() {
    let board = board();
    for n in 0..EARLY_RELEASES {
        assert!(board.release(&n.to_string()));
    }
    assert!(!board.release("one more"));
    assert!(board.release("0"));
}
