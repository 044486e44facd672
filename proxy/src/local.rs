//! What the proxy answers itself: the state of the client's own connection, what is the same everywhere, and what
//! speaks of this proxy.

use slotway_cluster::Database;
use slotway_commands::{Id, describe, errors, help};
use slotway_config::Key;
use slotway_resp::{Version, write};

use crate::{
    client::{Identity, ReplyMode},
    dispatch::{Case, Next},
    transaction,
};

mod clients;
mod cluster;
pub(crate) mod config;
mod explain;
mod hello;
pub(crate) mod info;
pub(crate) mod latency;
pub(crate) mod pause;

/// Answers a request of the policies `Local` and `ClientState`.
pub(crate) fn run(case: &mut Case<'_>) -> Next {
    use Id as C;
    let version = case.client.version.get();
    let request = case.request;
    match case.command.id {
        C::Quit => {
            case.say(|out| write::simple(out, "OK"));
            return Next::Close;
        }
        C::Reset => reset(case),
        C::Auth => hello::auth(case),
        C::Hello => hello::hello(case),
        C::Select => select(case),
        C::Ping => ping(case),
        C::Echo => case.say(|out| write::bulk(out, request.word(1))),
        // Cluster clients say these; every slot is served here, by primaries.
        C::Readonly | C::Readwrite | C::Asking => case.say(|out| write::simple(out, "OK")),
        C::Time => time(case),
        C::Role => case.say(role),
        C::Command
        | C::CommandCount
        | C::CommandDocs
        | C::CommandGetkeys
        | C::CommandGetkeysandflags
        | C::CommandHelp
        | C::CommandInfo
        | C::CommandList => {
            let command = case.command;
            case.say(|out| describe::answer(command, request, describe::Scope::Served, version, out));
        }
        C::ClusterKeyslot
        | C::ClusterInfo
        | C::ClusterMyid
        | C::ClusterNodes
        | C::ClusterShards
        | C::ClusterSlots => cluster::run(case),
        C::ClientId
        | C::ClientInfo
        | C::ClientList
        | C::ClientKill
        | C::ClientGetname
        | C::ClientSetname
        | C::ClientSetinfo
        | C::ClientReply
        | C::ClientNoEvict
        | C::ClientNoTouch
        | C::ClientCaching
        | C::ClientGetredir
        | C::ClientTrackinginfo => clients::run(case),
        C::ClientPause => pause::pause(case),
        C::ClientUnpause => pause::unpause(case),
        C::ProxyExplain => explain::run(case),
        C::ClientHelp
        | C::ClusterHelp
        | C::ConfigHelp
        | C::LatencyHelp
        | C::MemoryHelp
        | C::ObjectHelp
        | C::ProxyHelp
        | C::SlowlogHelp => {
            let command = case.command;
            case.say(|out| help::answer(command, out));
        }
        _ => {
            let text = errors::unknown_command(request).text;
            case.refuse(&text);
        }
    }
    Next::Request
}

/// As INFO of a proxy says it.
fn role(out: &mut Vec<u8>) {
    write::array(out, 3);
    write::bulk(out, b"master");
    write::integer(out, 0);
    write::array(out, 0);
}

fn ping(case: &mut Case<'_>) {
    let request = case.request;
    match request.len() {
        1 => case.say(|out| write::simple(out, "PONG")),
        2 => case.say(|out| write::bulk(out, request.word(1))),
        _ => case.refuse(&errors::wrong_arity(case.command).text),
    }
}

fn select(case: &mut Case<'_>) {
    match database(case.request.word(1), case.thread.shared.databases) {
        Ok(database) => {
            case.client.database.set(database);
            case.say(|out| write::simple(out, "OK"));
        }
        Err(text) => case.refuse(text.as_bytes()),
    }
}

/// The database that SELECT's word names, one of so many, or the text of the error.
pub(crate) fn database(word: &[u8], databases: u8) -> Result<Database, &'static str> {
    let text = std::str::from_utf8(word).ok();
    let number = text.and_then(|text| text.parse::<i64>().ok()).ok_or(errors::NOT_INTEGER)?;
    match u8::try_from(number) {
        Ok(number) if number < databases => Ok(Database(number)),
        _ if databases == 1 => Err(errors::NO_SELECT_IN_CLUSTER),
        _ => Err(errors::DB_OUT_OF_RANGE),
    }
}

/// Back to the state of a new connection (RESET also ends CLIENT REPLY OFF, so it is heard).
fn reset(case: &mut Case<'_>) {
    let client = case.client;
    transaction::abandon(case.thread, client);
    client.database.set(Database::default());
    client.version.set(Version::default());
    client.authenticated.set(!case.thread.shared.needs_password());
    client.reply_mode.set(ReplyMode::On);
    client.no_evict.set(false);
    client.set_no_touch(false);
    let mut identity = client.identity.borrow_mut();
    *identity = Identity { name: Vec::new(), ..std::mem::take(&mut *identity) };
    drop(identity);
    case.heard = client.heard();
    case.say(|out| write::simple(out, "RESET"));
}

fn time(case: &mut Case<'_>) {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    case.say(|out| {
        write::array(out, 2);
        write::bulk(out, since.as_secs().to_string().as_bytes());
        write::bulk(out, since.subsec_micros().to_string().as_bytes());
    });
}

/// The password a client has to give; None: it needs none.
fn password(case: &Case<'_>) -> Option<String> {
    let settings = case.thread.settings();
    Some(settings.text(Key::Requirepass).to_owned()).filter(|password| !password.is_empty())
}
