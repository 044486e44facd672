//! One run: both servers, the requests of one seed, comparisons as they come.
//!
//! Requests go out in small batches, which is how clients send them and how a node looks keys up together; each reply is
//! compared with its own. A disagreement ends the run with everything that is needed to see it again.

use std::io;
use std::ops::RangeInclusive;
use std::time::Instant;

use slotway_resp::{Frame, Version};

use super::compare::{agree, frame, frames_agree};
use super::groups::{self, Group};
use super::place::Place;
use super::question::{Client, Compare, Question, show};
use super::shorten;
use super::source::Source;
use super::target::{Address, Connection, Server};
use crate::cluster::PATIENCE;

/// Most requests that are sent before a reply is read.
const BATCH_MAX: u64 = 16;

/// After so many batches a key is made to expire, and everything is looked through.
const EXPIRE_EVERY: usize = 10;
const CONTENTS_EVERY: usize = 60;

/// Batches of one seed: on a node, in each place behind a proxy, on two redis-servers.
const NODE_BATCHES: usize = 600;
const PROXY_BATCHES: usize = 180;
const REDIS_BATCHES: usize = 120;

/// Which seeds, if not those of the gate: `SLOTWAY_DIFFERENTIAL_SEEDS=1-20` (or `17`).
const SEEDS: &str = "SLOTWAY_DIFFERENTIAL_SEEDS";
const SEEDS_OF_THE_GATE: &str = "1-3";

/// The group's requests on a node, in both versions of the protocol.
pub fn on_a_node(group: &'static Group) {
    let (node, redis) = (Server::node(), Server::redis());
    for version in [Version::Resp2, Version::Resp3] {
        let pair = Pair { ours: node.address(), theirs: redis.address(), place: Place::Node, version };
        ask_chosen(group, &pair);
        ask_seeds(group, &pair, NODE_BATCHES);
    }
}

/// The group's requests through a proxy in front of three nodes, in all places that it has.
pub fn through_the_proxy(group: &'static Group) {
    let (cluster, redis) = (Server::cluster(), Server::redis());
    for version in [Version::Resp2, Version::Resp3] {
        for place in [Place::WholeDatabase, Place::OneHashTag, Place::FreeKeys] {
            let pair = Pair { ours: cluster.address(), theirs: redis.address(), place, version };
            if place == Place::WholeDatabase {
                ask_chosen(group, &pair);
            }
            ask_seeds(group, &pair, PROXY_BATCHES);
        }
    }
}

/// The group's requests on two redis-servers: what these do not agree about, its rows must not compare.
pub fn on_two_of_redis(group: &'static Group) {
    let (one, other) = (Server::redis(), Server::redis());
    let (ours, theirs) = (one.address(), other.address());
    let pair = Pair { ours, theirs, place: Place::Redis, version: Version::Resp3 };
    ask_chosen(group, &pair);
    ask_seeds(group, &pair, REDIS_BATCHES);
}

fn seeds() -> RangeInclusive<u64> {
    let text = std::env::var(SEEDS).unwrap_or_else(|_| SEEDS_OF_THE_GATE.to_owned());
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => first..=last,
        _ => panic!("{SEEDS} is a number or FIRST-LAST, not {text:?}"),
    }
}

fn ask_seeds(group: &'static Group, pair: &Pair, batches: usize) {
    for seed in seeds() {
        let mut run = Run::new(pair, format!("{}, seed {seed}", group.name));
        let mut source = Source::new(group, pair.place, seed);
        let mut next = None;
        for nth in 1..=batches {
            let batch = next_batch(&mut source, &mut next);
            run.check(&batch);
            if nth % EXPIRE_EVERY == 0 {
                run.leave_transactions();
                let key = source.any_key();
                run.check(&[Question::new(Compare::Bytes, [b"PEXPIRE", &key[..], b"1"])]);
                run.check(&[Question::new(Compare::Gone, [b"EXISTS", &key[..]])]);
            }
            if nth % CONTENTS_EVERY == 0 {
                run.check_contents();
            }
        }
    }
}

/// Up to [`BATCH_MAX`] questions of one client; `left` is what the last batch could not take.
fn next_batch(source: &mut Source, left: &mut Option<Question>) -> Vec<Question> {
    let wanted = usize::try_from(1 + source.below(BATCH_MAX)).expect("a small number");
    let first = left.take().unwrap_or_else(|| source.next_question());
    let mut batch = vec![first];
    while batch.len() < wanted && !batch[0].stands_alone() {
        let question = source.next_question();
        if question.by != batch[0].by || question.stands_alone() {
            *left = Some(question);
            break;
        }
        batch.push(question);
    }
    batch
}

fn ask_chosen(group: &'static Group, pair: &Pair) {
    let mut run = Run::new(pair, format!("{}, chosen requests", group.name));
    for question in groups::chosen(group.chosen) {
        if pair.place.asks(&question.words) {
            run.check(&[question]);
        }
    }
    run.check_contents();
}

/// The two servers, and how they are spoken to.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    ours: Address,
    theirs: Address,
    pub(super) place: Place,
    pub(super) version: Version,
}

/// Both answers to one question.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) ours: Vec<u8>,
    pub(super) theirs: Vec<u8>,
    pub(super) agree: bool,
}

/// Two empty servers, and what was asked of them since.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) pair: Pair,
    name: String,
    ours: [Connection; 2],
    theirs: [Connection; 2],
    pub(super) history: Vec<Question>,
    /// What each client has queued since its MULTI.
    queued: [Option<Vec<Question>>; 2],
}

impl Run {
    pub(super) fn new(pair: &Pair, name: String) -> Run {
        let open = |address: &Address| {
            let open = || Connection::open(address, pair.version, pair.place.database());
            let mut both = [open()?, open()?];
            both[0].must(&["FLUSHALL"])?;
            Ok(both)
        };
        let opened = |connections: io::Result<[Connection; 2]>| connections.expect("both servers serve");
        Run {
            name,
            ours: opened(open(&pair.ours)),
            theirs: opened(open(&pair.theirs)),
            history: Vec::new(),
            queued: [None, None],
            pair: pair.clone(),
        }
    }

    /// Asks and insists that both agree on everything.
    pub(super) fn check(&mut self, batch: &[Question]) -> Vec<Answers> {
        let answers = match self.ask(batch) {
            Ok(answers) => answers,
            Err(error) => self.fail(batch, &format!("a connection broke: {error}")),
        };
        if let Some(wrong) = answers.iter().position(|answers| !answers.agree) {
            let Answers { ours, theirs, .. } = &answers[wrong];
            let text = format!("  ours:   {}\n  theirs: {}", ours.escape_ascii(), theirs.escape_ascii());
            self.fail(&batch[..=wrong], &text);
        }
        answers
    }

    /// Ends the run; the last of the batch is what went wrong.
    pub(super) fn fail(&mut self, batch: &[Question], text: &str) -> ! {
        self.history.truncate(self.history.len().saturating_sub(batch.len()));
        self.history.extend_from_slice(batch);
        let asked = self.history.len();
        let wrong = self.history.last().map(|question| show(&question.words)).unwrap_or_default();
        let way = shorten::shortest(&self.pair, &self.history);
        let (place, version) = (self.pair.place.name(), self.pair.version);
        panic!("\n{} {place}, {version:?}, request {asked}:\n  {wrong}\n{text}\n{way}", self.name);
    }

    /// Asks both, without an opinion on what they say. All of a batch are of one client.
    pub(super) fn ask(&mut self, batch: &[Question]) -> io::Result<Vec<Answers>> {
        if let [question] = batch {
            match question.compare {
                Compare::Popped => return self.pop(question).map(|answers| vec![answers]),
                Compare::Gone => return self.wait_until_gone(question).map(|answers| vec![answers]),
                _ => {}
            }
        }
        let client = batch.first().map_or(Client::One, |question| question.by).index();
        let words: Vec<Vec<Vec<u8>>> = batch.iter().map(|question| question.words.clone()).collect();
        let forgetting: Vec<Vec<Vec<u8>>> = batch
            .iter()
            .flat_map(|question| match is_sort(question) {
                true => vec![forget_errno(), question.words.clone()],
                false => vec![question.words.clone()],
            })
            .collect();
        let two_of_redis = self.pair.place == Place::Redis;
        self.history.extend_from_slice(batch);
        self.ours[client].send(if two_of_redis { &forgetting } else { &words })?;
        self.theirs[client].send(&forgetting)?;
        let mut answers = Vec::with_capacity(batch.len());
        for question in batch {
            if is_sort(question) {
                self.theirs[client].reply()?;
                if two_of_redis {
                    self.ours[client].reply()?;
                }
            }
            let (ours, theirs) = (self.ours[client].reply()?, self.theirs[client].reply()?);
            let agree = self.judge(question, &ours, &theirs);
            answers.push(Answers { ours, theirs, agree });
        }
        Ok(answers)
    }

    /// Between MULTI and EXEC.
    pub(super) fn is_queueing(&self, client: Client) -> bool {
        self.queued[client.index()].is_some()
    }

    /// EXEC's elements are compared as what was queued wants it.
    fn judge(&mut self, question: &Question, ours: &[u8], theirs: &[u8]) -> bool {
        let queued = &mut self.queued[question.by.index()];
        if question.is("multi") && theirs == b"+OK\r\n" {
            *queued = Some(Vec::new());
        } else if let Some(waiting) = queued.as_mut().filter(|_| theirs == b"+QUEUED\r\n") {
            waiting.push(question.clone());
        } else if question.is("exec") {
            let waiting = queued.take().unwrap_or_default();
            if let (Some(Frame::Array(ours)), Some(Frame::Array(theirs))) = (frame(ours), frame(theirs)) {
                let same_len = ours.len() == theirs.len() && ours.len() == waiting.len();
                let mut all = waiting.iter().zip(ours.iter().zip(theirs));
                return same_len
                    && all.all(|(asked, (ours, theirs))| {
                        frames_agree(&asked.words, asked.compare, ours, theirs)
                    });
            }
        } else if question.is("discard") && theirs == b"+OK\r\n" || question.is("reset") {
            *queued = None;
        }
        agree(&question.words, question.compare, ours, theirs)
    }

    /// Asks our side the first and their side the second, without looking at the answers.
    pub(super) fn ask_apart(&mut self, questions: &[Question; 2]) -> io::Result<[Vec<u8>; 2]> {
        let ours = Run::ask_one(&mut self.ours[0], &questions[0].words)?;
        let theirs = Run::ask_one(&mut self.theirs[0], &questions[1].words)?;
        Ok([ours, theirs])
    }

    fn ask_one(connection: &mut Connection, words: &[impl AsRef<[u8]>]) -> io::Result<Vec<u8>> {
        connection.send(&[words])?;
        connection.reply()
    }

    /// What SPOP took on our side is removed from theirs. Their reply comes from a copy, for its shape.
    fn pop(&mut self, question: &Question) -> io::Result<Answers> {
        self.history.push(question.clone());
        let client = question.by.index();
        let (ours_side, theirs_side) = (&mut self.ours[client], &mut self.theirs[client]);
        let ours = Run::ask_one(ours_side, &question.words)?;
        let taken: Vec<Vec<u8>> = match frame(&ours) {
            Some(Frame::Array(elements) | Frame::Set(elements)) => {
                elements.iter().filter_map(|element| element.as_bytes().map(<[u8]>::to_vec)).collect()
            }
            Some(Frame::Bulk(element)) => vec![element],
            _ => Vec::new(),
        };
        if taken.is_empty() {
            let theirs = Run::ask_one(theirs_side, &question.words)?;
            let agree = ours == theirs;
            return Ok(Answers { ours, theirs, agree });
        }
        let key = question.words[1].as_slice();
        Run::ask_one(theirs_side, &[b"COPY", key, POPPED, b"REPLACE"])?;
        let mut from_copy = question.words.clone();
        from_copy[1] = POPPED.to_vec();
        let theirs = Run::ask_one(theirs_side, &from_copy)?;
        Run::ask_one(theirs_side, &[b"DEL", POPPED])?;
        let removal: Vec<&[u8]> = [b"SREM", key].into_iter().chain(taken.iter().map(Vec::as_slice)).collect();
        let removed = Run::ask_one(theirs_side, &removal)?;
        let same_shape = agree(&question.words, Compare::Shape, &ours, &theirs);
        let agree = same_shape && removed == format!(":{}\r\n", taken.len()).into_bytes();
        self.make_encodings_agree(question)?;
        Ok(Answers { ours, theirs, agree })
    }

    /// What a large pop leaves is built anew, and may be packed where what SREM leaves is not. Such a key starts anew.
    fn make_encodings_agree(&mut self, question: &Question) -> io::Result<()> {
        let client = question.by.index();
        let words = [b"OBJECT".to_vec(), b"ENCODING".to_vec(), question.words[1].clone()];
        let ours = Run::ask_one(&mut self.ours[client], &words)?;
        let theirs = Run::ask_one(&mut self.theirs[client], &words)?;
        if !agree(&words, Compare::Bytes, &ours, &theirs) {
            for side in [&mut self.ours[client], &mut self.theirs[client]] {
                Run::ask_one(side, &[b"DEL", question.words[1].as_slice()])?;
            }
        }
        Ok(())
    }

    fn wait_until_gone(&mut self, question: &Question) -> io::Result<Answers> {
        self.history.push(question.clone());
        let client = question.by.index();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ours = Run::ask_one(&mut self.ours[client], &question.words)?;
            let theirs = Run::ask_one(&mut self.theirs[client], &question.words)?;
            let still = ours == b":1\r\n" || theirs == b":1\r\n";
            if !still || Instant::now() > deadline {
                let agree = ours == theirs;
                return Ok(Answers { ours, theirs, agree });
            }
        }
    }
}

fn is_sort(question: &Question) -> bool {
    question.is("sort") || question.is("sort_ro")
}

/// SORT of 7.0 looks at C's `errno` without resetting it, and refuses good numbers after any request that left one out of
/// range. Reading a cursor resets it. (Never between MULTI and EXEC: transactions sort nothing.)
fn forget_errno() -> Vec<Vec<u8>> {
    [&b"HSCAN"[..], POPPED, b"0"].map(<[u8]>::to_vec).to_vec()
}

/// A key of the judge's alone.
const POPPED: &[u8] = b"a copy that SPOP is tried on";
