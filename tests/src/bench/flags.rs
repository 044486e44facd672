//! Command lines of the measuring tools: positional words and `--name value` pairs, nothing else.
//!
//! The table of flags is the usage text: a flag that is not a row is refused. The product's own command line is
//! clap's business; the tools do without it so that nothing of them needs more than libc.

use super::failure::Failure;
use std::fmt::Write as _;
use std::str::FromStr;

/// One flag: its name without the dashes, what it takes, what it means. The meaning names the default.
pub struct Flag {
    pub name: &'static str,
    pub takes: &'static str,
    pub meaning: &'static str,
}

pub struct Flags {
    words: Vec<String>,
    given: Vec<(&'static str, String)>,
}

impl Flags {
    /// # Errors
    /// [`Failure::Usage`] with the whole usage text for an unknown flag, a flag without its value, or `--help`.
    pub fn parse(
        usage: &str,
        known: &[Flag],
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Flags, Failure> {
        let mut flags = Flags { words: Vec::new(), given: Vec::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--") else {
                flags.words.push(argument);
                continue;
            };
            let (name, inline) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let Some(flag) = known.iter().find(|flag| flag.name == name) else {
                let complaint =
                    if name == "help" { String::new() } else { format!("no such flag: --{name}\n") };
                return Err(Failure::Usage(complaint + &describe(usage, known)));
            };
            let Some(value) = inline.or_else(|| arguments.next()) else {
                return Err(Failure::Usage(format!("--{name} needs {}", flag.takes)));
            };
            flags.given.push((flag.name, value));
        }
        Ok(flags)
    }

    /// The positional words, in order.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// # Errors
    /// [`Failure::Usage`] when the value does not parse.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        // The last one wins, so that a script can be run with one flag changed.
        self.given.iter().rev().find(|(given, _)| *given == name).map_or(Ok(None), |(_, value)| {
            match value.parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(Failure::Usage(format!("--{name} cannot be {value:?}"))),
            }
        })
    }

    /// Every value of a flag that may be given several times.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// # Errors
    /// As [`Flags::get`].
    pub fn get_or<T: FromStr>(&self, name: &str, default: T) -> Result<T, Failure> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// # Errors
    /// As [`Flags::get`], and when the flag is not there.
    pub fn need<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        self.get(name)?.ok_or_else(|| Failure::Usage(format!("--{name} is needed")))
    }
}

/// The usage text: the line, and a row for each flag.
#[must_use]
pub fn describe(usage: &str, known: &[Flag]) -> String {
    let mut text = format!("usage: {usage}\n");
    for flag in known {
        let left = format!("--{} {}", flag.name, flag.takes);
        writeln!(text, "  {left:<26} {}", flag.meaning).expect("a String takes all that is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Flag] = &[
        Flag { name: "port", takes: "P", meaning: "where to listen" },
        Flag { name: "rate", takes: "R", meaning: "requests per second" },
    ];

    fn parse(line: &str) -> Result<Flags, Failure> {
        Flags::parse("tool", KNOWN, line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_and_flags_may_be_mixed_and_the_last_flag_wins() {
        let flags = parse("node --port 1 fast --port=2").unwrap();
        assert_eq!(flags.words(), ["node", "fast"]);
        assert_eq!(flags.get::<u16>("port").unwrap(), Some(2));
        assert_eq!(flags.get_or("rate", 7_u64).unwrap(), 7);
    }

    #[test]
    fn a_mistake_is_named() {
        for (line, named) in [
            ("--prot 1", "no such flag: --prot"),
            ("--port", "--port needs P"),
            ("--help", "usage: tool"),
            ("--help", "requests per second"),
        ] {
            let text = parse(line).err().expect("refused").to_string();
            assert!(text.contains(named), "{line}: {text}");
        }
        let flags = parse("--port many").unwrap();
        assert!(flags.get::<u16>("port").unwrap_err().to_string().contains("--port cannot be \"many\""));
        assert!(flags.need::<u64>("rate").unwrap_err().to_string().contains("--rate is needed"));
    }
}
