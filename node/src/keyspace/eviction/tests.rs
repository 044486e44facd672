//! Each policy takes what it should and leaves what it must, and memory comes down to the limit.

use std::collections::HashSet;

use slotway_cluster::Placement;

use super::*;
use crate::keyspace::{Deadline, Settings};

const START: Millis = Millis(1_700_000_000_000);
const SPREAD: Database = Database(0);
const WHOLE: Database = Database(3);

fn at(seconds: u64) -> Millis {
    Millis(START.0 + seconds * 1000)
}

fn keyspace(policy: &str) -> Keyspace {
    let policy = Policy::named(policy);
    let usage = match policy.counts_uses() {
        true => Usage::Frequency { log_factor: 10, decay_minutes: 1 },
        false => Usage::LastUse,
    };
    let settings = Settings { policy, usage, ..Settings::default() };
    Keyspace::new(Placement::default(), *b"a seed for tests", settings)
}

fn set(keyspace: &mut Keyspace, database: Database, name: &str, deadline: Option<Millis>, now: Millis) {
    let key = keyspace.key(database, name.as_bytes());
    keyspace.set_text(key, b"value", deadline.map_or(Deadline::Clear, Deadline::At), now);
}

fn read(keyspace: &mut Keyspace, database: Database, name: &str, now: Millis) -> bool {
    let key = keyspace.key(database, name.as_bytes());
    keyspace.read(key, now).is_some()
}

fn names(keyspace: &Keyspace, database: Database) -> HashSet<String> {
    let entries = keyspace.entries(database, Millis(0));
    entries.map(|entry| String::from_utf8(entry.key().to_vec()).unwrap()).collect()
}

#[test]
fn under_lru_cold_keys_go_and_hot_ones_stay() {
    for database in [SPREAD, WHOLE] {
        let mut keyspace = keyspace("allkeys-lru");
        for number in 0..10_000 {
            set(&mut keyspace, database, &format!("k{number}"), None, at(number / 100));
        }
        for number in 0..1000 {
            assert!(read(&mut keyspace, database, &format!("k{number}"), at(200)));
        }
        for _ in 0..5000 {
            assert!(keyspace.evict(at(200)));
        }
        let left = names(&keyspace, database);
        let hot = (0..1000).filter(|number| left.contains(&format!("k{number}"))).count();
        let cold = (1000..2000).filter(|number| left.contains(&format!("k{number}"))).count();
        assert!(hot >= 995, "{hot} of 1000 hot keys are left");
        assert!(cold <= 150, "{cold} of 1000 cold keys are left");
        assert_eq!((left.len(), keyspace.stats.evicted), (5000, 5000));
    }
}

#[test]
fn under_lfu_rare_keys_go_though_they_were_used_last() {
    let mut keyspace = keyspace("allkeys-lfu");
    for number in 0..2000 {
        set(&mut keyspace, SPREAD, &format!("k{number}"), None, at(0));
    }
    for _ in 0..200 {
        for number in 0..500 {
            read(&mut keyspace, SPREAD, &format!("k{number}"), at(1));
        }
    }
    for number in 500..2000 {
        read(&mut keyspace, SPREAD, &format!("k{number}"), at(2));
    }
    for _ in 0..1000 {
        assert!(keyspace.evict(at(3)));
    }
    let left = names(&keyspace, SPREAD);
    let often = (0..500).filter(|number| left.contains(&format!("k{number}"))).count();
    assert!(often >= 495, "{often} of 500 keys that are used often are left");
}

#[test]
fn the_policy_of_deadlines_takes_the_next_first() {
    let mut keyspace = keyspace("volatile-ttl");
    for number in 0..2000 {
        set(&mut keyspace, SPREAD, &format!("k{number}"), Some(at(1000 + number)), at(0));
    }
    (0..1000).for_each(|_| assert!(keyspace.evict(at(1))));
    let left = names(&keyspace, SPREAD);
    let late = (1800..2000).filter(|number| left.contains(&format!("k{number}"))).count();
    let soon = (0..200).filter(|number| left.contains(&format!("k{number}"))).count();
    assert!(late >= 198 && soon <= 20, "{late} of 200 late and {soon} of 200 soon");
}

#[test]
fn the_volatile_policies_leave_keys_without_a_deadline_alone() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        for (database, share) in [(SPREAD, 2), (SPREAD, 100), (WHOLE, 2), (WHOLE, 1000)] {
            let mut keyspace = keyspace(policy);
            for number in 0..3000 {
                let deadline = (number % share == 0).then_some(at(100_000 + number));
                set(&mut keyspace, database, &format!("k{number}"), deadline, at(0));
            }
            let expiring = keyspace.deadlines(database);
            for gone in 0..expiring {
                assert!(keyspace.evict(at(1)), "{policy}, one in {share}: {gone} of {expiring} went");
            }
            assert!(!keyspace.evict(at(1)), "{policy}: nothing may go any more");
            assert_eq!((keyspace.deadlines(database), keyspace.len(database)), (0, 3000 - expiring));
        }
    }
}

#[test]
fn the_policies_of_all_keys_take_the_last_one_too_and_of_every_database() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let mut keyspace = keyspace(policy);
        for number in 0..100 {
            for database in [SPREAD, WHOLE] {
                set(&mut keyspace, database, &format!("k{number}"), None, at(0));
            }
        }
        (0..100).for_each(|_| assert!(keyspace.evict(at(1))));
        let (one, other) = (keyspace.len(SPREAD), keyspace.len(WHOLE));
        assert!(one > 20 && other > 20, "{policy}: {one} and {other} are left");
        (0..100).for_each(|_| assert!(keyspace.evict(at(1))));
        assert!(!keyspace.evict(at(1)));
        assert_eq!((keyspace.len(SPREAD), keyspace.len(WHOLE)), (0, 0));
    }
}

#[test]
fn without_a_policy_nothing_goes() {
    let mut keyspace = keyspace("noeviction");
    set(&mut keyspace, SPREAD, "k", Some(at(10)), at(0));
    assert!(!keyspace.evict(at(1)));
    assert_eq!(keyspace.len(SPREAD), 1);
}

#[test]
fn a_candidate_that_is_used_is_spared_and_a_policy_can_change() {
    let mut keyspace = keyspace("allkeys-lru");
    for number in 0..20 {
        set(&mut keyspace, SPREAD, &format!("k{number}"), None, at(number));
    }
    // The pool knows most of them now.
    (0..3).for_each(|_| assert!(keyspace.evict(at(100))));
    let left: Vec<String> = names(&keyspace, SPREAD).into_iter().collect();
    let (spared, others) = left.split_at(3);
    spared.iter().for_each(|name| assert!(read(&mut keyspace, SPREAD, name, at(200))));
    others.iter().for_each(|_| assert!(keyspace.evict(at(200))));
    assert_eq!(names(&keyspace, SPREAD), spared.iter().cloned().collect());
    let settings = Settings { policy: Policy::named("allkeys-random"), ..keyspace.settings };
    keyspace.configure(settings);
    assert!(keyspace.evict(at(200)));
    keyspace.flush_all();
    assert!(!keyspace.evict(at(200)));
}

#[test]
fn a_key_that_is_evicted_has_changed_for_those_who_watch_it() {
    let mut keyspace = keyspace("allkeys-lru");
    set(&mut keyspace, SPREAD, "k", None, at(0));
    let key = keyspace.key(SPREAD, b"k");
    let watch = keyspace.watch(key, at(0));
    assert!(keyspace.evict(at(0)));
    assert!(!keyspace.is_unchanged(&watch, at(0)));
}

#[test]
fn every_policy_has_the_name_of_redis() {
    for (name, policy) in [
        ("noeviction", Policy::Never),
        ("allkeys-lru", Policy::Evict(Among::All, Order::LeastRecent)),
        ("allkeys-lfu", Policy::Evict(Among::All, Order::LeastFrequent)),
        ("allkeys-random", Policy::Evict(Among::All, Order::Random)),
        ("volatile-lru", Policy::Evict(Among::Expiring, Order::LeastRecent)),
        ("volatile-lfu", Policy::Evict(Among::Expiring, Order::LeastFrequent)),
        ("volatile-random", Policy::Evict(Among::Expiring, Order::Random)),
        ("volatile-ttl", Policy::Evict(Among::Expiring, Order::Soonest)),
    ] {
        assert_eq!(Policy::named(name), policy);
    }
}
