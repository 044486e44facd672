//! Orders of an operator: a request becomes an [`Order`], a job or its refusal becomes an answer.
//!
//! Only the leader takes orders and knows of jobs. Another proxy passes the request on as it came, once, and hands back what it is answered.
//! `?wait=SECONDS` keeps the answer back until the job has ended.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, de::DeserializeOwned};
use slotway_cluster::{
    NodeId, ShardId,
    jobs::{Job, Order, Refusal},
    view::{ErrorCode, ErrorView},
};
use tokio::time::Instant;

use crate::{
    answers::refuse,
    client::{Client, Request},
    sources::Sources,
};

/// A client that waits for longer asks again.
const WAIT_SECONDS_MAX: u64 = 60;

/// What another proxy may take beyond the wait.
const FORWARD_PATIENCE: Duration = Duration::from_secs(5);

/// An `Idempotency-Key` is a name, no text.
const KEY_BYTES_MAX: usize = 256;

/// Says that another proxy passed the request on: it goes no further.
const FORWARDED: &str = "slotway-forwarded";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchoverBody {
    #[serde(default)]
    to: Option<NodeId>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailoverBody {
    #[serde(default)]
    to: Option<NodeId>,
    #[serde(default)]
    accept_data_loss: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeBody {
    addr: String,
    shard: ShardId,
}

/// A request that only the leader answers, as it came.
struct Asked<'r> {
    method: &'r Method,
    uri: &'r Uri,
    headers: &'r HeaderMap,
    body: &'r [u8],
}

pub(crate) async fn order(
    State(sources): State<Arc<Sources>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(body) = body else {
        return refuse(ErrorView::new(ErrorCode::TooLarge, "the body is larger than what is taken here"));
    };
    let parsed = parse(&method, uri.path(), &body)
        .and_then(|order| Ok((order, key_of(&headers)?, wait_of(uri.query().unwrap_or_default())?)));
    let (order, key, wait) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return refuse(error),
    };
    let asked = Asked { method: &method, uri: &uri, headers: &headers, body: &body };
    match (sources.operations.order)(order, key) {
        Ok(job) => ended(&sources, job, wait).await,
        Err(refusal) => elsewhere(refusal, &asked, wait).await,
    }
}

pub(crate) async fn jobs(State(sources): State<Arc<Sources>>, uri: Uri, headers: HeaderMap) -> Response {
    let asked = Asked { method: &Method::GET, uri: &uri, headers: &headers, body: &[] };
    match (sources.operations.jobs)() {
        Ok(view) => Json(view).into_response(),
        Err(refusal) => elsewhere(refusal, &asked, Duration::ZERO).await,
    }
}

/// `GET` shows a job, `DELETE` calls it off.
pub(crate) async fn job(
    State(sources): State<Arc<Sources>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let id = uri.path().rsplit('/').next().unwrap_or_default();
    let found = match method {
        Method::DELETE => (sources.operations.cancel)(id),
        _ => (sources.operations.job)(id),
    };
    match found {
        Ok(job) => Json(job).into_response(),
        Err(refusal) => {
            let asked = Asked { method: &method, uri: &uri, headers: &headers, body: &[] };
            elsewhere(refusal, &asked, Duration::ZERO).await
        }
    }
}

/// `POST /v1/nodes`, `DELETE /v1/nodes/{id}`, `POST /v1/shards/{id}/switchover` and `POST /v1/shards/{id}/failover`.
fn parse(method: &Method, path: &str, body: &[u8]) -> Result<Order, ErrorView> {
    if path == "/v1/nodes" {
        let NodeBody { addr, shard } = read(body)?;
        return Ok(Order::AddNode { addr, shard });
    }
    if let (&Method::DELETE, Some(node)) = (method, path.strip_prefix("/v1/nodes/")) {
        return Ok(Order::RemoveNode { node: NodeId(node.to_owned()) });
    }
    let rest = path.strip_prefix("/v1/shards/").unwrap_or_default();
    let (shard, deed) = rest.split_once('/').unwrap_or_default();
    let digits = !shard.is_empty() && shard.bytes().all(|byte| byte.is_ascii_digit());
    let shard = shard.parse().ok().filter(|_| digits).map(ShardId).ok_or_else(|| {
        let message = format!("expected the number of a shard, found \"{shard}\"");
        ErrorView::new(ErrorCode::BadRequest, message).field("shard")
    })?;
    if deed == "switchover" {
        let SwitchoverBody { to } = read(body)?;
        return Ok(Order::Switchover { shard, to });
    }
    let FailoverBody { to, accept_data_loss } = read(body)?;
    if to.is_some() {
        let message = "a failover promotes whoever holds most";
        return Err(ErrorView::new(ErrorCode::Invalid, message)
            .hint("a switchover takes a node to promote")
            .field("to"));
    }
    Ok(Order::Failover { shard, accept_data_loss })
}

/// No body says what an empty object does.
fn read<B: DeserializeOwned>(body: &[u8]) -> Result<B, ErrorView> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ErrorView::new(ErrorCode::BadRequest, format!("the body: {error}")))
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, ErrorView> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX);
    let message = || format!("an Idempotency-Key has 1 to {KEY_BYTES_MAX} printable characters");
    let key = key.ok_or_else(|| ErrorView::new(ErrorCode::BadRequest, message()).field("Idempotency-Key"))?;
    Ok(Some(key.to_owned()))
}

/// `wait` of `?wait=5`; not at all when it is not given.
fn wait_of(query: &str) -> Result<Duration, ErrorView> {
    let given = query.split('&').find_map(|pair| pair.strip_prefix("wait=")).unwrap_or("0");
    let seconds: Option<u64> = given.parse().ok();
    let seconds = seconds.ok_or_else(|| {
        let message = format!("expected seconds to wait, found \"{given}\"");
        ErrorView::new(ErrorCode::BadRequest, message).field("wait")
    })?;
    Ok(Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)))
}

/// The job, as it is when it has ended or the wait is over.
async fn ended(sources: &Sources, mut job: Job, wait: Duration) -> Response {
    let deadline = Instant::now() + wait;
    let mut changes = sources.operations.job_changes.clone();
    while !job.has_ended() {
        changes.mark_unchanged();
        match (sources.operations.job)(&job.id) {
            Ok(now) => job = now,
            // This proxy leads no longer.
            Err(_) => break,
        }
        if job.has_ended()
            || !matches!(tokio::time::timeout_at(deadline, changes.changed()).await, Ok(Ok(())))
        {
            break;
        }
    }
    let status = if job.has_ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let place = HeaderValue::from_str(&format!("/v1/jobs/{}", job.id));
    let mut response = (status, Json(job)).into_response();
    if let Ok(place) = place.as_ref()
        && status == StatusCode::ACCEPTED
    {
        response.headers_mut().insert(header::LOCATION, place.clone());
    }
    response
}

/// The refusal; or what the leader answers.
async fn elsewhere(refusal: Refusal, asked: &Asked<'_>, wait: Duration) -> Response {
    let admin_addr = match refusal {
        Refusal::Here(error) => return refuse(*error),
        Refusal::Elsewhere { admin_addr } => admin_addr,
    };
    if asked.headers.contains_key(FORWARDED) {
        let error = ErrorView::new(ErrorCode::Unavailable, "the leader is changing");
        return refuse(error.hint("try again"));
    }
    match forward(&admin_addr, asked, wait).await {
        Ok(response) => response,
        Err(why) => {
            let message = format!("the proxy that leads does not answer: {why}");
            refuse(
                ErrorView::new(ErrorCode::Unavailable, message)
                    .hint("try again with the same Idempotency-Key"),
            )
        }
    }
}

async fn forward(admin_addr: &str, asked: &Asked<'_>, wait: Duration) -> Result<Response, String> {
    let client = Client::new(admin_addr, None, wait + FORWARD_PATIENCE).map_err(|error| error.to_string())?;
    let mut headers = vec![(FORWARDED, "1".to_owned())];
    for name in ["authorization", "idempotency-key"] {
        if let Some(value) = asked.headers.get(name).and_then(|value| value.to_str().ok()) {
            headers.push((name, value.to_owned()));
        }
    }
    let path = asked.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request { method: asked.method.as_str(), path, headers: &headers, body: asked.body };
    let answer = client.send(&request).await.map_err(|error| error.to_string())?;
    let status = StatusCode::from_u16(answer.status).map_err(|error| error.to_string())?;
    let json = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (status, json, answer.body).into_response();
    if let Some(place) = answer.location.and_then(|place| HeaderValue::from_str(&place).ok()) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, body: &str, expected: Result<Order, ErrorCode>) {
        let found = parse(&Method::POST, path, body.as_bytes()).map_err(|error| error.code);
        assert_eq!(found, expected, "{path} {body}");
    }

    #[test]
    fn nodes_are_added_by_address_and_removed_by_name() {
        let added = Order::AddNode { addr: "h:7".into(), shard: ShardId(2) };
        check("/v1/nodes", r#"{"addr":"h:7","shard":2}"#, Ok(added));
        for body in ["", "{}", r#"{"addr":"h:7"}"#, r#"{"addr":7,"shard":1}"#, r#"{"addr":"h:7","shard":-1}"#]
        {
            check("/v1/nodes", body, Err(ErrorCode::BadRequest));
        }
        let removed = Order::RemoveNode { node: NodeId("n4".into()) };
        assert_eq!(parse(&Method::DELETE, "/v1/nodes/n4", b""), Ok(removed));
    }

    #[test]
    fn a_path_and_a_body_are_an_order() {
        let (shard, to) = (ShardId(2), Some(NodeId("n4".into())));
        check("/v1/shards/2/switchover", "", Ok(Order::Switchover { shard, to: None }));
        check("/v1/shards/2/switchover", r#"{"to":null}"#, Ok(Order::Switchover { shard, to: None }));
        check("/v1/shards/2/switchover", r#"{"to":"n4"}"#, Ok(Order::Switchover { shard, to }));
        check("/v1/shards/2/failover", "{}", Ok(Order::Failover { shard, accept_data_loss: false }));
        let lossy = r#"{"to":null,"accept_data_loss":true}"#;
        check("/v1/shards/2/failover", lossy, Ok(Order::Failover { shard, accept_data_loss: true }));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        check("/v1/shards/2/failover", r#"{"to":"n4"}"#, Err(ErrorCode::Invalid));
        for (path, body) in [
            ("/v1/shards/two/failover", ""),
            ("/v1/shards/+2/failover", ""),
            ("/v1/shards/99999999999/failover", ""),
            ("/v1/shards/2/failover", "nonsense"),
            ("/v1/shards/2/failover", r#"{"accept_data_loss":"yes"}"#),
            ("/v1/shards/2/failover", r#"{"acept_data_loss":true}"#),
            ("/v1/shards/2/switchover", "{\"to\":\"\u{0}"),
        ] {
            check(path, body, Err(ErrorCode::BadRequest));
        }
    }

    #[test]
    fn a_wait_is_seconds_and_has_an_end() {
        assert_eq!(wait_of("").unwrap(), Duration::ZERO);
        assert_eq!(wait_of("a=1&wait=5").unwrap(), Duration::from_secs(5));
        assert_eq!(wait_of("wait=100000").unwrap(), Duration::from_secs(WAIT_SECONDS_MAX));
        assert_eq!(wait_of("wait=soon").unwrap_err().field.as_deref(), Some("wait"));
    }
}
