//! Keeps `node.json` true.
//!
//! Both threads of a node write to it: the keyspace thread when it is adopted, before it takes the first byte, and at its end; the
//! pulse when it promises. A life is in the file only while a restart may go on with it:
//!
//! - with `appendfsync always` from the start on, because everything is synced before it is acknowledged and each promise before it is
//!   given;
//! - from a clean end, which says where the node stood, up to the next first byte: [`Keeper::touch`].
//!
//! Otherwise a restarted node is somebody else, its promises are nobody's, and a promise costs no sync.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use slotway_cluster::{Epoch, Incarnation, NodeId, Topology};

use super::file::{Held, LedBy, Life, NodeFile};

/// The owner of `node.json`.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    /// The first byte was taken. Written under the lock, by the keyspace thread; read without by the same.
    touched: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What is on the disk, but for a newer topology that need not be. None: never adopted.
    file: Option<NodeFile>,
    /// Known once [`Keeper::begin`] was called.
    now: Option<Now>,
    /// What was promised before the file was there.
    promised: Epoch,
}

/// The present life of the process.
#[derive(Debug, Clone, Copy)]
struct Now {
    incarnation: Incarnation,
    /// Since its beginning everything was synced before it was acknowledged.
    synced: bool,
}

impl Keeper {
    /// Reads `node.json` of `dir`, if there is one.
    pub(crate) fn load(dir: &Path) -> Result<Keeper, String> {
        let path = dir.join("node.json");
        let file = NodeFile::read(&path)?;
        let state = State { file, now: None, promised: Epoch::default() };
        Ok(Keeper { path, touched: AtomicBool::new(false), state: Mutex::new(state) })
    }

    /// What the file says, or would say.
    pub(crate) fn file(&self) -> Option<NodeFile> {
        self.lock().file.clone()
    }

    /// The process has this incarnation: the one of the file, if what the file says of it holds, else a fresh one. `synced`:
    /// everything is going to be synced before it is acknowledged.
    ///
    /// # Errors
    /// The disk's: what the file says of an earlier life would be believed by the next start.
    pub(crate) fn begin(&self, incarnation: Incarnation, synced: bool) -> io::Result<()> {
        let mut state = self.lock();
        state.now = Some(Now { incarnation, synced });
        let Some(file) = &mut state.file else { return Ok(()) };
        if file.life.as_ref().is_some_and(|life| life.incarnation == incarnation) {
            return Ok(());
        }
        let is_kept = synced && file.led_by == LedBy::Orders;
        file.promised = Epoch::default();
        file.life = is_kept.then_some(Life { incarnation, held: None });
        file.write(&self.path)
    }

    /// Belongs to this cluster as this node from now on. A topology that orders bring is told anew after a restart, and so
    /// not written each time.
    pub(crate) fn adopt(&self, node_id: &NodeId, topology: &Topology, led_by: LedBy) -> io::Result<()> {
        let mut state = self.lock();
        let (now, promised) = (state.now, state.promised);
        match &mut state.file {
            Some(file) if led_by == LedBy::Orders && file.led_by == led_by && file.node_id == *node_id => {
                topology.clone_into(&mut file.topology);
                Ok(())
            }
            file => {
                let promised = file.as_ref().map_or(promised, |file| file.promised);
                // Without orders nobody asks which life it is.
                let now = now.filter(|now| now.synced && led_by == LedBy::Orders);
                let life = now.map(|now| Life { incarnation: now.incarnation, held: None });
                let (node_id, topology) = (node_id.clone(), topology.clone());
                let written = NodeFile { node_id, topology, led_by, promised, life };
                written.write(&self.path)?;
                *file = Some(written);
                Ok(())
            }
        }
    }

    /// To be called before the node takes a byte of a stream, or executes the first request as a primary: from here on what
    /// the file says of its position is untrue.
    ///
    /// # Errors
    /// The disk's: the byte must not be taken.
    #[inline]
    pub(crate) fn touch(&self) -> io::Result<()> {
        if self.touched.load(Relaxed) { Ok(()) } else { self.touch_first() }
    }

    #[cold]
    fn touch_first(&self) -> io::Result<()> {
        let mut state = self.lock();
        let synced = state.now.is_some_and(|now| now.synced);
        if let Some(file) = &mut state.file {
            let life = file.life.take();
            let kept = life.clone().filter(|_| synced).map(|life| Life { held: None, ..life });
            let is_news = kept != life;
            file.life = kept;
            if is_news && let Err(error) = file.write(&self.path) {
                file.life = life;
                return Err(error);
            }
            self.touched.store(true, Relaxed);
        }
        Ok(())
    }

    /// From now on not everything is synced before it is acknowledged: to be called before the first that is not.
    pub(crate) fn syncs_no_more(&self) -> io::Result<()> {
        let mut state = self.lock();
        let Some(now) = state.now.as_mut().filter(|now| now.synced) else { return Ok(()) };
        now.synced = false;
        let Some(file) = &mut state.file else { return Ok(()) };
        // Untouched, it is true as it is.
        let Some(life) = file.life.take_if(|life| life.held.is_none()) else { return Ok(()) };
        let written = file.write(&self.path);
        if written.is_err() {
            // What the disk still says is said again, or taken back, by whoever writes next.
            file.life = Some(life);
            if let Some(now) = &mut state.now {
                now.synced = true;
            }
        }
        written
    }

    /// Epochs below `epoch` are over. On the disk when this returns, if the next start may still be this life.
    pub(crate) fn promise(&self, epoch: Epoch) -> io::Result<()> {
        let mut state = self.lock();
        let Some(file) = &mut state.file else {
            state.promised = state.promised.max(epoch);
            return Ok(());
        };
        if file.promised >= epoch {
            return Ok(());
        }
        let before = std::mem::replace(&mut file.promised, epoch);
        let written = if file.life.is_some() { file.write(&self.path) } else { Ok(()) };
        if written.is_err() {
            file.promised = before;
        }
        written
    }

    /// The end: all that the node holds is on the disk, and it stands there.
    pub(crate) fn end(&self, held: Held) -> io::Result<()> {
        let mut state = self.lock();
        let Some(Now { incarnation, .. }) = state.now else { return Ok(()) };
        let Some(file) = &mut state.file else { return Ok(()) };
        file.life = Some(Life { incarnation, held: Some(held) });
        file.write(&self.path)
    }

    /// Changes happen in one step after what may fail, so what a panic left is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::file::tests::{file, held_at},
        *,
    };

    const OLD: Incarnation = Incarnation(7);
    const NEW: Incarnation = Incarnation(8);

    /// A node whose last life ended cleanly as [`OLD`], at 900 of epoch 3.
    fn ended() -> (tempfile::TempDir, Keeper) {
        let directory = tempfile::tempdir().unwrap();
        file().write(&directory.path().join("node.json")).unwrap();
        let keeper = Keeper::load(directory.path()).unwrap();
        (directory, keeper)
    }

    fn on_disk(directory: &tempfile::TempDir) -> NodeFile {
        NodeFile::read(&directory.path().join("node.json")).unwrap().unwrap()
    }

    fn life(incarnation: Incarnation, held: Option<Held>) -> Option<Life> {
        Some(Life { incarnation, held })
    }

    #[test]
    fn a_life_that_ended_cleanly_is_gone_on_with_until_the_first_byte() {
        let (directory, keeper) = ended();
        keeper.begin(OLD, false).unwrap();
        assert_eq!(on_disk(&directory).life, life(OLD, Some(held_at(3, 900))));
        keeper.touch().unwrap();
        assert_eq!(on_disk(&directory).life, None);
        keeper.end(held_at(3, 950)).unwrap();
        assert_eq!(on_disk(&directory).life, life(OLD, Some(held_at(3, 950))));
    }

    #[test]
    fn with_syncs_before_acknowledgements_a_life_outlasts_bytes_and_promises_are_synced() {
        let (directory, keeper) = ended();
        keeper.begin(OLD, true).unwrap();
        keeper.touch().unwrap();
        keeper.promise(Epoch(5)).unwrap();
        assert_eq!((on_disk(&directory).life, on_disk(&directory).promised), (life(OLD, None), Epoch(5)));
        keeper.promise(Epoch(4)).unwrap();
        assert_eq!(on_disk(&directory).promised, Epoch(5), "never back");
        keeper.syncs_no_more().unwrap();
        assert_eq!(on_disk(&directory).life, None);
    }

    #[test]
    fn a_fresh_life_owes_nothing_for_the_promises_of_an_earlier_one() {
        let (directory, keeper) = ended();
        keeper.begin(NEW, false).unwrap();
        assert_eq!((on_disk(&directory).life, on_disk(&directory).promised), (None, Epoch(0)));
        keeper.promise(Epoch(6)).unwrap();
        assert_eq!(on_disk(&directory).promised, Epoch(0), "nobody would ask for it");
        let (directory, keeper) = ended();
        keeper.begin(NEW, true).unwrap();
        assert_eq!(on_disk(&directory).life, life(NEW, None));
    }

    #[test]
    fn a_topology_of_orders_is_written_once_and_a_given_one_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let keeper = Keeper::load(directory.path()).unwrap();
        keeper.begin(NEW, false).unwrap();
        keeper.promise(Epoch(1)).unwrap();
        keeper.touch().unwrap();
        let NodeFile { node_id, mut topology, .. } = file();
        for (led_by, version, written) in
            [(LedBy::Topology, 5, 5), (LedBy::Topology, 6, 6), (LedBy::Orders, 7, 7), (LedBy::Orders, 8, 7)]
        {
            topology.version = version;
            keeper.adopt(&node_id, &topology, led_by).unwrap();
            assert_eq!((on_disk(&directory).topology.version, on_disk(&directory).led_by), (written, led_by));
            assert_eq!(keeper.file().unwrap().topology.version, version);
        }
        assert_eq!(on_disk(&directory).promised, Epoch(1), "promised before there was a file");
    }

    #[test]
    fn what_cannot_be_written_is_not_promised_and_no_byte_is_taken() {
        let (directory, keeper) = ended();
        keeper.begin(OLD, true).unwrap();
        // A directory stands where the new file would be written.
        let fresh = directory.path().join("node.json.new");
        std::fs::create_dir(&fresh).unwrap();
        assert!(keeper.promise(Epoch(5)).is_err() && keeper.touch().is_err());
        assert!(keeper.promise(Epoch(5)).is_err(), "still not");
        std::fs::remove_dir(&fresh).unwrap();
        keeper.promise(Epoch(5)).unwrap();
        keeper.touch().unwrap();
        assert_eq!((on_disk(&directory).life, on_disk(&directory).promised), (life(OLD, None), Epoch(5)));
        std::fs::create_dir(&fresh).unwrap();
        assert!(keeper.syncs_no_more().is_err() && keeper.syncs_no_more().is_err(), "not forgotten");
        std::fs::remove_dir(&fresh).unwrap();
        keeper.promise(Epoch(6)).unwrap();
        assert_eq!((on_disk(&directory).life, on_disk(&directory).promised), (life(OLD, None), Epoch(6)));
        keeper.syncs_no_more().unwrap();
        assert_eq!(on_disk(&directory).life, None);
    }
}
