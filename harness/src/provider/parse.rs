//! The language of scripts: `as k7w#; think 2; words 4; pause; tool bash {"command":"true"}; then; words 2`.

use std::time::Duration;

use super::glyph;
use super::script::{Finish, MOST_BYTES, Move, Script, ScriptError};

/// How a script in a prompt begins.
const OPENING: &str = "[[say";
/// All moves, for messages.
const MOVES: &str =
    "as, think-as, size, gap, words, think, text, code, tool, pause, status, error, cut, end, malformed, raw, finish, usage, then, again";
/// Most bytes of one word.
const MOST_SIZE: u32 = 16 << 20;
/// Most bytes of a pattern.
const MOST_PATTERN: usize = 64;
/// Longest rest between two words.
const MOST_GAP: Duration = Duration::from_secs(60);

impl std::str::FromStr for Script {
    type Err = ScriptError;

    /// Reads a script as it stands in a file. Moves are separated by `;` or by lines; a line that begins with `#` is a comment.
    fn from_str(text: &str) -> Result<Script, ScriptError> {
        Reader { text, at: 0, bytes: 0 }.script(false)
    }
}

impl Script {
    /// The last script within a prompt, `[[say …]]`. The last, because agents put unanswered prompts before a new one.
    pub(super) fn in_prompt(prompt: &str) -> Option<Result<Script, ScriptError>> {
        let begins = prompt.rmatch_indices(OPENING).map(|(at, _)| at + OPENING.len());
        let at = begins.into_iter().find(|at| prompt[*at..].starts_with(|c: char| c.is_whitespace() || c == ']'))?;
        Some(Reader { text: prompt, at, bytes: 0 }.script(true))
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// Bytes that the words so far come to.
    bytes: u64,
}

impl<'t> Reader<'t> {
    fn script(mut self, in_prompt: bool) -> Result<Script, ScriptError> {
        let mut steps = vec![vec![Vec::new()]];
        let mut size = 1;
        loop {
            self.skip_separators();
            let begin = self.at;
            if in_prompt && self.rest().starts_with("]]") {
                break;
            }
            if self.rest().is_empty() {
                if in_prompt {
                    return Err(self.wrong(begin, "the script has no end; it ends with `]]`"));
                }
                break;
            }
            let word = self.word();
            let attempts = steps.last_mut().expect("there is always a step");
            match word {
                "then" => steps.push(vec![Vec::new()]),
                "again" => attempts.push(Vec::new()),
                word => {
                    let made = self.one(word, begin)?;
                    if let Move::Size(bytes) = made {
                        size = u64::from(bytes);
                    }
                    if let Move::Words(count) | Move::Think(count) = made {
                        self.bytes += u64::from(count) * size.max(MOST_PATTERN as u64);
                        if self.bytes > MOST_BYTES {
                            return Err(self.wrong(begin, &format!("the words come to more than {MOST_BYTES} bytes")));
                        }
                    }
                    let answer = attempts.last_mut().expect("there is always an attempt");
                    if matches!(made, Move::Status { .. }) && answer.iter().any(Move::says) {
                        return Err(self.wrong(begin, "a status cannot follow what is said; use `error` or `cut` there"));
                    }
                    answer.push(made);
                }
            }
        }
        if steps.iter().flatten().all(Vec::is_empty) {
            return Err(self.wrong(self.at, "there is no move in it; write for example `words 4`"));
        }
        Ok(Script { steps })
    }

    fn one(&mut self, word: &str, begin: usize) -> Result<Move, ScriptError> {
        Ok(match word {
            "as" => Move::As(self.pattern(begin)?),
            "think-as" => Move::ThinkAs(self.pattern(begin)?),
            "size" => Move::Size(self.number(begin, 1, MOST_SIZE.into())? as u32),
            "gap" => Move::Gap(self.gap(begin)?),
            "words" => Move::Words(self.number(begin, 0, 1_000_000)? as u32),
            "think" => Move::Think(self.number(begin, 0, 1_000_000)? as u32),
            "text" => Move::Text(self.string(begin)?),
            "code" => Move::Text(self.code(begin)?),
            "tool" => {
                let name = self.argument();
                if name.is_empty() {
                    return Err(self.wrong(begin, "a tool needs its name and arguments: `tool bash {\"command\":\"true\"}`"));
                }
                Move::Tool { name, arguments: self.json(begin)?.to_string() }
            }
            "pause" => Move::Pause(Some(self.argument()).filter(|name| !name.is_empty())),
            "live" => match self.argument() {
                name if name.is_empty() => return Err(self.wrong(begin, "`live` needs the name under which the owner speaks: `live k7`")),
                name => Move::Live(name),
            },
            "status" => {
                let code = self.number(begin, 400, 599)? as u16;
                let retry_after = if self.peek_digit() { Some(self.number(begin, 0, 86_400)? as u32) } else { None };
                Move::Status { code, retry_after }
            }
            "error" => Move::Error(self.string(begin)?),
            "cut" => Move::Cut,
            "end" => Move::End,
            "malformed" => Move::Malformed,
            "raw" => Move::Raw(self.string(begin)?),
            "finish" => match self.argument().as_str() {
                "length" => Move::Finish(Finish::Length),
                "filter" => Move::Finish(Finish::Filter),
                _ => return Err(self.wrong(begin, "the reason is `length` or `filter`")),
            },
            "usage" => Move::Usage(self.number(begin, 0, 1_000_000_000)?),
            _ => return Err(self.wrong(begin, &format!("unknown move; moves are {MOVES}"))),
        })
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_separators(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
            self.at = self.text.len() - trimmed.len();
            let at_line = self.text[..self.at].trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|c| c == '\n');
            if !(at_line && trimmed.starts_with('#')) {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    /// The word at hand: up to white space, `;` or `]]`.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(rest.len());
        let end = rest.find("]]").map_or(end, |close| close.min(end));
        let begin = self.at;
        self.at += end;
        &self.text[begin..self.at]
    }

    fn argument(&mut self) -> String {
        self.skip_blanks();
        self.word().to_owned()
    }

    fn peek_digit(&mut self) -> bool {
        self.skip_blanks();
        self.rest().starts_with(|c: char| c.is_ascii_digit())
    }

    fn number(&mut self, begin: usize, least: u64, most: u64) -> Result<u64, ScriptError> {
        let number = self.argument().parse().ok().filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| self.wrong(begin, &format!("a number from {least} to {most} must follow")))
    }

    fn gap(&mut self, begin: usize) -> Result<Duration, ScriptError> {
        let argument = self.argument();
        let gap = streamspec_reference_server::duration(&argument).map_err(|message| self.wrong(begin, &message))?;
        if gap > MOST_GAP {
            return Err(self.wrong(begin, "a gap is at most 60s; use `pause` to wait"));
        }
        Ok(gap)
    }

    fn pattern(&mut self, begin: usize) -> Result<String, ScriptError> {
        let pattern = self.argument();
        if pattern.matches('#').count() != 1 || pattern.len() > MOST_PATTERN {
            return Err(self.wrong(begin, "a pattern has exactly one `#`, for the number, and at most 64 bytes: `as k7w#`"));
        }
        Ok(pattern)
    }

    fn string(&mut self, begin: usize) -> Result<String, ScriptError> {
        match self.json(begin)? {
            serde_json::Value::String(text) => Ok(text),
            _ => Err(self.wrong(begin, "a JSON string must follow: `text \"a\\nb\"`")),
        }
    }

    fn json(&mut self, begin: usize) -> Result<serde_json::Value, ScriptError> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<serde_json::Value>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                if value.to_string().contains(glyph::is_stand_in) {
                    return Err(self.wrong(begin, "the characters from U+10D800 to U+10DFFF are taken"));
                }
                Ok(value)
            }
            Some(Err(error)) => Err(self.wrong(begin, &format!("JSON must follow: {error}"))),
            None => Err(self.wrong(begin, "JSON must follow")),
        }
    }

    /// `U+0085 U+D83D …`, one text.
    fn code(&mut self, begin: usize) -> Result<String, ScriptError> {
        let mut text = String::new();
        loop {
            self.skip_blanks();
            if !self.rest().starts_with("U+") {
                break;
            }
            let word = self.word();
            let point = u32::from_str_radix(&word["U+".len()..], 16).ok().and_then(glyph::code_point);
            text.push(point.ok_or_else(|| self.wrong(begin, "no such code point"))?);
        }
        if text.is_empty() { Err(self.wrong(begin, "code points must follow: `code U+0085 U+2028`")) } else { Ok(text) }
    }

    fn wrong(&self, begin: usize, message: &str) -> ScriptError {
        let at = self.text[begin..].chars().take_while(|c| !matches!(c, ';' | '\n')).take(40).collect();
        ScriptError { at, byte: begin, message: message.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(text: &str) -> Vec<Move> {
        text.parse::<Script>().unwrap().steps.remove(0).remove(0)
    }

    #[test]
    fn every_move_is_read() {
        let all = moves(
            "# comment\nstatus 429 3; status 500; as k7w#; think-as r#; size 64; gap 5ms\nwords 4 ; think 2; text \"a;]]\\n\"; code U+0085 U+D83D\n\
             tool bash {\"a\":[[1]]}; pause; pause p1; error \"no\"; cut; end; malformed; raw \"x\"; \
             finish length; finish filter; usage 90000",
        );
        assert_eq!(all.len(), 21);
        assert_eq!(all[8], Move::Text("a;]]\n".to_owned()));
        assert_eq!(all[9], Move::Text("\u{85}\u{10d83d}".to_owned()));
        assert_eq!(all[10], Move::Tool { name: "bash".to_owned(), arguments: "{\"a\":[[1]]}".to_owned() });
        assert_eq!(all[11..13], [Move::Pause(None), Move::Pause(Some("p1".to_owned()))]);
        assert_eq!(all[0], Move::Status { code: 429, retry_after: Some(3) });
    }

    #[test]
    fn the_last_script_of_a_prompt_counts() {
        assert!(Script::in_prompt("if [[ -f x ]]; then say [[saying]]").is_none());
        let script =
            Script::in_prompt("old [[say words 1]]\n[Workspace] do [[say tool t {\"a\":\"]]\"}; then; words 2]] please").unwrap().unwrap();
        assert_eq!(script.steps.len(), 2);
        assert_eq!(script.answer(1, 5), Some(&[Move::Words(2)][..]));
        assert_eq!(script.answer(2, 0), None);
    }

    #[test]
    fn attempts_have_answers_of_their_own() {
        let script: Script = "status 500; again; words 2; cut; again; words 3".parse().unwrap();
        assert_eq!(script.answer(0, 0), Some(&[Move::Status { code: 500, retry_after: None }][..]));
        assert_eq!(script.answer(0, 1), Some(&[Move::Words(2), Move::Cut][..]));
        assert_eq!(script.answer(0, 9), Some(&[Move::Words(3)][..]));
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_place() {
        for (text, says) in [
            ("words 2; wrods 4", "script, byte 9, at `wrods 4`: unknown move; moves are as,"),
            ("words x", "a number from 0 to 1000000 must follow"),
            ("status 200", "a number from 400 to 599"),
            ("as w", "exactly one `#`"),
            ("text hello", "JSON must follow"),
            ("text 5", "a JSON string must follow"),
            ("code U+110000", "no such code point"),
            ("gap 5", "is no time"),
            ("size 1000000; words 1000", "more than 67108864 bytes"),
            ("words 2; status 500", "script, byte 9, at `status 500`: a status cannot follow"),
            ("text \"\\udbf6\\udc3d\"", "are taken"),
            ("finish soon", "`length` or `filter`"),
            (" ; ", "no move"),
        ] {
            let error = text.parse::<Script>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(Script::in_prompt("[[say words 2").unwrap().unwrap_err().to_string().contains("ends with `]]`"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(as|words|text|code|tool|pause|U\\+|[0-9]|\"|\\{|#|;|\\]\\]|\\PC| |\n){0,30}") {
            let _ = text.parse::<Script>();
            let _ = Script::in_prompt(&format!("[[say {text}"));
        }
    }
}
