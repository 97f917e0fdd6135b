//! Requests as a person repeats them.

use super::request::Request;
use super::template::Vars;

/// Bytes of a body that a command line shows; the rest is replaced by its length.
const SHOWN: usize = 2_000;

impl Request {
    /// A `curl` command for the request, quoted for a POSIX shell. Values that came from the environment stand as `$NAME`.
    /// `base` is the target's URL.
    pub fn curl(&self, base: &str, vars: &Vars) -> String {
        let mut line = String::from("curl -isN");
        if self.method != "GET" {
            line += &format!(" -X {}", self.method);
        }
        for (name, value) in &self.headers {
            // `Name;` sends an empty header; `Name:` would remove it.
            let header = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
            line += &format!(" -H {}", quoted(&header, vars));
        }
        if let Some(body) = &self.body {
            let text = String::from_utf8_lossy(body);
            let end = text.floor_char_boundary(SHOWN);
            let shown = if end < text.len() { format!("{}… ({} bytes)", &text[..end], text.len()) } else { text.into_owned() };
            line += &format!(" --data-raw {}", quoted(&shown, vars));
        }
        format!("{line} {}", quoted(&format!("{}{}", base.trim_end_matches('/'), self.path_and_query), vars))
    }

    /// The request in one line, with the headers that matter: no media types, nothing from the environment.
    pub fn says(&self, vars: &Vars) -> String {
        let dull = ["accept", "accept-encoding", "content-type"];
        let matter = self.headers.iter().filter(|(name, value)| {
            !dull.contains(&name.to_ascii_lowercase().as_str())
                && !vars.secrets().any(|(_, secret)| !secret.is_empty() && value.contains(secret))
        });
        let mut line = format!("{} {}", self.method, self.path_and_query);
        for (name, value) in matter {
            line += &format!("  {name}: {value}");
        }
        for (name, secret) in vars.secrets().filter(|(_, secret)| !secret.is_empty()) {
            line = line.replace(secret, &format!("${name}"));
        }
        line
    }
}

/// `text` as one shell word.
fn quoted(text: &str, vars: &Vars) -> String {
    let mut word = format!("'{}'", text.replace('\'', r"'\''"));
    for (name, secret) in vars.secrets().filter(|(_, secret)| !secret.is_empty()) {
        word = word.replace(&secret.replace('\'', r"'\''"), &format!("'\"${name}\"'"));
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_survive_the_shell_and_secrets_stay_in_the_environment() {
        let request = Request {
            method: "POST".to_owned(),
            path_and_query: "/s/it%27s?a=1".to_owned(),
            headers: vec![("Authorization".to_owned(), "Bearer hunter2".to_owned()), ("Last-Event-ID".to_owned(), String::new())],
            body: Some(br#"{"text":"it's $HOME"}"#.to_vec()),
        };
        let vars = Vars::new().text("env.TOKEN", "hunter2");
        assert_eq!(
            request.curl("http://127.0.0.1:8080/", &vars),
            r#"curl -isN -X POST -H 'Authorization: Bearer '"$TOKEN"'' -H 'Last-Event-ID;' --data-raw '{"text":"it'\''s $HOME"}' 'http://127.0.0.1:8080/s/it%27s?a=1'"#
        );
        assert_eq!(request.says(&vars), "POST /s/it%27s?a=1  Last-Event-ID: ");
    }

    #[test]
    fn a_large_body_is_cut_at_a_character() {
        let request = Request {
            method: "POST".to_owned(),
            path_and_query: "/".to_owned(),
            headers: Vec::new(),
            body: Some("é".repeat(5_000).into_bytes()),
        };
        let line = request.curl("http://h", &Vars::new());
        assert!(line.len() < 2_200 && line.contains("… (10000 bytes)'"), "{line}");
    }
}
