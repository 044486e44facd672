//! Full synchronisations that fail before they have begun.

use std::{fs, io::Read};

use slotway_resp::Frame;

use crate::support::{TestNode, text, wait_until};

/// A walk that nobody ends would keep old values for ever, and there are only eight.
#[test]
fn synchronisations_that_found_no_room_for_their_file_leave_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    fs::create_dir(&dir).unwrap();
    let node = TestNode::start_in(&dir, &[("repl-diskless-sync", "no")]);
    let mut client = node.client();
    client.say("SET k v");
    fs::rename(&dir, home.path().join("away")).unwrap();
    for _ in 0..10 {
        let mut replica = node.client();
        replica.send("PSYNC ? -1\r\n");
        let mut said = Vec::new();
        replica.stream.read_to_end(&mut said).unwrap();
        assert!(said.starts_with(b"+FULLRESYNC "), "{}", String::from_utf8_lossy(&said));
    }
    fs::rename(home.path().join("away"), &dir).unwrap();
    assert_eq!(client.say("BGSAVE"), Frame::Simple(b"Background saving started".to_vec()));
    wait_until("the save has ended", || {
        text(&client.say("INFO persistence")).contains("rdb_bgsave_in_progress:0\r\n")
    });
    assert!(text(&client.say("INFO persistence")).contains("rdb_last_bgsave_status:ok"));
}
