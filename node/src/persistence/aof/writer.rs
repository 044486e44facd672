//! Writes the log's bytes, on a thread of its own, and says how far it has come.
//!
//! What the file holds is a row of whole units up to [`Writer::len`]; what is behind (half a write, or bytes whose sync
//! failed) is cut off before anything else is written. A position is *synced* only after a sync that followed its write
//! has succeeded. With `appendfsync always` bytes are kept until then and written anew if the sync fails, because a
//! system that has failed to write pages back may forget them and report success the next time. With `everysec` they
//! are not kept; after a failed sync the log is *doubtful*, and the keyspace is written out anew.
//!
//! [`Writer`] decides nothing about time: its loop ([`run`]) does, and tells it when to sync.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    disk::DiskFile,
    line::{Begun, Fsync, Line, Manner, Order, Slow},
    store::{Increment, Store},
};
use crate::feed::Position;
use crate::node;

/// How often `appendfsync everysec` syncs.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// After an error, until it is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// A sync that comes so late was delayed, and INFO counts it: as Redis does.
const SYNC_LATE: Duration = Duration::from_secs(2);
/// Room for bytes that is kept for the next ones.
const ROOM_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// The file that is written to.
pub(super) struct Writer {
    file: Box<dyn DiskFile>,
    /// Bytes of whole units.
    len: u64,
    /// How many of them are synced.
    synced_len: u64,
    /// There is more in the file than `len`.
    is_torn: bool,
    /// Taken and not written; with `always`, written and not synced.
    pending: Vec<u8>,
    /// They are in the file already, from `len - pending` on.
    is_pending_written: bool,
    end: Position,
    written: Position,
    synced: Position,
    is_doubtful: bool,
    /// The second that was noted last.
    noted_s: u64,
}

impl Writer {
    /// Goes on at the end of a file of `len` bytes, all of which were there at the start.
    pub(super) fn new(file: Box<dyn DiskFile>, len: u64, at: Position) -> Writer {
        Writer {
            file,
            len,
            synced_len: len,
            is_torn: false,
            pending: Vec::new(),
            is_pending_written: false,
            end: at,
            written: at,
            synced: at,
            is_doubtful: false,
            noted_s: 0,
        }
    }

    /// Adds units that end at `end`. `now_s`: the time is noted before them, if it is another than the last.
    fn add(&mut self, mut units: Vec<u8>, end: Position, now_s: Option<u64>) {
        debug_assert!(!self.is_pending_written, "what is written is synced or let go before more is added");
        if let Some(now_s) = now_s.filter(|&now_s| now_s != self.noted_s) {
            self.noted_s = now_s;
            self.pending.extend_from_slice(format!("#TS:{now_s}\r\n").as_bytes());
        }
        match self.pending.is_empty() {
            true => self.pending = units,
            false => self.pending.append(&mut units),
        }
        self.end = end;
    }

    /// What is pending is to be written again.
    fn unwrite(&mut self) {
        self.len -= u64::try_from(self.pending.len()).unwrap_or(0);
        self.is_torn = true;
        self.is_pending_written = false;
    }

    /// Whether there is nothing left to write.
    fn is_written(&self) -> bool {
        self.pending.is_empty() || self.is_pending_written
    }

    fn owes_sync(&self) -> bool {
        self.synced_len < self.len
    }

    /// Writes what is pending. After an error the file is what it was, or will be before the next attempt.
    fn write(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.truncate(self.len)?;
            self.is_torn = false;
        }
        if self.is_written() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.pending) {
            self.is_torn = true;
            if self.file.truncate(self.len).is_ok() {
                self.is_torn = false;
            }
            return Err(error);
        }
        self.len += u64::try_from(self.pending.len()).unwrap_or(0);
        self.is_pending_written = true;
        self.written = self.end;
        Ok(())
    }

    /// Lets go of what is written: it is not written anew, whatever becomes of its sync.
    fn let_go(&mut self) {
        if self.is_pending_written {
            self.is_pending_written = false;
            self.pending.clear();
            self.pending.shrink_to(ROOM_BYTES_KEPT);
        }
    }

    /// Makes durable what is written.
    fn sync(&mut self) -> io::Result<()> {
        if let Err(error) = self.file.sync() {
            let kept =
                u64::try_from(if self.is_pending_written { self.pending.len() } else { 0 }).unwrap_or(0);
            self.is_doubtful |= self.len - self.synced_len > kept;
            if self.is_pending_written {
                self.unwrite();
            }
            return Err(error);
        }
        self.synced_len = self.len;
        self.synced = self.written;
        self.let_go();
        Ok(())
    }

    /// Goes on in an empty file.
    fn go_on_in(&mut self, file: Box<dyn DiskFile>) {
        self.file = file;
        (self.len, self.synced_len, self.is_torn) = (0, 0, false);
        self.noted_s = 0;
    }
}

/// The writer's thread, from its first order to [`Order::Close`].
pub(super) struct Loop {
    pub(super) line: Arc<Line>,
    pub(super) store: Arc<Store>,
    pub(super) writer: Writer,
    synced_at: Instant,
    /// Bytes that were taken and are not written.
    taken_bytes: usize,
    failure: Option<String>,
    /// Since the last report.
    slow: Slow,
}

/// Whoever waits for the writer's thread hears of its end, also of one that nobody had in mind.
struct End(Arc<Line>);

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.progress.fail(Some("the thread that writes it has panicked".to_owned()));
        }
        self.0.progress.end();
        self.0.news.notify_one();
    }
}

/// What follows an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    End,
}

impl Loop {
    pub(super) fn new(line: Arc<Line>, store: Arc<Store>, writer: Writer) -> Loop {
        line.progress.file_bytes.store(writer.len, Relaxed);
        Loop {
            line,
            store,
            writer,
            synced_at: node::instant(),
            taken_bytes: 0,
            failure: None,
            slow: Slow::default(),
        }
    }

    pub(super) fn run(mut self) {
        let _end = End(Arc::clone(&self.line));
        let mut orders = VecDeque::new();
        let mut manner = self.line.take(Some(Duration::ZERO), &mut orders);
        loop {
            for order in orders.drain(..) {
                if self.follow(order, manner) == Then::End {
                    return;
                }
            }
            let before = self.taken_bytes;
            let outcome = self.commit(manner, node::instant());
            if outcome.is_ok() {
                self.taken_bytes = 0;
            }
            let written = before - self.taken_bytes;
            self.line.done(written);
            self.report(outcome.err(), manner);
            if written > 0 {
                self.line.linger();
            }
            manner = self.line.take(self.patience(manner), &mut orders);
        }
    }

    fn follow(&mut self, order: Order, manner: Manner) -> Then {
        match order {
            Order::Append(units, end) => {
                self.taken_bytes += units.len();
                self.writer.add(units, end, manner.notes_time.then(unix_seconds));
                Then::GoOn
            }
            Order::Begin(increment, done) => {
                let begun = self.begin(increment);
                // Who asked may have given up.
                let _ = done.send(begun);
                Then::GoOn
            }
            Order::Sync(done) => {
                let synced = self.write_and_sync();
                let is_synced = synced.is_ok();
                self.report(synced.err(), manner);
                // Who asked may have given up.
                let _ = done.send(is_synced);
                Then::GoOn
            }
            Order::Close => {
                let written = self.write_and_sync();
                if let Err(error) = &written {
                    tracing::error!(%error, "the append-only file lacks what could not be written before the end");
                }
                self.report(written.err(), manner);
                Then::End
            }
        }
    }

    fn write_and_sync(&mut self) -> io::Result<()> {
        self.writer.write()?;
        if self.writer.owes_sync() { self.sync(node::instant()) } else { Ok(()) }
    }

    /// Everything before the order is durable in the old file before the new one begins: only the last file of a log
    /// may be incomplete.
    fn begin(&mut self, increment: Increment) -> io::Result<Begun> {
        self.write_and_sync()?;
        if self.note_doubt() {
            self.line.news.notify_one();
        }
        let begun = Begun { len: self.writer.len, doubts: self.line.progress.doubts.load(Relaxed) };
        let file = match increment {
            Increment::Listed => self.store.next_increment()?,
            Increment::OnItsWay => self.store.increment_on_its_way()?,
            Increment::None => return Ok(begun),
        };
        self.writer.go_on_in(file);
        Ok(begun)
    }

    /// True: there is a new one.
    fn note_doubt(&mut self) -> bool {
        let is_doubtful = std::mem::take(&mut self.writer.is_doubtful);
        if is_doubtful {
            self.line.progress.doubts.fetch_add(1, Relaxed);
        }
        is_doubtful
    }

    /// True: something took too long.
    fn note_slow(&mut self, manner: Manner) -> bool {
        let Slow { write, sync } = std::mem::take(&mut self.slow);
        let too_long = |took: Duration| if took >= manner.slow { took } else { Duration::ZERO };
        let slow = Slow { write: too_long(write), sync: too_long(sync) };
        let is_slow = slow != Slow::default();
        if is_slow {
            self.line.progress.note_slow(slow);
        }
        is_slow
    }

    /// Writes what is there, and syncs it if it is time.
    fn commit(&mut self, manner: Manner, now: Instant) -> io::Result<()> {
        let before = node::instant();
        let written = self.writer.write();
        self.slow.write = self.slow.write.max(before.elapsed());
        written?;
        if manner.fsync != Fsync::Always {
            self.writer.let_go();
        }
        if !self.writer.owes_sync() {
            return Ok(());
        }
        let is_due = match manner.fsync {
            Fsync::Always => true,
            Fsync::EverySecond => now.duration_since(self.synced_at) >= SYNC_EVERY && !manner.holds_syncs,
            Fsync::Never => false,
        };
        if !is_due {
            return Ok(());
        }
        let before = node::instant();
        let synced = self.sync(now);
        if manner.fsync == Fsync::Always {
            self.slow.sync = self.slow.sync.max(before.elapsed());
        }
        synced
    }

    fn sync(&mut self, now: Instant) -> io::Result<()> {
        let progress = &self.line.progress;
        progress.owes_sync.store(true, Relaxed);
        let synced = self.writer.sync();
        if node::instant().duration_since(now) >= SYNC_LATE {
            progress.delayed_syncs.fetch_add(1, Relaxed);
        }
        // After an error, too: a disk that cannot is not asked all the time.
        self.synced_at = now;
        if synced.is_ok() {
            progress.syncs.fetch_add(1, Relaxed);
        }
        synced
    }

    /// How long there is nothing to do unless something is ordered.
    fn patience(&self, manner: Manner) -> Option<Duration> {
        if self.failure.is_some() {
            return Some(RETRY_AFTER);
        }
        let waits_for_its_second = manner.fsync == Fsync::EverySecond && self.writer.owes_sync();
        waits_for_its_second.then(|| (self.synced_at + SYNC_EVERY).saturating_duration_since(node::instant()))
    }

    fn report(&mut self, error: Option<io::Error>, manner: Manner) {
        // Before the position: whoever sees what is synced sees what it stands behind.
        let is_notable = self.note_doubt() | self.note_slow(manner);
        let progress = &self.line.progress;
        progress.has_synced(self.writer.synced);
        progress.file_bytes.store(self.writer.len, Relaxed);
        progress.owes_sync.store(self.writer.owes_sync(), Relaxed);
        let failure = error.as_ref().map(reason);
        let is_other = failure != self.failure;
        if is_other {
            match &failure {
                Some(why) => tracing::error!(why, "cannot write the append-only file; trying again"),
                None => tracing::info!("the append-only file can be written again"),
            }
            progress.fail(failure.clone());
            self.failure = failure;
        }
        self.line.tell(manner.fsync, is_other || is_notable);
    }
}

/// The system's words for an error, without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.find(" (os error").map_or(text.clone(), |end| text[..end].to_owned())
}

fn unix_seconds() -> u64 {
    node::now().0 / 1000
}

#[cfg(test)]
mod tests;
