//! The dialect `hermes` over real sockets, against its dossier.

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../server/http.rs"]
mod http;

mod access;
mod bugs;
mod client;
mod crash;
mod files;
mod provider;
mod runs;
mod sessions;
