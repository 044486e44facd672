//! Every group of commands against a real redis-server: on a node, and through a proxy in front of three.
//!
//! A group's tests: `cargo test -p slotway-tests --test differential lists` (build the program first:
//! `cargo build -p slotway`). More seeds: `SLOTWAY_DIFFERENTIAL_SEEDS=1-20`.

macro_rules! groups {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            use slotway_tests::differential::{groups, run};

            #[test]
            fn on_a_node() {
                run::on_a_node(&groups::$name::GROUP);
            }

            #[test]
            fn on_two_of_redis() {
                run::on_two_of_redis(&groups::$name::GROUP);
            }

            #[test]
            fn through_the_proxy() {
                run::through_the_proxy(&groups::$name::GROUP);
            }
        })*

        #[test]
        fn every_group_is_asked() {
            let mut asked = [$(stringify!($name)),*];
            let mut all: Vec<&str> =
                slotway_tests::differential::groups::ALL.iter().map(|group| group.name).collect();
            asked.sort_unstable();
            all.sort_unstable();
            assert_eq!(all, asked);
        }
    };
}

groups![
    strings,
    keys,
    hashes,
    lists,
    sets,
    sorted_sets,
    bits,
    hyperloglog,
    geo,
    sort,
    dump,
    transactions,
    server,
];
