//! Both ends of sessions against each other, and what they cost in the stream.

mod bounds;

mod cost;

mod sending;

mod stream;

use crate::{Epoch, shard::Incarnation, slot::Slot};

use super::{
    Author, Counter, Greeting, Judged, Known, Marker, Next, Number, Primary, Rebuilt, Reply, SessionId,
    Table,
    primary::Refusal,
    sender::{Asked, GivenUp, Kind, LONG_MAX, Reason, Sender, Step},
};

fn session(link: u64) -> SessionId {
    SessionId { proxy: Incarnation(0xA), link }
}

/// As the link counts it, which a primary or another has greeted.
fn author(counter: &Counter, number: u64) -> Author {
    let mut counter = *counter;
    counter.jump(Next { number: Number(number), floor: Number::FIRST });
    counter.count()
}

/// A session's first link, to a node that has nothing yet.
fn greet(primary: &mut Primary, table: &Table, link: u64) -> Counter {
    primary.greet(table, &greeting(link, 1)).unwrap().0
}

fn slot(number: u16) -> Option<Slot> {
    Slot::new(number)
}

fn greeting(link: u64, floor: u64) -> Greeting {
    Greeting { session: session(link), floor: Number(floor) }
}
