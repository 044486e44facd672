//! The data path from outside: a proxy in this process, real redis-servers and scripted ones behind it, bare clients in
//! front of it.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

#[path = "../support/backend.rs"]
mod backend;
#[path = "../support/front.rs"]
mod front;
#[path = "../support/keys.rs"]
mod keys;
mod member;
#[path = "../support/peer.rs"]
mod peer;
mod scripts;

mod commands;
mod databases;
mod every_shard;
mod explain;
mod interrupted;
mod large_transactions;
mod latency;
mod pieces;
mod reading;
mod server;
mod transactions;
mod watching;

mod order;

mod clients;
mod cluster;
mod input;
mod lanes;
mod large;
mod large_gathered;
mod large_leaving;
mod large_redirected;
mod large_requests;
mod large_waiting;
mod limits;
mod pausing;

mod failover;
mod failover_units;
mod faults;
mod following;
mod following_units;
mod holding;
mod life;
mod overflow;
mod parked;
mod silence;
mod waiting;
mod wandering;
