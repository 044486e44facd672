//! Orders of the control group, on the keyspace thread.
//!
//! The pulse lays them into the letterbox and rings; here they are obeyed when the thread has time. The first ones adopt the
//! node. What they mean for its part in the shard is decided by its machine, [`slotway_cluster::member`].

use std::rc::Rc;

use slotway_cluster::pulse::{Order, Orders};

use crate::{membership::LedBy, node::Node, thread::Thread};

/// Obeys, until its owner aborts it. Begins when the data are loaded.
pub(crate) async fn run(thread: Rc<Thread>) {
    let vitals = std::sync::Arc::clone(&thread.node.borrow().vitals);
    loop {
        for order in vitals.take_orders() {
            let node = &mut *thread.node.borrow_mut();
            match order {
                Order::Follow(orders) => node.follow_orders(*orders),
                Order::Activate { .. } | Order::Stop { .. } | Order::Unheard { .. } => {}
            }
        }
        vitals.news_for_keyspace().await;
    }
}

impl Node {
    /// Belongs to this cluster from now on, and knows where every slot is.
    fn follow_orders(&mut self, orders: Orders) {
        let index = orders.topology.version;
        // What they lead to is a byte that the node takes or makes.
        if let Err(error) = self.membership.keeper.touch() {
            return tracing::error!(%error, index, "orders are not obeyed: node.json cannot be written");
        }
        match self.take_topology(orders.topology, orders.me, LedBy::Orders) {
            Ok(()) => self.vitals.tell(|told| told.index = told.index.max(index)),
            Err(why) => tracing::error!(%why, index, "orders are not obeyed"),
        }
    }
}
