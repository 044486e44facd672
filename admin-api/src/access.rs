//! Who may ask and how much: the bearer token, the size of a body, and headers that keep a browser careful.

use std::{fmt, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use slotway_cluster::view::{ErrorCode, ErrorView};

use crate::{answers, routes::ROUTES};

/// Who may ask, and how much at once.
#[derive(Debug)]
pub struct Access {
    /// With a token only the open routes answer without it.
    pub token: Option<Token>,
    /// Bytes of a request's body that are read at most (`admin-body-bytes-max`).
    pub body_bytes_max: usize,
}

/// The secret word of `Authorization: Bearer ...`. Never printed.
pub struct Token(Vec<u8>);

impl Token {
    /// None when there is nothing but white space: an empty token would let everybody in.
    pub fn new(text: &str) -> Option<Token> {
        let word = text.trim();
        (!word.is_empty()).then(|| Token(word.as_bytes().to_vec()))
    }

    /// Looks at every byte, so that the time it takes does not tell how many were right.
    fn matches(&self, given: &[u8]) -> bool {
        let differences = self.0.iter().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
        differences == 0 && self.0.len() == given.len()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

pub(crate) async fn check_token(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let Some(token) = &access.token else { return next.run(request).await };
    // Open routes have no parameters: their rows are their paths.
    let path = request.uri().path();
    let open = ROUTES.iter().any(|route| route.open && route.path == path);
    let given = bearer(request.headers());
    match given {
        _ if open => next.run(request).await,
        Some(word) if token.matches(word) => next.run(request).await,
        Some(_) => {
            answers::refuse(ErrorView::new(ErrorCode::Unauthorized, "the token is not the one expected here"))
        }
        None => answers::refuse(
            ErrorView::new(ErrorCode::Unauthorized, "a token is needed")
                .hint("send Authorization: Bearer TOKEN; ctl takes --token-file"),
        ),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, word) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| word.trim_ascii())
}

/// Refuses an announced body that is too large before a byte of it is read. (One that lies, or announces nothing, meets
/// the same limit where it is read.)
pub(crate) async fn limit_body(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let announced: usize = announced.unwrap_or(0);
    let most = access.body_bytes_max;
    if announced > most {
        let message = format!("a body of {announced} bytes is more than the {most} taken here");
        return answers::refuse(ErrorView::new(ErrorCode::TooLarge, message));
    }
    next.run(request).await
}

/// Nothing here may be cached, framed, guessed to be another type, or load anything from elsewhere.
pub(crate) async fn harden(mut response: Response) -> Response {
    let rows = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'self'; frame-ancestors 'none'"),
    ];
    for (name, value) in rows {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
