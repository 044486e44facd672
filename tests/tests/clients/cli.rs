//! redis-cli, without `-c`: what an operator types and pipes.

use std::collections::BTreeSet;

use slotway_tests::cluster::UpCluster;

use super::run::{Said, program, run};

/// Enough keys that every shard has many.
const KEYS: usize = 10_000;

struct Cli {
    cluster: UpCluster,
}

impl Cli {
    fn start() -> Cli {
        Cli { cluster: UpCluster::start(&["--shards", "3", "--replicas", "0"]) }
    }

    fn ask(&self, words: &[&str], input: &str) -> Said {
        let mut command = program("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &self.cluster.port().to_string()]).args(words);
        run(&mut command, input.as_bytes())
    }

    /// What a command prints, which must succeed.
    fn says(&self, words: &[&str]) -> String {
        self.ask(words, "").success()
    }

    /// `KEYS` strings, sent as the RESP bytes that `redis-cli --pipe` takes.
    fn fill(&self) -> BTreeSet<String> {
        let keys: BTreeSet<String> = (0..KEYS).map(|number| format!("pipe:{number}")).collect();
        let requests: String = keys
            .iter()
            .map(|key| format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$1\r\nx\r\n", key.len()))
            .collect();
        let said = self.ask(&["--pipe"], &requests).success();
        assert!(said.contains(&format!("errors: 0, replies: {KEYS}")), "{said}");
        keys
    }
}

#[test]
fn redis_cli_reads_and_writes_on_every_shard() {
    let cli = Cli::start();
    for number in 0..20 {
        let (key, value) = (format!("key:{number}"), format!("value {number}"));
        assert_eq!(cli.says(&["SET", &key, &value]), "OK\n");
        assert_eq!(cli.says(&["GET", &key]), format!("{value}\n"));
        assert_eq!(cli.says(&["-c", "GET", &key]), format!("{value}\n"), "-c does no harm");
    }
    assert_eq!(cli.says(&["DBSIZE"]), "20\n");
}

#[test]
fn redis_cli_speaks_both_protocols() {
    let cli = Cli::start();
    assert_eq!(cli.says(&["HSET", "h", "field", "value"]), "1\n");
    assert_eq!(cli.says(&["-3", "--no-raw", "HGETALL", "h"]), "1# \"field\" => \"value\"\n");
    assert_eq!(cli.says(&["-2", "--no-raw", "HGETALL", "h"]), "1) \"field\"\n2) \"value\"\n");
    assert_eq!(cli.says(&["-3", "--no-raw", "GET", "none"]), "(nil)\n");
    assert_eq!(cli.says(&["--json", "HGETALL", "h"]), "{\"field\":\"value\"}\n");
    assert_eq!(cli.says(&["--csv", "HGETALL", "h"]), "\"field\",\"value\"\n");
}

#[test]
fn redis_cli_reads_commands_and_values_from_standard_input() {
    let cli = Cli::start();
    let said = cli.ask(&[], "SET a 1\nINCR a\nSELECT 2\nGET a\nPING\n").success();
    assert_eq!(said, "OK\n2\nOK\n\nPONG\n");
    assert_eq!(cli.ask(&["-x", "SET", "from input"], "some text").success(), "OK\n");
    assert_eq!(cli.says(&["GET", "from input"]), "some text\n");
    assert_eq!(cli.says(&["-r", "3", "INCR", "a"]), "3\n4\n5\n");
}

#[test]
fn redis_cli_names_databases_users_and_urls() {
    let cli = Cli::start();
    assert_eq!(cli.says(&["-n", "3", "SET", "who", "three"]), "OK\n");
    assert_eq!(cli.says(&["GET", "who"]), "\n");
    let url = format!("redis://127.0.0.1:{}/3", cli.cluster.port());
    assert_eq!(cli.says(&["-u", &url, "GET", "who"]), "three\n");
    assert_eq!(cli.says(&["--no-auth-warning", "--user", "default", "--pass", "any", "PING"]), "PONG\n");
}

#[test]
fn redis_cli_pipes_in_and_scans_out_every_key() {
    let cli = Cli::start();
    let keys = cli.fill();
    assert_eq!(cli.says(&["DBSIZE"]), format!("{KEYS}\n"));
    for pattern in ["*", "pipe:*"] {
        let said = cli.says(&["--scan", "--pattern", pattern]);
        let found: Vec<&str> = said.lines().collect();
        assert_eq!(found.len(), KEYS, "{pattern}: no key twice");
        assert_eq!(found.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), keys, "{pattern}");
    }
    assert_eq!(cli.says(&["--scan", "--pattern", "pipe:77*"]).lines().count(), 111);
    assert_eq!(cli.says(&["FLUSHALL"]), "OK\n");
    assert_eq!(cli.says(&["--scan"]), "");
}

#[test]
fn redis_cli_finds_the_biggest_keys() {
    let cli = Cli::start();
    cli.fill();
    cli.says(&["HSET", "the hash", "a", "1", "b", "2"]);
    cli.says(&["SET", "the string", "longer than all the others"]);
    let said = cli.says(&["--bigkeys"]);
    assert!(said.contains(&format!("Sampled {} keys", KEYS + 2)), "{said}");
    assert!(said.contains("hash found '\"the hash\"' has 2 fields"), "{said}");
    assert!(said.contains("string found '\"the string\"' has 26 bytes"), "{said}");
}

#[test]
fn redis_cli_shows_errors_as_redis_does_and_goes_on() {
    let cli = Cli::start();
    let said = cli.ask(&["-e", "NOSUCH", "a"], "");
    assert!(!said.status.success(), "-e makes an error the exit status");
    assert_eq!(said.text.trim_end(), "ERR unknown command 'NOSUCH', with args beginning with: 'a'");
    let said = cli.ask(&[], "SET s x\nHGET s f\nINCR s\nGET\nGET s\n").success();
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let wanted = [
        "OK",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR value is not an integer or out of range",
        "ERR wrong number of arguments for 'get' command",
        "x",
    ];
    assert_eq!(lines, wanted);
}
