//! What a command is: one row each, for every command and subcommand of Redis 7.2.
//!
//! A command's name, arity, flags, key positions and the way a proxy treats it are facts, and a fact stands in one
//! place: [`table`]. The node's handlers and the proxy's dispatch match over the rows, COMMAND answers from them
//! ([`describe`]), tests walk them. Beside the rows lives what node and proxy must agree on word for word: error
//! texts ([`errors`]), glob patterns ([`glob`]), what is said of tracking ([`tracking`]) and the fields of INFO with their
//! merge rules ([`info`]).
//!
//! Pure: no sockets, no clock. [`lookup::find`], [`lookup::resolve`] and [`keys::positions`] stand on the path of
//! every request and allocate nothing unless they fail.

pub mod row;

pub mod id;
pub mod table;

pub mod lookup;

pub mod keys;

pub mod errors;

pub mod glob;
pub mod help;
pub mod tracking;

pub mod describe;

pub mod info;

pub use id::Id;
pub use row::Command;
