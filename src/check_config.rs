//! `slotway check-config FILE`: is a settings file right, and what does it change? Starts nothing.

use std::path::PathBuf;

/// The file to check.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckConfigArgs {
    /// Settings file (TOML) of a node, a proxy or `slotway up`
    file: PathBuf,
}

/// Prints whose settings they are and what differs from the defaults; an error holds all mistakes, one line each.
pub(crate) fn run(args: &CheckConfigArgs) -> anyhow::Result<()> {
    let report = slotway_config::check_config(&args.file)?;
    println!("{report}");
    Ok(())
}
