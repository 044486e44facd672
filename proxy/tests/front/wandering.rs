//! Keys that wander between nodes all the time, and nodes that are not always ready: every request finds its way, once, and
//! in the order of its client.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::{
    backend::{Closed, Fake, bulk},
    front::Front,
    order::Random,
    peer::until,
};

const NODES: usize = 3;
const KEYS: usize = 6;
const CLIENTS: usize = 4;

/// What the nodes have in common.
struct Keyspace {
    random: Random,
    /// By key, the same for every client.
    owners: [usize; KEYS],
    ports: [u16; NODES],
    /// By key of a client: the values that were written to it, in order.
    written: HashMap<String, Vec<usize>>,
}

impl Keyspace {
    /// Node `own` is asked `line`.
    fn answer(&mut self, own: usize, line: &str, asked: bool) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let key = words[1];
        let number: usize = key.rsplit('-').next().unwrap().parse().unwrap();
        if self.random.below(40) == 0 {
            self.owners[self.random.below(KEYS)] = self.random.below(NODES);
        }
        let owner = self.owners[number];
        if owner != own && !asked {
            let code = ["MOVED", "ASK"][self.random.below(2)];
            return format!("-{code} 7 127.0.0.1:{}\r\n", self.ports[owner]);
        }
        if owner != own {
            return format!("-MOVED 7 127.0.0.1:{}\r\n", self.ports[owner]);
        }
        if self.random.below(10) == 0 {
            let error = ["CLUSTERDOWN x", "LOADING x", "TRYAGAIN x", "READONLY x", "MOVED x"];
            return format!("-{}\r\n", error[self.random.below(error.len())]);
        }
        let values = self.written.entry(key.to_owned()).or_default();
        if let Some(value) = words.get(2) {
            values.push(value.parse().unwrap());
        }
        bulk(&values.last().map_or("none".to_owned(), usize::to_string))
    }
}

fn start() -> (Vec<Fake>, Arc<Mutex<Keyspace>>) {
    let places: Vec<Closed> = (0..NODES).map(|_| Closed::new()).collect();
    let ports = std::array::from_fn(|node| places[node].port);
    let keyspace = Keyspace {
        random: Random::new(7),
        owners: std::array::from_fn(|key| key % NODES),
        ports,
        written: HashMap::new(),
    };
    let keyspace = Arc::new(Mutex::new(keyspace));
    let nodes = places.into_iter().enumerate().map(|(own, place)| {
        let keyspace = Arc::clone(&keyspace);
        place.open(move |conn| {
            let mut asked = false;
            while let Some(line) = conn.next() {
                let was_asked = std::mem::take(&mut asked);
                if line == "ASKING" {
                    asked = true;
                    conn.reply("+OK\r\n");
                } else {
                    let reply = keyspace.lock().unwrap().answer(own, &line, was_asked);
                    conn.reply(&reply);
                }
            }
        })
    });
    (nodes.collect(), keyspace)
}

/// Values written by one client to each of its keys, and what it was told.
fn work(front: &Front, id: usize) -> Vec<(String, usize, bool)> {
    let mut client = front.client();
    let mut random = Random::new(id as u64 + 1);
    let mut told = Vec::new();
    let mut last: HashMap<String, usize> = HashMap::new();
    for round in 0..60 {
        let requests: Vec<(String, Option<usize>)> = (0..=random.below(12))
            .map(|n| {
                let key = format!("c{id}-{}", random.below(KEYS));
                (key, (random.below(2) == 0).then_some(100 * round + n))
            })
            .collect();
        let lines: Vec<String> = requests
            .iter()
            .map(|(key, value)| value.map_or(format!("GET {key}"), |value| format!("SET {key} {value}")))
            .collect();
        client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        for ((key, value), line) in requests.into_iter().zip(&lines) {
            let reply = client.read();
            let refused = reply.starts_with("-TRYAGAIN shard ");
            match value {
                Some(value) => {
                    assert!(refused || reply == value.to_string(), "{line}: {reply}");
                    if !refused {
                        last.insert(key.clone(), value);
                    }
                    told.push((key, value, !refused));
                }
                None if reply.starts_with("-INDETERMINATE ") => {}
                None => {
                    let expected = last.get(&key).map_or("none".to_owned(), usize::to_string);
                    assert_eq!(reply, expected, "{line}");
                }
            }
        }
    }
    told
}

#[test]
fn every_request_runs_once_or_is_refused_and_keeps_its_place() {
    let (nodes, keyspace) = start();
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    let front = Front::with(&ports, &[("hold-ms-max", "20000"), ("threads", "2")]);
    let told: Vec<(String, usize, bool)> = std::thread::scope(|scope| {
        let front = &front;
        let workers: Vec<_> = (0..CLIENTS).map(|id| scope.spawn(move || work(front, id))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let keyspace = keyspace.lock().unwrap();
    let mut expected: HashMap<String, Vec<usize>> = HashMap::new();
    for (key, value, _) in told.iter().filter(|(_, _, ran)| *ran) {
        expected.entry(key.clone()).or_default().push(*value);
    }
    for (key, values) in expected {
        assert_eq!(keyspace.written.get(&key), Some(&values), "{key}");
    }
    let refused = told.iter().filter(|(_, _, ran)| !ran).count();
    assert!(refused * 5 < told.len(), "{refused} of {} were overtaken", told.len());
    until("nothing is left over", || front.metric("slotway_proxy_held_requests", &[]) == 0.0);
}
