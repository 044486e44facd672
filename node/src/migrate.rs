//! MIGRATE: keys go to another server, and away from here when it has them.
//!
//! redis-server does nothing else meanwhile. This node goes on serving everybody but the client that asked: its request is a
//! [`Job`] with all values as they were when it came, a task speaks with the target, and when the answers are here the
//! keys are deleted in one turn. What was written meanwhile would be lost with that, so a key that has changed stays:
//! the client is told, and the target has the older value.

mod job;
mod target;

use std::collections::VecDeque;
use std::rc::Rc;

use slotway_resp::write;
use tokio::{sync::Notify, task::JoinSet};

pub(crate) use job::{Cargo, Job, Parcel, Request};

use crate::{node, server, thread::Thread};
use job::Answers;

/// Jobs that may be under way at once.
const JOBS_MAX: usize = 64;

/// The jobs of a node.
#[derive(Default)]
pub(crate) struct Migrations {
    /// Taken on, and not begun.
    waiting: VecDeque<Job>,
    under_way: usize,
    news: Rc<Notify>,
}

impl Migrations {
    /// Takes a job on; it is given back: there are too many.
    pub(crate) fn begin(&mut self, job: Job) -> Result<(), Box<Job>> {
        if self.under_way >= JOBS_MAX {
            return Err(Box::new(job));
        }
        self.under_way += 1;
        self.waiting.push_back(job);
        self.news.notify_one();
        Ok(())
    }
}

/// Does the jobs of a thread's node, until its owner aborts it.
pub(crate) async fn run(thread: Rc<Thread>) {
    let news = Rc::clone(&thread.node.borrow().migrations.news);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = news.notified() => {
                while let Some(job) = thread.node.borrow_mut().migrations.waiting.pop_front() {
                    tasks.spawn_local(work(job, Rc::clone(&thread)));
                }
            }
            Some(ended) = tasks.join_next() => server::report(ended),
        }
    }
}

async fn work(job: Job, thread: Rc<Thread>) {
    let answers = target::deliver(&job).await;
    settle(job, &answers, &thread);
}

/// Deletes what the target has, and answers the client.
fn settle(job: Job, answers: &Answers, thread: &Thread) {
    let node = &mut *thread.node.borrow_mut();
    node.migrations.under_way -= 1;
    let now = node::now();
    let mut moved: Vec<&[u8]> = vec![b"DEL"];
    let mut changed = 0;
    for (nth, parcel) in job.cargo.parcels.iter().enumerate() {
        let is_there = answers.accepted(nth) && !job.request.keeps;
        let has_changed = node.keyspace.has_seen_change(&parcel.watch) || !node.keyspace.feed.is_own();
        if is_there && has_changed {
            changed += 1;
        } else if is_there {
            let key = node.keyspace.key(job.database, &parcel.key);
            if node.keyspace.delete(key, now) {
                node.keyspace.changed(key, 1);
                moved.push(&parcel.key);
            }
        }
        node.keyspace.unwatch(&parcel.watch);
    }
    if moved.len() > 1 && node.keyspace.feed.is_on() {
        node.keyspace.feed.add(job.database, moved.iter().copied());
    }
    node.keyspace.feed.end_unit();
    thread.end_turn(node);
    let mut reply = Vec::new();
    match answers.error(changed) {
        Some(text) => {
            node.statistics.error(text.as_bytes());
            write::error(&mut reply, text.as_bytes());
        }
        None => write::simple(&mut reply, "OK"),
    }
    job.client.answer(reply);
}
