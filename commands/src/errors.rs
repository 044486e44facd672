//! Error texts that node and proxy must agree on, word for word as Redis 7.2 says them, and those of the proxy.
//!
//! Every text brings its code and is what stands behind the `-` of the reply. What a client sent may be quoted
//! inside: line ends in it become spaces when the reply is written.

use slotway_resp::Request;

use crate::id::Id;
use crate::row::Command;

// What most commands can answer.
pub const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
pub const SYNTAX: &str = "ERR syntax error";
pub const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
pub const NOT_FLOAT: &str = "ERR value is not a valid float";
pub const OUT_OF_RANGE: &str = "ERR value is out of range";
pub const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";
pub const NO_SUCH_KEY: &str = "ERR no such key";
pub const INDEX_OUT_OF_RANGE: &str = "ERR index out of range";
pub const SAME_OBJECT: &str = "ERR source and destination objects are the same";
pub const BUSYKEY: &str = "BUSYKEY Target key name already exists.";
pub const INVALID_CURSOR: &str = "ERR invalid cursor";

// Strings, bits and hashes.
pub const OVERFLOW: &str = "ERR increment or decrement would overflow";
pub const DECREMENT_OVERFLOW: &str = "ERR decrement would overflow";
pub const NAN_OR_INFINITY: &str = "ERR increment would produce NaN or Infinity";
pub const HASH_NOT_INTEGER: &str = "ERR hash value is not an integer";
pub const HASH_NOT_FLOAT: &str = "ERR hash value is not a float";
pub const OFFSET_OUT_OF_RANGE: &str = "ERR offset is out of range";
pub const STRING_TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
pub const BIT_NOT_INTEGER: &str = "ERR bit is not an integer or out of range";
pub const BIT_OFFSET_NOT_INTEGER: &str = "ERR bit offset is not an integer or out of range";
pub const LCS_NOT_STRINGS: &str = "ERR The specified keys must contain string values";
pub const LCS_LEN_AND_IDX: &str = "ERR If you want both the length and indexes, please just use IDX.";
pub const NOT_HYPERLOGLOG: &str = "WRONGTYPE Key is not a valid HyperLogLog string value.";
pub const CORRUPT_HYPERLOGLOG: &str = "INVALIDOBJ Corrupted HLL object detected";
/// HRANDFIELD, SRANDMEMBER and ZRANDMEMBER with a count that has no negative.
pub const RANDOM_COUNT_RANGE: &str =
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";

// Expiry.
pub const EXPIRE_NX_AND_OTHERS: &str = "ERR NX and XX, GT or LT options at the same time are not compatible";
pub const EXPIRE_GT_AND_LT: &str = "ERR GT and LT options at the same time are not compatible";

// Databases.
pub const DB_OUT_OF_RANGE: &str = "ERR DB index is out of range";
pub const NO_SELECT_IN_CLUSTER: &str = "ERR SELECT is not allowed in cluster mode";
pub const SWAPDB_FIRST: &str = "ERR invalid first DB index";
pub const SWAPDB_SECOND: &str = "ERR invalid second DB index";

// Counted keys.
pub const NUMKEYS_NOT_POSITIVE: &str = "ERR numkeys should be greater than 0";
pub const NUMKEYS_NEGATIVE: &str = "ERR Number of keys can't be negative";
pub const LIMIT_NEGATIVE: &str = "ERR LIMIT can't be negative";
pub const NUMKEYS_TOO_MANY: &str = "ERR Number of keys can't be greater than number of args";

// Connections and users.
pub const NOAUTH: &str = "NOAUTH Authentication required.";
pub const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
pub const NO_PASSWORD_SET: &str = "ERR AUTH <password> called without any password configured for the default user. \
                                   Are you sure your configuration is correct?";
pub const NOAUTH_HELLO: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                                HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                                select the RESP protocol version at the same time";
pub const NOPROTO: &str = "NOPROTO unsupported protocol version";
pub const PROTOCOL_NOT_INTEGER: &str = "ERR Protocol version is not an integer or out of range";
pub const CLIENT_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";
pub const NO_SUCH_CLIENT: &str = "ERR No such client";
pub const INVALID_CLIENT_ID: &str = "ERR Invalid client ID";
pub const CACHING_WITHOUT_TRACKING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled";
pub const CLIENT_ID_NOT_POSITIVE: &str = "ERR client-id should be greater than 0";
pub const MAXCLIENTS: &str = "ERR max number of clients reached";
pub const NOPERM_KEY: &str = "NOPERM No permissions to access a key";
pub const NOPERM_CHANNEL: &str = "NOPERM No permissions to access a channel";

// Transactions and scripts.
pub const EXECABORT: &str = "EXECABORT Transaction discarded because of previous errors.";
pub const EXEC_WITHOUT_MULTI: &str = "ERR EXEC without MULTI";
pub const DISCARD_WITHOUT_MULTI: &str = "ERR DISCARD without MULTI";
pub const NESTED_MULTI: &str = "ERR MULTI calls can not be nested";
pub const WATCH_INSIDE_MULTI: &str = "ERR WATCH inside MULTI is not allowed";
pub const NOT_IN_TRANSACTION: &str = "ERR Command not allowed inside a transaction";
pub const NOSCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

// Blocking.
pub const TIMEOUT_NOT_FLOAT: &str = "ERR timeout is not a float or out of range";
pub const TIMEOUT_NOT_INTEGER: &str = "ERR timeout is not an integer or out of range";
pub const WAIT_ON_REPLICA: &str = "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to \
     be writable (which is not the default) writes to replicas are just local and are not propagated.";
pub const WAITAOF_ON_REPLICA: &str = "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not \
     propagated.";
pub const WAITAOF_WITHOUT_LOG: &str =
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
pub const NOT_ZERO_OR_ONE: &str = "ERR value is out of range, value must between 0 and 1";
pub const WAIT_BROKEN: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
pub const TIMEOUT_NEGATIVE: &str = "ERR timeout is negative";
pub const PAUSE_MODE: &str = "ERR CLIENT PAUSE mode must be WRITE or ALL";
pub const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

// The server's state.
pub const LOADING: &str = "LOADING Redis is loading the dataset in memory";
pub const BUSY_SCRIPT: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
pub const READONLY: &str = "READONLY You can't write against a read only replica.";
pub const MASTERDOWN: &str =
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
pub const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
pub const SNAPSHOT_FAILED: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that \
     may modify the data set are disabled, because this instance is configured to report errors during writes if RDB \
     snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB \
     error.";
/// Also a proxy's, once `min_copies` was not met for as long as a request may be held.
pub const NOREPLICAS: &str = "NOREPLICAS Not enough good replicas to write.";
pub const SHUTDOWN_FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";
const LFU_SWITCH: &str = "Please note that when switching between policies at runtime LRU and LFU data will take \
                          some time to adjust.";

/// The append-only file takes no more; `why` is the system's text.
pub fn log_failed(why: &str) -> String {
    format!("MISCONF Errors writing to the AOF file: {why}")
}

// Slots.
pub const CROSSSLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";
pub const CLUSTER_DISABLED: &str = "ERR This instance has cluster support disabled";
pub const INVALID_SLOT: &str = "ERR Invalid or out of range slot";
pub const CLUSTERDOWN: &str = "CLUSTERDOWN The cluster is down";
pub const SLOT_NOT_SERVED: &str = "CLUSTERDOWN Hash slot not served";

// COMMAND GETKEYS.
pub const GETKEYS_UNKNOWN: &str = "ERR Invalid command specified";
pub const GETKEYS_NO_KEYS: &str = "ERR The command has no key arguments";
pub const GETKEYS_ARITY: &str = "ERR Invalid number of arguments specified for command";
pub const GETKEYS_ARGUMENTS: &str = "ERR Invalid arguments specified for command";

// The proxy's own.
/// A write was sent and no reply came; or a read's answer may be older than a later write of the same client.
pub const INDETERMINATE: &str = "INDETERMINATE the write may or may not have been applied";

/// Why a request names no command that can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// The whole text of the error reply, code included.
    pub text: Vec<u8>,
}

/// So much of a command's name, a subcommand's name, and of all arguments together is quoted.
const QUOTED_MAX: usize = 128;

/// `request` names no command.
pub fn unknown_command(request: Request<'_>) -> CommandError {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quoted(request.word(0), QUOTED_MAX));
    text.extend_from_slice(b"', with args beginning with: ");
    let begin = text.len();
    for word in request.words().skip(1) {
        let room = QUOTED_MAX.saturating_sub(text.len() - begin);
        if room == 0 {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(quoted(word, room));
        text.extend_from_slice(b"' ");
    }
    CommandError { text }
}

/// The request's first word names a container, its second no subcommand of it.
pub fn unknown_subcommand(request: Request<'_>) -> CommandError {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(quoted(request.word(1), QUOTED_MAX));
    text.extend_from_slice(b"'. Try ");
    text.extend(request.word(0).iter().map(u8::to_ascii_uppercase));
    text.extend_from_slice(b" HELP.");
    CommandError { text }
}

/// A subcommand that exists and finds too many words itself, as some of Redis's do.
pub fn bad_subcommand(container: &str, name: &[u8]) -> String {
    let name: String = String::from_utf8_lossy(name).chars().take(QUOTED_MAX).collect();
    format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP.")
}

pub fn wrong_arity(row: &Command) -> CommandError {
    let text = wrong_number_of_arguments(row.name);
    CommandError { text: if row.id == Id::Exec { exec_rejected(&text) } else { text }.into_bytes() }
}

/// An EXEC that was itself refused, which discards the transaction; `why` is the error that another command would get.
pub fn exec_rejected(why: &str) -> String {
    format!("EXECABORT Transaction discarded because of: {}", why.strip_prefix("ERR ").unwrap_or(why))
}

/// Also for requests that pass the arity and are still odd (MSET a 1 b). `name` is the row's.
pub fn wrong_number_of_arguments(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// A text ends at its first zero byte, as the C string that it is to Redis.
fn quoted(word: &[u8], max: usize) -> &[u8] {
    let end = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
    &word[..end.min(max)]
}

/// An expire time that is not positive, or too large. `name` is the row's.
pub fn invalid_expire_time(name: &str) -> String {
    format!("ERR invalid expire time in '{name}' command")
}

/// EXPIRE and its family with a word that is no option.
pub fn unsupported_option(option: &[u8]) -> Vec<u8> {
    [b"ERR Unsupported option ", quoted(option, usize::MAX)].concat()
}

/// OBJECT FREQ without an LFU policy.
pub fn lfu_not_selected() -> String {
    format!("ERR An LFU maxmemory policy is not selected, access frequency not tracked. {LFU_SWITCH}")
}

/// OBJECT IDLETIME under an LFU policy.
pub fn lfu_selected() -> String {
    format!("ERR An LFU maxmemory policy is selected, idle time not tracked. {LFU_SWITCH}")
}

/// A word of HELLO that is no option, or an option without its words.
pub fn hello_option(option: &[u8]) -> Vec<u8> {
    [b"ERR Syntax error in HELLO option '", quoted(option, usize::MAX), b"'"].concat()
}

/// CLIENT LIST and CLIENT KILL with a TYPE that there is not.
pub fn unknown_client_type(name: &[u8]) -> Vec<u8> {
    [b"ERR Unknown client type '", quoted(name, usize::MAX), b"'"].concat()
}

/// CLIENT KILL with a USER that there is not.
pub fn no_such_user(name: &[u8]) -> Vec<u8> {
    [b"ERR No such user '", quoted(name, usize::MAX), b"'"].concat()
}

/// CLIENT SETINFO with an attribute that there is not.
pub fn client_setinfo_option(option: &[u8]) -> Vec<u8> {
    [b"ERR Unrecognized option '", quoted(option, usize::MAX), b"'"].concat()
}

/// CLIENT SETINFO with a value that would break CLIENT LIST. `attribute` is `lib-name` or `lib-ver`.
pub fn client_setinfo_value(attribute: &str) -> String {
    format!("ERR {attribute} cannot contain spaces, newlines or special characters.")
}

/// CONFIG SET of a setting that there is not.
pub fn config_unknown(name: &[u8]) -> Vec<u8> {
    [b"ERR Unknown option or number of arguments for CONFIG SET - '", quoted(name, usize::MAX), b"'"].concat()
}

/// CONFIG SET of a value that will not do. `why` as Redis says it, e.g. `argument must be a memory value`.
pub fn config_set_failed(name: &[u8], why: &str) -> Vec<u8> {
    let why = why.as_bytes();
    [b"ERR CONFIG SET failed (possibly related to argument '", quoted(name, usize::MAX), b"') - ", why]
        .concat()
}

/// A user may not run a command. `name` is the row's.
pub fn noperm_command(user: &[u8], name: &str) -> Vec<u8> {
    let name = name.as_bytes();
    [b"NOPERM User ", user, b" has no permissions to run the '", name, b"' command"].concat()
}

/// A connection in RESP2 that has subscriptions may do little else. `name` is the row's.
pub fn subscribed(name: &str) -> String {
    format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
         this context"
    )
}

/// The slot is another node's. `address` is `host:port`.
pub fn moved(slot: u16, address: &str) -> String {
    format!("MOVED {slot} {address}")
}

/// The slot is on its way, the key is already there.
pub fn ask(slot: u16, address: &str) -> String {
    format!("ASK {slot} {address}")
}

/// No shard owns the slot of a key, or there is no shard at all, and the request was held for as long as may be.
pub fn no_owner(held_ms: u64) -> String {
    format!("TRYAGAIN no shard serves this request, held {held_ms} ms")
}

/// The hold's bound of time or bytes is reached and the shard still has no primary. Nothing was applied.
pub fn no_primary(shard: u32, held_ms: u64) -> String {
    format!("TRYAGAIN shard {shard} has no primary, held {held_ms} ms")
}

/// A read past its deadline.
pub fn no_reply(shard: u32, within_ms: u64) -> String {
    format!("TIMEOUT no reply from shard {shard} within {within_ms} ms")
}

/// A limit of the proxy is reached; `name` as the settings call it.
pub fn proxy_limit(name: &str) -> String {
    format!("BUSY proxy limit {name} reached")
}

/// Bytes of a key that an error quotes.
const KEY_QUOTED_MAX: usize = 64;

/// The first two keys that lie in different slots, and the ways out.
pub fn cross_slot(one: &[u8], other: &[u8]) -> Vec<u8> {
    let (one, other) = (quoted(one, KEY_QUOTED_MAX), quoted(other, KEY_QUOTED_MAX));
    let hint = b"); use a database from 1 to 15, a hash tag or a placement rule";
    [CROSSSLOT.as_bytes(), b" (", one, b", ", other, hint].concat()
}

/// A command between MULTI and EXEC that concerns several shards. `name` is the row's.
pub fn not_atomic(name: &str) -> String {
    format!("ERR '{name}' concerns every shard and cannot be atomic with other commands through a proxy")
}

/// A command that does not go through a proxy; `reason` is the row's.
pub fn refused(reason: &str) -> String {
    format!("ERR {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_texts_are_those_of_the_interface() {
        assert_eq!(no_primary(2, 1500), "TRYAGAIN shard 2 has no primary, held 1500 ms");
        assert_eq!(no_reply(3, 250), "TIMEOUT no reply from shard 3 within 250 ms");
        assert_eq!(proxy_limit("maxclients"), "BUSY proxy limit maxclients reached");
        assert_eq!(
            String::from_utf8(cross_slot(b"a", b"b")).unwrap(),
            "CROSSSLOT Keys in request don't hash to the same slot (a, b); use a database from 1 to 15, a hash tag \
             or a placement rule"
        );
        assert_eq!(moved(3999, "127.0.0.1:7002"), "MOVED 3999 127.0.0.1:7002");
    }

    #[test]
    fn a_long_key_is_quoted_in_part() {
        let text = cross_slot(&[b'x'; 1000], b"b");
        assert!(text.len() < 250);
    }
}
