//! Real clients against a real cluster: what people run today must work without a word about shards.
//!
//! Each test starts its own cluster with `slotway up` and gives it to one client, which connects with its defaults. The
//! libraries of other languages are driven by the scripts of `tests/clients`, which also pass against a plain
//! redis-server: a script that fails here and passes there has found a difference. `./test --tools` installs the
//! libraries below the target directory; a library that is missing fails its tests by name.

#[path = "clients/run.rs"]
mod run;

#[path = "clients/benchmark.rs"]
mod benchmark;
#[path = "clients/cli.rs"]
mod cli;
#[path = "clients/rust.rs"]
mod rust;
#[path = "clients/scripts.rs"]
mod scripts;
