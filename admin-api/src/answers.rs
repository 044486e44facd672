//! One function per route: take the parameters apart, build the view, write it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use slotway_cluster::view::{ErrorBody, ErrorCode, ErrorView, build};

use crate::{metrics, path, sources::Sources};

type From = State<Arc<Sources>>;

pub(crate) async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], include_str!("page/page.html")).into_response()
}

pub(crate) async fn page_css() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page/page.css")).into_response()
}

pub(crate) async fn page_js() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page/page.js")).into_response()
}

pub(crate) async fn health() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(sources): From) -> Response {
    readiness(build::is_ready(&(sources.topology)(), &(sources.observations)()))
}

pub(crate) async fn scrape(State(sources): From) -> Response {
    metrics::encode(&sources.registry)
}

pub(crate) async fn cluster(State(sources): From) -> Response {
    Json(build::cluster(&(sources.topology)(), &(sources.observations)())).into_response()
}

pub(crate) async fn shards(State(sources): From) -> Response {
    Json(build::shards(&(sources.topology)(), &(sources.observations)())).into_response()
}

pub(crate) async fn nodes(State(sources): From) -> Response {
    Json(build::nodes(&(sources.topology)(), &(sources.observations)())).into_response()
}

pub(crate) async fn slots(State(sources): From) -> Response {
    Json(build::slots(&(sources.topology)())).into_response()
}

pub(crate) async fn slot(State(sources): From, uri: Uri) -> Response {
    let number = uri.path().rsplit('/').next().unwrap_or_default();
    match path::slot(number) {
        Err(error) => refuse(error),
        Ok(slot) => {
            let count = (sources.count_slot)(slot).await;
            Json(build::slot(&(sources.topology)(), slot, count)).into_response()
        }
    }
}

/// The key is taken from the path as it was sent: decoded as text it could not be any bytes.
pub(crate) async fn key_slot(State(sources): From, uri: Uri, RawQuery(query): RawQuery) -> Response {
    let segment = uri.path().strip_prefix("/v1/keys/").and_then(|rest| rest.strip_suffix("/slot"));
    let key = path::key(segment.unwrap_or_default());
    let asked = key.and_then(|key| Ok((key, path::database(query.as_deref().unwrap_or_default())?)));
    match asked {
        Err(error) => refuse(error),
        Ok((key, db)) => Json(build::key_slot(&(sources.topology)(), db, &key)).into_response(),
    }
}

pub(crate) async fn proxies(State(sources): From) -> Response {
    Json(build::proxies(&(sources.topology)(), &(sources.observations)())).into_response()
}

pub(crate) fn readiness(ready: bool) -> Response {
    match ready {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready: a slot is not served\n").into_response(),
    }
}

/// An error in the API's shape.
pub(crate) fn refuse(error: ErrorView) -> Response {
    let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(&ErrorBody { error: error.clone() })).into_response();
    if error.code == ErrorCode::Unauthorized {
        let bearer = header::HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    }
    response
}
