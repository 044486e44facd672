//! HyperLogLog: sparse and dense, the same bytes.

use super::Group;
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "hyperloglog", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[];

fn words(_source: &mut Source, _name: &str) -> Option<Vec<Vec<u8>>> {
    None
}

const CHOSEN: &str = "";
