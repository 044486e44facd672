//! Members of a control group's shards as the proxy meets them: they are told LINK, and serve, park, or refuse.

use std::sync::{Arc, Condvar, Mutex};

use slotway_cluster::{
    Epoch, NodeId, Topology,
    topology::{Kind, Node},
};

use crate::{
    backend::{Conn, Fake, bulk},
    front::topology,
};

/// What a member does with requests; with each it can be told to do something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Answers each with its own words.
    Serves,
    /// Reads them and answers none, until it has another part.
    Parked,
    /// Answers each with this error.
    Refuses(&'static str),
    /// Takes no link: answers LINK with this error.
    TakesNoLinks(&'static str),
}

pub(crate) struct Member {
    fake: Fake,
    part: Arc<(Mutex<Part>, Condvar)>,
    links: Arc<Mutex<Vec<String>>>,
}

impl Member {
    pub(crate) fn start(part: Part) -> Member {
        let part = Arc::new((Mutex::new(part), Condvar::new()));
        let links: Arc<Mutex<Vec<String>>> = Arc::default();
        let fake = Fake::start_raw({
            let (part, links) = (Arc::clone(&part), Arc::clone(&links));
            move |conn| attend(conn, &part, &links)
        });
        Member { fake, part, links }
    }

    pub(crate) fn serving() -> Member {
        Member::start(Part::Serves)
    }

    pub(crate) fn turns(&self, part: Part) {
        *self.part.0.lock().unwrap() = part;
        self.part.1.notify_all();
    }

    pub(crate) fn port(&self) -> u16 {
        self.fake.port
    }

    /// What was asked of it, introductions left out.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.fake.log()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.fake.count(line)
    }

    /// The LINKs that it was told.
    pub(crate) fn links(&self) -> Vec<String> {
        self.links.lock().unwrap().clone()
    }
}

fn attend(conn: &mut Conn, part: &(Mutex<Part>, Condvar), links: &Mutex<Vec<String>>) {
    let mut queues = false;
    while let Some(words) = conn.words() {
        let now = *part.0.lock().unwrap();
        match (words[0].as_str(), now) {
            ("SLOTWAY", _) => {
                links.lock().unwrap().push(words.join(" "));
                match now {
                    Part::TakesNoLinks(line) => conn.reply(&format!("-{line}\r\n")),
                    _ => conn.reply("+OK\r\n"),
                }
            }
            ("PING", _) => conn.reply("+PONG\r\n"),
            ("HELLO", _) => conn.reply("%1\r\n+proto\r\n:3\r\n"),
            ("AUTH" | "SELECT" | "READONLY", _) => conn.reply("+OK\r\n"),
            _ => {
                let line = words.join(" ");
                conn.note(&line);
                let reply = reply(&line, once_not_parked(part), &mut queues);
                conn.reply(&reply);
            }
        }
    }
}

fn once_not_parked(part: &(Mutex<Part>, Condvar)) -> Part {
    *part.1.wait_while(part.0.lock().unwrap(), |part| *part == Part::Parked).unwrap()
}

fn reply(line: &str, part: Part, queues: &mut bool) -> String {
    match (line, part) {
        ("MULTI", _) => {
            *queues = true;
            "+OK\r\n".to_owned()
        }
        ("EXEC", Part::Serves) => {
            *queues = false;
            "*1\r\n$3\r\nran\r\n".to_owned()
        }
        (_, Part::Serves) if *queues => "+QUEUED\r\n".to_owned(),
        ("WATCH k" | "unwatch", Part::Serves) => "+OK\r\n".to_owned(),
        (_, Part::Refuses(error) | Part::TakesNoLinks(error)) => format!("-{error}\r\n"),
        (_, Part::Serves | Part::Parked) => bulk(line),
    }
}

/// One shard: the first its primary, the others its replicas.
pub(crate) fn shard(version: u64, epoch: u64, members: &[u16]) -> Topology {
    let address = |port: &u16| format!("127.0.0.1:{port}");
    let mut one = topology(version, &[address(&members[0])]);
    for (number, port) in (2..).zip(&members[1..]) {
        let id = NodeId(format!("n{number}"));
        one.nodes.push(Node { id: id.clone(), addr: address(port), admin_addr: None });
        one.shards[0].replicas.push(id);
    }
    one.shards[0].kind = Kind::Slotway;
    one.shards[0].epoch = Epoch(epoch);
    one
}
