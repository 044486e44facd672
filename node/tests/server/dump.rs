//! All keys of a server in one canonical form, whoever it is.

use std::collections::BTreeMap;

use slotway_resp::Frame;

use crate::support::{Client, Socket, text, wait_until};

/// Of each database and key: type, deadline, value.
pub(crate) type Dump = BTreeMap<(u8, String), String>;

pub(crate) fn dump<S: Socket>(client: &mut Client<S>) -> Dump {
    let mut dump = Dump::new();
    for database in 0..16 {
        client.say(&format!("SELECT {database}"));
        let Frame::Array(keys) = client.say("KEYS *") else { panic!("KEYS answers an array") };
        for key in keys.iter().map(text) {
            let kind = text(&client.call(&["TYPE", &key]));
            let value = match kind.as_str() {
                "string" => sorted(client.call(&["GETRANGE", &key, "0", "-1"]), 0),
                "list" => sorted(client.call(&["LRANGE", &key, "0", "-1"]), 0),
                "set" => sorted(client.call(&["SMEMBERS", &key]), 1),
                "hash" => sorted(client.call(&["HGETALL", &key]), 2),
                "zset" => sorted(client.call(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]), 0),
                // Gone since it was listed.
                "none" => continue,
                other => panic!("a {other}"),
            };
            let deadline = format!("{:?}", client.call(&["PEXPIRETIME", &key]));
            dump.insert((database, key), format!("{kind} {deadline} {value}"));
        }
    }
    client.say("SELECT 0");
    dump
}

/// As text; in chunks of so many in order, where the order is the server's own affair.
fn sorted(reply: Frame, chunk: usize) -> String {
    match (reply, chunk) {
        (Frame::Array(items), 1..) => {
            let mut chunks: Vec<String> = items.chunks(chunk).map(|chunk| format!("{chunk:?}")).collect();
            chunks.sort();
            chunks.join(" ")
        }
        (reply, _) => format!("{reply:?}"),
    }
}

/// Waits until both have the same offset and then compares all they have.
pub(crate) fn wait_until_same<S: Socket>(one: &mut Client<S>, other: &mut Client<S>) {
    wait_until("both at the same offset", || {
        info(other, "master_link_status").is_none_or(|status| status == "up")
            && info(one, "master_repl_offset") == info(other, "master_repl_offset")
    });
    let (one, other) = (dump(one), dump(other));
    for (key, value) in &one {
        assert_eq!(Some(value), other.get(key), "{key:?}");
    }
    assert_eq!(one.len(), other.len(), "keys that only one has");
}

/// A field of INFO.
pub(crate) fn info<S: Socket>(client: &mut Client<S>, field: &str) -> Option<String> {
    let all = text(&client.say("INFO everything"));
    all.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned))
}

/// Waits until a field of INFO has this value.
pub(crate) fn wait_for<S: Socket>(client: &mut Client<S>, field: &str, value: &str) {
    wait_until(&format!("{field}:{value}"), || info(client, field).as_deref() == Some(value));
}
