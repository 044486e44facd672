//! What a replica says on its link: `REPLCONF ACK offset`, a member with `EPOCH epoch`, who keeps a log with `FACK offset`, and
//! line ends as signs of life.

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
    /// It has applied the stream up to here; of a member, with the epoch of the last EPOCH record before that. It may say how
    /// much of the stream is on its disk.
    Acked { offset: Offset, epoch: Option<Epoch>, synced: Option<Offset> },
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
                    if let Some(acked) = acked(parser.request(&self.bytes, at))? {
                        said = acked;
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

/// An acknowledgement. None: something else that a replica may say.
fn acked(request: Request<'_>) -> Result<Option<Said>, String> {
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
    let named =
        |word: &str| (3..request.len()).step_by(2).find(|at| is(*at, word)).and_then(|at| number(at + 1));
    let (epoch, synced) = (named("epoch").map(Epoch), named("fack").map(Offset));
    Ok(number(2).map(|offset| Said::Acked { offset: Offset(offset), epoch, synced }))
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
            assert_eq!(last, Said::Acked { offset: Offset(170), epoch: None, synced: None }, "{cut}");
            assert_eq!(inbox.bytes.len(), 0);
        }
    }

    #[test]
    fn what_a_replica_has_on_its_disk_and_of_which_epoch_it_is_stand_behind_what_it_has_applied() {
        let said = |bytes: &[u8]| Inbox::new(Vec::new()).take(bytes).unwrap();
        let acked = |epoch: Option<u64>, synced: Option<u64>| Said::Acked {
            offset: Offset(17),
            epoch: epoch.map(Epoch),
            synced: synced.map(Offset),
        };
        assert_eq!(said(b"REPLCONF ACK 17 FACK 12\r\n"), acked(None, Some(12)));
        assert_eq!(said(b"REPLCONF ACK 17 fack x\r\n"), acked(None, None));
        assert_eq!(said(b"REPLCONF ACK 17 OTHER 12\r\n"), acked(None, None));
        assert_eq!(said(b"REPLCONF ACK 17 EPOCH 3\r\n"), acked(Some(3), None));
        assert_eq!(said(b"REPLCONF ACK 17 EPOCH x\r\n"), acked(None, None));
        assert_eq!(said(b"REPLCONF ACK 17 EPOCH 3 FACK 12\r\n"), acked(Some(3), Some(12)));
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
