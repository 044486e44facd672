//! Load, and what came of it: the closed loop and the open loop have this in common.
//!
//! A **closed** loop sends the next batch of a connection when the last one is answered: it finds out what a request
//! costs, but a server that pauses is simply asked less, so its latencies flatter. An **open** loop sends at a fixed
//! rate whatever the server does and counts from the moment a request was meant to be sent: its latencies are what a
//! user would see.

pub mod closed;
pub mod open;

use super::connection::{Connection, INPUT_BYTES};
use super::failure::{Failure, While};
use super::histogram::Histogram;
use super::workload::Mix;
use crate::syscall::Epoll;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may stay silent before the load is given up.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How a load is put together.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests of one connection sent at once (closed loop only).
    pub pipeline: usize,
    pub length: Length,
    pub mix: Mix,
    pub value_bytes: usize,
    pub keys: u64,
    pub seed: u64,
}

/// When the load is over.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    For(Duration),
    Requests(u64),
    /// Whichever is reached first.
    AtMost {
        requests: u64,
        duration: Duration,
    },
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    pub operations: u64,
    pub elapsed: Duration,
    /// Closed loop: from a batch's making to each reply. Open loop: from the time the schedule names.
    pub latency: Histogram,
    /// Open loop: how much later than the schedule says a request was handed to the kernel.
    pub lateness: Option<Histogram>,
    /// Error replies, lost connections, and in an open loop requests never answered.
    pub errors: u64,
    pub nils: u64,
    pub last_error: String,
    /// CPU time of the generator itself.
    pub own_cpu: Duration,
}

impl Outcome {
    fn empty() -> Outcome {
        Outcome {
            operations: 0,
            elapsed: Duration::ZERO,
            latency: Histogram::default(),
            lateness: None,
            errors: 0,
            nils: 0,
            last_error: String::new(),
            own_cpu: Duration::ZERO,
        }
    }

    /// Requests answered per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds of `spent` for each request.
    #[must_use]
    pub fn per_request(&self, spent: Duration) -> f64 {
        micros(spent) / self.operations.max(1) as f64
    }

    /// # Errors
    /// [`Failure::Worthless`] when the server refused, lost or (where `nils` are not expected) did not have anything.
    pub fn must_be_clean(&self, name: &str) -> Result<(), Failure> {
        if self.errors > 0 {
            let (errors, last) = (self.errors, &self.last_error);
            return Err(Failure::Worthless(format!("{name}: {errors} errors, the last one: {last}")));
        }
        if self.nils > 0 {
            return Err(Failure::Worthless(format!("{name} did not have {} of the keys", self.nils)));
        }
        if self.operations == 0 {
            return Err(Failure::Worthless(format!("{name} answered nothing")));
        }
        Ok(())
    }

    /// One line of JSON. Times are microseconds but for `sec`.
    #[must_use]
    pub fn json(&self) -> String {
        let at = |per_mille| micros(self.latency.per_mille(per_mille));
        let mut line = format!(
            "{{\"ops\":{},\"sec\":{:.4},\"rps\":{:.0},\"p50\":{:.1},\"p90\":{:.1},\"p99\":{:.1},\"p999\":{:.1},\
             \"max\":{:.1},\"errs\":{},\"nils\":{},\"lg_us\":{:.3}",
            self.operations,
            self.elapsed.as_secs_f64(),
            self.rate(),
            at(500),
            at(900),
            at(990),
            at(999),
            micros(self.latency.max()),
            self.errors,
            self.nils,
            self.per_request(self.own_cpu),
        );
        if let Some(lateness) = &self.lateness {
            let (p99, max) = (micros(lateness.per_mille(990)), micros(lateness.max()));
            write!(line, ",\"late_p99\":{p99:.1},\"late_max\":{max:.1}").expect("a String takes all");
        }
        let last_error = serde_json::Value::from(self.last_error.as_str());
        write!(line, ",\"lasterr\":{last_error}}}").expect("a String takes all");
        line
    }

    /// Keeps an error reply, without its dash and line end and cut to a line's length.
    #[cold]
    fn note_error(&mut self, reply: &[u8]) {
        self.errors += 1;
        let text = String::from_utf8_lossy(reply.get(1..).unwrap_or_default());
        self.last_error = text.trim_end().chars().take(250).collect();
    }
}

#[must_use]
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn connect(settings: &Settings, epoll: &Epoll) -> Result<Vec<Connection>, Failure> {
    let replies = settings.pipeline.saturating_mul(settings.value_bytes + 64);
    (0..settings.connections)
        .map(|index| {
            let stream = TcpStream::connect(settings.address).during(&format!(
                "connection {} to {}",
                index + 1,
                settings.address
            ))?;
            Connection::register(stream, epoll, index as u64, INPUT_BYTES + replies)
                .during("registering a connection")
        })
        .collect()
}

/// What the loops are tried against: a thread per connection that answers every GET with eight bytes.
#[cfg(test)]
mod test_server {
    use crate::bench::wire;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::thread;

    pub(super) fn start() -> SocketAddr {
        serve(answer)
    }

    /// Reads the first request of each connection and closes it.
    pub(super) fn start_that_hangs_up() -> SocketAddr {
        serve(|mut stream| {
            let _read = stream.read(&mut [0; 1]);
        })
    }

    /// The listener ends with the test's process.
    fn serve(each: fn(TcpStream)) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || each(stream))))
        });
        address
    }

    fn answer(mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let (mut bytes, mut room) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = stream.read(&mut room) {
            bytes.extend_from_slice(&room[..read]);
            while let Some(request) = wire::request(&bytes) {
                let reply: &[u8] = if request.initial == b'g' { b"$8\r\nabcdefgh\r\n" } else { b"+OK\r\n" };
                let used = request.len;
                bytes.drain(..used);
                if stream.write_all(reply).is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_json_with_the_known_names() {
        let mut outcome = Outcome::empty();
        outcome.operations = 2;
        outcome.elapsed = Duration::from_secs(1);
        outcome.latency.record_many(Duration::from_micros(100), 2);
        outcome.own_cpu = Duration::from_micros(3);
        outcome.note_error(b"-ERR a \"quoted\" \\ thing\r\n");
        let line: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
        for (name, value) in [("ops", 2.0), ("sec", 1.0), ("rps", 2.0), ("p50", 100.0), ("max", 100.0)] {
            assert_eq!(line[name].as_f64(), Some(value), "{name}");
        }
        assert_eq!(line["lg_us"].as_f64(), Some(1.5));
        assert_eq!(line["errs"].as_u64(), Some(1));
        assert_eq!(line["lasterr"].as_str(), Some("ERR a \"quoted\" \\ thing"));
        assert!(line.get("late_p99").is_none(), "a closed loop is never late");
    }

    #[test]
    fn a_load_with_errors_or_nils_or_nothing_is_worthless() {
        let mut outcome = Outcome::empty();
        assert!(outcome.must_be_clean("x").unwrap_err().to_string().contains("x answered nothing"));
        outcome.operations = 1;
        assert!(outcome.must_be_clean("x").is_ok());
        outcome.nils = 1;
        assert!(outcome.must_be_clean("x").unwrap_err().to_string().contains("did not have 1"));
        outcome.note_error(b"-LOADING\r\n");
        assert!(outcome.must_be_clean("x").unwrap_err().to_string().contains("LOADING"));
    }
}
