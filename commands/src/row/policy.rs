//! How a proxy treats a command, whether it has a handler, and whether its reply must be kept for replays.

/// How a proxy treats a request of the command. The match over it in the proxy is exhaustive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The proxy answers itself: what it is asked is the same everywhere, or speaks of the proxy.
    Local,
    /// All keys must lie in one slot; the request goes there as it is. Without keys (EVAL with none) any primary
    /// will do.
    OneSlot,
    /// As [`Policy::OneSlot`], but when this option stands among the words the request may block and takes a leased
    /// link (XREAD with BLOCK).
    LeasedWith(&'static str),
    /// Cut into one request for each slot's shard when its keys lie apart, and the replies put together.
    Split(SplitRule),
    /// Every shard's primary gets it; the replies are merged. What blocks takes a leased link to each.
    EveryShard(MergeRule),
    /// SCAN: the cursor tells the shard.
    Scan,
    /// CONFIG GET and SET: the proxy's own settings and the nodes', each where it belongs.
    Config,
    /// INFO: the nodes' texts merged field by field, the proxy's own fields in place of theirs.
    Info,
    /// LATENCY's reports: each is asked of every primary, and merged by what it is.
    Latency,
    /// Reads or changes what belongs to the client's connection, which the proxy keeps itself: a shared link never
    /// sees it.
    ClientState,
    /// MULTI and what ends it, WATCH and what ends it. What stands between MULTI and EXEC is collected by the proxy and
    /// sent as one piece; WATCH takes a leased link. All keys must lie in one slot.
    Transaction,
    /// Needs a connection to the node for itself for as long as it lasts: blocking commands, MONITOR. Its keys must lie in
    /// one slot.
    Leased,
    /// Any primary can answer, all would answer alike.
    AnyNode,
    /// The slot is the word behind the subcommand's name: its owner answers.
    NamedSlot,
    /// Not through a proxy. The text is the error without its `ERR `.
    Refused(&'static str),
}

/// How a command with several keys is cut and its replies put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitRule {
    /// An array with one element per key, in the order of the request.
    MultiGet,
    /// Keys and values in turn; OK when every part says OK.
    MultiSet,
    /// Integers, added.
    Sum,
}

/// How the replies of all shards become one. An error of any of them is the answer, unless the rule says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeRule {
    /// Integers, added.
    Sum,
    /// Integers, the smallest; arrays of integers element by element.
    Min,
    /// OK when all say OK, else the first error.
    AllOk,
    /// OK when one says OK, else the first error.
    AnyOk,
    /// All say the same: the first reply.
    First,
    /// Arrays, one behind the other.
    Concat,
    /// One of the replies that are not null, chosen at random; null when all are.
    Random,
    /// Maps: numbers under the same name added, everything else from the first.
    SumFields,
}

/// Whether node and proxy have what the row promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The node has a handler.
    Here,
    /// The row exists, but to clients the command does not: node and proxy answer as Redis answers an unknown one.
    Later,
}

/// What a session (exactly-once writes) must know of a write: its entry keeps the reply, unless executing the
/// replicated effect again yields the same one. In doubt a row says [`Replay::Kept`], which costs bytes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// No write by itself: not numbered. (A script or an EXEC is one unit whose reply is kept, whatever it holds.)
    NoWrite,
    /// Its effect yields the same reply: nothing to keep.
    Same,
    /// As [`Replay::Same`], unless this option stands among the words (SET with GET).
    SameWithout(&'static str),
    /// The reply is kept.
    Kept,
}
