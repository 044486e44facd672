//! CLIENT, passwords, and the number of clients.

use std::io::Write;

use crate::{
    backend::{Fake, Redis},
    commands::Three,
    front::Front,
    peer::{Peer, until},
};

/// The fields of the line of CLIENT LIST that has this one.
fn line_with(list: &str, field: &str) -> Option<String> {
    list.lines().find(|line| line.split(' ').any(|word| word == field)).map(str::to_owned)
}

fn id_of(client: &mut Peer) -> String {
    client.ask("CLIENT ID").trim_start_matches(':').to_owned()
}

#[test]
fn client_list_shows_all_clients_of_the_proxy() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::of(&[fake.port]);
    let (mut one, mut two) = (front.client(), front.client());
    one.check_all(&[
        ("CLIENT SETNAME first", "+OK"),
        ("CLIENT SETINFO LIB-NAME some-lib", "+OK"),
        ("CLIENT SETINFO lib-ver 1.2.3", "+OK"),
        ("CLIENT GETNAME", "first"),
        ("SELECT 3", "+OK"),
        ("CLIENT NO-EVICT ON", "+OK"),
    ]);
    two.ask("HELLO 3 SETNAME second");
    let (first, second) = (id_of(&mut one), id_of(&mut two));
    let list = two.ask("CLIENT LIST");
    let line = line_with(&list, "name=first").unwrap();
    for field in [&format!("id={first}"), "db=3", "lib-name=some-lib", "lib-ver=1.2.3", "flags=e", "resp=2"] {
        assert!(line.split(' ').any(|word| word == field), "{field}: {line}");
    }
    assert!(line_with(&list, "name=second").unwrap().contains("resp=3"), "{list}");
    let address = format!("addr={}", two.stream.local_addr().unwrap());
    assert!(line_with(&list, &address).unwrap().contains(&format!("id={second}")));
    assert!(two.ask("CLIENT INFO").contains("cmd=client|info"));
    assert_eq!(two.ask(&format!("CLIENT LIST ID {first} 999")).lines().count(), 1);
    assert_eq!(two.ask("CLIENT LIST TYPE pubsub"), "");
    one.check_all(&[("RESET", "+RESET"), ("CLIENT GETNAME", "nil")]);
}

#[test]
fn client_kill_ends_the_clients_it_names() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::of(&[fake.port]);
    let mut operator = front.client();
    let mut victims: Vec<Peer> = (0..4).map(|_| front.client()).collect();
    let ids: Vec<String> = victims.iter_mut().map(id_of).collect();
    operator.check(&format!("CLIENT KILL ID {}", ids[0]), ":1");
    victims[0].check_closed();
    let address = victims[1].stream.local_addr().unwrap();
    operator.check(&format!("CLIENT KILL {address}"), "+OK");
    victims[1].check_closed();
    operator.check(&format!("CLIENT KILL {address}"), "-ERR No such client");
    operator.check("CLIENT KILL TYPE normal", ":2");
    victims[2].check_closed();
    victims[3].check_closed();
    operator.check("PING", "+PONG");
    operator.send(&["CLIENT KILL SKIPME no TYPE normal", "PING"]);
    assert_eq!(operator.read(), ":1");
    operator.check_closed();
    until("all have left", || front.clients() == 0);
}

#[test]
fn a_killed_client_is_closed_at_once_also_while_it_is_owed_replies() {
    let fake = Fake::start(|conn| conn.stay_silent());
    let front = Front::of(&[fake.port]);
    let mut victim = front.client();
    let id = id_of(&mut victim);
    victim.send(&["GET a", "SET a 1"]);
    until("the node has the requests", || fake.log().len() == 2);
    front.client().check(&format!("CLIENT KILL ID {id}"), ":1");
    victim.check_closed();
    until("it has left", || front.clients() <= 1);
}

#[test]
fn many_lists_at_a_time_are_answered_in_order() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::of(&[fake.port]);
    let run = |name: String| {
        let mut client = front.client();
        client.check(&format!("CLIENT SETNAME {name}"), "+OK");
        for number in 0..50 {
            client.send(&["CLIENT LIST", &format!("ECHO {number}")]);
            assert!(line_with(&client.read(), &format!("name={name}")).is_some());
            assert_eq!(client.read(), number.to_string());
        }
        let lines = vec!["CLIENT LIST"; 200];
        client.send(&lines);
        lines.iter().for_each(|_| assert!(client.read().contains(&name)));
    };
    std::thread::scope(|scope| (0..8).for_each(|id| drop(scope.spawn(move || run(format!("n{id}"))))));
}

#[test]
fn a_password_is_asked_for() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::with(&[fake.port], &[("requirepass", "secret")]);
    let mut client = front.client();
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    client.check_all(&[
        ("GET a", "-NOAUTH Authentication required."),
        ("MGET a b", "-NOAUTH Authentication required."),
        ("AUTH nosuch", wrong),
        ("AUTH default secre", wrong),
        ("AUTH other secret", wrong),
        ("PING", "-NOAUTH Authentication required."),
        ("AUTH secret", "+OK"),
        ("GET a", "GET a"),
        ("RESET", "+RESET"),
        ("GET a", "-NOAUTH Authentication required."),
    ]);
    let mut modern = front.client();
    assert!(
        modern
            .ask("HELLO 3")
            .starts_with("-NOAUTH HELLO must be called with the client already authenticated")
    );
    assert!(modern.ask("HELLO 3 AUTH default nosuch").starts_with("-WRONGPASS"));
    assert!(modern.ask("HELLO 3 AUTH default secret SETNAME x").contains("proto=:3"));
    modern.check_all(&[("GET a", "GET a"), ("CLIENT GETNAME", "x")]);
    // Nobody who has not authenticated may make the proxy keep much.
    let mut stranger = front.client();
    stranger.send_bytes(b"*2\r\n$4\r\nAUTH\r\n$100000\r\n");
    assert_eq!(stranger.read(), "-ERR Protocol error: unauthenticated bulk length");
    stranger.check_closed();
    let mut pipelining = front.client();
    let value = "v".repeat(100_000);
    pipelining.check_all(&[("AUTH secret", "+OK"), (&format!("ECHO {value}"), &value)]);
}

#[test]
fn a_password_can_be_set_while_clients_are_connected() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    let none = "-ERR AUTH <password> called without any password configured for the default user. \
                Are you sure your configuration is correct?";
    client.check_all(&[("AUTH x", none), ("CONFIG SET requirepass later", "+OK"), ("GET a", "GET a")]);
    front.client().check("GET a", "-NOAUTH Authentication required.");
}

#[test]
fn nodes_that_want_a_password_get_it() {
    let redis = Redis::with(&["--requirepass", "node-secret"]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "node-secret").unwrap();
    let path = file.path().to_str().unwrap();
    let front = Front::with(&[redis.port], &[("node-password-file", path)]);
    let mut client = front.client();
    client.check_all(&[("SET a 1", "+OK"), ("GET a", "1")]);
    client.ask("HELLO 3");
    client.check_all(&[("SELECT 2", "+OK"), ("GET a", "_")]);
    // Without it the client is not asked for a password that it cannot know.
    let front = Front::with(&[redis.port], &[("hold-ms-max", "100")]);
    let reply = front.client().ask("GET a");
    assert!(reply.starts_with("-TRYAGAIN shard 1 has no primary, held "), "{reply}");
}

#[test]
fn one_client_too_many_is_told_so() {
    let fake = Fake::start(|conn| conn.echo());
    let front = Front::with(&[fake.port], &[("maxclients", "3")]);
    let mut clients: Vec<Peer> = (0..3).map(|_| front.client()).collect();
    clients.iter_mut().for_each(|client| client.check("PING", "+PONG"));
    let mut refused = front.client();
    assert_eq!(refused.read(), "-ERR max number of clients reached");
    refused.check_closed();
    assert!(front.metric("slotway_proxy_clients_cut_total", &[("limit", "maxclients")]) >= 1.0);
    clients[0].check("CONFIG SET maxclients 4", "+OK");
    let too_many = clients[0].ask("CONFIG SET maxclients 1000000000");
    assert!(
        too_many.contains("The operating system is not able to handle the specified number"),
        "{too_many}"
    );
    clients.push(front.client());
    clients[3].check("PING", "+PONG");
    drop(clients.pop());
    until("it has left", || front.clients() == 3);
    front.client().check("PING", "+PONG");
}

#[test]
fn a_silent_client_is_disconnected_after_its_time() {
    let three = Three::with(&[("timeout", "1")]);
    let mut silent = three.client();
    silent.check("PING", "+PONG");
    let mut busy = three.client();
    until("the silent client was disconnected", || {
        busy.check("GET a", "nil");
        three.front.clients() == 1
    });
    silent.check_closed();
}

#[test]
fn clients_that_leave_no_trace_share_a_link_that_leaves_none() {
    let fake = Fake::start_raw(|conn| {
        while let Some(line) = conn.next() {
            match line.as_str() {
                "PING" => conn.reply("+PONG\r\n"),
                "CLIENT NO-TOUCH ON" => conn.reply("-ERR unknown subcommand, as a Redis before 7.2 says\r\n"),
                _ => conn.reply("+OK\r\n"),
            }
        }
    });
    let front = Front::with(&[fake.port], &[("threads", "1")]);
    let (mut one, mut two) = (front.client(), front.client());
    one.check_all(&[("GET a", "+OK"), ("CLIENT NO-TOUCH ON", "+OK"), ("GET b", "+OK")]);
    assert!(one.ask("CLIENT INFO").contains("flags=T "));
    two.check_all(&[("CLIENT NO-TOUCH ON", "+OK"), ("GET c", "+OK")]);
    one.check_all(&[("CLIENT NO-TOUCH OFF", "+OK"), ("GET d", "+OK")]);
    two.check_all(&[("RESET", "+RESET"), ("GET e", "+OK")]);
    assert_eq!(
        fake.log(),
        ["PING", "GET a", "CLIENT NO-TOUCH ON", "PING", "GET b", "GET c", "GET d", "GET e"],
        "introductions and requests"
    );
    assert_eq!(fake.connections(), 2);
}

#[test]
fn a_transaction_leaves_no_trace_either() {
    let fake = Fake::start_raw(|conn| {
        while let Some(line) = conn.next() {
            conn.reply(match line.as_str() {
                "PING" => "+PONG\r\n",
                "GET a" => "+QUEUED\r\n",
                "EXEC" => "*1\r\n$-1\r\n",
                _ => "+OK\r\n",
            });
        }
    });
    let front = Front::of(&[fake.port]);
    let mut client = front.client();
    client.check_all(&[
        ("CLIENT NO-TOUCH ON", "+OK"),
        ("MULTI", "+OK"),
        ("GET a", "+QUEUED"),
        ("EXEC", "[nil]"),
    ]);
    client.check_all(&[("WATCH a", "+OK"), ("MULTI", "+OK"), ("GET a", "+QUEUED"), ("EXEC", "[nil]")]);
    let piece = ["MULTI", "GET a", "EXEC"];
    let introduction = ["CLIENT NO-TOUCH ON", "PING"];
    let expected: Vec<&str> =
        introduction.into_iter().chain(piece).chain(introduction).chain(["WATCH a"]).chain(piece).collect();
    assert_eq!(fake.log(), expected);
}
