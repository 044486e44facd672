//! What the two threads may rely on.

use std::sync::Barrier;

use slotway_cluster::{
    Incarnation, Member, ShardId,
    control::{Durability, ShardState},
    topology::Topology,
};

use super::*;

const ONE: Epoch = Epoch(1);

fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch(epoch), offset: Offset(offset) }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn orders(version: u64) -> Box<Orders> {
    let me = NodeId("n1".into());
    let rule = Rule::new(Member::new(&me, Incarnation(1)), Vec::new());
    Box::new(Orders {
        topology: Topology {
            version,
            cluster_id: "c".repeat(40),
            placement: slotway_cluster::Placement::default(),
            shards: Vec::new(),
            nodes: Vec::new(),
            proxies: Vec::new(),
        },
        me,
        shard: ShardId(1),
        state: ShardState {
            epoch: ONE,
            version: 1,
            rule,
            kept: Vec::new(),
            activated: true,
            pending: None,
            slots: Vec::new(),
            min_copies: None,
            clean_stop: None,
        },
        durability: Durability::Quorum,
        pulse_addrs: Vec::new(),
        leaving: Vec::new(),
    })
}

#[test]
fn a_promise_covers_every_acknowledgement_that_left_before_it() {
    for _ in 0..300 {
        let (vitals, start) = (Vitals::default(), Barrier::new(2));
        vitals.see(ONE);
        let (acked, promised) = std::thread::scope(|scope| {
            let keyspace = scope.spawn(|| {
                start.wait();
                let mut acked = at(0, 0);
                for offset in 1.. {
                    vitals.publish(at(1, offset));
                    if vitals.seen() > ONE {
                        break;
                    }
                    acked = at(1, offset);
                }
                acked
            });
            let pulse = scope.spawn(|| {
                start.wait();
                vitals.see(Epoch(2));
                vitals.position()
            });
            (keyspace.join().unwrap(), pulse.join().unwrap())
        });
        assert!(acked <= promised, "{acked} was acknowledged, {promised} promised");
    }
}

#[test]
fn a_lease_counts_in_its_epoch_until_it_ends() {
    let vitals = Vitals::default();
    assert!(!vitals.holds_lease(Epoch(0), ms(0)), "nobody has granted one");
    vitals.set_lease(ONE, ms(300), ms(0));
    assert!(vitals.holds_lease(ONE, ms(299)));
    assert!(!vitals.holds_lease(ONE, ms(300)));
    assert!(!vitals.holds_lease(Epoch(2), ms(299)), "of another epoch");
    vitals.set_lease(ONE, Duration::MAX, ms(400));
    assert!(vitals.holds_lease(ONE, Duration::from_secs(1 << 40)), "none is needed");
    vitals.set_lease(ONE, Duration::ZERO, ms(500));
    assert!(!vitals.holds_lease(ONE, Duration::ZERO));
}

#[test]
fn of_each_kind_of_order_the_newest_waits_and_of_activations_the_one_that_is_over_first() {
    let vitals = Vitals::default();
    for version in [5, 7, 6] {
        vitals.order(Order::Follow(orders(version)));
    }
    vitals.order(Order::Stop { epoch: ONE, version: 3 });
    vitals.order(Order::Activate { epoch: Epoch(2), not_before: ms(110) });
    vitals.order(Order::Activate { epoch: Epoch(2), not_before: ms(150) });
    let taken: Vec<Order> = vitals.take_orders().collect();
    let expected = [
        Order::Follow(orders(7)),
        Order::Activate { epoch: Epoch(2), not_before: ms(110) },
        Order::Stop { epoch: ONE, version: 3 },
    ];
    assert_eq!(taken, expected);
    assert_eq!(vitals.take_orders().count(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn each_thread_is_woken_by_what_concerns_it_and_by_nothing_else() {
    let vitals = Vitals::default();
    let is_rung = async |bell: &Notify| {
        tokio::select! { biased; () = bell.notified() => true, () = std::future::ready(()) => false }
    };
    vitals.tell(|told| told.index = 0);
    assert!(!is_rung(&vitals.for_pulse).await, "that is no news");
    vitals.tell(|told| told.index = 4);
    assert!(is_rung(&vitals.for_pulse).await && vitals.told().index == 4);
    vitals.set_lease(ONE, ms(300), ms(0));
    assert!(is_rung(&vitals.for_keyspace).await, "it had no lease");
    vitals.set_lease(ONE, ms(375), ms(75));
    assert!(!is_rung(&vitals.for_keyspace).await, "it had one");
    vitals.set_lease(ONE, ms(800), ms(500));
    assert!(is_rung(&vitals.for_keyspace).await, "that one had run out");
    assert!(vitals.see(ONE) && is_rung(&vitals.for_keyspace).await);
    assert!(!vitals.see(ONE) && !is_rung(&vitals.for_keyspace).await);
    vitals.order(Order::Stop { epoch: ONE, version: 1 });
    assert!(is_rung(&vitals.for_keyspace).await);
}
