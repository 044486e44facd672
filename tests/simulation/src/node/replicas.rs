//! The primary's end of replication links: who may go on where it stopped, what each is sent, what each holds.

use std::{rc::Rc, time::Duration};

use slotway_cluster::{
    Epoch, Member, Position, ShardId,
    member::{Event, may_acknowledge},
    replication::{HistoryId, Offset},
};

use super::pulse_thread::PulseIn;
use crate::{
    net::{ConnId, Side, Word},
    tell,
    world::World,
};

/// A replica on a connection.
#[derive(Debug)]
pub struct Downstream {
    member: Member,
    sent: Offset,
}

impl World {
    /// A replica introduces itself.
    pub(super) fn replica_comes(
        &mut self,
        node: usize,
        conn: ConnId,
        (_, epoch): (ShardId, Epoch),
        member: Member,
        (held, history): (Position, HistoryId),
    ) {
        let Some(process) = self.process(node) else { return };
        if process.leading.is_none_or(|leading| leading < epoch) {
            self.tell_pulse(node, PulseIn::Seen(epoch));
        }
        let Some(process) = self.process(node) else { return };
        let Some(leading) = process.leading.filter(|leading| *leading == epoch) else {
            let seen = process.leading.unwrap_or_default().max(process.vitals.promised);
            self.send(conn, Side::Caller, Word::NotNow { seen });
            return;
        };
        if !may_acknowledge(leading, process.vitals.promised) {
            let seen = process.vitals.promised;
            self.send(conn, Side::Caller, Word::NotNow { seen });
            return;
        }
        let stream = &process.stream;
        match stream.lineage.may_continue(history, held.offset, Some(stream.backlog())) {
            Ok(()) => {
                let (from, history) = (held.offset, stream.lineage.present());
                process.replicas.insert(conn, Downstream { member: member.clone(), sent: from });
                tell!(self, "n{}: {member} goes on from {held}", node + 1);
                self.send(conn, Side::Caller, Word::Continue { epoch, history, from });
            }
            Err(why) => {
                let (snapshot, sent) = (Rc::new(stream.clone()), stream.end());
                process.replicas.insert(conn, Downstream { member: member.clone(), sent });
                tell!(self, "n{}: {member} at {held} gets everything anew: {why:?}", node + 1);
                let transfer = self.chance.between(Duration::ZERO, self.plan.transfer_max);
                self.send(conn, Side::Caller, Word::SnapshotBegun);
                let late = self.delay() + transfer;
                self.send_late(conn, Side::Caller, Word::Snapshot(snapshot), late);
            }
        }
        self.feed(node, Some(Event::Attached { member, held }));
        self.send_to_replicas(node);
    }

    pub(super) fn replica_acks(&mut self, node: usize, conn: ConnId, held: Position) {
        let Some(process) = self.process(node) else { return };
        let Some(replica) = process.replicas.get(&conn) else { return };
        let member = replica.member.clone();
        self.feed(node, Some(Event::Acked { member, held }));
    }

    pub(super) fn replica_goes(&mut self, node: usize, conn: ConnId) {
        let Some(process) = self.process(node) else { return };
        if let Some(replica) = process.replicas.remove(&conn) {
            self.feed(node, Some(Event::Detached { member: replica.member }));
        }
    }

    pub(super) fn close_replicas(&mut self, node: usize) {
        let Some(process) = self.process(node) else { return };
        let conns: Vec<ConnId> = process.replicas.keys().copied().collect();
        for conn in conns {
            self.replica_goes(node, conn);
            self.close(conn, Side::Callee);
        }
    }

    /// What each has not been sent yet.
    pub(super) fn send_to_replicas(&mut self, node: usize) {
        let Some(process) = self.process(node) else { return };
        let end = process.stream.end();
        let mut words = Vec::new();
        for (conn, replica) in &mut process.replicas {
            if replica.sent < end {
                let units = process.stream.behind(replica.sent);
                replica.sent = end;
                words.push((*conn, Word::Units(units)));
            }
        }
        for (conn, word) in words {
            self.send(conn, Side::Caller, word);
        }
    }
}
