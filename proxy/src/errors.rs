//! The proxy's own errors as they stand on the wire, and which errors of a node a client must not see.

use slotway_cluster::ShardId;
use slotway_commands::errors;

/// A write was sent and its outcome is unknown, or a read could see such a write. Not safe to repeat.
pub(crate) const INDETERMINATE: &[u8] = b"-INDETERMINATE the write may or may not have been applied\r\n";

/// A slot that no shard owns; safe to repeat.
pub(crate) fn no_owner(held_ms: u64) -> Vec<u8> {
    line(&errors::no_owner(held_ms))
}

/// Never sent, or a read: safe to repeat.
pub(crate) fn no_primary(shard: ShardId, held_ms: u64) -> Vec<u8> {
    line(&errors::no_primary(shard.0, held_ms))
}

/// A read past its deadline.
pub(crate) fn no_reply(shard: ShardId, within_ms: u64) -> Vec<u8> {
    line(&errors::no_reply(shard.0, within_ms))
}

/// A limit of the proxy is reached; `limit` is the setting's name.
pub(crate) fn busy(limit: &str) -> Vec<u8> {
    line(&errors::proxy_limit(limit))
}

/// A reply that cannot be one to this request: the node is broken, or no Redis.
pub(crate) const MALFORMED: &[u8] =
    b"-ERR a node answered with something that is no reply to this command\r\n";

fn line(text: &str) -> Vec<u8> {
    format!("-{text}\r\n").into_bytes()
}

/// The codes of backends' errors that speak of the cluster behind the proxy, or of a node that is not (or not yet) a
/// primary that serves this proxy. Such errors never reach a client: the request was not applied, and is safe to repeat.
pub(crate) const INNER: [&str; 10] = [
    "MOVED",
    "ASK",
    "STALE",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "LOADING",
    "READONLY",
    "NOAUTH",
    NOREPLICAS,
];

/// Of a member only: it takes writes again as soon as it has found replicas enough, or another does.
pub(crate) const NOREPLICAS: &str = "NOREPLICAS";

/// Whose words a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// A node of a shard whose epochs a control group gives.
    Member,
    Other,
}

/// Which of [`INNER`] this error reply is. None: the error is the client's own.
pub(crate) fn inner(reply: &[u8], speaker: Speaker) -> Option<usize> {
    let text = reply.strip_prefix(b"-")?;
    let known = match speaker {
        Speaker::Member => &INNER[..],
        Speaker::Other => &INNER[..INNER.len() - 1],
    };
    known
        .iter()
        .position(|code| text.strip_prefix(code.as_bytes()).is_some_and(|rest| rest.first() == Some(&b' ')))
}

/// The place of STALE among [`INNER`].
pub(crate) const STALE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_speak_of_the_cluster_are_told_from_the_clients_own() {
        let inner = |reply: &[u8]| super::inner(reply, Speaker::Other);
        assert_eq!(inner(b"-MOVED 1 127.0.0.1:7001\r\n"), Some(0));
        assert_eq!(inner(b"-STALE 2 17\r\n"), Some(STALE));
        assert_eq!(inner(b"-NOAUTH Authentication required.\r\n"), Some(8));
        let none_enough = b"-NOREPLICAS Not enough good replicas to write.\r\n";
        assert_eq!((inner(none_enough), super::inner(none_enough, Speaker::Member)), (None, Some(9)));
        for own in
            ["-WRONGTYPE x\r\n", "-MOVEDX 1\r\n", "-ERR MOVED \r\n", "!8\r\nMOVED 12\r\n", "+MOVED 1\r\n"]
        {
            assert_eq!(inner(own.as_bytes()), None, "{own}");
        }
    }

    #[test]
    fn the_texts_on_the_wire_are_those_of_the_command_crate() {
        assert_eq!(line(errors::INDETERMINATE), INDETERMINATE);
    }
}
