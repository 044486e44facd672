//! The proxy's own errors as they stand on the wire, and which errors of a node a client must not see.

use slotway_cluster::ShardId;
use slotway_commands::errors;

/// A write was sent and its outcome is unknown, or a read could see such a write. Not safe to repeat.
pub(crate) const INDETERMINATE: &[u8] = b"-INDETERMINATE the write may or may not have been applied\r\n";

/// A slot that no shard owns.
pub(crate) const NO_OWNER: &[u8] = b"-CLUSTERDOWN Hash slot not served\r\n";

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

/// What a client is told instead of a backend's error that speaks of the cluster behind the proxy, or of a node that is
/// not (or not yet) a primary that serves this proxy: such errors never reach a client. The request was not applied.
/// None: the error is the client's own.
pub(crate) fn of_a_backend(reply: &[u8], shard: ShardId) -> Option<Vec<u8>> {
    const INNER: [&[u8]; 9] = [
        b"-MOVED ",
        b"-ASK ",
        b"-STALE ",
        b"-TRYAGAIN ",
        b"-CLUSTERDOWN ",
        b"-MASTERDOWN ",
        b"-LOADING ",
        b"-READONLY ",
        b"-NOAUTH ",
    ];
    INNER.iter().any(|code| reply.starts_with(code)).then(|| no_primary(shard, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backends_redirection_becomes_an_error_that_is_safe_to_repeat() {
        let told = of_a_backend(b"-MOVED 1 127.0.0.1:7001\r\n", ShardId(2)).unwrap();
        assert_eq!(told, b"-TRYAGAIN shard 2 has no primary, held 0 ms\r\n");
        assert_eq!(of_a_backend(b"-WRONGTYPE x\r\n", ShardId(2)), None);
    }

    #[test]
    fn the_texts_on_the_wire_are_those_of_the_command_crate() {
        assert_eq!(line(errors::INDETERMINATE), INDETERMINATE);
        assert_eq!(line(errors::SLOT_NOT_SERVED), NO_OWNER);
    }
}
