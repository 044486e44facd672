//! Who has something to write: each turn of a data thread's loop ends with one write per socket.
//!
//! Tasks that run because their sockets had something to read put bytes into buffers of links and clients and mark
//! them here. The first mark wakes one task, which the runtime queues behind all tasks that are ready already: by the
//! time it runs, every request and reply of this turn lies in its buffer, and each socket is written once.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use crate::{client::Client, link::Link, thread::Thread};

/// Marked links and clients.
#[derive(Default)]
pub(crate) struct Turn {
    links: RefCell<Vec<Rc<Link>>>,
    clients: RefCell<Vec<Rc<Client>>>,
    waker: RefCell<Option<Waker>>,
}

impl Turn {
    /// `link` has unsent requests.
    pub(crate) fn mark_link(&self, link: &Rc<Link>) {
        if !link.marked.replace(true) {
            self.links.borrow_mut().push(Rc::clone(link));
            self.wake();
        }
    }

    /// `client` has unsent replies.
    pub(crate) fn mark_client(&self, client: &Rc<Client>) {
        if !client.marked.replace(true) {
            self.clients.borrow_mut().push(Rc::clone(client));
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The task that writes. It never ends; its owner drops it.
pub(crate) async fn write_what_is_marked(thread: Rc<Thread>) {
    // Two lists that are swapped with the marked ones, so that a turn allocates nothing.
    let (mut links, mut clients) = (Vec::new(), Vec::new());
    poll_fn(|context| {
        let turn = &thread.turn;
        std::mem::swap(&mut links, &mut *turn.links.borrow_mut());
        std::mem::swap(&mut clients, &mut *turn.clients.borrow_mut());
        for link in links.drain(..) {
            link.marked.set(false);
            link.flush(&thread);
        }
        for client in clients.drain(..) {
            client.marked.set(false);
            client.flush(&thread);
        }
        *turn.waker.borrow_mut() = Some(context.waker().clone());
        // A mark that was set while writing found no waker.
        if !turn.links.borrow().is_empty() || !turn.clients.borrow().is_empty() {
            turn.wake();
        }
        Poll::<()>::Pending
    })
    .await;
}
