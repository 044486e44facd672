//! `slotway check-config`: is a settings file right, and what does it change? And what becomes of a redis.conf? Starts
//! nothing.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// The file to check.
#[derive(Debug, clap::Args)]
#[group(required = true)]
pub(crate) struct CheckConfigArgs {
    /// Settings file (TOML) of a node, a proxy or `slotway up`
    file: Option<PathBuf>,
    /// Settings file of a redis-server: print it as one of `slotway node`, and what cannot be taken over
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    from_redis: Option<PathBuf>,
}

/// Prints whose settings they are and what differs from the defaults; an error holds all mistakes, one line each.
pub(crate) fn run(args: &CheckConfigArgs) -> anyhow::Result<()> {
    match (&args.file, &args.from_redis) {
        (Some(file), None) => println!("{}", slotway_config::check_config(file)?),
        (None, Some(file)) => return convert(file),
        _ => unreachable!("clap takes exactly one of them"),
    }
    Ok(())
}

/// The settings go to the standard output, whole or not; what they lack makes the status 1 and is told apart.
fn convert(file: &Path) -> anyhow::Result<()> {
    let conf = slotway_config::from_redis(file)?;
    println!("{conf}");
    if conf.refused.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = conf.refused.iter().map(ToString::to_string).collect();
    bail!("not everything can be taken over:\n{}", lines.join("\n"))
}
