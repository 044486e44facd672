//! `GET /v1/events`: what happened, as a list or as a stream of server-sent events.
//!
//! The stream never ends by itself; it begins behind `Last-Event-ID` (or `?since=ID`), else with what happens from now on. Each event is
//! `id:`, `event:` and one `data:` line of JSON, and a comment now and then keeps proxies in between from closing an idle connection. When
//! the server stops, streams end at once: the client's next connection goes on behind the last number it saw.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use slotway_cluster::{
    events::{Event, EventId},
    view::{ErrorCode, ErrorView},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{answers::refuse, sources::Sources};

/// Events in one answer, and what is asked for when nothing is said.
const LIMIT_MAX: usize = 1000;
const LIMIT: usize = 100;

/// Streams at once: each holds a connection.
const FOLLOWERS_MAX: usize = 64;

/// Between two comments on a stream on which nothing happens.
const COMMENT_EVERY: Duration = Duration::from_secs(10);

/// What a stream needs of the server.
#[derive(Debug, Clone)]
pub(crate) struct Following {
    stopped: watch::Receiver<bool>,
    places: Arc<Semaphore>,
}

impl Following {
    pub(crate) fn new(stopped: watch::Receiver<bool>) -> Following {
        Following { stopped, places: Arc::new(Semaphore::new(FOLLOWERS_MAX)) }
    }
}

pub(crate) async fn events(
    State(sources): State<Arc<Sources>>,
    Extension(following): Extension<Following>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let since = match seen.or(value("since")).map(parse_id).transpose() {
        Ok(since) => since,
        Err(error) => return refuse(error),
    };
    let limit = match value("limit").map_or(Ok(LIMIT), str::parse::<usize>) {
        Ok(limit) => limit.min(LIMIT_MAX),
        Err(_) => {
            let error = ErrorView::new(ErrorCode::BadRequest, "expected limit as a number");
            return refuse(error.field("limit"));
        }
    };
    match value("format") {
        Some("json") => Json((sources.operations.events)(since, limit)).into_response(),
        None | Some("sse") => follow(&sources, following, since),
        Some(_) => refuse(ErrorView::new(ErrorCode::Invalid, "format is json or sse").field("format")),
    }
}

fn parse_id(text: &str) -> Result<EventId, ErrorView> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits).map(EventId);
    let message = || format!("expected the id of an event, found \"{text}\"");
    number.ok_or_else(|| ErrorView::new(ErrorCode::BadRequest, message()).field("since"))
}

fn follow(sources: &Arc<Sources>, following: Following, since: Option<EventId>) -> Response {
    let Ok(place) = Arc::clone(&following.places).try_acquire_owned() else {
        let message = format!("{FOLLOWERS_MAX} clients follow the events already");
        return refuse(ErrorView::new(ErrorCode::Unavailable, message));
    };
    let now = *sources.operations.last_event.borrow();
    let stream = Stream {
        sources: Arc::clone(sources),
        last: sources.operations.last_event.clone(),
        stopped: following.stopped,
        seen: since.unwrap_or(now),
        has_begun: false,
        _place: place,
    };
    let body = Body::new(Chunks { next: Box::pin(stream.next()) });
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

struct Stream {
    sources: Arc<Sources>,
    last: watch::Receiver<EventId>,
    stopped: watch::Receiver<bool>,
    seen: EventId,
    has_begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// What to write next, as soon as there is something; None: it ends.
    async fn next(mut self) -> Option<(Stream, Bytes)> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some((self, Bytes::from_static(b": events\n\n")));
        }
        loop {
            self.last.mark_unchanged();
            let view = (self.sources.operations.events)(Some(self.seen), LIMIT_MAX);
            if !view.events.is_empty() {
                self.seen = view.last_id;
                let text: String = view.events.iter().map(written).collect();
                return Some((self, text.into()));
            }
            let is_quiet = tokio::select! {
                changed = self.last.changed() => {
                    changed.ok()?;
                    false
                }
                _ = self.stopped.wait_for(|&stopped| stopped) => return None,
                () = tokio::time::sleep(COMMENT_EVERY) => true,
            };
            if is_quiet {
                return Some((self, Bytes::from_static(b":\n\n")));
            }
        }
    }
}

/// JSON has no line breaks, so that one `data:` line holds it.
fn written(event: &Event) -> String {
    let json = serde_json::to_string(event).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {json}\n\n", event.id.0, event.kind.name())
}

type NextChunk = Pin<Box<dyn Future<Output = Option<(Stream, Bytes)>> + Send>>;

/// A body made of one future after the other.
struct Chunks {
    next: NextChunk,
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Poll::Ready(next) = self.next.as_mut().poll(context) else { return Poll::Pending };
        let Some((stream, chunk)) = next else { return Poll::Ready(None) };
        self.next = Box::pin(stream.next());
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}
