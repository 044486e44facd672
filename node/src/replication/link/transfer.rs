//! A full synchronisation: a snapshot for one replica, sent as it is made.
//!
//! The snapshot and the replica's place in the stream begin at the same instant: what was executed before is in the one,
//! what is executed from then on in the other. It is sent straight from the walk, between a mark of forty random characters
//! and the same mark again, if the replica can find its end by that; the stream then waits for the replica's first
//! acknowledgement, because it looks for the mark at the end of what has come. Other replicas are told the length first,
//! so the snapshot goes through a file, which has no name as soon as it is open.
//!
//! Each replica has a snapshot of its own: it costs no fork to share, so nobody waits for others to come
//! (`repl-diskless-sync-delay`). More than there are walks wait, and see line ends meanwhile.

use std::{io, path::PathBuf};

use slotway_cluster::replication::{HistoryId, Offset, primary::Event};
use slotway_config::Key;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
    sync::mpsc,
};

use super::{Asked, End, Order, Served};
use crate::{
    feed::Source,
    identity,
    replication::replica::LINEAGE,
    snapshot::{Aim, Broken, QUEUE_PIECES, Snapshot},
};

/// Bytes read from the file at once.
const FILE_PIECE_BYTES: usize = 64 * 1024;

/// A snapshot that has begun, and what it is a snapshot of.
struct Begun {
    snapshot: Snapshot,
    history: HistoryId,
    at: Offset,
    is_marked: bool,
}

impl Served<'_> {
    /// Sends everything.
    pub(super) async fn synchronise(&mut self) -> Result<(), End> {
        let begun = loop {
            if let Some(begun) = self.begin() {
                break begun;
            }
            self.send(b"\n").await?;
            self.until(|this| this.link.order.take() == Order::Synchronise).await?;
        };
        let Begun { snapshot, history, at, is_marked } = begun;
        self.sent = at;
        tracing::info!(peer = %self.link.client.peer, %history, offset = at.0, is_marked, "a full synchronisation begins");
        let head = match self.link.introduction.asked {
            Some(Asked::Psync(_)) => format!("+FULLRESYNC {history} {at}\r\n"),
            Some(Asked::Sync) | None => String::new(),
        };
        let sent = match is_marked {
            true => self.send_marked(snapshot, head).await,
            false => self.send_counted(snapshot, head).await,
        };
        sent?;
        self.tell(Event::Sent { link: self.link.id, awaits_ack: is_marked });
        Ok(())
    }

    /// Everything that ties the snapshot to the stream, in one turn. None: as many walks as may be are under way.
    fn begin(&mut self) -> Option<Begun> {
        let node = &mut *self.thread.node.borrow_mut();
        self.thread.deliver(node);
        node.begin_stream();
        let (history, at) = (node.replication.lineage.present(), node.replication.offset);
        let selected = match node.following.primary() {
            Some(_) => node.following.database(),
            None => node.keyspace.feed.selected().unwrap_or_default(),
        };
        let selected = selected.0.to_string();
        let (name, offset) = (history.to_string(), at.to_string());
        // Of a member's primary the replica takes over all names, and which epoch it holds then.
        let lineage = serde_json::to_string(&node.replication.lineage).unwrap_or_default();
        let facts: [(&str, &[u8]); 4] = [
            // Where the stream begins to be read: on a replica it goes on as its primary makes it.
            ("repl-stream-db", selected.as_bytes()),
            ("repl-id", name.as_bytes()),
            ("repl-offset", offset.as_bytes()),
            (LINEAGE, lineage.as_bytes()),
        ];
        let snapshot = Snapshot::begin(node, Aim::Replica, &facts)?;
        if node.keyspace.feed.source() == Source::Own {
            node.keyspace.feed.select_anew();
        }
        let is_marked = self.link.introduction.takes_marked && node.settings.flag(Key::ReplDisklessSync);
        node.tell_primary(Event::Begun { link: self.link.id, at, filed: !is_marked });
        Some(Begun { snapshot, history, at, is_marked })
    }

    async fn send_marked(&mut self, snapshot: Snapshot, head: String) -> Result<(), End> {
        let mark = HistoryId::from_random(identity::random()).to_string();
        let head = format!("{head}$EOF:{mark}\r\n");
        let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(QUEUE_PIECES);
        let (thread, this) = (self.thread, &mut *self);
        let sends = async move {
            this.send(head.as_bytes()).await?;
            while let Some(piece) = pieces.recv().await {
                this.send(&piece).await?;
            }
            Ok(())
        };
        // Each holds its end of the queue between them, so whichever fails ends the other.
        let (taken, sent) = tokio::join!(snapshot.run(thread, sink), sends);
        sent?;
        taken.map_err(no_snapshot)?;
        self.send(mark.as_bytes()).await
    }

    async fn send_counted(&mut self, snapshot: Snapshot, head: String) -> Result<(), End> {
        let path = self.file_path();
        let opened = match self.send(head.as_bytes()).await {
            Ok(()) => open_unnamed(path).await.map_err(no_file),
            Err(end) => Err(end),
        };
        let mut file = match opened {
            Ok(file) => file,
            Err(end) => {
                // Or the keyspace would keep old values for it for ever.
                snapshot.give_up(&mut self.thread.node.borrow_mut());
                return Err(end);
            }
        };
        let (sink, mut pieces) = mpsc::channel::<Vec<u8>>(QUEUE_PIECES);
        let (thread, this, into) = (self.thread, &mut *self, &mut file);
        let writes = async move {
            let mut bytes = 0;
            while let Some(piece) = this.next_or_keep_alive(&mut pieces).await? {
                into.write_all(&piece).await.map_err(no_file)?;
                bytes += piece.len();
            }
            into.rewind().await.map_err(no_file)?;
            Ok(bytes)
        };
        let (taken, written) = tokio::join!(snapshot.run(thread, sink), writes);
        let bytes = written?;
        taken.map_err(no_snapshot)?;
        self.tell(Event::Moved { link: self.link.id });
        self.send(format!("${bytes}\r\n").as_bytes()).await?;
        let mut piece = vec![0; FILE_PIECE_BYTES];
        loop {
            match file.read(&mut piece).await.map_err(no_file)? {
                0 => return Ok(()),
                len => self.send(&piece[..len]).await?,
            }
        }
    }

    /// The snapshot's next piece. While it is made the replica sees line ends, and its own end is seen.
    async fn next_or_keep_alive(
        &mut self,
        pieces: &mut mpsc::Receiver<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, End> {
        loop {
            tokio::select! {
                biased;
                piece = pieces.recv() => return Ok(piece),
                told = self.until(|this| this.link.order.take() == Order::KeepAlive) => told?,
            }
            self.send(b"\n").await?;
        }
    }

    fn file_path(&self) -> PathBuf {
        let node = self.thread.node.borrow();
        let name = format!("temp-replica-{}-{}.rdb", std::process::id(), self.link.id.0);
        PathBuf::from(node.settings.text(Key::Dir)).join(name)
    }
}

/// A file that goes with whoever holds it open.
async fn open_unnamed(path: PathBuf) -> io::Result<File> {
    let file = File::options().read(true).write(true).create_new(true).open(&path).await?;
    tokio::fs::remove_file(&path).await?;
    Ok(file)
}

fn no_file(error: io::Error) -> End {
    End::NoSnapshot(format!("its file: {error}"))
}

fn no_snapshot(broken: Broken) -> End {
    End::NoSnapshot(match broken {
        Broken::SinkGone => "nobody takes it any more".to_owned(),
        Broken::TooMuchSetAside => {
            "clients overwrite more than snapshot-memory-max holds until it is sent".to_owned()
        }
    })
}
