//! `slotway up` as a user meets it: one command, a whole cluster, children that come back, nothing left behind.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Output,
};

use serde_json::Value;
use slotway_tests::cluster::{
    PATIENCE, UpCluster, ask, http_get, is_running, signal, slotway, up, wait_until,
};

/// Runs `up` to its end and returns what it said.
fn refused(dir: &std::path::Path, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = up(dir, flags);
    let Output { status, stderr, .. } =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn ctl(cluster: &UpCluster, words: &[&str]) -> (Option<i32>, String, String) {
    let admin = format!("http://127.0.0.1:{}", cluster.admin_port());
    let output = slotway().arg("ctl").args(["--admin", &admin]).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn one_command_starts_a_cluster_that_serves_every_slot() {
    let cluster = UpCluster::start(&["--shards", "3", "--replicas", "1", "--proxies", "2"]);
    let file = cluster.file().unwrap();
    assert_eq!((file["nodes"].as_array().unwrap().len(), file["proxies"].as_array().unwrap().len()), (6, 2));
    assert_eq!(file["pid"], cluster.pid());
    let pids: BTreeSet<u32> = cluster.children().into_iter().collect();
    assert_eq!(pids.len(), 8, "every child is a process of its own");

    let view = cluster.get_json("/v1/cluster");
    assert_eq!((&view["slots_assigned"], &view["cluster_id"]), (&Value::from(16384), &file["cluster_id"]));
    assert_eq!(cluster.get("/readyz").0, 200);
    for index in 0..2 {
        let port = cluster.port_of("proxies", index, "port");
        assert_eq!(ask(port, &format!("SET key:{index} value")).unwrap(), "+OK");
    }
    wait_until("every node was seen", || cluster.get_json("/v1/cluster")["state"] == "ok");
    let metrics = http_get(cluster.port_of("nodes", 0, "admin_port"), "/metrics");
    assert!(metrics.0 == 200 && metrics.1.contains("process_resident_memory_bytes"), "{metrics:?}");
    let said = fs::read_to_string(cluster.dir().join("up.log")).unwrap();
    assert!(said.contains("copies of shard 1") && said.contains("/metrics"), "{said}");
}

#[test]
fn keys_lie_on_the_node_that_the_admin_api_names() {
    let cluster = UpCluster::start(&["--shards", "2", "--replicas", "0"]);
    assert_eq!(ask(cluster.port(), "SET foo bar").unwrap(), "+OK");
    let place = cluster.get_json("/v1/keys/foo/slot");
    assert_eq!((&place["slot"], &place["node"]), (&Value::from(12182), &Value::from("n2")));
    let slot = cluster.get_json("/v1/slots/12182");
    assert_eq!((&slot["keys"], &slot["databases"]["0"]), (&Value::from(1), &Value::from(1)));
    let (own, other) = (cluster.port_of("nodes", 1, "port"), cluster.port_of("nodes", 0, "port"));
    assert_eq!(ask(own, "EXISTS foo").unwrap(), ":1");
    assert_eq!(ask(other, "EXISTS foo").unwrap(), format!("-MOVED 12182 127.0.0.1:{own}"));
}

#[test]
fn what_was_written_through_a_proxy_is_waited_for_on_every_shard() {
    let cluster = UpCluster::start(&["--shards", "2", "--replicas", "1"]);
    // Replicas may still be on their way to their primaries; a WAIT that asks for them waits for that, too.
    for number in 0..20 {
        assert_eq!(ask(cluster.port(), &format!("SET key:{number} value")).unwrap(), "+OK");
    }
    wait_until("every shard has a replica", || ask(cluster.port(), "WAIT 1 1000").unwrap() == ":1");
    assert_eq!(ask(cluster.port(), "SET key:0 other").unwrap(), "+OK");
    assert_eq!(ask(cluster.port(), "WAIT 1 1000").unwrap(), ":1");
    assert_eq!(ask(cluster.port(), "WAIT 2 50").unwrap(), ":1", "there is only one");
}

#[test]
fn a_killed_node_comes_back_as_another_process() {
    let mut cluster = UpCluster::start(&["--shards", "2", "--replicas", "0"]);
    for id in ["n1", "p1"] {
        let old = cluster.kill(id);
        let new = cluster.wait_for("it runs again", |file| {
            let row = UpCluster::row(file, id)?;
            let pid = row["pid"].as_u64().filter(|&pid| pid != u64::from(old))?;
            (row["state"] == "up" && file["ready"] == true).then_some(pid)
        });
        assert!(is_running(u32::try_from(new).unwrap()));
        assert_eq!(ask(cluster.port(), "SET {1}a value").unwrap(), "+OK");
    }
}

#[test]
fn with_no_restart_a_killed_node_stays_away_and_up_goes_on() {
    let mut cluster = UpCluster::start(&["--shards", "1", "--replicas", "1", "--no-restart"]);
    cluster.kill("n2");
    cluster.wait_for("the end is noted", |file| {
        let row = UpCluster::row(file, "n2")?;
        (row["state"] == "exited" && row["pid"].is_null()).then_some(())
    });
    cluster.wait_until_ready();
    assert_eq!(ask(cluster.port(), "PING").unwrap(), "+PONG");
}

#[test]
fn ctrl_c_stops_everything_and_the_same_directory_is_the_same_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let secret = || fs::read(dir.path().join("secret")).unwrap();
    let flags = ["--shards", "2", "--replicas", "0"];
    let mut first = UpCluster::start_in(dir.path(), &flags);
    let (id, kept) = (first.file().unwrap()["cluster_id"].clone(), secret());
    let children = first.children();
    assert_eq!(children.len(), 3);
    signal("INT", first.pid());
    assert_eq!(first.wait().code(), Some(0));
    assert!(!children.into_iter().any(is_running), "no child is left");
    let file = first.file().unwrap();
    assert_eq!((&file["ready"], &file["nodes"][0]["state"]), (&Value::from(false), &Value::from("exited")));

    let second = UpCluster::start_in(dir.path(), &flags);
    assert_eq!((second.file().unwrap()["cluster_id"].clone(), secret()), (id.clone(), kept));
    assert_eq!(second.get_json("/v1/cluster")["cluster_id"], id);
    assert_eq!(ask(second.port(), "SET a b").unwrap(), "+OK");
}

/// Everything a server answers.
fn ask_all(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{request}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Sum of the keys of all nodes with this role; None: one of them has not said, or is behind.
fn keys_of(cluster: &UpCluster, role: &str) -> Option<u64> {
    let nodes = cluster.get_json("/v1/nodes");
    let own = nodes["nodes"].as_array().unwrap().iter().filter(|node| node["role"] == role);
    own.map(|node| (role == "primary" || node["lag_bytes"] == 0).then(|| node["keys"].as_u64())?).sum()
}

#[test]
fn replicas_hold_what_was_written_and_a_stopped_cluster_comes_back_with_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--shards", "2", "--replicas", "1"];
    let first = UpCluster::start_in(dir.path(), &flags);
    for number in 0..200 {
        assert_eq!(ask(first.port(), &format!("SET key:{number} {number}")).unwrap(), "+OK");
    }
    wait_until("the replicas have all of it", || keys_of(&first, "replica") == Some(200));
    signal("INT", first.pid());
    let mut first = first;
    assert_eq!(first.wait().code(), Some(0));

    let second = UpCluster::start_in(dir.path(), &flags);
    for number in 0..200 {
        assert_eq!(
            ask(second.port(), &format!("GET key:{number}")).unwrap(),
            format!("${}", number.to_string().len())
        );
    }
    wait_until("the replicas have all of it again", || keys_of(&second, "replica") == Some(200));
}

#[test]
fn a_killed_primary_comes_back_with_its_data() {
    let cluster = UpCluster::start(&["--shards", "1", "--replicas", "1"]);
    assert_eq!(ask(cluster.port(), "SET key value").unwrap(), "+OK");
    let node = cluster.port_of("nodes", 0, "port");
    wait_until("it is in the file", || {
        let persistence = ask_all(node, "INFO persistence");
        persistence.contains("aof_enabled:1") && persistence.contains("aof_buffer_length:0")
    });
    cluster.kill("n1");
    assert_eq!(ask(cluster.port(), "STRLEN key").unwrap(), ":5", "held until it is back");
    wait_until("the replica has it too", || keys_of(&cluster, "replica") == Some(1));
}

#[test]
fn children_do_not_outlive_an_up_that_is_killed() {
    let mut cluster = UpCluster::start(&["--shards", "1", "--replicas", "0"]);
    let children = cluster.children();
    assert!(!children.is_empty() && children.iter().all(|&pid| is_running(pid)));
    signal("KILL", cluster.pid());
    cluster.wait();
    wait_until("no child is left", || !children.iter().any(|&pid| is_running(pid)));
}

#[test]
fn a_taken_port_is_named_with_its_flag_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for flag in ["--port", "--admin-port", "--node-port"] {
        let (code, said) =
            refused(dir.path(), &[flag, &port.to_string(), "--shards", "1", "--replicas", "0"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("port {port} ({flag}) is already in use")), "{said}");
    }
    assert!(!dir.path().join("up.json").exists(), "nothing was started");
}

#[test]
fn a_directory_in_use_and_another_number_of_shards_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--shards", "1", "--replicas", "0"];
    let cluster = UpCluster::start_in(dir.path(), &flags);
    let (code, said) = refused(dir.path(), &flags);
    assert!(code == Some(1) && said.contains("another `slotway up` runs on"), "{said}");
    assert_eq!(cluster.stop().code(), Some(0));
    let (code, said) = refused(dir.path(), &["--shards", "2"]);
    assert!(code == Some(1) && said.contains("--shards 1"), "{said}");
    let (code, said) = refused(dir.path(), &["--shards", "none"]);
    assert!(code == Some(2) && said.contains("--shards"), "{said}");
}

#[test]
fn ctl_shows_the_cluster_as_tables_and_as_json() {
    let cluster = UpCluster::start(&["--shards", "2", "--replicas", "1"]);
    wait_until("every node was seen", || cluster.get_json("/v1/cluster")["state"] == "ok");
    let (code, status, _) = ctl(&cluster, &["status"]);
    assert_eq!(code, Some(0));
    assert!(status.starts_with("state       ok\n"), "{status}");
    for (question, titles, rows) in
        [("shards", "SHARD", 2), ("nodes", "NODE", 4), ("slots", "SLOTS", 2), ("proxies", "PROXY", 1)]
    {
        let (code, table, said) = ctl(&cluster, &[question]);
        assert_eq!(code, Some(0), "{said}");
        assert!(table.starts_with(titles) && table.lines().count() == rows + 1, "{table}");
        assert!(!table.contains('\u{1b}'), "no colours outside a terminal");
        let (_, json, _) = ctl(&cluster, &["--json", question]);
        assert!(serde_json::from_str::<Value>(&json).unwrap().is_object(), "{json}");
    }
    let (code, _, _) = ctl(&cluster, &["nonsense"]);
    assert_eq!(code, Some(2));
}

#[test]
fn a_token_guards_the_admin_api_of_every_process() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "s3cret\n").unwrap();
    let token = token.to_str().unwrap();
    let cluster =
        UpCluster::start_in(dir.path(), &["--shards", "1", "--replicas", "0", "--admin-token-file", token]);
    assert_eq!((cluster.get("/v1/cluster").0, cluster.get("/metrics").0), (401, 401));
    assert_eq!(http_get(cluster.port_of("nodes", 0, "admin_port"), "/metrics").0, 401);
    assert_eq!(cluster.get("/readyz").0, 200);
    let (code, _, said) = ctl(&cluster, &["status"]);
    assert!(code == Some(1) && said.contains("--token-file"), "{said}");
    assert_eq!(ctl(&cluster, &["--token-file", token, "status"]).0, Some(0));
}

#[test]
fn ctl_says_what_to_do_when_nobody_answers() {
    // Bound and never accepted from would be silent; this one refuses.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = slotway().args(["ctl", "--admin", &format!("http://{free}"), "status"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("cannot reach") && said.contains("slotway up"), "{said}");
}

#[test]
fn a_redis_conf_becomes_the_settings_of_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let (conf, toml) = (dir.path().join("redis.conf"), dir.path().join("node.toml"));
    let convert = |text: &str| {
        fs::write(&conf, text).unwrap();
        slotway().args(["check-config", "--from-redis"]).arg(&conf).output().unwrap()
    };
    let whole = convert("port 7000\nmaxmemory 64mb\n");
    assert!(whole.status.success() && whole.stderr.is_empty(), "{whole:?}");
    fs::write(&toml, &whole.stdout).unwrap();
    let checked = slotway().arg("check-config").arg(&toml).output().unwrap();
    let report = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && report.contains("maxmemory = 67108864"), "{report}");
    let part = convert("port 7000\nrename-command FLUSHALL x\n");
    let told = String::from_utf8(part.stderr).unwrap();
    assert_eq!(part.status.code(), Some(1));
    assert!(told.contains("redis.conf:2: rename-command: commands cannot be renamed"), "{told}");
    assert!(String::from_utf8(part.stdout).unwrap().contains("port = 7000"));
    let both = slotway().args(["check-config", "x", "--from-redis", "y"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}
