//! The physical limit of a proxy: finds frame ends and slots, and multiplexes; merges, checks and times nothing.
//!
//! One thread, one connection to each backend, the requests of all clients interleaved on it. A backend answers in
//! order, so a queue per backend says whose reply comes next; a client is answered in order, so a queue per client
//! holds the replies that came before their turn. No hash tags, no requests over several keys, no errors of its own.
//! Buffers of held replies are used again: nothing is allocated per request once warm.

use slotway_tests::bench::connection::{Connection, INPUT_BYTES, Received};
use slotway_tests::bench::failure::{Failure, While};
use slotway_tests::bench::flags::{Flag, Flags};
use slotway_tests::bench::wire;
use slotway_tests::syscall::{Epoll, Events};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;

const USAGE: &str = "slotway-limit-mux --port P --backends ADDR,ADDR,...";
const FLAGS: &[Flag] = &[
    Flag { name: "port", takes: "P", meaning: "where to listen, on 127.0.0.1" },
    Flag { name: "backends", takes: "ADDR,...", meaning: "equal ranges of slots in this order" },
];

/// The listener's token. Backends have their index, clients theirs from `FIRST_CLIENT` on.
const LISTENER: u64 = u64::MAX;
const FIRST_CLIENT: u64 = 1 << 32;

struct Mux {
    epoll: Epoll,
    clients: Vec<Client>,
    backends: Vec<Backend>,
    /// Who got output in this turn and is to be flushed at its end.
    touched: Touched,
    /// Empty buffers for held replies.
    spare: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Touched {
    clients: Vec<usize>,
    backends: Vec<usize>,
}

struct Client {
    /// `None` once it has left. Its place is used again when the backends have answered all it asked.
    connection: Option<Connection>,
    /// The number of its first unanswered request.
    first: u64,
    /// Its unanswered requests in order: the reply, if that came before its turn.
    waiting: VecDeque<Option<Vec<u8>>>,
    touched: bool,
}

struct Backend {
    connection: Connection,
    /// Whose replies are to come, in order.
    owed: VecDeque<Owed>,
    touched: bool,
}

struct Owed {
    client: usize,
    number: u64,
}

fn main() -> ExitCode {
    let Err(failure) = start();
    eprintln!("slotway-limit-mux: {failure}");
    ExitCode::FAILURE
}

fn start() -> Result<Infallible, Failure> {
    let flags = Flags::parse(USAGE, FLAGS, std::env::args().skip(1))?;
    let port: u16 = flags.need("port")?;
    let backends: String = flags.need("backends")?;
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).during(&format!("listening on port {port}"))?;
    serve(&listener, backends.split(','))
}

fn serve<'a>(
    listener: &TcpListener,
    addresses: impl Iterator<Item = &'a str>,
) -> Result<Infallible, Failure> {
    let epoll = Epoll::new().during("making an epoll")?;
    let mut backends = Vec::new();
    for (index, address) in addresses.enumerate() {
        let stream = TcpStream::connect(address).during(&format!("connecting to {address}"))?;
        let connection =
            Connection::register(stream, &epoll, index as u64, INPUT_BYTES).during("registering")?;
        backends.push(Backend { connection, owed: VecDeque::new(), touched: false });
    }
    listener.set_nonblocking(true).during("listening")?;
    epoll.add(listener, LISTENER).during("watching the listener")?;
    let mut mux =
        Mux { epoll, clients: Vec::new(), backends, touched: Touched::default(), spare: Vec::new() };
    let mut events = Events::with_capacity(256);
    loop {
        mux.epoll.wait(&mut events, None).during("waiting")?;
        for index in 0..events.len() {
            let event = events.get(index);
            let place = usize::try_from(event.token & (FIRST_CLIENT - 1)).unwrap_or(0);
            match event.token {
                LISTENER => mux.accept(listener),
                FIRST_CLIENT.. => mux.requests_of(place, event.writable),
                _ => mux.replies_of(place, event.writable)?,
            }
        }
        mux.flush_touched();
    }
}

impl Mux {
    fn accept(&mut self, listener: &TcpListener) {
        let Ok((stream, _)) = listener.accept() else { return };
        let free =
            self.clients.iter().position(|client| client.connection.is_none() && client.waiting.is_empty());
        let place = free.unwrap_or(self.clients.len());
        if free.is_none() {
            self.clients.push(Client {
                connection: None,
                first: 0,
                waiting: VecDeque::new(),
                touched: false,
            });
        }
        let token = FIRST_CLIENT + place as u64;
        self.clients[place].connection = Connection::register(stream, &self.epoll, token, INPUT_BYTES).ok();
    }

    /// Passes a client's requests on to the backends of their slots.
    fn requests_of(&mut self, place: usize, writable: bool) {
        let Mux { epoll, clients, backends, touched, .. } = self;
        let Client { connection, first, waiting, .. } = &mut clients[place];
        let Some(live) = connection else { return };
        if writable && live.flush(epoll).is_err() {
            *connection = None;
            return;
        }
        match live.receive() {
            Received::Bytes => {}
            Received::Nothing => return,
            Received::Closed => {
                *connection = None;
                return;
            }
        }
        let bytes = live.input();
        let mut at = 0;
        while let Some(request) = wire::request(&bytes[at..]) {
            let whole = &bytes[at..at + request.len];
            let index = backend_of(request.key, backends.len());
            let backend = &mut backends[index];
            backend.owed.push_back(Owed { client: place, number: *first + waiting.len() as u64 });
            waiting.push_back(None);
            backend.connection.output().extend_from_slice(whole);
            if !std::mem::replace(&mut backend.touched, true) {
                touched.backends.push(index);
            }
            at += request.len;
        }
        live.consume(at);
    }

    /// Hands a backend's replies to the clients they are owed, each in its turn.
    fn replies_of(&mut self, place: usize, writable: bool) -> Result<(), Failure> {
        let Mux { epoll, clients, backends, touched, spare } = self;
        let Backend { connection, owed, .. } = &mut backends[place];
        if writable {
            connection.flush(epoll).during("writing to a backend")?;
        }
        match connection.receive() {
            Received::Bytes => {}
            Received::Nothing => return Ok(()),
            Received::Closed => return Err(Failure::Worthless(format!("backend {place} closed"))),
        }
        let bytes = connection.input();
        let mut at = 0;
        while let Some(reply) = wire::reply(&bytes[at..]) {
            let whole = &bytes[at..at + reply.len];
            at += reply.len;
            let Some(Owed { client: index, number }) = owed.pop_front() else {
                return Err(Failure::Worthless(format!("backend {place} answers what nobody asked")));
            };
            let client = &mut clients[index];
            if number == client.first {
                client.answer(whole, spare);
                if !std::mem::replace(&mut client.touched, true) {
                    touched.clients.push(index);
                }
            } else {
                let mut held = spare.pop().unwrap_or_default();
                held.extend_from_slice(whole);
                client.waiting[usize::try_from(number - client.first).unwrap_or(0)] = Some(held);
            }
        }
        connection.consume(at);
        Ok(())
    }

    /// One write for all that a turn has collected.
    fn flush_touched(&mut self) {
        for index in self.touched.backends.drain(..) {
            let backend = &mut self.backends[index];
            backend.touched = false;
            // A broken backend ends the program at the next read.
            let _broken = backend.connection.flush(&self.epoll);
        }
        for index in self.touched.clients.drain(..) {
            let client = &mut self.clients[index];
            client.touched = false;
            if client.connection.as_mut().is_some_and(|connection| connection.flush(&self.epoll).is_err()) {
                client.connection = None;
            }
        }
    }
}

impl Client {
    /// Answers the first waiting request, and those behind it whose replies were held.
    fn answer(&mut self, reply: &[u8], spare: &mut Vec<Vec<u8>>) {
        let mut output = self.connection.as_mut().map(Connection::output);
        if let Some(output) = &mut output {
            output.extend_from_slice(reply);
        }
        self.waiting.pop_front();
        self.first += 1;
        while let Some(Some(held)) = self.waiting.front_mut() {
            let mut held = std::mem::take(held);
            if let Some(output) = &mut output {
                output.extend_from_slice(&held);
            }
            held.clear();
            spare.push(held);
            self.waiting.pop_front();
            self.first += 1;
        }
    }
}

/// The backend whose range holds the key's slot.
fn backend_of(key: &[u8], backends: usize) -> usize {
    let slot = usize::from(crc16(key)) % 16384;
    slot * backends / 16384
}

/// CRC16 as Redis Cluster uses it (XMODEM).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ CRC16[usize::from((crc >> 8).to_be_bytes()[1] ^ byte)])
}

static CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut index: u16 = 0;
    while index < 256 {
        let mut crc = index << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[index as usize] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::thread;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(backend_of(b"foo", 3), 2, "slot 12182");
        assert_eq!(backend_of(b"bar", 3), 0, "slot 5061");
    }

    /// Answers each request with its key, beginning when so many requests are there.
    fn echo_keys(begin_at: usize) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut received, mut replies, mut seen) = (Vec::new(), Vec::new(), 0);
            let mut room = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut room) {
                received.extend_from_slice(&room[..read]);
                let mut at = 0;
                while let Some(request) = wire::request(&received[at..]) {
                    replies.extend_from_slice(format!("${}\r\n", request.key.len()).as_bytes());
                    replies.extend_from_slice(request.key);
                    replies.extend_from_slice(b"\r\n");
                    at += request.len;
                    seen += 1;
                }
                received.drain(..at);
                if seen >= begin_at {
                    stream.write_all(&replies).unwrap();
                    replies.clear();
                }
            }
        });
        address
    }

    #[test]
    fn every_client_gets_its_own_replies_in_its_own_order() {
        let keys = |client: usize| (0..500).map(move |number| format!("key:{client}:{number:04}"));
        let owned_by = |backend: usize| {
            (0..3).flat_map(keys).filter(|key| backend_of(key.as_bytes(), 3) == backend).count()
        };
        // One backend answers at once, one from its half on, one only at the end: replies come in anything but order.
        let backends = [echo_keys(0), echo_keys(owned_by(1) / 2), echo_keys(owned_by(2))];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, backends.iter().map(String::as_str)));
        let mut clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        for (index, client) in clients.iter_mut().enumerate() {
            let requests: String =
                keys(index).map(|key| format!("*2\r\n$3\r\nGET\r\n$10\r\n{key}\r\n")).collect();
            client.write_all(requests.as_bytes()).unwrap();
        }
        for (index, client) in clients.iter_mut().enumerate() {
            client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
            let expected: String = keys(index).map(|key| format!("$10\r\n{key}\r\n")).collect();
            let mut replies = vec![0; expected.len()];
            client.read_exact(&mut replies).unwrap();
            assert_eq!(String::from_utf8_lossy(&replies), expected, "client {index}");
        }
    }
}
