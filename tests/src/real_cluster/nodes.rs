//! What a server of a cluster says about its cluster: the lines of CLUSTER NODES, read.

use std::ops::RangeInclusive;

/// One line of CLUSTER NODES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLine {
    pub id: String,
    pub port: u16,
    pub flags: Vec<String>,
    /// The node it follows.
    pub follows: Option<String>,
    pub epoch: u64,
    /// Slots that are its own; those half moved are with their present owner.
    pub slots: Vec<RangeInclusive<u16>>,
}

impl NodeLine {
    /// None: no line of CLUSTER NODES, or a node whose address is not known.
    #[must_use]
    pub fn parse(line: &str) -> Option<NodeLine> {
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        // `host:port@bus,hostname`
        let (address, _) = words.next()?.split_once('@')?;
        let port = address.rsplit_once(':')?.1.parse().ok()?;
        let flags = words.next()?.split(',').map(str::to_owned).collect();
        let follows = words.next().filter(|id| *id != "-").map(str::to_owned);
        let epoch = words.nth(2)?.parse().ok()?;
        let slots = words.skip(1).filter_map(range).collect();
        Some(NodeLine { id, port, flags, follows, epoch, slots })
    }

    /// All lines of an answer.
    #[must_use]
    pub fn all(text: &str) -> Vec<NodeLine> {
        text.lines().filter_map(NodeLine::parse).collect()
    }

    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    #[must_use]
    pub fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| range.contains(&slot))
    }

    #[must_use]
    pub fn slot_count(&self) -> usize {
        self.slots.iter().map(ExactSizeIterator::len).sum()
    }
}

/// `7` or `7-9`; what is being moved (`[7->-id]`) is none.
fn range(word: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_ranges_single_slots_and_a_slot_half_moved_is_read() {
        let line = "07c3 127.0.0.1:7001@17001,host myself,master - 0 1426238316232 2 connected 0-99 200 [300->-67ed]";
        let node = NodeLine::parse(line).unwrap();
        assert_eq!(
            (node.id.as_str(), node.port, node.epoch, node.follows.as_deref()),
            ("07c3", 7001, 2, None)
        );
        assert!(node.has("myself") && node.has("master") && !node.has("fail"));
        assert!(node.owns(99) && node.owns(200) && !node.owns(300));
        assert_eq!(node.slot_count(), 101);
    }

    #[test]
    fn a_replica_names_whom_it_follows_and_an_unknown_address_is_no_node() {
        let lines =
            "a 127.0.0.1:1@2 slave,fail? b 0 1 3 connected\nc :0@0 master,noaddr - 1 1 0 disconnected\n";
        let nodes = NodeLine::all(lines);
        assert_eq!(nodes[0].follows.as_deref(), Some("b"));
        assert!(nodes[0].has("fail?"));
        assert_eq!(nodes[1].port, 0);
        assert!(NodeLine::parse("").is_none());
    }
}
