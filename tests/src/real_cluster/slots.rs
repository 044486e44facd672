//! Slots on the move: all at once by redis-cli, or one of them stopped half-way for as long as a test wants to look.

use slotway_resp::Frame;

use super::{RealCluster, operate};

/// Milliseconds that one MIGRATE may take.
const MIGRATE_MS: u32 = 5000;

impl RealCluster {
    /// Moves as many slots from one master to another, as an operator would.
    pub fn reshard(&self, from: usize, to: usize, slots: usize) {
        let (source, target, count) = (self.id_of(from), self.id_of(to), slots.to_string());
        let address = self.address(from);
        operate(&[
            "reshard",
            &address,
            "--cluster-from",
            &source,
            "--cluster-to",
            &target,
            "--cluster-slots",
            &count,
        ]);
        self.wait_until_settled();
    }

    /// Begins to move one slot, and moves nothing: its keys are asked for at both ends from now on.
    pub fn begin_move(&self, slot: u16, to: usize) {
        let from = self.owner_of(slot);
        assert_ne!(from, to, "slot {slot} is there already");
        let (source, target) = (self.id_of(from), self.id_of(to));
        self.server(to).must(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
        self.server(from).must(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
    }

    /// Moves some keys of the slot that is on the move.
    pub fn move_keys(&self, slot: u16, to: usize, keys: &[&str]) {
        let port = self.server(to).port();
        let keys = keys.join(" ");
        let request = format!("MIGRATE 127.0.0.1 {port} {{}} 0 {MIGRATE_MS} KEYS {keys}");
        // The word for "no key here" is an empty one, which a request of words by spaces cannot hold.
        let words: Vec<&str> = request.split(' ').map(|word| if word == "{}" { "" } else { word }).collect();
        let reply = self.server(self.owner_of(slot)).ask_words(&words);
        assert_eq!(reply, Frame::Simple(b"OK".to_vec()), "{request}");
    }

    /// Moves what is left of the slot and tells everybody.
    pub fn end_move(&self, slot: u16, to: usize) {
        let from = self.owner_of(slot);
        let left = self.server(from).must(&format!("CLUSTER GETKEYSINSLOT {slot} 10000"));
        let left: Vec<&str> = left.as_array().unwrap_or_default().iter().filter_map(Frame::as_str).collect();
        if !left.is_empty() {
            self.move_keys(slot, to, &left);
        }
        let target = self.id_of(to);
        // The target first: from then on it answers without ASKING, and the source points to it.
        let mut order = vec![to, from];
        order.extend(self.masters().into_iter().filter(|index| *index != to && *index != from));
        for index in order {
            self.server(index).must(&format!("CLUSTER SETSLOT {slot} NODE {target}"));
        }
        self.wait_until_settled();
    }
}
