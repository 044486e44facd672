//! Rows of the publish/subscribe commands. Shard channels are hashed like keys without being any (`not_key`).

use crate::id::Id;
use crate::row::Flag::{Fast, Loading, MayReplicate, Noscript, Pubsub, Stale};
use crate::row::KeyFlag::NotKey;
use crate::row::Policy::{ClientState, OneSlot};
use crate::row::keyspec::{key, keys};
use crate::row::{Command, command};

#[rustfmt::skip]
pub(crate) const ROWS: &[Command] = &[
    command(Id::Psubscribe, "psubscribe", -2, "2.0.0").flags(&[Pubsub, Noscript, Loading, Stale]).proxy(ClientState),
    command(Id::Publish, "publish", 3, "2.0.0").flags(&[Pubsub, Loading, Stale, Fast, MayReplicate]),
    command(Id::Pubsub, "pubsub", -2, "2.8.0"),
    command(Id::PubsubChannels, "pubsub|channels", -2, "2.8.0").flags(&[Pubsub, Loading, Stale]),
    command(Id::PubsubHelp, "pubsub|help", 2, "6.2.0").flags(&[Loading, Stale]),
    command(Id::PubsubNumpat, "pubsub|numpat", 2, "2.8.0").flags(&[Pubsub, Loading, Stale]),
    command(Id::PubsubNumsub, "pubsub|numsub", -2, "2.8.0").flags(&[Pubsub, Loading, Stale]),
    command(Id::PubsubShardchannels, "pubsub|shardchannels", -2, "7.0.0").flags(&[Pubsub, Loading, Stale]),
    command(Id::PubsubShardnumsub, "pubsub|shardnumsub", -2, "7.0.0").flags(&[Pubsub, Loading, Stale]),
    command(Id::Punsubscribe, "punsubscribe", -1, "2.0.0").flags(&[Pubsub, Noscript, Loading, Stale])
        .proxy(ClientState),
    command(Id::Spublish, "spublish", 3, "7.0.0").flags(&[Pubsub, Loading, Stale, Fast, MayReplicate])
        .keys(&[key(1, &[NotKey])]).proxy(OneSlot),
    command(Id::Ssubscribe, "ssubscribe", -2, "7.0.0").flags(&[Pubsub, Noscript, Loading, Stale])
        .keys(&[keys(1, -1, 1, &[NotKey])]).proxy(ClientState),
    command(Id::Subscribe, "subscribe", -2, "2.0.0").flags(&[Pubsub, Noscript, Loading, Stale]).proxy(ClientState),
    command(Id::Sunsubscribe, "sunsubscribe", -1, "7.0.0").flags(&[Pubsub, Noscript, Loading, Stale])
        .keys(&[keys(1, -1, 1, &[NotKey])]).proxy(ClientState),
    command(Id::Unsubscribe, "unsubscribe", -1, "2.0.0").flags(&[Pubsub, Noscript, Loading, Stale]).proxy(ClientState),
];
