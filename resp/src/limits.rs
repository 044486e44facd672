//! What a peer may ask of a parser. Every limit is reached by a test.
//!
//! A limit refuses what is announced (`$1000000000`) before a byte of it is waited for. None of them makes a parser
//! allocate: what is kept grows with the bytes that came.

/// Limits of one connection. The error texts that answer them are Redis's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `proto-max-bulk-len`, bytes. Redis's default: 512 MB.
    pub bulk_bytes_max: usize,
    /// Words of one request (the N of `*N`), elements of one reply. Redis: 2^31 - 1.
    pub words_max: usize,
    /// Bytes of an inline command, and of a `*N` or `$N` line. Redis: 64 KiB.
    pub inline_bytes_max: usize,
    /// How deep a reply may nest.
    pub nesting_max: usize,
    /// True until a client has authenticated where a password is set: then a request has at most
    /// [`UNAUTHENTICATED_WORDS_MAX`] words of at most [`UNAUTHENTICATED_BULK_BYTES_MAX`] bytes, and Redis's texts
    /// say "unauthenticated".
    pub unauthenticated: bool,
}

/// Enough for `HELLO 3 AUTH user password SETNAME name`.
pub const UNAUTHENTICATED_WORDS_MAX: usize = 10;
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;

const MIB: usize = 1024 * 1024;
/// 2^31 - 1: Redis counts words in a C int.
const WORDS_MAX: usize = 0x7fff_ffff;

impl Limits {
    /// What Redis's defaults allow a client.
    pub const CLIENT: Limits = Limits {
        bulk_bytes_max: 512 * MIB,
        words_max: WORDS_MAX,
        inline_bytes_max: 64 * 1024,
        nesting_max: 128,
        unauthenticated: false,
    };

    /// What a proxy believes of a node. Wide, because a reply past a limit costs the link and with it the requests
    /// of other clients: a bulk is at most twice the largest value (DUMP adds to it), a script may return a status
    /// line as long as a value, and Lua's own stack ends a script's nesting below 8,000.
    pub const REPLY: Limits = Limits {
        bulk_bytes_max: 1024 * MIB,
        words_max: WORDS_MAX,
        inline_bytes_max: 512 * MIB,
        nesting_max: 10_000,
        unauthenticated: false,
    };

    /// These limits for a client that has yet to give its password.
    #[must_use]
    pub const fn unauthenticated(self) -> Limits {
        Limits { unauthenticated: true, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::CLIENT
    }
}
