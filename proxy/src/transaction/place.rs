//! Where a command between MULTI and EXEC will run, by its policy: at the node, here, or nowhere.
//!
//! What reads or changes the client's own state is run here, when EXEC has been answered and not before. What concerns
//! every shard cannot be atomic with anything, unless there is one shard only or the database lies whole on one.

use slotway_cluster::{Database, Placement, Slot, slot::slot_of};
use slotway_commands::{
    Command, Id, errors, keys,
    row::{Flag, Policy},
};
use slotway_resp::Request;

use crate::{dispatch, every_shard, thread::Thread, transaction::queue::Spot};

#[derive(Debug)]
pub(crate) enum Place {
    Here,
    Node(Spot),
    /// The text of the error.
    Refused(Vec<u8>),
}

pub(crate) fn of(thread: &Thread, database: Database, command: &Command, request: Request<'_>) -> Place {
    if command.flags.has(Flag::NoMulti) {
        return not_allowed();
    }
    match command.proxy {
        Policy::Local | Policy::ClientState | Policy::Transaction => here(command),
        Policy::OneSlot | Policy::LeasedWith(_) | Policy::Split(_) => {
            keyed(thread, database, command, request)
        }
        Policy::Leased if command.has_keys() => keyed(thread, database, command, request),
        Policy::AnyNode => node(command, database, None),
        Policy::NamedSlot => node(command, database, dispatch::named(request).ok()),
        // Nothing waits amid a transaction, and of several shards only one would be asked.
        Policy::EveryShard(_) if command.is_blocking() => not_allowed(),
        Policy::EveryShard(_) | Policy::Scan => whole(thread, database, command),
        Policy::Config | Policy::Info | Policy::Latency => {
            Place::Refused(errors::not_atomic(command.name).into_bytes())
        }
        Policy::Refused(reason) => Place::Refused(errors::refused(reason).into_bytes()),
        // MONITOR.
        Policy::Leased => not_allowed(),
    }
}

fn not_allowed() -> Place {
    Place::Refused(errors::NOT_IN_TRANSACTION.as_bytes().to_vec())
}

/// HELLO would change the version amid a reply, CLIENT REPLY whether there is one; what asks all data threads (the list of
/// all clients, a pause) is not answered at once.
fn here(command: &Command) -> Place {
    match command.id {
        Id::Hello
        | Id::ClientReply
        | Id::ClientList
        | Id::ClientKill
        | Id::ClientPause
        | Id::ClientUnpause => not_allowed(),
        _ => Place::Here,
    }
}

fn node(command: &Command, database: Database, slot: Option<Slot>) -> Place {
    Place::Node(Spot { database, slot, key: command.name.as_bytes().to_vec() })
}

/// All keys of the command lie in one slot. Keys that cannot be told: the node says what is wrong with it.
fn keyed(thread: &Thread, database: Database, command: &Command, request: Request<'_>) -> Place {
    let mut keys = keys::positions(command, request).ok().into_iter().flatten();
    let first = keys.next().map(|index| request.word(index));
    let placement = thread.placement();
    if !placement.is_spread(database) {
        let key = first.unwrap_or(command.name.as_bytes()).to_vec();
        return Place::Node(Spot { database, slot: Some(Placement::home(database)), key });
    }
    let Some(first) = first else { return node(command, database, None) };
    let slot = slot_of(&placement, database, first);
    let other = keys.map(|index| request.word(index)).find(|key| slot_of(&placement, database, key) != slot);
    match other {
        Some(other) => Place::Refused(errors::cross_slot(first, other)),
        None => Place::Node(Spot { database, slot: Some(slot), key: first.to_vec() }),
    }
}

/// What concerns every shard, or one after the other.
fn whole(thread: &Thread, database: Database, command: &Command) -> Place {
    let of_database = every_shard::is_of_database(command.id) || command.proxy == Policy::Scan;
    if of_database && !thread.placement().is_spread(database) {
        return node(command, database, Some(Placement::home(database)));
    }
    if thread.shard_count() <= 1 {
        return node(command, database, None);
    }
    Place::Refused(errors::not_atomic(command.name).into_bytes())
}
