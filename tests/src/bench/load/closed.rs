//! The closed loop: each connection sends a batch, reads its replies, sends the next.
//!
//! Per request it makes one copy of a template, one random number and one walk over the reply; per batch two system
//! calls and two looks at the clock. Nothing is allocated once the first batches were made.

use super::{Length, Outcome, SILENCE_MAX, Settings, connect};
use crate::bench::connection::{Connection, Received};
use crate::bench::failure::{Failure, While};
use crate::bench::wire::{self, ReplyKind};
use crate::bench::workload::Workload;
use crate::syscall::{Epoll, Events, thread_cpu_time};
use std::time::{Duration, Instant};

/// Connected, ready to run: connecting is not part of what is measured.
#[derive(Debug)]
pub struct ClosedLoop {
    epoll: Epoll,
    lanes: Vec<Lane>,
    workload: Workload,
    pipeline: usize,
    length: Length,
    /// Requests not yet made, when they are counted.
    left: u64,
    outcome: Outcome,
}

#[derive(Debug)]
struct Lane {
    /// `None` once it is lost.
    connection: Option<Connection>,
    unanswered: usize,
    made_at: Instant,
}

impl ClosedLoop {
    /// # Errors
    /// When the server does not accept all connections.
    pub fn connect(settings: &Settings) -> Result<ClosedLoop, Failure> {
        let epoll = Epoll::new().during("making an epoll")?;
        let made_at = Instant::now();
        let lanes = connect(settings, &epoll)?
            .into_iter()
            .map(|connection| Lane { connection: Some(connection), unanswered: 0, made_at })
            .collect();
        let left = match settings.length {
            Length::For(_) => u64::MAX,
            Length::Requests(requests) | Length::AtMost { requests, .. } => requests,
        };
        let workload = Workload::new(settings.mix, settings.value_bytes, settings.keys, settings.seed);
        let (pipeline, length) = (settings.pipeline.max(1), settings.length);
        Ok(ClosedLoop { epoll, lanes, workload, pipeline, length, left, outcome: Outcome::empty() })
    }

    /// # Errors
    /// [`Failure::Worthless`] when the server falls silent.
    pub fn run(mut self) -> Result<Outcome, Failure> {
        let cpu_before = thread_cpu_time().during("reading the thread's clock")?;
        let started = Instant::now();
        let end = match self.length {
            Length::For(duration) | Length::AtMost { duration, .. } => Some(started + duration),
            Length::Requests(_) => None,
        };
        let mut live = 0;
        for lane in 0..self.lanes.len() {
            live += usize::from(self.start_batch(lane));
        }
        let mut events = Events::with_capacity(256);
        let mut heard_at = started;
        while live > 0 {
            self.epoll.wait(&mut events, Some(Duration::from_secs(1))).during("waiting for replies")?;
            let now = Instant::now();
            if events.is_empty() {
                self.give_up_if_silent(now - heard_at)?;
                continue;
            }
            heard_at = now;
            let over = end.is_some_and(|end| now >= end);
            for index in 0..events.len() {
                let event = events.get(index);
                let lane = usize::try_from(event.token).unwrap_or(0);
                if event.writable {
                    self.write_on(lane);
                }
                if event.readable && self.take_replies(lane) && (over || !self.start_batch(lane)) {
                    live -= 1;
                }
            }
        }
        self.outcome.elapsed = started.elapsed();
        self.outcome.own_cpu = thread_cpu_time().during("reading the thread's clock")? - cpu_before;
        Ok(self.outcome)
    }

    /// Makes and sends a lane's next batch; false when all requests were made or the connection is lost.
    fn start_batch(&mut self, lane: usize) -> bool {
        let lane = &mut self.lanes[lane];
        let batch = self.pipeline.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let Some(connection) = &mut lane.connection else { return false };
        if batch == 0 {
            return false;
        }
        self.left -= batch as u64;
        let output = connection.output();
        for _ in 0..batch {
            self.workload.append(output);
        }
        lane.unanswered = batch;
        lane.made_at = Instant::now();
        // A connection that breaks here says so to the read as well: one place deals with it.
        let _broken = connection.flush(&self.epoll);
        true
    }

    /// Goes on with a batch that the kernel did not take at once.
    #[cold]
    fn write_on(&mut self, lane: usize) {
        if let Some(connection) = &mut self.lanes[lane].connection {
            let _broken = connection.flush(&self.epoll);
        }
    }

    /// Reads what is there; true when that ends the lane's batch: it is answered whole, or the connection is lost.
    fn take_replies(&mut self, lane: usize) -> bool {
        let lane = &mut self.lanes[lane];
        let Some(connection) = &mut lane.connection else { return false };
        match connection.receive() {
            Received::Bytes => {}
            Received::Nothing => return false,
            Received::Closed => {
                lane.connection = None;
                let was_busy = std::mem::take(&mut lane.unanswered) > 0;
                if was_busy {
                    self.outcome.note_error(b"-connection lost");
                }
                return was_busy;
            }
        }
        let bytes = connection.input();
        let (mut at, mut done) = (0, 0_usize);
        while let Some(reply) = wire::reply(&bytes[at..]) {
            match reply.kind {
                ReplyKind::Value => {}
                ReplyKind::Nil => self.outcome.nils += 1,
                ReplyKind::Error => self.outcome.note_error(&bytes[at..at + reply.len]),
            }
            at += reply.len;
            done += 1;
        }
        connection.consume(at);
        if done == 0 {
            return false;
        }
        self.outcome.latency.record_many(lane.made_at.elapsed(), done as u64);
        self.outcome.operations += done as u64;
        lane.unanswered = lane.unanswered.saturating_sub(done);
        lane.unanswered == 0
    }

    fn give_up_if_silent(&self, silent_for: Duration) -> Result<(), Failure> {
        if silent_for < SILENCE_MAX {
            return Ok(());
        }
        let waiting = self.lanes.iter().filter(|lane| lane.unanswered > 0).count();
        Err(Failure::Worthless(format!("no reply for {silent_for:.0?} on {waiting} connections")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::test_server;
    use crate::bench::workload::Mix;

    fn settings(length: Length, mix: Mix) -> Settings {
        let address = test_server::start();
        Settings { address, connections: 3, pipeline: 4, length, mix, value_bytes: 8, keys: 100, seed: 1 }
    }

    #[test]
    fn a_counted_load_makes_exactly_that_many_requests() {
        for (mix, requests) in [(Mix::Get, 1001), (Mix::Load, 100), (Mix::Ping, 1), (Mix::Set, 12)] {
            let load = ClosedLoop::connect(&settings(Length::Requests(requests), mix)).unwrap();
            let outcome = load.run().unwrap();
            assert_eq!(outcome.operations, requests, "{mix:?}");
            assert_eq!(outcome.latency.count(), requests, "{mix:?}");
            outcome.must_be_clean("the server").unwrap();
        }
    }

    #[test]
    fn a_timed_load_ends_in_time_with_every_batch_answered() {
        let load = ClosedLoop::connect(&settings(Length::For(Duration::from_millis(50)), Mix::Get)).unwrap();
        let outcome = load.run().unwrap();
        assert!(outcome.elapsed >= Duration::from_millis(50));
        assert_eq!(outcome.operations % 4, 0);
        outcome.must_be_clean("the server").unwrap();
    }

    #[test]
    fn a_load_with_both_bounds_ends_at_the_first() {
        for (requests, duration) in [(30, Duration::from_secs(60)), (u64::MAX, Duration::from_millis(20))] {
            let length = Length::AtMost { requests, duration };
            let outcome = ClosedLoop::connect(&settings(length, Mix::Get)).unwrap().run().unwrap();
            assert!(outcome.operations <= requests && outcome.elapsed < Duration::from_secs(30));
            outcome.must_be_clean("the server").unwrap();
        }
    }

    #[test]
    fn lost_connections_are_errors_and_end_the_load() {
        let mut settings = settings(Length::For(Duration::from_secs(60)), Mix::Get);
        settings.address = test_server::start_that_hangs_up();
        let outcome = ClosedLoop::connect(&settings).unwrap().run().unwrap();
        assert_eq!(outcome.errors, 3);
        assert!(outcome.must_be_clean("the server").unwrap_err().to_string().contains("connection lost"));
    }
}
