//! Rows of the bitmap commands: strings seen as arrays of bits.

use crate::id::Id;
use crate::row::Flag::{Denyoom, Fast, Readonly, Write};
use crate::row::KeyFlag::{Access, Ow, Ro, Rw, Update, VariableFlags};
use crate::row::Policy::OneSlot;
use crate::row::Replay::Same;
use crate::row::keyspec::{key, keys};
use crate::row::{Category, Command, Search, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Bitcount, "bitcount", -2, "2.6.0").flags(&[Readonly]).acl(&[Category::Bitmap])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Bitfield, "bitfield", -2, "3.2.0").flags(&[Write, Denyoom]).acl(&[Category::Bitmap])
        .keys(&[key(1, &[Rw, Access, Update, VariableFlags])]).search(Search::Bitfield).proxy(OneSlot).replay(Same).here(),
    command(Id::BitfieldRo, "bitfield_ro", -2, "6.0.0").flags(&[Readonly, Fast]).acl(&[Category::Bitmap])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Bitop, "bitop", -4, "2.6.0").flags(&[Write, Denyoom]).acl(&[Category::Bitmap])
        .keys(&[key(2, &[Ow, Update]), keys(3, -1, 1, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Bitpos, "bitpos", -3, "2.8.7").flags(&[Readonly]).acl(&[Category::Bitmap])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Getbit, "getbit", 3, "2.2.0").flags(&[Readonly, Fast]).acl(&[Category::Bitmap])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Setbit, "setbit", 4, "2.2.0").flags(&[Write, Denyoom]).acl(&[Category::Bitmap])
        .keys(&[key(1, &[Rw, Access, Update])]).proxy(OneSlot).replay(Same).here(),
];
