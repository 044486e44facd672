//! Every path that is answered, and the routers made of them.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::Uri,
    middleware,
    response::Response,
    routing::{MethodRouter, delete, get, post},
};
use slotway_cluster::view::{ErrorCode, ErrorView};

use crate::{
    access::{self, Access},
    answers, events, metrics, orders,
    sources::{NodeSources, Sources},
};

/// One path of the API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    pub path: &'static str,
    /// One line for people.
    pub meaning: &'static str,
    /// Whether it is answered without the token: a load balancer or a browser's first request brings none.
    pub open: bool,
}

/// Every path that a proxy answers by GET.
pub const ROUTES: &[Route] = &[
    Route { path: "/", meaning: "a page that shows the cluster", open: true },
    Route { path: "/healthz", meaning: "200 while the process answers", open: true },
    Route { path: "/metrics", meaning: "metrics for Prometheus", open: false },
    Route { path: "/page.css", meaning: "of the page", open: true },
    Route { path: "/page.js", meaning: "of the page", open: true },
    Route { path: "/readyz", meaning: "200 once every slot is served, else 503", open: true },
    Route { path: "/v1/cluster", meaning: "the cluster in one object", open: false },
    Route { path: "/v1/events", meaning: "what happened, as a stream; ?format=json for a list", open: false },
    Route { path: "/v1/jobs", meaning: "orders of operators and what became of them", open: false },
    Route { path: "/v1/jobs/{id}", meaning: "one of them", open: false },
    Route { path: "/v1/keys/{key}/slot", meaning: "where a key lives; ?db=0", open: false },
    Route { path: "/v1/nodes", meaning: "storage nodes", open: false },
    Route { path: "/v1/proxies", meaning: "proxies", open: false },
    Route { path: "/v1/shards", meaning: "shards", open: false },
    Route { path: "/v1/slots", meaning: "who holds which slots", open: false },
    Route { path: "/v1/slots/{n}", meaning: "one slot, counted by its node", open: false },
];

/// Something that a request may have done.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    pub method: &'static str,
    pub path: &'static str,
    /// One line for people.
    pub meaning: &'static str,
}

/// Every order that a proxy takes, or passes on to the leader. None without the token.
pub const ACTIONS: &[Action] = &[
    Action { method: "DELETE", path: "/v1/jobs/{id}", meaning: "call a job off" },
    Action { method: "POST", path: "/v1/nodes", meaning: "give a shard another replica" },
    Action { method: "DELETE", path: "/v1/nodes/{id}", meaning: "take a replica out of its shard" },
    Action {
        method: "POST",
        path: "/v1/shards/{id}/failover",
        meaning: "replace a primary that does not answer",
    },
    Action { method: "POST", path: "/v1/shards/{id}/switchover", meaning: "another primary, without a loss" },
];

/// The paths of [`ROUTES`] that a node answers too.
const NODE_PATHS: &[&str] = &["/healthz", "/metrics", "/readyz"];

/// A set of routes, ready to be served.
#[derive(Debug, Clone)]
pub struct Api(pub(crate) Router);

impl Api {
    /// The whole API.
    pub fn of_proxy(sources: Sources, access: Access) -> Api {
        metrics::register_process(&sources.registry);
        let mut router = Router::new();
        for route in ROUTES {
            router = router.route(route.path, proxy_route(route.path));
        }
        for action in ACTIONS {
            router = router.route(action.path, proxy_action(action.method, action.path));
        }
        // An empty key is a key, but an empty path segment matches no `{key}`.
        router = router.route("/v1/keys//slot", get(answers::key_slot));
        Api(finish(router, access).with_state(Arc::new(sources)))
    }

    /// Health and metrics of one node.
    pub fn of_node(sources: NodeSources, access: Access) -> Api {
        metrics::register_process(&sources.registry);
        let ready =
            |State(sources): State<Arc<NodeSources>>| async move { answers::readiness((sources.ready)()) };
        let scrape =
            |State(sources): State<Arc<NodeSources>>| async move { metrics::encode(&sources.registry) };
        let mut router = Router::new();
        for &path in NODE_PATHS {
            let method = match path {
                "/readyz" => get(ready),
                "/metrics" => get(scrape),
                _ => get(answers::health),
            };
            router = router.route(path, method);
        }
        Api(finish(router, access).with_state(Arc::new(sources)))
    }
}

fn proxy_route(path: &str) -> MethodRouter<Arc<Sources>> {
    match path {
        "/" => get(answers::page),
        "/page.css" => get(answers::page_css),
        "/page.js" => get(answers::page_js),
        "/healthz" => get(answers::health),
        "/readyz" => get(answers::ready),
        "/metrics" => get(answers::scrape),
        "/v1/cluster" => get(answers::cluster),
        "/v1/shards" => get(answers::shards),
        "/v1/nodes" => get(answers::nodes),
        "/v1/slots" => get(answers::slots),
        "/v1/slots/{n}" => get(answers::slot),
        "/v1/keys/{key}/slot" => get(answers::key_slot),
        "/v1/proxies" => get(answers::proxies),
        "/v1/events" => get(events::events),
        "/v1/jobs" => get(orders::jobs),
        "/v1/jobs/{id}" => get(orders::job),
        other => unreachable!("{other} is in ROUTES without an answer"),
    }
}

fn proxy_action(method: &str, path: &str) -> MethodRouter<Arc<Sources>> {
    match (method, path) {
        ("DELETE", "/v1/jobs/{id}") => delete(orders::job),
        ("DELETE", _) => delete(orders::order),
        ("POST", _) => post(orders::order),
        (other, _) => unreachable!("{other} is in ACTIONS without an answer"),
    }
}

/// What every router has: errors in the API's own shape, the token, limits.
fn finish<S: Clone + Send + Sync + 'static>(router: Router<S>, access: Access) -> Router<S> {
    let access = Arc::new(access);
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(access.body_bytes_max))
        .layer(middleware::from_fn_with_state(Arc::clone(&access), access::limit_body))
        .layer(middleware::from_fn_with_state(access, access::check_token))
        .layer(middleware::map_response(access::harden))
}

async fn not_found(uri: Uri) -> Response {
    let message = format!("there is no {}", uri.path());
    let error = ErrorView::new(ErrorCode::NotFound, message).hint("the page / shows what there is");
    answers::refuse(error)
}

async fn method_not_allowed() -> Response {
    answers::refuse(ErrorView::new(ErrorCode::MethodNotAllowed, "this path does not answer this method"))
}
