//! Every setting of every program: what it is called, what it may be, what it is now, and who said so.
//!
//! A setting is one row (`rows`): name, type with bounds, default, whether it may change while the program runs,
//! which program has it, whether it acts yet, and one line of meaning. Everything else reads the row: CONFIG GET
//! and CONFIG SET ([`Settings`]), TOML files, environment and command line ([`sources`]), what `main` needs to
//! start a program ([`NodeConfig`], [`ProxyConfig`], [`UpConfig`]), the example files and `docs/settings.md`
//! ([`render`]). Redis's settings are rows like our own, under Redis's names and with Redis's error texts, so
//! that `redis.conf` knowledge carries over.
//!
//! Settings come from a TOML file, over it the environment (`SLOTWAY__SECTION__NAME`), over that the flags. All
//! mistakes of all three are found before any is reported, each with file and line, variable or flag.
//!
//! The layered-configuration crate `config` was looked at and not taken: it stops at the first mistake, and a value
//! no longer knows the line it came from. `toml` alone keeps both.
//!
//! What this crate does not do: open sockets, apply a changed setting (the program does, from the keys that
//! [`Settings::set`] returns), match glob patterns (the caller brings the matcher).

mod row;
mod rows;

mod events;
mod output;
mod parse;
mod value;

mod settings;

pub mod sources;

mod address;
mod bind;
mod mistakes;
mod secret;

mod programs;

mod check;
mod from_redis;
pub mod render;

pub use address::Address;
pub use bind::{Bind, Exposed, check_exposure};
pub use check::{Report, check_config};
pub use events::KeyspaceEvents;
pub use from_redis::{FromRedis, from_redis};
pub use mistakes::{Mistake, Mistakes, Place};
pub use output::{OutputLimit, OutputLimits};
pub use programs::{BackendKind, Durability, NodeConfig, ProxyConfig, UpConfig, Upstream};
pub use row::{Change, Effect, Kind, Origin, Program, Row, Section, TextRule};
pub use rows::{ALIASES, Key, ROWS};
pub use secret::Secret;
pub use settings::{Adopted, SetError, Settings};
pub use value::{BytesOrPercent, SavePoint};
