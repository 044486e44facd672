//! `slotway ctl`: asks the admin API of a proxy and shows the answer, as a table for people or as it is for programs.
//!
//! Exit status: 0 done, 1 refused or failed (standard error says what to do next), 2 bad usage (clap).

use std::{io::Write, path::PathBuf, time::Duration};

use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;
use slotway_admin_api::client::{Answer, Client, ClientError};
use slotway_cluster::{
    jobs::JobsView,
    view::{ClusterView, ErrorBody, NodesView, ProxiesView, ShardsView, SlotsView},
};
use slotway_config::Secret;

use crate::table::Colour;

mod operate;

mod events;

mod recover;

mod show;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct CtlArgs {
    /// A proxy's admin address
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    admin: String,
    /// File that holds the bearer token, if the proxy wants one
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the body of the call as it is
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, clap::Subcommand)]
enum Order {
    #[command(flatten)]
    Ask(Question),
    /// Another primary for a shard, in order: nothing is lost
    Switchover(operate::SwitchoverArgs),
    /// Another primary for a shard whose present one does not answer
    Failover(operate::FailoverArgs),
    /// Give a shard another replica: a node that runs and holds nothing
    AddNode(operate::AddNodeArgs),
    /// Take a replica out of its shard; its process can be stopped afterwards
    RemoveNode(operate::RemoveNodeArgs),
    /// What happened lately
    Events(events::EventsArgs),
    /// Make a new control group of one proxy's directory, when most proxies are gone for good
    Recover(recover::RecoverArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
enum Question {
    /// The cluster in a few lines
    Status,
    /// Shards: state, primary, replicas, slots
    Shards,
    /// Storage nodes: role, health, keys, memory
    Nodes,
    /// Who holds which slots
    Slots,
    /// Proxies and their clients
    Proxies,
    /// Orders and what became of them
    Jobs,
}

impl Question {
    fn path(self) -> &'static str {
        match self {
            Question::Status => "/v1/cluster",
            Question::Shards => "/v1/shards",
            Question::Nodes => "/v1/nodes",
            Question::Slots => "/v1/slots",
            Question::Proxies => "/v1/proxies",
            Question::Jobs => "/v1/jobs",
        }
    }

    fn table(self, body: &[u8], colour: Colour) -> anyhow::Result<String> {
        Ok(match self {
            Question::Status => show::cluster(&read::<ClusterView>(body)?, colour),
            Question::Shards => show::shards(&read::<ShardsView>(body)?, colour),
            Question::Nodes => show::nodes(&read::<NodesView>(body)?, colour),
            Question::Slots => show::slots(&read::<SlotsView>(body)?, colour),
            Question::Proxies => show::proxies(&read::<ProxiesView>(body)?, colour),
            Question::Jobs => show::jobs(&read::<JobsView>(body)?, colour),
        })
    }
}

pub(crate) fn run(args: &CtlArgs) -> anyhow::Result<()> {
    let mut text = match &args.order {
        Order::Ask(question) => ask(args, *question)?,
        Order::Switchover(of) => {
            with_client(args, async |client| operate::switchover(client, of, args.json).await)?
        }
        Order::Failover(of) => {
            with_client(args, async |client| operate::failover(client, of, args.json).await)?
        }
        Order::AddNode(of) => {
            with_client(args, async |client| operate::add_node(client, of, args.json).await)?
        }
        Order::RemoveNode(of) => {
            with_client(args, async |client| operate::remove_node(client, of, args.json).await)?
        }
        Order::Events(of) => {
            return with_client(args, async |client| events::show(client, of, args.json).await);
        }
        Order::Recover(of) => recover::run(of, args.json)?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    print(&text)
}

/// Runs what needs the admin API to its end.
fn with_client<T>(args: &CtlArgs, deed: impl AsyncFnOnce(&Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let token = args
        .token_file
        .as_deref()
        .map(Secret::read)
        .transpose()
        .map_err(|why| anyhow!("--token-file {why}"))?;
    let client = Client::new(&args.admin, token.map(|token| token.reveal().trim().to_owned()), PATIENCE)
        .context("--admin cannot be used")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(deed(&client))
}

fn ask(args: &CtlArgs, question: Question) -> anyhow::Result<String> {
    let answer = with_client(args, async |client| client.get(question.path()).await.map_err(advise))?;
    if !answer.is_success() {
        bail!(refusal(&answer));
    }
    match args.json {
        true => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        false => question.table(&answer.body, Colour::of_stdout()),
    }
}

/// A reader that closes early (`ctl nodes | head -1`) has seen what it wanted.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write the answer"),
    }
}

fn read<V: DeserializeOwned>(body: &[u8]) -> anyhow::Result<V> {
    serde_json::from_slice(body).context(
        "the answer is not what this version of ctl expects; use the ctl of the proxy's version, or --json",
    )
}

/// What to do when there is no answer.
fn advise(error: ClientError) -> anyhow::Error {
    let advice = match &error {
        ClientError::Connect { .. } => {
            "is the proxy running? `slotway up` starts a cluster; --admin URL names another proxy's admin port"
        }
        ClientError::Timeout { .. } => {
            "the proxy may be overloaded, or the address another program's: try again"
        }
        ClientError::Broken { .. } => {
            "is this the admin port (default 8080), not the client port (default 6379)?"
        }
        ClientError::BadUrl(_) => "give --admin http://HOST:PORT",
    };
    anyhow!("{error}\n{advice}")
}

/// What the proxy said when it refused, with its hint.
fn refusal(answer: &Answer) -> String {
    match serde_json::from_slice::<ErrorBody>(&answer.body) {
        Ok(ErrorBody { error }) => match error.hint {
            Some(hint) => format!("{}\n{hint}", error.message),
            None => error.message,
        },
        Err(_) => format!(
            "HTTP status {} and no reason: is this the admin port of a Slotway proxy? --admin URL names another",
            answer.status
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_with_its_hint() {
        let body =
            br#"{"error":{"code":"unauthorized","message":"a token is needed","hint":"use --token-file",
            "field":null,"job":null}}"#;
        assert_eq!(
            refusal(&Answer { status: 401, location: None, body: body.to_vec() }),
            "a token is needed\nuse --token-file"
        );
        let strange = refusal(&Answer { status: 502, location: None, body: b"<html>".to_vec() });
        assert!(strange.starts_with("HTTP status 502 and no reason"), "{strange}");
    }

    #[test]
    fn an_answer_of_another_version_is_no_riddle() {
        let error = Question::Status.table(b"{}", Colour::Off).unwrap_err().to_string();
        assert!(error.contains("--json"), "{error}");
    }
}
