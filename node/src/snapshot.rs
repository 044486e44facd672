//! One snapshot: a walk over the keyspace, as a whole RDB stream, into whatever takes it.
use tokio::sync::mpsc;

use crate::{
    keyspace::{Progress, Scope, WalkId},
    node::{self, Node},
    rdb::{self, Checksum, write},
    thread::Thread,
};
pub(crate) const QUEUE_PIECES: usize = 8;
pub(crate) enum Aim {
    Replica,
    Disk,
}
#[derive(Debug)]
pub(crate) enum Broken {
    SinkGone,
    TooMuchSetAside,
}
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) bytes: u64,
    pub(crate) set_aside_bytes_max: usize,
}
pub(crate) struct Snapshot {
    walk: WalkId,
    head: Vec<u8>,
    checksum: Checksum,
}
struct Leave<'t>(&'t Thread, WalkId);
impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.node.borrow_mut().keyspace.end_walk(self.1);
    }
}
impl Snapshot {
    pub(crate) fn give_up(self, node: &mut Node) {
        node.keyspace.end_walk(self.walk);
    }
    pub(crate) fn begin(node: &mut Node, _: Aim, facts: &[(&str, &[u8])]) -> Option<Snapshot> {
        let form = rdb::Form::new(&node.keyspace.settings, node::now());
        let walk = node.keyspace.begin_walk(Scope::All, form)?;
        let mut head = Vec::new();
        write::header(&mut head, facts);
        Some(Snapshot { walk, head, checksum: Checksum::new() })
    }
    pub(crate) async fn run(self, thread: &Thread, sink: mpsc::Sender<Vec<u8>>) -> Result<Taken, Broken> {
        let Snapshot { walk, head, mut checksum } = self;
        let _leave = Leave(thread, walk);
        let mut piece = head;
        let mut taken = Taken::default();
        loop {
            let Ok(place) = sink.reserve().await else { return Err(Broken::SinkGone) };
            let progress = thread.node.borrow_mut().keyspace.walk(walk, &mut piece, 64 * 1024);
            checksum.update(&piece);
            if progress == Progress::Ended {
                write::end(&mut piece, Some(checksum));
                taken.bytes += piece.len() as u64;
                place.send(piece);
                return Ok(taken);
            }
            taken.bytes += piece.len() as u64;
            place.send(std::mem::take(&mut piece));
            tokio::task::yield_now().await;
        }
    }
}
