//! The table of settings checks itself.

use std::collections::HashSet;

use slotway_config::{ALIASES, Effect, Key, Origin, Program, ROWS, Settings};

#[test]
fn names_are_sorted_within_their_origin_and_unique_over_all() {
    for origin in [Origin::Redis, Origin::Slotway] {
        let names: Vec<_> = ROWS.iter().filter(|row| row.origin == origin).map(|row| row.name).collect();
        assert!(names.is_sorted(), "{origin:?}: {names:?}");
    }
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    assert!(aliases.clone().is_sorted());
    let mut seen = HashSet::new();
    for name in ROWS.iter().map(|row| row.name).chain(aliases) {
        assert!(seen.insert(name), "{name} twice");
        assert_eq!(name, name.to_ascii_lowercase());
    }
}

#[test]
fn a_key_finds_its_own_row() {
    for row in ROWS {
        assert_eq!(row.key.row().name, row.name);
        assert_eq!(Key::named(&row.name.to_uppercase()), Some((row.name, row.key)));
    }
}

#[test]
fn every_row_belongs_to_a_program_and_says_in_one_line_what_it_means() {
    for row in ROWS {
        assert!(!row.programs.is_empty(), "{}", row.name);
        assert!((10..=110).contains(&row.meaning.len()), "{}: {}", row.name, row.meaning);
        assert!(!row.meaning.ends_with('.') && !row.meaning.contains('\n'), "{}", row.name);
        if let Effect::Fixed(why) = row.effect {
            assert!(!why.is_empty());
        }
    }
}

#[test]
fn every_default_is_a_valid_value_in_canonical_form() {
    for program in Program::ALL {
        let settings = Settings::defaults(program);
        for row in ROWS.iter().filter(|row| row.belongs_to(program)) {
            assert_eq!(settings.show(row.key), row.default_of(program), "{}", row.name);
        }
    }
}

/// The readers by type panic on a key of another type.
#[test]
fn limits_have_the_types_that_code_reads_them_by() {
    let proxy = Settings::proxy_defaults();
    assert_eq!(proxy.integer(Key::RequestsInFlightPerClientAndLink), 1024);
    assert_eq!(proxy.count(Key::Maxclients), 10_000);
    assert_eq!(proxy.bytes(Key::HoldBytesMax), 64 << 20);
    assert_eq!(proxy.bytes(Key::SharedRequestBytesMax), 64 << 10);
    assert_eq!(proxy.output_limits().normal.hard_bytes, 1 << 30);
    let node = Settings::node_defaults();
    assert_eq!(node.output_limits().normal.hard_bytes, 0);
    assert_eq!(node.text(Key::MaxmemoryPolicy), "noeviction");
    assert_eq!(node.integer(Key::Timeout), 0);
    assert_eq!(node.bytes(Key::ProtoMaxBulkLen), 512 << 20);
    assert_eq!(node.save_points().len(), 3);
    assert!(node.keyspace_events().is_off());
    assert_eq!(node.replica_of(), None);
}
