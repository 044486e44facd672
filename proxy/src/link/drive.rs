//! The task of a link: connect, introduce itself, pass replies on, and connect again when the connection breaks.

use std::{
    future::poll_fn,
    io,
    ops::ControlFlow,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use slotway_cluster::topology::Kind;
use slotway_link::Backoff;
use slotway_resp::{Frame, Limits, Scanner, Version, write};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedReadHalf},
};

use crate::{
    errors::STALE,
    inbox::Inbox,
    link::{Link, Reach, Trace},
    thread::Thread,
};

/// Bytes of the replies to what a link says first.
const INTRODUCTION_BYTES_MAX: usize = 64 * 1024;

/// So much of large replies is read before their clients' sockets are looked at and written again.
const ARRIVING_BYTES_PER_TURN: usize = 64 * 1024;

/// Runs a link until its owner drops the task.
pub(crate) async fn run(thread: Rc<Thread>, link: Rc<Link>) {
    let mut backoff = {
        let limits = thread.limits();
        Backoff::new(limits.backoff_min, limits.backoff_max)
    };
    let mut versions = thread.shared.versions.clone();
    while !thread.has_outlived(&link) {
        let connect_max = Duration::from_micros(thread.limits().connect_us_max);
        versions.mark_unchanged();
        let attempt = tokio::time::timeout(connect_max, connect(&thread, &link)).await;
        let mut behind = false;
        match attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(_) if thread.has_outlived(&link) => break,
            Ok(stream) => {
                let (reader, writer) = stream.into_split();
                tracing::debug!(address = %link.key.address, "link is up");
                link.opened(&thread, writer);
                let end = pass_on_replies(&thread, &link, reader).await;
                tracing::info!(address = %link.key.address, shard = %link.shard.get(), reason = %end, "link to a node broke");
                link.broke(&thread);
                if link.answered.get() {
                    backoff.succeeded();
                }
            }
            Err(error) => {
                report(&link, backoff.failures(), &error);
                behind = says_stale(&error);
                link.stayed_down(&thread);
                if behind {
                    thread.counters.redirects[STALE].add(1);
                    thread.shared.stale.notify_one();
                }
            }
        }
        let rest = tokio::time::sleep(backoff.failed(thread.random()));
        tokio::select! {
            () = rest => {}
            // A member knows more than this proxy did: what that has learned now may be it.
            Ok(()) = versions.changed(), if behind => {}
        }
    }
    // What it holds finds its way; then the sweep takes it away.
    std::future::pending().await
}

/// A member would not take the link for an epoch that is over, or not its own.
fn says_stale(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|text| text.to_string().starts_with("STALE "))
}

/// The node is silent on the link's connection: looks whether it answers on a new one. If it does, the link gets a new
/// one, too. A member that has no lease answers PING and nothing about keys, on whatever connection, and may go on with what it
/// has: it is asked for more. Ends when the link is heard again.
pub(crate) async fn probe(thread: Rc<Thread>, link: Rc<Link>) {
    let mut backoff = {
        let limits = thread.limits();
        Backoff::new(limits.backoff_min, limits.backoff_max)
    };
    tracing::warn!(address = %link.key.address, shard = %link.shard.get(), "a node has stopped answering");
    while link.state().is_silent() {
        let connect_max = Duration::from_micros(thread.limits().connect_us_max);
        let answer = tokio::time::timeout(connect_max, ask(&thread, &link)).await;
        if matches!(answer, Ok(Ok(()))) && link.state().is_silent() {
            return link.begin_anew(&thread);
        }
        tokio::time::sleep(backoff.failed(thread.random())).await;
    }
}

/// The first failure of a row is news, the others are not.
fn report(link: &Link, failures: u32, error: &io::Error) {
    if failures == 0 {
        tracing::warn!(address = %link.key.address, shard = %link.shard.get(), %error, "cannot connect to a node");
    }
}

async fn connect(thread: &Thread, link: &Link) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(&*link.key.address).await?;
    slotway_link::tune(&stream, Some(Duration::from_secs(60)))?;
    introduce(thread, link, &mut stream).await?;
    Ok(stream)
}

/// Whether the node would answer what stands on the link, if it were asked on a new connection.
async fn ask(thread: &Thread, link: &Link) -> io::Result<()> {
    let mut stream = connect(thread, link).await?;
    if !link.is_to_member() {
        return Ok(());
    }
    let mut out = Vec::new();
    write::request(&mut out, &["DBSIZE"]);
    stream.write_all(&out).await?;
    match next_frame(&mut stream, &mut Vec::new()).await? {
        Frame::Integer(_) => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Brings a new connection into the state that every request on this link expects. The PING shows that the node would
/// answer them: not while it loads its data, wants a password or has lost its own primary.
async fn introduce(thread: &Thread, link: &Link, stream: &mut TcpStream) -> io::Result<()> {
    let mut requests: Vec<Vec<Vec<u8>>> = Vec::new();
    if let Some(credentials) = thread.node_credentials() {
        let user = credentials.user.iter().map(|user| user.as_bytes().to_vec());
        let words = [b"AUTH".to_vec()].into_iter().chain(user).chain([credentials.password.into_bytes()]);
        requests.push(words.collect());
    }
    if link.key.version == Version::Resp3 {
        requests.push(vec![b"HELLO".to_vec(), b"3".to_vec()]);
    }
    if link.is_to_member() {
        requests.push(link_words(thread, link));
    }
    if link.key.database.0 != 0 {
        requests.push(vec![b"SELECT".to_vec(), link.key.database.0.to_string().into_bytes()]);
    }
    if link.key.trace == Trace::None {
        requests.push(vec![b"CLIENT".to_vec(), b"NO-TOUCH".to_vec(), b"ON".to_vec()]);
    }
    let kind = thread.kind();
    if link.key.reach == Reach::Replica && kind != Kind::Redis {
        requests.push(vec![b"READONLY".to_vec()]);
    }
    requests.push(vec![b"PING".to_vec()]);
    let mut out = Vec::new();
    for words in &requests {
        write::request(&mut out, words);
    }
    stream.write_all(&out).await?;
    let mut received = Vec::new();
    for words in &requests {
        let frame = next_frame(stream, &mut received).await?;
        // A Redis before 7.2 knows no NO-TOUCH and counts every use: better than no answers at all. A Slotway node that
        // belongs to no cluster has no slots to be read-only about.
        let is_optional = words[0] == b"CLIENT" || words[0] == b"READONLY" && kind == Kind::Slotway;
        if let Frame::Error(text) = frame
            && !is_optional
        {
            let text = String::from_utf8_lossy(&text).into_owned();
            return Err(io::Error::other(text));
        }
    }
    match received.is_empty() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "more replies than requests")),
    }
}

/// Which reign this link is for, and how much of the control group's log this proxy has seen.
fn link_words(thread: &Thread, link: &Link) -> Vec<Vec<u8>> {
    let topology = thread.topology();
    let numbers = [u64::from(link.shard.get().0), link.key.epoch.0, topology.version];
    let names = [b"SLOTWAY".to_vec(), b"LINK".to_vec(), topology.cluster_id.clone().into_bytes()];
    names.into_iter().chain(numbers.map(|number| number.to_string().into_bytes())).collect()
}

async fn next_frame(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Frame> {
    loop {
        let garbage =
            |error: slotway_resp::ProtocolError| io::Error::new(io::ErrorKind::InvalidData, error.text);
        if let Some((frame, len)) = Frame::parse(received, &Limits::REPLY).map_err(garbage)? {
            received.drain(..len);
            return Ok(frame);
        }
        if received.len() > INTRODUCTION_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too long a reply to the introduction"));
        }
        if stream.read_buf(received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads until the connection ends, and says why it did.
async fn pass_on_replies(thread: &Rc<Thread>, link: &Rc<Link>, mut reader: OwnedReadHalf) -> String {
    let mut inbox = Inbox::default();
    let mut scanner = Scanner::default();
    poll_fn(|context| {
        remember_waker(link, context);
        if link.blocked.get() && is_writable(link, context) {
            link.blocked.set(false);
            thread.turn.mark_link(link);
            link.mark_feeder(thread);
        }
        if link.closing.replace(false) {
            return Poll::Ready("no reply for too long".to_owned());
        }
        let mut arrived = 0;
        loop {
            let mut shared = thread.read_buffer.borrow_mut();
            let mut wrong = None;
            let outcome = inbox.poll_read(&mut shared, &mut reader, context, |bytes| {
                thread.tick();
                let (consumed, outcome) = take_replies(thread, link, &mut scanner, bytes);
                wrong = outcome.err();
                consumed
            });
            match outcome {
                Poll::Pending => return Poll::Pending,
                _ if wrong.is_some() => return Poll::Ready(wrong.unwrap_or_default()),
                Poll::Ready(Ok(0)) => return Poll::Ready("closed by the node".to_owned()),
                Poll::Ready(Ok(count)) => {
                    link.heard(thread);
                    thread.counters.bytes_from_nodes.add(count as u64);
                    thread.writes_over.look();
                    if link.is_long() {
                        thread.open_beside(link);
                    }
                    arrived += count;
                    if arrived >= ARRIVING_BYTES_PER_TURN && link.is_arriving() {
                        wake_after_others(context);
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(error.to_string()),
            }
        }
    })
    .await
}

/// Passes on the whole replies in `bytes`, and of a large one what there is; how many bytes that was, and what was wrong
/// with the next.
fn take_replies(
    thread: &Thread,
    link: &Link,
    scanner: &mut Scanner,
    bytes: &[u8],
) -> (usize, Result<(), String>) {
    let mut consumed = 0;
    if link.is_arriving() {
        match go_on_with_reply(thread, link, scanner, bytes) {
            (rest, Ok(ControlFlow::Continue(()))) => consumed = rest,
            (rest, outcome) => return (rest, outcome.map(|_| ())),
        }
    }
    loop {
        match scanner.next(&bytes[consumed..], &Limits::REPLY) {
            Ok(None) => {
                let (passed, outcome) = link.begin_arrival(thread, scanner, &bytes[consumed..]);
                return (consumed + passed, outcome.map_err(|mistrust| mistrust.reason().to_owned()));
            }
            Ok(Some(scanned)) => {
                let reply = &bytes[consumed..consumed + scanned.len];
                consumed += scanned.len;
                link.answered.set(true);
                // A shared link asks for no pushes; one that comes all the same answers nobody.
                if !scanned.push
                    && let Err(mistrust) = link.reply(thread, reply)
                {
                    return (consumed, Err(mistrust.reason().to_owned()));
                }
            }
            Err(error) => return (consumed, Err(error.text)),
        }
    }
}

/// Passes on what has come of the large reply that is arriving. Continue: that was the rest of it.
fn go_on_with_reply(
    thread: &Thread,
    link: &Link,
    scanner: &mut Scanner,
    bytes: &[u8],
) -> (usize, Result<ControlFlow<()>, String>) {
    let (passed, outcome) = match scanner.next(bytes, &Limits::REPLY) {
        Err(error) => return (0, Err(error.text)),
        Ok(None) => {
            let (passed, outcome) = link.go_on_arriving(thread, scanner, bytes);
            (passed, outcome.map(ControlFlow::Break))
        }
        Ok(Some(scanned)) => {
            let rest = &bytes[..scanned.len];
            link.answered.set(true);
            (scanned.len, link.arrived(thread, rest).map(ControlFlow::Continue))
        }
    };
    (passed, outcome.map_err(|mistrust| mistrust.reason().to_owned()))
}

/// What has come is written before more of it is read. A plain wake would not do: as long as a task is ready, the runtime looks
/// only every some sixty turns whether a socket takes bytes again, and what a client could have taken in that time piles up.
fn wake_after_others(context: &mut Context<'_>) {
    // Yielding has the runtime wake the task once it has looked at its sockets; the future has done its work then.
    let yielded = std::pin::pin!(tokio::task::yield_now()).poll(context);
    debug_assert!(yielded.is_pending(), "a fresh yield waits");
}

fn remember_waker(link: &Link, context: &mut Context<'_>) {
    let mut waker = link.waker.borrow_mut();
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *waker = Some(context.waker().clone());
    }
}

fn is_writable(link: &Link, context: &mut Context<'_>) -> bool {
    match link.writer.borrow().as_ref() {
        Some(writer) => writer.as_ref().poll_write_ready(context).is_ready(),
        None => false,
    }
}
