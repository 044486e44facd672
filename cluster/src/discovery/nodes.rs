//! The reply of CLUSTER NODES: a line per node, and the only reply that tells config epochs.
//!
//! `id ip:port@bus[,hostname[,name=value...]] flags primary ping pong config-epoch link-state slot slot ...`, where a slot is
//! `7`, `0-99` or, in the line of the node that answers only, a move under way: `[93->-id]` out, `[77-<-id]` in. What is not
//! known here (flags, values after the hostname, further marks in brackets) is passed over; a line without the fixed
//! fields is no such reply.

use super::{BadReply, Member, MemberId, join};
use crate::{ids::Epoch, ranges::SlotRange, slot::Slot};

/// What CLUSTER NODES says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// The node that answers.
    pub myself: Option<MemberId>,
    /// Without those that only shake hands: their ids are made up until they have answered.
    pub members: Vec<Member>,
    /// Slots that the answering node is giving away or taking.
    pub moving: Vec<Slot>,
}

/// A node may not know its own address (it stands there as `:6379`): then it is `asked_host`.
pub fn parse(text: &str, asked_host: &str) -> Result<Nodes, BadReply> {
    let mut nodes = Nodes { myself: None, members: Vec::new(), moving: Vec::new() };
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[id, place, flags, primary, _ping, _pong, epoch, _link, ref slots @ ..] = words.as_slice()
        else {
            return Err(BadReply::new(format_args!("CLUSTER NODES: not a node's line: {line:.80}")));
        };
        let has = |flag: &str| flags.split(',').any(|word| word == flag);
        if has("handshake") {
            continue;
        }
        let id = MemberId(id.to_owned());
        if has("myself") {
            nodes.myself = Some(id.clone());
        }
        let epoch = epoch.parse().map_err(|_| {
            BadReply::new(format_args!("CLUSTER NODES: {epoch:.20} is no config epoch of {id:.40}"))
        })?;
        let (slots, moving) = slots_of(slots)?;
        nodes.moving.extend(moving);
        nodes.members.push(Member {
            address: if has("noaddr") { None } else { address(place, asked_host)? },
            // `-` stands for none. A replica that was just made may not name its primary yet: it holds nothing either.
            follows: (primary != "-").then(|| MemberId(primary.to_owned())),
            id,
            epoch: Epoch(epoch),
            slots,
        });
    }
    match nodes.members.is_empty() {
        false => Ok(nodes),
        true => Err(BadReply::new("CLUSTER NODES: no node")),
    }
}

/// `ip:port@bus,hostname,...`; a port of 0 is that of a node which serves no clients without TLS.
fn address(place: &str, asked_host: &str) -> Result<Option<String>, BadReply> {
    let bad = || BadReply::new(format_args!("CLUSTER NODES: {place:.80} is no address"));
    let place = place.split(',').next().unwrap_or(place);
    let client = place.split('@').next().unwrap_or(place);
    let (host, port) = client.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let host = if host.is_empty() { asked_host } else { host };
    Ok((port != 0).then(|| join(host, port)))
}

fn slots_of(words: &[&str]) -> Result<(Vec<SlotRange>, Vec<Slot>), BadReply> {
    let (mut held, mut moving) = (Vec::new(), Vec::new());
    for word in words {
        match word.strip_prefix('[') {
            // A mark that does not start with a slot is of a kind we do not know.
            Some(mark) => moving
                .extend(mark.split_once('-').and_then(|(slot, _)| slot.parse().ok()).and_then(Slot::new)),
            None => held
                .push(word.parse().map_err(|error| BadReply::new(format_args!("CLUSTER NODES: {error}")))?),
        }
    }
    Ok((held, moving))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id address follows epoch slots` of each member.
    fn told(nodes: &Nodes) -> Vec<String> {
        let line = |member: &Member| {
            let follows = member.follows.as_ref().map_or("-", |id| &id.0);
            let slots: Vec<String> = member.slots.iter().map(ToString::to_string).collect();
            let address = member.address.as_deref().unwrap_or("nowhere");
            format!("{} {address} {follows} {} {}", member.id, member.epoch, slots.join(","))
        };
        nodes.members.iter().map(line).collect()
    }

    fn parsed(text: &str) -> Nodes {
        parse(text, "asked").unwrap()
    }

    #[test]
    fn a_line_tells_address_role_epoch_and_slots() {
        let nodes = parsed(
            "aa 127.0.0.1:7001@17001 myself,master - 0 1795324591000 5 connected 0-5460 7000 [93->-bb] [77-<-bb]\n\
             bb 127.0.0.1:7002@17002 slave aa 0 1795324591121 5 connected\n",
        );
        assert_eq!(told(&nodes), ["aa 127.0.0.1:7001 - 5 0-5460,7000", "bb 127.0.0.1:7002 aa 5 "]);
        assert_eq!(nodes.myself, Some(MemberId("aa".into())));
        assert_eq!(nodes.moving, [Slot::new(93).unwrap(), Slot::new(77).unwrap()]);
    }

    #[test]
    fn addresses_come_in_many_shapes() {
        let nodes = parsed(
            "a1 ::1:7001@17001,host.example,shard-id=x,new=y master - 0 0 1 connected 1\r\n\
             a2 :7002@17002 myself,master - 0 0 2 connected\r\n\
             a3 10.0.0.3:7003 master - 0 0 3 disconnected\r\n\
             a4 10.0.0.4:0@17004 master - 0 0 4 connected\r\n\
             a5 :0@0 master,fail,noaddr - 0 0 5 disconnected 9\r\n\
             a6 10.0.0.6:7006@17006, slave,fail?,nofailover,unheard-of a1 0 0 0 connected\r\n",
        );
        assert_eq!(
            told(&nodes),
            [
                "a1 [::1]:7001 - 1 1",
                "a2 asked:7002 - 2 ",
                "a3 10.0.0.3:7003 - 3 ",
                "a4 nowhere - 4 ",
                "a5 nowhere - 5 9",
                "a6 10.0.0.6:7006 a1 0 "
            ]
        );
    }

    #[test]
    fn a_handshake_is_no_member_yet_and_unknown_marks_are_passed_over() {
        let nodes = parsed(
            "aa 1.1.1.1:1@2 master - 0 0 1 connected [later] [99999->-x]\nbb 1.1.1.2:1@2 handshake - 0 0 0 connected\n",
        );
        assert_eq!((told(&nodes), nodes.moving.len()), (vec!["aa 1.1.1.1:1 - 1 ".to_owned()], 0));
    }

    fn refused(text: &str, why: &str) {
        let error = parse(text, "asked").unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn what_is_no_such_reply_is_refused_with_its_reason() {
        refused("", "no node");
        refused("\n\n", "no node");
        refused("hello\n", "not a node's line: hello");
        refused("aa 1.1.1.1:1@2 master - 0 0 x connected\n", "x is no config epoch");
        refused("aa 1.1.1.1 master - 0 0 1 connected\n", "1.1.1.1 is no address");
        refused("aa 1.1.1.1:99999@2 master - 0 0 1 connected\n", "is no address");
        refused("aa 1.1.1.1:1@2 master - 0 0 1 connected 0-16384\n", "found \"0-16384\"");
        refused("aa 1.1.1.1:1@2 master - 0 0 1 connected 9-3\n", "found \"9-3\"");
    }
}
