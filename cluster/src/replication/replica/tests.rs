//! A replica in virtual time, in front of primaries that are well, old, busy, broken or no primaries.

use proptest::prelude::*;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
const MARK: [u8; 40] = *b"0123456789abcdef0123456789abcdef01234567";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn id(number: u8) -> HistoryId {
    HistoryId::from_random([number; 20])
}

fn point(number: u8, offset: u64) -> Point {
    Point { history: id(number), offset: Offset(offset) }
}

/// A replica and what its shell would hold: bytes not taken, what was sent, loaded and applied.
struct Rig {
    replica: Replica,
    now: Duration,
    waiting: Vec<u8>,
    sent: String,
    loaded: Vec<u8>,
    applied: Vec<u8>,
    told: Vec<Effect>,
}

impl Rig {
    fn new(held: Option<Point>) -> Rig {
        let replica = Replica::new(held, PATIENCE, ms(0));
        let (waiting, loaded, applied) = Default::default();
        Rig { replica, now: ms(0), waiting, sent: String::new(), loaded, applied, told: Vec::new() }
    }

    fn perform(&mut self, bytes: &[u8], effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(words) => self.sent.push_str(&String::from_utf8(words).unwrap()),
                Effect::Load(len) => self.loaded.extend_from_slice(&bytes[..len]),
                Effect::Apply(len) => self.applied.extend_from_slice(&bytes[..len]),
                Effect::BeginLoad(form) => {
                    self.loaded.clear();
                    self.told.push(Effect::BeginLoad(form));
                }
                Effect::HangUp(why) => {
                    self.waiting.clear();
                    self.told.push(Effect::HangUp(why));
                }
                other => self.told.push(other),
            }
        }
    }

    /// Until the next attempt has a connection.
    fn connect(&mut self, introduction: Introduction) {
        self.now = self.now.max(self.replica.due());
        let effects = self.replica.tick(self.now, 7);
        assert_eq!(effects, [Effect::Connect], "{:?}", self.replica);
        let effects = self.replica.connected(introduction, self.now);
        self.perform(b"", effects);
    }

    /// The primary says this.
    fn hear(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        loop {
            let bytes = std::mem::take(&mut self.waiting);
            let taken = self.replica.received(&bytes, self.now, 7);
            let is_still = taken.bytes == 0 && taken.effects.is_empty();
            self.waiting = bytes[taken.bytes..].to_vec();
            self.perform(&bytes, taken.effects);
            if is_still {
                return;
            }
        }
    }

    /// As far as the question for the stream; the primary knows all that is said.
    fn ask(&mut self) {
        self.connect(Introduction { port: 6379, ..Introduction::default() });
        self.hear(b"+PONG\r\n+OK\r\n+OK\r\n");
        self.take_sent();
    }

    /// The same on the next connection, and what is said there stays.
    fn ask_again(&mut self) {
        self.connect(Introduction { port: 6379, ..Introduction::default() });
        self.hear(b"+PONG\r\n+OK\r\n+OK\r\n");
    }

    /// What was sent since, as words.
    fn take_sent(&mut self) -> String {
        let lines = std::mem::take(&mut self.sent);
        let words = lines.split("\r\n").filter(|line| !line.starts_with(['*', '$']) && !line.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    fn take_told(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.told)
    }
}

fn asked(held: Option<Point>) -> Rig {
    let mut rig = Rig::new(held);
    rig.ask();
    rig
}

fn full_sync_line(point: Point) -> Vec<u8> {
    format!("+FULLRESYNC {} {}\r\n", point.history, point.offset).into_bytes()
}

#[test]
fn it_pings_before_it_says_anything_of_itself_and_then_says_everything_at_once() {
    let mut rig = Rig::new(Some(point(1, 41)));
    let introduction = Introduction {
        port: 7000,
        address: Some("10.0.0.9".into()),
        user: Some("follower".into()),
        password: Some("s3cret".into()),
        member: None,
    };
    assert!(!format!("{introduction:?}").contains("s3cret"));
    rig.connect(introduction);
    assert_eq!(rig.take_sent(), "PING");
    rig.hear(b"-NOAUTH Authentication required.\r\n");
    assert_eq!(
        rig.take_sent(),
        "AUTH follower s3cret REPLCONF listening-port 7000 REPLCONF ip-address 10.0.0.9 \
         REPLCONF capa eof capa psync2 capa slotway-acks-every-read"
    );
    rig.hear(b"+OK\r\n+OK\r\n-ERR Unrecognized REPLCONF option\r\n");
    assert_eq!(rig.take_sent(), "", "one answer is owed");
    rig.hear(b"+OK\r\n");
    assert_eq!(rig.take_sent(), format!("PSYNC {} 42", id(1)));
    assert_eq!(rig.replica.phase(), Phase::Handshake);
}

#[test]
fn a_primary_that_refuses_is_asked_again_later_and_never_told_the_password_in_vain() {
    let with_password = || Introduction { password: Some("x".into()), ..Introduction::default() };
    for (said, refusal) in [
        (
            "-LOADING Redis is loading the dataset in memory\r\n",
            "LOADING Redis is loading the dataset in memory",
        ),
        ("-ERR unknown command 'PING'\r\n", "ERR unknown command \\'PING\\'"),
    ] {
        let mut rig = Rig::new(None);
        rig.connect(with_password());
        rig.take_sent();
        rig.hear(said.as_bytes());
        assert_eq!(rig.take_sent(), "");
        assert_eq!(rig.take_told(), [Effect::HangUp(Loss::Refused(refusal.into()))]);
        assert_eq!(rig.replica.phase(), Phase::Connect);
    }
    let mut rig = Rig::new(None);
    rig.connect(with_password());
    rig.hear(b"+PONG\r\n-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    assert!(
        matches!(&rig.take_told()[..], [Effect::HangUp(Loss::Refused(text))] if text.starts_with("WRONGPASS"))
    );
    let mut rig = Rig::new(None);
    rig.connect(Introduction::default());
    rig.hear(b"-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n");
    assert!(
        matches!(&rig.take_told()[..], [Effect::HangUp(Loss::Refused(text))] if text.starts_with("NOAUTH"))
    );
}

#[test]
fn what_may_pass_is_asked_again_and_what_psync_does_not_know_gets_sync() {
    for said in [
        "-NOMASTERLINK Can't SYNC while not connected with my master",
        "-LOADING Redis is loading the dataset in memory",
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "-NOAUTH Authentication required.",
    ] {
        let mut rig = asked(Some(point(1, 9)));
        rig.hear(format!("{said}\r\n").as_bytes());
        assert!(matches!(rig.take_told()[..], [Effect::HangUp(Loss::Refused(_))]), "{said}");
        assert_eq!(rig.replica.held(), Some(point(1, 9)));
    }
    let mut rig = asked(Some(point(1, 9)));
    rig.hear(b"-ERR unknown command 'PSYNC'\r\n");
    assert_eq!(rig.take_sent(), "SYNC");
    rig.hear(b"\n\n$3\r\nabcPING\r\n");
    assert_eq!(rig.loaded, b"abc");
    assert_eq!(rig.take_told(), [Effect::BeginLoad(Form::Counted(3)), Effect::EndLoad]);
    let effects = rig.replica.built(rig.now);
    assert_eq!(effects, [Effect::Adopt(None)], "and nothing to acknowledge");
    rig.hear(b"");
    assert_eq!(rig.applied, b"PING\r\n");
    assert_eq!(rig.replica.applied(Offset(6), rig.now), []);
    let effects = rig.replica.lost(Loss::Closed, rig.now, 0);
    rig.perform(b"", effects);
    rig.connect(Introduction::default());
    rig.hear(b"+PONG\r\n+OK\r\n+OK\r\n");
    assert!(rig.take_sent().ends_with("PSYNC ? -1"), "such a stream can never be continued");
}

#[test]
fn it_continues_from_the_byte_behind_what_it_holds_also_under_a_new_name() {
    let mut rig = asked(Some(point(1, 100)));
    rig.hear(b"+CONTINUE\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(rig.take_told(), [Effect::Continue(None)]);
    assert_eq!(rig.applied, b"*1\r\n$4\r\nPING\r\n");
    assert_eq!(rig.take_sent(), "REPLCONF ACK 100");
    rig.replica.applied(Offset(114), rig.now);
    let effects = rig.replica.lost(Loss::Closed, rig.now, 0);
    rig.perform(b"", effects);
    rig.take_told();

    rig.ask();
    rig.hear(format!("+CONTINUE {}\r\n", id(2)).as_bytes());
    assert_eq!(rig.take_told(), [Effect::Continue(Some(id(2)))]);
    assert_eq!(rig.replica.held(), Some(point(2, 114)));
    let effects = rig.replica.lost(Loss::Closed, rig.now, 0);
    rig.perform(b"", effects);
    rig.take_told();

    rig.ask();
    rig.hear(format!("+CONTINUE {}\r\n", id(2)).as_bytes());
    assert_eq!(rig.take_told(), [Effect::Continue(None)], "the name it has");
}

#[test]
fn a_primary_that_restarted_empty_sends_everything_and_only_that_replaces_what_is_held() {
    let mut rig = asked(Some(point(1, 100)));
    rig.hear(&full_sync_line(point(5, 0)));
    rig.hear(b"\n");
    assert_eq!(rig.replica.phase(), Phase::Sync);
    rig.hear(&[b"$EOF:", &MARK[..], b"\r\nREDIS", &MARK[..]].concat());
    assert_eq!(rig.loaded, b"REDIS");
    assert_eq!(rig.take_told(), [Effect::BeginLoad(Form::Marked(MARK)), Effect::EndLoad]);
    assert_eq!(rig.replica.held(), Some(point(1, 100)), "nothing is in force yet");
    rig.take_sent();
    // Building takes longer than the primary's patience and its own.
    for _ in 0..100 {
        rig.now = rig.replica.due();
        let effects = rig.replica.tick(rig.now, 7);
        assert_eq!(effects, [Effect::Send(b"\n".to_vec())]);
    }
    let effects = rig.replica.built(rig.now);
    rig.perform(b"", effects);
    assert_eq!(rig.take_told(), [Effect::Adopt(Some(point(5, 0)))]);
    assert_eq!(rig.take_sent(), "REPLCONF ACK 0");
    assert_eq!(rig.replica.held(), Some(point(5, 0)));
}

#[test]
fn a_session_cut_behind_any_byte_and_read_in_any_pieces_loses_nothing_that_was_held() {
    let old = point(1, 100);
    let before =
        [b"+PONG\r\n+OK\r\n+OK\r\n\n\n".to_vec(), full_sync_line(point(2, 40)), b"\n".to_vec()].concat();
    let bodies: [&[u8]; 2] = [b"$7\r\nREDIS01", &[b"$EOF:", &MARK[..], b"\r\nREDIS01", &MARK[..]].concat()];
    for body in bodies {
        let session = [&before, body].concat();
        for piece in [1, 2, 3, 40, 41, session.len()] {
            let mut rig = Rig::new(Some(old));
            rig.connect(Introduction::default());
            session.chunks(piece).for_each(|bytes| rig.hear(bytes));
            assert_eq!(rig.loaded, b"REDIS01", "{piece}");
            assert_eq!(rig.told.last(), Some(&Effect::EndLoad));
        }
        for cut in 0..session.len() {
            let mut rig = Rig::new(Some(old));
            rig.connect(Introduction::default());
            rig.hear(&session[..cut]);
            assert!(b"REDIS01".starts_with(&rig.loaded), "{cut}");
            let effects = rig.replica.lost(Loss::Closed, rig.now, 0);
            assert_eq!(effects, [Effect::HangUp(Loss::Closed)]);
            rig.perform(b"", effects);
            rig.take_sent();
            rig.connect(Introduction::default());
            rig.hear(b"+PONG\r\n+OK\r\n+OK\r\n");
            assert!(rig.take_sent().ends_with(&format!("PSYNC {} 101", id(1))), "{cut}");
        }
    }
}

#[test]
fn garbage_an_endless_line_and_answers_that_nobody_asked_for_end_the_attempt() {
    let greeting: &[&[u8]] = &[b"HTTP/1.1 400 Bad Request\r\n", b"$5\r\n", b":1\r\n", &[b'x'; 5000]];
    for said in greeting {
        let mut rig = Rig::new(None);
        rig.connect(Introduction::default());
        rig.hear(said);
        assert!(matches!(rig.take_told()[..], [Effect::HangUp(Loss::Garbage(_))]), "{}", said.escape_ascii());
    }
    let endless = vec![b'+'; 5000];
    let answers: &[&[u8]] = &[
        b"+OK\r\n",
        b"+CONTINUE\r\n", // of nothing
        b"+FULLRESYNC\r\n",
        b"+FULLRESYNC short 1\r\n",
        b"+FULLRESYNC 0123456789abcdef0123456789abcdef01234567 -1\r\n",
        b"+FULLRESYNC 0123456789abcdef0123456789abcdef01234567 99999999999999999999\r\n",
        &endless,
    ];
    for said in answers {
        let mut rig = asked(None);
        rig.hear(said);
        assert!(matches!(rig.take_told()[..], [Effect::HangUp(Loss::Garbage(_))]), "{}", said.escape_ascii());
    }
    for said in ["+OK\r\n", "$\r\n", "$-1\r\n", "$EOF:short\r\n", "$1x\r\n"] {
        let mut rig = asked(None);
        rig.hear(&full_sync_line(point(2, 40)));
        rig.hear(said.as_bytes());
        assert!(matches!(rig.take_told()[..], [Effect::HangUp(Loss::Garbage(_))]), "{said}");
    }
    let mut rig = asked(None);
    rig.hear(&full_sync_line(point(2, 40)));
    rig.hear(b"-ERR Unable to perform background save\r\n");
    assert!(
        matches!(&rig.take_told()[..], [Effect::HangUp(Loss::Refused(text))] if text.contains("background save"))
    );
}

#[test]
fn a_primary_that_hangs_is_given_up_at_every_step_after_the_same_silence() {
    let steps: &[&[u8]] =
        &[b"", b"+PONG\r\n", b"+OK\r\n+OK\r\n", &full_sync_line(point(2, 40)), b"$9\r\nRED"];
    for count in 1..=steps.len() {
        let mut rig = Rig::new(None);
        rig.connect(Introduction::default());
        for said in &steps[..count] {
            rig.now += ms(59_000);
            rig.hear(said);
        }
        assert_eq!(rig.replica.tick(rig.now + PATIENCE - ms(1), 0), [], "{count}");
        assert_eq!(rig.replica.due(), rig.now + PATIENCE);
        let effects = rig.replica.tick(rig.now + PATIENCE, 0);
        assert_eq!(effects, [Effect::HangUp(Loss::Silent)], "{count}");
    }
    // A connection that is never made.
    let mut replica = Replica::new(None, PATIENCE, ms(0));
    assert_eq!(replica.tick(ms(0), 0), [Effect::Connect]);
    assert_eq!(replica.tick(PATIENCE, 0), [Effect::HangUp(Loss::Silent)]);
    // And one that streamed once.
    let mut rig = asked(Some(point(1, 5)));
    rig.hear(b"+CONTINUE\r\n");
    let heard = rig.now;
    while rig.replica.phase() == Phase::Connected {
        rig.now = rig.replica.due();
        let effects = rig.replica.tick(rig.now, 0);
        rig.perform(b"", effects);
    }
    assert_eq!(rig.now, heard + PATIENCE);
    rig.replica.be_patient_for(ms(5));
    assert_eq!(rig.told.last(), Some(&Effect::HangUp(Loss::Silent)));
}

#[test]
fn attempts_wait_longer_and_longer_up_to_a_second_until_one_streams() {
    let mut rig = Rig::new(Some(point(1, 5)));
    let mut waits = Vec::new();
    for _ in 0..7 {
        rig.now = rig.now.max(rig.replica.due());
        rig.replica.tick(rig.now, 0);
        rig.replica.lost(Loss::Unreachable("refused".into()), rig.now, u64::MAX);
        waits.push((rig.replica.due() - rig.now).as_millis());
    }
    assert!(waits.is_sorted() && waits[0] <= 100 && waits[6] <= 1000 && waits[6] >= 500, "{waits:?}");
    rig.ask();
    rig.hear(b"+CONTINUE\r\n");
    rig.replica.lost(Loss::Closed, rig.now, u64::MAX);
    assert!(rig.replica.due() - rig.now <= ms(100));
}

#[test]
fn a_member_comes_back_to_a_primary_that_is_just_being_made_within_milliseconds() {
    let member = MemberWords {
        cluster_id: "c".into(),
        shard: ShardId(1),
        epoch: Epoch(2),
        member: Member::new(&crate::NodeId("n1".into()), crate::shard::Incarnation(1)),
        position_epoch: Epoch(1),
    };
    let mut rig = Rig::new(Some(point(1, 5)));
    let mut waits = Vec::new();
    for _ in 0..10 {
        rig.connect(Introduction { member: Some(member.clone()), ..Introduction::default() });
        rig.hear(b"+PONG\r\n+OK\r\n-NOMASTERLINK this node does not lead that epoch\r\n");
        waits.push((rig.replica.due() - rig.now).as_millis());
    }
    assert!(waits.is_sorted() && waits[0] <= 4 && waits[9] >= 500 && waits[9] <= 1000, "{waits:?}");
}

#[test]
fn a_stream_that_cannot_be_applied_is_not_asked_for_again_from_the_same_place() {
    let mut rig = Rig::new(Some(point(1, 5)));
    rig.ask();
    rig.hear(b"+CONTINUE\r\n");
    rig.replica.lost(Loss::Stream("no command".into()), rig.now, u64::MAX);
    assert_eq!(rig.replica.held(), None);
    assert!(rig.replica.due() - rig.now >= ms(500), "and not at once");
    rig.connect(Introduction { port: 6379, ..Introduction::default() });
    rig.hear(b"+PONG\r\n+OK\r\n+OK\r\n");
    let sent = rig.take_sent();
    assert!(sent.ends_with("PSYNC ? -1"), "{sent}");
}

#[test]
fn a_snapshot_of_no_bytes_is_told_to_be_none_at_once() {
    let mut rig = asked(Some(point(1, 100)));
    rig.hear(&full_sync_line(point(5, 0)));
    rig.hear(b"$0\r\n");
    assert_eq!(rig.take_told(), [Effect::BeginLoad(Form::Counted(0)), Effect::EndLoad]);
}

#[test]
fn it_acknowledges_each_second_on_demand_and_to_a_primary_that_wants_it_after_each_read() {
    let mut rig = asked(Some(point(1, 5)));
    rig.hear(b"+CONTINUE\r\n");
    rig.take_sent();
    assert_eq!(rig.replica.applied(Offset(10), rig.now), []);
    assert_eq!(rig.replica.tick(rig.now + ms(999), 0), []);
    let effects = rig.replica.tick(rig.now + ms(1000), 0);
    rig.perform(b"", effects);
    assert_eq!(rig.take_sent(), "REPLCONF ACK 10");
    let effects = rig.replica.acknowledge(rig.now);
    rig.perform(b"", effects);
    assert_eq!(rig.take_sent(), "REPLCONF ACK 10");

    let mut rig = Rig::new(Some(point(1, 5)));
    rig.connect(Introduction::default());
    rig.hear(format!("+PONG\r\n+OK\r\n+OK {ACKS_EVERY_READ}\r\n+CONTINUE\r\n").as_bytes());
    rig.take_sent();
    let effects = rig.replica.applied(Offset(10), rig.now);
    rig.perform(b"", effects);
    assert_eq!(rig.take_sent(), "REPLCONF ACK 10");
    assert_eq!(rig.replica.applied(Offset(10), rig.now), [], "nothing new");
}

#[test]
fn a_primary_that_is_this_node_itself_or_follows_it_is_asked_for_ever_and_harms_nothing() {
    let mut rig = Rig::new(Some(point(1, 5)));
    for _ in 0..20 {
        rig.ask();
        rig.hear(b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n");
        assert!(matches!(rig.take_told()[..], [Effect::HangUp(Loss::Refused(_))]));
        assert_eq!(rig.replica.held(), Some(point(1, 5)));
    }
}

/// What may happen to a replica, in any order.
#[derive(Debug, Clone)]
enum Event {
    Tick(u64),
    Connected,
    Lost,
    Built,
    Applied(u64),
    Hear(Vec<u8>),
}

fn event() -> impl Strategy<Value = Event> {
    let said = prop_oneof![
        Just(b"+PONG\r\n+OK\r\n+OK\r\n".to_vec()),
        Just(b"+CONTINUE\r\n".to_vec()),
        Just(full_sync_line(point(3, 7))),
        Just(b"$2\r\nxyz".to_vec()),
        Just([b"$EOF:", &MARK[..], b"\r\n", &MARK[..]].concat()),
        Just(b"-ERR no\r\n".to_vec()),
        Just(b"\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..50),
    ];
    prop_oneof![
        (0_u64..70_000).prop_map(Event::Tick),
        Just(Event::Connected),
        Just(Event::Lost),
        Just(Event::Built),
        (0_u64..1000).prop_map(Event::Applied),
        said.prop_map(Event::Hear),
    ]
}

proptest! {
    /// Late, doubled and senseless events included: bytes are loaded only behind BeginLoad and applied only while streaming, and what
    /// is held changes only by what says so.
    #[test]
    fn no_order_of_events_breaks_it(events in prop::collection::vec(event(), 0..60)) {
        let mut rig = Rig::new(Some(point(1, 5)));
        for event in events {
            let before = (rig.replica.held(), rig.replica.phase(), rig.applied.len(), rig.loaded.len());
            let mut may_change = false;
            match event {
                Event::Tick(later) => {
                    rig.now += ms(later);
                    let effects = rig.replica.tick(rig.now, later);
                    rig.perform(b"", effects);
                }
                Event::Connected => {
                    let effects = rig.replica.connected(Introduction::default(), rig.now);
                    rig.perform(b"", effects);
                }
                Event::Lost => {
                    let effects = rig.replica.lost(Loss::Closed, rig.now, 3);
                    rig.perform(b"", effects);
                }
                Event::Built => {
                    let effects = rig.replica.built(rig.now);
                    may_change = effects.iter().any(|effect| matches!(effect, Effect::Adopt(_)));
                    rig.perform(b"", effects);
                }
                Event::Applied(offset) => {
                    let effects = rig.replica.applied(Offset(offset), rig.now);
                    may_change = true;
                    rig.perform(b"", effects);
                }
                Event::Hear(bytes) => {
                    rig.told.clear();
                    rig.hear(&bytes);
                    may_change = rig.told.iter().any(|effect| matches!(effect, Effect::Continue(_)));
                    let streams = before.1 == Phase::Connected || may_change;
                    prop_assert!(streams || rig.applied.len() == before.2);
                }
            }
            prop_assert!(may_change || rig.replica.held() == before.0);
            prop_assert!(rig.replica.due() <= rig.now + PATIENCE || rig.replica.phase() == Phase::Connected);
        }
    }
}

fn member() -> MemberWords {
    let member = Member::new(&crate::NodeId("n2".into()), crate::Incarnation(0x1234));
    MemberWords {
        cluster_id: "c".into(),
        shard: ShardId(1),
        epoch: Epoch(5),
        member,
        position_epoch: Epoch(4),
    }
}

#[test]
fn a_member_says_who_it_is_and_acknowledges_only_what_it_is_let_and_by_epoch() {
    let mut rig = Rig::new(Some(point(1, 10)));
    rig.connect(Introduction { port: 6379, member: Some(member()), ..Introduction::default() });
    rig.hear(b"+PONG\r\n");
    assert!(rig.sent.contains("slotway\r\n$1\r\nc\r\n$1\r\n1\r\n$1\r\n5\r\n$2\r\nn2\r\n"), "{}", rig.sent);
    assert!(rig.sent.contains("$16\r\n0000000000001234\r\n$1\r\n4\r\n"), "{}", rig.sent);
    rig.hear(b"+OK\r\n+OK\r\n+OK slotway-acks-every-read\r\n+CONTINUE\r\n");
    rig.sent.clear();
    let effects = rig.replica.applied(Offset(20), rig.now);
    assert_eq!(effects, [], "not by itself");
    let effects = rig.replica.acknowledge(rig.now);
    assert_eq!(effects, [Effect::Send(b"\n".to_vec())]);
    let held = Position { epoch: Epoch(5), offset: Offset(20) };
    let told = Effect::Send(line::request(&["REPLCONF", "ACK", "20", "EPOCH", "5"]));
    assert_eq!(rig.replica.hold(held, rig.now), std::slice::from_ref(&told));
    rig.replica.applied(Offset(30), rig.now);
    assert_eq!(rig.replica.acknowledge(rig.now), [told], "no more than that when it is asked");
}

#[test]
fn a_primary_of_another_epoch_or_cluster_is_no_primary() {
    for (answer, why) in [
        ("-STALE 7 9\r\n", Loss::Stale(Epoch(7))),
        ("-STALE soon\r\n", Loss::Refused("STALE soon".into())),
        ("-ERR another cluster\r\n", Loss::Refused("ERR another cluster".into())),
    ] {
        let mut rig = Rig::new(Some(point(1, 10)));
        rig.connect(Introduction { member: Some(member()), ..Introduction::default() });
        rig.hear(b"+PONG\r\n+OK\r\n");
        rig.hear(answer.as_bytes());
        assert_eq!(rig.told, [Effect::HangUp(why)]);
        assert_eq!(rig.replica.held(), Some(point(1, 10)), "what it holds it keeps");
    }
}

/// As far as the question that asks the other end to lead.
fn asked_to_lead() -> Rig {
    let mut rig = Rig::new(Some(point(1, 41)));
    rig.replica.ask_to_lead();
    rig.connect(Introduction { port: 6379, ..Introduction::default() });
    rig.hear(b"+PONG\r\n+OK\r\n+OK\r\n");
    assert!(rig.take_sent().ends_with(&format!("PSYNC {} 42 FAILOVER", id(1))));
    rig
}

#[test]
fn the_end_that_is_asked_to_lead_is_asked_once_and_its_stream_says_that_it_does() {
    let mut rig = asked_to_lead();
    rig.hear(format!("+CONTINUE {}\r\n", id(2)).as_bytes());
    assert_eq!(rig.take_told(), [Effect::Handed, Effect::Continue(Some(id(2)))]);
    rig.take_sent();
    let effects = rig.replica.lost(Loss::Closed, rig.now, 7);
    rig.perform(b"", effects);
    assert_eq!(rig.take_told(), [Effect::HangUp(Loss::Closed)], "that is a link's loss like any other");
    rig.ask_again();
    assert_eq!(rig.take_sent().split(" PSYNC ").last(), Some(format!("{} 42", id(2)).as_str()));

    let mut rig = asked_to_lead();
    rig.hear(&full_sync_line(point(3, 7)));
    assert_eq!(rig.take_told(), [Effect::Handed], "it leads another history, and it leads");
}

#[test]
fn an_end_that_refuses_to_lead_is_not_asked_again_and_never_taken_for_one_without_psync() {
    for refusal in ["ERR PSYNC FAILOVER replid must match my replid.", "NOMASTERLINK not now", "nonsense"] {
        let mut rig = asked_to_lead();
        rig.hear(format!("-{refusal}\r\n").as_bytes());
        assert!(matches!(rig.take_told()[..], [Effect::NotHanded, Effect::HangUp(Loss::Refused(_))]));
        assert_eq!(rig.take_sent(), "");
    }
}

#[test]
fn when_it_is_not_known_what_became_of_the_order_to_lead_the_other_end_is_asked_whether_it_does() {
    for loss in [Loss::Closed, Loss::Silent] {
        for (answer, then) in [
            (format!("+CONTINUE {}\r\n", id(2)), Effect::Handed),
            ("-NOMASTERLINK Can't SYNC while not connected\r\n".to_owned(), Effect::NotHanded),
        ] {
            let mut rig = asked_to_lead();
            let effects = rig.replica.lost(loss.clone(), rig.now, 7);
            rig.perform(b"", effects);
            assert_eq!(rig.take_told(), [Effect::HangUp(loss.clone())]);
            rig.ask_again();
            assert_eq!(rig.take_sent().split(" PSYNC ").last(), Some(format!("{} 42", id(1)).as_str()));
            rig.hear(answer.as_bytes());
            assert_eq!(rig.take_told().first(), Some(&then));
        }
    }
}

#[test]
fn an_end_that_cannot_be_reached_is_still_to_be_asked_to_lead() {
    let mut rig = Rig::new(Some(point(1, 41)));
    rig.replica.ask_to_lead();
    rig.connect(Introduction::default());
    let effects = rig.replica.lost(Loss::Closed, rig.now, 7);
    rig.perform(b"", effects);
    rig.take_sent();
    rig.ask_again();
    assert!(rig.take_sent().ends_with("FAILOVER"));
}

#[test]
fn an_end_that_does_not_let_itself_be_asked_to_lead_does_not_lead() {
    for refusal in
        ["-NOAUTH Authentication required.\r\n", "-LOADING it has begun anew\r\n", "HTTP/1.1 400\r\n"]
    {
        let mut rig = Rig::new(Some(point(1, 41)));
        rig.replica.ask_to_lead();
        rig.connect(Introduction { port: 6379, ..Introduction::default() });
        rig.hear(refusal.as_bytes());
        if refusal.starts_with("-NOAUTH") {
            assert!(rig.take_told().is_empty(), "it may still let in who introduces himself");
            rig.hear(refusal.as_bytes());
            rig.hear(refusal.as_bytes());
        }
        assert!(matches!(rig.take_told()[..], [Effect::NotHanded, Effect::HangUp(_)]), "{refusal}");
    }
}

#[test]
fn an_end_that_could_not_be_asked_to_lead_for_too_long_is_not_asked_any_more() {
    let mut rig = Rig::new(Some(point(1, 41)));
    rig.replica.ask_to_lead();
    let unreachable = || Loss::Unreachable("refused".into());
    loop {
        rig.now = rig.now.max(rig.replica.due());
        assert_eq!(rig.replica.tick(rig.now, 7), [Effect::Connect]);
        let effects = rig.replica.lost(unreachable(), rig.now, 7);
        if effects.contains(&Effect::NotHanded) {
            break;
        }
        assert_eq!(effects, [Effect::HangUp(unreachable())]);
        assert!(rig.now < PATIENCE);
    }
    assert!(rig.now >= PATIENCE);
    rig.ask_again();
    assert!(!rig.take_sent().contains("FAILOVER"), "whoever comes back there does not lead either");
}
