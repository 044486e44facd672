//! `slotway up`: a whole cluster by one command, every node and proxy a process of its own.
//!
//! In order: read the settings, lay claim to the data directory, see what an earlier start left there ([`kept`]), plan who listens where ([`plan`]), make sure that the
//! ports are free ([`ports`]), write secret and topology ([`identity`]), start the children and keep them running
//! ([`supervisor`], each as [`child`] says), note every change in `DIR/up.json` ([`board`]), and once every slot is
//! served print who is where ([`report`]).
//!
//! Children are told to stop by closing a pipe that they were given, so none outlives `up`, however it ends.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use slotway_admin_api::client::Client;
use slotway_cluster::Topology;
use slotway_config::{Bind, Key, Program, UpConfig};

use crate::{
    flags::{self, Given},
    log, proxy,
    stop::{Asked, Signals, Why},
    table::Colour,
};

mod plan;

mod ports;

mod identity;

mod kept;

mod child;

mod board;

mod supervisor;

mod report;

use board::Board;
use kept::Kept;
use plan::Plan;
use supervisor::Supervisor;

/// How often it is asked whether every slot is served: until so, and afterwards.
const READY_CHECK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// How long a proxy may take to say whether it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(1);

/// After this long without being ready, what is missing is said, and again each time.
const PATIENCE_SPEAKS: Duration = Duration::from_secs(10);

/// The flags of `slotway up`.
#[derive(Debug)]
pub(crate) struct UpArgs(Given);

impl Args for UpArgs {
    fn augment_args(command: Command) -> Command {
        flags::augment(command, Program::Up)
    }

    fn augment_args_for_update(command: Command) -> Command {
        UpArgs::augment_args(command)
    }
}

impl FromArgMatches for UpArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(UpArgs(flags::given(matches, Program::Up)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = flags::given(matches, Program::Up);
        Ok(())
    }
}

/// Runs a cluster until told to stop.
pub(crate) fn run(args: &UpArgs) -> anyhow::Result<()> {
    let config = UpConfig::load(args.0.config.as_deref(), std::env::vars(), args.0.flags.clone())?;
    log::start(config.settings.text(Key::Loglevel));
    let dir = config.dir.as_path();
    let _claim = identity::claim(dir)?;
    let previous = identity::previous(dir)?;
    let node_bind = [Bind { host: child::NODE_HOST.into(), optional: false }];
    let kept = Kept::read(dir);
    let mut free = ports::FreePorts::default();
    let plan = Plan::new(&config, |id, what| free.take(kept.port(id, what), &config.bind, &node_bind))?;
    kept.judge(&plan)?;
    ports::check(&plan.claims(), &config.bind, &node_bind)?;
    let topology = identity::form(previous.as_ref(), identity::random_cluster_id()?, &plan, &host(&config))?;
    identity::write(dir, &topology, &plan)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(oversee(&config, &plan, &topology, &kept))
}

async fn oversee(config: &UpConfig, plan: &Plan, topology: &Topology, kept: &Kept) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let board = Arc::new(Board::new(&config.dir, &topology.cluster_id, plan));
    board.write().with_context(|| format!("cannot write {}", board.path().display()))?;
    let programs = child::programs(config, plan, kept)?;
    let mut supervisor = Supervisor::start(programs, &board, config.restart);
    let outcome = tokio::select! {
        failed = supervisor.failed() => Err(failed),
        asked = stop_asked(&mut signals) => Ok(asked),
        never = watch_readiness(config, plan, topology, &board) => match never {},
    };
    if let Ok(why) = &outcome {
        tracing::info!(%why, "stopping: proxies first, then nodes");
    }
    // A second Ctrl-C does not wait: what still runs is killed as the supervisor is dropped.
    tokio::select! {
        () = supervisor.stop() => {}
        _ = stop_asked(&mut signals) => tracing::warn!("told to stop twice: killing what still runs"),
    }
    outcome.map(drop)
}

async fn stop_asked(signals: &mut Signals) -> Why {
    loop {
        if let Asked::Stop(why) = signals.next().await {
            return why;
        }
    }
}

/// Keeps `ready` in up.json true to life, and prints the table the first time it is.
async fn watch_readiness(
    config: &UpConfig,
    plan: &Plan,
    topology: &Topology,
    board: &Board,
) -> std::convert::Infallible {
    let (mut printed, mut silent_since) = (false, tokio::time::Instant::now());
    loop {
        let ready = board.all_needed_are_up(topology) && proxies_are_ready(config, plan).await;
        board.set_ready(ready);
        if ready && !printed {
            print(&report::table(config, plan, topology, &board.snapshot(), Colour::of_stdout()));
            printed = true;
        }
        if ready {
            silent_since = tokio::time::Instant::now();
        } else if silent_since.elapsed() >= PATIENCE_SPEAKS {
            tracing::warn!(missing = %board.missing(), "not every slot is served");
            silent_since = tokio::time::Instant::now();
        }
        tokio::time::sleep(if ready { READY_CHECK.1 } else { READY_CHECK.0 }).await;
    }
}

/// Every proxy says that every slot is served. Without admin ports nobody can be asked: that all run must do.
async fn proxies_are_ready(config: &UpConfig, plan: &Plan) -> bool {
    for proxy in &plan.proxies {
        let Some(port) = proxy.admin_port else { continue };
        let url = format!("http://{}", report::address(&host(config), port));
        let Ok(client) = Client::new(&url, None, READY_PATIENCE) else { return false };
        if !client.get("/readyz").await.is_ok_and(|answer| answer.is_success()) {
            return false;
        }
    }
    true
}

/// The host by which this machine reaches the proxies.
fn host(config: &UpConfig) -> String {
    proxy::reachable_host(&config.bind)
}

/// A terminal that is gone does not stop a cluster.
fn print(text: &str) {
    let mut stdout = std::io::stdout();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() && !stdout.is_terminal() {
        tracing::debug!("nobody reads standard output");
    }
}

/// The directory of one child, made if it is missing.
fn child_dir(dir: &Path, id: &str) -> std::path::PathBuf {
    dir.join(id)
}
