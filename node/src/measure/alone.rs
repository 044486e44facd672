//! A node without sockets and without a clock: requests in, replies and the feed out.
//!
//! What a test needs that compares the feed with redis-server's append-only file, or leads a second node by it. It runs
//! requests exactly as a connection does ([`crate::execute`]); only batches, waves and the outside world are missing.

use slotway_commands::lookup;
use slotway_config::{Key, Program, Settings};
use slotway_link::End;
use slotway_resp::{Limits, OwnedRequest, Parser};

use crate::call::Millis;
use crate::client::Client;
use crate::execute::{Found, execute};
use crate::feed::{Listener, Source};
use crate::keyspace::Expired;
use crate::membership::Membership;
use crate::node::Node;
use crate::splices::Splice;

/// One node and two clients of it.
pub struct Alone {
    node: Node,
    clients: [Client; 2],
}

impl Default for Alone {
    fn default() -> Alone {
        Alone::new()
    }
}

impl Alone {
    /// A primary; its feed has a listener.
    pub fn new() -> Alone {
        let nowhere = std::env::temp_dir().join("no directory of a node");
        let membership = Membership::load(&nowhere).expect("there is no file");
        let mut settings = Settings::defaults(Program::Node);
        settings.record(Key::EnableDebugCommand, "yes").expect("a value that the setting takes");
        let mut node = Node::new(settings, None, membership, 0);
        node.keyspace.feed.listen(Listener::Log);
        let end = End::Tcp(([127, 0, 0, 1], 0).into());
        let client =
            |node: &mut Node| Client::new(node.clients.next_id(), end.clone(), end.clone(), 0, Millis(0));
        let clients = [client(&mut node), client(&mut node)];
        Alone { node, clients }
    }

    /// Runs a request of a client, at this Unix time in milliseconds. Returns the reply.
    pub fn run<W: AsRef<[u8]>>(&mut self, client: usize, words: &[W], now_ms: u64) -> Vec<u8> {
        let request = OwnedRequest::new(words);
        let mut out = Vec::new();
        let found = Found { row: lookup::resolve(request.view()).ok(), places: &[] };
        execute(&mut self.node, &self.clients[client], request.view(), found, Millis(now_ms), &mut out);
        // Long strings lie elsewhere; from the last to the first, so that places stay.
        for Splice { at, text } in self.node.splices.take(&(0..out.len())).into_iter().rev() {
            out.splice(at..at, text.iter().copied());
        }
        out
    }

    /// Runs a request again and again, in turns of 16. The feed is handed to nobody, and its room comes back.
    pub fn repeat<W: AsRef<[u8]>>(&mut self, words: &[W], times: usize, now_ms: u64) {
        let request = OwnedRequest::new(words);
        let found = Found { row: lookup::resolve(request.view()).ok(), places: &[] };
        let mut out = Vec::new();
        for nth in 0..times {
            execute(&mut self.node, &self.clients[0], request.view(), found, Millis(now_ms), &mut out);
            if nth % 16 == 15 {
                out.clear();
                if let Some(bytes) = self.node.keyspace.feed.take() {
                    self.node.keyspace.feed.give_back(bytes);
                }
            }
        }
    }

    /// From now on nobody listens.
    pub fn leave(&mut self) {
        self.node.keyspace.feed.leave(Listener::Log);
    }

    /// What was fed since the last time.
    pub fn fed(&mut self) -> Vec<u8> {
        self.node.keyspace.feed.take().unwrap_or_default()
    }

    /// From now on it is led by another's feed.
    pub fn follow(&mut self) {
        self.node.keyspace.feed.draw_from(Source::Primary);
        self.node.keyspace.expired = Expired::Hidden;
    }

    /// It is a primary again.
    pub fn lead(&mut self) {
        self.node.keyspace.feed.draw_from(Source::Own);
        self.node.keyspace.expired = Expired::Deleted;
    }

    /// Runs what a primary was fed. What failed there in its midst fails here where it did there.
    pub fn apply(&mut self, stream: &[u8], now_ms: u64) {
        let (mut parser, mut rest) = (Parser::default(), stream);
        self.node.keyspace.expired = Expired::Present;
        while let Some(at) = parser.next(rest, &Limits::CLIENT).expect("a feed is RESP") {
            let words: Vec<Vec<u8>> = parser.request(rest, at).words().map(<[u8]>::to_vec).collect();
            self.run(0, &words, now_ms);
            rest = &rest[parser.consumed()..];
            parser.rebase();
        }
        self.node.keyspace.expired = Expired::Hidden;
    }

    #[cfg(test)]
    pub(crate) fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Deletes all that has expired.
    pub fn expire(&mut self, now_ms: u64) {
        while self.node.keyspace.expire_cycle(Millis(now_ms), 1000).more {}
    }

    /// Deletes a key for want of memory, by `maxmemory-policy`. False: none may go.
    pub fn evict(&mut self, now_ms: u64) -> bool {
        self.node.keyspace.evict(Millis(now_ms))
    }

    /// Changes that were counted: `rdb_changes_since_last_save`.
    pub fn changes(&self) -> u64 {
        self.node.keyspace.stats.changes
    }
}
