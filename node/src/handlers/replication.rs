//! What replicas say, and what clients ask about them: REPLCONF, PSYNC, SYNC; WAIT, ROLE.
//!
//! PSYNC and SYNC only note what is wanted: the connection is handed over when its replies are sent
//! ([`crate::replication::link`]).

use slotway_cluster::replication::{
    ACKS_EVERY_READ, HistoryId, Offset,
    primary::{Event, Stage, Wanted},
};
use slotway_commands::errors;
use slotway_resp::write;

use super::{
    arguments::is,
    connection::{SYNTAX, integer},
};
use crate::{
    call::{Done, Refusal},
    client::{Blocked, Class, Fate, Standing},
    feed::Source,
    membership::MANAGED,
    persistence::aof::{self, OnDisk},
    replication::{Asked, Introduction, handing::NO_FAILOVER, waiter, write_disks},
    server_call::ServerCall,
};

/// `REPLCONF option value ...`: what a replica says of itself. Its acknowledgements come on its link, and are not answered
/// anywhere else either.
pub(crate) fn replconf(call: &mut ServerCall<'_>) -> Done {
    if call.request.word(1).eq_ignore_ascii_case(b"slotway") {
        return member(call);
    }
    if call.request.len().is_multiple_of(2) {
        return Err(SYNTAX.into());
    }
    let mut introduction = call.client.introduction.take().unwrap_or_default();
    let mut knows_us = false;
    let mut words = call.request.words().skip(1);
    while let (Some(option), Some(value)) = (words.next(), words.next()) {
        match option.to_ascii_lowercase().as_slice() {
            b"listening-port" => introduction.port = port(value)?,
            b"ip-address" => introduction.address = address(value)?,
            b"capa" if value.eq_ignore_ascii_case(b"eof") => introduction.takes_marked = true,
            b"capa" if value.eq_ignore_ascii_case(b"psync2") => introduction.takes_names = true,
            b"capa" if value.eq_ignore_ascii_case(ACKS_EVERY_READ.as_bytes()) => {
                introduction.acks_every_read = true;
                knows_us = true;
            }
            // What is not known here is of no use to the replica, and no mistake.
            b"capa" => {}
            b"rdb-only" => introduction.only_snapshot = flag(value)?,
            b"ack" | b"getack" => {
                *call.client.introduction.borrow_mut() = Some(introduction);
                return Ok(());
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Unrecognized REPLCONF option: {option}").into());
            }
        }
    }
    *call.client.introduction.borrow_mut() = Some(introduction);
    match knows_us {
        true => write::simple(call.out, &format!("OK {ACKS_EVERY_READ}")),
        false => write::simple(call.out, "OK"),
    }
    Ok(())
}

/// `REPLCONF slotway cluster-id shard epoch node incarnation position-epoch`: a member of the shard.
fn member(call: &mut ServerCall<'_>) -> Done {
    if call.client.standing.get() != Standing::Member && call.node.secret.is_some() {
        return Err("NOPERM REPLCONF slotway is spoken among members only".into());
    }
    let words: Vec<&str> =
        call.request.words().skip(2).map(|word| std::str::from_utf8(word).unwrap_or_default()).collect();
    let words: [&str; 6] = words.try_into().map_err(|_| Refusal::from(SYNTAX))?;
    let said = call.node.hear_member(words)?;
    let mut introduction = call.client.introduction.take().unwrap_or_default();
    introduction.member = Some(said);
    *call.client.introduction.borrow_mut() = Some(introduction);
    write::simple(call.out, "OK");
    Ok(())
}

fn port(word: &[u8]) -> Result<u16, Refusal> {
    let number = integer(word).ok_or(errors::NOT_INTEGER)?;
    u16::try_from(number).map_err(|_| errors::NOT_INTEGER.into())
}

fn address(word: &[u8]) -> Result<String, Refusal> {
    /// A host's name is no longer.
    const LEN_MAX: usize = 255;
    let is_plain = word.iter().all(|byte| byte.is_ascii_graphic());
    match is_plain && word.len() <= LEN_MAX {
        true => Ok(String::from_utf8_lossy(word).into_owned()),
        false => Err("ERR REPLCONF ip-address provided by replica instance is too long".into()),
    }
}

fn flag(word: &[u8]) -> Result<bool, Refusal> {
    integer(word).map(|number| number == 1).ok_or(errors::NOT_INTEGER.into())
}

/// `PSYNC history byte`; `? -1` asks for everything. Behind it `FAILOVER`: the primary that says so is to follow from here on.
pub(crate) fn psync(call: &mut ServerCall<'_>) -> Done {
    if call.request.len() > 3 && is(call.request.word(3), "FAILOVER") {
        take_over(call)?;
    }
    let byte = integer(call.request.word(2)).ok_or(errors::NOT_INTEGER)?;
    let wanted = match call.request.word(1) {
        b"?" => Wanted::Everything,
        // What is no name, or no byte, is none of this stream's.
        name => match (HistoryId::parse(name), u64::try_from(byte).ok().filter(|byte| *byte > 0)) {
            (Some(history), Some(byte)) => Wanted::Rest { history, held: Offset::before_byte(byte) },
            _ => Wanted::Rest { history: HistoryId::NONE, held: Offset::default() },
        },
    };
    ask(call, Asked::Psync(wanted))
}

/// This node's primary wants to change places with it.
fn take_over(call: &mut ServerCall<'_>) -> Done {
    if call.node.membership.adopted().is_some() {
        return Err(MANAGED.into());
    }
    if call.node.following.primary().is_none() {
        return Err("ERR PSYNC FAILOVER can't be sent to a master.".into());
    }
    if HistoryId::parse(call.request.word(1)) != Some(call.node.replication.lineage.present()) {
        return Err("ERR PSYNC FAILOVER replid must match my replid.".into());
    }
    tracing::info!(by = %call.client.peer, "the primary changes places with this node");
    call.node.follow_nobody();
    Ok(())
}

pub(crate) fn sync(call: &mut ServerCall<'_>) -> Done {
    ask(call, Asked::Sync)
}

fn ask(call: &mut ServerCall<'_>, asked: Asked) -> Done {
    if call.node.handing.state() != NO_FAILOVER {
        return Err("NOMASTERLINK Can't SYNC while failing over".into());
    }
    // Of a member it was asked before; what others are shown of a shard is what its primary makes, or who follows it.
    if !call.node.makes_or_follows_a_stream() {
        return Err("NOMASTERLINK Can't SYNC while nobody leads".into());
    }
    // What it holds may be older than what the asking one has.
    if call.node.following.primary().is_some() && !call.node.following.is_connected() {
        return Err("NOMASTERLINK Can't SYNC while not connected with my master".into());
    }
    let client = call.client;
    let mut introduction: Box<Introduction> = client.introduction.take().unwrap_or_default();
    introduction.asked = Some(asked);
    *client.introduction.borrow_mut() = Some(introduction);
    client.decide(Fate::Departs);
    Ok(())
}

/// `WAIT replicas milliseconds`: how many replicas hold what this client wrote, as soon as they are enough or the time is
/// over. A proxy's connection carries many clients' writes: it waits for all that was written.
pub(crate) fn wait(call: &mut ServerCall<'_>) -> Done {
    if call.node.keyspace.feed.source() == Source::Primary {
        return Err(errors::WAIT_ON_REPLICA.into());
    }
    let wanted = integer(call.request.word(1)).ok_or(errors::NOT_INTEGER)?;
    let wanted = usize::try_from(wanted).unwrap_or(0);
    let millis = integer(call.request.word(2)).ok_or(errors::TIMEOUT_NOT_INTEGER)?;
    let millis = u64::try_from(millis).map_err(|_| errors::TIMEOUT_NEGATIVE)?;
    let client = call.client;
    let is_executing = client.transaction.is_executing();
    let offset = match client.standing.get() {
        Standing::Member if !is_executing => call.node.executed_offset(),
        Standing::Member | Standing::User | Standing::Stranger | Standing::Primary => client.seen.get(),
    };
    // How many hold what was written tells that it was written.
    call.node.gate.touch();
    let holders = call.node.replication.primary.machine().holders(offset);
    if holders >= wanted || is_executing {
        write::integer(call.out, i64::try_from(holders).unwrap_or(i64::MAX));
        return Ok(());
    }
    client.blocked.set(Blocked::Waiting);
    let patience = (millis > 0).then(|| std::time::Duration::from_millis(millis));
    let event = Event::Waits { waiter: waiter(client), replicas: wanted, offset, patience };
    call.node.tell_primary(event);
    Ok(())
}

/// `WAITAOF own replicas milliseconds`: whether this node, and how many replicas, have on their disks what this client wrote, as
/// soon as it is enough or the time is over. Of a proxy as with WAIT.
pub(crate) fn waitaof(call: &mut ServerCall<'_>) -> Done {
    let is_own_wanted = match integer(call.request.word(1)).ok_or(errors::NOT_INTEGER)? {
        0 => false,
        1 => true,
        _ => return Err(errors::NOT_ZERO_OR_ONE.into()),
    };
    let replicas = integer(call.request.word(2)).ok_or(errors::NOT_INTEGER)?;
    let replicas = usize::try_from(replicas).map_err(|_| errors::NOT_POSITIVE)?;
    let millis = integer(call.request.word(3)).ok_or(errors::TIMEOUT_NOT_INTEGER)?;
    let millis = u64::try_from(millis).map_err(|_| errors::TIMEOUT_NEGATIVE)?;
    if call.node.keyspace.feed.source() == Source::Primary {
        return Err(errors::WAITAOF_ON_REPLICA.into());
    }
    let on_disk = aof::on_disk(call.node);
    if is_own_wanted && on_disk == OnDisk::NoLog {
        return Err(errors::WAITAOF_WITHOUT_LOG.into());
    }
    let client = call.client;
    let is_executing = client.transaction.is_executing();
    let (offset, mark) = match client.standing.get() {
        Standing::Member if !is_executing => {
            (call.node.executed_offset(), call.node.keyspace.feed.position())
        }
        Standing::Member | Standing::User | Standing::Stranger | Standing::Primary => {
            (client.seen.get(), client.fed.get())
        }
    };
    // How many have what was written tells that it was written.
    call.node.gate.touch();
    let own = matches!(on_disk, OnDisk::Until(until) if until >= mark);
    let disks = call.node.replication.primary.machine().disks(offset);
    if own >= is_own_wanted && disks >= replicas || is_executing {
        write_disks(call.out, own, disks);
        return Ok(());
    }
    let patience = (millis > 0).then(|| std::time::Duration::from_millis(millis));
    call.node.wait_for_disks(client, (replicas, is_own_wanted), (offset, mark), patience);
    Ok(())
}

/// `ROLE`
pub(crate) fn role(call: &mut ServerCall<'_>) -> Done {
    if call.node.write_replica_role(call.out) {
        return Ok(());
    }
    let replication = &call.node.replication;
    write::array(call.out, 3);
    write::bulk(call.out, b"master");
    write::integer(call.out, i64::try_from(replication.offset.0).unwrap_or(i64::MAX));
    let online = replication.primary.replicas().filter(|(replica, _)| replica.stage == Stage::Online);
    write::array(call.out, online.clone().count());
    for (replica, link) in online {
        debug_assert_eq!(link.client.class.get(), Class::Replica, "a link's client is one");
        write::array(call.out, 3);
        write::bulk(call.out, link.introduction.ip(&link.client.peer).as_bytes());
        write::bulk(call.out, link.introduction.port.to_string().as_bytes());
        write::bulk(call.out, replica.acked.to_string().as_bytes());
    }
    Ok(())
}
