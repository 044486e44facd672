//! HELP of the commands with subcommands, in Redis's form: a heading, then each subcommand with what it does, an entry
//! per line.

use slotway_resp::write;

use crate::{Id, row::Command};

/// What stands behind a container's name, for those that have handlers.
#[allow(clippy::too_many_lines, reason = "a list, not a procedure")]
fn entries(container: Id) -> &'static [(&'static str, &'static str)] {
    match container {
        Id::Client => &[
            ("GETNAME", "The name of this connection."),
            ("ID", "The id of this connection."),
            ("INFO", "What CLIENT LIST says of this connection."),
            ("KILL <ip:port>", "Closes the connection from ip:port."),
            (
                "KILL <option> <value> [<option> <value> ...]",
                "Closes the connections that match ID, TYPE, ADDR, LADDR, USER, MAXAGE, SKIPME.",
            ),
            ("LIST [TYPE <type>|ID <id> [<id> ...]]", "A line for each connection."),
            ("CACHING (YES|NO)", "Whether the keys of the next command are tracked."),
            ("GETREDIR", "Which connection gets the messages of tracking."),
            ("NO-EVICT (ON|OFF)", "Whether this connection may be closed to free memory."),
            ("NO-TOUCH (ON|OFF)", "Whether reads of this connection count as access to keys."),
            ("PAUSE <milliseconds> [WRITE|ALL]", "Lets all commands, or those that write, wait."),
            ("REPLY (ON|OFF|SKIP)", "Whether this connection gets replies."),
            ("SETINFO <attribute> <value>", "Sets LIB-NAME or LIB-VER of this connection."),
            ("SETNAME <name>", "Names this connection."),
            ("TRACKINGINFO", "How this connection is tracked."),
            ("UNPAUSE", "Ends a pause."),
        ],
        Id::Cluster => &[
            ("COUNTKEYSINSLOT <slot>", "The number of keys in a slot."),
            ("GETKEYSINSLOT <slot> <count>", "Names of keys in a slot."),
            ("INFO", "How the cluster is."),
            ("KEYSLOT <key>", "The slot of a key."),
            ("MYID", "The id of this node."),
            ("NODES", "A line for each node."),
            ("SHARDS", "Slots and nodes of each shard."),
            ("SLOTS", "Slots and who serves them."),
        ],
        Id::Command => &[
            ("(no subcommand)", "What is known of every command."),
            ("COUNT", "The number of commands."),
            ("DOCS [<command-name> ...]", "Version and group of commands."),
            ("GETKEYS <full-command>", "The keys of a command with its arguments."),
            ("GETKEYSANDFLAGS <full-command>", "The keys, and what the command does to each."),
            ("INFO [<command-name> ...]", "Arity, flags and key positions of commands."),
            ("LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]", "The names of commands."),
        ],
        Id::Config => &[
            ("GET <pattern> [<pattern> ...]", "The settings whose names match."),
            ("RESETSTAT", "Starts the statistics of INFO anew."),
            ("SET <name> <value> [<name> <value> ...]", "Changes settings, all or none."),
        ],
        Id::Latency => &[
            ("DOCTOR", "What was slow, in words."),
            ("GRAPH <event>", "The samples of an event, drawn."),
            ("HISTOGRAM [<command> ...]", "How many calls took how many microseconds."),
            ("HISTORY <event>", "The samples of an event: time and milliseconds."),
            ("LATEST", "The last sample and the worst of every event."),
            ("RESET [<event> ...]", "Forgets samples."),
        ],
        Id::Memory => &[
            ("DOCTOR", "How the use of memory is, in words."),
            ("MALLOC-STATS", "What the allocator says of itself."),
            ("PURGE", "Gives unused memory back to the system."),
            ("STATS", "What memory is used for."),
            (
                "USAGE <key> [SAMPLES <count>]",
                "Bytes of a key with its value, judged by some elements; 0: by all.",
            ),
        ],
        Id::Object => &[
            ("ENCODING <key>", "How the value of a key is stored."),
            ("FREQ <key>", "How often a key is used, on a logarithmic scale."),
            ("IDLETIME <key>", "Seconds since a key was used."),
            ("REFCOUNT <key>", "How many references the value of a key has."),
        ],
        Id::Slowlog => &[
            (
                "GET [<count>]",
                "The newest slow commands (10; -1: all): number, time, microseconds, words, client.",
            ),
            ("LEN", "How many there are."),
            ("RESET", "Forgets them."),
        ],
        Id::Proxy => &[(
            "EXPLAIN <full-command>",
            "How a request would be routed, split and merged, and what atomicity it has.",
        )],
        _ => &[],
    }
}

/// The reply of `container HELP`; `row` is the container's or that of its HELP.
pub fn answer(row: &Command, out: &mut Vec<u8>) {
    let name = row.container_name().unwrap_or(row.name);
    let container = crate::lookup::find(name.as_bytes()).map_or(row.id, |row| row.id);
    let entries = entries(container);
    let heading =
        format!("{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name.to_ascii_uppercase());
    write::array(out, 1 + 2 * (entries.len() + 1));
    write::simple(out, &heading);
    for (usage, meaning) in entries.iter().chain([&("HELP", "This text.")]) {
        write::simple(out, usage);
        write::simple(out, &format!("    {meaning}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_container_with_a_handler_has_a_help() {
        for row in crate::table::COMMANDS.iter().filter(|row| row.is_here() && row.name.ends_with("|help")) {
            let mut out = Vec::new();
            answer(row, &mut out);
            assert!(out.len() > 150, "{}", row.name);
        }
    }
}
