//! placeholder until the real one arrives
use crate::{node::Node, thread::Thread};
use tokio::sync::mpsc;
pub(crate) const QUEUE_PIECES: usize = 8;
pub(crate) enum Aim {
    Replica,
}
pub(crate) enum Broken {
    SinkGone,
    TooMuchSetAside,
}
pub(crate) struct Taken;
pub(crate) struct Snapshot;
impl Snapshot {
    pub(crate) fn begin(_: &mut Node, _: Aim, _: &[(&str, &[u8])]) -> Option<Snapshot> {
        None
    }
    pub(crate) async fn run(self, _: &Thread, _: mpsc::Sender<Vec<u8>>) -> Result<Taken, Broken> {
        Err(Broken::SinkGone)
    }
}
