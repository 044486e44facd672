//! The API over real sockets, in front of a made-up cluster.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::Duration,
};

use prometheus::Registry;
use serde_json::Value;
use slotway_cluster::{
    Database, Epoch, NodeId, ProxyId, ShardId, SlotRange, Topology,
    events::{EventId, Events, of_leader},
    jobs::{Job, JobsView, Order, Refusal},
    slot::Placement,
    topology::{Kind, Node, Shard},
    view::{ErrorCode, ErrorView, Health, NodeObservation, Observations, SlotCount},
};

use super::{
    ACTIONS, Access, Api, NodeSources, Operations, ROUTES, Server, Sources, Token,
    client::{Client, Request},
};

use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(10);

fn open() -> Access {
    Access { token: None, body_bytes_max: 1 << 20 }
}

fn topology() -> Topology {
    let node =
        |i: u32| Node { id: NodeId(format!("n{i}")), addr: format!("127.0.0.1:{i}"), admin_addr: None };
    let shard = |(i, range): (u32, SlotRange)| Shard {
        id: ShardId(i),
        kind: Kind::Slotway,
        epoch: Epoch(1),
        primary: node(i).id,
        replicas: vec![],
        slots: vec![range],
    };
    Topology {
        version: 1,
        cluster_id: "c".repeat(40),
        placement: Placement::default(),
        shards: (1..).zip(SlotRange::equal(2)).map(shard).collect(),
        nodes: vec![node(1), node(2)],
        proxies: vec![],
    }
}

/// A cluster of which the first `up` nodes are up.
fn sources(up: u32) -> Sources {
    let topology = Arc::new(topology());
    let mut seen = Observations::default();
    for i in 1..=up {
        seen.nodes.insert(NodeId(format!("n{i}")), NodeObservation::only(Health::Up));
    }
    Sources {
        topology: Arc::new(move || Arc::clone(&topology)),
        observations: Arc::new(move || seen.clone()),
        count_slot: Arc::new(|slot| {
            let databases = [(Database(0), u64::from(slot.number()))].into();
            Box::pin(async move { Some(SlotCount { databases, bytes: None }) })
        }),
        operations: operations(),
        registry: Registry::new(),
    }
}

const JOB: &str = r#"{"id":"j1","kind":"switchover","shard":1,"state":"running","from":"n1","to":null,"epoch":null,
    "pause_ms":null,"migrations":[],"created_ms":1,"ended_ms":null,"error":null}"#;

/// A leader with one job, which never ends; shard 9 is led elsewhere, where nobody answers.
fn operations() -> Operations {
    let job = || serde_json::from_str::<Job>(JOB).unwrap();
    let found = move |id: &str| match id {
        "j1" => Ok(job()),
        _ => Err(ErrorView::new(ErrorCode::NotFound, "there is no such job").into()),
    };
    let events = Arc::new(Mutex::new(Events::default()));
    let (changes, job_changes) = watch::channel(0);
    let (last, last_event) = watch::channel(EventId(1000));
    events.lock().unwrap().tell(of_leader(&ProxyId("p1".into())), 1);
    Operations {
        // It keeps the senders: a list that lives on may change yet.
        order: Arc::new(move |order, _| match (order, &changes, &last) {
            (Order::Failover { shard: ShardId(9), .. }, ..) => {
                Err(Refusal::Elsewhere { admin_addr: "127.0.0.1:1".into() })
            }
            _ => Ok(job()),
        }),
        jobs: Arc::new(move || Ok(JobsView { jobs: vec![job()] })),
        job: Arc::new(found),
        cancel: Arc::new(found),
        job_changes,
        events: Arc::new(move |since, limit| events.lock().unwrap().view(since, limit)),
        last_event,
    }
}

struct Fixture {
    server: Server,
    url: String,
}

impl Fixture {
    fn start(api: Api) -> Fixture {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(vec![socket], api).unwrap();
        let url = format!("http://{}", server.addresses()[0]);
        Fixture { server, url }
    }

    async fn post(&self, headers: &[(&str, String)], path: &str, body: &str) -> (u16, Option<String>, Value) {
        let client = Client::new(&self.url, None, PATIENCE).unwrap();
        let request = Request { method: "POST", path, headers, body: body.as_bytes() };
        let answer = client.send(&request).await.unwrap();
        (answer.status, answer.location, serde_json::from_slice(&answer.body).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.get_as(None, path).await
    }

    async fn get_as(&self, token: Option<&str>, path: &str) -> (u16, String) {
        let client = Client::new(&self.url, token.map(str::to_owned), PATIENCE).unwrap();
        let answer = client.get(path).await.unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    /// Sends bytes as they are and reads to the end.
    async fn raw(&self, request: String) -> String {
        let address = self.server.addresses()[0];
        let exchange = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        tokio::task::spawn_blocking(exchange).await.unwrap()
    }

    async fn check_error(&self, path: &str, status: u16, code: &str, field: Value) {
        let (found, body) = self.get(path).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(found, status, "{path}: {body}");
        assert_eq!(body["error"]["code"], code, "{path}");
        assert_eq!(body["error"]["field"], field, "{path}");
        for name in ["message", "hint", "job"] {
            assert!(body["error"].get(name).is_some(), "{path}: {name} is absent");
        }
    }
}

/// A path of the table with something in each of its parts.
fn concrete(path: &str) -> String {
    let path = path.replace("{key}", "foo").replace("{n}", "7").replace("{id}", "j1");
    if path == "/v1/events" { "/v1/events?format=json".into() } else { path }
}

#[tokio::test]
async fn every_route_of_the_table_is_answered() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    for route in ROUTES {
        let path = concrete(route.path);
        let (status, body) = fixture.get(&path).await;
        assert_eq!(status, 200, "{path}: {body}");
        if path.starts_with("/v1/") {
            assert!(serde_json::from_str::<Value>(&body).unwrap().is_object(), "{path}");
        }
    }
}

#[test]
fn the_table_of_routes_is_sorted_and_each_has_a_meaning() {
    assert!(ROUTES.is_sorted_by(|a, b| a.path < b.path));
    assert!(ROUTES.iter().all(|route| !route.meaning.is_empty()));
}

#[tokio::test]
async fn a_slot_is_counted_by_its_node() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    let body: Value = serde_json::from_str(&fixture.get("/v1/slots/9000").await.1).unwrap();
    assert_eq!(body["node"], "n2");
    assert_eq!(body["databases"]["0"], 9000);
    assert_eq!(body["bytes"], Value::Null);
}

#[tokio::test]
async fn keys_of_any_bytes_are_found() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    for (path, key, slot) in [
        ("/v1/keys/foo/slot", "foo", 12182),
        ("/v1/keys/a%2Fb%2Fslot/slot", "a/b/slot", 0),
        ("/v1/keys//slot", "", 0),
        ("/v1/keys/%FF%00/slot", "%FF%00", 0),
        ("/v1/keys/foo/slot?db=1", "foo", 10126),
    ] {
        let (status, body) = fixture.get(path).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["key"]), (200, &Value::from(key)), "{path}");
        if slot != 0 {
            assert_eq!(body["slot"], slot, "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    fixture.check_error("/v1/slots/16384", 422, "invalid", "slot".into()).await;
    fixture.check_error("/v1/slots/seven", 400, "bad_request", "slot".into()).await;
    fixture.check_error("/v1/keys/a%zz/slot", 400, "bad_request", "key".into()).await;
    fixture.check_error("/v1/keys/a/slot?db=16", 422, "invalid", "db".into()).await;
    fixture.check_error("/v1/nonsense", 404, "not_found", Value::Null).await;
    fixture.check_error("/v1/cluster/", 404, "not_found", Value::Null).await;
}

#[tokio::test]
async fn another_method_is_refused_and_a_large_body_is_not_read() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    let answer =
        fixture.raw("DELETE /v1/cluster HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into()).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nallow: get"), "{answer}");
    assert!(answer.contains(r#""code":"method_not_allowed""#), "{answer}");
    let large =
        "POST /v1/cluster HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 99999999\r\n\r\n";
    let answer = fixture.raw(large.into()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = fixture.raw("PING\r\n\r\n".into()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn ready_means_that_every_slot_is_served() {
    let half = Fixture::start(Api::of_proxy(sources(1), open()));
    assert_eq!(half.get("/readyz").await.0, 503);
    assert_eq!(half.get("/healthz").await.0, 200);
    let whole = Fixture::start(Api::of_proxy(sources(2), open()));
    assert_eq!(whole.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_token_guards_all_but_the_open_routes() {
    let fixture =
        Fixture::start(Api::of_proxy(sources(2), Access { token: Token::new(" s3cret\n"), ..open() }));
    for route in ROUTES {
        let path = concrete(route.path);
        let expected = if route.open { 200 } else { 401 };
        assert_eq!(fixture.get(&path).await.0, expected, "{path}");
        assert_eq!(fixture.get_as(Some("wrong!"), &path).await.0, expected, "{path}");
        assert_eq!(fixture.get_as(Some("s3cret"), &path).await.0, 200, "{path}");
    }
    assert_eq!(fixture.get("/v1/nonsense").await.0, 401, "what exists is not told either");
    assert!(Token::new(" \n").is_none());
}

#[tokio::test]
async fn a_node_answers_health_and_metrics_only() {
    let sources = NodeSources { ready: Arc::new(|| false), registry: Registry::new() };
    let fixture = Fixture::start(Api::of_node(sources, open()));
    assert_eq!(fixture.get("/healthz").await.0, 200);
    assert_eq!(fixture.get("/readyz").await.0, 503);
    assert_eq!(fixture.get("/metrics").await.0, 200);
    assert_eq!(fixture.get("/v1/cluster").await.0, 404);
}

#[tokio::test]
async fn metrics_are_of_the_registry_and_of_the_process() {
    let sources = sources(2);
    let counter = prometheus::IntCounter::new("slotway_test_total", "A counter.").unwrap();
    sources.registry.register(Box::new(counter.clone())).unwrap();
    counter.inc_by(7);
    let fixture = Fixture::start(Api::of_proxy(sources, open()));
    let (_, text) = fixture.get("/metrics").await;
    assert!(text.contains("# TYPE slotway_test_total counter\nslotway_test_total 7\n"), "{text}");
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_start_time_seconds") > 1.6e9);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") >= 1.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
}

#[tokio::test]
async fn an_order_becomes_a_job_that_can_be_found() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    let (status, location, job) = fixture.post(&[], "/v1/shards/1/switchover", "").await;
    assert_eq!((status, location.as_deref(), &job["id"]), (202, Some("/v1/jobs/j1"), &Value::from("j1")));
    assert_eq!(job["pause_ms"], Value::Null, "unknown is null, never absent");
    let began = std::time::Instant::now();
    let (status, ..) =
        fixture.post(&[], "/v1/shards/1/failover?wait=1", r#"{"accept_data_loss":true}"#).await;
    assert_eq!(status, 202);
    assert!(began.elapsed() >= Duration::from_secs(1), "its end was waited for");
    fixture.check_error("/v1/jobs/j2", 404, "not_found", Value::Null).await;
    for (path, body, status, field) in [
        ("/v1/shards/x/failover", "", 400, Value::from("shard")),
        ("/v1/shards/1/failover", "{", 400, Value::Null),
        ("/v1/shards/1/failover", r#"{"to":"n2"}"#, 422, Value::from("to")),
        ("/v1/shards/1/failover?wait=x", "", 400, Value::from("wait")),
    ] {
        let (found, _, error) = fixture.post(&[], path, body).await;
        assert_eq!((found, &error["error"]["field"]), (status, &field), "{path} {body}");
    }
    let (status, _, error) =
        fixture.post(&[("idempotency-key", "k".repeat(1000))], "/v1/shards/1/failover", "").await;
    assert_eq!((status, &error["error"]["field"]), (400, &Value::from("Idempotency-Key")));
}

#[tokio::test]
async fn who_does_not_lead_passes_an_order_on_once() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    let (status, _, error) = fixture.post(&[], "/v1/shards/9/failover", "").await;
    let message = error["error"]["message"].as_str().unwrap();
    assert_eq!(status, 503);
    assert!(message.contains("cannot reach 127.0.0.1:1"), "{message}");
    let passed_on = [("slotway-forwarded", "1".to_owned())];
    let (status, _, error) = fixture.post(&passed_on, "/v1/shards/9/failover", "").await;
    assert_eq!((status, &error["error"]["message"]), (503, &Value::from("the leader is changing")));

    // A proxy in front of one that leads hands back what that one says.
    let leader = fixture.server.addresses()[0].to_string();
    let mut follower = sources(2);
    follower.operations.order = Arc::new(move |_, _| Err(Refusal::Elsewhere { admin_addr: leader.clone() }));
    let follower = Fixture::start(Api::of_proxy(follower, open()));
    let (status, location, job) = follower.post(&[], "/v1/shards/1/switchover", "").await;
    assert_eq!((status, location.as_deref(), &job["id"]), (202, Some("/v1/jobs/j1"), &Value::from("j1")));
}

#[tokio::test]
async fn orders_want_the_token() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), Access { token: Token::new("s3cret"), ..open() }));
    for action in ACTIONS {
        let path = concrete(action.path);
        let request = Request { method: action.method, path: &path, headers: &[], body: &[] };
        let client = |token: Option<&str>| Client::new(&fixture.url, token.map(str::to_owned), PATIENCE);
        assert_eq!(client(None).unwrap().send(&request).await.unwrap().status, 401, "{path}");
        assert_ne!(client(Some("s3cret")).unwrap().send(&request).await.unwrap().status, 401, "{path}");
    }
}

#[tokio::test]
async fn events_are_a_list_or_a_stream_that_ends_with_the_server() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    let list: Value = serde_json::from_str(&fixture.get("/v1/events?format=json").await.1).unwrap();
    assert_eq!((&list["last_id"], &list["events"][0]["type"]), (&"1000".into(), &"leader.changed".into()));
    fixture.check_error("/v1/events?format=xml", 422, "invalid", "format".into()).await;
    fixture.check_error("/v1/events?since=x", 400, "bad_request", "since".into()).await;
    fixture.check_error("/v1/events?format=json&limit=x", 400, "bad_request", "limit".into()).await;

    let mut stream = TcpStream::connect(fixture.server.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 0\r\n\r\n").unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        let mut chunk = [0; 4096];
        while !text.contains("data: ") {
            let len = stream.read(&mut chunk).unwrap();
            text.push_str(std::str::from_utf8(&chunk[..len]).unwrap());
        }
        (stream, text)
    });
    let (mut stream, text) = reading.await.unwrap();
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.contains("id: 1000\nevent: leader.changed\ndata: {\"id\":\"1000\""), "{text}");
    let began = std::time::Instant::now();
    fixture.server.stop(PATIENCE).await;
    assert!(began.elapsed() < PATIENCE, "a stream holds nobody up");
    let rest = tokio::task::spawn_blocking(move || stream.read_to_end(&mut Vec::new()));
    assert!(rest.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_the_port() {
    let fixture = Fixture::start(Api::of_proxy(sources(2), open()));
    let address = fixture.server.addresses()[0];
    let idle = TcpStream::connect(address).unwrap();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(fixture.get("/healthz").await.0, 200);
    let began = std::time::Instant::now();
    fixture.server.stop(PATIENCE).await;
    assert!(began.elapsed() < PATIENCE, "an idle connection holds nobody up");
    assert!(TcpStream::connect(address).is_err());
    assert_eq!((&idle).read(&mut [0]).unwrap(), 0, "the idle connection is closed");
}
