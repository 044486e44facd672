//! One replica's connection: everything it lacks, then the stream for as long as it lasts.
//!
//! A connection that said PSYNC comes here with its socket; its client stays in the list of clients. If the replica can go
//! on where it stopped, it is told so and gets the backlog from there. If not, a snapshot is made for it alone and sent as
//! it is made ([`transfer`]), and its place in the stream is where the snapshot began. Then this task sleeps until the
//! stream has grown, the socket takes more, or the replica says something; it writes from the backlog's own
//! blocks.
//!
//! A replica says how far it is, and nothing else: whoever asks for more on such a connection is no replica and is cut,
//! since a reply would stand in the midst of the stream.

mod inbox;
mod transfer;

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use slotway_cluster::replication::{
    Offset,
    primary::{Event, Stage},
};
use slotway_config::Key;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::{
    introduction::Asked,
    primary::{Link, Order},
};
use crate::{
    client::{Class, Client, Fate},
    node,
    thread::Thread,
};
use inbox::{Inbox, Said};

/// Blocks written by one call.
const SLICES: usize = 16;
/// Room for what a replica says: several acknowledgements.
const HEAR_BYTES: usize = 1024;
/// Bytes after which others have their turn.
const TURN_BYTES: usize = 1024 * 1024;

/// A connection that becomes a replica's.
pub(crate) struct Handed {
    pub(crate) stream: TcpStream,
    pub(crate) client: Rc<Client>,
    /// What came behind PSYNC.
    pub(crate) unread: Vec<u8>,
}

/// Why a link ends.
#[derive(Debug)]
enum End {
    /// The replica closed it, or the network did.
    Gone,
    /// Everything that was to be sent is sent.
    Done,
    /// CLIENT KILL, a limit: whoever decided it has logged why.
    Cut,
    /// It said something that no replica says.
    Rogue(String),
    /// There was no snapshot; says why.
    NoSnapshot(String),
}

/// Serves a replica until its link ends.
pub(crate) async fn serve(handed: Handed, thread: &Rc<Thread>) {
    let Handed { stream, client, unread } = handed;
    let attached = {
        let node = &mut *thread.node.borrow_mut();
        thread.deliver(node);
        client.class.set(Class::Replica);
        // Its way as a client has ended; from here on only what ends a link is decided about it.
        if client.fate.get() == Fate::Departs {
            client.fate.set(Fate::Open);
        }
        let delayed = node.settings.flag(Key::ReplDisableTcpNodelay);
        // Of a Unix socket there is nothing to set.
        let _ = stream.set_nodelay(!delayed);
        let attached = node.attach_replica(&client);
        thread.deliver(node);
        attached
    };
    let Some(link) = attached else { return };
    tracing::info!(peer = %client.peer, id = client.id.0, asked = ?link.introduction.asked, "a replica asks for the stream");
    let mut served = Served { stream, link, inbox: Inbox::new(unread), sent: Offset::default(), thread };
    let end = served.run().await;
    let link = &served.link;
    match end {
        End::Rogue(words) => {
            tracing::warn!(peer = %client.peer, %words, "closing a replica that asked for something");
        }
        End::NoSnapshot(why) => {
            tracing::warn!(peer = %client.peer, %why, "the full synchronisation of a replica has failed");
        }
        End::Gone | End::Done | End::Cut => {
            tracing::info!(peer = %client.peer, id = client.id.0, ?end, "the link of a replica has ended");
        }
    }
    let node = &mut *thread.node.borrow_mut();
    node.detach_replica(link.id);
    if let Some(said) = link.introduction.member.as_ref().filter(|_| link.is_attached.get()) {
        node.member_gone(said);
        thread.deliver(node);
    }
}

struct Served<'t> {
    stream: TcpStream,
    link: Rc<Link>,
    inbox: Inbox,
    /// The socket took the stream up to here.
    sent: Offset,
    thread: &'t Rc<Thread>,
}

impl Served<'_> {
    async fn run(&mut self) -> End {
        match self.bring_up().await {
            Ok(true) => self.follow().await,
            Ok(false) => End::Done,
            Err(end) => end,
        }
    }

    /// Everything before the stream. False: the replica wants no stream.
    async fn bring_up(&mut self) -> Result<bool, End> {
        if let Order::Resume(from) = self.link.order.take() {
            let text = {
                let lineage = &self.thread.node.borrow().replication.lineage;
                match self.link.introduction.takes_names {
                    true => format!("+CONTINUE {}\r\n", lineage.present()),
                    false => "+CONTINUE\r\n".to_owned(),
                }
            };
            self.send(text.as_bytes()).await?;
            self.sent = from;
            return Ok(true);
        }
        self.synchronise().await?;
        if self.link.introduction.only_snapshot {
            return Ok(false);
        }
        self.until(|this| this.stage() == Some(Stage::Online)).await?;
        Ok(true)
    }

    fn stage(&self) -> Option<Stage> {
        Some(self.thread.node.borrow().replication.primary.replica(self.link.id)?.stage)
    }

    /// Sends bytes that are not of the stream.
    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(0) => return Err(End::Gone),
                Ok(taken) => {
                    self.thread.node.borrow_mut().statistics.replica_output_bytes += as_u64(taken);
                    rest = &rest[taken..];
                    if self.stage() == Some(Stage::Sending) {
                        self.tell(Event::Moved { link: self.link.id });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.until_writable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Gone),
            }
        }
        Ok(())
    }

    async fn until_writable(&mut self) -> Result<(), End> {
        poll_fn(|context| {
            self.attend(context)?;
            match self.stream.poll_write_ready(context) {
                Poll::Ready(ready) => Poll::Ready(ready.map_err(|_| End::Gone)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Waits for something that wakes the client when it happens.
    async fn until(&mut self, happened: impl Fn(&Self) -> bool) -> Result<(), End> {
        poll_fn(|context| {
            self.attend(context)?;
            match happened(self) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// What has to be seen whatever the link is doing: its end, and what the replica says.
    fn attend(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        self.link.client.register(context.waker());
        match self.link.client.fate.get() {
            Fate::Open | Fate::Departs => {}
            Fate::Finish if self.stage() == Some(Stage::Online) => {}
            // A node that stops waits for no snapshot.
            Fate::Finish => return Err(End::Done),
            Fate::CloseAfterReply | Fate::CloseNow => return Err(End::Cut),
        }
        self.listen(context)
    }

    /// Reads what the replica says. Behind a read that has not filled its room nothing is left, which is not asked again.
    fn listen(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        loop {
            let mut room = [const { MaybeUninit::uninit() }; HEAR_BYTES];
            let mut read = ReadBuf::uninit(&mut room);
            match Pin::new(&mut self.stream).poll_read(context, &mut read) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Poll::Ready(Err(_)) => return Err(End::Gone),
            }
            match read.filled() {
                [] => return Err(End::Gone),
                bytes => self.hear(bytes)?,
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<(), End> {
        let link = self.link.id;
        self.link.client.active.set(node::now());
        self.thread.node.borrow_mut().statistics.replica_input_bytes += as_u64(bytes.len());
        match self.inbox.take(bytes).map_err(End::Rogue)? {
            Said::Acked { offset, epoch, synced } => {
                // The disk first: whoever waits for both is answered once.
                if let Some(offset) = synced {
                    self.tell(Event::Synced { link, offset });
                }
                self.tell(Event::Acked { link, offset });
                if let (Some(epoch), Some(said)) = (epoch, &self.link.introduction.member) {
                    let is_new = !self.link.is_attached.replace(true);
                    let node = &mut *self.thread.node.borrow_mut();
                    node.member_holds(said, is_new, epoch, offset);
                    self.thread.deliver(node);
                }
            }
            Said::Something => self.tell(Event::Heard { link }),
        }
        Ok(())
    }

    fn tell(&self, event: Event<'_>) {
        let node = &mut *self.thread.node.borrow_mut();
        node.tell_primary(event);
        self.thread.deliver(node);
    }

    /// The stream, to the link's end.
    async fn follow(&mut self) -> End {
        poll_fn(|context| {
            if let Err(end) = self.attend(context) {
                return Poll::Ready(end);
            }
            match self.write_stream(context) {
                Err(end) => Poll::Ready(end),
                Ok(()) if self.link.client.fate.get() == Fate::Finish && self.holds_all() => {
                    Poll::Ready(End::Done)
                }
                Ok(()) => Poll::Pending,
            }
        })
        .await
    }

    /// Whether it has told that it holds everything, or was sent everything and will tell nothing: because it never does,
    /// or because a node that is a replica itself asks nobody.
    fn holds_all(&self) -> bool {
        let node = self.thread.node.borrow();
        let replication = &node.replication;
        let tells = self.link.introduction.asked != Some(Asked::Sync) && node.makes_its_stream();
        let held = match replication.primary.replica(self.link.id) {
            Some(replica) if tells => replica.acked,
            Some(replica) => replica.sent,
            None => replication.offset,
        };
        held >= replication.offset
    }

    /// Writes what the stream has and the socket takes; whatever comes next, more of the one or the other, wakes.
    fn write_stream(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        let node = &mut *self.thread.node.borrow_mut();
        let mut written = 0;
        loop {
            let Some(backlog) = &node.replication.backlog else { return Err(End::Done) };
            if self.sent < backlog.range().first {
                // It was cut, and nothing was kept for it any more.
                return Err(End::Cut);
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = backlog.slices(self.sent, &mut slices);
            if count == 0 {
                break;
            }
            match self.stream.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(End::Gone),
                Ok(taken) => {
                    written += taken;
                    self.sent = self.sent.plus(taken);
                    node.replication.primary.took(self.link.id, self.sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.stream.poll_write_ready(context) {
                        Poll::Pending => break,
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Err(End::Gone),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Gone),
            }
            if written >= TURN_BYTES {
                let yielded = pin!(tokio::task::yield_now()).poll(context);
                debug_assert!(yielded.is_pending(), "a yield lets others run");
                break;
            }
        }
        node.statistics.replica_output_bytes += as_u64(written);
        let waiting = node.replication.offset.since(self.sent);
        self.link.client.output_bytes.set(usize::try_from(waiting).unwrap_or(usize::MAX));
        Ok(())
    }
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
