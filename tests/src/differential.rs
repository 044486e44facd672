//! Whole processes against a real redis-server, request by request, to the byte.
//!
//! Requests are made from a grammar and fixed seeds ([`source`], one file per group of commands in [`groups`]): every
//! option alone and in bad company, wrong types, odd numbers, binary and long values. Each goes to the system under test
//! and to a redis-server 7.0 beside it ([`target`]); the answers must agree as far as they are decided at all
//! ([`compare`]), and what lies in the databases afterwards must be the same ([`contents`]). Slotway behaves as Redis 7.2:
//! where that differs from 7.0 stands in one table, with the reason ([`exceptions`]).
//!
//! Under test are a node, and a proxy in front of several: on a whole database, on database 0 with all keys in one slot,
//! and on database 0 with keys wherever they fall ([`place`]). A disagreement is told with the shortest list of requests
//! that was found to lead there (`shorten`).

pub mod question;

pub mod source;

pub mod groups;

pub mod place;

pub mod target;

pub mod run;

pub mod compare;

pub mod exceptions;

pub mod contents;

mod shorten;
