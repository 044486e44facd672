//! The shape of the HELP subcommands: an array of lines, as Redis has it.

use slotway_resp::write;

/// A heading, then for each subcommand its usage and, indented, what it does.
pub(super) fn write_help(out: &mut Vec<u8>, command: &str, subcommands: &[(&str, &str)]) {
    let usual = [("HELP", "This text.")];
    write::array(out, 1 + 2 * (subcommands.len() + usual.len()));
    write::simple(out, &format!("{command} <subcommand> [<argument> ...]. The subcommands:"));
    for (usage, meaning) in subcommands.iter().chain(&usual) {
        write::simple(out, usage);
        write::simple(out, &format!("    {meaning}"));
    }
}
