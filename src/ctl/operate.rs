//! `slotway ctl switchover | failover | add-node | remove-node`: an order becomes a job, and `ctl` waits for its end unless told to `--detach`.
//!
//! The order carries an `Idempotency-Key` drawn once: when the answer is lost, because the leader changed or a connection broke, the same
//! order is sent again and no second one begins.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use slotway_admin_api::client::{Answer, Client, Request};
use slotway_cluster::{
    NodeId,
    jobs::{Job, JobKind, JobState},
};

use super::{advise, read, refusal};

/// How long an order may take before `ctl` gives up; the job's own end is earlier.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two attempts while the leader is changing.
const AGAIN: Duration = Duration::from_millis(300);

/// What an answer waits for the job's end.
const WAIT_SECONDS: u64 = 3;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct SwitchoverArgs {
    /// Number of the shard
    shard: u32,
    /// The replica that shall lead; left out: whichever holds most
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// Print the job and do not wait for its end
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct FailoverArgs {
    /// Number of the shard
    shard: u32,
    /// Promote whoever holds most even if acknowledged writes may be lost by it
    #[arg(long)]
    accept_data_loss: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print the job and do not wait for its end
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct AddNodeArgs {
    /// Where the node listens for clients
    #[arg(value_name = "ADDR")]
    addr: String,
    /// Number of the shard
    #[arg(long, value_name = "ID")]
    shard: u32,
    /// Print the job and do not wait for its end
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(super) struct RemoveNodeArgs {
    /// Name of the node
    node: String,
    /// Print the job and do not wait for its end
    #[arg(long)]
    detach: bool,
}

/// The call that an order is.
struct Call {
    method: &'static str,
    path: String,
    body: String,
    detach: bool,
}

pub(super) async fn switchover(client: &Client, args: &SwitchoverArgs, json: bool) -> anyhow::Result<String> {
    let path = format!("/v1/shards/{}/switchover", args.shard);
    let body = serde_json::json!({ "to": args.to }).to_string();
    run(client, Call { method: "POST", path, body, detach: args.detach }, json).await
}

pub(super) async fn failover(client: &Client, args: &FailoverArgs, json: bool) -> anyhow::Result<String> {
    if args.accept_data_loss && !args.yes {
        ask_first()?;
    }
    let path = format!("/v1/shards/{}/failover", args.shard);
    let body = serde_json::json!({ "to": null, "accept_data_loss": args.accept_data_loss }).to_string();
    run(client, Call { method: "POST", path, body, detach: args.detach }, json).await
}

pub(super) async fn add_node(client: &Client, args: &AddNodeArgs, json: bool) -> anyhow::Result<String> {
    let body = serde_json::json!({ "addr": args.addr, "shard": args.shard }).to_string();
    run(client, Call { method: "POST", path: "/v1/nodes".into(), body, detach: args.detach }, json).await
}

pub(super) async fn remove_node(
    client: &Client,
    args: &RemoveNodeArgs,
    json: bool,
) -> anyhow::Result<String> {
    // A name with a slash in it would be another path.
    if args.node.is_empty() || !args.node.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        bail!("{:?} is no name of a node: slotway ctl nodes shows them", args.node);
    }
    let path = format!("/v1/nodes/{}", args.node);
    run(client, Call { method: "DELETE", path, body: String::new(), detach: args.detach }, json).await
}

fn ask_first() -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("acknowledged writes may be lost: say --yes if that is accepted");
    }
    print!("Acknowledged writes of this shard may be lost. Type yes to go on: ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() != "yes" {
        bail!("nothing was done");
    }
    Ok(())
}

async fn run(client: &Client, call: Call, json: bool) -> anyhow::Result<String> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let headers = [
        ("idempotency-key", format!("ctl-{}-{}", std::process::id(), since.as_nanos())),
        ("content-type", "application/json".to_owned()),
    ];
    let wait = if call.detach { 0 } else { WAIT_SECONDS };
    let path = format!("{}?wait={wait}", call.path);
    let request = Request { method: call.method, path: &path, headers: &headers, body: call.body.as_bytes() };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.send(&request).await.map_err(advise)?;
        if answer.status == 503 && Instant::now() + AGAIN < deadline {
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        if !answer.is_success() {
            bail!(refusal(&answer));
        }
        let job: Job = read(&answer.body)?;
        // Asking again with the same key is asking how the job goes.
        if call.detach || job.has_ended() || Instant::now() >= deadline {
            return told(&job, &answer, json);
        }
    }
}

fn told(job: &Job, answer: &Answer, json: bool) -> anyhow::Result<String> {
    if json && job.state != JobState::Failed {
        return Ok(String::from_utf8_lossy(&answer.body).into_owned());
    }
    match (job.state, &job.error) {
        (JobState::Failed, why) => bail!("job {}: {}", job.id, why.as_deref().unwrap_or("failed")),
        (JobState::Running, _) => {
            Ok(format!("job {} is running: slotway ctl jobs shows how it goes", job.id))
        }
        (JobState::Done, _) => Ok(done(job)),
    }
}

fn done(job: &Job) -> String {
    let shard = job.shard.map_or_else(String::new, |shard| format!(" of shard {shard}"));
    let name = |node: &Option<NodeId>| node.as_ref().map_or_else(String::new, ToString::to_string);
    let what = match job.kind {
        JobKind::AddNode => return format!("{} is a replica{shard}, and holds everything", name(&job.to)),
        JobKind::RemoveNode => return format!("{} belongs to the cluster no more", name(&job.from)),
        JobKind::Switchover | JobKind::Failover => job.kind.name(),
    };
    let to = job.to.as_ref().map_or_else(String::new, |node| format!(": {node} leads"));
    let epoch = job.epoch.map_or_else(String::new, |epoch| format!(" in epoch {epoch}"));
    let pause = job.pause_ms.map_or_else(String::new, |pause| format!(", {pause} ms without a primary"));
    format!("{what}{shard} done{to}{epoch}{pause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: &str, error: &str) -> Job {
        let text = format!(
            r#"{{"id":"j1","kind":"switchover","shard":2,"state":"{state}","from":"n1","to":"n4","epoch":3,"pause_ms":12,
            "migrations":[],"created_ms":1,"ended_ms":null,"error":{error}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_end_of_a_job_is_one_line_and_a_failed_one_an_error() {
        let answer = Answer { status: 200, location: None, body: b"{}".to_vec() };
        let line = told(&job("done", "null"), &answer, false).unwrap();
        assert_eq!(line, "switchover of shard 2 done: n4 leads in epoch 3, 12 ms without a primary");
        let error = told(&job("failed", "\"n1 does not stop\""), &answer, true).unwrap_err();
        assert_eq!(error.to_string(), "job j1: n1 does not stop");
        assert_eq!(told(&job("done", "null"), &answer, true).unwrap(), "{}");
        assert!(told(&job("running", "null"), &answer, false).unwrap().contains("slotway ctl jobs"));
    }
}
