//! File, environment and flags: what wins, what is understood, and that every mistake is told with its place.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::path::{Path, PathBuf};

use slotway_config::sources::command_line;
use slotway_config::{
    Address, BackendKind, Durability, Key, Mistakes, NodeConfig, Place, Program, ProxyConfig, Settings,
    UpConfig, Upstream, check_config, check_exposure,
};

struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.toml");
    std::fs::write(&path, text).unwrap();
    File { _dir: dir, path }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn node(toml: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<NodeConfig, Mistakes> {
    NodeConfig::load(Some(&file(toml).path), pairs(environment).into_iter(), pairs(flags))
}

fn proxy(toml: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<ProxyConfig, Mistakes> {
    ProxyConfig::load(Some(&file(toml).path), pairs(environment).into_iter(), pairs(flags))
}

fn up(flags: &[(&str, &str)]) -> Result<UpConfig, Mistakes> {
    UpConfig::load(None, std::iter::empty(), pairs(flags))
}

fn words(line: &[&str]) -> Result<Vec<(String, String)>, Mistakes> {
    command_line(line.iter().map(|word| (*word).to_owned())).map(|line| line.flags)
}

/// The mistakes as lines, with the directory of the file cut off.
fn lines(mistakes: &Mistakes) -> Vec<String> {
    let short = |line: &str| match line.split_once("test.toml") {
        Some((_, rest)) => format!("test.toml{rest}"),
        None => line.to_owned(),
    };
    mistakes.to_string().lines().map(short).collect()
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let toml = "[node]\nport = 1\n[redis]\nhz = 11\ntimeout = 1\nlfu-log-factor = 1\n";
    let environment =
        [("SLOTWAY__REDIS__HZ", "12"), ("SLOTWAY__REDIS__TIMEOUT", "2"), ("HOME", "/home/someone")];
    let node = node(toml, &environment, &[("timeout", "3")]).unwrap();
    assert_eq!(node.port, 1);
    assert_eq!(node.settings.integer(Key::LfuLogFactor), 1);
    assert_eq!(node.settings.integer(Key::Hz), 12);
    assert_eq!(node.settings.integer(Key::Timeout), 3);
    assert_eq!(node.settings.integer(Key::TcpKeepalive), 300);
}

#[test]
fn a_program_starts_without_any_settings() {
    let node = NodeConfig::load(None, std::iter::empty(), Vec::new()).unwrap();
    assert_eq!((node.port, node.admin_port, node.announce), (6379, None, None));
    assert_eq!(node.bind.len(), 1);
    assert!(node.bind[0].is_loopback() && node.dir.is_absolute());
    let proxy = ProxyConfig::load(None, std::iter::empty(), Vec::new()).unwrap();
    assert_eq!((proxy.upstream, proxy.kind), (Upstream::Topology, BackendKind::Auto));
    assert!((1..=8).contains(&proxy.threads));
    let up = up(&[]).unwrap();
    assert_eq!(
        (up.port, up.admin_port, up.sentinel_port, up.node_port),
        (6379, Some(8080), Some(26379), 7001)
    );
    assert_eq!((up.shards, up.replicas, up.proxies, up.nodes()), (3, 1, 1, 6));
    assert_eq!((up.durability, up.appendonly, up.restart), (Durability::Quorum, true, true));
}

#[test]
fn every_mistake_is_reported_with_its_file_and_line_variable_or_flag() {
    let toml = "\
[node]
port = \"x\"
prot = 7
backends = \"a:1\"

[redis]
maxmemory = true
maxmemory-polcy = \"allkeys-lru\"
maxmemory-policy = \"lru\"
hz = 11
HZ = 12
admin-port = 3
requirepass = 1234

[nodes]
x = 1
[proxy]
y = 1
";
    let environment = [
        ("SLOTWAY__REDIS__DATABASES", "0"),
        ("SLOTWAY__REDIS__NOTHING_LIKE_IT", "1"),
        ("SLOTWAY__RADIS__HZ", "1"),
        ("SLOTWAY__HZ", "1"),
    ];
    let flags = [("timeout", "-1"), ("thread", "1"), ("threads", "1"), ("announce", "nowhere")];
    let mistakes = node(toml, &environment, &flags).unwrap_err();
    let expected = [
        "test.toml:2: node.port: argument couldn't be parsed into an integer (it is \"x\")",
        "test.toml:3: node.prot: there is no such setting; did you mean port?",
        "test.toml:4: node.backends: a setting of slotway proxy, not of slotway node",
        "test.toml:7: redis.maxmemory: expected a number, or a size in quotes, found true or false",
        "test.toml:8: redis.maxmemory-polcy: there is no such setting; did you mean maxmemory-policy?",
        "test.toml:9: redis.maxmemory-policy: argument(s) must be one of the following: volatile-lru, volatile-lfu, \
         volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction (it is \"lru\")",
        "test.toml:11: redis.HZ: the same setting is given as redis.hz too",
        "test.toml:12: redis.admin-port: admin-port belongs in [node]",
        "test.toml:13: redis.requirepass: expected a text in quotes, found a number",
        "test.toml:15: nodes: there is no such section; did you mean [node]?",
        "test.toml:17: proxy: a section of slotway proxy, not of slotway node",
        "SLOTWAY__HZ: a setting is written SLOTWAY__SECTION__NAME",
        "SLOTWAY__RADIS__HZ: there is no section radis; there are NODE, LIMITS, REDIS",
        "SLOTWAY__REDIS__DATABASES: argument must be between 1 and 2147483647 inclusive (it is \"0\")",
        "SLOTWAY__REDIS__NOTHING_LIKE_IT: there is no such setting",
        "--announce: 'nowhere' is not host:port",
        "--thread: there is no such setting",
        "--threads: a setting of slotway proxy, not of slotway node",
        "--timeout: argument must be between 0 and 2147483647 inclusive (it is \"-1\")",
    ];
    let mut found = lines(&mistakes);
    let from_file = found.iter().take_while(|line| line.starts_with("test.toml")).count();
    found[from_file..].sort_by_key(|line| (line.starts_with("--"), line.clone()));
    assert_eq!(found, expected);
}

#[test]
fn errors_of_toml_itself_name_their_lines_and_hide_no_other_mistake() {
    let mistakes = node("[node]\nport = = 1\n[redis]\nhz = \"x\"\nbad line\n", &[], &[]).unwrap_err();
    let places: Vec<_> = mistakes
        .0
        .iter()
        .map(|mistake| match &mistake.place {
            Place::File { line, .. } => *line,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(places.is_sorted() && [2, 4, 5].iter().all(|line| places.contains(line)), "{mistakes}");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_beside_the_others() {
    let mistakes = NodeConfig::load(
        Some(Path::new("no/such.toml")),
        pairs(&[("SLOTWAY__REDIS__HZ", "x")]).into_iter(),
        Vec::new(),
    );
    let text = mistakes.unwrap_err().to_string();
    assert!(text.starts_with("no/such.toml: cannot be read: "), "{text}");
    assert!(text.contains("\nSLOTWAY__REDIS__HZ: "), "{text}");
}

#[test]
fn a_password_is_taken_as_it_is_and_never_printed() {
    for password in ["a,b", "a b", "#hash", "a__b", "--dashes", "=", "\"quoted\"", "é ", "{}"] {
        let from_variable = node("", &[("SLOTWAY__NODE__REQUIREPASS", password)], &[]).unwrap();
        let from_flag = node("", &[], &[("requirepass", password)]).unwrap();
        let from_file = node(&format!("[node]\nrequirepass = '{password}'\n"), &[], &[]).unwrap();
        let from_words = words(&[&format!("--requirepass={password}")]).unwrap();
        for config in [&from_variable, &from_flag, &from_file] {
            assert_eq!(config.settings.text(Key::Requirepass), password);
            let printed = format!("{:?}", config.settings);
            assert!(
                printed.contains("requirepass") && !printed.contains(&format!("\"{password}\"")),
                "{printed}"
            );
        }
        assert_eq!(from_words, pairs(&[("requirepass", password)]));
    }
}

#[test]
fn a_password_file_loses_one_line_end_and_nothing_else() {
    let secrets = file("unused");
    for (content, password) in [("p#, w\n", "p#, w"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a ")] {
        let path = secrets.path.with_file_name("password");
        std::fs::write(&path, content).unwrap();
        let flags = [("node-password-file", path.to_str().unwrap()), ("node-user", "u")];
        let proxy = proxy("", &[], &flags).unwrap();
        let secret = proxy.node_password.unwrap();
        assert_eq!(secret.reveal(), password);
        assert!(!format!("{secret:?}").contains(password));
    }
}

#[test]
fn a_secret_file_that_is_missing_or_empty_is_a_mistake() {
    let empty = file("");
    let missing = proxy("", &[], &[("node-password-file", "/no/such/file")]).unwrap_err().to_string();
    assert!(missing.starts_with("--node-password-file: /no/such/file: "), "{missing}");
    let toml = "[node]\nsecret-file = \"test.toml.missing\"\n";
    let beside = node(toml, &[], &[]).unwrap_err().to_string();
    assert!(beside.contains("test.toml:2: node.secret-file: /"), "a path counts from the file: {beside}");
    let empty = node("", &[], &[("secret-file", empty.path.to_str().unwrap())]).unwrap_err().to_string();
    assert!(empty.ends_with("the file is empty"), "{empty}");
}

#[test]
fn variables_of_other_programs_are_none_of_its_business() {
    let environment = [
        ("SLOTWAY__PROXY__THREADS", "x"),
        ("SLOTWAY__UP__SHARDS", "x"),
        ("SLOTWAY__LIMITS__HOLD_MS_MAX", "x"),
        ("SLOTWAY_OTHER", "x"),
    ];
    assert!(node("", &environment, &[]).is_ok());
}

#[test]
fn a_redis_setting_may_stand_at_home_or_under_redis() {
    let home = node("[limits]\nmaxclients = 5\n[node]\nport = 0\n", &[], &[]).unwrap();
    let redis = node("[redis]\nmaxclients = 5\nport = 0\n", &[], &[]).unwrap();
    assert_eq!(home.settings, redis.settings);
    assert_eq!(home.settings.integer(Key::Maxclients), 5);
}

#[test]
fn toml_types_that_read_well_are_understood() {
    let toml = r#"
[node]
bind = ["127.0.0.1", "::1"]
protected-mode = false
admin-port = 0
[limits]
client-output-buffer-limit = ["normal 1gb 0 0", "pubsub 1mb 1kb 5"]
[redis]
save = [[3600, 1], [60, 10]]
maxmemory = 0x1000
maxmemory-clients = "5%"
latency-tracking-info-percentiles = [50, 99.9]
slave-priority = 7
hash-max-ziplist-entries = 1_000
tls-auth-clients = false
"#;
    let settings = node(toml, &[], &[]).unwrap().settings;
    assert_eq!(settings.show(Key::Bind), "127.0.0.1 ::1");
    assert_eq!(settings.port_or_off(Key::AdminPort), Some(0));
    assert_eq!(settings.show(Key::Save), "3600 1 60 10");
    assert_eq!(settings.bytes(Key::Maxmemory), 4096);
    assert_eq!(settings.show(Key::MaxmemoryClients), "5%");
    assert_eq!(settings.show(Key::LatencyTrackingInfoPercentiles), "50 99.9");
    assert_eq!(settings.integer(Key::ReplicaPriority), 7);
    assert_eq!(settings.integer(Key::HashMaxListpackEntries), 1000);
    assert_eq!(settings.text(Key::TlsAuthClients), "no");
    let limits = settings.output_limits();
    assert_eq!((limits.normal.hard_bytes, limits.pubsub.soft_seconds), (1 << 30, 5));
    assert_eq!(limits.replica.hard_bytes, 256 << 20, "a class that is not named keeps its limits");
}

#[test]
fn the_command_line_takes_words_as_redis_server_does() {
    let line = ["--port", "7001", "--save", "3600", "1", "300", "100", "--bind", "127.0.0.1", "::1"];
    let expected = [("port", "7001"), ("save", "3600 1 300 100"), ("bind", "127.0.0.1 ::1")];
    assert_eq!(words(&line).unwrap(), pairs(&expected));
    let line =
        ["--save", "", "--list-max-listpack-size", "-3", "--requirepass", "a b", "--appendonly", "--dir=a=b"];
    let expected = [
        ("save", ""),
        ("list-max-listpack-size", "-3"),
        ("requirepass", "a b"),
        ("appendonly", "yes"),
        ("dir", "a=b"),
    ];
    assert_eq!(words(&line).unwrap(), pairs(&expected));
    let config = command_line(["--config", "x.toml"].map(str::to_owned)).unwrap().config;
    assert_eq!(config, Some(PathBuf::from("x.toml")));
}

#[test]
fn the_command_line_reports_every_misplaced_word() {
    let mistakes = words(&["stray", "--port", "--dir", "a", "b", "--hz", "5"]).unwrap_err();
    let expected = [
        "\"stray\" belongs to no --name",
        "--port: its value is missing",
        "--dir: takes one value, not 2: put quotes around it",
    ];
    assert_eq!(lines(&mistakes), expected);
}

#[test]
fn a_flag_given_again_wins_but_save_points_collect() {
    let flags = words(&["--hz", "11", "--save", "900", "1", "--hz", "12", "--save", "60", "1000"]).unwrap();
    let config = NodeConfig::load(None, std::iter::empty(), flags).unwrap();
    assert_eq!(config.settings.integer(Key::Hz), 12);
    assert_eq!(config.settings.show(Key::Save), "900 1 60 1000");
}

#[test]
fn a_wide_bind_needs_a_password_or_protected_mode_off() {
    let refused = node("[node]\nbind = \"127.0.0.1 *\"\n", &[], &[]).unwrap_err();
    let expected = "test.toml:2: node.bind: other machines can reach 0.0.0.0 and no password is set: set one \
                    (--requirepass), listen only on this machine (--bind 127.0.0.1), or allow it (--protected-mode no)";
    assert_eq!(lines(&refused), [expected]);
    for flags in [
        [("bind", "0.0.0.0"), ("requirepass", "x")],
        [("bind", "::"), ("protected-mode", "no")],
        [("bind", "127.0.0.1 ::1 localhost 127.0.0.2"), ("requirepass", "")],
    ] {
        assert!(node("", &[], &flags).is_ok(), "{flags:?}");
        assert!(proxy("", &[], &flags).is_ok(), "{flags:?}");
        assert!(up(&flags).is_ok(), "{flags:?}");
    }
    for bind in ["10.0.0.1", "-::*", "example.org", "-0.0.0.0"] {
        let flags = [("bind", bind)];
        assert!(
            node("", &[], &flags).is_err() && proxy("", &[], &flags).is_err() && up(&flags).is_err(),
            "{bind}"
        );
    }
    assert!(node("", &[], &[("bind", "")]).is_err(), "nothing to listen on");
    assert_eq!(check_exposure(&Settings::node_defaults()), Ok(()));
}

#[test]
fn a_proxy_knows_what_it_stands_in_front_of() {
    let address = |host: &str, port| Address { host: host.to_owned(), port };
    let one = proxy("", &[], &[("backends", "127.0.0.1:7001, [::1]:7002")]).unwrap();
    assert_eq!(one.upstream, Upstream::Backends(vec![address("127.0.0.1", 7001), address("::1", 7002)]));
    assert_eq!(one.settings.show(Key::Backends), "127.0.0.1:7001,[::1]:7002");
    let array = proxy("[proxy]\nbackends = [\"a:1\", \"b:2\"]\nkind = \"redis\"\n", &[], &[]).unwrap();
    assert_eq!(array.upstream, Upstream::Backends(vec![address("a", 1), address("b", 2)]));
    assert_eq!(array.kind, BackendKind::Redis);
    let cluster = proxy("", &[], &[("cluster", "a:1")]).unwrap();
    assert_eq!(cluster.upstream, Upstream::Cluster(vec![address("a", 1)]));
    for (flags, text) in [
        (vec![("backends", "a:1"), ("cluster", "a:1")], "--cluster: give backends or cluster, not both"),
        (vec![("backends", "a:1,b:1,a:1")], "--backends: a:1 is named twice"),
        (vec![("backends", "a")], "--backends: 'a' is not host:port (it is \"a\")"),
        (
            vec![("backends", "::1:1")],
            "--backends: '::1:1': write an IPv6 address in brackets (it is \"::1:1\")",
        ),
        (vec![("backends", "a:99999")], "--backends: 'a:99999' is not host:port (it is \"a:99999\")"),
        (
            vec![("backends", "a:1"), ("kind", "cluster")],
            "--kind: name the nodes of a cluster with cluster, not with backends",
        ),
        (vec![("kind", "cluster")], "--kind: name some nodes of the cluster with cluster"),
        (
            vec![("cluster", "a:1"), ("kind", "redis")],
            "--kind: the nodes behind cluster are of kind cluster; name others with backends",
        ),
        (vec![("node-user", "u")], "--node-user: a user needs a password: give node-password-file too"),
        (
            vec![("reconnect-backoff-ms-min", "3000")],
            "--reconnect-backoff-ms-min: reconnect-backoff-ms-min (3000) is above reconnect-backoff-ms-max (2000)",
        ),
    ] {
        assert_eq!(lines(&proxy("", &[], &flags).unwrap_err()), [text]);
    }
}

#[test]
fn up_refuses_ports_that_collide_or_do_not_exist() {
    for (flags, text) in [
        (vec![("port", "60000")], "--port: the proxies' control ports would need port 70000, above 65535"),
        (
            vec![("node-port", "60000")],
            "--node-port: the nodes' pulse ports would need port 70005, above 65535",
        ),
        (vec![("node-port", "5378")], "--node-port: proxies and the nodes' admin ports both want port 6379"),
        (
            vec![("proxies", "20"), ("admin-port", "6390")],
            "--admin-port: proxies and the proxies' admin ports both want port 6390",
        ),
    ] {
        assert_eq!(lines(&up(&flags).unwrap_err()), [text]);
    }
    assert!(up(&[("port", "0"), ("admin-port", "0"), ("sentinel-port", "0"), ("node-port", "0")]).is_ok());
    assert!(up(&[("admin-port", "off"), ("no-restart", "")]).is_ok_and(|up| !up.restart));
}

#[test]
fn a_pulse_port_follows_from_the_port_for_nodes_that_have_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "among us\n").unwrap();
    let secret = ("secret-file", secret.to_str().unwrap());
    let check = |flags: &[(&str, &str)], expected: Result<Option<u16>, &str>| {
        let loaded = node("", &[], flags).map(|node| node.pulse_port);
        assert_eq!(loaded.map_err(|mistakes| lines(&mistakes).join(" ")), expected.map_err(String::from));
    };
    check(&[], Ok(None));
    check(&[secret, ("port", "7001")], Ok(Some(17001)));
    check(&[secret, ("port", "0")], Ok(Some(0)));
    check(&[secret, ("port", "7001"), ("pulse-port", "0")], Ok(Some(0)));
    check(&[secret, ("port", "60000"), ("pulse-port", "7000")], Ok(Some(7000)));
    check(&[secret, ("pulse-port", "off")], Ok(None));
    check(&[("port", "60000")], Ok(None));
    let above = "--port: pulse-port would be 70000, above 65535: give --pulse-port";
    check(&[secret, ("port", "60000")], Err(above));
    let alone = "--pulse-port: without secret-file nobody can prove to be a member";
    check(&[("pulse-port", "7000")], Err(alone));
}

#[test]
fn fresh_settings_are_adopted_as_far_as_a_running_program_can() {
    let mut running = Settings::node_defaults();
    let fresh = node("", &[], &[("hz", "20"), ("port", "1"), ("maxclients", "5")]).unwrap().settings;
    let adopted = running.adopt(&fresh);
    assert_eq!(adopted.changed, [Key::Hz, Key::Maxclients]);
    assert_eq!(adopted.need_restart, [Key::Dir, Key::Port]);
    assert_eq!((running.integer(Key::Hz), running.integer(Key::Port)), (20, 6379));
}

#[test]
fn the_proxy_answers_only_for_its_own_settings() {
    let mut proxy = Settings::proxy_defaults();
    assert!(proxy.owns("MAXCLIENTS") && proxy.owns("hold-ms-max") && !proxy.owns("maxmemory"));
    assert_eq!(proxy.get("maxmemory"), None);
    assert_eq!(proxy.set(&[("hold-ms-max", "10")]), Ok(vec![Key::HoldMsMax]));
    assert_eq!(proxy.set(&[("hold-ms-max", "10")]), Ok(vec![]), "the same value again changes nothing");
    let refused = proxy.set(&[("maxmemory", "1")]).unwrap_err().to_string();
    assert_eq!(refused, "ERR Unknown option or number of arguments for CONFIG SET - 'maxmemory'");
    assert!(proxy.matching(|name| name.starts_with("max")).map(|(name, _)| name).eq(["maxclients"]));
}

#[test]
fn check_config_tells_for_whom_a_file_is_and_what_it_changes() {
    let good = file("[proxy]\nport = 7000\nrequirepass = \"hush\"\n[limits]\nhold-ms-max = 1\n");
    let report = check_config(&good.path).unwrap();
    assert_eq!(report.program, Program::Proxy);
    let text = report.to_string();
    assert!(text.contains("settings of slotway proxy, no mistakes"), "{text}");
    assert!(text.contains("\n  port = 7000") && text.contains("\n  hold-ms-max = 1"), "{text}");
    assert!(text.contains("\n  requirepass = (not shown)") && !text.contains("hush"), "{text}");
    for (toml, fault) in [
        (
            "[redis]\nhz = 1\n",
            "test.toml: says of no program what it is: begin it with [node], [proxy] or [up]",
        ),
        ("[node]\n[proxy]\n", "test.toml: holds sections of several programs: make a file for each"),
        (
            "[node]\nport = 70000\n",
            "test.toml:2: node.port: argument must be between 0 and 65535 inclusive (it is \"70000\")",
        ),
    ] {
        assert_eq!(lines(&check_config(&file(toml).path).unwrap_err()), [fault]);
    }
}
