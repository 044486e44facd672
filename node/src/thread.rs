//! What the tasks of the keyspace thread share, and the helper that frees what is costly to free.

use std::{
    cell::RefCell,
    sync::Arc,
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
};

use tokio::net::TcpStream;

use crate::{
    connection::Wave,
    desk::Desk,
    keyspace::Garbage,
    memory::Freed,
    node::Node,
    persistence::{aof, save},
};

/// Heaps of garbage that may wait for the helper. Past it the keyspace thread frees them itself.
const GARBAGE_MAX: usize = 1024;

impl Node {
    /// Hands on what was fed since the last time.
    pub(crate) fn deliver(&mut self) {
        if let Some(bytes) = self.keyspace.feed.take() {
            hand_on(self, &bytes);
            self.keyspace.feed.give_back(bytes);
        }
        if self.replication.primary.has_asides() {
            self.feed_asides();
        }
    }
}

/// The same whole units to each listener: one line for each.
fn hand_on(node: &mut Node, bytes: &[u8]) {
    let selection = node.keyspace.feed.take_log_selection();
    aof::hand_over(node, selection, bytes);
    node.feed_replicas(bytes);
    if node.seat.is_some() {
        node.stream_has_grown();
    }
    #[cfg(test)]
    node.handed_on.extend_from_slice(bytes);
}

/// Shared by the tasks of one thread, borrowed for the length of a turn and never across an await.
pub(crate) struct Thread {
    pub(crate) node: RefCell<Node>,
    pub(crate) desk: RefCell<Desk>,
    pub(crate) wave: RefCell<Wave>,
    /// Once the node stops: what clients were connected by, kept open until everything is on the disk. Who sees the end of
    /// a connection may start another node on the same files.
    pub(crate) parting: RefCell<Option<Vec<TcpStream>>>,
    garbage: SyncSender<Garbage>,
    freed: Arc<Freed>,
}

impl Thread {
    /// With its helper, which ends when the thread's state is dropped.
    pub(crate) fn new(node: Node) -> std::io::Result<(Thread, JoinHandle<()>)> {
        let (garbage, received) = sync_channel::<Garbage>(GARBAGE_MAX);
        let freed = Arc::clone(&node.memory.freed);
        let for_helper = Arc::clone(&freed);
        let helper = std::thread::Builder::new().name("free".into()).spawn(move || {
            while let Ok(heap) = received.recv() {
                let bytes = heap.bytes();
                drop(heap);
                for_helper.keep(bytes);
            }
        })?;
        let (node, desk) = (RefCell::new(node), RefCell::new(Desk::new()));
        let (wave, parting) = (RefCell::default(), RefCell::default());
        Ok((Thread { node, desk, wave, parting, garbage, freed }, helper))
    }

    /// A client's connection has ended.
    pub(crate) fn part(&self, stream: TcpStream) {
        if let Some(parting) = &mut *self.parting.borrow_mut() {
            parting.push(stream);
        }
    }

    /// Ends a turn: what it deleted is freed on the helper, what it changed is handed to those who listen.
    pub(crate) fn end_turn(&self, node: &mut Node) {
        self.deliver(node);
        // Behind that: a snapshot's place in the stream is its end.
        if node.keyspace.flushes != node.persistence.flushes {
            save::run::after_flush(node);
        }
        if let Some(garbage) = node.keyspace.take_garbage() {
            self.collect(garbage);
        }
    }

    /// Hands on what was fed since the last time.
    pub(crate) fn deliver(&self, node: &mut Node) {
        node.deliver();
    }

    /// Has it freed on the helper.
    pub(crate) fn collect(&self, heap: Garbage) {
        let bytes = heap.bytes();
        match self.garbage.try_send(heap) {
            Ok(()) => self.freed.promise(bytes),
            Err(TrySendError::Full(heap) | TrySendError::Disconnected(heap)) => drop(heap),
        }
    }
}
