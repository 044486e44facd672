//! The open loop: requests leave when the schedule says, whatever the server does.
//!
//! Request `i` is meant to leave at `start + i / rate`, on connection `i mod connections`. Its latency counts from
//! that moment, also when the generator was late or the socket was full, so a server that pauses pays for every
//! request it kept waiting (no coordinated omission). Because connections answer in order, the `k`-th reply of a
//! connection belongs to a request whose time the schedule knows: nothing has to be remembered per request.

use super::{Length, Outcome, SILENCE_MAX, Settings, connect};
use crate::bench::connection::{Connection, Received};
use crate::bench::failure::{Failure, While};
use crate::bench::histogram::Histogram;
use crate::bench::wire::{self, ReplyKind};
use crate::bench::workload::Workload;
use crate::syscall::{Epoll, Events, sharpen_timeouts, thread_cpu_time};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Unsent bytes of one connection past which its further requests are made later. Their latency counts all the same.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// When each request is meant to leave.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    per_second: u64,
    lanes: u64,
}

impl Schedule {
    /// How long after the start request `index` is due.
    fn due(self, index: u64) -> Duration {
        let (seconds, rest) = (index / self.per_second, index % self.per_second);
        // The rest is below one second, so its nanoseconds fit.
        Duration::from_secs(seconds)
            + Duration::from_nanos(
                u64::try_from(u128::from(rest) * 1_000_000_000 / u128::from(self.per_second)).unwrap_or(0),
            )
    }

    /// How many requests are due once `elapsed` has passed: all `index` with `due(index) <= elapsed`.
    fn due_by(self, elapsed: Duration) -> u64 {
        let nanoseconds = elapsed.as_nanos() + 1;
        u64::try_from((nanoseconds * u128::from(self.per_second)).div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }

    /// The schedule's number of the `nth` request of a lane.
    fn index(self, lane: u64, nth: u64) -> u64 {
        nth * self.lanes + lane
    }
}

/// Connected, ready to run.
#[derive(Debug)]
pub struct OpenLoop {
    epoll: Epoll,
    lanes: Vec<Lane>,
    workload: Workload,
    schedule: Schedule,
    /// Requests in the whole schedule.
    total: u64,
    outcome: Outcome,
    lateness: Histogram,
}

#[derive(Debug)]
struct Lane {
    /// `None` once it is lost.
    connection: Option<Connection>,
    made: u64,
    answered: u64,
}

impl OpenLoop {
    /// `per_second` requests over all connections together.
    ///
    /// # Errors
    /// When the server does not accept all connections.
    pub fn connect(settings: &Settings, per_second: u64) -> Result<OpenLoop, Failure> {
        if per_second == 0 || settings.connections == 0 {
            return Err(Failure::Usage("an open loop needs a rate and a connection".to_owned()));
        }
        let epoll = Epoll::new().during("making an epoll")?;
        let lanes: Vec<Lane> = connect(settings, &epoll)?
            .into_iter()
            .map(|connection| Lane { connection: Some(connection), made: 0, answered: 0 })
            .collect();
        let schedule = Schedule { per_second, lanes: lanes.len() as u64 };
        let due_in = |duration: Duration| schedule.due_by(duration.saturating_sub(Duration::from_nanos(1)));
        let total = match settings.length {
            Length::For(duration) => due_in(duration),
            Length::Requests(requests) => requests,
            Length::AtMost { requests, duration } => requests.min(due_in(duration)),
        };
        let workload = Workload::new(settings.mix, settings.value_bytes, settings.keys, settings.seed);
        let lateness = Histogram::default();
        Ok(OpenLoop { epoll, lanes, workload, schedule, total, outcome: Outcome::empty(), lateness })
    }

    /// Runs the schedule to its end, or until `stop` is true: then nothing more is sent and what is out is awaited.
    ///
    /// # Errors
    /// Only when the machine refuses a clock or epoll: a server that stays silent shows in latency and errors.
    pub fn run(mut self, stop: &AtomicBool) -> Result<Outcome, Failure> {
        sharpen_timeouts().during("asking for sharp timeouts")?;
        let cpu_before = thread_cpu_time().during("reading the thread's clock")?;
        let started = Instant::now();
        let mut events = Events::with_capacity(256);
        let mut made = 0;
        let mut last_sent = started;
        loop {
            let now = started.elapsed();
            if stop.load(Ordering::Relaxed) {
                self.total = self.total.min(made);
            }
            let due = self.schedule.due_by(now).min(self.total);
            if due > made {
                made = self.send_due(made, due, started);
                last_sent = Instant::now();
            }
            let finished =
                made == self.total && self.lanes.iter().enumerate().all(|(at, _)| self.is_done(at));
            if finished || (made == self.total && last_sent.elapsed() > SILENCE_MAX) {
                break;
            }
            let timeout = if made < self.total {
                self.schedule.due(made).saturating_sub(started.elapsed())
            } else {
                Duration::from_millis(100)
            };
            self.epoll.wait(&mut events, Some(timeout)).during("waiting for replies")?;
            for index in 0..events.len() {
                let event = events.get(index);
                let lane = usize::try_from(event.token).unwrap_or(0);
                if event.readable {
                    self.take_replies(lane, started);
                }
                if event.writable {
                    self.send_on(lane, made, started);
                }
            }
        }
        self.count_unanswered(started.elapsed());
        self.outcome.elapsed = started.elapsed();
        self.outcome.lateness = Some(self.lateness);
        self.outcome.own_cpu = thread_cpu_time().during("reading the thread's clock")? - cpu_before;
        Ok(self.outcome)
    }

    /// Sends what came due since the last time: each lane concerned once, with all that it owes.
    fn send_due(&mut self, made: u64, due: u64, started: Instant) -> u64 {
        for index in made..due.min(made + self.schedule.lanes) {
            self.send_on(usize::try_from(index % self.schedule.lanes).unwrap_or(0), due, started);
        }
        due
    }

    /// Makes the lane's requests up to number `due` of the schedule, as far as there is room, and writes.
    fn send_on(&mut self, at: usize, due: u64, started: Instant) {
        let lane = &mut self.lanes[at];
        let Some(connection) = &mut lane.connection else { return };
        let first = lane.made;
        while connection.unsent() < UNSENT_BYTES_MAX && self.schedule.index(at as u64, lane.made) < due {
            self.workload.append(connection.output());
            lane.made += 1;
        }
        // A connection that breaks here says so to the read as well: one place deals with it.
        let _broken = connection.flush(&self.epoll);
        let now = started.elapsed();
        for nth in first..lane.made {
            self.lateness.record(now.saturating_sub(self.schedule.due(self.schedule.index(at as u64, nth))));
        }
    }

    fn take_replies(&mut self, at: usize, started: Instant) {
        let lane = &mut self.lanes[at];
        let Some(connection) = &mut lane.connection else { return };
        match connection.receive() {
            Received::Bytes => {}
            Received::Nothing => return,
            Received::Closed => {
                lane.connection = None;
                return self.outcome.note_error(b"-connection lost");
            }
        }
        let now = started.elapsed();
        let bytes = connection.input();
        let mut used = 0;
        while let Some(reply) = wire::reply(&bytes[used..]) {
            match reply.kind {
                ReplyKind::Value => {}
                ReplyKind::Nil => self.outcome.nils += 1,
                ReplyKind::Error => self.outcome.note_error(&bytes[used..used + reply.len]),
            }
            let due = self.schedule.due(self.schedule.index(at as u64, lane.answered));
            self.outcome.latency.record(now.saturating_sub(due));
            self.outcome.operations += 1;
            lane.answered += 1;
            used += reply.len;
        }
        connection.consume(used);
    }

    /// Nothing of the lane is out: all of the schedule was sent and answered, or it is lost.
    fn is_done(&self, at: usize) -> bool {
        let lane = &self.lanes[at];
        let complete = self.schedule.index(at as u64, lane.answered) >= self.total;
        lane.connection.is_none() || complete
    }

    /// A request never answered has waited at least until now: leaving it out would flatter.
    fn count_unanswered(&mut self, now: Duration) {
        for (at, lane) in self.lanes.iter().enumerate() {
            for nth in lane.answered.. {
                let index = self.schedule.index(at as u64, nth);
                if index >= self.total {
                    break;
                }
                self.outcome.latency.record(now.saturating_sub(self.schedule.due(index)));
                self.outcome.errors += 1;
            }
        }
        if self.outcome.errors > 0 && self.outcome.last_error.is_empty() {
            self.outcome.last_error = "requests never answered".to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::test_server;
    use crate::bench::workload::Mix;

    #[test]
    fn the_schedule_is_even_and_its_two_directions_agree() {
        for per_second in [1, 3, 1000, 7919, 1_000_000] {
            let schedule = Schedule { per_second, lanes: 1 };
            assert_eq!(schedule.due(0), Duration::ZERO);
            assert_eq!(schedule.due(per_second * 5), Duration::from_secs(5));
            for index in [0, 1, 2, 999, 1000, 123_456] {
                let due = schedule.due(index);
                // Times are cut to whole nanoseconds, so a request may count as due that nanosecond later.
                assert!(schedule.due_by(due + Duration::from_nanos(1)) > index, "{index} at {per_second}/s");
                assert!(schedule.due_by(due.saturating_sub(Duration::from_nanos(1))) <= index + 1);
            }
        }
    }

    #[test]
    fn lanes_take_the_requests_in_turn() {
        let schedule = Schedule { per_second: 100, lanes: 3 };
        let all: Vec<u64> =
            (0..2).flat_map(|nth| (0..3).map(move |lane| schedule.index(lane, nth))).collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    }

    fn settings(length: Length) -> Settings {
        let address = test_server::start();
        Settings {
            address,
            connections: 3,
            pipeline: 1,
            length,
            mix: Mix::Get,
            value_bytes: 8,
            keys: 9,
            seed: 1,
        }
    }

    #[test]
    fn a_schedule_is_kept_to_the_last_request() {
        let load = OpenLoop::connect(&settings(Length::For(Duration::from_millis(100))), 10_000).unwrap();
        let outcome = load.run(&AtomicBool::new(false)).unwrap();
        assert_eq!(outcome.operations, 1000);
        assert_eq!(outcome.lateness.as_ref().unwrap().count(), 1000);
        assert!(outcome.elapsed >= Duration::from_micros(99_900), "{:?}", outcome.elapsed);
        outcome.must_be_clean("the server").unwrap();
    }

    #[test]
    fn a_stopped_schedule_sends_no_more() {
        let load = OpenLoop::connect(&settings(Length::Requests(u64::MAX)), 1000).unwrap();
        let outcome = load.run(&AtomicBool::new(true)).unwrap();
        assert_eq!((outcome.operations, outcome.errors), (0, 0));
    }

    #[test]
    fn requests_that_are_never_answered_count_as_errors_and_in_the_latency() {
        let mut settings = settings(Length::Requests(30));
        settings.address = test_server::start_that_hangs_up();
        let outcome = OpenLoop::connect(&settings, 100_000).unwrap().run(&AtomicBool::new(false)).unwrap();
        assert_eq!(outcome.latency.count(), 30);
        assert!(outcome.errors >= 30, "{}", outcome.errors);
    }
}
