//! Where log lines go and which are written.
//!
//! To standard error, one line each. `loglevel` has Redis's words; `SLOTWAY_LOG` takes a tracing filter instead
//! (`debug,slotway_control=trace`), and `SLOTWAY_LOG_FORMAT=json` writes JSON for collectors.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging; `level` is the setting `loglevel`.
pub(crate) fn start(level: &str) {
    let chosen = std::env::var("SLOTWAY_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter = chosen.unwrap_or_else(|| EnvFilter::new(filter_of(level)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match std::env::var("SLOTWAY_LOG_FORMAT").as_deref() {
        Ok("json") => lines.json().try_init(),
        _ => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    // It fails only where somebody logs already, which is just as well.
    drop(started);
}

/// Redis's levels, loudest first: debug, verbose, notice, warning.
fn filter_of(level: &str) -> &'static str {
    match level {
        "debug" => "debug",
        "warning" => "warn",
        _ => "info",
    }
}
