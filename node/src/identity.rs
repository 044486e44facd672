//! Who this process is: ids made at its start.

use std::{fmt::Write, fs::File, hash::Hasher, io::Read};

use siphasher::sip128::{Hasher128, SipHasher13};
use slotway_cluster::Incarnation;
use slotway_config::Secret;

/// What members are told of the program.
pub(crate) const SOFTWARE: &str = concat!("slotway ", env!("CARGO_PKG_VERSION"));

/// Ids of one life of the process.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// INFO's `run_id`: 40 hexadecimal digits.
    pub(crate) run_id: String,
    /// A restarted node is a different member, unless it may go on with its earlier life: None until that is known.
    pub(crate) incarnation: Option<Incarnation>,
    /// Decides the order of SCAN. The nodes of a cluster share it, which is what lets a scan go on when a slot moves.
    pub(crate) scan_seed: [u8; 16],
}

impl Identity {
    /// `secret` is the cluster's, if there is one.
    pub(crate) fn new(secret: Option<&Secret>) -> Identity {
        Identity {
            run_id: random_hex::<20>(),
            incarnation: None,
            scan_seed: secret.map_or_else(random, seed_of),
        }
    }
}

/// The name of a life that nobody had.
pub(crate) fn fresh_incarnation() -> Incarnation {
    Incarnation(u64::from_le_bytes(random()))
}

/// The members' secret is what the nodes of a cluster share, so the seed is made of it.
fn seed_of(secret: &Secret) -> [u8; 16] {
    let mut hasher = SipHasher13::new();
    hasher.write(b"slotway scan seed ");
    hasher.write(secret.reveal().as_bytes());
    hasher.finish128().as_bytes()
}

/// `N` random bytes as hexadecimal digits.
fn random_hex<const N: usize>() -> String {
    random::<N>().iter().fold(String::new(), |mut text, byte| {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "a String takes every character");
        text
    })
}

/// Bytes that nobody can foretell.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.expect("the system has a source of random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_has_its_own_ids_and_a_cluster_one_seed() {
        let (one, other) = (Identity::new(None), Identity::new(None));
        assert_eq!(one.run_id.len(), 40);
        assert_ne!(one.run_id, other.run_id);
        assert_ne!(fresh_incarnation(), fresh_incarnation());
        let secret = Secret::new("s3cret");
        assert_ne!(one.scan_seed, other.scan_seed);
        assert_eq!(Identity::new(Some(&secret)).scan_seed, Identity::new(Some(&secret)).scan_seed);
    }
}
