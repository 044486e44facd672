//! `slotway node`: settings, the node and its admin port, started in this order and stopped in reverse.
//!
//! The node brings its own threads. Signals and HTTP run on this one, which never touches the path of a request.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use slotway_admin_api::{Access, Api, NodeSources, Server, Token};
use slotway_config::{Key, NodeConfig, Program};
use slotway_node::{Cause, Running};

use crate::{
    flags::{self, Given},
    log,
    stop::{Asked, Signals, Why},
};

/// How long HTTP answers under way may take.
const ADMIN_PATIENCE: Duration = Duration::from_secs(2);

/// The flags of `slotway node`.
#[derive(Debug)]
pub(crate) struct NodeArgs(Given);

impl Args for NodeArgs {
    fn augment_args(command: Command) -> Command {
        flags::augment(command, Program::Node)
    }

    fn augment_args_for_update(command: Command) -> Command {
        NodeArgs::augment_args(command)
    }
}

impl FromArgMatches for NodeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(NodeArgs(flags::given(matches, Program::Node)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = flags::given(matches, Program::Node);
        Ok(())
    }
}

impl NodeArgs {
    fn load(&self) -> Result<NodeConfig, slotway_config::Mistakes> {
        NodeConfig::load(self.0.config.as_deref(), std::env::vars(), self.0.flags.clone())
    }
}

/// Runs until told to stop, by a signal or by a client's SHUTDOWN.
pub(crate) fn run(args: &NodeArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    log::start(config.settings.text(Key::Loglevel));
    std::fs::create_dir_all(&config.dir).with_context(|| format!("cannot make {}", config.dir.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime of signals and HTTP")?;
    runtime.block_on(serve(args, config))
}

async fn serve(args: &NodeArgs, config: NodeConfig) -> anyhow::Result<()> {
    // Before anything is started: a signal that comes early must not kill half a start.
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let admin_sockets = bind_admin(&config)?;
    let body_bytes_max = usize::try_from(config.settings.bytes(Key::AdminBodyBytesMax)).unwrap_or(usize::MAX);
    let token = config.admin_token.as_ref().and_then(|token| Token::new(token.reveal()));
    let running = slotway_node::start(config)?;
    let admin = match admin_sockets {
        Some(listening) => {
            let sources = NodeSources { ready: Arc::new(running.readiness()), registry: running.registry() };
            let api = Api::of_node(sources, Access { token, body_bytes_max });
            tracing::info!(port = listening.port, "metrics and health on HTTP");
            Some(Server::start(listening.sockets, api).context("cannot start the admin port")?)
        }
        None => None,
    };
    wait_for_end(args, &running, &mut signals).await;
    if let Some(admin) = admin {
        admin.stop(ADMIN_PATIENCE).await;
    }
    running.join()?;
    Ok(())
}

fn bind_admin(config: &NodeConfig) -> anyhow::Result<Option<slotway_link::Listening>> {
    let Some(port) = config.admin_port else { return Ok(None) };
    let backlog = u32::try_from(config.settings.count(Key::TcpBacklog)).unwrap_or(u32::MAX);
    Ok(Some(slotway_link::bind(&config.bind, port, "--admin-port", backlog)?))
}

async fn wait_for_end(args: &NodeArgs, running: &Running, signals: &mut Signals) {
    let mut log_level = running.log_level();
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Reload => reload(args, running).await,
                // A node that cannot save what it has goes on, and may be asked again.
                Asked::Stop(why) => {
                    tracing::info!(%why, "stopping");
                    running.stop(cause(why));
                }
            },
            Ok(()) = log_level.changed() => log::set_level(&log_level.borrow_and_update()),
            () = running.ended() => return,
        }
    }
}

/// What `shutdown-on-sigterm` and `shutdown-on-sigint` tell apart.
fn cause(why: Why) -> Cause {
    match why {
        Why::Interrupt => Cause::Interrupt,
        Why::Terminate | Why::ParentEnded => Cause::Terminate,
    }
}

/// SIGHUP: what is wrong with the settings changes nothing.
async fn reload(args: &NodeArgs, running: &Running) {
    match args.load() {
        Ok(fresh) => running.adopt(fresh.settings).await,
        Err(mistakes) => tracing::error!(%mistakes, "SIGHUP: the settings stay as they were"),
    }
}
