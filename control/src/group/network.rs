//! openraft's messages over the control port.
//!
//! The address of a seat is looked up anew for each message: a proxy that was restarted elsewhere is found as soon as the log says where.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use openraft::{
    Snapshot,
    error::{
        Fatal, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Timeout, Unreachable,
    },
    network::{Backoff, RPCOption, RPCTypes, RaftNetwork, RaftNetworkFactory},
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use serde::de::DeserializeOwned;
use slotway_link::LinkError;
use tokio::sync::watch;

use super::{
    calls::{CallError, Calls},
    identity::Identity,
    kind::{Kind, Seat, SeatId, Vote},
    wire::{Ask, Message},
};

/// Before a seat that was not reached is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Where each seat is reached, as far as this proxy knows.
pub(super) type Addresses = watch::Receiver<BTreeMap<SeatId, Seat>>;

#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) calls: Arc<Calls>,
    pub(super) own: Identity,
    pub(super) addresses: Addresses,
}

/// To one seat.
#[derive(Debug)]
pub(super) struct Peer {
    network: Network,
    seat: SeatId,
    /// As openraft knew it when it made this.
    known: Seat,
}

impl RaftNetworkFactory<Kind> for Network {
    type Network = Peer;

    async fn new_client(&mut self, seat: SeatId, known: &Seat) -> Peer {
        Peer { network: self.clone(), seat, known: known.clone() }
    }
}

impl Peer {
    async fn ask<T: DeserializeOwned>(&self, ask: Ask, patience: Duration) -> Result<T, CallError> {
        let listed = self.network.addresses.borrow().get(&self.seat).map(|seat| seat.control_addr.clone());
        let address = listed.unwrap_or_else(|| self.known.control_addr.clone());
        let Identity { group, proxy, .. } = self.network.own.clone();
        let message = Message { group: Some(group), to: Some(self.seat), from: proxy, ask };
        self.network.calls.ask(&address, &message, patience).await
    }

    fn timeout(&self, action: RPCTypes, timeout: Duration) -> Timeout<SeatId> {
        Timeout { action, id: self.network.own.seat, target: self.seat, timeout }
    }

    /// An answer of the other end's openraft, or why there is none. Whatever is wrong with the way there: not at once again.
    async fn rpc<T: DeserializeOwned>(
        &self,
        ask: Ask,
        action: RPCTypes,
        patience: Duration,
    ) -> Result<T, RPCError<SeatId, Seat, RaftError<SeatId>>> {
        match self.ask::<Result<T, RaftError<SeatId>>>(ask, patience).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(RemoteError::new(self.seat, error).into()),
            Err(CallError::Link { source: LinkError::Timeout, .. }) => {
                Err(self.timeout(action, patience).into())
            }
            Err(error) => {
                tracing::debug!(seat = self.seat, proxy = %self.known.proxy, %error, "a member of the control group was not reached");
                Err(Unreachable::new(&error).into())
            }
        }
    }
}

impl RaftNetwork<Kind> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Kind>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<SeatId>, RPCError<SeatId, Seat, RaftError<SeatId>>> {
        self.rpc(Ask::Append { request }, RPCTypes::AppendEntries, option.hard_ttl()).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<SeatId>,
        option: RPCOption,
    ) -> Result<VoteResponse<SeatId>, RPCError<SeatId, Seat, RaftError<SeatId>>> {
        self.rpc(Ask::Vote { request }, RPCTypes::Vote, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Kind>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<SeatId>, StreamingError<Kind, Fatal<SeatId>>> {
        let ask = Ask::Snapshot { vote, meta: snapshot.meta, cluster: snapshot.snapshot };
        let patience = option.hard_ttl();
        let answer = tokio::select! {
            answer = self.ask::<Result<SnapshotResponse<SeatId>, Fatal<SeatId>>>(ask, patience) => answer,
            closed = cancel => return Err(closed.into()),
        };
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(RemoteError::new(self.seat, error).into()),
            Err(CallError::Link { source: LinkError::Timeout, .. }) => {
                Err(self.timeout(RPCTypes::InstallSnapshot, patience).into())
            }
            Err(error) => Err(Unreachable::new(&error).into()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(AGAIN))
    }
}
