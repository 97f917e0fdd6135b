//! A reader of a long-poll: it asks, takes the answer, and asks again with the cursor that it was given.

use std::io::Read;
use std::time::Duration;

use smol_str::SmolStr;

use super::http::{MOST_ANSWER, beginning, words};
use super::stream::{Follow, Over};
use crate::history::{CursorClass, From, Kind};
use crate::run::binding::{PollAnswer, Polled, Request, for_stream, see_answer};

/// Pause before the next request when an answer did not move the reader on, so that a server that answers at once is not
/// hammered.
const SAME_PLACE: Duration = Duration::from_millis(20);

impl Follow {
    /// Asks until it is told that there is no more, refused, or the connection breaks.
    pub(super) async fn poll(&self, base: &str, first: Request) -> Over {
        let mut request = first;
        let mut position = None;
        let mut nth = 0;
        loop {
            let response = match self.head(base, &request).await {
                Ok(response) => response,
                Err(over) => return over,
            };
            let next = match self.polled(response, nth, position.as_ref()).await {
                Ok(next) => next,
                Err(over) => return over,
            };
            nth += 1;
            if self.progress.state().terminals > 0 {
                return Over::Done;
            }
            if let Some(over) = self.too_much() {
                return over;
            }
            let newest = next.or_else(|| self.progress.state().cursor().map(|(cursor, _)| cursor.clone()));
            if newest.is_none() || newest == position {
                tokio::time::sleep(SAME_PLACE).await;
            }
            if let Some(value) = newest {
                let from = From::Cursor { value: value.clone(), class: CursorClass::Own, beside: None };
                request = for_stream(&self.profile.binding, &self.vars, &from);
                position = Some(value);
            }
        }
    }

    /// Records what the `nth` answer brings and returns the cursor that it gives; the reader stood at `position`.
    async fn polled(&self, mut response: reqwest::Response, nth: u32, position: Option<&SmolStr>) -> Result<Option<SmolStr>, Over> {
        let binding = &self.profile.binding;
        let status = response.status().as_u16();
        let empty = binding.subscribe.empty.as_ref().map_or(status == 204, |set| set.contains(status));
        let accepted = status == 200 || empty;
        if nth == 0 && accepted {
            self.answered(&response, true, String::new());
        }
        let headers = response.headers().clone();
        let text = if accepted { whole(&mut response).await? } else { beginning(&mut response, Duration::from_millis(500)).await };
        if nth == 0 && !accepted {
            self.answered(&response, false, text);
            return Err(Over::Done);
        }
        let header = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let answer = PollAnswer { status, header: &header, text: &text };
        let Polled { seen, next } = match see_answer(self.lens(), &answer) {
            Ok(polled) => polled,
            Err(why) if accepted => return Err(Over::Undecodable(why)),
            // The body of a refusal is for people; its marks stand in the head.
            Err(_) => see_answer(self.lens(), &PollAnswer { text: "", ..answer }).unwrap_or_default(),
        };
        let tells = seen.iter().any(|one| !matches!(one.kind, Kind::Commit | Kind::Heartbeat));
        if tells {
            self.tap().frame(nth, text.as_bytes());
        }
        let brings = seen.iter().any(|one| matches!(one.kind, Kind::Event | Kind::Other));
        for one in seen {
            // A cursor that is where the reader stands already, with nothing before it, says nothing.
            if one.kind != Kind::Commit || brings || one.cursor.as_ref() != position {
                self.deliver(one, nth);
            }
        }
        match status {
            _ if accepted => Ok(next),
            500.. => Err(Over::Broken(format!("status {status}: {text}"))),
            _ => Err(Over::Done),
        }
    }
}

/// The body of an answer as text, unpacked, and bounded packed or not.
async fn whole(response: &mut reqwest::Response) -> Result<String, Over> {
    let too_long = || Over::Undecodable(format!("an answer is longer than {} MiB", MOST_ANSWER >> 20));
    let gzip = response.headers().get("content-encoding").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"gzip"));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| Over::Broken(words(&e)))? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_ANSWER {
            return Err(too_long());
        }
    }
    if gzip && !body.is_empty() {
        let mut plain = Vec::new();
        let mut unpacked = flate2::read::MultiGzDecoder::new(body.as_slice()).take(MOST_ANSWER as u64 + 1);
        unpacked.read_to_end(&mut plain).map_err(|e| Over::Undecodable(format!("the body is no gzip: {e}")))?;
        if plain.len() > MOST_ANSWER {
            return Err(too_long());
        }
        body = plain;
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[cfg(test)]
mod tests;
