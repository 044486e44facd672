//! Rows that Redis does not have: SLOTWAY, which proxies and nodes speak among themselves, and PROXY, which explains
//! routing to clients. COMMAND shows neither.

use crate::id::Id;
use crate::row::Flag::{Admin, Loading, Noscript, Stale};
use crate::row::Policy::Refused;
use crate::row::{Category, Command, command};

const MEMBERS: &str = "SLOTWAY is spoken among members only";

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Proxy, "proxy", -2, "7.2.0").here(),
    command(Id::ProxyExplain, "proxy|explain", -3, "7.2.0").flags(&[Loading, Stale]).acl(&[Category::Connection])
        .here(),
    command(Id::ProxyHelp, "proxy|help", 2, "7.2.0").flags(&[Loading, Stale]).acl(&[Category::Connection]).here(),
    command(Id::Slotway, "slotway", -2, "7.2.0").proxy(Refused(MEMBERS)).here(),
    command(Id::SlotwayActivate, "slotway|activate", -3, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)),
    command(Id::SlotwayFence, "slotway|fence", -3, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)),
    command(Id::SlotwayFollow, "slotway|follow", -3, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)),
    command(Id::SlotwayLink, "slotway|link", -6, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)).here(),
    command(Id::SlotwayMigrate, "slotway|migrate", -3, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)),
    command(Id::SlotwayNext, "slotway|next", 3, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)),
    command(Id::SlotwaySession, "slotway|session", -3, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)),
    command(Id::SlotwayState, "slotway|state", -2, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)).here(),
    command(Id::SlotwayTopology, "slotway|topology", -4, "7.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .proxy(Refused(MEMBERS)).here(),
];
