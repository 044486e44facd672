//! The physical limit of a node: answers a constant to every request and stores nothing.
//!
//! What it costs is what sockets, epoll and finding the end of a request cost. A node's own work is the difference.

use slotway_tests::bench::connection::{Connection, INPUT_BYTES, Received};
use slotway_tests::bench::failure::{Failure, While};
use slotway_tests::bench::flags::{Flag, Flags};
use slotway_tests::bench::wire;
use slotway_tests::syscall::{Epoll, Events};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

const USAGE: &str = "slotway-limit-null --port P [--value-bytes N]";
const FLAGS: &[Flag] = &[
    Flag { name: "port", takes: "P", meaning: "where to listen, on 127.0.0.1" },
    Flag { name: "value-bytes", takes: "N", meaning: "bytes of the constant value (64)" },
];

/// The listener's token; connections have their index.
const LISTENER: u64 = u64::MAX;

fn main() -> ExitCode {
    let Err(failure) = serve();
    eprintln!("slotway-limit-null: {failure}");
    ExitCode::FAILURE
}

fn serve() -> Result<std::convert::Infallible, Failure> {
    let flags = Flags::parse(USAGE, FLAGS, std::env::args().skip(1))?;
    let value_bytes: usize = flags.get_or("value-bytes", 64)?;
    let bulk = format!("${value_bytes}\r\n{}\r\n", "x".repeat(value_bytes)).into_bytes();
    let port: u16 = flags.need("port")?;
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).during(&format!("listening on port {port}"))?;
    listener.set_nonblocking(true).during("listening")?;
    let epoll = Epoll::new().during("making an epoll")?;
    epoll.add(&listener, LISTENER).during("watching the listener")?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Events::with_capacity(256);
    loop {
        epoll.wait(&mut events, None).during("waiting")?;
        for index in 0..events.len() {
            let event = events.get(index);
            if event.token == LISTENER {
                accept(&listener, &epoll, &mut connections);
                continue;
            }
            let place = &mut connections[usize::try_from(event.token).unwrap_or(0)];
            let Some(connection) = place else { continue };
            if !answer(connection, &epoll, &bulk) {
                *place = None;
            }
        }
    }
}

/// Takes one connection into the first free place: later events still come for the others.
fn accept(listener: &TcpListener, epoll: &Epoll, connections: &mut Vec<Option<Connection>>) {
    let Ok((stream, _)) = listener.accept() else { return };
    let place = connections.iter().position(Option::is_none).unwrap_or(connections.len());
    if place == connections.len() {
        connections.push(None);
    }
    connections[place] = Connection::register(stream, epoll, place as u64, INPUT_BYTES).ok();
}

/// Answers every whole request that is there; false when the connection is over.
fn answer(connection: &mut Connection, epoll: &Epoll, bulk: &[u8]) -> bool {
    match connection.receive() {
        Received::Bytes => {}
        Received::Nothing => return connection.flush(epoll).is_ok(),
        Received::Closed => return false,
    }
    let (bytes, output) = connection.both();
    let mut at = 0;
    while let Some(request) = wire::request(&bytes[at..]) {
        // Two calls, not one with either: the constant is then stored without a call to copy it.
        if request.initial == b'g' {
            output.extend_from_slice(bulk);
        } else {
            output.extend_from_slice(b"+OK\r\n");
        }
        at += request.len;
    }
    connection.consume(at);
    connection.flush(epoll).is_ok()
}
