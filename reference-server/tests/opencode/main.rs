//! The dialect `opencode` over real sockets, against its dossier.

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../server/http.rs"]
mod http;

mod client;
mod logs;
mod streams;
mod turns;
