//! A lean load generator: closed loop, or open loop when a rate is given. Prints one line of JSON.
//!
//! It exists so that what is measured is the server: heavier generators cost more per pipelined request than a good
//! node does. `lg_us` in its output is what it cost itself, in microseconds of CPU per request.

use slotway_tests::bench::failure::Failure;
use slotway_tests::bench::flags::{Flag, Flags};
use slotway_tests::bench::load::closed::ClosedLoop;
use slotway_tests::bench::load::open::OpenLoop;
use slotway_tests::bench::load::{Length, Outcome, Settings};
use slotway_tests::bench::workload::Mix;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const USAGE: &str = "slotway-load --port P [flags]";
const FLAGS: &[Flag] = &[
    Flag { name: "host", takes: "H", meaning: "server to load (127.0.0.1)" },
    Flag { name: "port", takes: "P", meaning: "its port" },
    Flag {
        name: "mix",
        takes: "MIX",
        meaning: "get, set, ping, mixed:PERCENT of gets, or load: every key once (get)",
    },
    Flag { name: "connections", takes: "N", meaning: "connections (50)" },
    Flag { name: "pipeline", takes: "N", meaning: "requests sent at once on each (1; closed loop only)" },
    Flag { name: "seconds", takes: "S", meaning: "how long (2)" },
    Flag { name: "requests", takes: "N", meaning: "how many instead (with load: the number of keys)" },
    Flag { name: "rate", takes: "R", meaning: "open loop: requests per second over all connections" },
    Flag { name: "value-bytes", takes: "N", meaning: "bytes of a value (64)" },
    Flag { name: "keys", takes: "N", meaning: "number of keys (1000000)" },
    Flag { name: "seed", takes: "N", meaning: "of the random keys (1)" },
];

fn main() -> ExitCode {
    match run() {
        Ok(outcome) => {
            println!("{}", outcome.json());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("slotway-load: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}

fn run() -> Result<Outcome, Failure> {
    let flags = Flags::parse(USAGE, FLAGS, std::env::args().skip(1))?;
    if let Some(word) = flags.words().first() {
        return Err(Failure::Usage(format!("{word:?} is not a flag; usage: {USAGE}")));
    }
    let settings = settings(&flags)?;
    match flags.get("rate")? {
        Some(per_second) => OpenLoop::connect(&settings, per_second)?.run(&AtomicBool::new(false)),
        None => ClosedLoop::connect(&settings)?.run(),
    }
}

fn settings(flags: &Flags) -> Result<Settings, Failure> {
    let mix: Mix = match flags.get::<String>("mix")? {
        Some(word) => word.parse()?,
        None => Mix::Get,
    };
    let keys = flags.get_or("keys", 1_000_000)?;
    let seconds: f64 = flags.get_or("seconds", 2.0)?;
    let length = match flags.get("requests")? {
        Some(requests) => Length::Requests(requests),
        None if mix == Mix::Load => Length::Requests(keys),
        None => Length::For(
            Duration::try_from_secs_f64(seconds)
                .map_err(|_| Failure::Usage(format!("--seconds cannot be {seconds}")))?,
        ),
    };
    Ok(Settings {
        address: address(&flags.get_or("host", "127.0.0.1".to_owned())?, flags.need("port")?)?,
        connections: flags.get_or("connections", 50)?,
        pipeline: flags.get_or("pipeline", 1)?,
        length,
        mix,
        value_bytes: flags.get_or("value-bytes", 64)?,
        keys,
        seed: flags.get_or("seed", 1)?,
    })
}

fn address(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = (host, port).to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| Failure::Usage(format!("no address for {host}:{port}")))
}
