//! The dialect `dispatch` over real sockets, against its dossier.

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../server/http.rs"]
mod http;
#[path = "../hermes/provider.rs"]
mod provider;

mod client;
mod turns;
