//! Markers: what stands in the stream, in files and in snapshots of sessions, and what SESSION is answered.
//!
//! A marker is `PING slotway:s:<items>`, items parted by commas: a record as in [`crate::replication::record`], which every server that speaks
//! Redis's protocol executes as nothing. It is short because it says only what does not follow by itself: after `t3` every unit is the next
//! number of session 3, until another marker. What a marker says of the unit behind it counts only when that unit comes, whole: so a
//! stream that is cut between the two has lost nothing and claims nothing.
//!
//! | item | says |
//! |---|---|
//! | `o3.<proxy>.<link>` | session 3 is this one |
//! | `t3` | the units behind this are session 3's; `t0`: the node's own |
//! | `n17` | the next of them is its number 17 |
//! | `f12` | everything below 12 was delivered |
//! | `e16.866.i0` | 16 is settled, was about slot 866 (or none: `e16..i0`), changed nothing, and was answered `:0` |
//! | `rb4:$-1..` | the unit behind this was answered so |
//! | `x<proxy>` | this life of a proxy is over, and its sessions with it |
//!
//! A reply is `k` (OK), `i` and a number, `b<length>:` and its bytes, or `l`: it was too long.

use crate::{shard::Incarnation, slot::Slot};

use super::{Entry, Handle, Number, SessionId, reply::Reply};

const PREFIX: &[u8] = b"slotway:s:";

/// More than a marker can come to: the numbers and replies of one session.
pub const WORD_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Open { handle: Handle, session: SessionId },
    Gone(Incarnation),
    Turn(Option<Handle>),
    Next(Number),
    Floor(Number),
    Settled { number: Number, entry: Entry },
    Reply(Reply),
}

/// What one PING says, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marker {
    pub items: Vec<Item>,
}

impl Marker {
    /// The word of its PING.
    pub fn word(&self) -> Vec<u8> {
        let mut word = PREFIX.to_vec();
        put_items(&self.items, &mut word);
        word
    }

    /// None: it is another word, or damaged.
    pub fn parse(word: &[u8]) -> Option<Marker> {
        let items = take_items(word.strip_prefix(PREFIX)?)?;
        (!items.is_empty()).then_some(Marker { items })
    }

    /// Whether a PING's word is meant as a marker: if it cannot be parsed then, the stream is damaged.
    pub fn is_meant(word: &[u8]) -> bool {
        word.starts_with(PREFIX)
    }

    /// As it stands in the stream.
    pub fn unit(&self) -> Vec<u8> {
        let word = self.word();
        let mut unit = format!("*2\r\n$4\r\nPING\r\n${}\r\n", word.len()).into_bytes();
        unit.extend_from_slice(&word);
        unit.extend_from_slice(b"\r\n");
        unit
    }
}

pub(super) fn put_items(items: &[Item], out: &mut Vec<u8>) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        item.put(out);
    }
}

pub(super) fn take_items(bytes: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    if bytes.len() > WORD_BYTES_MAX {
        return None;
    }
    let mut cursor = Cursor(bytes);
    while !cursor.0.is_empty() {
        if !items.is_empty() {
            cursor.expect(b',')?;
        }
        items.push(Item::take(&mut cursor)?);
    }
    Some(items)
}

impl Item {
    fn put(&self, out: &mut Vec<u8>) {
        let text = match self {
            Item::Open { handle, session } => {
                format!("o{}.{:016x}.{:016x}", handle.0, session.proxy.0, session.link)
            }
            Item::Gone(proxy) => format!("x{:016x}", proxy.0),
            Item::Turn(turn) => format!("t{}", turn.map_or(0, |handle| handle.0)),
            Item::Next(number) => format!("n{number}"),
            Item::Floor(number) => format!("f{number}"),
            Item::Settled { number, entry } => {
                let slot = entry.slot.map(|slot| slot.to_string()).unwrap_or_default();
                out.extend_from_slice(format!("e{number}.{slot}.").as_bytes());
                return entry.reply.put(out);
            }
            Item::Reply(reply) => {
                out.push(b'r');
                return reply.put(out);
            }
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn take(cursor: &mut Cursor<'_>) -> Option<Item> {
        Some(match cursor.byte()? {
            b'o' => {
                let handle = Handle(u32::try_from(cursor.number()?).ok().filter(|handle| *handle > 0)?);
                cursor.expect(b'.')?;
                let proxy = Incarnation(cursor.hexadecimal()?);
                cursor.expect(b'.')?;
                Item::Open { handle, session: SessionId { proxy, link: cursor.hexadecimal()? } }
            }
            b'x' => Item::Gone(Incarnation(cursor.hexadecimal()?)),
            b't' => {
                let handle = u32::try_from(cursor.number()?).ok()?;
                Item::Turn((handle > 0).then_some(Handle(handle)))
            }
            b'n' => Item::Next(Number::parse(cursor)?),
            b'f' => Item::Floor(Number::parse(cursor)?),
            b'e' => {
                let number = Number::parse(cursor)?;
                cursor.expect(b'.')?;
                let slot = match cursor.0.first()? {
                    b'.' => None,
                    _ => Some(Slot::new(u16::try_from(cursor.number()?).ok()?)?),
                };
                cursor.expect(b'.')?;
                Item::Settled { number, entry: Entry { slot, reply: Reply::take(cursor)? } }
            }
            b'r' => Item::Reply(Reply::take(cursor)?),
            _ => return None,
        })
    }
}

impl Handle {
    pub(super) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX).wrapping_sub(1)
    }
}

impl Number {
    /// Numbers begin at 1, and there is always a next one.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Option<Number> {
        cursor.number().filter(|number| *number > 0 && *number < u64::MAX).map(Number)
    }
}

/// What is left of a word.
pub(super) struct Cursor<'w>(&'w [u8]);

impl<'w> Cursor<'w> {
    pub(super) fn new(word: &'w [u8]) -> Cursor<'w> {
        Cursor(word)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Option<&'w [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then_some(())
    }

    pub(super) fn while_so(&mut self, is_so: impl Fn(u8) -> bool) -> &'w [u8] {
        let len = self.0.iter().position(|byte| !is_so(*byte)).unwrap_or(self.0.len());
        self.bytes(len).unwrap_or_default()
    }

    /// Decimal, as it is written here: no sign, no zeros in front.
    pub(super) fn number(&mut self) -> Option<u64> {
        let digits = self.while_so(|byte| byte.is_ascii_digit());
        if digits.len() > 1 && digits.starts_with(b"0") {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// 16 digits.
    fn hexadecimal(&mut self) -> Option<u64> {
        let digits = self.bytes(16)?;
        let is_lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let digits = digits.iter().all(is_lower).then_some(digits)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply() -> impl Strategy<Value = Reply> {
        prop_oneof![
            Just(Reply::Ok),
            any::<i64>().prop_map(Reply::Integer),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Reply::Bytes(bytes.into())),
            Just(Reply::NotKept),
        ]
    }

    fn item() -> impl Strategy<Value = Item> {
        let number = (1..u64::MAX).prop_map(Number);
        let entry = (prop::option::of(0..16384u16), reply())
            .prop_map(|(slot, reply)| Entry { slot: slot.and_then(Slot::new), reply });
        let session = (any::<u64>(), any::<u64>())
            .prop_map(|(proxy, link)| SessionId { proxy: Incarnation(proxy), link });
        prop_oneof![
            (1..u32::MAX, session)
                .prop_map(|(handle, session)| Item::Open { handle: Handle(handle), session }),
            any::<u64>().prop_map(|proxy| Item::Gone(Incarnation(proxy))),
            any::<u32>().prop_map(|handle| Item::Turn((handle > 0).then_some(Handle(handle)))),
            number.clone().prop_map(Item::Next),
            number.clone().prop_map(Item::Floor),
            (number, entry).prop_map(|(number, entry)| Item::Settled { number, entry }),
            reply().prop_map(Item::Reply),
        ]
    }

    proptest! {
        #[test]
        fn a_marker_is_read_as_it_was_written(items in prop::collection::vec(item(), 1..20)) {
            let marker = Marker { items };
            prop_assert_eq!(Marker::parse(&marker.word()), Some(marker));
        }

        #[test]
        fn a_damaged_marker_is_no_other_marker_that_would_be_written_differently(
            items in prop::collection::vec(item(), 1..5),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut word = Marker { items }.word();
            let at = at.index(word.len());
            word[at] = byte;
            if let Some(other) = Marker::parse(&word) {
                prop_assert_eq!(other.word(), word);
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let word = [PREFIX, &bytes].concat();
            if let Some(marker) = Marker::parse(&word) {
                prop_assert_eq!(marker.word(), word);
            }
        }
    }

    #[test]
    fn what_a_client_pings_is_no_marker_and_what_is_damaged_is_told_apart() {
        for word in ["", "hello", "slotway:epoch:1:2:", "slotway:s"] {
            assert_eq!(Marker::parse(word.as_bytes()), None, "{word}");
            assert!(!Marker::is_meant(word.as_bytes()), "{word}");
        }
        let damaged = [
            "",
            "q",
            "t",
            "t01",
            "t-1",
            "t4294967296",
            "o0.0.0",
            "o1.0123456789abcdef",
            "n0",
            "f",
            "e1",
            "e1.16384.k",
            "e1..b5:abc",
            "e1..b16385:",
            "ri",
            "ri+1",
            "ri01",
            "t1,",
            ",t1",
            "t1t2",
            "x0123456789ABCDEF",
            "n18446744073709551615",
            "n99999999999999999999",
        ];
        for items in damaged {
            let word = format!("slotway:s:{items}");
            assert_eq!(Marker::parse(word.as_bytes()), None, "{word}");
            assert!(Marker::is_meant(word.as_bytes()), "{word}");
        }
        let long = [PREFIX, &vec![b'1'; WORD_BYTES_MAX + 1]].concat();
        assert_eq!(Marker::parse(&long), None);
    }

    #[test]
    fn it_stands_in_the_stream_as_a_ping() {
        let marker = Marker {
            items: vec![Item::Turn(Some(Handle(3))), Item::Reply(Reply::Bytes(b"$-1\r\n"[..].into()))],
        };
        assert_eq!(marker.unit(), b"*2\r\n$4\r\nPING\r\n$22\r\nslotway:s:t3,rb5:$-1\r\n\r\n");
    }
}
