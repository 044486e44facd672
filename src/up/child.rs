//! One child process: its command line, its log, how it is started and asked whether it serves.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use slotway_config::{Key, UpConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use super::{
    identity,
    kept::Kept,
    plan::{NodePlan, Plan, ProxyPlan},
};
use crate::stop::PARENT_PIPE;

/// Where nodes listen: only proxies of this machine speak to them.
pub(super) const NODE_HOST: &str = "127.0.0.1";

/// How long a child may take to answer a PING.
const PING_PATIENCE: Duration = Duration::from_millis(500);

/// Bytes at the end of a log that are searched for its last lines.
const TAIL_BYTES: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Node,
    Proxy,
}

/// What is started, again and again if need be.
#[derive(Debug, Clone)]
pub(super) struct ChildProgram {
    /// `n1`, `p1`
    pub(super) id: String,
    pub(super) part: Part,
    executable: PathBuf,
    arguments: Vec<OsString>,
    /// What no command line may show.
    environment: Vec<(&'static str, String)>,
    /// Where it answers PING.
    host: String,
    port: u16,
    pub(super) log: PathBuf,
}

/// Every child of the plan, nodes first.
pub(super) fn programs(config: &UpConfig, plan: &Plan, kept: &Kept) -> anyhow::Result<Vec<ChildProgram>> {
    let executable = std::env::current_exe().context("cannot find out where this program lies")?;
    let nodes = plan.nodes.iter().map(|node| node_program(config, node, executable.clone()));
    let proxies = plan.proxies.iter().map(|proxy| {
        let join = kept.mates_of(proxy, plan).map(|mate| mate.control_port).collect::<Vec<_>>();
        proxy_program(config, proxy, &join, executable.clone())
    });
    Ok(nodes.chain(proxies).collect())
}

fn node_program(config: &UpConfig, node: &NodePlan, executable: PathBuf) -> ChildProgram {
    let mut arguments = Arguments::of("node");
    arguments.add("--bind", NODE_HOST);
    arguments.add("--port", node.port.to_string());
    arguments.add("--admin-port", node.admin_port.to_string());
    arguments.add("--pulse-port", node.pulse_port.to_string());
    arguments.add("--dir", super::child_dir(&config.dir, &node.id.0));
    arguments.add("--secret-file", identity::secret_path(&config.dir));
    arguments.add("--appendonly", if config.appendonly { "yes" } else { "no" });
    add_token_file(&mut arguments, config);
    arguments.add("--loglevel", config.settings.text(Key::Loglevel));
    ChildProgram {
        id: node.id.0.clone(),
        part: Part::Node,
        executable,
        arguments: arguments.0,
        environment: Vec::new(),
        host: NODE_HOST.into(),
        port: node.port,
        log: log_path(&config.dir, &node.id.0),
    }
}

/// `join`: control ports of those whom it asks for a place; none: it begins a group.
fn proxy_program(config: &UpConfig, proxy: &ProxyPlan, join: &[u16], executable: PathBuf) -> ChildProgram {
    let port_or_off = |port: Option<u16>| port.map_or("off".into(), |port| port.to_string());
    let mut arguments = Arguments::of("proxy");
    arguments.add("--bind", config.settings.text(Key::Bind));
    arguments.add("--port", proxy.port.to_string());
    arguments.add("--admin-port", port_or_off(proxy.admin_port));
    arguments.add("--sentinel-port", port_or_off(proxy.sentinel_port));
    arguments.add("--control-port", proxy.control_port.to_string());
    if !join.is_empty() {
        let host = super::host(config);
        let mates: Vec<String> = join.iter().map(|&port| super::report::address(&host, port)).collect();
        arguments.add("--join", mates.join(","));
    }
    arguments.add("--durability", config.settings.text(Key::Durability));
    arguments.add("--min-copies", config.settings.count(Key::MinCopies).to_string());
    arguments.add("--on-total-loss", config.settings.text(Key::OnTotalLoss));
    arguments.add("--busy-down-after-ms", config.settings.integer(Key::BusyDownAfterMs).to_string());
    arguments.add("--dir", super::child_dir(&config.dir, &proxy.id.0));
    arguments.add("--secret-file", identity::secret_path(&config.dir));
    add_token_file(&mut arguments, config);
    arguments.add("--protected-mode", if config.settings.flag(Key::ProtectedMode) { "yes" } else { "no" });
    arguments.add("--loglevel", config.settings.text(Key::Loglevel));
    let password = config.settings.text(Key::Requirepass).to_owned();
    let environment = [("SLOTWAY__PROXY__REQUIREPASS", password)];
    ChildProgram {
        id: proxy.id.0.clone(),
        part: Part::Proxy,
        executable,
        arguments: arguments.0,
        environment: environment.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        host: super::host(config),
        port: proxy.port,
        log: log_path(&config.dir, &proxy.id.0),
    }
}

fn add_token_file(arguments: &mut Arguments, config: &UpConfig) {
    if let Some(file) = &config.admin_token_file {
        arguments.add("--admin-token-file", file);
    }
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn of(subcommand: &str) -> Arguments {
        Arguments(vec![subcommand.into()])
    }

    fn add(&mut self, flag: &str, value: impl Into<OsString>) {
        self.0.push(flag.into());
        self.0.push(value.into());
    }
}

fn log_path(dir: &Path, id: &str) -> PathBuf {
    dir.join("logs").join(format!("{id}.log"))
}

impl ChildProgram {
    /// Starts the process. Its standard input is a pipe: closing it asks the child to stop (see [`crate::stop`]). It is
    /// the head of a process group of its own, so that Ctrl-C reaches `up` alone, which stops things in order.
    pub(super) fn spawn(&self) -> io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        Command::new(&self.executable)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .env(PARENT_PIPE, "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Whether it answers PING as a server that serves: one that wants a password does, one that loads does not.
    pub(super) async fn answers(&self) -> bool {
        let exchange = async {
            let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.write_all(b"PING\r\n").await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            Ok::<[u8; 5], io::Error>(answer)
        };
        let answer = tokio::time::timeout(PING_PATIENCE, exchange).await;
        matches!(answer, Ok(Ok(word)) if &word == b"+PONG" || &word == b"-NOAU")
    }

    /// The last lines of its log, for an error message.
    pub(super) fn last_words(&self, lines: usize) -> String {
        let text = tail(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].iter().map(|line| format!("  {line}\n")).collect()
    }
}

fn tail(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{super::plan::tests, *};

    fn line(program: &ChildProgram) -> String {
        program.arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn children_are_started_with_flags_that_anybody_could_type() {
        let flags = [("shards", "1"), ("replicas", "0"), ("dir", "/d")];
        let programs = programs(&tests::config(&flags), &tests::plan(&flags), &Kept::default()).unwrap();
        assert_eq!(
            line(&programs[0]),
            "node --bind 127.0.0.1 --port 7001 --admin-port 8001 --pulse-port 17001 --dir /d/n1 --secret-file /d/secret \
             --appendonly yes --loglevel notice"
        );
        assert_eq!(
            line(&programs[1]),
            "proxy --bind 127.0.0.1 --port 6379 --admin-port 8080 --sentinel-port 26379 --control-port 16379 \
             --durability quorum --min-copies 0 --on-total-loss newest --busy-down-after-ms 15000 --dir /d/p1 --secret-file /d/secret --protected-mode yes --loglevel notice"
        );
    }

    #[test]
    fn the_first_proxy_begins_the_group_and_the_others_ask_all_others_for_a_place() {
        let flags = [("shards", "1"), ("replicas", "0"), ("proxies", "3"), ("dir", "/d")];
        let programs = programs(&tests::config(&flags), &tests::plan(&flags), &Kept::default()).unwrap();
        let joins: Vec<_> = programs[1..]
            .iter()
            .map(|program| line(program).split_once("--join ").map(|(_, rest)| rest[..31].to_owned()))
            .collect();
        let mates = |one, other| Some(format!("127.0.0.1:{one},127.0.0.1:{other}"));
        assert_eq!(joins, [None, mates(16379, 16381), mates(16379, 16380)]);
    }

    #[test]
    fn a_password_is_on_no_command_line() {
        let flags = [("bind", "0.0.0.0"), ("requirepass", "s3cret")];
        let programs = programs(&tests::config(&flags), &tests::plan(&flags), &Kept::default()).unwrap();
        assert!(programs.iter().all(|program| !line(program).contains("s3cret")));
        let proxy = programs.last().unwrap();
        assert_eq!(proxy.environment, [("SLOTWAY__PROXY__REQUIREPASS", "s3cret".to_owned())]);
        assert_eq!(proxy.host, "127.0.0.1");
    }

    #[test]
    fn the_last_words_of_a_log_are_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let flags = [("dir", dir.path().to_str().unwrap())];
        let program =
            programs(&tests::config(&flags), &tests::plan(&flags), &Kept::default()).unwrap().remove(0);
        assert_eq!(program.last_words(2), "");
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::write(&program.log, format!("{}\none\ntwo\nthree\n", "x".repeat(5000))).unwrap();
        assert_eq!(program.last_words(2), "  two\n  three\n");
    }
}
