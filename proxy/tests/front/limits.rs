//! Every limit, reached.

use crate::{
    backend::{Fake, bulk},
    commands::Three,
    front::Front,
    peer::{Peer, until},
};

fn cut(front: &Front, limit: &str) -> f64 {
    front.metric("slotway_proxy_clients_cut_total", &[("limit", limit)])
}

/// Sends until the proxy closes or the time is up; the client itself reads nothing.
fn send_until_cut(front: &Front, client: &mut Peer, line: &str, limit: &str) {
    client.stream.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    slotway_resp::write::request(&mut bytes, &crate::peer::words(line));
    until("the client was cut", || {
        // Once the proxy reads no more of it, nothing more can be sent.
        let _ = std::io::Write::write(&mut client.stream, &bytes);
        cut(front, limit) >= 1.0
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_at_its_limit() {
    let three = Three::with(&[("client-output-buffer-limit", "normal 500000 0 0")]);
    let mut other = three.client();
    other.check(&format!("SET big {}", "v".repeat(200_000)), "+OK");
    let mut lazy = three.client();
    send_until_cut(&three.front, &mut lazy, "GET big", "client-output-buffer-limit");
    until("it has left", || three.front.clients() == 1);
    assert_eq!(cut(&three.front, "client-output-buffer-limit"), 1.0, "counted once");
    until("nothing waits any more", || {
        three.front.metric("slotway_proxy_client_buffer_bytes", &[]) == 0.0
            && three.front.metric("slotway_proxy_in_flight_requests", &[]) == 0.0
    });
    other.check("STRLEN big", ":200000");
}

#[test]
fn a_client_that_stays_over_the_soft_limit_is_cut_after_its_seconds() {
    let three = Three::with(&[("client-output-buffer-limit", "normal 0 100000 1")]);
    let mut other = three.client();
    other.check(&format!("SET big {}", "v".repeat(200_000)), "+OK");
    let mut lazy = three.client();
    send_until_cut(&three.front, &mut lazy, "GET big", "client-output-buffer-limit");
    other.check("STRLEN big", ":200000");
}

#[test]
fn a_client_that_does_not_read_is_not_read_either() {
    let three = Three::start();
    let mut other = three.client();
    other.check(&format!("SET big {}", "v".repeat(10_000)), "+OK");
    let mut lazy = three.client();
    lazy.check("CLIENT SETNAME lazy", "+OK");
    lazy.stream.set_nonblocking(true).unwrap();
    let mut request = Vec::new();
    (0..1000).for_each(|_| slotway_resp::write::request(&mut request, &["GET", "big"]));
    // Until the sockets between it and the proxy are full of requests. 1,024 in flight may each bring 10 kB.
    let mut refused = 0;
    until("the proxy reads no more", || {
        let full = std::io::Write::write(&mut lazy.stream, &request).is_err();
        refused = if full { refused + 1 } else { 0 };
        refused > 50
    });
    let list = other.ask("CLIENT LIST");
    let line = list.lines().find(|line| line.contains("name=lazy")).unwrap();
    let field = |name: &str| {
        line.split(' ').find_map(|word| word.strip_prefix(name)).unwrap().parse::<usize>().unwrap()
    };
    until("the metric shows it", || {
        three.front.metric("slotway_proxy_client_buffer_bytes", &[("direction", "out")]) > 1e6
    });
    assert!(field("obl=") < 12_000_000 && field("qbuf=") < 128 * 1024, "{line}");
    assert_eq!(cut(&three.front, "client-output-buffer-limit"), 0.0);
    other.check("STRLEN big", ":10000");
}

#[test]
fn a_slow_reader_gets_everything_in_the_end() {
    let three = Three::start();
    let mut client = three.client();
    let value = "v".repeat(50_000);
    client.check(&format!("SET big {value}"), "+OK");
    // 100 MB: far more than waits anywhere on the way.
    let sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let mut request = Vec::new();
        slotway_resp::write::request(&mut request, &["GET", "big"]);
        std::io::Write::write_all(&mut &sender, &request.repeat(2000)).unwrap();
    });
    (0..2000).for_each(|_| assert_eq!(client.read().len(), value.len()));
    sending.join().unwrap();
    client.check("PING", "+PONG");
}

#[test]
fn a_request_larger_than_the_query_buffer_limit_cuts_its_client() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::with(&[fake.port], &[("client-query-buffer-limit", "1mb")]);
    let mut client = front.client();
    client.stream.set_nonblocking(true).unwrap();
    let mut rest: &[u8] = &[&b"*2\r\n$3\r\nGET\r\n$4000000\r\n"[..], &[b'x'; 3_000_000]].concat();
    until("cut", || {
        while let Ok(count @ 1..) = std::io::Write::write(&mut client.stream, rest) {
            rest = &rest[count..];
        }
        cut(&front, "client-query-buffer-limit") == 1.0
    });
    until("it has left", || front.clients() == 0);
    front.client().check("GET a", "GET a");
}

#[test]
fn more_requests_than_a_link_may_carry_are_refused() {
    let fake = Fake::start(|conn| conn.stay_silent());
    let front = Front::with(&[fake.port], &[("requests-in-flight-per-link", "10"), ("threads", "1")]);
    let mut clients: Vec<Peer> = (0..2).map(|_| front.client()).collect();
    clients.iter_mut().for_each(|client| client.send(&["GET a"; 5]));
    until("ten are in flight", || fake.log().len() == 10);
    until("the metric shows them", || front.metric("slotway_proxy_in_flight_requests", &[]) == 10.0);
    assert_eq!(front.metric("slotway_proxy_in_flight_bytes", &[]), 200.0);
    front.client().check("SET a 1", "-BUSY proxy limit requests-in-flight-per-link reached");
    front.client().check("PING", "+PONG");
    assert_eq!(front.metric("slotway_proxy_errors_total", &[("kind", "busy")]), 1.0);
}

#[test]
fn more_bytes_than_a_link_may_carry_are_refused() {
    let fake = Fake::start(|conn| {
        while let Some(line) = conn.next() {
            if line.starts_with("ECHOED") || line.starts_with("GET") {
                conn.reply(&bulk("x"));
            }
        }
    });
    let front = Front::with(&[fake.port], &[("bytes-in-flight-max", "1mb"), ("threads", "1")]);
    let value = "v".repeat(2_000_000);
    let mut first = front.client();
    // Alone on the link it may be larger than the limit. With two keys it does not stream.
    first.send(&[&format!("MSET a {value} c 1")]);
    until("the node has it", || fake.log().len() == 1);
    let mut second = front.client();
    second.check(&format!("MSET b {value} c 1"), "-BUSY proxy limit bytes-in-flight-max reached");
    second.check("SET b 1", "-BUSY proxy limit bytes-in-flight-max reached");
}

#[test]
fn one_client_keeps_no_more_than_its_share_in_flight() {
    let fake = Fake::start(|conn| conn.stay_silent());
    let front = Front::with(
        &[fake.port],
        &[("requests-in-flight-per-client-and-link", "16"), ("request-timeout-ms", "300")],
    );
    let mut client = front.client();
    client.send(&["GET a"; 100]);
    until("its share is in flight", || fake.log().len() == 16);
    let replies: Vec<String> = (0..16).map(|_| client.read()).collect();
    assert!(
        replies.iter().all(|reply| reply == "-TIMEOUT no reply from shard 1 within 300 ms"),
        "{replies:?}"
    );
    until("the next are in flight", || fake.log().len() > 16);
    (0..84).for_each(|_| assert!(client.read().starts_with("-TIMEOUT ")));
}
