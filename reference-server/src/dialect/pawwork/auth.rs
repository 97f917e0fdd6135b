//! The password: with one, every request needs Basic credentials, as in opencode; the user is `opencode`.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;

const USER: &str = "opencode";

/// Lets only those in who know the password.
pub(super) async fn guard(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let may = server.password.as_deref().is_none_or(|password| given.and_then(credentials).is_some_and(|told| told == expected(password)));
    if may {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"opencode\"")], "Unauthorized").into_response()
}

fn expected(password: &str) -> String {
    base64(format!("{USER}:{password}").as_bytes())
}

/// The encoded part of Basic credentials; the scheme's name has no case (RFC 9110, 11.1).
fn credentials(header: &str) -> Option<&str> {
    let (scheme, encoded) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| encoded.trim())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let all = chunk.iter().enumerate().fold(0_u32, |all, (at, byte)| all | u32::from(*byte) << (16 - 8 * at));
        for digit in 0..4 {
            let shown = digit <= chunk.len();
            text.push(if shown { char::from(DIGITS[(all >> (18 - 6 * digit)) as usize & 63]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_as_rfc_7617_writes_them() {
        assert_eq!(base64(b"Aladdin:open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!((base64(b""), base64(b"a"), base64(b"abc")), (String::new(), "YQ==".to_owned(), "YWJj".to_owned()));
        assert_eq!(credentials("basic YQ=="), Some("YQ=="));
        assert_eq!((credentials("Bearer YQ=="), credentials("Basic")), (None, None));
    }
}
