//! Random histories of writes with walks among them, some given up: each walk is its start, exactly.

use proptest::prelude::*;

use super::*;
use crate::keyspace::eviction::{Among, Order, Policy};
use crate::keyspace::load::Record;
use crate::keyspace::seed::Random;

/// What goes on in a history.
struct History {
    keyspace: Keyspace,
    random: Random,
    now: Millis,
    walks: Vec<Underway>,
}

struct Underway {
    id: WalkId,
    wording: Wording,
    expected: Copy,
    out: Vec<u8>,
}

/// Databases that the history uses.
const USED: [Database; 4] = [Database(0), Database(3), Database(5), Database(15)];

impl History {
    fn new(seed: u64) -> History {
        let mut history =
            History { keyspace: keyspace(), random: Random::new(seed), now: NOW, walks: Vec::new() };
        for _ in 0..history.random.index(400) {
            history.write();
        }
        for _ in 0..2 {
            history.fill();
        }
        history
    }

    fn number(&mut self, below: usize) -> String {
        self.random.index(below).to_string()
    }

    /// Few keys, some of one slot, so that histories come back to them.
    fn key(&mut self) -> String {
        let tag = if self.random.index(3) == 0 { "" } else { "{slot}" };
        format!("{tag}key:{}", self.random.index(60))
    }

    fn database(&mut self) -> Database {
        USED[self.random.index(USED.len())]
    }

    /// A few, sometimes as many as fill several parts of a table, seldom a long one.
    fn words(&mut self, of_each: usize) -> Vec<String> {
        let count = match self.random.index(6) {
            0 => 10 + self.random.index(600),
            _ => 1 + self.random.index(9),
        };
        let mut words: Vec<String> =
            (0..count * of_each).map(|_| format!("{}", self.random.index(900))).collect();
        match self.random.index(60) {
            0 => *words.last_mut().unwrap() = "l".repeat(150_000),
            1..8 => *words.last_mut().unwrap() = "m".repeat(300 + self.random.index(2000)),
            _ => {}
        }
        words
    }

    /// Many small keys, so that parts split.
    fn fill(&mut self) {
        let (database, tag) = (self.database(), if self.random.index(2) == 0 { "{slot}" } else { "" });
        let first = self.random.index(2000);
        for number in first..first + self.random.index(1500) {
            let key = format!("{tag}filler:{number}");
            run(&mut self.keyspace, database, self.now, &["SET", &key, "filling"]);
        }
    }

    /// And deletes many, so that they merge.
    fn thin_out(&mut self) {
        let (database, tag) = (self.database(), if self.random.index(2) == 0 { "{slot}" } else { "" });
        let first = self.random.index(2000);
        for number in first..first + self.random.index(3000) {
            run(&mut self.keyspace, database, self.now, &["DEL", &format!("{tag}filler:{number}")]);
        }
    }

    fn write(&mut self) {
        let (database, now) = (self.database(), self.now);
        let (key, other) = (self.key(), self.key());
        let word = |text: &str| text.to_owned();
        let mut words: Vec<String> = match self.random.index(60) {
            0..4 => vec![word("SET"), key, self.number(100_000)],
            4 => vec![word("SET"), key, "long".repeat(20_000 + self.random.index(50_000))],
            5 => vec![word("SET"), key, word("v"), word("PX"), self.number(3000) + "1"],
            6 => vec![word("SET"), key, "m".repeat(self.random.index(3000)), word("KEEPTTL")],
            7 => vec![word("INCR"), key],
            8 => vec![word("APPEND"), key, self.words(1).swap_remove(0)],
            9 => vec![word("SETRANGE"), key, self.number(200_000), word("x")],
            10 => vec![word("GETSET"), key, self.number(10)],
            11 => vec![word("GETDEL"), key],
            12 => vec![word("GETEX"), key, word("PX"), self.number(3000) + "1"],
            13 => vec![word("MSET"), key, self.number(9), other, self.number(9)],
            14 => vec![word("SETBIT"), key, self.number(1000), word("1")],
            15 => vec![word("PFADD"), key, self.number(1000)],
            16 => vec![word("BITOP"), word("OR"), key, other.clone(), other],
            17..21 => [vec![word("HSET"), key], self.words(2)].concat(),
            21 => [vec![word("HDEL"), key], self.words(1)].concat(),
            22 => vec![word("HINCRBY"), key, self.number(900), word("1")],
            23..27 => [vec![word("SADD"), key], self.words(1)].concat(),
            27 => [vec![word("SREM"), key], self.words(1)].concat(),
            28 => vec![word("SPOP"), key],
            57 => vec![word("SPOP"), key, self.number(20)],
            29 => vec![word("SMOVE"), key, other, self.number(900)],
            30 => vec![word("SUNIONSTORE"), key, other, self.key()],
            31 => vec![word("SINTERSTORE"), key, other, self.key()],
            32..36 => {
                let mut scored = vec![word("ZADD"), key];
                for member in self.words(1) {
                    scored.extend([self.number(50), member]);
                }
                scored
            }
            36 => [vec![word("ZREM"), key], self.words(1)].concat(),
            37 => vec![word("ZINCRBY"), key, word("1.5"), self.number(900)],
            38 => vec![word("ZREMRANGEBYRANK"), key, word("0"), self.number(30)],
            39 => vec![word("ZPOPMAX"), key, self.number(5)],
            40 => vec![word("ZUNIONSTORE"), key, word("2"), other, self.key()],
            41..44 => [vec![word(["LPUSH", "RPUSH"][self.random.index(2)]), key], self.words(1)].concat(),
            44 => vec![word(["LPOP", "RPOP"][self.random.index(2)]), key, self.number(20)],
            45 => vec![word("LSET"), key, self.number(30), self.words(1).swap_remove(0)],
            46 => vec![word("LINSERT"), key, word("BEFORE"), self.number(900), self.number(900)],
            47 => vec![word("LREM"), key, word("0"), self.number(900)],
            48 => vec![word("LTRIM"), key, self.number(10), word("-3")],
            49 => vec![word("LMOVE"), key, other, word("LEFT"), word("RIGHT")],
            50 => vec![word("SORT"), key, word("BY"), word("nosort"), word("STORE"), other],
            51 => vec![word(["DEL", "UNLINK"][self.random.index(2)]), key, other],
            52 => vec![word("PEXPIRE"), key, self.number(3000)],
            53 => vec![word("PERSIST"), key],
            54 => vec![word(["RENAME", "RENAMENX"][self.random.index(2)]), key, other],
            55 => {
                let target = self.database().0.to_string();
                vec![word("COPY"), key, other, word("DB"), target, word("REPLACE")]
            }
            56 => vec![word("MOVE"), key, self.database().0.to_string()],
            58 => vec![word("RANDOMKEY")],
            _ => vec![word("GET"), key],
        };
        if words[0] == "COPY" && words[1] == words[2] {
            words.truncate(2);
            words[0] = word("GET");
        }
        run(&mut self.keyspace, database, now, &words);
    }

    /// Something that concerns many keys.
    fn sweep(&mut self) {
        let (one, other) = (self.database(), self.database());
        match self.random.index(12) {
            10 => self.load(),
            0 => _ = run(&mut self.keyspace, one, self.now, &["FLUSHDB"]),
            1 if self.random.index(3) == 0 => _ = run(&mut self.keyspace, one, self.now, &["FLUSHALL"]),
            1..4 => {
                let words = ["SWAPDB".to_owned(), one.0.to_string(), other.0.to_string()];
                run(&mut self.keyspace, one, self.now, &words);
            }
            4 => self.fill(),
            5 => self.thin_out(),
            6 => {
                let policy = Policy::Evict(Among::All, Order::Random);
                self.keyspace.configure(Settings { policy, ..settings() });
                for _ in 0..self.random.index(30) {
                    self.keyspace.evict(self.now);
                }
            }
            _ => {
                self.now.0 += u64::try_from(self.random.index(2000)).unwrap();
                self.keyspace.expire_cycle(self.now, 1 + self.random.index(500));
            }
        }
    }

    /// As a file or another server would bring keys.
    fn load(&mut self) {
        for _ in 0..self.random.index(100) {
            let (database, key, text) = (self.database(), self.key(), self.number(100));
            let entry = Entry::with_text(key.as_bytes(), text.as_bytes());
            let record = Record::new(database, entry, None, &self.keyspace.seed());
            let _ = self.keyspace.load(record, self.now);
        }
    }

    fn begin(&mut self) {
        let wording = match self.random.index(3) {
            0 => Wording::Commands,
            other => Wording::Records(Form { compress: other == 1, ..FORM }),
        };
        if let Some(id) = self.keyspace.begin_walk(Scope::All, wording) {
            self.walks.push(Underway { id, wording, expected: copy_of(&self.keyspace), out: Vec::new() });
        }
    }

    fn walk(&mut self) {
        if self.walks.is_empty() {
            return self.begin();
        }
        let which = self.random.index(self.walks.len());
        let bytes = [1, 100, 3000, 50_000][self.random.index(4)];
        let underway = &mut self.walks[which];
        if self.keyspace.walk(underway.id, &mut underway.out, bytes) == Progress::Ended {
            let underway = self.walks.swap_remove(which);
            self.end(&underway);
        }
    }

    fn end(&mut self, underway: &Underway) {
        assert_eq!(self.keyspace.walks.held_bytes(underway.id), 0, "all that was set aside is written");
        self.keyspace.end_walk(underway.id);
        assert_same(&told(&self.keyspace, &underway.out, underway.wording), &underway.expected);
    }

    fn step(&mut self) {
        match self.random.index(100) {
            0..55 => self.write(),
            55..60 => self.sweep(),
            60..62 => self.begin(),
            62 if !self.walks.is_empty() && self.random.index(4) == 0 => {
                let which = self.random.index(self.walks.len());
                let given_up = self.walks.swap_remove(which);
                self.keyspace.end_walk(given_up.id);
            }
            63 => drop(self.keyspace.take_garbage()),
            _ => self.walk(),
        }
    }

    fn finish(mut self) {
        while let Some(mut underway) = self.walks.pop() {
            while self.keyspace.walk(underway.id, &mut underway.out, 3000) == Progress::More {
                if self.random.index(3) == 0 {
                    self.write();
                }
            }
            self.end(&underway);
        }
        assert_clean(&mut self.keyspace);
        check_walk(&mut self.keyspace);
        assert_clean(&mut self.keyspace);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_is_the_keyspace_as_it_was_whatever_is_written_meanwhile(seed in any::<u64>()) {
        let mut history = History::new(seed);
        for _ in 0..1000 {
            history.step();
        }
        history.finish();
    }
}
