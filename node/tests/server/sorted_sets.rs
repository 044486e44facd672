//! Sorted sets: what a redis-server 7.0 cannot be asked, and what is not in a reply.

use slotway_resp::Frame;

use crate::support::{Client, TestNode, bulk, error, text};

#[test]
fn a_rank_comes_with_its_score_if_it_is_asked_for() {
    let node = TestNode::start(&[]);
    let mut client = node.client();
    client.say("ZADD z 1.5 a 2 b");
    assert_eq!(client.say("ZRANK z b WITHSCORE"), Frame::Array(vec![Frame::Integer(1), bulk("2")]));
    assert_eq!(client.say("ZREVRANK z a withscore"), Frame::Array(vec![Frame::Integer(1), bulk("1.5")]));
    assert_eq!(client.say("ZRANK z nobody WITHSCORE"), Frame::NullArray);
    assert_eq!(client.say("ZRANK absent a WITHSCORE"), Frame::NullArray);
    assert_eq!(client.say("ZRANK z a WITHSCORES"), error("ERR syntax error"));
    let arity = error("ERR wrong number of arguments for 'zrank' command");
    assert_eq!(client.say("ZRANK z a WITHSCORE x"), arity);
    client.say("HELLO 3");
    assert_eq!(client.say("ZRANK z b WITHSCORE"), Frame::Array(vec![Frame::Integer(1), Frame::Double(2.0)]));
    assert_eq!(client.say("ZRANK z nobody WITHSCORE"), Frame::Null);
}

#[test]
fn only_what_changes_a_sorted_set_counts_as_a_change() {
    let node = TestNode::start(&[]);
    let (mut watcher, mut changer) = (node.client(), node.client());
    let mut check = |line: &str, changes: i64| {
        let before = changes_of(&mut changer);
        watcher.say("WATCH z");
        changer.say(line);
        watcher.say("MULTI");
        let ran = watcher.say("EXEC") == Frame::Array(vec![]);
        assert_eq!(ran, changes == 0, "{line}");
        assert_eq!(changes_of(&mut changer) - before, changes, "{line}");
    };
    check("ZADD z XX 1 a", 0);
    check("ZADD z 1 a 2 b 3 c", 3);
    check("ZADD z 1 a 2 b", 0);
    check("ZADD z 1 a 5 b 6 d", 2);
    check("ZADD z GT 1 b", 0);
    check("ZADD z NX 9 a", 0);
    check("ZINCRBY z 0 a", 0);
    check("ZINCRBY z 1 a", 1);
    check("ZREM z nobody", 0);
    check("ZPOPMIN z 0", 0);
    check("ZPOPMIN z 2", 2);
    check("ZREMRANGEBYSCORE z 100 200", 0);
    check("ZREMRANGEBYRANK z 0 -1", 2);
    check("ZUNIONSTORE z 1 absent", 0);
    check("GEOADD z 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", 2);
    check("GEOADD z 13.361389 38.115556 Palermo", 0);
    check("GEOSEARCHSTORE z z FROMLONLAT 15 37 BYRADIUS 1000 km", 2);
    check("ZRANGESTORE z absent 0 -1", 1);
    check("ZRANGESTORE z absent 0 -1", 0);
}

fn changes_of(client: &mut Client<std::net::TcpStream>) -> i64 {
    let info = text(&client.say("INFO persistence"));
    let line = info.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
    line.expect("INFO has the field").parse().unwrap()
}
