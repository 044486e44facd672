//! What a node tells of its changes: the same bytes as redis-server's append-only file, and enough to lead another node.
//!
//! Two questions, asked of histories that the grammars of the differential run make up, and of its chosen requests:
//!
//! - Is what a request leaves in the feed what redis-server 7.0 appends to its log for it? Only clocks and chance may
//!   differ: times by a little, and what SPOP took on our side is taken from the other too. A node without sockets
//!   (`slotway_node::measure::Alone`) runs beside a redis-server, request by request.
//! - Does a node that runs nothing but the feed hold the same keys? With keys that expire and are evicted, and
//!   years later, when every deadline has passed.
//!
//! A disagreement is printed with the request that led to it; `SLOTWAY_EFFECTS_SEEDS=1-20` asks more.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "effects/contents.rs"]
mod contents;
#[path = "effects/judge.rs"]
mod judge;
#[path = "effects/stream.rs"]
mod stream;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use slotway_commands::{Id, lookup, row::Flag, table::COMMANDS};
use slotway_node::measure::Alone;
use slotway_resp::OwnedRequest;
use slotway_tests::differential::groups::{self, Group};
use slotway_tests::differential::place::Place;
use slotway_tests::differential::question::{self, Compare, Question};
use slotway_tests::differential::source::Source;

use contents::contents;
use judge::Judge;
use stream::{Command, agree, brief, commands, text};

/// Which seeds, if not those of the gate.
const SEEDS: &str = "SLOTWAY_EFFECTS_SEEDS";
const SEEDS_OF_THE_GATE: RangeInclusive<u64> = 1..=2;

/// Requests of one seed beside a redis-server, and where only nodes are asked.
const JUDGED_REQUESTS: usize = 1200;
const REPLAYED_REQUESTS: usize = 3000;

/// After so many requests a key is made to expire, or evicted, and both nodes are looked through.
const EXPIRE_EVERY: usize = 40;
const EVICT_EVERY: usize = 50;
const LOOK_EVERY: usize = 100;

/// Longer than any deadline that a grammar sets and a node accepts is away.
const YEARS_MS: u64 = 400_000 * 365 * 86_400_000;

fn seeds() -> RangeInclusive<u64> {
    let Ok(text) = std::env::var(SEEDS) else { return SEEDS_OF_THE_GATE };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    first.parse().unwrap()..=last.parse().unwrap()
}

/// Groups that are about keys.
fn of_keys() -> impl Iterator<Item = &'static Group> {
    groups::ALL.iter().copied().filter(|group| group.name != "server")
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since_1970.as_millis()).unwrap()
}

/// A node beside a redis-server.
struct Beside {
    name: String,
    ours: Alone,
    judge: Judge,
    history: Vec<String>,
}

impl Beside {
    fn new(name: String) -> Beside {
        let (ours, judge) = (Alone::new(), Judge::start());
        Beside { name, ours, judge, history: Vec::new() }
    }

    /// Both run a request; then both have told the same.
    fn check(&mut self, question: &Question) {
        self.history.push(format!("{:?} {}", question.by, brief(&question.words)));
        let client = question.by.index();
        match question.compare {
            Compare::Popped => return self.check_popped(question),
            Compare::Gone => return self.check_gone(question),
            _ => {}
        }
        if question.is("sort") || question.is("sort_ro") {
            self.judge.forget_errno(client);
        }
        let reply = self.ours.run(client, &question.words, now_ms());
        let ours = commands(&self.ours.fed());
        let theirs = self.judge.ask(client, &question.words);
        if !agree(&ours, &theirs) && !is_kept_silent_by_redis(&question.words, &reply, &ours, &theirs) {
            self.fail(&ours, &theirs);
        }
    }

    fn fail(&self, ours: &[Command], theirs: &[Command]) -> ! {
        let latest = &self.history[self.history.len().saturating_sub(12)..];
        panic!(
            "\n{}, request {}\n  {}\nours told:   {}\ntheirs told: {}\n",
            self.name,
            self.history.len(),
            latest.join("\n  "),
            text(ours),
            text(theirs)
        );
    }

    /// What we took is taken from their side, whose words for it come from a copy.
    fn check_popped(&mut self, question: &Question) {
        let client = question.by.index();
        self.ours.run(client, &question.words, now_ms());
        let ours = commands(&self.ours.fed());
        let mut same = question.words.clone();
        let theirs = match question.words.get(1).filter(|_| !ours.is_empty()) {
            Some(key) => {
                let copy = b"a copy that SPOP is tried on".to_vec();
                self.judge.ask(client, &[b"COPY".to_vec(), key.clone(), copy.clone(), b"REPLACE".to_vec()]);
                same[1].clone_from(&copy);
                let theirs = self.judge.ask(client, &same);
                self.judge.ask(client, &[b"DEL".to_vec(), copy]);
                for command in ours.iter().filter(|command| command.is("SREM") || command.is("DEL")) {
                    self.judge.ask(client, &command.0);
                }
                theirs
            }
            None => self.judge.ask(client, &same),
        };
        let names = |told: &[Command]| -> Vec<String> {
            told.iter().filter(|command| !command.is("SELECT")).map(Command::name).collect()
        };
        if names(&ours) != names(&theirs) {
            self.fail(&ours, &theirs);
        }
    }

    /// Until it is gone on both sides: at some look or other.
    fn check_gone(&mut self, question: &Question) {
        let (client, mut ours, mut theirs) = (question.by.index(), Vec::new(), Vec::new());
        let deadline = now_ms() + 20_000;
        loop {
            let reply = self.ours.run(client, &question.words, now_ms());
            ours.extend(commands(&self.ours.fed()));
            let (their_reply, told) = self.judge.ask_for_reply(client, &question.words);
            theirs.extend(told);
            if reply == b":0\r\n" && their_reply == b":0\r\n" {
                break;
            }
            assert!(now_ms() < deadline, "a key does not expire");
        }
        if !agree(&ours, &theirs) {
            self.fail(&ours, &theirs);
        }
    }
}

/// What redis-server changes and tells nobody, so that its own replicas differ from it; we tell it.
fn is_kept_silent_by_redis(words: &[Vec<u8>], reply: &[u8], ours: &[Command], theirs: &[Command]) -> bool {
    let is_told_by_us_alone = theirs.is_empty() && ours.last().is_some_and(|last| last.0 == words);
    // A string that grew for writes that all failed.
    let has_grown = question::is(words, "bitfield") && reply.starts_with(b"*");
    // Elements before the one that found the HyperLogLog corrupt.
    let was_corrupt = question::is(words, "pfadd") && reply.starts_with(b"-INVALIDOBJ");
    let in_transaction =
        question::is(words, "exec") && agree(&without_bitfields(ours), &without_bitfields(theirs));
    is_told_by_us_alone && (has_grown || was_corrupt) || in_transaction
}

fn without_bitfields(commands: &[Command]) -> Vec<Command> {
    let mut left: Vec<Command> = commands.iter().filter(|command| !command.is("BITFIELD")).cloned().collect();
    let is_frame = |command: &Command| command.is("MULTI") || command.is("EXEC");
    if left.iter().filter(|command| !is_frame(command) && !command.is("SELECT")).count() < 2 {
        left.retain(|command| !is_frame(command));
    }
    left
}

fn beside_redis(group: &'static Group) {
    let mut beside = Beside::new(format!("{}, chosen requests", group.name));
    beside.judge.begin(&mut beside.ours);
    for question in groups::chosen(group.chosen) {
        beside.check(&question);
    }
    for seed in seeds() {
        beside.name = format!("{}, seed {seed}", group.name);
        beside.ours = Alone::new();
        beside.history.clear();
        beside.judge.begin(&mut beside.ours);
        let mut source = Source::new(group, Place::Node, seed);
        for nth in 1..=JUDGED_REQUESTS {
            beside.check(&source.next_question());
            // Between MULTI and EXEC nothing shows before the end.
            if nth % EXPIRE_EVERY == 0 && group.name != "transactions" {
                let key = source.any_key();
                beside.check(&Question::new(Compare::Bytes, [b"PEXPIRE", &key[..], b"20"]));
                beside.check(&Question::new(Compare::Gone, [b"EXISTS", &key[..]]));
            }
        }
    }
}

macro_rules! groups {
    ($($name:ident),* $(,)?) => {
        mod as_redis_tells_it {
            $(#[test]
            fn $name() {
                super::beside_redis(&slotway_tests::differential::groups::$name::GROUP);
            })*
        }

        mod enough_to_lead_another {
            $(#[test]
            fn $name() {
                super::replay(&slotway_tests::differential::groups::$name::GROUP);
            })*
        }

        #[test]
        fn every_group_of_commands_on_keys_is_asked() {
            let mut asked = [$(stringify!($name)),*];
            let mut all: Vec<&str> = of_keys().map(|group| group.name).collect();
            asked.sort_unstable();
            all.sort_unstable();
            assert_eq!(all, asked);
        }
    };
}

groups![strings, keys, hashes, lists, sets, sorted_sets, bits, hyperloglog, geo, sort, transactions, dump];

/// A primary, a replica that is led by its feed, and one that will be led by all of it at the end.
struct Led {
    primary: Alone,
    replica: Alone,
    all: Vec<u8>,
    now: u64,
}

impl Led {
    fn new() -> Led {
        let (mut primary, mut replica) = (Alone::new(), Alone::new());
        replica.follow();
        let now = now_ms();
        primary.run(0, &["CONFIG", "SET", "maxmemory-policy", "allkeys-random"], now);
        Led { primary, replica, all: Vec::new(), now }
    }

    /// Runs a request and leads the replica. Returns whether anything was told.
    fn run(&mut self, question: &Question) -> bool {
        self.primary.run(question.by.index(), &question.words, self.now);
        self.lead()
    }

    fn lead(&mut self) -> bool {
        let fed = self.primary.fed();
        self.replica.apply(&fed, self.now);
        self.all.extend_from_slice(&fed);
        !fed.is_empty()
    }

    /// Both hold the same.
    fn look(&mut self, why: &str) {
        let ours = contents(&mut self.primary, self.now);
        // Looking deletes what has expired.
        self.lead();
        let led = contents(&mut self.replica, self.now);
        contents::assert_same(&ours, &led, why);
    }
}

fn replay(group: &'static Group) {
    for seed in seeds() {
        let mut led = Led::new();
        for question in groups::chosen(group.chosen) {
            led.run(&question);
        }
        led.look(&format!("{}, chosen requests", group.name));
        let mut source = Source::new(group, Place::Node, seed);
        for nth in 1..=REPLAYED_REQUESTS {
            let question = source.next_question();
            led.run(&question);
            // A replica learns of a change by its words alone: were a command not told, the next look would show it.
            if nth % LOOK_EVERY == 0 {
                led.look(&format!("{}, seed {seed}, request {nth}: {}", group.name, brief(&question.words)));
            }
            if nth % EXPIRE_EVERY == 0 {
                // Some deadlines of the grammar lie behind it.
                led.now += 300_000_000;
                led.primary.expire(led.now);
                led.lead();
            }
            if nth % EVICT_EVERY == 0 {
                led.primary.evict(led.now);
                led.lead();
            }
        }
        led.look(&format!("{}, seed {seed}, at its end", group.name));
        // Whoever reads the feed later deletes nothing that it does not name.
        let mut late = Alone::new();
        late.follow();
        late.apply(&led.all, led.now + YEARS_MS);
        let (ours, late) = (contents(&mut led.primary, led.now), contents(&mut late, led.now));
        contents::assert_same(&ours, &late, &format!("{}, seed {seed}, years later", group.name));
    }
}

#[test]
fn every_command_that_writes_is_told() {
    let mut told = BTreeSet::new();
    for group in of_keys() {
        let mut led = Led::new();
        let mut source = Source::new(group, Place::Node, 1);
        let generated = (0..REPLAYED_REQUESTS).map(|_| source.next_question());
        for question in groups::chosen(group.chosen).into_iter().chain(generated) {
            let request = OwnedRequest::new(&question.words);
            let row = lookup::resolve(request.view());
            let before = led.primary.changes();
            let fed = led.run(&question);
            let Ok(row) = row else { continue };
            // What a request met expired is told, too, and is no change of its own.
            let changed = led.primary.changes() > before;
            assert!(fed || !changed, "{} changed something and was not told", brief(&question.words));
            if fed && changed {
                told.insert(row.name);
            }
        }
    }
    let writes = COMMANDS.iter().filter(|row| row.is_here() && row.flags.has(Flag::Write));
    // MIGRATE changes something only with another server: `node/tests/server/migrate.rs`.
    let alone = writes.filter(|row| row.id != Id::Migrate);
    let missing: Vec<&str> = alone.map(|row| row.name).filter(|name| !told.contains(name)).collect();
    assert!(missing.is_empty(), "never seen to change anything: {missing:?}");
    assert!(told.contains("pfcount"), "it keeps its count, and so it writes, too");
}
