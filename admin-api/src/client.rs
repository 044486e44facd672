//! A small HTTP client: one request, one answer, a deadline. For `slotway ctl`, `slotway up` and tests.

use std::{fmt, io, time::Duration};

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::Instant};

/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where to ask and as whom.
#[derive(Clone)]
pub struct Client {
    /// `host:port`
    authority: String,
    token: Option<String>,
    patience: Duration,
}

/// What came back, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Where what was begun is found.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    pub method: &'r str,
    /// With its query, percent-encoded.
    pub path: &'r str,
    pub headers: &'r [(&'r str, String)],
    pub body: &'r [u8],
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Not `http://host:port`.
    BadUrl(String),
    /// Nobody was reached.
    Connect {
        authority: String,
        source: io::Error,
    },
    Timeout {
        authority: String,
        patience: Duration,
    },
    /// Reached, but what came back is no HTTP, or the connection broke.
    Broken {
        authority: String,
        why: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::BadUrl(url) => {
                write!(f, "expected a URL like http://127.0.0.1:8080, found \"{url}\"")
            }
            ClientError::Connect { authority, source } => write!(f, "cannot reach {authority}: {source}"),
            ClientError::Timeout { authority, patience } => {
                write!(f, "no answer from {authority} within {} s", patience.as_secs_f32())
            }
            ClientError::Broken { authority, why } => {
                write!(f, "{authority} does not answer as the admin API: {why}")
            }
        }
    }
}

impl std::error::Error for ClientError {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Client {
    /// `url` is `http://host:port`, or just `host:port`. Each answer may take `patience`.
    pub fn new(url: &str, token: Option<String>, patience: Duration) -> Result<Client, ClientError> {
        let bad = || ClientError::BadUrl(url.to_owned());
        let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let uri: hyper::Uri = format!("http://{rest}").parse().map_err(|_| bad())?;
        let host = uri.host().filter(|host| !host.is_empty() && uri.path() == "/").ok_or_else(bad)?;
        let authority = match (rest == host, uri.port_u16()) {
            (true, _) => format!("{host}:80"),
            (false, Some(port)) if rest == format!("{host}:{port}") => rest.to_owned(),
            (false, _) => return Err(bad()),
        };
        Ok(Client { authority, token, patience })
    }

    /// `path` with its query, percent-encoded.
    pub async fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.send(&Request { method: "GET", path, headers: &[], body: &[] }).await
    }

    pub async fn send(&self, request: &Request<'_>) -> Result<Answer, ClientError> {
        let deadline = Instant::now() + self.patience;
        match tokio::time::timeout_at(deadline, self.send_with_patience(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(ClientError::Timeout { authority: self.authority.clone(), patience: self.patience })
            }
        }
    }

    async fn send_with_patience(&self, asked: &Request<'_>) -> Result<Answer, ClientError> {
        let broken = |why: &dyn fmt::Display| ClientError::Broken {
            authority: self.authority.clone(),
            why: why.to_string(),
        };
        let stream = TcpStream::connect(self.authority.as_str())
            .await
            .map_err(|source| ClientError::Connect { authority: self.authority.clone(), source })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // The connection does its reading and writing in a task that ends with this call.
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let mut request = hyper::Request::builder()
            .method(asked.method)
            .uri(asked.path)
            .header(header::HOST, &self.authority)
            .header(header::CONNECTION, "close");
        for (name, value) in asked.headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = Full::new(Bytes::copy_from_slice(asked.body));
        let request = request.body(body).map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|place| place.to_str().ok()).map(str::to_owned);
        let body =
            Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| broken(&e))?;
        Ok(Answer { status, location, body: body.to_bytes().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(url: &str) -> Option<String> {
        Client::new(url, None, Duration::from_secs(1)).ok().map(|client| client.authority)
    }

    #[test]
    fn an_address_may_be_given_with_or_without_scheme() {
        assert_eq!(authority("http://127.0.0.1:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(authority("http://localhost:8080/").as_deref(), Some("localhost:8080"));
        assert_eq!(authority("localhost:99").as_deref(), Some("localhost:99"));
        assert_eq!(authority("http://[::1]:99").as_deref(), Some("[::1]:99"));
        assert_eq!(authority("http://host").as_deref(), Some("host:80"));
        for bad in ["", "https://host:1", "http://", "http://host:1/path", "http://host:port", "a b"] {
            assert_eq!(authority(bad), None, "{bad}");
        }
    }
}
