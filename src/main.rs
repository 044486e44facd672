//! The one binary: `slotway up | node | proxy | ctl`.
//!
//! Each subcommand is a file of its own beside this one; all it does is wire the crates together. Exit status: 0 done,
//! 1 refused or failed, 2 bad usage.

use std::process::ExitCode;

use clap::Parser;

mod up;

mod node;

mod proxy;

mod ctl;

mod check_config;

mod flags;

mod stop;

mod log;

mod table;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Many small storage nodes that look like one Redis.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, clap::Subcommand)]
enum Program {
    /// Start a whole cluster on this machine: nodes, proxies, slots
    Up(up::UpArgs),
    /// Start a storage node
    Node(node::NodeArgs),
    /// Start a proxy
    Proxy(proxy::ProxyArgs),
    /// Ask a running cluster
    Ctl(ctl::CtlArgs),
    /// Check a settings file
    CheckConfig(check_config::CheckConfigArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().program {
        Program::Up(args) => up::run(&args),
        Program::Node(args) => node::run(&args),
        Program::Proxy(args) => proxy::run(&args),
        Program::Ctl(args) => ctl::run(&args),
        Program::CheckConfig(args) => check_config::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slotway: {error:#}");
            exit_code(&error)
        }
    }
}

/// Settings that cannot be are bad usage, as an unknown flag is.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<slotway_config::Mistakes>() {
        Some(_) => ExitCode::from(2),
        None => ExitCode::FAILURE,
    }
}
