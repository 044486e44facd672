//! How long commands take: INFO, SLOWLOG, LATENCY.

use slotway_resp::Frame;

use crate::support::{TestNode, bulk, error, ok, text};

fn array(frame: Frame) -> Vec<Frame> {
    match frame {
        Frame::Array(elements) => elements,
        other => panic!("no array: {other:?}"),
    }
}

fn integer(frame: &Frame) -> i64 {
    match frame {
        Frame::Integer(number) => *number,
        other => panic!("no integer: {other:?}"),
    }
}

/// `usec` of a command.
fn micros(info: &str, command: &str) -> u64 {
    let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:"))).unwrap();
    line.split(',').find_map(|pair| pair.strip_prefix("usec=")).unwrap().parse().unwrap()
}

fn words(entry: &Frame) -> String {
    let entry = array(entry.clone());
    let words = array(entry[3].clone());
    words.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_a_command_takes_is_counted_for_it_and_for_no_other() {
    let node = TestNode::start(&[("enable-debug-command", "yes")]);
    let mut client = node.client();
    // In one batch, short ones before and behind.
    client.send("SET k v\r\nGET k\r\nDEBUG SLEEP 0.05\r\nGET k\r\nGET k\r\n");
    (0..5).for_each(|_| drop(client.reply()));
    let info = text(&client.say("INFO everything"));
    assert!((50_000..5_000_000).contains(&micros(&info, "debug")), "{info}");
    assert!(micros(&info, "get") < 50_000, "{info}");
    let half = info.split_once("latency_percentiles_usec_debug:p50=").unwrap().1.split(',').next().unwrap();
    assert!(half.parse::<f64>().unwrap() >= 50_000.0, "{half}");
    let histogram = array(client.say("LATENCY HISTOGRAM get nothing debug"));
    assert_eq!((histogram.len(), &histogram[0], &histogram[2]), (4, &bulk("get"), &bulk("debug")));
    let get = array(histogram[1].clone());
    assert_eq!(get[..3], [bulk("calls"), Frame::Integer(3), bulk("histogram_usec")]);
    assert_eq!(
        array(get[3].clone()).last(),
        Some(&Frame::Integer(3)),
        "all took no longer than the last step"
    );
    assert!(array(client.say("LATENCY HISTOGRAM config")).is_empty());
    client.say("CONFIG GET x");
    assert_eq!(array(client.say("LATENCY HISTOGRAM config"))[0], bulk("config|get"));
    assert_eq!(client.say("CONFIG SET latency-tracking-info-percentiles 12.5"), ok());
    assert!(text(&client.say("INFO latencystats")).contains("usec_get:p12.5="));
    assert_eq!(client.say("CONFIG SET latency-tracking no"), ok());
    assert_eq!(client.say("CONFIG RESETSTAT"), ok());
    client.say("GET k");
    assert!(array(client.say("LATENCY HISTOGRAM get")).is_empty());
    assert!(!text(&client.say("INFO latencystats")).contains("usec_get"));
}

#[test]
fn slow_commands_are_noted_the_newest_first() {
    let node = TestNode::start(&[("enable-debug-command", "yes"), ("slowlog-max-len", "3")]);
    let mut client = node.client();
    client.say("CLIENT SETNAME worker");
    assert_eq!(client.say("SLOWLOG LEN"), Frame::Integer(0));
    client.say("DEBUG SLEEP 0.02");
    client.say("PING");
    let entries = array(client.say("SLOWLOG GET"));
    assert_eq!(entries.len(), 1);
    let entry = array(entries[0].clone());
    assert_eq!((integer(&entry[0]), words(&entries[0]).as_str()), (0, "DEBUG SLEEP 0.02"));
    assert!(integer(&entry[1]) > 1_700_000_000 && integer(&entry[2]) >= 20_000, "{entry:?}");
    let address = client.stream.local_addr().unwrap().to_string();
    assert_eq!(entry[4..], [bulk(&address), bulk("worker")]);
    // All of them, also those in a batch.
    assert_eq!(client.say("CONFIG SET slowlog-log-slower-than 0"), ok());
    client.send("SET a 1\r\nGET a\r\nPING\r\nNONSENSE\r\nAUTH secret\r\n");
    (0..5).for_each(|_| drop(client.reply()));
    let seen: Vec<String> = array(client.say("SLOWLOG GET 2")).iter().map(words).collect();
    assert_eq!(seen, ["AUTH (redacted)", "PING"]);
    let seen: Vec<String> = array(client.say("SLOWLOG GET -1")).iter().map(words).collect();
    assert_eq!(seen, ["SLOWLOG GET 2", "AUTH (redacted)", "PING"]);
    client.send("MULTI\r\nGET a\r\nPING\r\nEXEC\r\n");
    (0..4).for_each(|_| drop(client.reply()));
    let seen: Vec<String> = array(client.say("SLOWLOG GET -1")).iter().map(words).collect();
    assert_eq!(seen, ["PING", "GET a", "MULTI"], "an EXEC is what it runs");
    assert_eq!(client.say("CONFIG SET slowlog-log-slower-than -1"), ok());
    assert_eq!(client.say("SLOWLOG RESET"), ok());
    assert_eq!(client.say("SLOWLOG LEN"), Frame::Integer(0));
    client.say("DEBUG SLEEP 0.02");
    assert_eq!(array(client.say("SLOWLOG GET")), []);
    for count in ["-2", "x", ""] {
        let refusal = "ERR count should be greater than or equal to -1";
        assert_eq!(client.call(&["SLOWLOG", "GET", count]), error(refusal));
    }
    let refusal = "ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.";
    assert_eq!(client.say("SLOWLOG get 1 2"), error(refusal));
    assert!(!array(client.say("SLOWLOG HELP")).is_empty());
}

#[test]
fn events_that_took_long_are_sampled() {
    let node = TestNode::start(&[("enable-debug-command", "yes")]);
    let mut client = node.client();
    client.say("DEBUG SLEEP 0.02");
    assert_eq!(array(client.say("LATENCY LATEST")), []);
    assert!(text(&client.say("LATENCY DOCTOR")).contains("not monitored"));
    assert_eq!(client.say("CONFIG SET latency-monitor-threshold 10"), ok());
    client.say("DEBUG SLEEP 0.02");
    client.say("PING");
    let latest = array(client.say("LATENCY LATEST"));
    let event = array(latest[0].clone());
    assert_eq!((latest.len(), &event[0]), (1, &bulk("command")));
    assert!(integer(&event[2]) >= 20 && integer(&event[3]) >= integer(&event[2]), "{event:?}");
    let history = array(client.say("LATENCY HISTORY command"));
    assert_eq!(history, [Frame::Array(event[1..3].to_vec())]);
    assert_eq!(array(client.say("LATENCY HISTORY x")), []);
    assert!(text(&client.say("LATENCY GRAPH command")).starts_with("command - high "));
    assert_eq!(client.say("LATENCY GRAPH x"), error("ERR No samples available for event 'x'"));
    assert!(text(&client.say("LATENCY DOCTOR")).starts_with("command: 1 samples of 10 ms and more"));
    assert_eq!(client.say("LATENCY RESET x fast-command"), Frame::Integer(0));
    assert_eq!(client.say("LATENCY RESET"), Frame::Integer(1));
    assert_eq!(array(client.say("LATENCY LATEST")), []);
    assert!(!array(client.say("LATENCY HELP")).is_empty());
}
