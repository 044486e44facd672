//! What lies in the databases: every key with type, encoding, deadline and value, the same on both sides.

use std::time::Instant;

use slotway_resp::Frame;

use super::compare::{frame, in_order};
use super::exceptions;
use super::question::{Client, Compare, Question, show};
use super::run::Run;
use crate::cluster::PATIENCE;

/// How each type is read as a whole: its name, the request around the key, how to compare.
const READS: &[(&str, &str, &[&str], Compare)] = &[
    ("string", "GET", &[], Compare::Bytes),
    ("hash", "HGETALL", &[], Compare::Pairs),
    ("list", "LRANGE", &["0", "-1"], Compare::Bytes),
    ("set", "SMEMBERS", &[], Compare::AnyOrder),
    ("zset", "ZRANGE", &["0", "-1", "WITHSCORES"], Compare::Bytes),
];

/// How a large value is walked through.
const SCANS: &[(&str, &str)] = &[("hash", "HSCAN"), ("set", "SSCAN"), ("zset", "ZSCAN")];

/// Options under which the whole database is walked through.
const SCAN_OPTIONS: &[&str] = &["", "MATCH *[k1]*", "TYPE HASH COUNT 3", "TYPE zset", "type x"];

impl Run {
    /// Compares the whole database that the first client is in.
    pub(super) fn check_contents(&mut self) {
        self.leave_transactions();
        let all = self.check(&[Question::new(Compare::AnyOrder, ["KEYS", "*"])]);
        let keys: Vec<Vec<u8>> = match frame(&all[0].theirs) {
            Some(Frame::Array(keys)) => keys.iter().filter_map(Frame::as_bytes).map(<[u8]>::to_vec).collect(),
            other => panic!("KEYS answered {other:?}"),
        };
        self.wait_for_size(keys.len());
        for options in SCAN_OPTIONS {
            self.check_scan(&[b"SCAN"], options);
        }
        let types: Vec<Question> =
            keys.iter().map(|key| Question::new(Compare::Bytes, [b"TYPE", key.as_slice()])).collect();
        let types = self.check_each(&types);
        for (key, kind) in keys.iter().zip(types) {
            self.check_key(key, &kind);
        }
    }

    /// Nothing may be queued behind this.
    pub(super) fn leave_transactions(&mut self) {
        for by in Client::ALL {
            if self.is_queueing(by) {
                self.check(&[Question { by, ..Question::new(Compare::Bytes, ["DISCARD"]) }]);
            }
        }
    }

    /// Expired keys are counted until they are found to be: after a while by both.
    fn wait_for_size(&mut self, keys: usize) {
        let size = Question::new(Compare::Nothing, ["DBSIZE"]);
        let expected = format!(":{keys}\r\n").into_bytes();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answers = self.check(std::slice::from_ref(&size));
            self.history.pop();
            if answers[0].ours == expected && answers[0].theirs == expected {
                return;
            }
            if Instant::now() > deadline {
                let [ours, theirs] = [&answers[0].ours, &answers[0].theirs].map(|text| text.escape_ascii());
                let text = format!("  {keys} keys, and DBSIZE says {ours} (ours), {theirs} (theirs)");
                self.fail(&[size], &text);
            }
        }
    }

    /// The texts that their side answered.
    fn check_each(&mut self, questions: &[Question]) -> Vec<String> {
        let mut texts = Vec::new();
        for batch in questions.chunks(16) {
            let answers = self.check(batch);
            texts.extend(answers.iter().map(|answer| {
                let text = String::from_utf8_lossy(&answer.theirs);
                text.trim_start_matches('+').trim_end().to_owned()
            }));
        }
        texts
    }

    fn check_key(&mut self, key: &[u8], kind: &str) {
        let Some((_, read, behind, compare)) = READS.iter().find(|row| row.0 == kind) else {
            panic!("a key of type {kind:?}: {}", key.escape_ascii());
        };
        let whole = [read.as_bytes(), key].into_iter().chain(behind.iter().map(|word| word.as_bytes()));
        let mut batch = vec![
            Question::new(Compare::Time, [b"PEXPIRETIME", key]),
            Question::new(Compare::Bytes, [b"OBJECT", &b"ENCODING"[..], key]),
            Question::new(Compare::Bytes, [b"OBJECT", &b"REFCOUNT"[..], key]),
            Question::new(*compare, whole),
        ];
        batch.retain(|question| self.pair.place.asks(&question.words));
        self.check(&batch);
        if let Some((_, scan)) = SCANS.iter().find(|row| row.0 == kind) {
            self.check_scan(&[scan.as_bytes(), key], "COUNT 7");
        }
    }

    /// Walks through both sides to the end; each must find the same, at least once.
    fn check_scan(&mut self, begin: &[&[u8]], options: &str) {
        let request = |cursor: &[u8]| {
            let options = options.split_whitespace().map(str::as_bytes);
            Question::new(Compare::Nothing, begin.iter().copied().chain([cursor]).chain(options))
        };
        if !self.pair.place.asks(&request(b"0").words) {
            return;
        }
        let (mut cursors, mut found) = ([b"0".to_vec(), b"0".to_vec()], [Vec::new(), Vec::new()]);
        let pairs = !matches!(begin[0], b"SCAN" | b"SSCAN");
        // A side that is through begins again, which does no harm, until the other is through, too.
        let mut through = [false, false];
        while through != [true, true] {
            let questions = cursors.each_ref().map(|cursor| request(cursor));
            let replies = match self.ask_apart(&questions) {
                Ok(replies) => replies,
                Err(error) => self.fail(&questions[..1], &format!("a connection broke: {error}")),
            };
            for (side, reply) in replies.iter().enumerate() {
                let Some((cursor, elements)) = page(reply, pairs) else {
                    self.fail(&questions[side..=side], &format!("  answered {}", reply.escape_ascii()));
                };
                through[side] |= cursor == b"0";
                found[side].extend(elements);
                cursors[side] = cursor;
            }
        }
        for side in &mut found {
            side.sort_unstable();
            side.dedup();
        }
        if found[0] != found[1] {
            let text = format!("  ours found   {:?}\n  theirs found {:?}", found[0], found[1]);
            let question = request(b"0");
            let name = show(&question.words);
            self.fail(&[question], &format!("  all of {name}:\n{text}"));
        }
    }
}

/// Cursor and elements of a page; scores as the shortest text.
fn page(reply: &[u8], pairs: bool) -> Option<(Vec<u8>, Vec<String>)> {
    let reply = frame(reply)?;
    let [cursor, elements] = reply.as_array()? else { return None };
    let elements = elements.as_array()?;
    let request = [b"ZSCAN".to_vec()];
    let printed = exceptions::as_it_should_be(&request, &Frame::Null, Frame::Array(elements.to_vec()));
    let chunks = printed.as_array()?.chunks(if pairs { 2 } else { 1 });
    let found = chunks.map(|chunk| in_order(&Frame::Array(chunk.to_vec()))).collect();
    Some((cursor.as_bytes()?.to_vec(), found))
}
