//! What a snapshot costs: nanoseconds per key for reading it and building its entries (on a helper thread), for inserting
//! them (on the keyspace's), and for writing them again.
//!
//! `cargo bench -p slotway-node --features measure --bench snapshot_cost -- dump.rdb ...`

use std::{fs::File, time::Instant};

use slotway_node::measure::Loading;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    for path in std::env::args().skip(1).filter(|word| !word.starts_with("--")) {
        let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut loading = Loading::default();
        let begin = Instant::now();
        let keys = loading.read(file).unwrap_or_else(|error| panic!("{path}: {error}"));
        let read = begin.elapsed();
        let begin = Instant::now();
        let bytes = loading.write();
        let written = begin.elapsed();
        let begin = Instant::now();
        loading.insert();
        let inserted = begin.elapsed();
        let per_key = |time: std::time::Duration| time.as_nanos() as f64 / keys as f64;
        println!(
            "{path}: {keys} keys, {bytes} bytes; per key {:.0} ns to read, {:.0} ns to insert, {:.0} ns to write",
            per_key(read),
            per_key(inserted),
            per_key(written),
        );
    }
}
