//! What a node's error about the cluster means for the request that got it: where to, when, or that it is over. Pure.
//!
//! MOVED and ASK name a place, and the request goes there at once. Two nodes may name each other while they do not
//! agree: after a few hops in a row the request waits, as it does after every error that says "not now", a little longer each
//! time, and then goes where the topology of that moment says. A member's STALE names what the proxy has to learn first. How long all of this may last is the caller's to say.

use slotway_cluster::Epoch;

/// Hops in a row, without waiting and looking at the topology again.
const HOPS_MAX: u8 = 5;

/// The first wait, and the longest.
const WAIT_US_MIN: u64 = 5_000;
const WAIT_US_MAX: u64 = 100_000;

/// What a request has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tried {
    /// Since the last wait.
    hops: u8,
    pub(crate) waits: u8,
}

/// What is to be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// To this address (`host:port`) at once.
    To { address: String, asking: bool },
    /// Cut into single keys, each of which finds its own way.
    KeyByKey,
    /// Where the topology says, after so long.
    Wait { us: u64 },
    /// Where the topology says, once it tells of this.
    Learn(News),
    /// Waiting will not help.
    GiveUp,
}

/// How far somebody knows what a control group has decided: a shard's epoch, and the version of the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) epoch: Epoch,
    pub(crate) version: u64,
}

impl News {
    /// Who knows this knows `other`, too.
    pub(crate) fn covers(self, other: News) -> bool {
        self.epoch >= other.epoch && self.version >= other.version
    }

    /// What a node said behind `STALE`: `epoch version`.
    pub(crate) fn of(text: &str) -> Option<News> {
        let (epoch, version) = text.split_once(' ')?;
        Some(News { epoch: Epoch(epoch.parse().ok()?), version: version.parse().ok()? })
    }
}

/// Whether a request may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Whole,
    /// Several keys, each of which may go alone.
    Divisible,
}

impl Tried {
    /// `line` is the error as it came, `answered_by` the address of who said it.
    pub(crate) fn way(&mut self, line: &[u8], answered_by: &str, shape: Shape) -> Way {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('-').trim_end();
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        match code {
            "MOVED" | "ASK" => match address_of(rest, answered_by) {
                Some(address) if self.hops < HOPS_MAX => {
                    self.hops += 1;
                    Way::To { address, asking: code == "ASK" }
                }
                _ => self.wait(),
            },
            "STALE" => News::of(rest).map_or_else(|| self.wait(), Way::Learn),
            "TRYAGAIN" if shape == Shape::Divisible => Way::KeyByKey,
            // The node's password, not the cluster.
            "NOAUTH" => Way::GiveUp,
            _ => self.wait(),
        }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Way {
        let us = WAIT_US_MIN.saturating_mul(1 << self.waits.min(10)).min(WAIT_US_MAX);
        self.waits = self.waits.saturating_add(1);
        self.hops = 0;
        Way::Wait { us }
    }
}

/// The `host:port` of a redirection `slot host:port`. A host that is empty or unknown (`?`) is the host of who said it; an
/// IPv6 address comes without brackets and gets them.
fn address_of(redirection: &str, answered_by: &str) -> Option<String> {
    let (slot, place) = redirection.split_once(' ')?;
    slot.parse::<u16>().ok().filter(|&slot| slot < 16384)?;
    let (host, port) = place.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|&port| port > 0)?;
    let host = match host {
        "" | "?" => answered_by.rsplit_once(':')?.0,
        host => host,
    };
    let is_plain =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:%[]".contains(&byte));
    if !is_plain(host) {
        return None;
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.contains(':') {
        true => Some(format!("[{bare}]:{port}")),
        false => Some(format!("{bare}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(line: &str) -> Way {
        Tried::default().way(line.as_bytes(), "10.0.0.1:7000", Shape::Whole)
    }

    #[test]
    fn a_redirection_is_followed_to_where_it_says() {
        for (place, address) in [
            ("10.0.0.2:7001", "10.0.0.2:7001"),
            ("node-2.example:7001", "node-2.example:7001"),
            (":7001", "10.0.0.1:7001"),
            ("?:7001", "10.0.0.1:7001"),
            ("2001:db8::1:7001", "[2001:db8::1]:7001"),
            ("[2001:db8::1]:7001", "[2001:db8::1]:7001"),
        ] {
            let to = |asking| Way::To { address: address.to_owned(), asking };
            assert_eq!(first(&format!("-MOVED 3999 {place}\r\n")), to(false), "{place}");
            assert_eq!(first(&format!("-ASK 16383 {place}\r\n")), to(true), "{place}");
        }
        let by_v6 = Tried::default().way(b"-MOVED 1 :7001\r\n", "[::1]:7000", Shape::Whole);
        assert_eq!(by_v6, Way::To { address: "[::1]:7001".to_owned(), asking: false });
    }

    #[test]
    fn one_that_makes_no_sense_is_waited_out() {
        for rest in [
            "",
            "x",
            "1",
            "1 a",
            "1 a:",
            "1 a:0",
            "1 a:65536",
            "1 a:-1",
            "16384 a:1",
            "-1 a:1",
            "x a:1",
            "1 a b:1",
            "1 \u{fffd}:1",
        ] {
            assert_eq!(first(&format!("-MOVED {rest}\r\n")), Way::Wait { us: 5_000 }, "{rest:?}");
        }
        assert_eq!(
            Tried::default().way(b"-ASK \xff\xfe \x00:1\r\n", "a:1", Shape::Whole),
            Way::Wait { us: 5_000 }
        );
    }

    #[test]
    fn nodes_that_name_each_other_are_left_alone_for_a_while() {
        let mut tried = Tried::default();
        let mut step = || match tried.way(b"-MOVED 1 b:1\r\n", "a:1", Shape::Whole) {
            Way::To { .. } => 0,
            Way::Wait { us } => us / 1000,
            other => panic!("{other:?}"),
        };
        let steps: Vec<u64> = (0..18).map(|_| step()).collect();
        assert_eq!(steps, [0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 20]);
    }

    #[test]
    fn a_cluster_that_is_not_ready_is_asked_less_and_less_often() {
        for code in ["CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN", "STALE", "TRYAGAIN"] {
            let mut tried = Tried::default();
            let line = format!("-{code} because\r\n");
            let waits: Vec<Way> = (0..300).map(|_| tried.way(line.as_bytes(), "a:1", Shape::Whole)).collect();
            let ms = [5, 10, 20, 40, 80, 100, 100];
            assert_eq!(waits[..7], ms.map(|ms| Way::Wait { us: ms * 1000 }), "{code}");
            assert_eq!(waits[299], Way::Wait { us: 100_000 });
        }
    }

    #[test]
    fn a_member_names_what_is_to_be_learned() {
        let news = |epoch, version| News { epoch: Epoch(epoch), version };
        assert_eq!(first("-STALE 3 41\r\n"), Way::Learn(news(3, 41)));
        for rest in ["", "3", "3 x", "x 41", "-1 41", "3 41 1"] {
            assert_eq!(first(&format!("-STALE {rest}\r\n")), Way::Wait { us: 5_000 }, "{rest:?}");
        }
        assert!(news(3, 41).covers(news(3, 41)) && news(4, 50).covers(news(3, 41)));
        assert!(!news(3, 50).covers(news(4, 41)) && !news(4, 40).covers(news(3, 41)));
    }

    #[test]
    fn only_what_may_be_cut_goes_key_by_key() {
        let way = |shape| Tried::default().way(b"-TRYAGAIN Multiple keys\r\n", "a:1", shape);
        assert_eq!((way(Shape::Divisible), way(Shape::Whole)), (Way::KeyByKey, Way::Wait { us: 5_000 }));
        assert_eq!(first("-NOAUTH Authentication required.\r\n"), Way::GiveUp);
    }
}
