//! What an adapter answers, and what becomes of publishes.

use super::{Found, Request, Said, Saw, View, violated};
use crate::client::orders::{Answer, FEATURES, Ordered, Outcome, VERSION};
use crate::client::trial::{PublishAnswer, publish_body, publish_key, publish_of};

impl<'l> View<'l> {
    fn orders(&self) -> impl Iterator<Item = (usize, u32, &'l Ordered)> {
        self.log.iter().enumerate().filter_map(|(at, entry)| match &entry.what {
            Saw::Ordered { order, what } => Some((at, *order, what)),
            _ => None,
        })
    }

    fn answers(&self) -> impl Iterator<Item = (usize, &'l Answer)> {
        self.log.iter().enumerate().filter_map(|(at, entry)| match &entry.what {
            Saw::Said(Said::Answer(answer)) => Some((at, answer)),
            _ => None,
        })
    }

    fn answer_to(&self, order: u32) -> Option<(usize, &'l Answer)> {
        self.answers().find(|(_, answer)| answer.answer == order)
    }

    /// True when the client had its time to answer what was ordered at this place.
    fn had_its_time(&self, ordered: usize) -> bool {
        let behind = &self.log[ordered + 1..];
        let killed = behind.iter().any(|entry| matches!(entry.what, Saw::Killed { .. }));
        !killed && behind.iter().any(|entry| matches!(entry.what, Saw::Over | Saw::InVain { .. } | Saw::Exited { .. }))
    }

    pub(super) fn introduces(&self) -> Found {
        let mut judged = 0;
        for (at, order, _) in self.orders().filter(|(_, _, what)| matches!(what, Ordered::Init { .. })) {
            let expected = format!("`{{\"answer\":{order},\"version\":{VERSION},\"features\":[…]}}`");
            let Some((answered, answer)) = self.answer_to(order) else {
                if self.had_its_time(at) {
                    return violated("mute", "`init` is not answered".to_owned(), expected, "no answer".to_owned(), vec![at]);
                }
                continue;
            };
            let wrong = |shape: &str, says: String, seen: String| violated(shape, says, expected.clone(), seen, vec![answered, at]);
            if answer.version != Some(VERSION) {
                let seen = answer.version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
                return wrong("version", "`init` is answered with another version than it names".to_owned(), seen);
            }
            let Some(features) = &answer.features else {
                return wrong("no-features", "`init` is answered without features".to_owned(), "no `features`".to_owned());
            };
            if let Some(odd) = features.iter().find(|feature| !FEATURES.contains(&feature.as_str())) {
                return wrong(
                    "odd-feature",
                    format!("a feature is declared that there is not; there are {}", FEATURES.join(", ")),
                    format!("`{odd}`"),
                );
            }
            judged += 1;
        }
        if judged == 0 { self.not_reached("an answer to `init`") } else { Found::HeldTimes(judged) }
    }

    pub(super) fn each_order_answered(&self) -> Found {
        let mut judged = 0;
        for (at, answer) in self.answers() {
            let Some((ordered, _, what)) = self.orders().find(|(ordered, order, _)| *order == answer.answer && *ordered < at) else {
                let expected = "the number of an order that was given".to_owned();
                return violated("no-such-order", "an answer to no order".to_owned(), expected, answer.answer.to_string(), vec![at]);
            };
            if let Some((first, _)) = self.answer_to(answer.answer).filter(|(first, _)| *first != at) {
                let says = format!("order {} is answered twice", answer.answer);
                return violated("twice", says, "one answer".to_owned(), "two".to_owned(), vec![at, first]);
            }
            if matches!(what, Ordered::Publish(_)) && answer.outcome.is_none() && answer.unsupported.is_none() {
                let says = format!("publish {} is answered without an outcome", answer.answer);
                let expected = "`outcome`: accepted, refused or unknown".to_owned();
                return violated("no-outcome", says, expected, "none".to_owned(), vec![at, ordered]);
            }
            judged += 1;
        }
        let unanswered = self
            .orders()
            .find(|(at, order, what)| !matches!(what, Ordered::Init { .. }) && self.answer_to(*order).is_none() && self.had_its_time(*at));
        match unanswered {
            Some((at, order, what)) => violated(
                "unanswered",
                format!("order {order}, {}, is not answered{}", what.word(), self.last_words()),
                format!("`{{\"answer\":{order}}}`"),
                "no answer".to_owned(),
                vec![at],
            ),
            None if judged == 0 => self.not_reached("an answer"),
            None => Found::HeldTimes(judged),
        }
    }

    pub(super) fn keeps_word(&self) -> Found {
        let mut judged = 0;
        for (at, answer) in self.answers().filter(|(_, answer)| answer.features.is_none()) {
            if let Some(why) = &answer.unsupported {
                let says = format!("order {} is answered with `unsupported`, although the feature was declared", answer.answer);
                return violated(
                    "boasts",
                    says,
                    "the order carried out, or the feature not declared".to_owned(),
                    format!("`{why}`"),
                    vec![at],
                );
            }
            judged += 1;
        }
        if judged == 0 { self.not_reached("an answer to an order") } else { Found::HeldTimes(judged) }
    }

    pub(super) fn leaves(&self, nth: u32) -> Found {
        let Some(from) = self.at(|saw| matches!(saw, Saw::Ordered { what: Ordered::Restart {}, .. })) else {
            return self.not_reached("the restart");
        };
        let left = self.at_behind(from, |saw| matches!(saw, Saw::Left { nth: n } if *n == nth));
        // The server waits for it, before it lets the client end.
        match (left, self.at_behind(from, |saw| matches!(saw, Saw::InVain { .. }))) {
            (Some(left), in_vain) if in_vain.is_none_or(|in_vain| left < in_vain) => Found::Held,
            (_, Some(in_vain)) => violated(
                "left-open",
                format!("connection {nth} is still open, although its reader was told to start over"),
                "the connection left".to_owned(),
                "an open connection".to_owned(),
                vec![in_vain, from],
            ),
            (_, None) => self.not_reached("the end of the connection"),
        }
    }

    /// The requests with a publish.
    fn posts(&self, publish: u32) -> Vec<(usize, &'l Request, PublishAnswer)> {
        self.all_posts().filter(|(_, request, _)| publish_of(request) == Some(publish)).collect()
    }

    fn all_posts(&self) -> impl Iterator<Item = (usize, &'l Request, PublishAnswer)> {
        self.log.iter().enumerate().filter_map(|(at, entry)| match &entry.what {
            Saw::Posted { request, answer } => Some((at, request, *answer)),
            _ => None,
        })
    }

    fn no_post(&self, publish: u32) -> Found {
        self.not_reached(&format!("a request with publish {publish}"))
    }

    pub(super) fn keeps_key(&self, publish: u32) -> Found {
        let (posts, key) = (self.posts(publish), publish_key(publish));
        for (at, request, _) in &posts {
            let seen = request.header("idempotency-key");
            if seen != Some(key.as_bytes()) {
                let says = "a request with a publish has not its idempotency key: the server cannot know the repetition".to_owned();
                let seen = seen.map_or_else(|| "none".to_owned(), |key| format!("`{}`", String::from_utf8_lossy(key)));
                let first = posts.first().map(|(at, ..)| *at).filter(|first| first != at);
                return violated("other-key", says, format!("`{key}`"), seen, [*at].into_iter().chain(first).collect());
            }
        }
        if posts.is_empty() { self.no_post(publish) } else { Found::HeldTimes(posts.len() as u64) }
    }

    pub(super) fn reports(&self, publish: u32, outcome: Outcome) -> Found {
        let posts = self.posts(publish);
        let Some((posted, ..)) = posts.last() else { return self.no_post(publish) };
        let key = publish_key(publish);
        let order = self.orders().find_map(|(at, order, what)| match what {
            Ordered::Publish(ordered) if ordered.key == key => Some((at, order)),
            _ => None,
        });
        let Some((at, order)) = order else { return self.not_reached("the order to publish") };
        let expected = format!("`\"outcome\":\"{}\"`", outcome.word());
        match self.answer_to(order).map(|(at, answer)| (at, answer.outcome)) {
            Some((_, Some(said))) if said == outcome => Found::Held,
            Some((answered, Some(said))) => violated(
                "misreported",
                format!("publish {publish} is said to be {}, and is not", said.word()),
                expected,
                format!("`{}`", said.word()),
                vec![answered, *posted],
            ),
            // That nobody knows may be said late. What was decided must be told.
            None if outcome != Outcome::Unknown && self.had_its_time(at) => violated(
                "silent",
                format!("nothing is said of publish {publish}, which was {}{}", outcome.word(), self.last_words()),
                expected,
                "nothing".to_owned(),
                vec![*posted, at],
            ),
            Some((_, None)) | None => self.not_reached(&format!("the outcome of publish {publish}")),
        }
    }

    pub(super) fn publishes_in_order(&self) -> Found {
        let mut newest: Option<(usize, u32)> = None;
        let mut known = Vec::new();
        for (at, request, answer) in self.all_posts() {
            let Some(publish) = publish_of(request) else { continue };
            // A repetition is known by its key, and is where the first one was.
            if !matches!(answer, PublishAnswer::Accept | PublishAnswer::Lose) || known.contains(&publish) {
                continue;
            }
            known.push(publish);
            if let Some((before, overtaker)) = newest.filter(|(_, newest)| *newest > publish) {
                let says = format!("publish {publish} arrives behind publish {overtaker}, before which it was asked for");
                return violated(
                    "overtaken",
                    says,
                    "the order in which they were asked for".to_owned(),
                    format!("{known:?}"),
                    vec![at, before],
                );
            }
            newest = Some((at, publish));
        }
        if known.len() < 2 { self.not_reached("a second publish") } else { Found::HeldTimes(known.len() as u64) }
    }

    pub(super) fn publishes_once(&self, publish: u32) -> Found {
        let posts = self.posts(publish);
        let decided = posts.iter().position(|(_, _, answer)| matches!(answer, PublishAnswer::Accept | PublishAnswer::Refuse(_)));
        let Some(decided) = decided else { return self.no_post(publish) };
        match posts.get(decided + 1) {
            Some((at, ..)) => {
                let was = if posts[decided].2 == PublishAnswer::Accept { "acknowledged" } else { "refused" };
                let says = format!("publish {publish} is sent again, although it was {was}");
                violated("again", says, "no further request with it".to_owned(), "another request".to_owned(), vec![*at, posts[decided].0])
            }
            None if self.had_its_time(posts[decided].0) => Found::Held,
            None => self.not_reached("the end of the case"),
        }
    }

    pub(super) fn puts_off(&self, publish: u32, least: u64) -> Found {
        let posts = self.posts(publish);
        let (Some((first, ..)), Some((second, ..))) = (posts.first(), posts.get(1)) else {
            return self.not_reached(&format!("a second request with publish {publish}"));
        };
        let waited = self.millis(*first, *second);
        if waited >= least {
            return Found::Held;
        }
        let says = format!("publish {publish} is repeated {waited} ms behind an answer that put it off");
        violated("early", says, format!("at least {least} ms"), format!("{waited} ms"), vec![*second, *first])
    }

    pub(super) fn carries(&self, publish: u32, header: &str) -> Found {
        let posts = self.posts(publish);
        let Some((at, request, _)) = posts.first() else { return self.no_post(publish) };
        let body = publish_body(publish);
        if request.body != body.as_bytes() {
            let says = format!("publish {publish} has another body than it was given");
            return violated("body", says, format!("{body:?}"), format!("{:?}", String::from_utf8_lossy(&request.body)), vec![*at]);
        }
        let Some((name, value)) = header.split_once(": ") else { return Found::Held };
        let seen = request.header(name);
        if seen == Some(value.as_bytes()) {
            return Found::Held;
        }
        let seen = seen.map_or_else(|| "no such header".to_owned(), |seen| format!("`{}`", String::from_utf8_lossy(seen)));
        violated("header", format!("publish {publish} lacks a header of the caller's: {name}"), format!("`{value}`"), seen, vec![*at])
    }
}
