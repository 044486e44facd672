//! What the campaign's clients ask, and what became of each request.
//!
//! Each kind of request shows another violation. **Registers** (SET of values that nobody else writes, GET) show stale reads: their
//! histories must be linearizable. **Counters** (INCR) show what was applied twice or lost by their answers alone. **Lists** (RPUSH of
//! values that nobody else pushes) show both by their content. A key that is written **once** shows a loss most plainly.
//! **Transfers** between accounts (MULTI) show halves: the log of transfers, written in the same transactions, tells what the balances must be.
//!
//! Everything a request says follows from its number, so nothing has to be remembered beside it.

use super::speak::{Chance, command};

pub const REGISTERS: u64 = 96;
pub const COUNTERS: u64 = 32;
pub const LISTS: u64 = 32;
pub const ACCOUNTS: u64 = 16;

/// Requests of a transfer, and so replies: MULTI, three commands, EXEC.
const TRANSFER_REQUESTS: u8 = 5;

/// When nothing came.
pub const NEVER: u64 = u64::MAX;

/// One request of the campaign. A moment is nanoseconds since the run's clock began.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub number: u64,
    pub what: What,
    /// When it was meant to leave.
    pub due: u64,
    /// When it was handed to the kernel.
    pub sent: u64,
    /// When its answer, whatever it was, was read.
    pub answered: u64,
    pub became: Became,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Set { register: u64 },
    Get { register: u64 },
    Increment { counter: u64 },
    Push { list: u64 },
    Once,
    Transfer { from: u64, to: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// Answered as it should: the number in the reply, where there is one (a GET of nothing: 0).
    Done(u64),
    /// Answered by an error that says that it was not applied. The number stands for the error's text.
    Refused(usize),
    /// `-INDETERMINATE`, a lost connection, silence.
    Unknown(usize),
    /// It never left: there was no connection.
    NotSent,
}

impl What {
    /// What request `number` is.
    pub fn choose(chance: &mut Chance) -> What {
        match chance.below(100) {
            0..25 => What::Set { register: chance.below(REGISTERS) },
            25..45 => What::Get { register: chance.below(REGISTERS) },
            45..60 => What::Increment { counter: chance.below(COUNTERS) },
            60..75 => What::Push { list: chance.below(LISTS) },
            75..90 => What::Once,
            _ => {
                let from = chance.below(ACCOUNTS);
                What::Transfer { from, to: (from + 1 + chance.below(ACCOUNTS - 1)) % ACCOUNTS }
            }
        }
    }

    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, What::Get { .. })
    }

    /// How many replies come.
    #[must_use]
    pub fn replies(self) -> u8 {
        if matches!(self, What::Transfer { .. }) { TRANSFER_REQUESTS } else { 1 }
    }

    /// Appends the request's bytes. Its values are its number.
    pub fn append(self, number: u64, out: &mut Vec<u8>) {
        match self {
            What::Set { register } => command(out, &["SET", &register_key(register), &number.to_string()]),
            What::Get { register } => command(out, &["GET", &register_key(register)]),
            What::Increment { counter } => command(out, &["INCR", &counter_key(counter)]),
            What::Push { list } => command(out, &["RPUSH", &list_key(list), &number.to_string()]),
            What::Once => command(out, &["SET", &once_key(number), &number.to_string()]),
            What::Transfer { from, to } => {
                let amount = amount(number).to_string();
                command(out, &["MULTI"]);
                command(out, &["DECRBY", &account_key(from), &amount]);
                command(out, &["INCRBY", &account_key(to), &amount]);
                command(out, &["RPUSH", TRANSFERS_KEY, &number.to_string()]);
                command(out, &["EXEC"]);
            }
        }
    }
}

/// What a transfer moves.
#[must_use]
pub fn amount(number: u64) -> u64 {
    number % 97 + 1
}

#[must_use]
pub fn register_key(register: u64) -> String {
    format!("register:{register}")
}

#[must_use]
pub fn counter_key(counter: u64) -> String {
    format!("counter:{counter}")
}

#[must_use]
pub fn list_key(list: u64) -> String {
    format!("list:{list}")
}

#[must_use]
pub fn once_key(number: u64) -> String {
    format!("once:{number}")
}

/// All accounts are in one slot, as a transaction wants it.
#[must_use]
pub fn account_key(account: u64) -> String {
    format!("{{bank}}:{account}")
}

pub const TRANSFERS_KEY: &str = "{bank}:transfers";

/// Whether an error says that nothing was applied. All that a proxy and a server say do, but these.
#[must_use]
pub fn is_unknown(error: &str) -> bool {
    ["INDETERMINATE", "TIMEOUT"].iter().any(|word| error.starts_with(word))
}
