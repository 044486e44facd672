//! A redis-server that writes down what it is asked to change.
//!
//! It appends to its log before it answers, so behind a reply the log holds what the request has left there.

use std::fs::File;
use std::io::Read;

use slotway_node::measure::Alone;
use slotway_resp::Version;
use slotway_tests::differential::target::{Connection, Server};

use super::stream::{Command, commands};

/// The log as text alone, and never rewritten.
const LOGGING: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "no",
    "--aof-use-rdb-preamble",
    "no",
    "--auto-aof-rewrite-percentage",
    "0",
];

const LOG: &str = "appendonlydir/appendonly.aof.1.incr.aof";

pub(crate) struct Judge {
    server: Server,
    connections: Vec<Connection>,
    log: File,
}

impl Judge {
    pub(crate) fn start() -> Judge {
        let server = Server::redis_with(LOGGING);
        let log = File::open(server.dir().join(LOG)).expect("a redis-server 7 keeps its log there");
        Judge { server, connections: Vec::new(), log }
    }

    /// Both are empty, and have selected the same database in their streams.
    pub(crate) fn begin(&mut self, ours: &mut Alone) {
        let open = || Connection::open(&self.server.address(), Version::Resp2, 0).expect("it serves");
        self.connections = vec![open(), open()];
        let beginning: [&[&str]; 6] = [
            &["DEBUG", "SET-ACTIVE-EXPIRE", "0"],
            &["SELECT", "9"],
            &["FLUSHALL"],
            &["SET", "k", "v"],
            &["DEL", "k"],
            &["SELECT", "0"],
        ];
        for request in beginning {
            let words: Vec<Vec<u8>> = request.iter().map(|word| word.as_bytes().to_vec()).collect();
            self.ask(0, &words);
            ours.run(0, &words, super::now_ms());
        }
        ours.fed();
    }

    /// Runs a request; returns what it left in the log.
    pub(crate) fn ask(&mut self, client: usize, words: &[Vec<u8>]) -> Vec<Command> {
        self.ask_for_reply(client, words).1
    }

    pub(crate) fn ask_for_reply(&mut self, client: usize, words: &[Vec<u8>]) -> (Vec<u8>, Vec<Command>) {
        let connection = &mut self.connections[client];
        connection.send(&[words]).expect("it serves");
        let reply = connection.reply().expect("it answers");
        let mut appended = Vec::new();
        self.log.read_to_end(&mut appended).expect("the log can be read");
        (reply, commands(&appended))
    }

    /// SORT of 7.0 looks at C's `errno`, which any request may have left; reading a cursor resets it.
    pub(crate) fn forget_errno(&mut self, client: usize) {
        let words: Vec<Vec<u8>> = ["HSCAN", "no such key", "0"].map(|word| word.as_bytes().to_vec()).to_vec();
        self.ask(client, &words);
    }
}
