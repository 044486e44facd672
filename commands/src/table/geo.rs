//! Rows of the geo commands: sorted sets whose scores are places.

use crate::id::Id;
use crate::row::Flag::{Denyoom, Readonly, Write};
use crate::row::KeyFlag::{Access, Ow, Ro, Rw, Update};
use crate::row::Policy::OneSlot;
use crate::row::Replay::{Kept, Same};
use crate::row::keyspec::{behind, key};
use crate::row::{Category, Command, Search, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Geoadd, "geoadd", -5, "3.2.0").flags(&[Write, Denyoom]).acl(&[Category::Geo])
        .keys(&[key(1, &[Rw, Update])]).proxy(OneSlot).replay(Same).here(),
    command(Id::Geodist, "geodist", -4, "3.2.0").flags(&[Readonly]).acl(&[Category::Geo])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Geohash, "geohash", -2, "3.2.0").flags(&[Readonly]).acl(&[Category::Geo])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Geopos, "geopos", -2, "3.2.0").flags(&[Readonly]).acl(&[Category::Geo]).keys(&[key(1, &[Ro, Access])])
        .proxy(OneSlot).here(),
    command(Id::Georadius, "georadius", -6, "3.2.0").flags(&[Write, Denyoom]).acl(&[Category::Geo])
        .deprecated("6.2.0")
        .keys(&[key(1, &[Ro, Access]), behind("STORE", 6, 0, 0, &[Ow, Update]), behind("STOREDIST", 6, 0, 0, &[Ow, Update])])
        .search(Search::Georadius).proxy(OneSlot).replay(Kept).here(),
    command(Id::GeoradiusRo, "georadius_ro", -6, "3.2.10").flags(&[Readonly]).acl(&[Category::Geo])
        .deprecated("6.2.0").keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Georadiusbymember, "georadiusbymember", -5, "3.2.0").flags(&[Write, Denyoom]).acl(&[Category::Geo])
        .deprecated("6.2.0")
        .keys(&[key(1, &[Ro, Access]), behind("STORE", 5, 0, 0, &[Ow, Update]), behind("STOREDIST", 5, 0, 0, &[Ow, Update])])
        .search(Search::Georadius).proxy(OneSlot).replay(Kept).here(),
    command(Id::GeoradiusbymemberRo, "georadiusbymember_ro", -5, "3.2.10").flags(&[Readonly]).acl(&[Category::Geo])
        .deprecated("6.2.0").keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Geosearch, "geosearch", -7, "6.2.0").flags(&[Readonly]).acl(&[Category::Geo])
        .keys(&[key(1, &[Ro, Access])]).proxy(OneSlot).here(),
    command(Id::Geosearchstore, "geosearchstore", -8, "6.2.0").flags(&[Write, Denyoom]).acl(&[Category::Geo])
        .keys(&[key(1, &[Ow, Update]), key(2, &[Ro, Access])]).proxy(OneSlot).replay(Same).here(),
];
