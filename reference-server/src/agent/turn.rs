//! A turn: the model is asked, its tools are run, and it is asked again until it has nothing left to do.
//!
//! A turn is a task of its own. It goes on whoever watches or leaves, and tells everything to one channel, in order. Only
//! when that channel's other end is gone does it stop early, because then nobody keeps what it does.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::model::{Failure, Finish, Message, Model, Piece, ToolCall, Usage};
use super::tools::{Outcome, Output, Tools};
use crate::bugs::{Bug, BugSet};

/// How many times a model may call tools before the turn counts as running in a circle.
const MOST_STEPS: u32 = 100;
/// The longest wait before a repetition.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// What a turn is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who answers.
    pub model: Model,
    /// The conversation so far, the new prompt last.
    pub messages: Vec<Message>,
    /// What may be called.
    pub tools: Tools,
    /// How often a question is asked again when its answer failed before anything of it was told.
    pub retries: u32,
    /// How long to wait before the first repetition; see [`wait`].
    pub backoff: Duration,
    /// The defects that are switched on.
    pub bugs: BugSet,
}

/// How long the repetition of this number, from 1, waits: each one twice as long as the one before, at most 30 minutes.
pub fn wait(backoff: Duration, attempt: u32) -> Duration {
    backoff.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)).min(LONGEST_WAIT)
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The model has nothing left to do.
    Completed,
    /// It was told to stop.
    Aborted,
    /// The model failed.
    Failed(Failure),
    /// The model never stopped calling tools.
    TooManySteps,
}

/// What a human says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Yes, this time.
    Once,
    /// Yes, and do not ask again.
    Always,
    /// No.
    Reject,
}

/// Something that a turn did. Every turn ends with exactly one [`Happening::Ended`], and nothing follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The model is asked; steps count from 1.
    StepStarted {
        /// Which step.
        step: u32,
    },
    /// Text of the answer.
    Text(String),
    /// Text of the thinking.
    Reasoning(String),
    /// What the answer cost.
    Usage(Usage),
    /// A tool runs; its [`Happening::ToolEnded`] always follows.
    ToolStarted(ToolCall),
    /// The running tool waits for [`Turn::reply`]; its [`Happening::Replied`] follows unless the turn is aborted.
    Asked {
        /// The tool's call.
        call: ToolCall,
        /// What it wants to know.
        question: String,
    },
    /// The question of this call was answered.
    Replied {
        /// The tool's call.
        call: ToolCall,
        /// The answer.
        reply: Reply,
    },
    /// A tool has run, or was given up because the turn was aborted.
    ToolEnded {
        /// Its call.
        call: ToolCall,
        /// What it returned.
        output: String,
        /// True when that is the description of a failure.
        is_error: bool,
    },
    /// The step is over, its tools have run. A step that fails or is aborted is not ended so.
    StepEnded {
        /// Which step.
        step: u32,
        /// Why the model stopped.
        finish: Finish,
    },
    /// Something said by [`Turn::steer`] was taken into the conversation.
    Steered(String),
    /// The question is asked again; nothing of its answer had been told.
    Retrying {
        /// The number of the coming repetition, from 1.
        attempt: u32,
        /// What happened.
        failure: Failure,
    },
    /// The end of the turn.
    Ended {
        /// How.
        end: End,
        /// What was said to it too late to be taken in, in order.
        unsteered: Vec<String>,
    },
}

/// A turn that runs, or has run.
#[derive(Clone, Debug)]
pub struct Turn {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    abort: watch::Sender<bool>,
    /// What waits to be taken in; none once the turn takes nothing any more.
    steering: Mutex<Option<VecDeque<String>>>,
    asks: Mutex<HashMap<String, oneshot::Sender<Reply>>>,
    /// When the wait for a repetition is over; only a bug looks at it.
    asleep_until: Mutex<Option<tokio::time::Instant>>,
}

impl Shared {
    fn steering(&self) -> MutexGuard<'_, Option<VecDeque<String>>> {
        self.steering.lock().expect("nobody panics while holding what waits")
    }

    fn asks(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Reply>>> {
        self.asks.lock().expect("nobody panics while holding the questions")
    }
}

impl Turn {
    /// Starts a turn in the current runtime; what it does is sent to `told`, and waits there to be taken.
    pub fn start(plan: Plan, told: mpsc::Sender<Happening>) -> Turn {
        let steering = Mutex::new(Some(VecDeque::new()));
        let shared =
            Arc::new(Shared { abort: watch::Sender::new(false), steering, asks: Mutex::default(), asleep_until: Mutex::default() });
        let work = Work { plan, told, shared: Arc::clone(&shared), running: None };
        tokio::spawn(work.run());
        Turn { shared }
    }

    /// Tells it to stop. It ends soon, with its [`Happening::Ended`]; one that has ended stays as it is.
    pub fn abort(&self) {
        self.shared.abort.send_replace(true);
    }

    /// Says something that is taken in when the tools of the current step have run; false when the turn is past that.
    pub fn steer(&self, text: String) -> bool {
        self.shared.steering().as_mut().map(|waiting| waiting.push_back(text)).is_some()
    }

    /// Answers the question of a call; false when none is open.
    pub fn reply(&self, call: &str, reply: Reply) -> bool {
        self.shared.asks().remove(call).is_some_and(|asked| asked.send(reply).is_ok())
    }
}

/// The other end is gone.
struct Unheard;

struct Work {
    plan: Plan,
    told: mpsc::Sender<Happening>,
    shared: Arc<Shared>,
    /// The call whose end was not told yet.
    running: Option<ToolCall>,
}

impl Work {
    async fn run(mut self) {
        let (mut abort, shared, bugs) = (self.shared.abort.subscribe(), Arc::clone(&self.shared), self.plan.bugs);
        let aborted = async {
            // The sender lives as long as this task, which holds it.
            let _ = abort.wait_for(|abort| *abort).await;
            let asleep = *shared.asleep_until.lock().expect("nobody panics while holding a time");
            if let Some(until) = asleep.filter(|_| bugs.has(Bug::CloseWaitsForRetry)) {
                tokio::time::sleep_until(until).await;
            }
        };
        let end = tokio::select! {
            biased;
            () = aborted => End::Aborted,
            end = self.steps() => match end {
                Ok(end) => end,
                Err(Unheard) => return,
            },
        };
        if let Some(call) = self.running.take() {
            let _ = self.tell(Happening::ToolEnded { call, output: "aborted".to_owned(), is_error: true }).await;
        }
        self.shared.asks().clear();
        let unsteered = self.shared.steering().take().unwrap_or_default().into();
        let _ = self.tell(Happening::Ended { end, unsteered }).await;
    }

    async fn tell(&self, happening: Happening) -> Result<(), Unheard> {
        self.told.send(happening).await.map_err(|_| Unheard)
    }

    async fn steps(&mut self) -> Result<End, Unheard> {
        for step in 1..=MOST_STEPS {
            self.tell(Happening::StepStarted { step }).await?;
            let (text, mut calls, finish) = match self.ask().await? {
                Ok(answer) => answer,
                Err(failure) => return Ok(End::Failed(failure)),
            };
            for (n, call) in calls.iter_mut().enumerate().filter(|(_, call)| call.id.is_empty()) {
                call.id = format!("call_{step}_{n}");
            }
            self.plan.messages.push(Message::Assistant { text, calls: calls.clone() });
            let last = calls.is_empty();
            for call in calls {
                self.call(call).await?;
            }
            self.tell(Happening::StepEnded { step, finish }).await?;
            if last {
                return Ok(End::Completed);
            }
            let waiting = self.shared.steering().as_mut().map(std::mem::take).unwrap_or_default();
            for text in waiting {
                self.plan.messages.push(Message::User(text.clone()));
                self.tell(Happening::Steered(text)).await?;
            }
        }
        Ok(End::TooManySteps)
    }

    /// Asks the model, again if nothing of the answer was told, and passes its pieces on.
    async fn ask(&mut self) -> Result<Result<(String, Vec<ToolCall>, Finish), Failure>, Unheard> {
        let (mut text, mut calls, mut told, mut attempt) = (String::new(), Vec::new(), false, 0);
        let mut pieces = self.plan.model.ask(&self.plan.messages);
        loop {
            let piece = pieces.next().await;
            match piece {
                Some(Piece::Text(piece)) => {
                    told = true;
                    text.push_str(&piece);
                    self.tell(Happening::Text(piece)).await?;
                }
                Some(Piece::Reasoning(piece)) => {
                    told = true;
                    self.tell(Happening::Reasoning(piece)).await?;
                }
                Some(Piece::Usage(usage)) => self.tell(Happening::Usage(usage)).await?,
                Some(Piece::ToolCall(call)) => calls.push(call),
                Some(Piece::End(finish)) => return Ok(Ok((text, calls, finish))),
                Some(Piece::Failed(failure))
                    if (!told || self.plan.bugs.has(Bug::RetryAfterOutput)) && failure.is_passing() && attempt < self.plan.retries =>
                {
                    attempt += 1;
                    self.tell(Happening::Retrying { attempt, failure }).await?;
                    let until = tokio::time::Instant::now() + wait(self.plan.backoff, attempt);
                    *self.shared.asleep_until.lock().expect("nobody panics while holding a time") = Some(until);
                    tokio::time::sleep_until(until).await;
                    pieces = self.plan.model.ask(&self.plan.messages);
                }
                Some(Piece::Failed(failure)) => return Ok(Err(failure)),
                None => unreachable!("an answer ends with its end or its failure"),
            }
        }
    }

    async fn call(&mut self, call: ToolCall) -> Result<(), Unheard> {
        self.tell(Happening::ToolStarted(call.clone())).await?;
        self.running = Some(call.clone());
        let output = match self.plan.tools.call(&call) {
            Outcome::Done(output) => output,
            Outcome::Ask(_) if self.plan.tools.always => Output::right("allowed".to_owned()),
            Outcome::Ask(question) => {
                let (answer, reply) = oneshot::channel();
                // The question is open before anybody hears of it.
                self.shared.asks().insert(call.id.clone(), answer);
                self.tell(Happening::Asked { call: call.clone(), question }).await?;
                let reply = reply.await.unwrap_or(Reply::Reject);
                self.tell(Happening::Replied { call: call.clone(), reply }).await?;
                self.plan.tools.always |= reply == Reply::Always;
                match reply {
                    Reply::Once | Reply::Always => Output::right("allowed".to_owned()),
                    Reply::Reject => Output::wrong("rejected".to_owned()),
                }
            }
        };
        self.plan.messages.push(Message::Tool { call: call.id.clone(), output: output.text.clone() });
        // Taken before it is told: an abort in between must not tell a second end.
        self.running = None;
        self.tell(Happening::ToolEnded { call, output: output.text, is_error: output.is_error }).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use axum::routing::post;
    use serde_json::{Value, json};

    use super::*;

    /// A provider that gives these answers in turn: a status with a text, or chunks. The last one is given for ever.
    async fn provider(answers: Vec<(u16, &'static str)>) -> (Model, Arc<Mutex<Vec<Value>>>) {
        let (asked, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let keep = Arc::clone(&asked);
        let answer = move |body: String| {
            keep.lock().unwrap().push(serde_json::from_str::<Value>(&body).unwrap()["messages"].clone());
            let (status, text) = answers[count.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1)];
            async move { (StatusCode::from_u16(status).unwrap(), text).into_response() }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/chat/completions", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Model::new(Some(&url)).unwrap(), asked)
    }

    fn plan(model: Model) -> Plan {
        let messages = vec![Message::User("go".to_owned())];
        Plan { model, messages, tools: Tools::default(), retries: 2, backoff: Duration::from_millis(1), bugs: BugSet::default() }
    }

    fn begin(plan: Plan) -> (Turn, mpsc::Receiver<Happening>) {
        let (told, hear) = mpsc::channel(1);
        (Turn::start(plan, told), hear)
    }

    async fn rest(hear: &mut mpsc::Receiver<Happening>) -> Vec<Happening> {
        let all = async {
            let mut all = Vec::new();
            while let Some(happening) = hear.recv().await {
                all.push(happening);
            }
            all
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("the turn ends")
    }

    const STOP: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    const ECHO: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"echo\",\"arguments\":\"{\\\"text\\\":\\\"x\\\"}\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"finish_reason\":\"tool_calls\"}]}\n\n"
    );
    const ASK: &str = concat!(
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"ask\",\"arguments\":\"{\\\"question\\\":\\\"q\\\"}\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"finish_reason\":\"tool_calls\"}]}\n\n"
    );
    const CUT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

    fn ended(end: End) -> Happening {
        Happening::Ended { end, unsteered: Vec::new() }
    }

    #[tokio::test]
    async fn tools_run_between_steps_and_steering_is_taken_in_behind_them() {
        let (model, asked) = provider(vec![(200, ECHO), (200, STOP)]).await;
        let (turn, mut hear) = begin(plan(model));
        assert_eq!(hear.recv().await, Some(Happening::StepStarted { step: 1 }));
        assert!(turn.steer("left".to_owned()));
        let call = ToolCall { id: "c".to_owned(), name: "echo".to_owned(), arguments: "{\"text\":\"x\"}".to_owned() };
        assert_eq!(
            rest(&mut hear).await,
            [
                Happening::ToolStarted(call.clone()),
                Happening::ToolEnded { call, output: "x".to_owned(), is_error: false },
                Happening::StepEnded { step: 1, finish: Finish::ToolCalls },
                Happening::Steered("left".to_owned()),
                Happening::StepStarted { step: 2 },
                Happening::Text("a".to_owned()),
                Happening::StepEnded { step: 2, finish: Finish::Stop },
                ended(End::Completed),
            ]
        );
        assert!(!turn.steer("late".to_owned()), "it takes nothing any more");
        let second = asked.lock().unwrap()[1].clone();
        let roles: Vec<&str> = second.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "user"]);
        assert_eq!(second[2], json!({ "role": "tool", "tool_call_id": "c", "content": "x" }));
    }

    #[tokio::test]
    async fn what_came_too_late_is_given_back() {
        let (model, _) = provider(vec![(200, STOP)]).await;
        let (turn, mut hear) = begin(plan(model));
        hear.recv().await;
        assert!(turn.steer("late".to_owned()));
        let last = rest(&mut hear).await.pop();
        assert_eq!(last, Some(Happening::Ended { end: End::Completed, unsteered: vec!["late".to_owned()] }));
    }

    #[tokio::test]
    async fn a_failure_is_retried_only_when_nothing_was_told() {
        let (model, asked) = provider(vec![(500, "no"), (200, STOP)]).await;
        let told = rest(&mut begin(plan(model)).1).await;
        let failure = Failure::Status { status: 500, text: "no".to_owned() };
        assert_eq!(told[1], Happening::Retrying { attempt: 1, failure });
        assert_eq!(told.last(), Some(&ended(End::Completed)));
        assert_eq!(asked.lock().unwrap().len(), 2);

        let (model, asked) = provider(vec![(200, CUT), (200, STOP)]).await;
        let told = rest(&mut begin(plan(model)).1).await;
        assert!(matches!(told.last(), Some(Happening::Ended { end: End::Failed(Failure::Cut(_)), .. })), "{told:?}");
        assert_eq!(asked.lock().unwrap().len(), 1);

        for (status, times) in [(400, 1), (503, 3)] {
            let (model, asked) = provider(vec![(status, "no")]).await;
            let told = rest(&mut begin(plan(model)).1).await;
            let failure = Failure::Status { status, text: "no".to_owned() };
            assert_eq!(told.last(), Some(&ended(End::Failed(failure))));
            assert_eq!(asked.lock().unwrap().len(), times, "{status}");
        }
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let first = Duration::from_secs(5);
        assert_eq!([1, 2, 3, 9].map(|attempt| wait(first, attempt).as_secs()), [5, 10, 20, 1280]);
        assert_eq!([10, 40, u32::MAX].map(|attempt| wait(first, attempt)), [LONGEST_WAIT; 3]);
    }

    #[tokio::test]
    async fn a_question_waits_for_its_reply_and_always_is_not_asked_again() {
        for (reply, output, is_error) in
            [(Reply::Once, "allowed", false), (Reply::Reject, "rejected", true), (Reply::Always, "allowed", false)]
        {
            let (model, _) = provider(vec![(200, ASK), (200, ASK), (200, STOP)]).await;
            let (turn, mut hear) = begin(plan(model));
            let mut asks = 0;
            let mut outputs = Vec::new();
            while let Some(happening) = hear.recv().await {
                match happening {
                    Happening::Asked { call, question } => {
                        assert_eq!(question, "q");
                        asks += 1;
                        assert!(turn.reply(&call.id, reply));
                        assert!(!turn.reply(&call.id, reply), "it is answered once");
                    }
                    Happening::ToolEnded { output, is_error, .. } => outputs.push((output, is_error)),
                    _ => {}
                }
            }
            assert_eq!(outputs, vec![(output.to_owned(), is_error); 2]);
            assert_eq!(asks, if reply == Reply::Always { 1 } else { 2 });
        }
    }

    #[tokio::test]
    async fn an_abort_ends_what_was_open_and_says_so_once() {
        let (model, _) = provider(vec![(200, ASK)]).await;
        let (turn, mut hear) = begin(plan(model));
        loop {
            if let Some(Happening::Asked { .. }) = hear.recv().await {
                break;
            }
        }
        turn.abort();
        turn.abort();
        let told = rest(&mut hear).await;
        assert!(matches!(&told[..], [Happening::ToolEnded { is_error: true, .. }, last] if *last == ended(End::Aborted)), "{told:?}");
    }

    #[tokio::test]
    async fn a_turn_that_nobody_keeps_stops() {
        let (model, asked) = provider(vec![(200, ECHO)]).await;
        let (_turn, mut hear) = begin(plan(model));
        hear.recv().await;
        drop(hear);
        // It would ask a hundred times: with its listener gone it is past no further step.
        let (model, _) = provider(vec![(200, ECHO)]).await;
        let told = rest(&mut begin(plan(model)).1).await;
        assert_eq!(told.last(), Some(&ended(End::TooManySteps)));
        assert!(asked.lock().unwrap().len() <= 1);
    }
}
