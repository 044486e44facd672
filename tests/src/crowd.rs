//! A crowd of plain clients that know what they may expect, and keep books about what they got.
//!
//! Each client has a role (`roles`): it counts, reads its own writes, appends, moves money, watches. It writes keys of
//! its own, so that it alone can say what every reply must be, whatever happens behind the proxy meanwhile. An error
//! reply is counted by its text; after one, a write may or may not have happened, and both are right from then on. At the
//! end the books are compared with what is stored.
//!
//! What contradicts the books is of two sorts. A write that was acknowledged and is gone is **lost**: backends that
//! replicate without waiting may do that when a master is killed. Anything else (an increment applied twice, a value
//! nobody wrote, an order turned round) is **wrong**, and nothing excuses it.

mod books;
pub mod client;
mod roles;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use slotway_resp::Version;

use self::books::{Books, Gone};
use self::client::Client;
use self::roles::{Role, scan};
use crate::cluster::wait_until;

/// A pause of each client after each step: the crowd is to be everywhere, not to take all cores of a small machine from
/// the servers it speaks to.
const PACE: Duration = Duration::from_millis(2);

/// How many different texts of contradictions are kept.
const TEXTS_MAX: usize = 20;

/// Clients at work. Dropping it without [`Crowd::stop`] lets them end by themselves.
#[derive(Debug)]
pub struct Crowd {
    port: u16,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<(Books, Box<dyn Role>)>>,
}

/// Whether slots stay where they are and servers live while the crowd works: only then SCAN promises every key. (A server
/// of Redis that starts again hashes anew, so that a cursor of its earlier life means nothing.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walks {
    Complete,
    Disturbed,
}

/// What the whole crowd got.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests that were answered.
    pub requests: u64,
    /// Error texts, with digits made one, and how often each came.
    pub errors: BTreeMap<String, u64>,
    /// Acknowledged writes that are gone.
    pub lost: Vec<String>,
    /// What nothing excuses.
    pub wrong: Vec<String>,
    /// Connections that were closed by the other side.
    pub closed: u64,
    /// The longest that one client waited for the answer to what it sent at once.
    pub longest: Duration,
}

impl Crowd {
    /// Connects all clients to a port and sets them to work.
    #[must_use]
    pub fn start(port: u16, walks: Walks) -> Crowd {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut fixture = Books::new(connect(port, Version::Resp2), Arc::clone(&answered), 0);
        // Whether this works, the scanning clients will notice.
        let _answered = scan::write_fixture(&mut fixture);
        let roles = roles::all(walks).into_iter();
        let clients = (0_u64..).zip(roles).map(|(number, role)| {
            let version = if number % 2 == 0 { Version::Resp2 } else { Version::Resp3 };
            let books = Books::new(connect(port, version), Arc::clone(&answered), number + 1);
            let stop = Arc::clone(&stop);
            thread::spawn(move || work(books, role, &stop))
        });
        let clients = clients.collect();
        Crowd { port, stop, answered, clients }
    }

    /// Waits until as many more requests were answered: the crowd has seen what is now.
    pub fn wait_for(&self, requests: u64) {
        let until = self.answered.load(Ordering::Relaxed) + requests;
        wait_until("the crowd gets answers", || self.answered.load(Ordering::Relaxed) >= until);
    }

    /// Waits until no client is connected any more.
    pub fn wait_until_all_are_closed(&self) {
        wait_until("all clients are closed", || self.clients.iter().all(JoinHandle::is_finished));
    }

    /// Stops all clients and compares their books with what is stored.
    #[must_use]
    pub fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut outcome = Outcome::default();
        for client in self.clients {
            let (mut books, mut role) = client.join().expect("a client's thread does not panic");
            outcome.add(&books);
            // On a connection of its own: the old one may be closed.
            books.renew(connect(self.port, Version::Resp2));
            if role.settle(&mut books).is_err() {
                outcome.wrong.push("the books could not be compared: the connection was closed".into());
            }
            outcome.compare(books);
        }
        outcome
    }
}

fn connect(port: u16, version: Version) -> Client {
    Client::connect(port, version).unwrap_or_else(|error| panic!("port {port} takes no client: {error}"))
}

fn work(mut books: Books, mut role: Box<dyn Role>, stop: &AtomicBool) -> (Books, Box<dyn Role>) {
    while !stop.load(Ordering::Relaxed) {
        match role.step(&mut books) {
            Ok(()) => thread::sleep(PACE),
            Err(Gone) => {
                books.note_closed();
                break;
            }
        }
    }
    (books, role)
}

impl Outcome {
    /// What a client met while it worked.
    fn add(&mut self, books: &Books) {
        self.requests += books.answered;
        self.closed += books.closed;
        self.longest = self.longest.max(books.longest);
        for (text, count) in &books.errors {
            *self.errors.entry(text.clone()).or_default() += count;
        }
    }

    /// What its books said.
    fn compare(&mut self, books: Books) {
        self.lost.extend(books.lost);
        self.wrong.extend(books.wrong);
    }

    /// Error replies that begin with a word.
    #[must_use]
    pub fn errors_with(&self, code: &str) -> u64 {
        self.errors.iter().filter(|(text, _)| text.starts_with(code)).map(|(_, count)| count).sum()
    }

    /// Writes of which nobody knows whether they happened.
    #[must_use]
    pub fn indeterminate(&self) -> u64 {
        self.errors_with("INDETERMINATE")
    }

    /// Every other error.
    #[must_use]
    pub fn other_errors(&self) -> u64 {
        self.errors.values().sum::<u64>() - self.indeterminate()
    }

    /// No error at all, and the books agree.
    pub fn must_be_clean(&self) {
        assert_eq!(self.indeterminate(), 0, "a write of unknown outcome although no server died: {self}");
        assert!(self.lost.is_empty(), "acknowledged writes are gone: {self}");
        self.must_be_clean_but_for_the_killed();
    }

    /// Errors only where a killed server took the answer with it.
    pub fn must_be_clean_but_for_the_killed(&self) {
        assert_eq!(self.other_errors(), 0, "{self}");
        assert_eq!(self.closed, 0, "connections were closed: {self}");
        assert!(self.wrong.is_empty(), "{self}");
        assert!(self.requests > 0, "nothing was asked: {self}");
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, closed, longest) = (self.requests, self.closed, self.longest);
        writeln!(f, "{requests} requests, {closed} connections closed, longest wait {longest:?}")?;
        for (text, count) in &self.errors {
            writeln!(f, "  {count} x {text}")?;
        }
        for (sort, texts) in [("lost", &self.lost), ("wrong", &self.wrong)] {
            writeln!(f, "  {sort}: {}", texts.len())?;
            texts.iter().take(TEXTS_MAX).try_for_each(|text| writeln!(f, "    {text}"))?;
        }
        Ok(())
    }
}
