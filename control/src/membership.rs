//! This proxy's membership in its control group: from its settings to a group that runs and is driven.
//!
//! A directory that knows of a group goes on as what it was in it. Otherwise `--join` asks for a place in a group that runs, and without it
//! the plan in `topology.json` begins a group of one. The control port is listened on from the start, so that a port which is taken is an
//! error at once; the group begins when it is known where clients reach this proxy, because that is what the others are told.

use std::{path::PathBuf, sync::Arc, time::Duration};

use slotway_cluster::{
    ProxyId, Topology,
    control::{Durability, ProxyFact},
    failover::OnTotalLoss,
};
use slotway_config::{Key, ProxyConfig, Secret};
use slotway_link::Listening;
use tokio::sync::{mpsc, oneshot};

use crate::{
    conduct::{self, Parts, Wish},
    control::StartError,
    founding::{self, Plan, Policy},
    group::{self, Begin, Start, Started},
    shared::{ClientCount, OwnAddresses, Shared},
};

/// Everything but where clients reach this proxy.
#[derive(Debug)]
pub(crate) struct Membership {
    dir: PathBuf,
    secret: Option<Secret>,
    listening: Listening,
    join: Vec<String>,
    plan: Plan,
}

impl Membership {
    pub(crate) fn prepare(config: &ProxyConfig, planned: Option<Topology>) -> Result<Membership, StartError> {
        let knows_a_group = group::is_known_in(&config.dir);
        if planned.is_none() && config.join.is_empty() && !knows_a_group {
            return Err(StartError::NoTopology(config.dir.clone()));
        }
        let backlog = u32::try_from(config.settings.integer(Key::TcpBacklog)).unwrap_or(u32::MAX);
        let port = config.control_port.unwrap_or(0);
        let listening = slotway_link::bind(&config.bind, port, "--control-port", backlog)?;
        let durability = match config.settings.text(Key::Durability) {
            "async" => Durability::Async,
            _ => Durability::Quorum,
        };
        Ok(Membership {
            dir: config.dir.clone(),
            secret: config.secret.clone(),
            listening,
            join: config.join.iter().map(ToString::to_string).collect(),
            plan: Plan { topology: planned, durability, policy: policy(config) },
        })
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(
        self,
        shared: Arc<Shared>,
        own: OwnAddresses,
        clients: ClientCount,
        (wishes, stop): (mpsc::Receiver<Wish>, oneshot::Receiver<()>),
    ) -> Result<(), group::StartError> {
        let OwnAddresses { addr, admin_addr, sentinel_addr } = own;
        // Where clients reach it, others do, too.
        let host = addr.rsplit_once(':').map_or(addr.as_str(), |(host, _)| host);
        let control_addr = format!("{host}:{}", self.listening.port);
        let begin = match self.join.is_empty() {
            true => Begin::Form {
                proxy: planned_name(self.plan.topology.as_ref(), &addr)
                    .unwrap_or_else(|| ProxyId("p1".into())),
                first: founding::create(&self.plan).into_iter().collect(),
            },
            false => {
                Begin::Join { addresses: self.join, wish: planned_name(self.plan.topology.as_ref(), &addr) }
            }
        };
        let fact = ProxyFact { addr, control_addr, admin_addr, sentinel_addr };
        let (dir, secret, listening) = (self.dir, self.secret, self.listening);
        let mut stop = stop;
        let starting = group::start(Start { dir, secret, listening, fact, begin });
        let Started { group, running, told, news } = tokio::select! {
            started = starting => started?,
            _ = &mut stop => return Ok(()),
        };
        shared.introduce_as(group.own().clone(), clients);
        let parts = Parts { shared, group, told, news, wishes, plan: self.plan };
        tokio::select! {
            () = conduct::run(parts) => {}
            _ = stop => {}
        }
        running.stop().await;
        Ok(())
    }
}

fn policy(config: &ProxyConfig) -> Policy {
    let settings = &config.settings;
    let on_total_loss = match settings.text(Key::OnTotalLoss) {
        "wait" => OnTotalLoss::Wait,
        _ => OnTotalLoss::Newest,
    };
    let busy_ms = u64::try_from(settings.integer(Key::BusyDownAfterMs)).unwrap_or(u64::MAX);
    Policy {
        min_copies: Some(settings.count(Key::MinCopies)).filter(|&copies| copies > 0),
        on_total_loss,
        busy_down_after: Duration::from_millis(busy_ms),
    }
}

/// The name that the plan has for the proxy at this address.
fn planned_name(planned: Option<&Topology>, addr: &str) -> Option<ProxyId> {
    Some(planned?.proxies.iter().find(|proxy| proxy.addr == addr)?.id.clone())
}
