//! CLIENT PAUSE and UNPAUSE: what is in force changes at once; whoever asked is answered when all data threads know, and when
//! the writes that they had taken on before are over.

use std::{rc::Rc, sync::PoisonError};

use slotway_commands::errors;
use slotway_resp::{Request, number, write};
use tokio::sync::oneshot;

use crate::{
    client::Client, dispatch::Case, local::clients::deliver, message::Message, pause::Pause, replies::Ticket,
    thread::Thread,
};

/// `CLIENT PAUSE milliseconds [WRITE|ALL]`
pub(super) fn pause(case: &mut Case<'_>) {
    match asked(case.request, case.thread.now_us()) {
        Ok(pause) => {
            let now_us = case.thread.now_us();
            change(case, |before| before.at(now_us).and(pause));
        }
        Err(text) => case.refuse(&text),
    }
}

pub(super) fn unpause(case: &mut Case<'_>) {
    change(case, |_| Pause::None);
}

/// What the request asks for.
fn asked(request: Request<'_>, now_us: u64) -> Result<Pause, Vec<u8>> {
    let all = match request.get(3) {
        _ if request.len() > 4 => {
            return Err(errors::bad_subcommand("CLIENT", request.word(1)).into_bytes());
        }
        Some(mode) if mode.eq_ignore_ascii_case(b"write") => false,
        Some(mode) if !mode.eq_ignore_ascii_case(b"all") => return Err(errors::PAUSE_MODE.into()),
        _ => true,
    };
    let millis = number::integer(request.word(2)).ok_or(errors::TIMEOUT_NOT_INTEGER.as_bytes())?;
    let millis = u64::try_from(millis).map_err(|_| errors::TIMEOUT_NEGATIVE.as_bytes())?;
    let until_us = now_us.saturating_add(millis.saturating_mul(1000));
    Ok(if all { Pause::All { until_us } } else { Pause::Writes { until_us } })
}

fn change(case: &mut Case<'_>, change: impl FnOnce(Pause) -> Pause) {
    let thread = case.thread;
    let mut shared = thread.shared.pause.lock().unwrap_or_else(PoisonError::into_inner);
    *shared = change(*shared);
    tracing::info!(by = case.client.id, pause = ?*shared, "CLIENT PAUSE or UNPAUSE");
    drop(shared);
    // Not later: what the client has sent behind this request is looked at next.
    thread.look_at_pause();
    let ticket = case.replies.expect(case.heard);
    thread.spawn(tell_all(Rc::clone(thread), Rc::clone(case.client), ticket));
}

async fn tell_all(thread: Rc<Thread>, client: Rc<Client>, ticket: Ticket) {
    let threads = thread.shared.threads.get().cloned().unwrap_or_default();
    let mut answers = Vec::new();
    for sender in threads.iter().filter_map(tokio::sync::mpsc::WeakSender::upgrade) {
        let (send, receive) = oneshot::channel();
        if sender.send(Message::LookAtPause { answer: send }).await.is_ok() {
            answers.push(receive);
        }
    }
    for answer in answers {
        // A thread that has ended has no clients.
        let _ = answer.await;
    }
    let mut out = Vec::new();
    write::simple(&mut out, "OK");
    deliver(&thread, &client, ticket, &out);
}

/// Answers when no write is under way that this thread had taken on before the pause, or when there is no pause. A write
/// whose node does not answer ends at its deadline.
pub(crate) async fn answer_when_in_force(thread: Rc<Thread>, answer: oneshot::Sender<()>) {
    let since_us = thread.now_us();
    thread.writes_over.until(|| thread.pause.get().is_none() || !thread.owes_write(since_us)).await;
    // Whoever asked may be gone.
    let _ = answer.send(());
}
