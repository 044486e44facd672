//! The node as its clients see it: raw RESP over TCP to a node that runs in this process on a free port.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[expect(dead_code, reason = "these tests use a part of it")]
mod dump;
mod support;

mod append_only;
mod bits;
mod clients;
mod cluster;
mod durations;
mod full_sync;
mod limits;
mod login;
mod memory;
mod migrate;
mod oracle;
mod persistence;
mod pipelines;
mod pulse;
mod reports;
mod shutdown;
mod sorted_sets;
mod start;
mod transactions;

/// As in the program: what a node knows of memory, it knows from this allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
