//! The table checks itself: every row is consistent, found under its name, and fit for the policy it names.

use proptest::prelude::*;
use slotway_commands::row::{
    Category, Command, Flag, Group, KeyFlag, MergeRule, Policy, Replay, Search, SplitRule, Support,
};
use slotway_commands::table::COMMANDS;
use slotway_commands::{Id, keys, lookup, table};
use slotway_resp::request::OwnedRequest;

fn rows() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter()
}

#[test]
fn rows_are_sorted_unique_and_each_id_names_its_own() {
    assert_eq!(COMMANDS.len(), Id::COUNT);
    assert!(COMMANDS.windows(2).all(|pair| pair[0].name < pair[1].name));
    for (at, row) in rows().enumerate() {
        assert_eq!(row.id.index(), at, "{}", row.name);
        assert!(std::ptr::eq(Command::row(row.id), row), "{}", row.name);
        let variant: String = row.name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        assert_eq!(format!("{:?}", row.id).to_ascii_lowercase(), variant);
    }
}

#[test]
fn names_are_lower_case_and_subcommands_stand_behind_their_container() {
    for row in rows() {
        assert!(row.name.bytes().all(|b| b.is_ascii_lowercase() || b"|-_".contains(&b)), "{}", row.name);
        if let Some(container) = row.container_name() {
            let container = lookup::find(container.as_bytes()).expect("a container");
            assert!(container.subcommands().iter().any(|inner| inner.id == row.id), "{}", row.name);
            assert_eq!(container.group, row.group, "{}", row.name);
            assert!(row.subcommands().is_empty() && row.arity.unsigned_abs() >= 2, "{}", row.name);
        }
        for inner in row.subcommands() {
            assert_eq!(inner.container_name(), Some(row.name));
            assert_eq!(inner.name, format!("{}|{}", row.name, inner.short_name()));
        }
    }
    assert_eq!(table::top_level().map(|row| 1 + row.subcommands().len()).sum::<usize>(), COMMANDS.len());
}

#[test]
fn every_row_is_found_under_its_name_in_any_case() {
    for row in rows() {
        let upper = row.name.to_ascii_uppercase();
        let mixed: String = row
            .name
            .char_indices()
            .map(|(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c })
            .collect();
        for name in [row.name, &upper, &mixed] {
            assert!(std::ptr::eq(lookup::find_full(name.as_bytes()).expect("found"), row), "{name}");
            let top_level = lookup::find(name.as_bytes());
            assert_eq!(top_level.is_some(), !row.is_subcommand(), "{name}");
        }
    }
}

#[test]
fn policies_are_possible() {
    for row in rows() {
        let name = row.name;
        match row.proxy {
            Policy::OneSlot | Policy::LeasedWith(_) => {
                let channels = row.key_specs.iter().any(|spec| spec.flags.has(KeyFlag::NotKey));
                assert!(row.has_keys() || channels, "{name} has nothing to hash");
            }
            Policy::Split(rule) => {
                assert!(row.has_keys() && row.search == Search::Specs && row.arity < 0, "{name}");
                let step = if rule == SplitRule::MultiSet { 2 } else { 1 };
                assert_eq!(row.first_last_step, (1, -1, step), "{name}: all words are keys or their values");
            }
            Policy::NamedSlot => assert!(row.is_subcommand() && row.arity.unsigned_abs() >= 3, "{name}"),
            Policy::Refused(reason) => {
                assert!(!reason.is_empty() && !reason.ends_with('.') && !reason.starts_with("ERR"), "{name}");
            }
            Policy::Local
            | Policy::ClientState
            | Policy::AnyNode
            | Policy::Config
            | Policy::Info
            | Policy::Latency
            | Policy::Scan => {
                assert!(!row.is_write() && !row.has_keys(), "{name} touches keys");
            }
            Policy::EveryShard(rule) => {
                assert!(!row.has_keys(), "{name} would run on every shard with the same keys");
                let adds_up = !matches!(rule, MergeRule::Concat | MergeRule::Random | MergeRule::SumFields);
                assert!(!row.is_write() || adds_up, "{name}");
            }
            Policy::Transaction => assert!(row.group == Group::Transactions && !row.is_write(), "{name}"),
            Policy::Leased => assert!(row.is_blocking() || !row.is_write(), "{name}"),
        }
        let leases = matches!(row.proxy, Policy::Leased | Policy::LeasedWith(_));
        // WAIT and WAITAOF wait for all shards at once.
        let waits = matches!(row.id, Id::Wait | Id::Waitaof);
        assert!(!row.is_blocking() || leases || waits, "{name} would block a shared link");
    }
}

#[test]
fn flags_categories_and_replay_fit_each_other() {
    for row in rows() {
        let name = row.name;
        assert!(!(row.is_write() && row.is_readonly()), "{name}");
        assert_eq!(row.is_write(), row.acl.has(Category::Write), "{name}");
        assert!(row.acl.has(Category::Fast) != row.acl.has(Category::Slow), "{name}");
        assert_eq!(row.is_write(), row.replay != Replay::NoWrite, "{name}");
        assert!(!row.flags.has(Flag::Denyoom) || row.is_write(), "{name}");
        assert!(row.arity != 0, "{name}");
        assert!(row.since.split('.').count() == 3, "{name}");
        let reads = |flags: slotway_commands::row::KeyFlags| flags.has(KeyFlag::Ro);
        if row.is_readonly() && row.id != Id::Pfcount {
            let only_reads =
                row.key_specs.iter().all(|spec| reads(spec.flags) || spec.flags.has(KeyFlag::NotKey));
            assert!(only_reads, "{name} is readonly and its key specs are not");
        }
    }
}

#[test]
fn slotways_own_rows_are_not_for_clients() {
    for row in rows().filter(|row| row.group == Group::Internal && row.name.starts_with("slotway")) {
        assert!(matches!(row.proxy, Policy::Refused(_)), "{}", row.name);
    }
}

#[test]
fn a_handler_for_a_subcommand_is_reachable_through_its_container() {
    for row in rows().filter(|row| row.node == Support::Here) {
        if let Some(container) = row.container_name() {
            assert!(lookup::find(container.as_bytes()).is_some_and(Command::is_here), "{}", row.name);
        }
    }
}

#[test]
fn first_is_the_first_position() {
    let lines = [
        "get k",
        "mset a 1 b 2",
        "eval s 1 k",
        "eval s 0",
        "xread streams a 0",
        "zunionstore d 1 a",
        "migrate h 1 k 0 1",
        "object encoding k",
        "ping",
        "blpop a b 0",
        "sort k store d",
        "set k v",
        "spublish c m",
        "bitop and d a",
    ];
    for line in lines {
        let request = OwnedRequest::new(line.split(' '));
        let row = lookup::find_in(request.view()).expect("a row");
        let position = keys::positions(row, request.view()).expect("keys").next();
        assert_eq!(keys::first(row, request.view()), position.map(|at| request.view().word(at)), "{line}");
    }
}

#[test]
fn a_shard_channel_is_no_key() {
    let request = OwnedRequest::new(["ssubscribe", "a", "b"]);
    let row = lookup::find(b"ssubscribe").expect("a row");
    assert_eq!(keys::positions(row, request.view()).expect("none").count(), 0);
    assert_eq!(keys::channels(row, request.view()).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn rows_without_a_handler_are_unknown_to_clients() {
    let text = |words: &[&str]| {
        String::from_utf8(lookup::resolve(OwnedRequest::new(words).view()).expect_err("refused").text)
            .unwrap()
    };
    for row in table::top_level().filter(|row| row.node == Support::Later) {
        assert_eq!(
            text(&[row.name]),
            format!("ERR unknown command '{}', with args beginning with: ", row.name)
        );
    }
    for row in rows().filter(|row| row.node == Support::Later && row.is_subcommand()) {
        let container = row.container_name().expect("a subcommand");
        let error = text(&[container, row.short_name()]);
        let unknown = ["ERR unknown subcommand '", "ERR unknown command '"];
        assert!(unknown.iter().any(|front| error.starts_with(front)), "{error}");
    }
}

#[test]
fn the_first_words_tell_where_most_commands_go() {
    let check = |line: &str, words: usize, keys: Option<Vec<usize>>| {
        let head = OwnedRequest::new(line.split(' '));
        let row = lookup::find_in(head.view()).unwrap();
        let found = keys::positions_in_head(row, head.view(), words);
        assert_eq!(found.map(Iterator::collect), keys, "{line}");
    };
    for line in [
        "SET k",
        "APPEND k",
        "SETRANGE k",
        "GETSET k",
        "RESTORE k",
        "RPUSH k",
        "HSET k a",
        "ZADD k 1",
        "PFADD k",
    ] {
        check(line, 1000, Some(vec![1]));
    }
    check("SET", 3, None);
    check("MSET k", 3, Some(vec![1]));
    check("MSET k v", 5, None);
    check("MSET k v l", 5, Some(vec![1, 3]));
    check("DEL k", 3, None);
    check("ZUNIONSTORE k 2 a b", 8, Some(vec![1, 3, 4]));
    check("ZUNIONSTORE k 2 a", 8, None);
    check("SORT k", 4, None);
}

proptest! {
    /// Whatever is sent, the search for keys neither panics nor names a word that is not there, and says how many
    /// there are.
    #[test]
    fn positions_are_words_of_the_request(
        at in 0..COMMANDS.len(),
        words in prop::collection::vec(
            prop::sample::select(vec![
                "a", "", "0", "1", "3", "-1", "9223372036854775807", "18446744073709551615", "store", "STREAMS",
                "keys", "get", "auth2", "limit", "overflow", "\u{0}",
            ]),
            0..12,
        ),
    ) {
        let row = &COMMANDS[at];
        let request = OwnedRequest::new(row.name.split('|').chain(words));
        if row.accepts(request.view().len()) {
            keys::first(row, request.view());
            keys::channels(row, request.view());
            if let Ok(positions) = keys::positions(row, request.view()) {
                let announced = positions.len();
                let positions: Vec<usize> = positions.collect();
                prop_assert_eq!(positions.len(), announced);
                prop_assert!(positions.iter().all(|position| (1..request.view().len()).contains(position)));
            }
        }
    }

    /// A request's first words name the keys that the whole request names, or none.
    #[test]
    fn the_head_of_a_request_names_no_other_keys(
        at in 0..COMMANDS.len(),
        words in prop::collection::vec(prop::sample::select(vec!["a", "1", "2", "get", "keys", "STREAMS"]), 1..8),
        came in 1_usize..8,
    ) {
        let row = &COMMANDS[at];
        let words: Vec<&str> = row.name.split('|').chain(words).collect();
        let whole = OwnedRequest::new(&words);
        let head = OwnedRequest::new(words.iter().take(came));
        if row.accepts(words.len())
            && let Some(found) = keys::positions_in_head(row, head.view(), words.len())
        {
            let found: Vec<usize> = found.collect();
            let all: Option<Vec<usize>> = keys::positions(row, whole.view()).ok().map(Iterator::collect);
            prop_assert_eq!(Some(found), all, "{:?}", words);
        }
    }

    #[test]
    fn no_name_is_found_that_is_none(name in prop::collection::vec(any::<u8>(), 0..24)) {
        let found = lookup::find(&name);
        prop_assert_eq!(
            found.map(|row| row.name.as_bytes().eq_ignore_ascii_case(&name)).unwrap_or(true),
            true
        );
    }

    /// Bit 5 set makes `_` of a name collide with 0x7f, and `-` with 0x0d: still other names.
    #[test]
    fn a_name_with_one_bit_changed_is_another(at in 0..COMMANDS.len(), byte in 0_usize..24, bit in 0..8) {
        let mut name = COMMANDS[at].name.as_bytes().to_vec();
        let byte = byte % name.len();
        name[byte] ^= 1_u8 << bit;
        let found = lookup::find_full(&name);
        let same = name.eq_ignore_ascii_case(COMMANDS[at].name.as_bytes());
        prop_assert!(found.is_none_or(|row| (row.id == COMMANDS[at].id) == same));
    }
}
