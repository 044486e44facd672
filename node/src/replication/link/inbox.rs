//! What a replica says on its link: `REPLCONF ACK offset`, a member `REPLCONF ACK offset EPOCH epoch`, and line ends as signs of
//! life.

use slotway_cluster::{Epoch, replication::Offset};
use slotway_resp::{Limits, Parser, Request, number};

/// Nothing a replica says is longer.
const LIMITS: Limits = Limits { bulk_bytes_max: 64, words_max: 8, ..Limits::CLIENT };

/// Bytes that have come and were no whole request yet.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It has applied the stream up to here; of a member, with the epoch of the last EPOCH record before that.
    Acked(Offset, Option<Epoch>),
    /// A sign of life.
    Something,
}

impl Inbox {
    /// With what came before.
    pub(super) fn new(bytes: Vec<u8>) -> Inbox {
        Inbox { bytes }
    }

    /// Reads on. Of several acknowledgements the last one counts.
    ///
    /// # Errors
    /// What the replica said that no replica says.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Said, String> {
        self.bytes.extend_from_slice(bytes);
        let mut parser = Parser::default();
        let mut said = Said::Something;
        loop {
            match parser.next(&self.bytes, &LIMITS) {
                Ok(Some(at)) => {
                    if let Some((offset, epoch)) = acked(parser.request(&self.bytes, at))? {
                        said = Said::Acked(offset, epoch);
                    }
                }
                Ok(None) => break,
                Err(broken) => return Err(broken.to_string()),
            }
        }
        self.bytes.drain(..parser.consumed());
        Ok(said)
    }
}

/// The offset and the epoch of an acknowledgement. None: something else that a replica may say.
fn acked(request: Request<'_>) -> Result<Option<(Offset, Option<Epoch>)>, String> {
    let is = |index: usize, word: &str| {
        request.get(index).is_some_and(|given| given.eq_ignore_ascii_case(word.as_bytes()))
    };
    if !is(0, "replconf") {
        return Err(String::from_utf8_lossy(request.word(0)).into_owned());
    }
    if !is(1, "ack") {
        return Ok(None);
    }
    let number = |index: usize| u64::try_from(number::integer(request.get(index)?)?).ok();
    let epoch = if is(3, "epoch") { number(4).map(Epoch) } else { None };
    Ok(number(2).map(|offset| (Offset(offset), epoch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_found_however_the_bytes_are_cut() {
        let bytes = b"\n*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$2\r\n17\r\n\n*3\r\n$8\r\nreplconf\r\n$3\r\nack\r\n$3\r\n170\r\n";
        for cut in 0..=bytes.len() {
            let mut inbox = Inbox::new(Vec::new());
            let (first, second) = (inbox.take(&bytes[..cut]).unwrap(), inbox.take(&bytes[cut..]).unwrap());
            let last = if second == Said::Something { first } else { second };
            assert_eq!(last, Said::Acked(Offset(170), None), "{cut}");
            assert_eq!(inbox.bytes.len(), 0);
        }
    }

    #[test]
    fn a_member_says_of_which_epoch_it_holds_something() {
        let said = |words: &str| Inbox::new(Vec::new()).take(words.as_bytes()).unwrap();
        assert_eq!(said("REPLCONF ACK 17 EPOCH 3\r\n"), Said::Acked(Offset(17), Some(Epoch(3))));
        assert_eq!(said("REPLCONF ACK 17 EPOCH x\r\n"), Said::Acked(Offset(17), None));
        assert_eq!(said("REPLCONF ACK 17 FACK 3\r\n"), Said::Acked(Offset(17), None));
    }

    #[test]
    fn whoever_asks_for_something_is_no_replica() {
        let refused = |bytes: &[u8]| Inbox::new(Vec::new()).take(bytes).is_err();
        assert!(refused(b"PING\r\n"));
        assert!(refused(b"*1\r\n$4\r\nINFO\r\n"));
        assert!(refused(b"*100\r\n"), "longer than anything a replica says");
        assert!(refused(&[b'x'; 100_000]));
        assert!(!refused(b"REPLCONF ACK nonsense\r\n"));
        assert!(!refused(b"REPLCONF ACK\r\n"));
    }
}
