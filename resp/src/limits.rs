//! What a peer may ask of a parser. Every limit is reached by a test.

/// Limits of one connection. The error texts that answer them are Redis's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `proto-max-bulk-len`, bytes. Redis's default: 512 MB.
    pub bulk_bytes_max: usize,
    /// Words of one request (the N of `*N`). Redis: 2^31 - 1; 10 before a client has authenticated.
    pub words_max: usize,
    /// Bytes of an inline command, and of a `*N` or `$N` line. Redis: 64 KiB.
    pub inline_bytes_max: usize,
    /// How deep a reply may nest.
    pub nesting_max: usize,
    /// True until a client has authenticated where a password is set: Redis's texts then say "unauthenticated".
    pub unauthenticated: bool,
}
