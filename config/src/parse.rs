//! Text to value: the grammar of every [`Kind`], with Redis's words for what is wrong.
//!
//! One deliberate difference: a size or count too large for its integer is refused; Redis lets it wrap around
//! and stores something else than what was asked for.

use crate::events::KeyspaceEvents;
use crate::output::{OutputLimit, OutputLimits};
use crate::row::{Kind, TextRule};
use crate::value::{BytesOrPercent, SavePoint, Value};

/// Reads `text` as a value of `kind`. `now` is the present value, which `client-output-buffer-limit` changes in
/// part.
///
/// # Errors
/// What is wrong, in Redis's words.
pub(crate) fn parse(kind: &Kind, text: &str, now: Option<&Value>) -> Result<Value, String> {
    match *kind {
        Kind::Flag => flag(text),
        Kind::Integer { min, max } => integer(text, min, max).map(Value::Integer),
        Kind::Clamped { min, max } => {
            let wide = integer(text, 0, i64::from(i32::MAX))?;
            Ok(Value::Integer(wide.clamp(min, max)))
        }
        Kind::Octal { max } => octal(text, max),
        Kind::Bytes { min, max } => bytes(text, min, max).map(Value::Bytes),
        Kind::BytesRaised { floor } => {
            bytes(text, 1, i64::MAX.unsigned_abs()).map(|asked| Value::Bytes(asked.max(floor)))
        }
        Kind::BytesOrPercent => bytes_or_percent(text),
        Kind::Choice { words, same } => choice(text, words, same),
        Kind::Choices(words) => choices(text, words),
        Kind::Text(rule) => check_text(text, rule).map(|()| Value::Text(text.to_owned())),
        Kind::Words { max } => words(text, max),
        Kind::SavePoints => save_points(text),
        Kind::OutputLimits => output_limits(text, now),
        Kind::OomScores => oom_scores(text),
        Kind::KeyspaceEvents => KeyspaceEvents::parse(text)
            .map(Value::KeyspaceEvents)
            .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
        Kind::Percentiles => percentiles(text),
        Kind::ReplicaOf => replica_of(text),
        Kind::PortOrOff => port_or_off(text),
        Kind::Addresses => addresses(text),
    }
}

/// Words of a setting that takes several, as Redis cuts them: one space each, nothing at all is no word.
fn cut(text: &str) -> Vec<&str> {
    match text {
        "" => Vec::new(),
        text => text.split(' ').collect(),
    }
}

fn flag(text: &str) -> Result<Value, String> {
    match text {
        _ if text.eq_ignore_ascii_case("yes") => Ok(Value::Flag(true)),
        _ if text.eq_ignore_ascii_case("no") => Ok(Value::Flag(false)),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

/// Redis takes an integer only as it would print it: no plus, no leading zero, no space.
fn integer(text: &str, min: i64, max: i64) -> Result<i64, String> {
    let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
    let number = number.ok_or("argument couldn't be parsed into an integer")?;
    match (min..=max).contains(&number) {
        true => Ok(number),
        false => Err(format!("argument must be between {min} and {max} inclusive")),
    }
}

fn octal(text: &str, max: i64) -> Result<Value, String> {
    match i64::from_str_radix(text, 8) {
        Ok(number) if (0..=max).contains(&number) => Ok(Value::Octal(number)),
        Ok(_) => Err(format!("argument must be between 0 and {max:o} inclusive")),
        Err(_) => Err("argument couldn't be parsed as an octal number".into()),
    }
}

fn bytes(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let bytes = memory(text).ok_or("argument must be a memory value")?;
    match (min..=max).contains(&bytes) {
        true => Ok(bytes),
        false => Err(format!("argument must be between {min} and {max} inclusive")),
    }
}

/// `100`, `100b`, `64k` (thousands), `64kb` (1024s), up to `gb`, in any case of letters. No digits are zero.
pub(crate) fn memory(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let number = match digits {
        "" => 0,
        digits => digits.parse::<u64>().ok()?,
    };
    number.checked_mul(factor)
}

fn bytes_or_percent(text: &str) -> Result<Value, String> {
    let max = i64::MAX.unsigned_abs();
    if let Some(bytes) = memory(text) {
        return match bytes <= max {
            true => Ok(Value::BytesOrPercent(BytesOrPercent::Bytes(bytes))),
            false => Err(format!("argument must be between -100 and {max} inclusive")),
        };
    }
    let percent = text.strip_suffix('%').and_then(|number| integer(number, 0, i64::MAX).ok());
    match percent.map(u8::try_from) {
        // Redis keeps 0% as no bytes.
        Some(Ok(0)) => Ok(Value::BytesOrPercent(BytesOrPercent::Bytes(0))),
        Some(Ok(percent)) if percent <= 100 => Ok(Value::BytesOrPercent(BytesOrPercent::Percent(percent))),
        Some(_) => Err("percentage argument must be less or equal to 100".into()),
        None => Err("argument must be a memory or percent value".into()),
    }
}

fn not_one_of(words: &[&str]) -> String {
    format!("argument(s) must be one of the following: {}", words.join(", "))
}

fn choice(
    text: &str,
    words: &'static [&'static str],
    same: &'static [(&'static str, &'static str)],
) -> Result<Value, String> {
    let found = words.iter().copied().find(|word| word.eq_ignore_ascii_case(text));
    let word = found.ok_or_else(|| not_one_of(words))?;
    Ok(Value::Choice(same.iter().find(|(alias, _)| *alias == word).map_or(word, |(_, meant)| *meant)))
}

/// The first word of the list means "none of the others" and gives way to them.
fn choices(text: &str, words: &'static [&'static str]) -> Result<Value, String> {
    let asked = cut(text);
    let known = |word: &&str| words.iter().any(|listed| listed.eq_ignore_ascii_case(word));
    if asked.is_empty() || !asked.iter().all(known) {
        return Err(not_one_of(words));
    }
    let has = |listed: &&&str| asked.iter().any(|word| listed.eq_ignore_ascii_case(word));
    let chosen: Vec<_> = words.iter().skip(1).filter(has).copied().collect();
    Ok(Value::Choices(if chosen.is_empty() { words[..1].to_vec() } else { chosen }))
}

fn check_text(text: &str, rule: TextRule) -> Result<(), String> {
    let is_path = text.contains(['/', '\\']);
    let wrong = match rule {
        TextRule::Any | TextRule::Secret => None,
        TextRule::FileName if is_path => Some("dbfilename can't be a path, just a filename"),
        TextRule::FileNameGiven if text.is_empty() => Some("appendfilename can't be empty"),
        TextRule::FileNameGiven if is_path => Some("appendfilename can't be a path, just a filename"),
        TextRule::DirNameGiven if text.is_empty() => Some("appenddirname can't be empty"),
        TextRule::DirNameGiven if is_path => Some("appenddirname can't be a path, just a dirname"),
        TextRule::FileName | TextRule::FileNameGiven | TextRule::DirNameGiven => None,
        TextRule::HostName => host_name_fault(text),
        TextRule::ProcTitle if !is_proc_title(text) => {
            Some("template format is invalid or contains unknown variables")
        }
        TextRule::ProcTitle => None,
    };
    wrong.map_or(Ok(()), |wrong| Err(wrong.to_owned()))
}

fn host_name_fault(text: &str) -> Option<&'static str> {
    if text.len() >= 256 {
        return Some("Hostnames must be less than 256 characters");
    }
    let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    (!fits).then_some("Hostnames may only contain alphanumeric characters, hyphens or dots")
}

/// Variables in braces, each one known; `{{` is a brace. What never shows anything but the title is refused, because
/// a process could lose its name by it.
fn is_proc_title(text: &str) -> bool {
    const SHOWS: [&str; 3] = ["listen-addr", "port", "tls-port"];
    const MAY_SHOW: [&str; 4] = ["title", "config-file", "server-mode", "unixsocket"];
    let mut shows_something = false;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        shows_something |= !before.trim().is_empty();
        if let Some(escaped) = after.strip_prefix('{') {
            shows_something = true;
            rest = escaped;
            continue;
        }
        match after.split_once('}') {
            Some((name, after)) if SHOWS.contains(&name) || MAY_SHOW.contains(&name) => {
                shows_something |= SHOWS.contains(&name);
                rest = after;
            }
            _ => return false,
        }
    }
    shows_something || !rest.trim().is_empty()
}

fn words(text: &str, max: usize) -> Result<Value, String> {
    match cut(text).len() <= max {
        true => Ok(Value::Text(text.to_owned())),
        false => Err("Too many bind addresses specified.".into()),
    }
}

/// An integer as C reads it: spaces and a plus before it do no harm, no digits at all are zero.
fn c_integer(text: &str) -> Option<i64> {
    match text.trim_start_matches([' ', '\t']) {
        "" if text.is_empty() => Some(0),
        digits => digits.parse().ok(),
    }
}

fn save_points(text: &str) -> Result<Value, String> {
    let words = cut(text);
    let point = |pair: &[&str]| {
        let [seconds, changes] = pair else { return None };
        let seconds = u64::try_from(c_integer(seconds)?).ok().filter(|seconds| *seconds >= 1)?;
        let changes = i32::try_from(c_integer(changes)?).ok()?;
        Some(SavePoint { seconds, changes: u32::try_from(changes).ok()? })
    };
    let points: Option<Vec<_>> = words.chunks(2).map(point).collect();
    points.map(Value::SavePoints).ok_or_else(|| "Invalid save parameters".into())
}

fn output_limits(text: &str, now: Option<&Value>) -> Result<Value, String> {
    let mut limits = match now {
        Some(Value::OutputLimits(now)) => *now,
        _ => OutputLimits::NONE,
    };
    let words = cut(text);
    if !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for four in words.chunks(4) {
        let class = limits.class(four[0]);
        let class = class.ok_or("Invalid client class specified in buffer limit configuration.")?;
        *class = output_limit(&four[1..])
            .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
    }
    Ok(Value::OutputLimits(limits))
}

fn output_limit(words: &[&str]) -> Option<OutputLimit> {
    let [hard, soft, seconds] = words else { return None };
    let soft_seconds = i32::try_from(c_integer(seconds)?).ok()?;
    Some(OutputLimit {
        hard_bytes: memory(hard)?,
        soft_bytes: memory(soft)?,
        soft_seconds: u64::try_from(soft_seconds).ok()?,
    })
}

fn oom_scores(text: &str) -> Result<Value, String> {
    let words: [&str; 3] = cut(text).try_into().map_err(|_| "wrong number of arguments")?;
    let mut scores = [0; 3];
    for (score, word) in scores.iter_mut().zip(words) {
        *score = c_integer(word)
            .filter(|score| (-2000..=2000).contains(score))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
    }
    Ok(Value::OomScores(scores))
}

fn percentiles(text: &str) -> Result<Value, String> {
    let number = |word: &&str| {
        let number = word.parse::<f64>().ok().filter(|number| !number.is_nan());
        match number.ok_or("Invalid latency-tracking-info-percentiles parameters")? {
            number if (0.0..=100.0).contains(&number) => Ok(number),
            _ => {
                Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned())
            }
        }
    };
    cut(text).iter().map(number).collect::<Result<Vec<_>, _>>().map(Value::Percentiles)
}

fn replica_of(text: &str) -> Result<Value, String> {
    match cut(text)[..] {
        [] => Ok(Value::ReplicaOf(None)),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => {
            Ok(Value::ReplicaOf(None))
        }
        [host, port] => {
            let port = port.parse().map_err(|_| "Invalid master port")?;
            Ok(Value::ReplicaOf(Some((host.to_owned(), port))))
        }
        _ => Err("wrong number of arguments".into()),
    }
}

fn port_or_off(text: &str) -> Result<Value, String> {
    match text {
        "" => Ok(Value::PortOrOff(None)),
        _ if text.eq_ignore_ascii_case("off") || text.eq_ignore_ascii_case("no") => {
            Ok(Value::PortOrOff(None))
        }
        _ => text
            .parse()
            .map(|port| Value::PortOrOff(Some(port)))
            .map_err(|_| "argument must be a port between 0 and 65535, or off".into()),
    }
}

fn addresses(text: &str) -> Result<Value, String> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    words.map(str::parse).collect::<Result<Vec<_>, _>>().map(Value::Addresses)
}
