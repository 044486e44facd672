//! INFO, CONFIG, COMMAND, TIME, DEBUG: what a node says of itself.

use slotway_commands::info::SECTIONS;
use slotway_resp::Frame;

use crate::support::{TestNode, bulk, error, ok, text, wait_until};

/// Fields that a lone node that persists nothing does not report: most because Redis would not, some because they
/// measure how Redis works inside.
const ABSENT: &[&str] = &[
    "aof_base_size",
    "aof_buffer_length",
    "aof_current_size",
    "aof_delayed_fsync",
    "aof_pending_bio_fsync",
    "aof_pending_rewrite",
    "eventloop_cycles",
    "eventloop_duration_cmd_sum",
    "eventloop_duration_sum",
    "expire_cycle_cpu_milliseconds",
    "expired_stale_perc",
    "expired_time_cap_reached_count",
    "instantaneous_eventloop_cycles_per_sec",
    "instantaneous_eventloop_duration_usec",
    "loading_eta_seconds",
    "loading_loaded_bytes",
    "loading_loaded_perc",
    "loading_rdb_used_mem",
    "loading_start_time",
    "loading_total_bytes",
    "master_host",
    "master_last_io_seconds_ago",
    "master_link_down_since_seconds",
    "master_link_status",
    "master_port",
    "master_sync_in_progress",
    "min_slaves_good_slaves",
    "replica_announced",
    "shutdown_in_milliseconds",
    "slave_priority",
    "slave_read_only",
    "slave_read_repl_offset",
    "slave_repl_offset",
    // Of proxies, and of members of a shard.
    "slotway_topology_version",
    "slotway_pulse_port",
    "slotway_incarnation",
    "slotway_held_requests",
    "slotway_part",
    "slotway_epoch",
    "slotway_epoch_seen",
    "slotway_position",
    "slotway_lease_ms_left",
];

fn field<'t>(info: &'t str, name: &str) -> &'t str {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {info}"))
}

#[test]
fn info_has_every_field_of_the_table_or_a_reason() {
    let node = TestNode::start(&[]);
    let info = text(&node.client().say("INFO everything"));
    for section in SECTIONS {
        assert!(info.contains(&format!("# {}\r\n", section.title)), "{}", section.title);
        for row in section.fields.iter().filter(|row| !row.is_pattern()) {
            let present = info.contains(&format!("\r\n{}:", row.name));
            assert_eq!(present, !ABSENT.contains(&row.name), "{}", row.name);
        }
    }
}

#[test]
fn info_counts_what_happens() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.say("SET a 1");
    client.say("GET a");
    client.say("GET b");
    client.say("NONSENSE");
    client.say("INCR");
    client.call(&["SET", "c", "1", "PX", "100000"]);
    let info = text(&client.say("INFO everything"));
    let check = |name: &str, value: &str| assert_eq!(field(&info, name), value, "{name}");
    check("redis_version", "7.2.0");
    check("slotway_version", env!("CARGO_PKG_VERSION"));
    check("redis_mode", "standalone");
    check("role", "master");
    check("loading", "0");
    check("tcp_port", &node.port.to_string());
    check("connected_clients", "1");
    check("keyspace_hits", "1");
    check("keyspace_misses", "1");
    check("total_commands_processed", "5");
    check("total_error_replies", "2");
    check("errorstat_ERR", "count=2");
    let get = field(&info, "cmdstat_get");
    assert!(get.starts_with("calls=2,usec=") && get.ends_with(",rejected_calls=0,failed_calls=0"), "{get}");
    check("cmdstat_incr", "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0");
    let get = field(&info, "latency_percentiles_usec_get");
    assert!(get.starts_with("p50=") && get.contains(",p99=") && get.contains(",p99.9="), "{get}");
    check("rdb_changes_since_last_save", "2");
    assert!(field(&info, "db0").starts_with("keys=2,expires=1,avg_ttl="), "{}", field(&info, "db0"));
    assert_eq!(text(&client.say("INFO keyspace")).lines().count(), 2);
    assert_eq!(client.say("CONFIG RESETSTAT"), ok());
    let info = text(&client.say("INFO stats"));
    assert_eq!(field(&info, "keyspace_hits"), "0");
    assert_eq!(field(&info, "total_commands_processed"), "1");
}

#[test]
fn config_reads_and_changes_settings_while_the_node_runs() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    let pair = |name: &str, value: &str| Frame::Array(vec![bulk(name), bulk(value)]);
    assert_eq!(client.say("CONFIG GET maxclients"), pair("maxclients", "10000"));
    assert_eq!(client.say("CONFIG GET MAXCLIENT?"), pair("maxclients", "10000"));
    assert_eq!(client.say("CONFIG GET nothing"), Frame::Array(vec![]));
    assert_eq!(client.say("CONFIG SET hash-max-listpack-entries 3 timeout 100"), ok());
    assert_eq!(client.say("CONFIG GET timeout"), pair("timeout", "100"));
    client.say("HSET small a 1 b 2 c 3");
    client.say("HSET large a 1 b 2 c 3 d 4");
    assert_eq!(client.say("OBJECT ENCODING small"), bulk("listpack"));
    assert_eq!(client.say("OBJECT ENCODING large"), bulk("hashtable"));
    assert_eq!(client.say("CONFIG SET list-max-listpack-size 2"), ok());
    client.say("RPUSH list a b c");
    assert_eq!(client.say("OBJECT ENCODING list"), bulk("quicklist"));
    assert_eq!(client.say("LPOP list 2"), Frame::Array(vec![bulk("a"), bulk("b")]));
    assert_eq!(client.say("OBJECT ENCODING list"), bulk("listpack"), "one of two is half of it");
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'";
    assert_eq!(client.say("CONFIG SET nonsense 1"), error(unknown));
    assert!(text(&client.say("CONFIG SET port 1")).contains("can't set immutable config"));
    assert!(text(&client.say("CONFIG SET timeout x")).starts_with("ERR CONFIG SET failed"));
    assert_eq!(client.say("CONFIG SET a 1 b"), error("ERR syntax error"));
    let too_many = text(&client.say("CONFIG SET maxclients 4000000000"));
    assert!(too_many.contains("not able to handle the specified number of clients, try with"), "{too_many}");
    assert_eq!(client.say("CONFIG GET maxclients"), pair("maxclients", "10000"));
    client.say("HELLO 3");
    assert_eq!(client.say("CONFIG GET timeout"), Frame::Map(vec![(bulk("timeout"), bulk("100"))]));
}

#[test]
fn expired_keys_are_deleted_without_being_asked_for() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    for number in 0..1000 {
        client.call(&["SET", &format!("k{number}"), "v", "PX", "1"]);
    }
    wait_until("all keys are gone", || client.say("DBSIZE") == Frame::Integer(0));
    assert_eq!(field(&text(&client.say("INFO stats")), "expired_keys"), "1000");
    wait_until("the metric says so", || node.metric("redis_expired_keys_total") == 1000.0);
}

#[test]
fn debug_is_for_those_who_enabled_it() {
    let node = TestNode::start(&[]);
    assert!(text(&node.client().say("DEBUG SLEEP 0")).starts_with("ERR DEBUG command not allowed."));
    let node = TestNode::start(&[("enable-debug-command", "local")]);
    let mut client = node.client();
    assert_eq!(client.say("DEBUG SLEEP 0.01"), ok());
    let unknown = "ERR unknown subcommand or wrong number of arguments for 'JMAP'. Try DEBUG HELP.";
    assert_eq!(client.say("DEBUG JMAP"), error(unknown));
    assert_eq!(client.say("DEBUG SET-ACTIVE-EXPIRE 0"), ok());
    client.say("SET k v PX 1");
    client.say("SET text value");
    let object = text(&client.say("DEBUG OBJECT text"));
    assert!(object.starts_with("Value at:0x"), "{object}");
    assert!(object.contains(" refcount:1 encoding:embstr serializedlength:5 lru:"), "{object}");
    assert!(object.ends_with(" lru_seconds_idle:0"), "{object}");
    assert_eq!(client.say("DEBUG OBJECT nothing"), error("ERR no such key"));
    assert_eq!(client.say("DEBUG STRINGMATCH-LEN a*c abc"), Frame::Integer(1));
    assert_eq!(client.say("DEBUG STRINGMATCH-LEN a*c abd"), Frame::Integer(0));
    assert_eq!(client.say("DEBUG QUICKLIST-PACKED-THRESHOLD 100b"), ok());
    assert!(text(&client.say("DEBUG QUICKLIST-PACKED-THRESHOLD x")).starts_with("ERR argument must be"));
    client.say("HSET h a 1");
    assert!(text(&client.say("DEBUG LISTPACK h")).starts_with("packed in "));
    assert_eq!(client.say("DEBUG LISTPACK text"), error("ERR Not a listpack encoded object."));
    assert!(text(&client.say("DEBUG HTSTATS-KEY h")).starts_with("ERR The value stored"));
    client.call(&["HSET", "h", "a", &"x".repeat(100)]);
    assert!(text(&client.say("DEBUG HTSTATS-KEY h")).contains("elements: 1"));
    assert!(text(&client.say("DEBUG HTSTATS 0")).contains("elements: 3"));
    assert_eq!(client.say("DEBUG HTSTATS 99"), error("ERR Out of range database"));
    let history = |client: &mut crate::support::Client<_>| {
        field(&text(&client.say("INFO replication")), "master_replid").to_owned()
    };
    let before = history(&mut client);
    assert_eq!(client.say("DEBUG CHANGE-REPL-ID"), ok());
    assert_ne!(history(&mut client), before);
    let Frame::Array(time) = client.say("TIME") else { panic!("TIME is an array") };
    assert_eq!(time.len(), 2);
}

#[test]
fn metrics_have_the_names_of_redis_exporter() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.say("SET a 1");
    wait_until("commands are published", || node.metric("redis_commands_processed_total") >= 1.0);
    assert_eq!(node.metric("redis_up"), 1.0);
    assert_eq!(node.metric("redis_connected_clients"), 1.0);
    assert_eq!(node.metric("redis_db_keys"), 1.0);
    assert_eq!(node.metric("redis_commands_total"), 1.0);
}
