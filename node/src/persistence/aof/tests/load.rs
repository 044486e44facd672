//! What a node reads back from its log, whole, cut off or damaged.

use super::*;
use crate::persistence::aof::simulated::Simulated;

const MANIFEST: &str = "appendonlydir/appendonly.aof.manifest";
const TWO: &[u8] =
    b"file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n";

fn request(words: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    slotway_resp::write::request(&mut bytes, &words.split(' ').collect::<Vec<_>>());
    bytes
}

/// A disk with a log of two increments.
fn disk(first: &[u8], second: &[u8]) -> Simulated {
    let disk = Simulated::new();
    disk.put(MANIFEST, TWO);
    disk.put("appendonlydir/appendonly.aof.1.incr.aof", first);
    disk.put("appendonlydir/appendonly.aof.2.incr.aof", second);
    disk
}

/// How many keys there are after a start; or why there is none.
fn keys(disk: &Simulated, settings: &[(&str, &str)]) -> Result<u64, String> {
    let mut keys = 0;
    in_hall_on(disk, settings, async |hall| keys = hall.thread.node.borrow().keys())?;
    Ok(keys)
}

#[test]
fn increments_are_read_in_order_and_written_on() {
    let disk =
        disk(&request("SET a 1"), &[request("DEL a"), request("SELECT 4"), request("SET b 1")].concat());
    assert_eq!(keys(&disk, &[]), Ok(1));
    in_hall_on(&disk, &[], async |hall| {
        let [mut peer] = hall.peers().await;
        peer.send(b"SELECT 4\r\nGET b\r\nSELECT 0\r\nSET c 1\r\n");
        hall.expect(&mut peer, "+OK\r\n$1\r\n1\r\n+OK\r\n+OK\r\n").await;
    })
    .unwrap();
    assert_eq!(disk.content(MANIFEST).unwrap(), TWO);
    assert_eq!(keys(&disk, &[]), Ok(2), "what was written behind a start names its database");
}

#[test]
fn a_transaction_without_its_end_is_dropped_as_a_whole() {
    let whole = request("SET a 1");
    let tail = [request("MULTI"), request("SET b 1"), request("SET c 1")].concat();
    for len in 1..tail.len() {
        let disk = disk(b"", &[&whole, &tail[..len]].concat());
        assert_eq!(keys(&disk, &[]), Ok(1));
        assert_eq!(disk.content("appendonlydir/appendonly.aof.2.incr.aof").unwrap(), whole);
    }
}

/// It may have been listed by a manifest of which nobody knew whether it would last.
#[test]
fn an_increment_that_nothing_was_written_to_does_not_make_the_one_before_it_complete() {
    let truncated = [&request("SET a 1"), &b"*2\r\n$3\r\nDEL"[..]].concat();
    let disk = disk(&truncated, b"");
    assert_eq!(keys(&disk, &[]), Ok(1));
    assert!(disk.names().iter().all(|name| !disk.content(name).unwrap().ends_with(b"DEL")), "it was cut off");
}

#[test]
fn what_may_not_be_cut_is_refused_and_left_as_it_is() {
    let (whole, half) = (request("SET a 1"), &b"*2\r\n$3\r\nDEL"[..]);
    let truncated = [&whole, half].concat();
    for (disk, settings, says) in [
        (disk(b"", &truncated), &[("aof-load-truncated", "no")][..], "the last whole unit ends at offset 27"),
        (disk(&truncated, &whole), &[], "it is not the last file"),
        (disk(&[&whole, &b"garbage"[..], &whole].concat(), b""), &[], "expected '*', got 'g' at offset 27"),
        (disk(b"", &[&whole, &b"\0\0\0\0"[..]].concat()), &[], "at offset 27"),
        (
            disk(&request("NOSUCH x"), b""),
            &[],
            "Unknown command 'NOSUCH' reading the append only file at offset 0",
        ),
        (disk(b"REDIS0010\xff", b""), &[], "appendonly.aof.1.incr.aof: "),
    ] {
        let before: Vec<_> = disk.names().iter().map(|name| disk.content(name)).collect();
        let error = keys(&disk, settings).unwrap_err();
        assert!(error.contains(says), "{error}");
        assert_eq!(disk.names().iter().map(|name| disk.content(name)).collect::<Vec<_>>(), before);
    }
    let disk = Simulated::new();
    disk.put(MANIFEST, TWO);
    let error = keys(&disk, &[]).unwrap_err();
    assert!(error.contains("appendonly.aof.1.incr.aof is missing"), "{error}");
}

#[test]
fn a_log_of_one_file_that_begins_with_a_snapshot_is_read_and_becomes_the_base() {
    let mut file = Vec::new();
    crate::rdb::write::header(&mut file, &[("aof-preamble", b"1")]);
    crate::rdb::write::end(&mut file, None);
    file.extend_from_slice(&[request("SELECT 0"), request("SET a 1"), request("SET b 1")].concat());
    let disk = Simulated::new();
    disk.put("appendonly.aof", &file);
    assert_eq!(keys(&disk, &[]), Ok(2));
    assert_eq!(disk.content("appendonlydir/appendonly.aof").unwrap(), file);
    assert_eq!(keys(&disk, &[]), Ok(2));
}

#[test]
fn while_it_is_read_keys_past_their_deadline_are_there_for_the_commands_behind_them() {
    let log = [
        request("SET a 1 PXAT 1000"),
        request("PERSIST a"),
        request("SET b 1 PXAT 1000"),
        request("RENAME b c"),
        request("RPUSH d x"),
        request("PEXPIREAT d 1000"),
        request("DEL d"),
    ];
    let disk = disk(&log.concat(), b"");
    in_hall_on(&disk, &[], async |hall| {
        let [mut peer] = hall.peers().await;
        peer.send(b"GET a\r\nTTL a\r\nEXISTS b c d\r\n");
        hall.expect(&mut peer, "$1\r\n1\r\n:-1\r\n:0\r\n").await;
    })
    .unwrap();
}

#[test]
fn nothing_of_it_is_counted_or_written_again() {
    let disk = disk(&request("SET a 1").repeat(1000), b"");
    in_hall_on(&disk, &[], async |hall| {
        let node = hall.thread.node.borrow();
        assert_eq!((node.statistics.commands, node.keyspace.stats.changes), (0, 0));
    })
    .unwrap();
    assert_eq!(disk.content("appendonlydir/appendonly.aof.2.incr.aof").unwrap(), b"");
}

#[test]
fn a_node_that_ends_while_it_reads_leaves_the_files_as_they_are() {
    const FILE: &str = "appendonlydir/appendonly.aof.2.incr.aof";
    // More than the pieces that may wait, and no piece ends where a unit does.
    let value = "x".repeat(99_991);
    let log: Vec<u8> = (0..120).flat_map(|n| request(&format!("SET k{n} {value}"))).collect();
    let disk = disk(b"", &log);
    in_hall(async |hall| {
        open(hall, &disk, &[]).unwrap();
        let meter = Arc::default();
        {
            let loading =
                std::pin::pin!(crate::persistence::aof::load::start(&hall.thread, Arc::clone(&meter)));
            tokio::select! {
                biased;
                () = hall.until("a first piece is read", || hall.thread.node.borrow().keys() > 0) => {}
                _ = loading => panic!("it was read to its end"),
            }
        }
        hall.until("the thread that reads has left", || Arc::strong_count(&meter) == 1).await;
    });
    assert_eq!(disk.content(FILE).unwrap().len(), log.len());
    assert_eq!(keys(&disk, &[]), Ok(120));
}

#[test]
fn what_follows_an_exchange_of_databases_runs_where_the_keys_are_then() {
    for [begin, end] in [[&b""[..], &b""[..]], [&request("MULTI"), &request("EXEC")]] {
        let log = [
            &request("SELECT 0")[..],
            begin,
            &request("SET a 1"),
            &request("SET b 1"),
            &request("SWAPDB 0 1"),
            &request("SET c 1"),
            &request("SELECT 1"),
            &request("DEL a"),
            &request("APPEND b 2"),
            end,
        ];
        in_hall_on(&disk(&log.concat(), b""), &[], async |hall| {
            let [mut peer] = hall.peers().await;
            peer.send(b"EXISTS a b c\r\nGET c\r\nSELECT 1\r\nEXISTS a b c\r\nGET b\r\n");
            hall.expect(&mut peer, ":1\r\n$1\r\n1\r\n+OK\r\n:1\r\n$2\r\n12\r\n").await;
        })
        .unwrap();
    }
}
