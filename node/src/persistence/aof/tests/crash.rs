//! The power goes at a random moment of a node's life, and again in the next one. Whatever was acknowledged with
//! `appendfsync always` is back; with `everysec` nothing is there that was not written, in an order in which it was
//! not. The files always load, also when the power goes within a rewrite or between two of its renames.

use super::*;
use crate::connection::tests::Peer;

/// Lives of one node, each ended by the power.
const LIVES: u64 = 30;
const CLIENTS: usize = 4;
/// Operations of the disk in one life, at most; a life ends at one of them.
const OPERATIONS_MAX: usize = 400;
/// Turns after which a life ends although the power is still there.
const TURNS_MAX: usize = 20_000;

/// What a client has been told, and what it has asked for.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    acknowledged: u64,
    sent: u64,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// Each client counts in two keys at once, and in a sorted set, by turns of a request or a transaction.
fn ask(nth: usize, random: &mut Random) -> String {
    match random.below(3) {
        0 => format!("MULTI\r\nINCR a:{nth}\r\nSELECT 3\r\nINCR b:{nth}\r\nSELECT 0\r\nEXEC\r\n"),
        1 => format!(
            "MULTI\r\nINCR a:{nth}\r\nZINCRBY z 0 m{}\r\nMOVE a:{nth} 9\r\nSELECT 9\r\nMOVE a:{nth} 0\r\nSELECT 3\r\nINCR b:{nth}\r\nSELECT 0\r\nEXEC\r\n",
            random.below(500)
        ),
        _ => format!(
            "MULTI\r\nSELECT 3\r\nINCR b:{nth}\r\nSELECT 0\r\nINCR a:{nth}\r\nSET filler:{} xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nEXEC\r\n",
            random.below(300)
        ),
    }
}

/// The reply to an EXEC has come, whole: it is the last line but what it holds is counted by its own head.
fn is_answered(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let Some(at) = text.find("\r\n*").map(|at| at + 3) else { return text.contains("-MISCONF") };
    let Some(count) = text[at..].lines().next().and_then(|count| count.parse::<usize>().ok()) else {
        return false;
    };
    // Integers, simple strings, and ZINCRBY's bulk, which is two lines.
    let lines: Vec<&str> = text[at..].split_inclusive("\r\n").skip(1).collect();
    let bulks = lines.iter().filter(|line| line.starts_with('$')).count();
    lines.len() == count + bulks && lines.iter().all(|line| line.ends_with("\r\n"))
}

/// What the two keys of a client say.
async fn counts(hall: &Hall, peer: &mut Peer, nth: usize) -> (u64, u64) {
    peer.send(format!("GET a:{nth}\r\nSELECT 3\r\nGET b:{nth}\r\nSELECT 0\r\nPING\r\n").as_bytes());
    hall.until("the counts", || {
        peer.receive();
        peer.received.ends_with(b"+PONG\r\n")
    })
    .await;
    let text = String::from_utf8(std::mem::take(&mut peer.received)).unwrap();
    let mut numbers =
        text.split("\r\n").filter(|line| !line.starts_with(['$', '+', ':'])).filter(|line| !line.is_empty());
    match text.starts_with("$-1") {
        true => (0, 0),
        false => {
            let mut next = || numbers.next().unwrap_or("0").parse().unwrap();
            (next(), next())
        }
    }
}

/// One life: first it is looked whether everything is back, then clients write until the power goes.
async fn live(
    hall: &mut Hall,
    disk: &Simulated,
    counted: &mut [Count; CLIENTS],
    fsync: &str,
    random: &mut Random,
) {
    let mut peers = hall.peers::<CLIENTS>().await;
    for (nth, (peer, count)) in peers.iter_mut().zip(counted.iter_mut()).enumerate() {
        let (a, b) = counts(hall, peer, nth).await;
        assert_eq!(a, b, "a transaction is there as a whole or not at all");
        assert!(a <= count.sent, "{a} of {count:?}");
        assert!(fsync != "always" || a >= count.acknowledged, "{a} of {count:?}");
        *count = Count { acknowledged: a, sent: a };
    }
    disk.crash_at(disk.operations() + 1 + u64::try_from(random.below(OPERATIONS_MAX)).unwrap());
    let mut waits = [false; CLIENTS];
    for _ in 0..TURNS_MAX {
        if disk.has_crashed() {
            break;
        }
        for (nth, peer) in peers.iter_mut().enumerate() {
            if !waits[nth] && random.below(3) == 0 {
                peer.send(ask(nth, random).as_bytes());
                counted[nth].sent += 1;
                waits[nth] = true;
            }
            peer.receive();
            if waits[nth] && is_answered(&peer.received) {
                if String::from_utf8_lossy(&peer.received).contains("\r\n*") {
                    counted[nth].acknowledged += 1;
                }
                peer.received.clear();
                waits[nth] = false;
            }
        }
        if random.below(40) == 0 && !hall.thread.node.borrow().persistence.log.rewrites.is_running() {
            rewrite::begin(&mut hall.thread.node.borrow_mut());
        }
        hall.turn().await;
    }
    // What has been answered up to now was acknowledged, too.
    for (nth, peer) in peers.iter_mut().enumerate() {
        peer.receive();
        let told = String::from_utf8_lossy(&peer.received).contains("\r\n*");
        counted[nth].acknowledged += u64::from(waits[nth] && is_answered(&peer.received) && told);
    }
}

fn check(fsync: &str) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut disk = Simulated::new();
    let mut counted = [Count::default(); CLIENTS];
    let mut bases = 0;
    for life in 0..=LIVES {
        let lived = in_hall_on(&disk, &[("appendfsync", fsync)], async |hall| {
            live(hall, &disk, &mut counted, fsync, &mut random).await;
        });
        assert_eq!(lived, Ok(()), "life {life} begins");
        bases = bases.max(disk.names().iter().filter(|name| name.contains(".base.")).count());
        disk.crash_now();
        disk = disk.after_crash(|below| random.below(below));
    }
    assert!(bases > 0, "rewrites came to their end");
}

#[test]
fn with_always_everything_acknowledged_is_back_whenever_the_power_goes() {
    check("always");
}

#[test]
fn with_everysec_the_files_load_whenever_the_power_goes() {
    check("everysec");
}
