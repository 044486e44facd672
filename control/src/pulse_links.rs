//! The links to the nodes' pulse ports: one task for each node, which connects, pings, hears, and begins again.
//!
//! What a link sees is reported at once and in order: that a connection opened, each word of the node, and that it was refused, reset or
//! closed, because that is how a death shows first. What merely takes too long is no report: silence is counted by who listens
//! ([`slotway_cluster::health::Watch`]). A link on which nothing was heard for [`QUIET_MAX`] is opened anew, since half-open
//! connections look like that, too.
//!
//! Words that cannot be sent are dropped: everything that is said here is said again until it has had its effect.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    sync::Arc,
    time::Duration,
};

use slotway_cluster::{
    NodeId, ProxyId,
    health::PING_EVERY,
    pulse::{FromNode, ToNode},
};
use slotway_config::Secret;
use slotway_link::{Backoff, Credentials};
use slotway_resp::{Frame, Limits, write};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_millis(500);

/// The waits between attempts: short, since a node that is back serves only once it was reached.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// A link on which nothing was heard for so long is opened anew.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// Words that may wait for one link.
const WORDS_MAX: usize = 64;

/// Bytes of room made for each read.
const READ_BYTES: usize = 16 * 1024;

/// A status with the longest proposal is far below.
const LIMITS: Limits = Limits {
    bulk_bytes_max: 4 << 20,
    words_max: 4,
    inline_bytes_max: 64 << 10,
    nesting_max: 1,
    unauthenticated: false,
};

/// What was seen on the link to a node.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) node: NodeId,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Connected,
    Said(FromNode),
    Broken,
}

/// The links to all nodes. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct PulseLinks {
    me: ProxyId,
    secret: Option<Secret>,
    reports: mpsc::Sender<Seen>,
    links: BTreeMap<NodeId, Link>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Link {
    address: String,
    words: mpsc::Sender<Arc<[u8]>>,
    task: AbortHandle,
}

impl PulseLinks {
    pub(crate) fn new(me: ProxyId, secret: Option<Secret>, reports: mpsc::Sender<Seen>) -> PulseLinks {
        PulseLinks { me, secret, reports, links: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// A link to each of these pulse ports and to no others.
    pub(crate) fn lead_to<'n>(&mut self, nodes: impl IntoIterator<Item = (&'n NodeId, &'n str)>) {
        let wanted: BTreeMap<&NodeId, &str> = nodes.into_iter().collect();
        self.links.retain(|node, link| {
            let stays = wanted.get(node).is_some_and(|address| *address == link.address);
            if !stays {
                link.task.abort();
            }
            stays
        });
        for (node, address) in wanted {
            if !self.links.contains_key(node) {
                let (words, waiting) = mpsc::channel(WORDS_MAX);
                let link = Ends {
                    node: node.clone(),
                    address: address.to_owned(),
                    me: self.me.clone(),
                    secret: self.secret.clone(),
                    reports: self.reports.clone(),
                    waiting,
                    seq: 0,
                };
                let task = self.tasks.spawn(link.run());
                self.links.insert(node.clone(), Link { address: address.to_owned(), words, task });
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Pings out of turn.
    pub(crate) fn ask(&self, node: &NodeId) {
        self.say(node, &ToNode::Ping { seq: 0, proxy: self.me.clone() });
    }

    /// Says it, if there is a link with room.
    pub(crate) fn say(&self, node: &NodeId, word: &ToNode) {
        if let Some(link) = self.links.get(node) {
            // Full: nothing leaves that link, and what waits there says the same.
            let _ = link.words.try_send(request(word).into());
        }
    }
}

fn request(word: &ToNode) -> Vec<u8> {
    let json = serde_json::to_string(word).expect("words to nodes have a form in JSON");
    let mut bytes = Vec::with_capacity(json.len() + 64);
    write::request(&mut bytes, &["SLOTWAY", "PULSE", "1", &json]);
    bytes
}

/// The end of a link that its task holds.
struct Ends {
    node: NodeId,
    address: String,
    me: ProxyId,
    secret: Option<Secret>,
    reports: mpsc::Sender<Seen>,
    waiting: mpsc::Receiver<Arc<[u8]>>,
    seq: u64,
}

/// Why a connection is over.
enum Over {
    /// Refused, reset or closed: by the node, or by its machine for it.
    Broken(io::Error),
    /// Nothing was heard for too long.
    Quiet,
    /// What it says is no pulse: said once per connection, and tried again.
    Nonsense(String),
    /// Nobody hears the reports any more.
    Unheard,
}

impl Ends {
    async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let over = match self.connect().await {
                Ok(stream) => {
                    backoff.succeeded();
                    self.talk(stream).await
                }
                Err(over) => over,
            };
            match over {
                Over::Broken(error) => {
                    tracing::debug!(node = %self.node, address = %self.address, %error, "the pulse link broke");
                    if self.report(What::Broken).await.is_err() {
                        return;
                    }
                }
                Over::Quiet => tracing::debug!(node = %self.node, "the pulse link is quiet: opening another"),
                Over::Nonsense(text) => {
                    tracing::warn!(node = %self.node, address = %self.address, %text, "the node's pulse refuses us");
                }
                Over::Unheard => return,
            }
            // What was to be said on the old connection is out of date.
            while self.waiting.try_recv().is_ok() {}
            sleep(backoff.failed(RandomState::new().build_hasher().finish())).await;
        }
    }

    async fn connect(&mut self) -> Result<TcpStream, Over> {
        let stream = match timeout(CONNECT_PATIENCE, TcpStream::connect(self.address.as_str())).await {
            Err(_) => return Err(Over::Quiet),
            Ok(Err(error)) if is_death(&error) => return Err(Over::Broken(error)),
            // No route, no name, no descriptors: says nothing about the node.
            Ok(Err(error)) => {
                tracing::debug!(node = %self.node, address = %self.address, %error, "cannot connect");
                return Err(Over::Quiet);
            }
            Ok(Ok(stream)) => stream,
        };
        stream.set_nodelay(true).map_err(Over::Broken)?;
        self.report(What::Connected).await?;
        Ok(stream)
    }

    async fn talk(&mut self, mut stream: TcpStream) -> Over {
        let mut output = Vec::new();
        if let Some(secret) = &self.secret {
            let Credentials { user, password } = Credentials::member(secret.reveal());
            write::request(&mut output, &["AUTH", user.as_deref().unwrap_or_default(), &password]);
        }
        let (mut input, mut heard) = (Vec::new(), Instant::now());
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (mut reading, mut writing) = stream.split();
            tokio::select! {
                read = read_some(&mut reading, &mut input) => {
                    if let Err(error) = read {
                        return Over::Broken(error);
                    }
                    heard = Instant::now();
                    if let Err(over) = self.take_all(&mut input).await {
                        return over;
                    }
                }
                written = writing.write(&output), if !output.is_empty() => match written {
                    Ok(len) => drop(output.drain(..len)),
                    Err(error) => return Over::Broken(error),
                },
                Some(word) = self.waiting.recv(), if output.len() < LIMITS.bulk_bytes_max => {
                    output.extend_from_slice(&word);
                }
                _ = pings.tick() => {
                    if heard.elapsed() > QUIET_MAX {
                        return Over::Quiet;
                    }
                    // Unsent bytes are a ping already.
                    if output.is_empty() {
                        self.seq += 1;
                        let ping = ToNode::Ping { seq: self.seq, proxy: self.me.clone() };
                        output.extend(request(&ping));
                    }
                }
            }
        }
    }

    /// Reports each whole answer, and leaves the beginning of the next.
    async fn take_all(&mut self, input: &mut Vec<u8>) -> Result<(), Over> {
        let nonsense = |text: &[u8]| Over::Nonsense(String::from_utf8_lossy(text).into_owned());
        loop {
            let (frame, len) = match Frame::parse(input, &LIMITS) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Over::Nonsense(error.text)),
            };
            input.drain(..len);
            match frame {
                Frame::Bulk(json) => match serde_json::from_slice(&json) {
                    Ok(word) => self.report(What::Said(word)).await?,
                    Err(error) => return Err(Over::Nonsense(error.to_string())),
                },
                // The answer to AUTH.
                Frame::Simple(_) => {}
                Frame::Error(text) => return Err(nonsense(&text)),
                _ => return Err(nonsense(b"an answer that is none")),
            }
        }
    }

    async fn report(&self, what: What) -> Result<(), Over> {
        let seen = Seen { node: self.node.clone(), what };
        self.reports.send(seen).await.map_err(|_| Over::Unheard)
    }
}

/// Whether the machine answered that nobody listens there.
fn is_death(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | ConnectionAborted)
}

async fn read_some(reading: &mut (impl AsyncReadExt + Unpin), input: &mut Vec<u8>) -> io::Result<()> {
    input.reserve(READ_BYTES);
    match reading.read_buf(input).await? {
        0 => Err(io::ErrorKind::ConnectionReset.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        sync::Mutex,
    };

    use slotway_cluster::{Epoch, ShardId};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn refused() -> FromNode {
        FromNode::Refused { shard: ShardId(1), epoch: Epoch(1), seen: Epoch(2), why: "as it is".into() }
    }

    /// Reads until `text` has come.
    fn read_until(stream: &mut TcpStream, text: &str) -> String {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut seen = String::new();
        while !seen.contains(text) {
            let mut chunk = [0; 4096];
            let len = stream.read(&mut chunk).unwrap();
            assert!(len > 0, "closed after {seen}");
            seen.push_str(std::str::from_utf8(&chunk[..len]).unwrap());
        }
        seen
    }

    fn links(listener: &TcpListener) -> (PulseLinks, mpsc::Receiver<Seen>) {
        let (reports, seen) = mpsc::channel(16);
        let secret = Some(Secret::new("s3cret"));
        let mut links = PulseLinks::new(ProxyId("p1".into()), secret, reports);
        let address = listener.local_addr().unwrap().to_string();
        links.lead_to([(&NodeId("n1".into()), address.as_str())]);
        (links, seen)
    }

    async fn next(seen: &mut mpsc::Receiver<Seen>) -> What {
        timeout(PATIENCE, seen.recv()).await.unwrap().unwrap().what
    }

    #[tokio::test]
    async fn a_link_proves_itself_pings_says_what_it_is_told_and_reports_what_it_hears() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (links, mut seen) = links(&listener);
        let node = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let said = read_until(&mut stream, "\"seq\":2");
            let json = serde_json::to_string(&refused()).unwrap();
            // In two pieces, as networks like it.
            let answer = format!("+OK\r\n${}\r\n{json}\r\n", json.len());
            let (one, other) = answer.as_bytes().split_at(20);
            stream.write_all(one).unwrap();
            stream.write_all(other).unwrap();
            (said + &read_until(&mut stream, "fence"), stream)
        });
        assert!(matches!(next(&mut seen).await, What::Connected));
        assert!(matches!(next(&mut seen).await, What::Said(word) if word == refused()));
        links.say(&NodeId("n1".into()), &ToNode::Fence { shard: ShardId(1), epoch: Epoch(2) });
        links.say(&NodeId("n9".into()), &ToNode::Fence { shard: ShardId(1), epoch: Epoch(2) });
        let (said, stream) = node.await.unwrap();
        assert!(said.starts_with("*3\r\n$4\r\nAUTH\r\n$7\r\nslotway\r\n$6\r\ns3cret\r\n"), "{said}");
        assert!(said.contains("\"say\":\"ping\"") && said.contains("\"proxy\":\"p1\""), "{said}");
        drop(stream);
        assert!(matches!(next(&mut seen).await, What::Broken));
        assert!(matches!(next(&mut seen).await, What::Broken), "nobody listens any more");
    }

    #[tokio::test]
    async fn a_node_that_says_nothing_is_connected_to_again_and_not_reported_as_broken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_links, mut seen) = links(&listener);
        for _ in 0..2 {
            // The machine accepts for a node that is stopped.
            assert!(matches!(next(&mut seen).await, What::Connected));
        }
    }

    #[tokio::test]
    async fn garbage_ends_a_connection_and_the_next_is_tried() {
        for garbage in ["$3\r\nabc\r\n", "?\r\n", "*1\r\n:1\r\n", "-WRONGPASS no\r\n", "$99999999999\r\n"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (_links, mut seen) = links(&listener);
            let streams = Arc::new(Mutex::new(Vec::new()));
            let kept = Arc::clone(&streams);
            let node = tokio::task::spawn_blocking(move || {
                for _ in 0..2 {
                    let (mut stream, _) = listener.accept().unwrap();
                    stream.write_all(garbage.as_bytes()).unwrap();
                    kept.lock().unwrap().push(stream);
                }
            });
            for _ in 0..2 {
                assert!(matches!(next(&mut seen).await, What::Connected), "{garbage:?}");
            }
            node.await.unwrap();
        }
    }

    #[tokio::test]
    async fn nodes_that_are_no_longer_wanted_hear_nothing_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut links, mut seen) = links(&listener);
        assert!(matches!(next(&mut seen).await, What::Connected));
        let (mut stream, _) = listener.accept().unwrap();
        links.lead_to([]);
        let ended = tokio::task::spawn_blocking(move || {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all)
        });
        ended.await.unwrap().unwrap();
    }
}
