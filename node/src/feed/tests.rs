//! Units, positions and what is selected, on a feed by itself.

use slotway_resp::{Limits, OwnedRequest, Parser};

use super::*;

const ZERO: Database = Database(0);
const ONE: Database = Database(1);

fn listened_to() -> Feed {
    let mut feed = Feed::default();
    feed.listen(Listener::Log);
    feed
}

/// A request that changed something.
fn run(feed: &mut Feed, database: Database, words: &[&str]) {
    feed.add_request(database, OwnedRequest::new(words).view(), true);
}

/// The commands of a stream, words joined by spaces.
fn commands(bytes: &[u8]) -> Vec<String> {
    let mut parser = Parser::default();
    let mut commands = Vec::new();
    while let Some(at) = parser.next(bytes, &Limits::CLIENT).expect("a stream of commands") {
        let words: Vec<_> = parser
            .request(bytes, at)
            .words()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        commands.push(words.join(" "));
    }
    assert_eq!(parser.consumed(), bytes.len(), "whole commands");
    commands
}

fn taken(feed: &mut Feed) -> Vec<String> {
    commands(&feed.take().unwrap_or_default())
}

#[test]
fn nothing_is_written_down_while_nobody_listens() {
    let mut feed = Feed::default();
    assert!(!feed.is_on() && feed.take().is_none());
    feed.listen(Listener::Backlog);
    feed.listen(Listener::Log);
    feed.leave(Listener::Backlog);
    assert!(feed.is_on() && feed.listens(Listener::Log) && !feed.listens(Listener::Backlog));
    feed.leave(Listener::Log);
    assert!(!feed.is_on());
}

#[test]
fn a_command_that_changed_nothing_leaves_nothing_unless_it_is_always_told() {
    let mut feed = listened_to();
    feed.add_request(ZERO, OwnedRequest::new(["DEL", "k"]).view(), false);
    feed.end_unit();
    assert_eq!(feed.take(), None);
    feed.tell_always();
    feed.add_request(ZERO, OwnedRequest::new(["FLUSHALL"]).view(), false);
    feed.end_unit();
    assert_eq!(taken(&mut feed), ["SELECT 0", "FLUSHALL"]);
    feed.add_request(ZERO, OwnedRequest::new(["FLUSHALL"]).view(), false);
    assert_eq!(feed.take(), None, "the next command is asked again");
}

#[test]
fn what_a_handler_tells_stands_instead_of_its_request() {
    let mut feed = listened_to();
    feed.tell_otherwise();
    feed.add(ZERO, [&b"SREM"[..], b"s", b"a"].into_iter());
    run(&mut feed, ZERO, &["SPOP", "s"]);
    feed.end_unit();
    run(&mut feed, ZERO, &["INCR", "n"]);
    feed.end_unit();
    assert_eq!(taken(&mut feed), ["SELECT 0", "SREM s a", "INCR n"]);
}

#[test]
fn several_effects_are_one_transaction_and_one_is_itself() {
    let mut feed = listened_to();
    run(&mut feed, ZERO, &["SET", "a", "1"]);
    feed.end_unit();
    run(&mut feed, ZERO, &["SET", "b", "1"]);
    run(&mut feed, ONE, &["SET", "b", "2"]);
    run(&mut feed, ONE, &["SET", "c", "2"]);
    feed.end_unit();
    run(&mut feed, ONE, &["DEL", "c"]);
    feed.end_unit();
    let expected =
        ["SELECT 0", "SET a 1", "MULTI", "SET b 1", "SELECT 1", "SET b 2", "SET c 2", "EXEC", "DEL c"];
    assert_eq!(taken(&mut feed), expected);
}

#[test]
fn a_transaction_stands_behind_the_select_it_begins_with() {
    let mut feed = listened_to();
    run(&mut feed, ONE, &["SET", "a", "1"]);
    run(&mut feed, ONE, &["SET", "b", "1"]);
    feed.end_unit();
    assert_eq!(taken(&mut feed), ["SELECT 1", "MULTI", "SET a 1", "SET b 1", "EXEC"]);
}

#[test]
fn a_position_stands_behind_all_that_was_fed_and_survives_the_taking() {
    let mut feed = listened_to();
    assert_eq!(feed.position(), Position(0));
    run(&mut feed, ZERO, &["SET", "a", "1"]);
    feed.end_unit();
    let bytes = feed.take().unwrap();
    let behind = Position(u64::try_from(bytes.len()).unwrap());
    assert_eq!(feed.position(), behind);
    feed.give_back(bytes);
    assert_eq!((feed.position(), feed.take()), (behind, None));
    run(&mut feed, ZERO, &["DEL", "a"]);
    feed.end_unit();
    assert_eq!(feed.position(), Position(behind.0 + 20));
}

#[test]
fn room_is_used_again_and_much_of_it_is_given_up() {
    let mut feed = listened_to();
    run(&mut feed, ZERO, &["SET", "a", "1"]);
    feed.end_unit();
    let bytes = feed.take().unwrap();
    let place = bytes.as_ptr();
    feed.give_back(bytes);
    run(&mut feed, ZERO, &["DEL", "a"]);
    feed.end_unit();
    let again = feed.take().unwrap();
    assert_eq!(again.as_ptr(), place);
    feed.give_back(Vec::with_capacity(ROOM_BYTES_KEPT + 1));
    assert_eq!(feed.bytes.capacity(), 0);
}

#[test]
fn who_begins_in_the_midst_is_told_the_database() {
    let mut feed = listened_to();
    run(&mut feed, ONE, &["SET", "a", "1"]);
    feed.end_unit();
    assert_eq!(feed.selected(), Some(ONE));
    feed.select_anew();
    assert_eq!(feed.selected(), None);
    run(&mut feed, ONE, &["SET", "b", "1"]);
    feed.end_unit();
    assert_eq!(taken(&mut feed), ["SELECT 1", "SET a 1", "SELECT 1", "SET b 1"]);
    feed.leave(Listener::Log);
    feed.listen(Listener::Backlog);
    run(&mut feed, ONE, &["SET", "c", "1"]);
    feed.end_unit();
    assert_eq!(taken(&mut feed), ["SELECT 1", "SET c 1"], "the first to listen again");
}

#[test]
fn a_replica_passes_its_primarys_bytes_on_and_tells_nothing_itself() {
    let mut feed = listened_to();
    feed.draw_from(Source::Primary);
    assert!(!feed.is_on() && feed.listens(Listener::Log));
    feed.relay(b"*1\r\n$4\r\nPING\r\n", (ZERO, ONE));
    assert_eq!((feed.position(), feed.selected()), (Position(14), Some(ONE)));
    assert_eq!(feed.take().unwrap(), b"*1\r\n$4\r\nPING\r\n");
    // The log alone learns where it begins.
    assert_eq!(feed.take_log_selection().map(|bytes| commands(&bytes)), Some(vec!["SELECT 0".to_owned()]));
    feed.relay(b"*1\r\n$4\r\nPING\r\n", (ONE, ONE));
    assert_eq!(feed.take_log_selection(), None);
    feed.take();
    // Promoted.
    feed.draw_from(Source::Own);
    run(&mut feed, ONE, &["SET", "a", "1"]);
    feed.end_unit();
    assert_eq!(taken(&mut feed), ["SELECT 1", "SET a 1"]);
    // Nobody listens: nothing is kept.
    feed.leave(Listener::Log);
    feed.draw_from(Source::Primary);
    let before = feed.position();
    feed.relay(b"*1\r\n$4\r\nPING\r\n", (ZERO, ONE));
    assert_eq!((feed.position(), feed.take()), (before, None));
}

#[test]
fn a_listener_may_leave_in_the_midst_of_a_transaction() {
    let mut feed = listened_to();
    run(&mut feed, ZERO, &["INCR", "a"]);
    run(&mut feed, ZERO, &["INCR", "b"]);
    feed.leave(Listener::Log);
    assert_eq!(taken(&mut feed), ["SELECT 0", "MULTI", "INCR a", "INCR b", "EXEC"]);
    feed.listen(Listener::Log);
    run(&mut feed, ZERO, &["INCR", "c"]);
    feed.end_unit();
    assert_eq!(taken(&mut feed), ["SELECT 0", "INCR c"]);
}
