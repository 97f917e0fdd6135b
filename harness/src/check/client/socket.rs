//! What is judged of streams that are WebSockets alone: the handshake, the subscription, pongs.

use super::{Found, View, violated};
use crate::client::trial::{SESSION, Saw};

impl View<'_> {
    pub(super) fn subscribes(&self, nth: u32) -> Found {
        let Some((asked, _)) = self.request(nth) else { return self.not_reached(&format!("request {nth}")) };
        let expected = format!("`{{\"type\":\"chat.subscribe\",\"conversationId\":\"{SESSION}\"}}`");
        let heard = self.log.iter().enumerate().find_map(|(at, entry)| match &entry.what {
            Saw::Heard { nth: n, text } if *n == nth => Some((at, text)),
            _ => None,
        });
        let Some((at, text)) = heard else {
            return match self.at_behind(asked, |saw| matches!(saw, Saw::InVain { .. })) {
                Some(at) => {
                    let says = format!("connection {nth} is opened, and nothing is subscribed to on it");
                    violated("not-subscribed", says, expected, "no message".to_owned(), vec![at, asked])
                }
                None => self.not_reached(&format!("the subscription on connection {nth}")),
            };
        };
        let message: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        if message["type"] == "chat.subscribe" && message["conversationId"] == SESSION {
            return Found::Held;
        }
        let says = format!("the first message on connection {nth} does not subscribe to the conversation");
        violated("not-subscribed", says, expected, format!("`{}`", text.chars().take(120).collect::<String>()), vec![at])
    }

    pub(super) fn pongs(&self, nth: u32) -> Found {
        if self.at(|saw| *saw == Saw::Ponged { nth }).is_some() {
            return Found::Held;
        }
        let ping = self.at(|saw| matches!(saw, Saw::Sent { nth: n, says } if *n == nth && says == "a ping"));
        let in_vain = ping.and_then(|ping| self.at_behind(ping, |saw| matches!(saw, Saw::InVain { .. })));
        match ping.zip(in_vain) {
            Some((ping, in_vain)) => violated(
                "no-pong",
                format!("the ping on connection {nth} is never answered"),
                "a pong with its content".to_owned(),
                "none".to_owned(),
                vec![in_vain, ping],
            ),
            None => self.not_reached(&format!("the ping on connection {nth}")),
        }
    }

    pub(super) fn ends_or_waits(&self, nth: u32, least: u64) -> Found {
        let Some(before) = self.ended(nth) else { return self.not_reached(&format!("the end of answer {nth}")) };
        let over = self.at(|saw| *saw == Saw::Over).is_some();
        match self.asked(nth + 1).map(|at| (at, self.millis(before, at))) {
            Some((at, waited)) if waited < least => violated(
                "early",
                format!("the client asks again {waited} ms behind answer {nth}, which refuses the handshake"),
                format!("its end, or a wait of at least {least} ms"),
                format!("{waited} ms"),
                vec![at, before],
            ),
            Some(_) => Found::Held,
            None if over => Found::Held,
            None => self.not_reached("the end of the case"),
        }
    }
}
