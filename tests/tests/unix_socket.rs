//! Clients that come through a Unix socket: to a node, to a proxy, and to a redis-server for comparison.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use slotway_tests::{
    cluster::{signal, slotway, wait_until},
    front::Front,
};

/// A server that is ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(command: &mut Command, socket: &Path) -> Server {
    let command = command.arg("--unixsocket").arg(socket).args(["--unixsocketperm", "700"]);
    let server = Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_until("it listens at its path", || cli(socket, &["PING"]) == "PONG");
    server
}

fn cli(socket: &Path, words: &[&str]) -> String {
    let Output { stdout, .. } = Command::new("redis-cli").arg("-s").arg(socket).args(words).output().unwrap();
    String::from_utf8(stdout).unwrap().trim_end().to_owned()
}

/// What a server says through its socket, its path written as PATH.
fn seen_through(socket: &Path) -> Vec<String> {
    let path = socket.display().to_string();
    let list = cli(socket, &["CLIENT", "LIST"]).replace(&path, "PATH");
    let ends = list.split(' ').filter(|field| field.starts_with("addr=") || field.starts_with("laddr="));
    let mut seen: Vec<String> = ends.map(str::to_owned).collect();
    seen.push(cli(socket, &["SET", "key", "value"]));
    seen.push(cli(socket, &["GET", "key"]));
    seen.push(cli(socket, &["CLIENT", "KILL", &format!("{path}:0")]));
    seen.push(format!("{:o}", std::fs::metadata(socket).unwrap().permissions().mode() & 0o777));
    seen
}

#[test]
fn a_client_on_a_unix_socket_sees_what_it_sees_at_redis() {
    let dir = tempfile::tempdir().unwrap();
    let socket = |name: &str| dir.path().join(name);
    let own_dir = |name: &str| {
        let own = dir.path().join(format!("{name}.d"));
        std::fs::create_dir(&own).unwrap();
        own
    };
    let mut redis = Command::new("redis-server");
    redis.args(["--port", "0", "--save", "", "--dir"]).arg(own_dir("redis"));
    let _redis = serve(&mut redis, &socket("redis"));
    let mut node = slotway();
    node.args(["node", "--port", "0", "--dir"]).arg(own_dir("node"));
    let node = serve(&mut node, &socket("node"));

    let expected = seen_through(&socket("redis"));
    assert_eq!(&expected[..2], ["addr=PATH:0", "laddr=PATH:0"]);
    assert_eq!(seen_through(&socket("node")), expected);
    assert_eq!(cli(&socket("node"), &["DEBUG", "JMAP"]), cli(&socket("redis"), &["DEBUG", "JMAP"]));

    signal("TERM", node.0.id());
    wait_until("a node that ends takes its socket's file away", || !socket("node").exists());
}

#[test]
fn a_proxy_listens_on_a_unix_socket_too() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("proxy.sock");
    let mut node = slotway();
    node.args(["node", "--port", "0", "--dir"]).arg(dir.path());
    let _node = serve(&mut node, &dir.path().join("node.sock"));
    let port = cli(&dir.path().join("node.sock"), &["CONFIG", "GET", "port"]).replace("port\n", "");
    let path = socket.display().to_string();
    let front =
        Front::of_servers(&format!("127.0.0.1:{port}"), &["--unixsocket", &path, "--unixsocketperm", "700"]);
    wait_until("it serves", || cli(&socket, &["PING"]) == "PONG");
    assert_eq!(
        seen_through(&socket),
        ["addr=PATH:0", "laddr=PATH:0", "OK", "value", "OK", "700"].map(str::to_owned)
    );
    assert!(cli(&socket, &["CLUSTER", "SLOTS"]).contains("127.0.0.1"));
    drop(front);
}
