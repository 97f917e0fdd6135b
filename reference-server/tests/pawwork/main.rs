//! The dialect `pawwork` over real sockets, against its dossier.

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../server/http.rs"]
mod http;

mod client;
mod ring;
mod sessions;
