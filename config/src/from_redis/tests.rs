//! A redis.conf is read as redis-server reads it, and what is made of it loads again.

use super::*;
use crate::{Mistakes, NodeConfig};

fn read_text(text: &str) -> Result<FromRedis, Mistakes> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("redis.conf");
    std::fs::write(&path, text.replace("DIR", &dir.path().display().to_string())).unwrap();
    std::fs::write(dir.path().join("more.conf"), "timeout 30\n").unwrap();
    from_redis(&path)
}

fn refused(conf: &FromRedis) -> Vec<String> {
    conf.refused.iter().map(|mistake| format!("{}: {}", mistake.key, mistake.text)).collect()
}

#[test]
fn words_are_cut_as_redis_cuts_them() {
    let cut = |line| words(line).map(|words| words.join("|"));
    assert_eq!(cut("save 900 1").as_deref(), Some("save|900|1"));
    assert_eq!(cut(r#"requirepass "a b\"c\x41\n""#).as_deref(), Some("requirepass|a b\"cA\n"));
    assert_eq!(cut(r"dir '/a b\'c\n'").as_deref(), Some(r"dir|/a b'c\n"));
    assert_eq!(cut(r#"save """#).as_deref(), Some("save|"));
    assert_eq!(cut(r#"dir a"b c""#).as_deref(), Some("dir|ab c"));
    for open in [r#"dir "a"#, "dir 'a", r#"dir "a"b"#, r#"dir "a\"#] {
        assert_eq!(cut(open), None, "{open}");
    }
}

#[test]
fn what_is_made_of_a_file_loads_and_means_the_same() {
    let text = "# comment\ndir DIR\nport 7777\nMaxMemory 100mb\nmaxmemory-policy allkeys-lru\nrequirepass \"a \\\"b\\\"\"\nsave 60 5\nsave 10 7\n\
        client-output-buffer-limit normal 10mb 1mb 5\nclient-output-buffer-limit pubsub 1mb 1mb 5\nslave-read-only no\nactiverehashing no\n\
        include DIR/more.conf\nreplicaof no one\nport 7778\ndaemonize no\n";
    let conf = read_text(text).unwrap();
    assert_eq!(refused(&conf), [""; 0]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, conf.to_string()).unwrap();
    let loaded = NodeConfig::load(Some(&path), std::iter::empty(), Vec::new()).unwrap().settings;
    assert_eq!(loaded, conf.settings, "{conf}");
    let shown = |key| loaded.show(key);
    assert_eq!((loaded.port(Key::Port), shown(Key::Requirepass).as_str()), (7778, "a \"b\""));
    assert_eq!((shown(Key::Save).as_str(), shown(Key::Timeout).as_str()), ("60 5 10 7", "30"));
    let limits = "normal 10485760 1048576 5 slave 268435456 67108864 60 pubsub 1048576 1048576 5";
    assert_eq!(shown(Key::ClientOutputBufferLimit), limits);
    assert!(conf.to_string().contains("activerehashing = false  # no effect"), "{conf}");
}

#[test]
fn an_empty_save_takes_back_what_stood_before() {
    assert_eq!(read_text("save 60 5\nsave \"\"\n").unwrap().settings.show(Key::Save), "");
    assert_eq!(read_text("save 60 5\nsave \"\"\nsave 3 4").unwrap().settings.show(Key::Save), "3 4");
}

#[test]
fn every_line_that_is_not_taken_over_is_told_with_its_place() {
    let text = "loadmodule /x.so\nrename-command FLUSHALL \"\"\nuser a on\ndaemonize yes\nnonsense 1\nport many\nport\ntls-port 6380\n\
        threads 4\n";
    let conf = read_text(text).unwrap();
    let lines: Vec<String> = conf.refused.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 9, "{lines:#?}");
    assert!(lines[0].ends_with("redis.conf:1: loadmodule: modules are not supported"), "{}", lines[0]);
    assert_eq!(refused(&conf)[4], "nonsense: there is no such setting");
    assert_eq!(refused(&conf)[5], "port: argument couldn't be parsed into an integer");
    assert_eq!(
        refused(&conf)[8],
        "threads: there is no such setting",
        "a proxy's setting is none of Redis's"
    );
    let toml = conf.to_string();
    assert_eq!(toml.lines().filter(|line| line.starts_with("#   ")).count(), 9, "{toml}");
}

#[test]
fn files_that_cannot_be_read_are_told_all_at_once() {
    let wrong = read_text("port \"1\nport 7\ninclude DIR/none.conf\ninclude a b\ninclude DIR/redis.conf\n");
    let text = wrong.unwrap_err().to_string();
    assert!(text.contains("redis.conf:1: unbalanced quotes"), "{text}");
    assert!(text.contains("none.conf: cannot be read"), "{text}");
    assert!(text.contains("redis.conf:4: include: wants one file"), "{text}");
    assert!(text.contains("too deeply"), "{text}");
    assert!(from_redis(Path::new("/nowhere/redis.conf")).is_err());
}
