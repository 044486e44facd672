//! The task of a client: read, find requests, dispatch them, until the connection ends.
//!
//! The task stops looking at further requests while too many are in flight or their replies wait for the client to
//! read, and before a command that changes the connection's state while anything is in flight; the client's own
//! socket then holds it back. Replies are written by the end of the turn, not here.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll},
};

use slotway_resp::{request::OwnedRequest, write};
use tokio::net::{TcpStream, tcp::OwnedReadHalf};

use crate::{
    client::{
        Client, Fate, Stall, UNREAD_REPLY_BYTES_MAX,
        large::{self, Partial},
        leaving::Leaving,
    },
    dispatch::{self, Next},
    inbox::Inbox,
    thread::Thread,
};

struct Connection {
    client: Rc<Client>,
    reader: OwnedReadHalf,
    inbox: Inbox,
    /// What is known of a request that has come in part. Between requests the thread's parser does: an idle client has
    /// none of its own.
    unfinished: Partial,
    /// A request that waits until nothing is in flight, or for the end of a pause.
    set_aside: Option<OwnedRequest>,
    /// While it is held back with half a large request, or waits for replicas.
    leaving: Option<Leaving>,
}

/// Why a connection ended.
enum End {
    /// The client closed, or asked for it.
    Client,
    /// The proxy closed it; the reason has been logged and counted where it was decided.
    Proxy,
    Io(io::Error),
}

/// Serves one client from its first byte to its last.
pub(crate) async fn run(thread: Rc<Thread>, stream: TcpStream, id: u64) {
    let (reader, writer) = stream.into_split();
    let client = match Client::new(id, writer, thread.now_us()) {
        Ok(client) => Rc::new(client),
        // It has gone already.
        Err(_) => return thread.forget_client(id),
    };
    client.authenticated.set(!thread.shared.needs_password());
    thread.add_client(&client);
    let mut connection = Connection {
        client,
        reader,
        inbox: Inbox::default(),
        unfinished: Partial::Nothing,
        set_aside: None,
        leaving: None,
    };
    let end = poll_fn(|context| connection.poll(&thread, context)).await;
    if let End::Io(error) = end {
        tracing::debug!(client = id, %error, "client's connection broke");
    }
    connection.client.end(&thread);
    thread.forget_client(id);
}

impl Connection {
    fn poll(&mut self, thread: &Rc<Thread>, context: &mut Context<'_>) -> Poll<End> {
        remember_waker(&self.client, context);
        self.client.unblock(thread, context);
        self.go_on(thread);
        loop {
            match self.client.fate.get() {
                Fate::Open => {}
                Fate::CloseNow => return Poll::Ready(End::Proxy),
                Fate::CloseAfterReplies if self.is_settled() => return Poll::Ready(End::Client),
                Fate::Drain if self.is_settled() => return Poll::Ready(End::Proxy),
                Fate::Drain | Fate::CloseAfterReplies => return Poll::Pending,
            }
            if self.client.stall.get().is_some() {
                return self.poll_gone(context).map(|()| End::Client);
            }
            self.leaving = None;
            let Connection { client, reader, inbox, unfinished, set_aside, .. } = self;
            let mut shared = thread.read_buffer.borrow_mut();
            let outcome = inbox.poll_read(&mut shared, reader, context, |bytes| {
                thread.tick();
                take_requests(thread, client, unfinished, set_aside, bytes)
            });
            drop(shared);
            match outcome {
                Poll::Pending => return Poll::Pending,
                // Every whole request has been taken on by now; a client that only closed its sending side is answered.
                Poll::Ready(Ok(0)) => self.client.fate.set(Fate::CloseAfterReplies),
                Poll::Ready(Err(error)) => return Poll::Ready(End::Io(error)),
                Poll::Ready(Ok(count)) => {
                    thread.counters.bytes_from_clients.add(count as u64);
                    self.check_input(thread);
                }
            }
        }
    }

    /// It is not read. Ready: it has left, and a link that it leased is of no use to it.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.client.waits.borrow().is_empty() {
            // Who sends no more while it waits is not answered by Redis either, and a WAIT may last for ever.
            return self.leaving().map_or(Poll::Pending, |leaving| leaving.poll_closed(context));
        }
        let is_paused = self.client.stall.get() == Some(Stall::Pause);
        let upload = self.client.upload.borrow();
        let held = upload.as_ref().is_some_and(|upload| is_paused || upload.is_held());
        drop(upload);
        let Some(missing) = self.unfinished.missing().filter(|_| held) else {
            self.leaving = None;
            return Poll::Pending;
        };
        let missing = missing.saturating_sub(self.inbox.bytes());
        self.leaving().map_or(Poll::Pending, |leaving| leaving.poll_gone(context, missing))
    }

    fn leaving(&mut self) -> Option<&Leaving> {
        if self.leaving.is_none() {
            // Without it the end of the hold comes all the same.
            self.leaving = Leaving::of(&self.reader).ok();
        }
        self.leaving.as_ref()
    }

    /// Goes on with requests that have arrived already, if it had stopped and may.
    fn go_on(&mut self, thread: &Rc<Thread>) {
        while self.client.stall.get().is_none() && self.client.fate.get() == Fate::Open {
            let Connection { client, inbox, unfinished, set_aside, .. } = self;
            let Some(request) = set_aside.take() else {
                if client.unparsed_bytes.get() == 0 || !client.stopped_early.replace(false) {
                    return;
                }
                thread.tick();
                inbox.reconsider(|bytes| take_requests(thread, client, unfinished, set_aside, bytes));
                client.unparsed_bytes.set(inbox.bytes());
                continue;
            };
            thread.tick();
            if client.stall.get().is_some() {
                // The topology has changed this very moment.
                *set_aside = Some(request);
                return;
            }
            let mut replies = client.replies.borrow_mut();
            let next = dispatch::run(thread, client, &mut replies, request.view());
            drop(replies);
            if next != Next::AfterChange {
                client.homeless_since_us.set(None);
            }
            thread.turn.mark_client(client);
            settle(client, set_aside, next, request.view());
            client.stopped_early.set(true);
        }
    }

    fn check_input(&mut self, thread: &Thread) {
        let waiting = self.inbox.bytes();
        self.client.unparsed_bytes.set(waiting);
        if waiting > thread.limits().query_bytes_max {
            thread.counters.clients_cut_input.add(1);
            tracing::warn!(client = self.client.id, peer = %self.client.peer, bytes = waiting,
                "client cut: client-query-buffer-limit reached");
            self.client.decide(Fate::CloseNow);
        }
    }

    /// Everything it asked for is answered; half a large request asks for nothing.
    fn is_settled(&self) -> bool {
        let replies = self.client.replies.borrow();
        replies.is_settled() || self.unfinished.is_passing() && replies.unsent().is_empty()
    }
}

/// Dispatches the whole requests in `bytes`; how many bytes they were.
fn take_requests(
    thread: &Rc<Thread>,
    client: &Rc<Client>,
    unfinished: &mut Partial,
    set_aside: &mut Option<OwnedRequest>,
    bytes: &[u8],
) -> usize {
    if client.stall.get().is_some() {
        client.stopped_early.set(true);
        return 0;
    }
    let mut parser = match std::mem::take(unfinished) {
        Partial::Nothing => thread.parser(),
        Partial::Small(parser) => *parser,
        large @ Partial::Large(_) => {
            *unfinished = large;
            return large::go_on(thread, client, unfinished, bytes);
        }
    };
    let (limits, in_flight_max) = (thread.limits().of_requests, thread.limits().in_flight_max);
    let strict = limits.unauthenticated();
    let mut replies = client.replies.borrow_mut();
    thread.lend(replies.output());
    client.active_us.set(thread.now_us());
    loop {
        if replies.outstanding() >= in_flight_max || replies.bytes() > UNREAD_REPLY_BYTES_MAX {
            client.stall.set(Some(Stall::Load));
            client.stopped_early.set(true);
            break;
        }
        let limits = if client.authenticated.get() { &limits } else { &strict };
        match parser.next(bytes, limits) {
            Ok(None) => break,
            Ok(Some(at)) => {
                let request = parser.request(bytes, at);
                let next = dispatch::run(thread, client, &mut replies, request);
                if next != Next::Request {
                    settle(client, set_aside, next, request);
                    client.stopped_early.set(true);
                    break;
                }
            }
            Err(error) => {
                thread.counters.protocol_errors.add(1);
                tracing::info!(client = client.id, peer = %client.peer, reason = %error.text, "protocol error");
                let text = format!("ERR {}", error.text);
                replies.say(client.heard(), |out| write::error(out, text.as_bytes()));
                client.fate.set(Fate::CloseAfterReplies);
                thread.turn.mark_client(client);
                // What follows means nothing, and neither does what this parser knows: no other client may get it.
                return bytes.len();
            }
        }
    }
    drop(replies);
    thread.turn.mark_client(client);
    let consumed = parser.consumed();
    parser.rebase();
    if parser.is_idle() {
        thread.keep_parser(parser);
        return consumed;
    }
    consumed + large::keep(thread, client, unfinished, parser, &bytes[consumed..])
}

/// Does what dispatch says about the connection.
fn settle(
    client: &Client,
    set_aside: &mut Option<OwnedRequest>,
    next: Next,
    request: slotway_resp::Request<'_>,
) {
    match next {
        Next::Request => {}
        Next::AfterReplies => {
            *set_aside = Some(OwnedRequest::new(request.words()));
            client.stall.set(Some(Stall::Order));
        }
        Next::AfterChange => {
            *set_aside = Some(OwnedRequest::new(request.words()));
            client.stall.set(Some(Stall::Topology));
        }
        Next::AfterPause => {
            *set_aside = Some(OwnedRequest::new(request.words()));
            client.stall.set(Some(Stall::Pause));
        }
        Next::AfterThis => client.stall.set(Some(Stall::Order)),
        Next::Close => client.fate.set(Fate::CloseAfterReplies),
        Next::CloseNow => client.fate.set(Fate::CloseNow),
    }
}

fn remember_waker(client: &Client, context: &mut Context<'_>) {
    let mut waker = client.waker.borrow_mut();
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *waker = Some(context.waker().clone());
    }
}
