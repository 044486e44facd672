//! A request as text, made into bytes in which only numbers change.
//!
//! In the text `#` stands for a number of twelve digits, another one each time, `=` for the one before again, and
//! `xxx**500` for five hundred words. Making a request then costs a copy and a few digits, whatever the command.

/// The first number there is: all have twelve digits, so that a request always has the same length.
pub const FIRST_NUMBER: u64 = 100_000_000_000;
pub const DIGITS: usize = 12;

/// A request by its name in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    pub name: &'static str,
    pub text: &'static str,
}

/// Ready to be copied.
#[derive(Debug)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub numbers: Vec<Number>,
}

/// Where digits lie, and whether they are those of the number before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    pub at: usize,
    pub again: bool,
}

impl Template {
    /// The words, marks included.
    fn words(&self) -> Vec<&'static str> {
        let many = |word: &'static str| match word.split_once("**") {
            Some((word, times)) => vec![word; times.parse().unwrap_or(1)],
            None => vec![word],
        };
        self.text.split(' ').flat_map(many).collect()
    }

    #[must_use]
    pub fn make(&self) -> Made {
        let words = self.words();
        let mut made = Made { bytes: format!("*{}\r\n", words.len()).into_bytes(), numbers: Vec::new() };
        for word in words {
            let marks = word.matches(['#', '=']).count();
            let len = word.len() - marks + marks * DIGITS;
            made.bytes.extend_from_slice(format!("${len}\r\n").as_bytes());
            for byte in word.bytes() {
                match byte {
                    b'#' | b'=' => {
                        made.numbers.push(Number { at: made.bytes.len(), again: byte == b'=' });
                        made.bytes.extend_from_slice(&[b'0'; DIGITS]);
                    }
                    other => made.bytes.push(other),
                }
            }
            made.bytes.extend_from_slice(b"\r\n");
        }
        made
    }

    /// The words with every number the first.
    #[must_use]
    pub fn example(&self) -> Vec<String> {
        let first = FIRST_NUMBER.to_string();
        self.words().iter().map(|word| word.replace(['#', '='], &first)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_where_the_text_has_its_marks() {
        let made = Template { name: "x", text: "ZADD z # m:= ab**2" }.make();
        let text = String::from_utf8(made.bytes.clone()).unwrap();
        assert_eq!(
            text,
            "*6\r\n$4\r\nZADD\r\n$1\r\nz\r\n$12\r\n000000000000\r\n$14\r\nm:000000000000\r\n$2\r\nab\r\n$2\r\nab\r\n"
        );
        let found: Vec<(&str, bool)> = made
            .numbers
            .iter()
            .map(|number| (&text[number.at - 2..number.at + DIGITS], number.again))
            .collect();
        assert_eq!(found, [("\r\n000000000000", false), ("m:000000000000", true)]);
    }
}
