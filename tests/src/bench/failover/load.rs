//! The load of a run: requests leave when the schedule says, and each is remembered with what became of it.
//!
//! An open loop: request `i` is due at `i / rate`, on lane `i mod lanes`, whatever the servers do; its latency counts from then. A lane is a
//! client with one connection. When it loses it, what it had sent and not heard of is of unknown outcome; what falls due before it has another
//! is an error of its own kind, as a user of any client library sees it.
//!
//! Lanes belong to sides. A side stands somewhere in the network and knows doors: proxies, of which a client takes the next one when its own
//! fails, or servers of which somebody tells the side which one leads ([`Side::leads`]), as a client library with sentinels does.

use std::{
    collections::VecDeque,
    io,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    place::Door,
    request::{Became, NEVER, Request, What, is_unknown},
    speak::{Chance, error_text, number},
};
use crate::{
    bench::{
        connection::{Connection, Received},
        wire,
    },
    syscall::{Epoll, Events, sharpen_timeouts},
};

/// Room for the replies of one read.
const INPUT_BYTES: usize = 64 * 1024;

/// How long answers are waited for once nothing more is sent: longer than a proxy holds a request.
const LAST_WORDS_MAX: Duration = Duration::from_secs(8);

/// How long one attempt to connect may take.
const CONNECT_MAX: Duration = Duration::from_millis(250);

/// Between two attempts.
const CONNECT_AGAIN: Duration = Duration::from_millis(10);

/// How long the loop sleeps at most.
const NAP_MAX: Duration = Duration::from_millis(5);

/// Clients that stand at one place.
#[derive(Clone, Debug)]
pub struct Side {
    pub name: &'static str,
    pub doors: Vec<Door>,
    pub lanes: usize,
    /// The door whose server leads, where clients are told so.
    pub leads: Option<Arc<AtomicUsize>>,
}

/// Told while the load runs, per side.
#[derive(Debug, Default)]
pub struct Progress {
    pub acknowledged: AtomicU64,
    /// When the last answer with data (not an error) came, and when the last write was acknowledged.
    pub last_answer: AtomicU64,
    pub last_write: AtomicU64,
}

/// What a run's clients saw.
#[derive(Debug)]
pub struct Record {
    pub requests: Vec<Request>,
    /// The side of each lane; request `number` was on lane `number % lanes`.
    pub sides: Vec<usize>,
    /// Texts of errors; `Became` counts into them.
    pub errors: Vec<String>,
}

impl Record {
    #[must_use]
    pub fn side_of(&self, request: &Request) -> usize {
        let lanes = u64::try_from(self.sides.len()).unwrap_or(1);
        usize::try_from(request.number % lanes).map_or(0, |lane| self.sides[lane])
    }
}

/// A load that runs on a thread of its own.
#[derive(Debug)]
pub struct Load {
    pub clock: Instant,
    pub progress: Arc<Vec<Progress>>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<io::Result<Record>>,
}

impl Load {
    /// Starts it: `per_second` over all lanes of all sides.
    ///
    /// # Errors
    /// When a side has no door that opens.
    pub fn start(sides: Vec<Side>, per_second: u64, seed: u64) -> io::Result<Load> {
        let clock = Instant::now();
        let progress: Arc<Vec<Progress>> = Arc::new(sides.iter().map(|_| Progress::default()).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let (told, is_over) = (Arc::clone(&progress), Arc::clone(&stop));
        let running = Running::new(sides, per_second.max(1), seed, clock, told)?;
        let thread = thread::spawn(move || running.run(&is_over));
        Ok(Load { clock, progress, stop, thread })
    }

    /// Nanoseconds since the run's clock began.
    #[must_use]
    pub fn now(&self) -> u64 {
        nanoseconds(self.clock.elapsed())
    }

    /// Sends nothing more, waits for what is out.
    ///
    /// # Errors
    /// When the load broke off.
    pub fn end(self) -> io::Result<Record> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| io::Error::other("the load panicked"))?
    }
}

#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

struct Lane {
    side: usize,
    /// The door it tries next, or is connected to.
    door: usize,
    connection: Option<Connection>,
    /// Requests that are out, oldest first, and how many replies of the first one have come.
    out: VecDeque<usize>,
    replies: u8,
    /// The first error among them.
    refusal: Option<usize>,
}

struct Running {
    clock: Instant,
    per_second: u64,
    epoll: Epoll,
    sides: Vec<Side>,
    lanes: Vec<Lane>,
    callers: Vec<Caller>,
    chance: Chance,
    requests: Vec<Request>,
    errors: Vec<String>,
    progress: Arc<Vec<Progress>>,
}

/// Connects lanes of one side, on a thread that stands where the side does.
struct Caller {
    wanted: SyncSender<(usize, usize)>,
    made: Receiver<(usize, Option<TcpStream>)>,
}

impl Caller {
    fn new(side: &Side) -> Caller {
        let (wanted, calls) = sync_channel::<(usize, usize)>(side.lanes + 1);
        let (answers, made) = sync_channel(side.lanes + 1);
        let doors = side.doors.clone();
        thread::spawn(move || {
            // Whoever cannot go there connects to nobody.
            let is_there = doors.first().is_some_and(|door| door.place.enter().is_ok());
            while let Ok((lane, door)) = calls.recv() {
                let connected = TcpStream::connect_timeout(&doors[door].address, CONNECT_MAX).ok();
                if connected.is_none() {
                    thread::park_timeout(CONNECT_AGAIN);
                }
                if answers.send((lane, connected.filter(|_| is_there))).is_err() {
                    return;
                }
            }
        });
        Caller { wanted, made }
    }
}

impl Running {
    fn new(
        sides: Vec<Side>,
        per_second: u64,
        seed: u64,
        clock: Instant,
        progress: Arc<Vec<Progress>>,
    ) -> io::Result<Running> {
        let callers = sides.iter().map(Caller::new).collect();
        let mut running = Running {
            clock,
            per_second,
            epoll: Epoll::new()?,
            sides: Vec::new(),
            lanes: Vec::new(),
            callers,
            chance: Chance::from_seed(seed),
            requests: Vec::new(),
            errors: Vec::new(),
            progress,
        };
        for (at, side) in sides.iter().enumerate() {
            for nth in 0..side.lanes {
                let door = leading_door(side).unwrap_or(nth % side.doors.len());
                let connection =
                    Some(running.register(running.lanes.len(), side.doors[door].connect(CONNECT_MAX)?)?);
                let (out, replies, refusal) = (VecDeque::new(), 0, None);
                running.lanes.push(Lane { side: at, door, connection, out, replies, refusal });
            }
        }
        running.sides = sides;
        Ok(running)
    }

    fn register(&self, lane: usize, stream: TcpStream) -> io::Result<Connection> {
        Connection::register(stream, &self.epoll, u64::try_from(lane).unwrap_or(u64::MAX), INPUT_BYTES)
    }

    fn run(mut self, stop: &AtomicBool) -> io::Result<Record> {
        sharpen_timeouts()?;
        let mut events = Events::with_capacity(256);
        let begun = self.clock.elapsed();
        let mut over = None;
        loop {
            if stop.load(Relaxed) && over.is_none() {
                over = Some(Instant::now());
            }
            match over {
                None => self.send_what_is_due(begun),
                Some(since) => {
                    let is_quiet = self.lanes.iter().all(|lane| lane.out.is_empty());
                    if is_quiet || since.elapsed() > LAST_WORDS_MAX {
                        break;
                    }
                }
            }
            self.follow_leaders();
            self.take_connections();
            let next = begun + self.due(self.requests.len());
            let nap = next.saturating_sub(self.clock.elapsed()).min(NAP_MAX);
            self.epoll.wait(&mut events, Some(nap))?;
            for index in 0..events.len() {
                let event = events.get(index);
                let lane = usize::try_from(event.token).unwrap_or(0);
                if event.readable {
                    self.take_replies(lane);
                }
                if event.writable
                    && let Some(connection) = &mut self.lanes[lane].connection
                {
                    let _broken = connection.flush(&self.epoll);
                }
            }
        }
        let silence = self.error("never answered");
        for lane in 0..self.lanes.len() {
            self.lose(lane, silence);
        }
        let sides = self.lanes.iter().map(|lane| lane.side).collect();
        Ok(Record { requests: self.requests, sides, errors: self.errors })
    }

    /// How long after the first request this one is due.
    fn due(&self, number: usize) -> Duration {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let (seconds, rest) = (number / self.per_second, number % self.per_second);
        Duration::from_secs(seconds) + Duration::from_nanos(rest * 1_000_000_000 / self.per_second)
    }

    fn send_what_is_due(&mut self, begun: Duration) {
        let mut touched = Vec::new();
        while begun + self.due(self.requests.len()) <= self.clock.elapsed() {
            let at = self.requests.len();
            let due = nanoseconds(begun + self.due(at));
            let what = What::choose(&mut self.chance);
            // Value 0 is "nothing there", so numbers begin at 1 where they are values: request 0 is a read.
            let what = if at == 0 { What::Get { register: 0 } } else { what };
            let number = u64::try_from(at).unwrap_or(u64::MAX);
            let lane = at % self.lanes.len();
            let mut request =
                Request { number, what, due, sent: NEVER, answered: NEVER, became: Became::NotSent };
            if let Some(connection) = &mut self.lanes[lane].connection {
                what.append(number, connection.output());
                request.sent = nanoseconds(self.clock.elapsed());
                self.lanes[lane].out.push_back(at);
                touched.push(lane);
            }
            self.requests.push(request);
        }
        for lane in touched {
            if let Some(connection) = &mut self.lanes[lane].connection {
                // A connection that breaks here says so to the read as well: one place deals with it.
                let _broken = connection.flush(&self.epoll);
            }
        }
    }

    fn take_replies(&mut self, at: usize) {
        let Some(mut connection) = self.lanes[at].connection.take() else { return };
        match connection.receive() {
            Received::Bytes => {}
            Received::Nothing => {
                self.lanes[at].connection = Some(connection);
                return;
            }
            Received::Closed => {
                drop(connection);
                let lost = self.error("connection lost");
                self.lose(at, lost);
                return self.call(at);
            }
        }
        let now = nanoseconds(self.clock.elapsed());
        let bytes = connection.input();
        let mut used = 0;
        while let Some(reply) = wire::reply(&bytes[used..]) {
            self.take_reply(at, &bytes[used..used + reply.len], now);
            used += reply.len;
        }
        connection.consume(used);
        self.lanes[at].connection = Some(connection);
    }

    fn take_reply(&mut self, at: usize, reply: &[u8], now: u64) {
        let error = error_text(reply).or_else(|| error_within(reply));
        let error = match error {
            None if reply.starts_with(b"*-1") => Some("EXEC answered null".to_owned()),
            error => error,
        };
        let error = error.map(|text| self.error(&text));
        let lane = &mut self.lanes[at];
        // A server that says more than it was asked has closed its books with this client.
        let Some(&first) = lane.out.front() else { return };
        lane.replies += 1;
        let request = &mut self.requests[first];
        lane.refusal = lane.refusal.or(error);
        if lane.replies < request.what.replies() {
            return;
        }
        lane.out.pop_front();
        lane.replies = 0;
        let first_error = lane.refusal.take();
        request.answered = now;
        // The last reply decides: what went wrong before EXEC, EXEC refuses.
        request.became = match error {
            None => Became::Done(number(reply)),
            Some(error) if is_unknown(&self.errors[error]) => Became::Unknown(error),
            Some(error) => Became::Refused(first_error.unwrap_or(error)),
        };
        if let Became::Done(_) = request.became {
            let progress = &self.progress[lane.side];
            progress.last_answer.store(now, Relaxed);
            if request.what.writes() {
                progress.acknowledged.fetch_add(1, Relaxed);
                progress.last_write.store(now, Relaxed);
            }
        }
    }

    /// What a lane had out is of unknown outcome.
    fn lose(&mut self, at: usize, why: usize) {
        let lane = &mut self.lanes[at];
        lane.replies = 0;
        lane.refusal = None;
        for request in lane.out.drain(..) {
            self.requests[request].became = Became::Unknown(why);
        }
    }

    /// Asks for a connection: to the leader, or to the next door.
    fn call(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        let side = &self.sides[lane.side];
        lane.door = leading_door(side).unwrap_or((lane.door + 1) % side.doors.len());
        // There is room for each lane of the side, and each asks once.
        let _asked = self.callers[lane.side].wanted.try_send((at, lane.door));
    }

    fn take_connections(&mut self) {
        for side in 0..self.callers.len() {
            loop {
                match self.callers[side].made.try_recv() {
                    Ok((lane, Some(stream))) => {
                        match stream.set_nodelay(true).and_then(|()| self.register(lane, stream)) {
                            Ok(connection) => self.lanes[lane].connection = Some(connection),
                            Err(_) => self.call(lane),
                        }
                    }
                    Ok((lane, None)) => self.call(lane),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
            }
        }
    }

    /// Clients that were told of another leader leave the one they have.
    fn follow_leaders(&mut self) {
        for at in 0..self.lanes.len() {
            let lane = &self.lanes[at];
            let leading = leading_door(&self.sides[lane.side]);
            if lane.connection.is_some() && leading.is_some_and(|leading| leading != lane.door) {
                self.lanes[at].connection = None;
                let lost = self.error("connection given up");
                self.lose(at, lost);
                self.call(at);
            }
        }
    }

    /// The number of an error's text. Numbers in it do not make it another error.
    fn error(&mut self, text: &str) -> usize {
        let mut plain = String::new();
        for letter in text.chars() {
            match letter {
                '0'..='9' if plain.ends_with('#') => {}
                '0'..='9' => plain.push('#'),
                other => plain.push(other),
            }
        }
        let known = self.errors.iter().position(|known| *known == plain);
        known.unwrap_or_else(|| {
            self.errors.push(plain);
            self.errors.len() - 1
        })
    }
}

fn leading_door(side: &Side) -> Option<usize> {
    side.leads.as_ref().map(|leads| leads.load(Relaxed))
}

/// The first error in the array that EXEC answers.
fn error_within(reply: &[u8]) -> Option<String> {
    let elements = reply.strip_prefix(b"*")?;
    let from = elements.windows(3).position(|window| window == b"\r\n-")?;
    let line = elements[from + 2..].split(|byte| *byte == b'\r').next()?;
    error_text(line)
}
