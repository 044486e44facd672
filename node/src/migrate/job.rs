//! What MIGRATE asks for, what it sends, and what the target's answers mean.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use slotway_cluster::Database;
use slotway_resp::write;

use crate::{client::Client, keyspace::Watch};

/// A request, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) host: String,
    pub(crate) port: String,
    /// Of the target.
    pub(crate) database: i64,
    /// For connecting, and for each step forward behind it.
    pub(crate) patience: Duration,
    /// COPY: the keys stay here.
    pub(crate) keeps: bool,
    pub(crate) replaces: bool,
    /// What AUTH is to say.
    pub(crate) credentials: Vec<Vec<u8>>,
    /// The words that are keys.
    pub(crate) keys: std::ops::Range<usize>,
}

/// A key that goes, in the order of the RESTOREs.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) key: Vec<u8>,
    /// Begun when its value was taken.
    pub(crate) watch: Watch,
}

/// A request with the values of its keys, and who waits for it.
pub(crate) struct Job {
    pub(crate) client: Rc<Client>,
    pub(crate) request: Request,
    pub(crate) database: Database,
    pub(crate) cargo: Cargo,
}

/// The keys of a request that are there.
#[derive(Debug, Default)]
pub(crate) struct Cargo {
    pub(crate) parcels: Vec<Parcel>,
    /// A RESTORE for each.
    pub(crate) restores: Vec<u8>,
}

impl Job {
    /// What goes to the target in front of the RESTOREs, and how many answers it brings.
    pub(super) fn introduction(&self) -> (Vec<u8>, usize) {
        let mut out = Vec::new();
        let credentials = &self.request.credentials;
        if !credentials.is_empty() {
            let words: Vec<&[u8]> =
                std::iter::once(&b"AUTH"[..]).chain(credentials.iter().map(Vec::as_slice)).collect();
            write::request(&mut out, &words);
        }
        let database = self.request.database.to_string();
        write::request(&mut out, &["SELECT", &database]);
        (out, 1 + usize::from(!credentials.is_empty()))
    }
}

/// Where speaking with the target ended too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    Connecting,
    Writing,
    Reading,
}

/// What the target said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    /// To AUTH and SELECT, then to each RESTORE. Lines with their signs.
    pub(super) lines: Vec<Vec<u8>>,
    /// How many of them are the introduction's.
    pub(super) introduction: usize,
    /// There are not as many as there should be.
    pub(super) failed: Option<Failed>,
}

impl Answers {
    /// Whether the target has this parcel.
    pub(super) fn accepted(&self, parcel: usize) -> bool {
        let is_refused = |line: &Vec<u8>| line.first() == Some(&b'-');
        let is_welcome = !self.lines.iter().take(self.introduction).any(is_refused);
        is_welcome && self.lines.get(self.introduction + parcel).is_some_and(|line| !is_refused(line))
    }

    /// The error of the whole; None: all went well. `changed` keys were written while they were on their way.
    pub(super) fn error(&self, changed: usize) -> Option<Cow<'static, str>> {
        let refused = self.lines.iter().find_map(|line| line.strip_prefix(b"-"));
        if let Some(text) = refused {
            let text = String::from_utf8_lossy(text);
            return Some(format!("ERR Target instance replied with error: {text}").into());
        }
        match self.failed {
            Some(Failed::Connecting) => Some("IOERR error or timeout connecting to the client".into()),
            Some(Failed::Writing) => Some("IOERR error or timeout writing to target instance".into()),
            Some(Failed::Reading) => Some("IOERR error or timeout reading to target instance".into()),
            None if changed > 0 => {
                Some(format!("ERR {changed} keys have changed on their way: they stay, and the target has them as they were").into())
            },
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(lines: &[&str], introduction: usize, failed: Option<Failed>) -> Answers {
        let lines = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        Answers { lines, introduction, failed }
    }

    #[test]
    fn only_what_the_target_has_goes_and_its_first_error_is_told() {
        let some = answers(&["+OK", "+OK", "-BUSYKEY Target", "+OK"], 1, None);
        assert_eq!([0, 1, 2, 3].map(|nth| some.accepted(nth)), [true, false, true, false]);
        let told = some.error(7).unwrap();
        assert_eq!(told, "ERR Target instance replied with error: BUSYKEY Target");
        let stranger = answers(&["-WRONGPASS no", "+OK", "+OK"], 2, None);
        assert!(!stranger.accepted(0));
        let cut = answers(&["+OK", "+OK"], 1, Some(Failed::Reading));
        assert!(cut.accepted(0) && !cut.accepted(1));
        assert_eq!(cut.error(0).unwrap(), "IOERR error or timeout reading to target instance");
        assert_eq!(answers(&["+OK", "+OK"], 1, None).error(0), None);
        assert!(answers(&["+OK", "+OK"], 1, None).error(1).unwrap().starts_with("ERR 1 keys"));
    }
}
