//! Primary and replica: one table at one offset.

use proptest::prelude::*;

use super::*;

/// What a stream is made of.
#[derive(Debug, Clone)]
enum Unit {
    /// As its word stands on the wire.
    Marker(Vec<u8>),
    /// With what executing it answers on a replica.
    Effect(Option<Slot>, Reply),
    Epoch,
}

/// What happens at a primary.
#[derive(Debug, Clone)]
enum Event {
    Write { link: u64, skip: u64, reply: Reply, rebuilt: Rebuilt },
    NoEffect { link: u64, reply: Reply },
    Own,
    Floor { link: u64, back: u64 },
    Epoch,
    Gone,
}

#[derive(Default)]
struct Rig {
    table: Table,
    primary: Primary,
    stream: Vec<Unit>,
    next: [u64; 4],
    /// Everything that has run: who, and its reply.
    ran: Vec<(Author, Reply)>,
}

impl Rig {
    fn number(&mut self, link: u64, skip: u64) -> Author {
        let next = &mut self.next[usize::try_from(link).unwrap()];
        let number = (*next).max(1) + skip;
        *next = number + 1;
        author(&greet(&mut self.primary, &self.table, link), number)
    }

    fn unit(&mut self, author: Option<Author>, slot: Option<Slot>, reply: &Reply, rebuilt: Rebuilt) {
        let marker = self.primary.unit(&mut self.table, author, slot, (reply.clone(), rebuilt));
        self.stream.extend(marker.map(|marker| Unit::Marker(marker.word())));
        let elsewhere = match rebuilt {
            Rebuilt::ByReplay => reply.clone(),
            Rebuilt::Not => Reply::Integer(-77),
        };
        self.stream.push(Unit::Effect(slot, elsewhere));
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Write { link, skip, reply, rebuilt } => {
                let author = self.number(*link, *skip);
                if self.primary.judge(&self.table, author) == Judged::Run {
                    self.unit(Some(author), slot(7), reply, *rebuilt);
                    self.ran.push((author, reply.clone()));
                }
            }
            Event::NoEffect { link, reply } => {
                let author = self.number(*link, 0);
                if self.primary.judge(&self.table, author) == Judged::Run {
                    self.primary.changed_nothing(&self.table, author, slot(8), reply.clone());
                }
            }
            Event::Own => self.unit(None, slot(9), &Reply::Ok, Rebuilt::ByReplay),
            Event::Floor { link, back } => {
                let next = self.next[usize::try_from(*link).unwrap()];
                self.primary.raise_floor(session(*link), Number(next.saturating_sub(*back).max(1)));
            }
            Event::Epoch => {
                self.table.begin_epoch();
                self.primary = Primary::default();
                self.stream.push(Unit::Epoch);
            }
            Event::Gone => {
                let marker = self.primary.gone(&mut self.table, session(0).proxy);
                self.stream.extend(marker.map(|marker| Unit::Marker(marker.word())));
                self.ran.clear();
                self.next = [0; 4];
            }
        }
    }
}

/// What somebody has who held this much of a stream.
fn replica(stream: &[Unit]) -> Table {
    let mut table = Table::default();
    for unit in stream {
        match unit {
            Unit::Marker(word) => table.hear(&Marker::parse(word).unwrap()).unwrap(),
            Unit::Effect(slot, reply) => table.unit(*slot, reply.clone()).unwrap(),
            Unit::Epoch => table.begin_epoch(),
        }
    }
    table
}

fn loaded(snapshot: impl Iterator<Item = Marker>) -> Table {
    let mut table = Table::default();
    for marker in snapshot {
        table.hear(&Marker::parse(&marker.word()).unwrap()).unwrap();
    }
    table
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        4 => Just(Reply::Ok),
        4 => any::<i64>().prop_map(Reply::Integer),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Reply::Bytes(bytes.into())),
        1 => Just(Reply::NotKept),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let rebuilt = prop_oneof![3 => Just(Rebuilt::ByReplay), 1 => Just(Rebuilt::Not)];
    let skip = prop_oneof![9 => Just(0), 1 => 1..40u64];
    prop_oneof![
        12 => (0..4u64, skip, reply(), rebuilt)
            .prop_map(|(link, skip, reply, rebuilt)| Event::Write { link, skip, reply, rebuilt }),
        3 => (0..4u64, reply()).prop_map(|(link, reply)| Event::NoEffect { link, reply }),
        2 => Just(Event::Own),
        2 => (0..4u64, 0..200u64).prop_map(|(link, back)| Event::Floor { link, back }),
        1 => Just(Event::Epoch),
    ]
}

proptest! {
    #[test]
    fn whoever_holds_a_stream_has_its_sessions_however_it_came(
        events in prop::collection::vec(event(), 0..80),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut rig = Rig::default();
        events.iter().for_each(|event| rig.happen(event));
        let held = replica(&rig.stream);
        prop_assert_eq!(&held, &rig.table);
        // By a snapshot in the middle, and the rest of the stream.
        let at = cut.index(rig.stream.len() + 1);
        let mut joined = loaded(replica(&rig.stream[..at]).markers());
        for unit in &rig.stream[at..] {
            match unit {
                Unit::Marker(word) => joined.hear(&Marker::parse(word).unwrap()).unwrap(),
                Unit::Effect(slot, reply) => joined.unit(*slot, reply.clone()).unwrap(),
                Unit::Epoch => joined.begin_epoch(),
            }
        }
        prop_assert_eq!(joined, held);
    }

    #[test]
    fn every_write_that_ran_is_settled_with_its_reply_unless_its_floor_has_passed(
        events in prop::collection::vec(event(), 0..80),
    ) {
        let mut rig = Rig::default();
        events.iter().for_each(|event| rig.happen(event));
        let promoted = replica(&rig.stream);
        for (author, reply) in &rig.ran {
            let session = promoted.session(author.session).unwrap();
            if author.number >= session.floor() {
                prop_assert_eq!(session.entry(author.number).map(|entry| &entry.reply), Some(reply));
            }
        }
    }

    #[test]
    fn a_stream_that_ends_anywhere_settles_as_many_numbers_as_it_has_effects(
        events in prop::collection::vec(event(), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut rig = Rig::default();
        let events = events.into_iter().filter(|event| !matches!(event, Event::Own | Event::NoEffect { .. } | Event::Floor { .. }));
        events.for_each(|event| rig.happen(&event));
        let at = cut.index(rig.stream.len() + 1);
        let effects = rig.stream[..at].iter().filter(|unit| matches!(unit, Unit::Effect(..))).count();
        let table = replica(&rig.stream[..at]);
        let settled: usize = (0..4).filter_map(|link| Some(table.session(session(link))?.settled().count())).sum();
        prop_assert_eq!(settled, effects);
    }
}

#[test]
fn what_a_marker_announced_counts_for_the_unit_behind_it_only() {
    let mut rig = Rig::default();
    let popped = Reply::of(b"$1\r\na\r\n");
    rig.happen(&Event::Write { link: 1, skip: 0, reply: popped.clone(), rebuilt: Rebuilt::Not });
    rig.happen(&Event::Write { link: 1, skip: 0, reply: Reply::Integer(1), rebuilt: Rebuilt::ByReplay });
    let mut cut = replica(&rig.stream[..1]);
    assert_eq!(cut.session(session(1)).unwrap().settled().count(), 0);
    // The next epoch's first unit is somebody else's.
    cut.begin_epoch();
    cut.unit(slot(1), Reply::Ok).unwrap();
    assert_eq!(cut.session(session(1)).unwrap().settled().count(), 0);
    let entries: Vec<_> =
        rig.table.session(session(1)).unwrap().settled().map(|(_, entry)| entry.reply.clone()).collect();
    assert_eq!(entries, [popped, Reply::Integer(1)]);
}

#[test]
fn a_write_without_effect_is_told_before_the_next_effect_of_its_session() {
    let mut rig = Rig::default();
    rig.happen(&Event::NoEffect { link: 1, reply: Reply::Integer(0) });
    rig.happen(&Event::Write { link: 2, skip: 0, reply: Reply::Ok, rebuilt: Rebuilt::ByReplay });
    assert!(replica(&rig.stream).session(session(1)).is_none());
    rig.happen(&Event::Write { link: 1, skip: 0, reply: Reply::Ok, rebuilt: Rebuilt::ByReplay });
    let table = replica(&rig.stream);
    let first = table.session(session(1)).unwrap().entry(Number(1)).unwrap();
    assert_eq!((first.slot, &first.reply), (slot(8), &Reply::Integer(0)));
    let Unit::Marker(word) = &rig.stream[2] else { panic!("{:?}", rig.stream) };
    assert_eq!(word, b"slotway:s:o2.000000000000000a.0000000000000001,t2,e1.8.i0");
}

#[test]
fn what_no_stream_told_is_not_known_in_the_next_epoch() {
    let mut rig = Rig::default();
    rig.happen(&Event::NoEffect { link: 1, reply: Reply::Integer(0) });
    let first = author(&greet(&mut rig.primary, &rig.table, 1), 1);
    assert_eq!(rig.primary.judge(&rig.table, first), Judged::Settled(&Reply::Integer(0)));
    rig.happen(&Event::Epoch);
    assert_eq!(rig.primary.judge(&rig.table, first), Judged::Refused(Refusal::NoSession));
    let first = author(&greet(&mut rig.primary, &rig.table, 1), 1);
    assert_eq!(rig.primary.judge(&rig.table, first), Judged::Run);
}

#[test]
fn the_sessions_of_a_proxy_go_when_its_life_is_over_and_nobody_elses() {
    let mut rig = Rig::default();
    let other = SessionId { proxy: Incarnation(0xB), link: 9 };
    let greeting = Greeting { session: other, floor: Number(1) };
    let (counter, _) = rig.primary.greet(&rig.table, &greeting).unwrap();
    rig.unit(Some(author(&counter, 1)), None, &Reply::Ok, Rebuilt::ByReplay);
    rig.happen(&Event::Write { link: 1, skip: 0, reply: Reply::Ok, rebuilt: Rebuilt::ByReplay });
    rig.happen(&Event::Gone);
    rig.happen(&Event::Own);
    let table = replica(&rig.stream);
    assert_eq!(table, rig.table);
    assert!(table.session(session(1)).is_none());
    assert_eq!(table.session(other).unwrap().settled().count(), 1);
    assert!(rig.primary.gone(&mut rig.table, session(1).proxy).is_none(), "told once");
}
