//! Bits and bit fields in strings.

use super::Group;
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "bits", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[];

fn words(_source: &mut Source, _name: &str) -> Option<Vec<Vec<u8>>> {
    None
}

const CHOSEN: &str = "";
