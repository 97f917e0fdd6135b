//! Requests that a right server refuses.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::http::{NoAnswer, beginning, prepare, send, words};
use super::operation::unknown;
use super::server::Server;
use super::socket;
use crate::contract::{AuthContract, Binding, Format, OneOrMany, Operation, Profile, Recipient};
use crate::history::{From, Outcome, Probe};
use crate::run::binding::{Finite, Request, Vars, for_operation, for_page, for_stream, placeholders};
use crate::world::{Reply, Whole};

/// What stands in a file outside the root; no server has it otherwise.
const PLANTED: &str = "streamspec-planted-outside-7f3a9c";

/// How long a message that refuses a subscription may take.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// Sends the requests of a probe. The outcome is `Ok` when the server refused none of them, or one that it had to.
pub(super) async fn probe(server: &Server, profile: &Profile, mut vars: Vars, probe: Probe, within: Duration) -> Reply {
    let binding = &profile.binding;
    let requests = match probe {
        Probe::UnknownSession if binding.subscribe.format == Format::Websocket => {
            return unknown_on_a_socket(server, binding, &vars).await;
        }
        Probe::UnknownSession => vec![for_stream(binding, &vars, &From::Start)],
        Probe::WrongMethod => vec![Request { method: "PATCH".to_owned(), ..for_stream(binding, &vars, &From::Start) }],
        Probe::PublishUnknown => {
            vars.text("payload", "to nobody").text("type", "message");
            // What a model says is no request that the server could refuse.
            let publish = binding.publish.iter().filter(|publish| publish.to == Recipient::Server);
            publish.map(|publish| for_operation(binding, publish, &vars)).collect()
        }
        Probe::SenselessLimit => {
            let limit = |n: i64| {
                let mut vars = vars.clone();
                vars.number("limit", n);
                binding.history.as_ref().map(|history| for_page(binding, Finite::History(history), &vars))
            };
            [0, -1, 1_000_000_000].into_iter().filter_map(limit).collect()
        }
        Probe::NoCredentials => return without_credentials(server, profile, &vars, within).await,
        Probe::Escape => return escapes(server, profile, &vars, within).await,
    };
    let mut last = unknown(NoAnswer::NotSent("the profile cannot ask that".to_owned()));
    for request in &requests {
        last = match touch(server, request, within).await {
            Err(why) => unknown(why),
            Ok((status, _)) if status < 300 => return finding(Outcome::Ok { status, cursor: None }, []),
            Ok((status, body)) => finding(Outcome::Failed { status, body }, []),
        };
    }
    last
}

/// Subscribes to an unknown session over a WebSocket. A message that refuses it counts as status 400.
async fn unknown_on_a_socket(server: &Server, binding: &Binding, vars: &Vars) -> Reply {
    let refused = &binding.subscribe.refused;
    if refused.is_empty() {
        return unknown(NoAnswer::NotSent("the profile does not say how a subscription is refused".to_owned()));
    }
    let request = for_stream(binding, vars, &From::Start);
    match socket::subscribe(&server.base(), &request, refused, vars, REFUSED_WITHIN).await {
        Ok((status, _)) if status < 300 => finding(Outcome::Ok { status, cursor: None }, []),
        Ok((status, body)) => finding(Outcome::Failed { status, body }, []),
        Err(why) => unknown(why),
    }
}

fn finding<const N: usize>(outcome: Outcome, taken: [(&str, String); N]) -> Reply {
    let taken = taken.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>();
    Reply { outcome, taken, answer: None }
}

/// Status and the beginning of the body; streams are not read to their end.
async fn touch(server: &Server, request: &Request, within: Duration) -> Result<(u16, String), NoAnswer> {
    let client = server.clients().streams();
    let exchange = async {
        let builder = prepare(&client, &server.base(), request).map_err(NoAnswer::NotSent)?;
        let mut response = builder.send().await.map_err(|e| NoAnswer::Lost(words(&e)))?;
        let body = beginning(&mut response, Duration::from_millis(300)).await;
        Ok((response.status().as_u16(), body))
    };
    let late = || NoAnswer::Lost(format!("no answer within {} s", within.as_secs()));
    tokio::time::timeout(within, exchange).await.unwrap_or_else(|_| Err(late()))
}

/// Every surface that a binding has, by a name for people, harmless ones first.
fn surfaces(binding: &Binding, vars: &Vars) -> Vec<(String, Request)> {
    let mut vars = vars.clone();
    vars.text("payload", "from nobody").text("type", "message").text("path", "no-such-file").number("limit", 1);
    let mut all = vec![("the stream".to_owned(), for_stream(binding, &vars, &From::Start))];
    let mut add = |name: &str, operation: Option<&Operation>| {
        // Who logs in has no credentials yet.
        let logs_in =
            |o: &Operation| o.take.keys().any(|name| binding.headers.values().any(|value| placeholders(value).contains(&name.as_str())));
        let asks = |o: &&Operation| o.socket.is_none() && o.to == Recipient::Server && !logs_in(o);
        if let Some(operation) = operation.filter(asks) {
            all.push((format!("`{name}`"), for_operation(binding, operation, &vars)));
        }
    };
    add("history", binding.history.as_ref().map(|h| &h.operation));
    add("snapshot", binding.snapshot.as_ref().map(|s| &s.operation));
    for (name, operation) in &binding.ops {
        add(name, Some(operation));
    }
    add("open", binding.open.as_ref());
    add("publish", binding.publish.as_ref());
    all
}

/// Another secret of the same shape: of an authorisation the scheme stays, of cookies their names.
fn forged(name: &str, value: &str) -> String {
    let reversed = |text: &str| text.chars().rev().collect::<String>();
    if name.eq_ignore_ascii_case("cookie") {
        let cookie = |one: &str| one.split_once('=').map_or_else(|| one.to_owned(), |(name, value)| format!("{name}={}", reversed(value)));
        return value.split("; ").map(cookie).collect::<Vec<_>>().join("; ");
    }
    value.split_once(' ').map_or_else(|| reversed(value), |(scheme, secret)| format!("{scheme} {}", reversed(secret)))
}

/// The request without its credentials, or with wrong ones.
fn stripped(request: &Request, auth: &AuthContract, wrong: bool) -> Request {
    let names: Vec<&String> = match &auth.headers {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many.iter().collect(),
    };
    let is_one = |header: &str| names.iter().any(|name| name.eq_ignore_ascii_case(header));
    let mut request = request.clone();
    if wrong {
        for (name, value) in request.headers.iter_mut().filter(|(name, _)| is_one(name)) {
            *value = forged(name, value);
        }
    } else {
        request.headers.retain(|(name, _)| !is_one(name));
    }
    request
}

/// Asks every surface without credentials and with wrong ones: `open` names those that answered all the same, `asked` counts
/// the answers. Where the health check is public, `public` says that it was asked, and `shut` how it refused.
async fn without_credentials(server: &Server, profile: &Profile, vars: &Vars, within: Duration) -> Reply {
    let Some(auth) = &profile.contract.auth else {
        return unknown(NoAnswer::NotSent("the contract demands no credentials".to_owned()));
    };
    let refused = |status: u16| auth.status.as_ref().map_or(matches!(status, 401 | 403), |set| set.contains(status));
    let (mut open, mut asked) = (Vec::new(), 0);
    for (name, request) in surfaces(&profile.binding, vars) {
        for wrong in [false, true] {
            let request = stripped(&request, auth, wrong);
            match touch(server, &request, within).await {
                Ok((status, _)) if refused(status) => asked += 1,
                Ok((status, body)) => {
                    let how = if wrong { "with wrong credentials" } else { "without credentials" };
                    open.push(format!("{name} {how}: status {status} {}", body.trim()));
                    asked += 1;
                }
                // Who gives no answer lets nobody in.
                Err(NoAnswer::NotSent(_) | NoAnswer::Lost(_)) => {}
            }
        }
    }
    let (mut public, mut shut) = (String::new(), String::new());
    if let Some(health) = profile.binding.health.as_ref().filter(|_| auth.health_is_public) {
        let request = stripped(&for_operation(&profile.binding, health, vars), auth, false);
        if let Ok((status, body)) = touch(server, &request, within).await {
            public = "1".to_owned();
            if status >= 300 {
                shut = format!("the health check without credentials: status {status} {}", body.trim());
            }
        }
    }
    let found = [("open", open.join("; ")), ("asked", asked.to_string()), ("public", public), ("shut", shut)];
    finding(Outcome::Ok { status: 0, cursor: None }, found)
}

/// Spellings of a path from the root to the planted file beside it, and of its absolute path.
fn spellings(absolute: &str, root: &str, name: &str) -> Vec<String> {
    let up = format!("../{name}");
    let dots = |dots: &str, slash: &str| format!("{dots}{slash}{name}");
    let mut all = vec![
        up.clone(),
        format!("./{up}"),
        format!("x/../{up}"),
        format!("../{root}/../{name}"),
        format!("....//{name}"),
        format!("..%2f{name}"),
        format!("%2e%2e/{name}"),
        format!("%2e%2e%2f{name}"),
        format!("%252e%252e%252f{name}"),
        format!("..%c0%af{name}"),
        format!(r"..\{name}"),
        format!("{up}\0.txt"),
        format!("{up}%00.txt"),
        "link-outside".to_owned(),
        format!("link-up/{name}"),
        absolute.to_owned(),
        format!("/{absolute}"),
        format!("file://{absolute}"),
    ];
    all.push(dots("．．", "/"));
    all
}

/// Asks for a planted file by every spelling: `outside` names those that brought it, `told` those that were answered
/// otherwise than a missing file, `asked` counts.
async fn escapes(server: &Server, profile: &Profile, vars: &Vars, within: Duration) -> Reply {
    let cannot = |why: &str| unknown(NoAnswer::NotSent(why.to_owned()));
    let Some(files) = &profile.contract.files else { return cannot("the contract serves no files") };
    let Some(operation) = profile.binding.ops.get(&files.op) else { return cannot("`contract.files.op` names no operation") };
    let Some(data) = server.data() else { return cannot("the server's folder is not known: it was not started by streamspec") };
    let root = data.join(vars.fill(&files.root, str::to_owned).unwrap_or_default());
    let planted = match plant(&root) {
        Ok(planted) => planted,
        Err(error) => return cannot(&format!("no file could be planted beside {}: {error}", root.display())),
    };
    let ask = async |path: &str| -> Result<Whole, NoAnswer> {
        let mut vars = vars.clone();
        vars.text("path", path);
        let request = for_operation(&profile.binding, operation, &vars);
        send(&server.clients().operations(), &server.base(), &request, within).await
    };
    let missing = match ask("no-such-file.txt").await {
        Ok(missing) => missing,
        Err(why) => return unknown(why),
    };
    let name = planted.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (mut outside, mut told, mut asked) = (Vec::new(), Vec::new(), 0);
    let folder = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for path in spellings(&planted.display().to_string(), folder, name) {
        let Ok(answer) = ask(&path).await else { continue };
        asked += 1;
        if answer.body.contains(PLANTED) {
            outside.push(format!("{path:?}"));
        } else if (answer.status, answer.body.as_str()) != (missing.status, missing.body.as_str()) {
            told.push(format!("{path:?}: status {} {}", answer.status, answer.body.chars().take(80).collect::<String>()));
        }
    }
    finding(
        Outcome::Ok { status: missing.status, cursor: None },
        [("outside", outside.join(", ")), ("told", told.join("; ")), ("asked", asked.to_string())],
    )
}

/// Puts a file beside the root, and links to it into the root.
fn plant(root: &Path) -> std::io::Result<std::path::PathBuf> {
    std::fs::create_dir_all(root)?;
    let beside = root.parent().ok_or_else(|| std::io::Error::other("the root has no folder above it"))?;
    let planted = beside.join("planted-outside.txt");
    std::fs::write(&planted, PLANTED)?;
    #[cfg(unix)]
    for (link, to) in [("link-outside", planted.as_path()), ("link-up", beside)] {
        match std::os::unix::fs::symlink(to, root.join(link)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(planted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_credentials_have_the_shape_of_right_ones() {
        assert_eq!(forged("Authorization", "Bearer abc"), "Bearer cba");
        assert_eq!(forged("X-Key", "abc"), "cba");
        assert_eq!(forged("cookie", "a=12; HttpOnly; b=x=y"), "a=21; HttpOnly; b=y=x");
    }
}
