//! What no client library sends.

use slotway_resp::write;

use crate::{
    backend::Fake,
    front::Front,
    order::Random,
    peer::{Peer, until},
};

fn front() -> (Fake, Front) {
    let fake = Fake::start(|conn| conn.echo());
    // One thread: what one client does to it, all others would see.
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    (fake, front)
}

#[test]
fn a_broken_protocol_is_answered_as_redis_does_and_closed() {
    let (_fake, front) = front();
    let check = |bytes: &[u8], error: &str| {
        let mut client = front.client();
        client.send_bytes(bytes);
        assert_eq!(client.read(), format!("-ERR Protocol error: {error}"), "{}", bytes.escape_ascii());
        client.check_closed();
        let mut next = front.client();
        next.send_bytes(b"PING\r\n*1\r\n$4\r\nPING\r\n");
        assert_eq!([next.read(), next.read()], ["+PONG", "+PONG"]);
    };
    check(b"*1\r\n$1073741824\r\n", "invalid bulk length");
    check(b"*1\r\n$-1\r\n", "invalid bulk length");
    check(b"*1\r\n$x\r\n", "invalid bulk length");
    check(b"*2\r\n$3\r\nGET\r\n$-5\r\n", "invalid bulk length");
    check(b"*3000000000\r\n", "invalid multibulk length");
    check(b"*x\r\n", "invalid multibulk length");
    check(b"*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'");
    check(b"*1\r\n:1\r\n", "expected '$', got ':'");
    check(b"SET a \"b\r\n", "unbalanced quotes in request");
    check(&[b'x'; 70_000], "too big inline request");
    check(&[&b"*1"[..], &[b'1'; 70_000]].concat(), "too big mbulk count string");
    assert!(front.metric("slotway_proxy_errors_total", &[("kind", "protocol")]) >= 11.0);
    front.client().check("PING", "+PONG");
}

#[test]
fn what_redis_lets_pass_passes() {
    let (_fake, front) = front();
    let check = |bytes: &[u8], replies: &[&str]| {
        let mut client = front.client();
        client.send_bytes(bytes);
        for reply in replies {
            assert_eq!(client.read(), *reply, "{}", bytes.escape_ascii());
        }
        client.check("PING", "+PONG");
    };
    check(b"*-1\r\n*0\r\n*-5\r\n\r\n\n", &[]);
    check(b"PING\r\nping\n  ECHO  hello \r\n", &["+PONG", "+PONG", "hello"]);
    check(b"SET a \"b c\"\r\nGET 'd e'\r\n", &["SET a b c", "GET d e"]);
    check(b"*1\r\n$4\r\nPINGxx*2\r\n$4\r\nECHO\r\n$1\r\na\r\n", &["+PONG", "a"]);
    check(b"*2\r\n$3\r\nGET\r\n$1\r\naxx", &["GET a"]);
}

#[test]
fn http_is_closed_without_an_answer_to_its_body() {
    let (fake, front) = front();
    for request in
        ["POST /x HTTP/1.1\r\nHost: a\r\n\r\nSET a 1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\nSET a 1\r\n"]
    {
        let mut client = front.client();
        client.send_bytes(request.as_bytes());
        // The line that looks like GET may still be answered: with an error.
        until("closed", || {
            let mut byte = [0];
            matches!(std::io::Read::read(&mut client.stream, &mut byte), Ok(0) | Err(_))
        });
    }
    assert_eq!(fake.log(), Vec::<String>::new());
}

#[test]
fn half_a_request_waits_for_its_other_half_and_nobody_else_does() {
    let (_fake, front) = front();
    let mut halves: Vec<Peer> = (0..20).map(|_| front.client()).collect();
    for half in &mut halves {
        half.send_bytes(b"*2\r\n$3\r\nGET\r\n$6\r\nabc");
    }
    let mut other = front.client();
    until("all halves have come", || other.ask("CLIENT LIST").matches("qbuf=20 ").count() == 20);
    (0..100).for_each(|number| other.check(&format!("GET {number}"), &format!("GET {number}")));
    for half in &mut halves {
        half.send_bytes(b"def\r\n");
        assert_eq!(half.read(), "GET abcdef");
    }
}

#[test]
fn bytes_that_drip_in_make_the_same_requests() {
    let (_fake, front) = front();
    let mut client = front.client();
    let mut bytes = Vec::new();
    (0..20).for_each(|number| write::request(&mut bytes, &["SET", "key", &number.to_string()]));
    bytes.extend_from_slice(b"ECHO \"a b\"\r\n");
    bytes.iter().for_each(|&byte| client.send_bytes(&[byte]));
    (0..20).for_each(|number| assert_eq!(client.read(), format!("SET key {number}")));
    assert_eq!(client.read(), "a b");
}

#[test]
fn ten_million_words_are_one_request() {
    let (_fake, front) = front();
    let mut client = front.client();
    let sending = {
        let stream = client.stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let chunk = b"$0\r\n\r\n".repeat(100_000);
            let mut stream = &stream;
            std::io::Write::write_all(&mut stream, b"*10000001\r\n$6\r\nNOSUCH\r\n").unwrap();
            (0..100).for_each(|_| std::io::Write::write_all(&mut stream, &chunk).unwrap());
        })
    };
    // Meanwhile others are served.
    let mut other = front.client();
    (0..50).for_each(|_| other.check("GET a", "GET a"));
    assert!(client.read().starts_with("-ERR unknown command 'NOSUCH', with args beginning with: '' ''"));
    sending.join().unwrap();
    client.check("PING", "+PONG");
}

#[test]
fn garbage_harms_only_who_sends_it() {
    let (_fake, front) = front();
    let mut random = Random::new(1);
    let alphabet = b"*$\r\n0123456789-PINGGETSET :+\"'\0\xff";
    for _ in 0..300 {
        let mut client = front.client();
        let bytes: Vec<u8> = (0..random.below(200)).map(|_| alphabet[random.below(alphabet.len())]).collect();
        client.send_bytes(&bytes);
    }
    front.client().check_all(&[("PING", "+PONG"), ("GET a", "GET a")]);
    until("they have left", || front.clients() == 0);
}
