//! `slotway-bench large`: the proxy's memory and CPU while large values pass.
//!
//! A proxy that kept a value until it is whole would need its size once for each client that moves one. This one passes
//! pieces on, so what it holds at a time must not grow with the value. The largest resident memory is the kernel's own
//! mark (`VmHWM`): a sampler would miss a short peak. Each row of each round has a proxy of its own, because one that has
//! grown has room left, in which the next value would leave no trace. The same bytes straight to the servers, with the
//! same client, say how much of a row's speed is the servers' and the client's.

use super::ask::{Asker, ask};
use super::cpu::{Meter, forget_peak, peak_resident_bytes, resident_bytes};
use super::failure::{Failure, While};
use super::histogram::Histogram;
use super::load::micros;
use super::peers::Peers;
use super::process::Process;
use super::report::Table;
use super::rounds::{self, Plan, Spread, local};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;
/// The largest value a server takes (`proto-max-bulk-len`).
const LARGE_BYTES: u64 = 512 * MIB;
/// What each of several clients asks for at once.
const SHARED_BYTES: u64 = 64 * MIB;
const CLIENTS: usize = 8;
/// By how much the proxy may grow, whatever passes.
const GROWTH_MAX: u64 = 64 * MIB;
/// For the client that never reads.
const OUTPUT_LIMIT: &str = "normal 64mb 0 0";
/// A client writes and reads so much at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// A silence of this length is a failure.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Keys of the three servers (CLUSTER KEYSLOT 3300, 7365, 15495).
const SHARED_KEYS: [&str; 3] = ["{b}:shared", "{c}:shared", "{a}:shared"];
const LARGE_KEY: &str = "{b}:large";
const NEIGHBOUR_KEY: &str = "{b}:neighbour";

/// Where each server's keys are asked for: the proxy's port three times, or the servers' own.
struct Ports([u16; 3]);

/// What is moved, and how: returns its bytes.
struct Row {
    name: &'static str,
    pass: fn(&Ports) -> Result<u64, Failure>,
}

const ROWS: [Row; 4] = [
    Row { name: "SET of 512 MiB", pass: set_large },
    Row { name: "GET of 512 MiB", pass: get_large },
    Row { name: "8 clients GET 64 MiB each at once", pass: get_by_several },
    Row { name: "KEYS * over three servers", pass: keys },
];
const NEVER_READ: &str = "GET of 512 MiB by a client that never reads (limit 64 MiB)";

/// One row of one round.
struct Sample {
    bytes: u64,
    /// None where the time is not what is asked.
    took: Option<[Duration; 2]>,
    before: u64,
    peak: u64,
    cpu: Duration,
}

/// # Errors
/// When a system is missing, does not start or does not answer, or when the client that never reads is not cut.
pub fn run(peers: &Peers, plan: &Plan) -> Result<String, Failure> {
    let backends = peers.backends()?;
    let straight = Ports([backends[0].port(), backends[1].port(), backends[2].port()]);
    for (key, port) in SHARED_KEYS.into_iter().zip(straight.0) {
        set(port, key, SHARED_BYTES)?;
    }
    set(straight.0[0], NEIGHBOUR_KEY, plan.value_bytes as u64)?;
    rounds::fill(&fresh(peers, &backends)?, plan.keys, plan.value_bytes)?;
    let mut rows: Vec<(&str, Vec<Sample>)> = Vec::new();
    for row in &ROWS {
        rows.push((row.name, Vec::new()));
    }
    rows.push((NEVER_READ, Vec::new()));
    let (mut calm, mut beside) = (Histogram::default(), Histogram::default());
    for number in 1..=plan.rounds {
        eprintln!("round {number} of {}", plan.rounds);
        for (row, (_, samples)) in ROWS.iter().zip(&mut rows) {
            samples.push(measure(row, &fresh(peers, &backends)?, &backends, &straight)?);
        }
        let proxy = fresh(peers, &backends)?;
        let (_, latency) = neighbour(&proxy, || {
            thread::sleep(plan.each);
            Ok(())
        })?;
        calm.add(&latency);
        let (sample, latency) = never_read(&proxy, &backends, plan.each)?;
        rows[ROWS.len()].1.push(sample);
        beside.add(&latency);
    }
    Ok(format!(
        "## Large values through the proxy: 3 redis-servers, {} keys of {} B, {} rounds\n\n{}\n\
         A neighbour on the server of the client that never reads, one GET at a time: {} while all was calm, {} beside it.\n\n{}",
        plan.keys,
        plan.value_bytes,
        plan.rounds,
        costs(&rows),
        latencies(&calm),
        latencies(&beside),
        verdicts(&rows),
    ))
}

fn costs(rows: &[(&str, Vec<Sample>)]) -> Table {
    let mut table = Table::new([
        "what passes",
        "MiB",
        "seconds",
        "MiB/s",
        "straight to the servers, MiB/s",
        "RSS before, MiB",
        "largest RSS, MiB",
        "growth, MiB",
        "proxy's CPU, us per MiB",
    ]);
    for (name, samples) in rows {
        let spread = |number: &dyn Fn(&Sample) -> Option<f64>| {
            let numbers: Vec<f64> = samples.iter().filter_map(number).collect();
            if numbers.is_empty() { "-".to_owned() } else { Spread::of(numbers).to_string() }
        };
        let speed = |way: usize| move |s: &Sample| Some(mib(s.bytes) / s.took?[way].as_secs_f64());
        table.row([
            (*name).to_owned(),
            format!("{:.0}", samples.first().map_or(0.0, |s| mib(s.bytes))),
            spread(&|s| Some(s.took?[0].as_secs_f64())),
            spread(&speed(0)),
            spread(&speed(1)),
            spread(&|s| Some(mib(s.before))),
            spread(&|s| Some(mib(s.peak))),
            spread(&|s| Some(mib(s.growth()))),
            spread(&|s| Some(micros(s.cpu) / mib(s.bytes))),
        ]);
    }
    table
}

/// A bound holds in every round or it does not: the largest growth counts.
fn verdicts(rows: &[(&str, Vec<Sample>)]) -> Table {
    let mut table = Table::new(["growth of the proxy, MiB", "largest", "at most", "met"]);
    for (name, samples) in rows {
        let largest = samples.iter().map(Sample::growth).max().unwrap_or(0);
        let met = if largest <= GROWTH_MAX { "yes" } else { "no" };
        let numbers = [mib(largest), mib(GROWTH_MAX)].map(|number| format!("{number:.1}"));
        table.row([(*name).to_owned(), numbers[0].clone(), numbers[1].clone(), met.to_owned()]);
    }
    table
}

impl Sample {
    fn growth(&self) -> u64 {
        self.peak.saturating_sub(self.before)
    }
}

/// A proxy that has passed on nothing large yet.
fn fresh(peers: &Peers, backends: &[Process]) -> Result<Process, Failure> {
    let proxy = peers.proxies(backends)?.swap_remove(0);
    // Its answer says that the way to the servers is open.
    ask(proxy.port(), &["GET", NEIGHBOUR_KEY]).during("asking through a new proxy")?;
    Ok(proxy)
}

fn measure(row: &Row, proxy: &Process, backends: &[Process], straight: &Ports) -> Result<Sample, Failure> {
    let before = resident_bytes(proxy)?;
    forget_peak(proxy)?;
    let meter = Meter::start(proxy, backends)?;
    let started = Instant::now();
    let bytes = (row.pass)(&Ports([proxy.port(); 3]))?;
    let took = started.elapsed();
    let cpu = meter.stop()?.measured;
    let peak = peak_resident_bytes(proxy)?;
    let started = Instant::now();
    let again = (row.pass)(straight)?;
    let took_straight = started.elapsed();
    // KEYS through the proxy is one array, straight it is three: their headers differ.
    if bytes.abs_diff(again) > 64 {
        return Err(Failure::Worthless(format!("{}: {bytes} bytes through, {again} straight", row.name)));
    }
    eprintln!("  {}: {took:.2?}, grew by {:.1} MiB", row.name, mib(peak.saturating_sub(before)));
    Ok(Sample { bytes, took: Some([took, took_straight]), before, peak, cpu })
}

/// One client asks and never reads while a neighbour goes on for `length`.
fn never_read(
    proxy: &Process,
    backends: &[Process],
    length: Duration,
) -> Result<(Sample, Histogram), Failure> {
    ask(proxy.port(), &["CONFIG", "SET", "client-output-buffer-limit", OUTPUT_LIMIT])
        .during("setting the proxy's output limit")?;
    let before = resident_bytes(proxy)?;
    forget_peak(proxy)?;
    let meter = Meter::start(proxy, backends)?;
    let (mut lazy, latency) = neighbour(proxy, || {
        let mut lazy = connect(proxy.port())?;
        lazy.write_all(&request(&["GET", LARGE_KEY]))?;
        thread::sleep(length);
        Ok(lazy)
    })?;
    let cpu = meter.stop()?.measured;
    let peak = peak_resident_bytes(proxy)?;
    let received = until_closed(&mut lazy).during("reading what was left for the client that never read")?;
    if received >= LARGE_BYTES {
        return Err(Failure::Worthless("the client that never reads was not cut".to_owned()));
    }
    eprintln!("  {NEVER_READ}: grew by {:.1} MiB", mib(peak.saturating_sub(before)));
    Ok((Sample { bytes: LARGE_BYTES, took: None, before, peak, cpu }, latency))
}

/// A client asks for a small value again and again until `meanwhile` is over: how long its answers took.
fn neighbour<T>(
    proxy: &Process,
    meanwhile: impl FnOnce() -> io::Result<T>,
) -> Result<(T, Histogram), Failure> {
    let over = AtomicBool::new(false);
    let mut asker = Asker::connect(proxy.port()).during("connecting the neighbour")?;
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut latency = Histogram::default();
            while !over.load(Ordering::Relaxed) {
                let started = Instant::now();
                asker.ask(&["GET", NEIGHBOUR_KEY])?;
                latency.record(started.elapsed());
            }
            Ok(latency)
        });
        let result = meanwhile();
        over.store(true, Ordering::Relaxed);
        let latency: io::Result<Histogram> =
            asking.join().map_err(|_| Failure::Worthless("the neighbour ended early".to_owned()))?;
        Ok((result.during("asking beside the neighbour")?, latency.during("asking as the neighbour")?))
    })
}

fn set_large(ports: &Ports) -> Result<u64, Failure> {
    set(ports.0[0], LARGE_KEY, LARGE_BYTES)
}

fn get_large(ports: &Ports) -> Result<u64, Failure> {
    take(ports.0[0], &["GET", LARGE_KEY])
}

fn get_by_several(ports: &Ports) -> Result<u64, Failure> {
    thread::scope(|scope| {
        let clients = SHARED_KEYS.into_iter().zip(ports.0).cycle().take(CLIENTS);
        let running: Vec<_> =
            clients.map(|(key, port)| scope.spawn(move || take(port, &["GET", key]))).collect();
        let panicked = |_| Failure::Worthless("a client ended early".to_owned());
        running.into_iter().map(|client| client.join().map_err(panicked)?).sum()
    })
}

fn keys(ports: &Ports) -> Result<u64, Failure> {
    let mut ports = ports.0.to_vec();
    ports.dedup();
    ports.into_iter().map(|port| take(port, &["KEYS", "*"])).sum()
}

/// Sets a value of `bytes` and returns them.
fn set(port: u16, key: &str, bytes: u64) -> Result<u64, Failure> {
    let send = || {
        let mut stream = connect(port)?;
        let header = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${bytes}\r\n", key.len());
        stream.write_all(header.as_bytes())?;
        io::copy(&mut io::repeat(b'x').take(bytes), &mut io::BufWriter::with_capacity(PIECE_BYTES, &stream))?;
        stream.write_all(b"\r\n")?;
        take_reply(&mut BufReader::new(stream))
    };
    send().during(&format!("SET of {bytes} bytes on port {port}"))?;
    Ok(bytes)
}

fn take(port: u16, words: &[&str]) -> Result<u64, Failure> {
    let ask = || {
        let mut stream = connect(port)?;
        stream.write_all(&request(words))?;
        take_reply(&mut BufReader::with_capacity(PIECE_BYTES, stream))
    };
    ask().during(&format!("{} on port {port}", words.join(" ")))
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(local(port))?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out += &format!("${}\r\n{word}\r\n", word.len());
    }
    out.into_bytes()
}

/// Reads a reply and keeps none of it: a line, a bulk, or an array of bulks without line ends in them. Returns its bytes.
fn take_reply(from: &mut impl BufRead) -> io::Result<u64> {
    let mut header = Vec::new();
    from.read_until(b'\n', &mut header)?;
    let line = String::from_utf8_lossy(&header).into_owned();
    let length = || line.get(1..).and_then(|digits| digits.trim_end().parse::<u64>().ok());
    let (mut bytes, mut lines) = match (header.first(), length()) {
        (Some(b'$'), Some(length)) => (length + 2, 0),
        (Some(b'*'), Some(elements)) => (0, elements * 2),
        (Some(b'+'), _) => (0, 0),
        _ => return Err(io::Error::other(format!("answered {:?}", line.trim_end()))),
    };
    let mut taken = header.len() as u64;
    while bytes > 0 || lines > 0 {
        let piece = from.fill_buf()?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lines = lines.saturating_sub(piece.iter().filter(|byte| **byte == b'\n').count() as u64);
        bytes = bytes.saturating_sub(piece.len() as u64);
        taken += piece.len() as u64;
        let len = piece.len();
        from.consume(len);
    }
    Ok(taken)
}

/// How many bytes come until the other side closes, or breaks, the connection.
fn until_closed(stream: &mut TcpStream) -> io::Result<u64> {
    let mut room = vec![0; PIECE_BYTES];
    let mut received = 0;
    loop {
        match stream.read(&mut room) {
            Ok(0) => return Ok(received),
            Ok(bytes) => received += bytes as u64,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(received),
            Err(error) => return Err(error),
        }
    }
}

fn latencies(of: &Histogram) -> String {
    let millis = |duration| micros(duration) / 1000.0;
    format!(
        "p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms",
        millis(of.per_mille(500)),
        millis(of.per_mille(990)),
        millis(of.max())
    )
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotway_cluster::{SlotRange, slot::spread_slot};

    #[test]
    fn each_key_lies_on_its_server() {
        let ranges = SlotRange::equal(3);
        let on = |at: usize, key: &str| {
            ranges[at].slots().any(|of_server| of_server == spread_slot(key.as_bytes()))
        };
        assert!((0..3).all(|at| on(at, SHARED_KEYS[at])));
        assert!(on(0, LARGE_KEY) && on(0, NEIGHBOUR_KEY));
    }

    #[test]
    fn a_reply_ends_where_it_says() {
        let take = |bytes: &[u8]| take_reply(&mut BufReader::with_capacity(4, bytes));
        assert_eq!(take(b"+OK\r\n").unwrap(), 5);
        assert_eq!(take(b"$10\r\n0123456789\r\n").unwrap(), 17);
        assert_eq!(take(b"*2\r\n$1\r\na\r\n$2\r\nbc\r\n").unwrap(), 19);
    }

    #[test]
    fn an_error_a_nil_and_half_a_reply_are_no_measurement() {
        for bytes in [&b"-ERR no\r\n"[..], b"$-1\r\n", b"$10\r\n01234", b"*2\r\n$1\r\na\r\n", b""] {
            assert!(take_reply(&mut BufReader::new(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_largest_growth_decides() {
        let sample = |peak| Sample { bytes: 1, took: None, before: MIB, peak, cpu: Duration::ZERO };
        let grown = |by: &[u64]| vec![("row", by.iter().map(|by| sample(MIB + by)).collect())];
        assert!(verdicts(&grown(&[0, GROWTH_MAX])).to_string().contains("| 64.0 | 64.0 | yes |"));
        assert!(verdicts(&grown(&[2 * GROWTH_MAX, 0])).to_string().contains("| 128.0 | 64.0 | no |"));
    }
}
