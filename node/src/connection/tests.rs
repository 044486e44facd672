//! Many connections in one runtime with their clients: what clients send between two turns of the runtime meets in one
//! wave, however it is cut, and the test decides what happens meanwhile.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    time::{Duration, Instant},
};

use proptest::prelude::*;
use slotway_config::{Program, Settings};
use slotway_resp::{Frame, Limits, write};
use socket2::SockRef;
use tokio::{runtime::LocalOptions, task::JoinSet};

use super::*;
use crate::{membership::Membership, node, pause::Purpose};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// So little that a large reply does not fit, and so much that TCP does not wait for small windows.
const SOCKET_BYTES: usize = 128 * 1024;
const LARGE_BYTES: usize = 6 * TURN_OUTPUT_BYTES;

/// A node without its server: the test connects the clients.
pub(crate) struct Hall {
    pub(crate) thread: Rc<Thread>,
    pub(crate) tasks: JoinSet<()>,
    listener: TcpListener,
}

/// The other end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) client: Rc<Client>,
    pub(crate) received: Vec<u8>,
    pub(crate) is_closed: bool,
}

/// Runs a test beside a node, on one thread.
pub(crate) fn in_hall(test: impl AsyncFnOnce(&mut Hall)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let membership = Membership::load(&std::env::temp_dir().join("no directory of a node")).unwrap();
        let node = Node::new(Settings::defaults(Program::Node), None, membership, 0);
        let (thread, _helper) = Thread::new(node).unwrap();
        let thread = Rc::new(thread);
        let mut tasks = JoinSet::new();
        tasks.spawn_local(run_waves(Rc::clone(&thread)));
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut hall = Hall { thread, tasks, listener };
        test(&mut hall).await;
        hall.tasks.shutdown().await;
    });
}

impl Hall {
    pub(crate) fn connect(&mut self) -> Peer {
        let stream = std::net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = self.listener.accept().unwrap();
        SockRef::from(&stream).set_recv_buffer_size(SOCKET_BYTES).unwrap();
        SockRef::from(&accepted).set_send_buffer_size(SOCKET_BYTES).unwrap();
        for stream in [&stream, &accepted] {
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
        }
        let clients = &mut self.thread.node.borrow_mut().clients;
        let end = slotway_link::End::Tcp(peer);
        let client = Rc::new(Client::new(clients.next_id(), end.clone(), end, 0, node::now()));
        clients.insert(Rc::clone(&client));
        let connection = Connection::new(TcpStream::from_std(accepted).unwrap(), Rc::clone(&client));
        self.tasks.spawn_local(run(connection, Rc::clone(&self.thread)));
        Peer { stream, client, received: Vec::new(), is_closed: false }
    }

    /// Lets the runtime look at all sockets and run what is ready.
    pub(crate) async fn turn(&self) {
        tokio::task::yield_now().await;
    }

    /// Turns until it is so; fails at the deadline.
    pub(crate) async fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "not in time: {what}");
            self.turn().await;
        }
    }

    /// Has the peers connected and asleep, so that what they send next meets in a wave.
    pub(crate) async fn peers<const N: usize>(&mut self) -> [Peer; N] {
        let mut peers = [(); N].map(|()| self.connect());
        for peer in &mut peers {
            peer.send(b"PING\r\n");
            self.expect(peer, "+PONG\r\n").await;
        }
        peers
    }

    pub(crate) async fn expect(&self, peer: &mut Peer, expected: &str) {
        self.until(&format!("{expected:?}"), || {
            peer.receive();
            peer.received.len() >= expected.len()
        })
        .await;
        assert_eq!(String::from_utf8_lossy(&peer.received), expected);
        peer.received.clear();
    }

    /// Gives the key `large` its value.
    async fn set_large(&self, peer: &mut Peer) {
        peer.send(format!("SETRANGE large {} v\r\n", LARGE_BYTES - 1).as_bytes());
        self.expect(peer, &format!(":{LARGE_BYTES}\r\n")).await;
    }

    pub(crate) async fn expect_end(&self, peer: &mut Peer) {
        self.until("the connection ends", || {
            peer.receive();
            peer.is_closed
        })
        .await;
    }
}

impl Peer {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// As [`Peer::send`], for more than the socket takes at once.
    pub(crate) async fn send_all(&mut self, hall: &Hall, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => hall.turn().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes what has come.
    pub(crate) fn receive(&mut self) {
        let mut piece = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return self.is_closed = true,
                Ok(len) => self.received.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.is_closed = true,
            }
        }
    }
}

/// The value of the key `large`.
fn large() -> Vec<u8> {
    let mut value = vec![0; LARGE_BYTES];
    value[LARGE_BYTES - 1] = b'v';
    value
}

#[test]
fn requests_of_many_clients_are_answered_in_one_wave() {
    in_hall(async |hall| {
        let mut peers = hall.peers::<10>().await;
        let reads = hall.thread.node.borrow().statistics.reads;
        peers.iter_mut().for_each(|peer| peer.send(b"INCR n\r\n"));
        hall.until("all are read", || hall.thread.node.borrow().statistics.reads == reads + 10).await;
        for (peer, expected) in peers.iter_mut().zip(1..) {
            hall.expect(peer, &format!(":{expected}\r\n")).await;
        }
    });
}

#[test]
fn a_client_that_another_one_of_the_wave_kills_ends_and_its_request_is_not_run() {
    in_hall(async |hall| {
        let [mut boss, mut victim, mut other] = hall.peers().await;
        boss.send(format!("CLIENT KILL ID {}\r\n", victim.client.id.0).as_bytes());
        victim.send(b"SET k v\r\n");
        other.send(b"EXISTS k\r\n");
        hall.expect(&mut boss, ":1\r\n").await;
        hall.expect(&mut other, ":0\r\n").await;
        hall.expect_end(&mut victim).await;
        assert!(victim.received.is_empty());
        hall.until("it is no client any more", || hall.thread.node.borrow().clients.len() == 2).await;
    });
}

#[test]
fn a_client_that_went_while_its_request_was_in_the_wave_is_served_and_forgotten() {
    in_hall(async |hall| {
        let [mut leaver, mut other] = hall.peers().await;
        leaver.send(b"SET k v\r\n");
        leaver.stream.shutdown(Shutdown::Both).unwrap();
        other.send(b"GET k\r\n");
        hall.expect(&mut other, "$1\r\nv\r\n").await;
        hall.until("it is no client any more", || hall.thread.node.borrow().clients.len() == 1).await;
    });
}

#[test]
fn who_is_paused_in_a_wave_goes_on_when_another_one_of_it_ends_the_pause() {
    in_hall(async |hall| {
        let [mut boss, mut writer, mut other] = hall.peers().await;
        boss.send(b"CLIENT PAUSE 1000000 WRITE\r\n");
        writer.send(b"GET k\r\nSET k v\r\nGET k\r\n");
        other.send(b"CLIENT UNPAUSE\r\nSET k w\r\n");
        hall.expect(&mut boss, "+OK\r\n").await;
        hall.expect(&mut other, "+OK\r\n+OK\r\n").await;
        hall.expect(&mut writer, "$-1\r\n+OK\r\n$1\r\nv\r\n").await;
    });
}

#[test]
fn a_request_that_comes_while_the_first_is_in_the_wave_is_read_behind_it() {
    in_hall(async |hall| {
        let [mut slow, mut sender] = hall.peers().await;
        // So many that the thread must look at the sockets again before the wave runs.
        let mut crowd: Vec<Peer> = (0..100).map(|_| hall.connect()).collect();
        slow.send(b"PING\r\n");
        crowd.iter_mut().for_each(|peer| peer.send(b"PING\r\n"));
        sender.send(b"ECHO a\r\n");
        hall.turn().await;
        sender.send(b"ECHO b\r\n");
        hall.expect(&mut sender, "$1\r\na\r\n$1\r\nb\r\n").await;
        for peer in crowd.iter_mut().chain([&mut slow]) {
            hall.expect(peer, "+PONG\r\n").await;
        }
    });
}

#[test]
fn large_replies_of_a_wave_wait_for_their_clients_and_for_nobody_else() {
    in_hall(async |hall| {
        let [mut one, mut two, mut three] = hall.peers().await;
        hall.set_large(&mut one).await;
        let large = format!("${LARGE_BYTES}\r\n{}\r\n", String::from_utf8(large()).unwrap());
        one.send(b"GET large\r\nGET large\r\nPING\r\n");
        two.send(b"GET large\r\nPING\r\n");
        three.send(b"PING\r\n");
        hall.expect(&mut three, "+PONG\r\n").await;
        assert!(one.client.output_bytes.get() > 0 && two.client.output_bytes.get() > 0, "the replies wait");
        hall.expect(&mut two, &format!("{large}+PONG\r\n")).await;
        hall.expect(&mut one, &format!("{large}{large}+PONG\r\n")).await;
    });
}

/// What a client asks, and what it is to be told.
#[derive(Debug, Clone)]
enum Ask {
    Ping,
    Set(usize),
    Get,
    /// Of a number that all clients count.
    Count,
    Transaction,
    Nonsense,
    Large,
    Pause,
    Quit,
    Break,
}

#[derive(Debug, Clone)]
enum Step {
    /// The client sends so many bytes of what it has to say.
    Send(usize, usize),
    Receive(usize),
    Turn,
    Unpause,
    /// The client goes without a word.
    Vanish(usize),
}

const CLIENTS: usize = 8;

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        6 => Just(Ask::Ping),
        4 => (0usize..40).prop_map(Ask::Set),
        1 => (1000usize..3000).prop_map(Ask::Set),
        6 => Just(Ask::Get),
        8 => Just(Ask::Count),
        3 => Just(Ask::Transaction),
        2 => Just(Ask::Nonsense),
        1 => Just(Ask::Large),
        1 => Just(Ask::Pause),
        1 => Just(Ask::Quit),
        1 => Just(Ask::Break),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        16 => (client.clone(), 1usize..80).prop_map(|(client, bytes)| Step::Send(client, bytes)),
        4 => (client.clone(), 80usize..4000).prop_map(|(client, bytes)| Step::Send(client, bytes)),
        2 => client.clone().prop_map(Step::Receive),
        8 => Just(Step::Turn),
        2 => Just(Step::Unpause),
        1 => client.prop_map(Step::Vanish),
    ]
}

/// The bytes of a client's requests and the replies to them. None: some number.
fn script(client: usize, asks: &[Ask]) -> (VecDeque<u8>, VecDeque<Option<Frame>>) {
    let (mut bytes, mut replies) = (Vec::new(), VecDeque::new());
    let ok = || Some(Frame::Simple(b"OK".to_vec()));
    let queued = || Some(Frame::Simple(b"QUEUED".to_vec()));
    let key = format!("key:{client}");
    let mut value = Frame::NullBulk;
    for ask in asks {
        match ask {
            Ask::Ping => {
                bytes.extend_from_slice(b"PING\r\n");
                replies.push_back(Some(Frame::Simple(b"PONG".to_vec())));
            }
            Ask::Set(len) => {
                let text = "x".repeat(*len);
                write::request(&mut bytes, &["SET", &key, &text]);
                value = Frame::Bulk(text.into());
                replies.push_back(ok());
            }
            Ask::Get => {
                write::request(&mut bytes, &["GET", &key]);
                replies.push_back(Some(value.clone()));
            }
            Ask::Count => {
                write::request(&mut bytes, &["INCR", "count"]);
                replies.push_back(None);
            }
            Ask::Transaction => {
                bytes.extend_from_slice(format!("MULTI\r\nSET {key} t\r\nGET {key}\r\nEXEC\r\n").as_bytes());
                value = Frame::Bulk(b"t".to_vec());
                let results = vec![Frame::Simple(b"OK".to_vec()), value.clone()];
                replies.extend([ok(), queued(), queued(), Some(Frame::Array(results))]);
            }
            Ask::Nonsense => {
                bytes.extend_from_slice(b"GET\r\n");
                let text = b"ERR wrong number of arguments for 'get' command";
                replies.push_back(Some(Frame::Error(text.to_vec())));
            }
            Ask::Large => {
                write::request(&mut bytes, &["GET", "large"]);
                replies.push_back(Some(Frame::Bulk(large())));
            }
            Ask::Pause => {
                bytes.extend_from_slice(b"CLIENT PAUSE 1000000 WRITE\r\n");
                replies.push_back(ok());
            }
            Ask::Quit => {
                bytes.extend_from_slice(b"QUIT\r\n");
                replies.push_back(ok());
                return (bytes.into(), replies);
            }
            Ask::Break => {
                bytes.extend_from_slice(b"*1\r\n!\r\n");
                let text = b"ERR Protocol error: expected '$', got '!'";
                replies.push_back(Some(Frame::Error(text.to_vec())));
                return (bytes.into(), replies);
            }
        }
    }
    (bytes.into(), replies)
}

/// One client of the property, with what it has still to say and to hear.
struct Talker {
    peer: Option<Peer>,
    to_send: VecDeque<u8>,
    to_hear: VecDeque<Option<Frame>>,
    ends: bool,
}

impl Talker {
    fn send(&mut self, len: usize) {
        let Some(peer) = &mut self.peer else { return };
        let len = len.min(self.to_send.len());
        let bytes: Vec<u8> = self.to_send.iter().copied().take(len).collect();
        if let Ok(sent) = peer.stream.write(&bytes) {
            self.to_send.drain(..sent);
        }
    }

    /// Checks what has come; numbers go to `counted`.
    fn receive(&mut self, counted: &mut BTreeSet<i64>) {
        let Some(peer) = &mut self.peer else { return };
        peer.receive();
        let mut done = 0;
        while let Some((frame, len)) = Frame::parse(&peer.received[done..], &Limits::REPLY).unwrap() {
            done += len;
            match (self.to_hear.pop_front().expect("a reply too many"), frame) {
                (None, Frame::Integer(count)) => assert!(counted.insert(count), "{count} was counted twice"),
                (Some(expected), frame) => assert!(frame == expected, "another reply than {expected:?}"),
                (None, frame) => panic!("no number: {frame:?}"),
            }
        }
        peer.received.drain(..done);
    }

    fn is_done(&self) -> bool {
        match &self.peer {
            Some(peer) => self.to_send.is_empty() && self.to_hear.is_empty() && peer.is_closed == self.ends,
            None => true,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered_once_and_in_order_whatever_happens_to_the_waves(
        asks in proptest::collection::vec(proptest::collection::vec(ask(), 0..30), CLIENTS),
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        in_hall(async |hall| converse(hall, &asks, &steps).await);
    }
}

async fn converse(hall: &mut Hall, asks: &[Vec<Ask>], steps: &[Step]) {
    let mut first = hall.connect();
    hall.set_large(&mut first).await;
    let mut counted = BTreeSet::new();
    let mut talkers: Vec<Talker> = Vec::new();
    for (client, asks) in asks.iter().enumerate() {
        let (to_send, to_hear) = script(client, asks);
        let ends = asks.iter().any(|ask| matches!(ask, Ask::Quit | Ask::Break));
        talkers.push(Talker { peer: Some(hall.connect()), to_send, to_hear, ends });
    }
    for step in steps {
        match *step {
            Step::Send(client, bytes) => talkers[client].send(bytes),
            Step::Receive(client) => talkers[client].receive(&mut counted),
            Step::Turn => hall.turn().await,
            Step::Unpause => hall.thread.node.borrow_mut().unpause(Purpose::Operator),
            Step::Vanish(client) => talkers[client].peer = None,
        }
    }
    hall.until("everything is answered", || {
        hall.thread.node.borrow_mut().unpause(Purpose::Operator);
        for talker in &mut talkers {
            talker.send(usize::MAX);
            talker.receive(&mut counted);
        }
        talkers.iter().all(Talker::is_done)
    })
    .await;
    let open = 1 + talkers.iter().filter(|talker| talker.peer.is_some() && !talker.ends).count();
    hall.until("who has gone is forgotten", || hall.thread.node.borrow().clients.len() == open).await;
}
