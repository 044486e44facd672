//! What sessions add to the stream: bytes per write, for the loads that there are.

use super::*;

/// Bytes of markers per write, when `links` take turns with batches of so many writes, of which so many of a hundred are of each kind.
fn added(links: u64, batch: u64, no_effect: u64, kept: u64) -> f64 {
    let (mut table, mut primary) = (Table::default(), Primary::default());
    let (mut bytes, mut writes, mut draw) = (0, 0_u32, 7_u64);
    let mut next = vec![1; usize::try_from(links).unwrap()];
    for turn in 0..20_000 / batch {
        let link = turn % links;
        let number = &mut next[usize::try_from(link).unwrap()];
        let counter = greet(&mut primary, &table, link);
        // Everything of the last batch was delivered, and the proxy says so now and then.
        if *number % 256 < batch {
            primary.raise_floor(session(link), Number(*number));
        }
        for _ in 0..batch {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let kind = (draw >> 33) % 100;
            let author = author(&counter, *number);
            if kind < no_effect {
                primary.changed_nothing(&table, author, slot(866), Reply::Integer(0));
            } else {
                let answer = match kind < no_effect + kept {
                    true => (Reply::of(b"$8\r\nabcdefgh\r\n"), Rebuilt::Not),
                    false => (Reply::Ok, Rebuilt::ByReplay),
                };
                let marker = primary.unit(&mut table, Some(author), slot(866), answer);
                bytes += u32::try_from(marker.map_or(0, |marker| marker.unit().len())).unwrap();
            }
            *number += 1;
            writes += 1;
        }
    }
    f64::from(bytes) / f64::from(writes)
}

fn check(links: u64, batch: u64, no_effect: u64, kept: u64, most: f64) {
    let added = added(links, batch, no_effect, kept);
    println!(
        "{links} links, batches of {batch}, {no_effect} % without effect, {kept} % with kept replies: {added:.2} bytes per write"
    );
    assert!(
        added <= most,
        "{added} bytes per write: {links} links, batches of {batch}, {no_effect} %, {kept} %"
    );
}

#[test]
fn a_write_under_load_adds_at_most_twelve_bytes_to_the_stream() {
    // One link: who writes follows from order.
    check(1, 1, 0, 0, 0.2);
    // Several links take turns, a batch of each after the other.
    check(4, 4, 0, 0, 9.0);
    check(4, 16, 0, 0, 2.5);
    check(16, 16, 0, 0, 3.0);
    check(4, 64, 0, 0, 1.0);
    // A tenth changes nothing, a twentieth answers what its effect does not.
    check(4, 16, 10, 5, 12.0);
    check(16, 16, 10, 5, 12.0);
    check(4, 64, 10, 5, 12.0);
}

#[test]
fn the_worst_load_adds_one_short_marker_to_each_write() {
    check(4, 1, 0, 0, 34.0);
    check(4, 16, 0, 100, 60.0);
    check(4, 16, 50, 0, 36.0);
}

#[test]
fn a_batch_that_goes_on_says_nothing() {
    let (mut table, mut primary) = (Table::default(), Primary::default());
    let counter = greet(&mut primary, &table, 1);
    let mut unit = |number: u64| {
        primary
            .unit(&mut table, Some(author(&counter, number)), None, (Reply::Ok, Rebuilt::ByReplay))
            .map(|said| said.word())
    };
    assert!(unit(1).is_some());
    assert_eq!(unit(2), None);
    assert_eq!(unit(3), None);
    assert_eq!(unit(5), Some(b"slotway:s:n5".to_vec()));
    assert_eq!(unit(6), None);
}
