//! A node as a replica: of a real redis-server, and of primaries that do what a real one does too seldom.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../server/support.rs"]
#[expect(dead_code, reason = "these tests use a part of it")]
mod support;

#[path = "../server/dump.rs"]
mod dump;
mod fake;
mod redis;

mod chains;
mod disks;
mod following;
mod handing;
mod links;
mod roles;
