//! `slotway proxy`: settings, control group, data path and admin API, started in this order and stopped in reverse.
//!
//! The data path brings its own threads. Everything else (watching nodes, HTTP, signals) runs on a small runtime of its
//! own and never on theirs.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use prometheus::Registry;
use slotway_admin_api::{Access, Api, Operations, Server, Sources, Token};
use slotway_config::{Address, Bind, Key, Program, ProxyConfig};
use slotway_control::{Control, OwnAddresses, View};
use slotway_proxy::{Proxy, Topologies};

use crate::{
    flags::{self, Given},
    log,
    stop::{Asked, Signals},
};

/// Threads of the runtime beside the data path.
const WORKERS: usize = 2;

/// How long clients may take to get the answers to what they sent before the process ends.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// How long HTTP answers under way may take.
const ADMIN_PATIENCE: Duration = Duration::from_secs(2);

/// The flags of `slotway proxy`.
#[derive(Debug)]
pub(crate) struct ProxyArgs(Given);

impl Args for ProxyArgs {
    fn augment_args(command: Command) -> Command {
        flags::augment(command, Program::Proxy)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ProxyArgs::augment_args(command)
    }
}

impl FromArgMatches for ProxyArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(ProxyArgs(flags::given(matches, Program::Proxy)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = flags::given(matches, Program::Proxy);
        Ok(())
    }
}

impl ProxyArgs {
    fn load(&self) -> Result<ProxyConfig, slotway_config::Mistakes> {
        ProxyConfig::load(self.0.config.as_deref(), std::env::vars(), self.0.flags.clone())
    }
}

/// Runs until told to stop.
pub(crate) fn run(args: &ProxyArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    log::start(config.settings.text(Key::Loglevel));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(args, &config))
}

async fn serve(args: &ProxyArgs, config: &ProxyConfig) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let registry = Registry::new();
    let mut control = Control::start(config, &registry)?;
    let topologies = Topologies {
        newest: control.topology(),
        versions: control.versions(),
        stale: control.stale_topology(),
        at_work: control.at_work(),
    };
    let proxy = Arc::new(Proxy::start(config, topologies, &registry)?);
    let admin = start_admin(config, control.view(), registry)?;
    let own = own_addresses(config, &proxy, admin.as_ref());
    tracing::info!(address = %own.addr, admin = own.admin_addr.as_deref().unwrap_or("off"), "the proxy serves");
    let counted = Arc::downgrade(&proxy);
    control.introduce(own, Arc::new(move || counted.upgrade().map_or(0, |proxy| proxy.clients())));

    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            error = control.failed() => return Err(error.into()),
        };
        match asked {
            Asked::Reload => reload(args, &proxy),
            Asked::Stop(why) => {
                tracing::info!(%why, clients = proxy.clients(), "stopping");
                break;
            }
        }
    }
    // Clients first: while they drain, the admin API still shows what is going on.
    stop_data_path(proxy).await;
    if let Some(admin) = admin {
        admin.stop(ADMIN_PATIENCE).await;
    }
    control.stop().await;
    Ok(())
}

fn start_admin(config: &ProxyConfig, view: View, registry: Registry) -> anyhow::Result<Option<Server>> {
    let Some(port) = config.admin_port else { return Ok(None) };
    let listening = slotway_link::bind(&config.bind, port, "--admin-port", backlog(config))?;
    let body_bytes_max = usize::try_from(config.settings.bytes(Key::AdminBodyBytesMax)).unwrap_or(usize::MAX);
    let token = config.admin_token.as_ref().and_then(|token| Token::new(token.reveal()));
    if let (None, Some(wide)) = (&token, config.bind.iter().find(|bind| !bind.is_loopback())) {
        tracing::warn!(host = %wide.host, "other machines can read the admin API: --admin-token-file FILE asks for a token");
    }
    let api = Api::of_proxy(sources(view, registry), Access { token, body_bytes_max });
    Ok(Some(Server::start(listening.sockets, api).context("cannot start the admin API")?))
}

fn sources(view: View, registry: Registry) -> Sources {
    let operations = operations(&view);
    let (topology, observations, count) = (view.clone(), view.clone(), view);
    Sources {
        topology: Arc::new(move || topology.topology()),
        observations: Arc::new(move || observations.observations()),
        count_slot: Arc::new(move |slot| {
            let view = count.clone();
            Box::pin(async move { view.count_slot(slot).await })
        }),
        operations,
        registry,
    }
}

fn operations(view: &View) -> Operations {
    let (job_changes, last_event) = (view.job_changes(), view.last_event());
    let (order, jobs, job, cancel, events) =
        (view.clone(), view.clone(), view.clone(), view.clone(), view.clone());
    Operations {
        order: Arc::new(move |wanted, key| order.order(wanted, key)),
        jobs: Arc::new(move || jobs.jobs()),
        job: Arc::new(move |id| job.job(id)),
        cancel: Arc::new(move |id| cancel.cancel(id)),
        job_changes,
        events: Arc::new(move |since, limit| events.events(since, limit)),
        last_event,
    }
}

/// The addresses that others are told.
fn own_addresses(config: &ProxyConfig, proxy: &Proxy, admin: Option<&Server>) -> OwnAddresses {
    let host = config.announce.clone().unwrap_or_else(|| reachable_host(&config.bind));
    let at = |port: u16| Address { host: host.clone(), port }.to_string();
    OwnAddresses {
        addr: at(proxy.port()),
        admin_addr: admin.and_then(|admin| admin.addresses().first().map(|address| at(address.port()))),
        sentinel_addr: None,
    }
}

/// The first host that is listened on, without brackets. "Every address" is no address: it stands for this machine.
pub(crate) fn reachable_host(bind: &[Bind]) -> String {
    let first = bind.first().map_or("127.0.0.1", |bind| bind.host.as_str());
    match first.trim_matches(['[', ']']) {
        "0.0.0.0" => "127.0.0.1".into(),
        "::" => "::1".into(),
        host => host.into(),
    }
}

/// SIGHUP: takes over what can change while clients stay connected.
fn reload(args: &ProxyArgs, proxy: &Proxy) {
    let fresh = match args.load() {
        Ok(fresh) => fresh.settings,
        Err(mistakes) => return tracing::error!(%mistakes, "SIGHUP: the settings stay as they were"),
    };
    let cell = proxy.settings();
    let mut settings = (**cell.load()).clone();
    let adopted = settings.adopt(&fresh);
    cell.store(Arc::new(settings));
    let names = |keys: &[Key]| keys.iter().map(|key| key.name()).collect::<Vec<_>>().join(", ");
    let (changed, need_restart) = (names(&adopted.changed), names(&adopted.need_restart));
    tracing::info!(changed, need_restart, "SIGHUP: settings read again");
}

/// An admin call may be counting clients this very moment: it lets go of the data path at once.
async fn stop_data_path(mut proxy: Arc<Proxy>) {
    loop {
        match Arc::try_unwrap(proxy) {
            Ok(proxy) => return proxy.stop(DRAIN_PATIENCE).await,
            Err(counted) => proxy = counted,
        }
        tokio::task::yield_now().await;
    }
}

fn backlog(config: &ProxyConfig) -> u32 {
    u32::try_from(config.settings.integer(Key::TcpBacklog)).unwrap_or(u32::MAX)
}
