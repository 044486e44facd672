//! Encoders: append one element to an output buffer. Where RESP2 and RESP3 differ, the version decides.

/// The version a connection speaks (`HELLO 2`, `HELLO 3`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum Version {
    #[default]
    Resp2,
    Resp3,
}

/// `+text`
pub fn simple(_out: &mut Vec<u8>, _text: &str) {
    todo!()
}
/// `-text` (the text brings its own code, e.g. `ERR no such key`). Line ends inside are written as spaces.
pub fn error(_out: &mut Vec<u8>, _text: &[u8]) {
    todo!()
}
/// `:n`
pub fn integer(_out: &mut Vec<u8>, _value: i64) {
    todo!()
}
/// `$len` and the bytes
pub fn bulk(_out: &mut Vec<u8>, _bytes: &[u8]) {
    todo!()
}
/// An integer's digits as a bulk.
pub fn bulk_integer(_out: &mut Vec<u8>, _value: i64) {
    todo!()
}
/// RESP2 `$-1`, RESP3 `_`
pub fn null(_out: &mut Vec<u8>, _version: Version) {
    todo!()
}
/// RESP2 `*-1`, RESP3 `_`
pub fn null_array(_out: &mut Vec<u8>, _version: Version) {
    todo!()
}
/// `*len`
pub fn array(_out: &mut Vec<u8>, _len: usize) {
    todo!()
}
/// RESP2 `*2len`, RESP3 `%len`
pub fn map(_out: &mut Vec<u8>, _version: Version, _len: usize) {
    todo!()
}
/// RESP2 `*len`, RESP3 `~len`
pub fn set(_out: &mut Vec<u8>, _version: Version, _len: usize) {
    todo!()
}
/// RESP2 `*len`, RESP3 `>len`
pub fn push(_out: &mut Vec<u8>, _version: Version, _len: usize) {
    todo!()
}
/// RESP2 a bulk, RESP3 `,value`; shortest digits that read back the same, `inf`, `-inf`, `nan`.
pub fn double(_out: &mut Vec<u8>, _version: Version, _value: f64) {
    todo!()
}
/// RESP2 `:1`/`:0`, RESP3 `#t`/`#f`
pub fn boolean(_out: &mut Vec<u8>, _version: Version, _value: bool) {
    todo!()
}
/// RESP2 a bulk, RESP3 `=len` with a three-letter format (`txt`, `mkd`)
pub fn verbatim(_out: &mut Vec<u8>, _version: Version, _format: &str, _bytes: &[u8]) {
    todo!()
}
/// RESP2 a bulk, RESP3 `(digits`
pub fn big_number(_out: &mut Vec<u8>, _version: Version, _digits: &str) {
    todo!()
}
/// A request: `*n` and its words as bulks.
pub fn request<W: AsRef<[u8]>>(_out: &mut Vec<u8>, _words: &[W]) {
    todo!()
}
