//! Where log lines go and which are written.
//!
//! To standard error, one line each. `loglevel` has Redis's words; `SLOTWAY_LOG` takes a tracing filter instead
//! (`debug,slotway_control=trace`), and `SLOTWAY_LOG_FORMAT=json` writes JSON for collectors.

use std::{io::IsTerminal, sync::OnceLock};

use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// Changes the filter of a running program.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging; `level` is the setting `loglevel`.
pub(crate) fn start(level: &str) {
    let chosen = std::env::var("SLOTWAY_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let follows_setting = chosen.is_none();
    let (filter, handle) = reload::Layer::new(chosen.unwrap_or_else(|| filter_of(level)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match std::env::var("SLOTWAY_LOG_FORMAT").as_deref() {
        Ok("json") => tracing_subscriber::registry().with(filter).with(lines.json()).try_init(),
        _ => {
            let lines = lines.with_ansi(std::io::stderr().is_terminal()).with_target(false);
            tracing_subscriber::registry().with(filter).with(lines).try_init()
        }
    };
    // It fails only where somebody logs already, which is just as well.
    if started.is_ok() && follows_setting {
        drop(FILTER.set(handle));
    }
}

/// Follows a changed `loglevel`, unless `SLOTWAY_LOG` has the say.
pub(crate) fn set_level(level: &str) {
    if let Some(handle) = FILTER.get() {
        // It fails only if the subscriber is gone: then nothing is logged anyway.
        drop(handle.reload(filter_of(level)));
    }
}

/// Redis's levels, loudest first: debug, verbose, notice, warning. openraft writes for its own developers: what of it matters is told by
/// the control group in its own words.
fn filter_of(level: &str) -> EnvFilter {
    EnvFilter::new(match level {
        "debug" => "debug,openraft=info",
        "warning" => "warn,openraft=off",
        _ => "info,openraft=off",
    })
}
