//! LCS: the longest common subsequence of two strings.

use slotway_commands::errors;
use slotway_resp::write;

use crate::call::{Call, Done, Refusal};
use crate::handlers::arguments::{SYNTAX, count, integer, is};

const TOO_MUCH_MEMORY: Refusal =
    Refusal::Borrowed("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");

/// What is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    Len,
    Matches,
}

struct Options {
    wanted: Wanted,
    match_len_min: i64,
    with_match_len: bool,
}

/// A run of bytes that both strings have, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    one: usize,
    other: usize,
    len: usize,
}

/// For every pair of prefixes the length of their longest common subsequence.
struct Lengths {
    lengths: Vec<u32>,
    row: usize,
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]
pub(crate) fn lcs(call: &mut Call<'_>) -> Done {
    let one = string(call, 0)?;
    let other = string(call, 1)?;
    let options = options(call)?;
    let places = (one.len() + 1).checked_mul(other.len() + 1);
    let bytes = places.and_then(|places| places.checked_mul(size_of::<u32>()));
    if bytes.is_none_or(|bytes| bytes > call.keyspace.settings.text_bytes_max) {
        return Err(TOO_MUCH_MEMORY);
    }
    let lengths = Lengths::of(&one, &other);
    match options.wanted {
        Wanted::Len => write::integer(call.out, i64::from(lengths.total())),
        Wanted::Text => {
            let runs = lengths.runs(&one, &other);
            let text: Vec<u8> =
                runs.iter().rev().flat_map(|run| &one[run.one..run.one + run.len]).copied().collect();
            write::bulk(call.out, &text);
        }
        Wanted::Matches => write_matches(call, &options, &lengths, lengths.runs(&one, &other)),
    }
    Ok(())
}

/// A copy: the second lookup may change what the first one found, by expiring it.
fn string(call: &mut Call<'_>, nth: usize) -> Result<Vec<u8>, Refusal> {
    let key = call.nth_key(nth, 1 + nth);
    match call.keyspace.read(key, call.now) {
        Some(entry) => entry.text().map(<[u8]>::to_vec).ok_or(Refusal::Borrowed(errors::LCS_NOT_STRINGS)),
        None => Ok(Vec::new()),
    }
}

fn options(call: &Call<'_>) -> Result<Options, Refusal> {
    let (mut len, mut matches) = (false, false);
    let mut options = Options { wanted: Wanted::Text, match_len_min: 0, with_match_len: false };
    let mut words = call.request.words().skip(3);
    while let Some(word) = words.next() {
        match word {
            word if is(word, "IDX") => matches = true,
            word if is(word, "LEN") => len = true,
            word if is(word, "WITHMATCHLEN") => options.with_match_len = true,
            word if is(word, "MINMATCHLEN") => options.match_len_min = integer(words.next().ok_or(SYNTAX)?)?,
            _ => return Err(SYNTAX),
        }
    }
    options.wanted = match (len, matches) {
        (true, true) => return Err(Refusal::Borrowed(errors::LCS_LEN_AND_IDX)),
        (true, false) => Wanted::Len,
        (false, true) => Wanted::Matches,
        (false, false) => Wanted::Text,
    };
    Ok(options)
}

/// From the last run to the first, as they are found.
fn write_matches(call: &mut Call<'_>, options: &Options, lengths: &Lengths, mut runs: Vec<Run>) {
    runs.retain(|run| count(run.len) >= options.match_len_min);
    write::map(call.out, call.version, 2);
    write::bulk(call.out, b"matches");
    write::array(call.out, runs.len());
    for run in runs {
        write::array(call.out, if options.with_match_len { 3 } else { 2 });
        for start in [run.one, run.other] {
            write::array(call.out, 2);
            write::integer(call.out, count(start));
            write::integer(call.out, count(start + run.len - 1));
        }
        if options.with_match_len {
            write::integer(call.out, count(run.len));
        }
    }
    write::bulk(call.out, b"len");
    write::integer(call.out, i64::from(lengths.total()));
}

impl Lengths {
    fn of(one: &[u8], other: &[u8]) -> Lengths {
        let row = other.len() + 1;
        let mut lengths = vec![0u32; (one.len() + 1) * row];
        for (at, byte) in one.iter().enumerate() {
            let (above, below) = lengths[at * row..(at + 2) * row].split_at_mut(row);
            for (column, other_byte) in other.iter().enumerate() {
                below[column + 1] =
                    if byte == other_byte { above[column] + 1 } else { above[column + 1].max(below[column]) };
            }
        }
        Lengths { lengths, row }
    }

    fn total(&self) -> u32 {
        self.lengths.last().copied().unwrap_or(0)
    }

    fn at(&self, one: usize, other: usize) -> u32 {
        self.lengths[one * self.row + other]
    }

    /// The runs of one longest common subsequence, from the last to the first: where two are equally long, the choice
    /// that Redis makes.
    fn runs(&self, one: &[u8], other: &[u8]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut at_one, mut at_other) = (one.len(), other.len());
        let mut in_run = false;
        while at_one > 0 && at_other > 0 {
            let is_match = one[at_one - 1] == other[at_other - 1];
            if is_match {
                (at_one, at_other) = (at_one - 1, at_other - 1);
                match runs.last_mut().filter(|_| in_run) {
                    Some(run) => *run = Run { one: at_one, other: at_other, len: run.len + 1 },
                    None => runs.push(Run { one: at_one, other: at_other, len: 1 }),
                }
            } else if self.at(at_one - 1, at_other) > self.at(at_one, at_other - 1) {
                at_one -= 1;
            } else {
                at_other -= 1;
            }
            in_run = is_match;
        }
        runs
    }
}
