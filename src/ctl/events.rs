//! `slotway ctl events [--follow]`: what happened, one line each; with `--json` one object each.
//!
//! Following asks for what is new behind the last number seen, so that it goes on by itself after the proxy was away.

use std::{io::Write, time::Duration};

use slotway_admin_api::client::Client;
use slotway_cluster::events::{Event, EventId, EventsView};

use super::{advise, read, refusal};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(300);

/// Events that are shown of the past.
const SHOWN: usize = 100;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct EventsArgs {
    /// Go on with what happens from now on
    #[arg(long)]
    follow: bool,
}

pub(super) async fn show(client: &Client, args: &EventsArgs, json: bool) -> anyhow::Result<()> {
    let mut since = None;
    loop {
        match (ask(client, since).await, since) {
            (Ok(view), _) => {
                if print(&view.events, json)? == Reader::Gone {
                    return Ok(());
                }
                since = Some(view.last_id);
            }
            (Err(error), None) => return Err(error),
            // It answered before: it may come back.
            (Err(_), Some(_)) => {}
        }
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(client: &Client, since: Option<EventId>) -> anyhow::Result<EventsView> {
    let since = since.map_or_else(String::new, |since| format!("&since={}", since.0));
    let answer = client.get(&format!("/v1/events?format=json&limit={SHOWN}{since}")).await.map_err(advise)?;
    if !answer.is_success() {
        anyhow::bail!(refusal(&answer));
    }
    read(&answer.body)
}

/// Who reads what is printed.
#[derive(Debug, PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

fn print(events: &[Event], json: bool) -> anyhow::Result<Reader> {
    let mut text = String::new();
    for event in events {
        text += &if json { serde_json::to_string(event)? } else { line(event) };
        text.push('\n');
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error.into()),
    }
}

/// Time of day in UTC, kind, shard, text.
fn line(event: &Event) -> String {
    let (ms, seconds) = (event.time_ms % 1000, event.time_ms / 1000);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let shard = event.shard.map_or_else(|| "-".to_owned(), |shard| format!("shard-{shard}"));
    format!("{h:02}:{m:02}:{s:02}.{ms:03}Z  {:<19}  {shard:<8}  {}", event.kind.name(), event.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = r#"{"id":"7","time_ms":1732280400123,"type":"failover.started","shard":1,"node":"n1","epoch":2,
            "migration":null,"text":"epoch 2 ends: n1 is gone"}"#;
        let event: Event = serde_json::from_str(event).unwrap();
        assert_eq!(line(&event), "13:00:00.123Z  failover.started     shard-1   epoch 2 ends: n1 is gone");
    }
}
