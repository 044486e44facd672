//! A primary's stream, cut into units: a command, or all of MULTI ... EXEC.
//!
//! Only whole units are given out, so that nothing of a transaction is seen before all of it is here, and so that a
//! position always lies between units. What has come of a unit that is not whole waits here, and is gone when the link
//! breaks: the primary will be asked for it again.
//!
//! Bytes are looked at once. Only a transaction that begins behind other units in one read and is not whole at its end is
//! looked at twice.

use slotway_commands::{Command, Id, lookup};
use slotway_resp::{Limits, Parser, ProtocolError, Request, RequestAt};

/// A primary may send whatever it has: its own limits were other ones.
const ANY: Limits = Limits { bulk_bytes_max: usize::MAX, words_max: usize::MAX, ..Limits::CLIENT };
/// Room that is kept for the next reads; more is given back.
const ROOM_BYTES_KEPT: usize = 1024 * 1024;

/// One request of the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    at: RequestAt,
    /// None: there is no such command here.
    pub(super) row: Option<&'static Command>,
}

/// What has come and is not applied.
#[derive(Debug, Default)]
pub(super) struct Units {
    bytes: Vec<u8>,
    parser: Parser,
    /// The requests at the front of `bytes`.
    found: Vec<Found>,
    /// So many of them are whole units, and end there.
    whole: usize,
    whole_until: usize,
    /// Behind a MULTI whose EXEC has not come.
    is_open: bool,
}

impl Units {
    /// More of the stream.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Looks for whole units in what has been added.
    ///
    /// # Errors
    /// What follows the last unit is no request.
    pub(super) fn find(&mut self) -> Result<(), ProtocolError> {
        while let Some(at) = self.parser.next(&self.bytes, &ANY)? {
            let request = self.parser.request(&self.bytes, at);
            // Of what replicas and primaries say to each other not all is for clients.
            let among_peers = || lookup::find_in(request).filter(|row| row.id == Id::Replconf);
            let row = lookup::resolve(request).ok().or_else(among_peers);
            self.found.push(Found { at, row });
            match row.map(|row| row.id) {
                Some(Id::Multi) => self.is_open = true,
                Some(Id::Exec) => self.is_open = false,
                _ => {}
            }
            if !self.is_open {
                self.whole = self.found.len();
                self.whole_until = at.end();
            }
        }
        Ok(())
    }

    /// The requests of the whole units, in order.
    pub(super) fn whole(&self) -> &[Found] {
        &self.found[..self.whole]
    }

    /// Their bytes.
    pub(super) fn whole_bytes(&self) -> &[u8] {
        &self.bytes[..self.whole_until]
    }

    pub(super) fn request(&self, found: Found) -> Request<'_> {
        self.parser.request(&self.bytes, found.at)
    }

    /// The whole units are applied.
    pub(super) fn drop_whole(&mut self) {
        if self.whole == 0 {
            return;
        }
        if self.whole == self.found.len() {
            let done = self.parser.consumed();
            // Empty lines behind the last unit belong to the next one, in whose bytes they are counted.
            debug_assert!(done >= self.whole_until);
            self.forget(self.whole_until);
            if done == self.whole_until {
                self.parser.rebase();
            } else {
                self.parser = Parser::default();
            }
        } else {
            self.forget(self.whole_until);
            self.parser = Parser::default();
        }
    }

    /// Nothing of it will be applied.
    pub(super) fn clear(&mut self) {
        *self = Units::default();
    }

    fn forget(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        if self.bytes.capacity() > ROOM_BYTES_KEPT.max(2 * self.bytes.len()) {
            self.bytes.shrink_to(ROOM_BYTES_KEPT);
        }
        self.found.clear();
        (self.whole, self.whole_until, self.is_open) = (0, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotway_resp::write;

    use super::*;

    fn stream(units: &[Vec<Vec<&str>>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        units.iter().flatten().for_each(|words| write::request(&mut bytes, words));
        bytes
    }

    /// Takes what is whole: its requests as text, and how many bytes they had.
    fn take(units: &mut Units) -> (Vec<String>, usize) {
        units.find().unwrap();
        let text = |found: &Found| {
            units
                .request(*found)
                .words()
                .map(|word| word.escape_ascii().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let taken = (units.whole().iter().map(text).collect(), units.whole_bytes().len());
        units.drop_whole();
        taken
    }

    #[test]
    fn a_transaction_is_given_out_when_its_exec_has_come() {
        let mut units = Units::default();
        let before = stream(&[vec![vec!["SET", "a", "1"]]]);
        let open = stream(&[vec![vec!["MULTI"], vec!["SET", "b", "2"]]]);
        let rest = stream(&[vec![vec!["SET", "c", "3"], vec!["EXEC"]]]);
        units.add(&before);
        units.add(&open);
        assert_eq!(take(&mut units), (vec!["SET a 1".into()], before.len()));
        assert_eq!(take(&mut units), (vec![], 0));
        units.add(&rest);
        let expected = ["MULTI", "SET b 2", "SET c 3", "EXEC"].map(str::to_owned).to_vec();
        assert_eq!(take(&mut units), (expected, open.len() + rest.len()));
    }

    #[test]
    fn what_is_no_request_is_found_behind_the_last_unit() {
        let mut units = Units::default();
        units.add(b"*1\r\n$4\r\nPING\r\n*1\r\n:1\r\n");
        assert!(units.find().is_err());
        assert_eq!(units.whole_bytes(), b"*1\r\n$4\r\nPING\r\n");
    }

    #[test]
    fn empty_lines_are_counted_with_the_unit_behind_them() {
        let mut units = Units::default();
        units.add(b"*1\r\n$4\r\nPING\r\n\r\n\r\n");
        assert_eq!(take(&mut units).1, 14);
        units.add(b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(take(&mut units).1, 18);
    }

    proptest! {
        /// However the stream is read, the units are the same, none is given out in part, and every byte is counted once.
        #[test]
        fn reads_of_any_length_give_the_same_units(
            sizes in prop::collection::vec(1_usize..5, 1..20),
            pieces in prop::collection::vec(1_usize..200, 1..50),
            long in 0_usize..300,
        ) {
            let value = "v".repeat(long);
            let units: Vec<Vec<Vec<&str>>> = sizes.iter().map(|&size| match size {
                1 => vec![vec!["SET", "key", &value]],
                _ => {
                    let inner = std::iter::repeat_n(vec!["RPUSH", "list", &value], size);
                    [vec![vec!["MULTI"]], inner.collect(), vec![vec!["EXEC"]]].concat()
                }
            }).collect();
            let bytes = stream(&units);
            let ends: Vec<usize> = (1..=units.len()).map(|count| stream(&units[..count]).len()).collect();
            let (mut reader, mut given, mut requests, mut rest) = (Units::default(), 0, 0, &bytes[..]);
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                reader.add(now);
                let (found, len) = take(&mut reader);
                given += len;
                requests += found.len();
                prop_assert!(given == 0 || ends.contains(&given));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(given, bytes.len());
            prop_assert_eq!(requests, units.iter().map(Vec::len).sum::<usize>());
        }
    }
}
