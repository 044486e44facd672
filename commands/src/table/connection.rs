//! Rows of the connection commands. Nearly all are state of the client, which a proxy keeps itself: a shared link
//! never sees them.

use crate::id::Id;
use crate::row::Flag::{Admin, AllowBusy, Fast, Loading, NoAuth, Noscript, Stale};
use crate::row::Policy::ClientState;
use crate::row::{Category, Command, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Auth, "auth", -2, "1.0.0").flags(&[Noscript, Loading, Stale, Fast, NoAuth, AllowBusy])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::Client, "client", -2, "2.4.0").here(),
    command(Id::ClientCaching, "client|caching", 3, "6.0.0").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::ClientGetname, "client|getname", 2, "2.6.9").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).here(),
    command(Id::ClientGetredir, "client|getredir", 2, "6.0.0").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).here(),
    command(Id::ClientHelp, "client|help", 2, "5.0.0").flags(&[Loading, Stale]).acl(&[Category::Connection]).here(),
    command(Id::ClientId, "client|id", 2, "5.0.0").flags(&[Noscript, Loading, Stale]).acl(&[Category::Connection])
        .here(),
    command(Id::ClientInfo, "client|info", 2, "6.2.0").flags(&[Noscript, Loading, Stale]).acl(&[Category::Connection])
        .tips(&["nondeterministic_output"]).here(),
    command(Id::ClientKill, "client|kill", -3, "2.4.0").flags(&[Admin, Noscript, Loading, Stale])
        .acl(&[Category::Connection]).here(),
    command(Id::ClientList, "client|list", -2, "2.4.0").flags(&[Admin, Noscript, Loading, Stale])
        .acl(&[Category::Connection]).tips(&["nondeterministic_output"]).here(),
    command(Id::ClientNoEvict, "client|no-evict", 3, "7.0.0").flags(&[Admin, Noscript, Loading, Stale])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::ClientNoTouch, "client|no-touch", 3, "7.2.0").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::ClientPause, "client|pause", -3, "2.9.50").flags(&[Admin, Noscript, Loading, Stale])
        .acl(&[Category::Connection]).here(),
    command(Id::ClientReply, "client|reply", 3, "3.2.0").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::ClientSetinfo, "client|setinfo", 4, "7.2.0").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .proxy(ClientState).here(),
    command(Id::ClientSetname, "client|setname", 3, "2.6.9").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::ClientTracking, "client|tracking", -3, "6.0.0").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).proxy(ClientState),
    command(Id::ClientTrackinginfo, "client|trackinginfo", 2, "6.2.0").flags(&[Noscript, Loading, Stale])
        .acl(&[Category::Connection]).here(),
    command(Id::ClientUnblock, "client|unblock", -3, "5.0.0").flags(&[Admin, Noscript, Loading, Stale])
        .acl(&[Category::Connection]),
    command(Id::ClientUnpause, "client|unpause", 2, "6.2.0").flags(&[Admin, Noscript, Loading, Stale])
        .acl(&[Category::Connection]).here(),
    command(Id::Echo, "echo", 2, "1.0.0").flags(&[Loading, Stale, Fast]).acl(&[Category::Connection]).here(),
    command(Id::Hello, "hello", -1, "6.0.0").flags(&[Noscript, Loading, Stale, Fast, NoAuth, AllowBusy])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::Ping, "ping", -1, "1.0.0").flags(&[Fast]).acl(&[Category::Connection])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]).here(),
    command(Id::Quit, "quit", -1, "1.0.0").flags(&[Noscript, Loading, Stale, Fast, NoAuth, AllowBusy])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::Reset, "reset", 1, "6.2.0").flags(&[Noscript, Loading, Stale, Fast, NoAuth, AllowBusy])
        .acl(&[Category::Connection]).proxy(ClientState).here(),
    command(Id::Select, "select", 2, "1.0.0").flags(&[Loading, Stale, Fast]).acl(&[Category::Connection])
        .proxy(ClientState).here(),
];
