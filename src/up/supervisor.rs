//! Keeps the children running, and stops them in order.
//!
//! One task per child: start it, see whether it answers, wait until it ends, wait a little, start it again. A child that
//! ends again and again without ever having answered will not come up by being started once more: then all is given up,
//! with the last lines of its log.

use std::{process::ExitStatus, sync::Arc, time::Duration};

use slotway_link::Backoff;
use tokio::{
    process::Child,
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    board::{Board, State},
    child::{ChildProgram, Part},
};

/// The wait before a restart doubles from the first to the second.
const RESTART: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A child that ran this long starts with the shortest wait again.
const SETTLED: Duration = Duration::from_secs(10);

/// How often a child may end without ever having answered.
const FALSE_STARTS_MAX: u32 = 3;

/// How long a child may take to stop before it is killed: more than a proxy gives its clients.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// Between two questions whether a child answers.
const PROBE: Duration = Duration::from_millis(25);

/// Lines of a log that an error shows.
const LAST_WORDS: usize = 5;

/// How far the cluster is on its way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    StopProxies,
    StopNodes,
}

/// Running children. Dropping it kills them; [`Supervisor::stop`] lets them finish.
#[derive(Debug)]
pub(super) struct Supervisor {
    phase: watch::Sender<Phase>,
    proxies: JoinSet<()>,
    nodes: JoinSet<()>,
    failures: mpsc::Receiver<anyhow::Error>,
}

impl Supervisor {
    pub(super) fn start(programs: Vec<ChildProgram>, board: &Arc<Board>, restart: bool) -> Supervisor {
        let (phase, phases) = watch::channel(Phase::Running);
        let (failed, failures) = mpsc::channel(1);
        let (mut proxies, mut nodes) = (JoinSet::new(), JoinSet::new());
        for program in programs {
            let (tasks, stops_in) = match program.part {
                Part::Proxy => (&mut proxies, Phase::StopProxies),
                Part::Node => (&mut nodes, Phase::StopNodes),
            };
            let keeper = Keeper {
                program,
                board: Arc::clone(board),
                phases: phases.clone(),
                stops_in,
                restart: if restart { Restart::Always } else { Restart::Never },
                failed: failed.clone(),
                backoff: Backoff::new(RESTART.0, RESTART.1),
                false_starts: 0,
            };
            tasks.spawn(keeper.run());
        }
        Supervisor { phase, proxies, nodes, failures }
    }

    /// Waits until a child cannot be brought up.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match self.failures.recv().await {
            Some(error) => error,
            // All children have ended and none is to be started again: that is no failure, but a wait for Ctrl-C.
            None => std::future::pending().await,
        }
    }

    /// Lets proxies finish with their clients, then nodes with the proxies.
    pub(super) async fn stop(&mut self) {
        self.phase.send_replace(Phase::StopProxies);
        while self.proxies.join_next().await.is_some() {}
        self.phase.send_replace(Phase::StopNodes);
        while self.nodes.join_next().await.is_some() {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    Always,
    Never,
}

/// How one life of a child ended.
enum End {
    /// As we wished.
    Stopped,
    Exited {
        how: String,
        answered: bool,
    },
}

struct Keeper {
    program: ChildProgram,
    board: Arc<Board>,
    phases: watch::Receiver<Phase>,
    stops_in: Phase,
    restart: Restart,
    failed: mpsc::Sender<anyhow::Error>,
    backoff: Backoff,
    /// Lives in a row that ended before the child answered.
    false_starts: u32,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let began = Instant::now();
            let end = self.live().await;
            self.board.set(&self.program.id, None, State::Exited);
            let End::Exited { how, answered } = end else { return };
            self.false_starts = if answered { 0 } else { self.false_starts + 1 };
            if self.is_hopeless() {
                return self.give_up(&how).await;
            }
            if began.elapsed() >= SETTLED {
                self.backoff.succeeded();
            }
            match self.restart {
                Restart::Never => {
                    tracing::warn!(child = %self.program.id, %how, "ended; it is not started again (--no-restart)");
                    return;
                }
                Restart::Always => {
                    // Children need no jitter: they do not meet at one door.
                    let wait = self.backoff.failed(0);
                    tracing::warn!(child = %self.program.id, %how, wait_ms = wait.as_millis(), "ended; starting it again");
                    if self.stop_within(wait).await {
                        return;
                    }
                }
            }
        }
    }

    /// One life: from start to end.
    async fn live(&mut self) -> End {
        let mut child = match self.program.spawn() {
            Ok(child) => child,
            Err(error) => return End::Exited { how: format!("cannot start: {error}"), answered: false },
        };
        let pid = child.id();
        // Taken out, because waiting for a child closes what is left in it.
        let mut pipe = child.stdin.take();
        self.board.set(&self.program.id, pid, State::Starting);
        let mut answered = false;
        loop {
            tokio::select! {
                status = child.wait() => return End::Exited { how: describe(status), answered },
                () = until_it_answers(&self.program), if !answered => {
                    answered = true;
                    self.board.set(&self.program.id, pid, State::Up);
                }
                () = told_to_stop(&mut self.phases, self.stops_in) => {
                    drop(pipe.take());
                    stop(&self.program.id, child).await;
                    return End::Stopped;
                }
            }
        }
    }

    /// Waits, unless told to stop meanwhile; says which.
    async fn stop_within(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, told_to_stop(&mut self.phases, self.stops_in)).await.is_ok()
    }

    fn is_hopeless(&self) -> bool {
        match self.restart {
            Restart::Always => self.false_starts >= FALSE_STARTS_MAX,
            Restart::Never => self.false_starts > 0,
        }
    }

    async fn give_up(&self, how: &str) {
        let (id, log) = (&self.program.id, self.program.log.display());
        let words = self.program.last_words(LAST_WORDS);
        let error = anyhow::anyhow!("{id} ended before it ever answered ({how}); the end of {log}:\n{words}");
        // Another child may have failed first: one reason is enough.
        let _ = self.failed.try_send(error);
    }
}

/// Returns once the phase has come; also when nobody is left who could announce it.
async fn told_to_stop(phases: &mut watch::Receiver<Phase>, stops_in: Phase) {
    drop(phases.wait_for(|phase| *phase >= stops_in).await);
}

async fn until_it_answers(program: &ChildProgram) {
    while !program.answers().await {
        tokio::time::sleep(PROBE).await;
    }
}

/// Waits for a child that was told to stop, and kills what does not end.
async fn stop(id: &str, mut child: Child) {
    match tokio::time::timeout(STOP_PATIENCE, child.wait()).await {
        Ok(status) => tracing::info!(child = %id, how = %describe(status), "stopped"),
        Err(_) => {
            tracing::warn!(child = %id, "did not stop in {} s: killed", STOP_PATIENCE.as_secs());
            if let Err(error) = child.kill().await {
                tracing::error!(child = %id, %error, "cannot kill");
            }
        }
    }
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}
