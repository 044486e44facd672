//! Where the requests come from: a group's grammar, a seed, and the words that all groups share.
//!
//! A rule is a request with choices in it:
//!
//! | written | stands for |
//! |---|---|
//! | `WORD` | itself, now and then in lower case |
//! | `<name>` | a word (or several) by that name: of the group, or one of those below |
//! | `(A\|B C)` | one of them |
//! | `[A]`, `[A\|B]` | one of them, or nothing |
//! | `X*`, `X+` | X up to three times; at least once |
//! | `@other RULE` | asked on the second connection |
//!
//! One request in eight comes from another group, so that keys change their types under everybody's hands.

mod words;

use super::groups::{self, Group};
use super::place::Place;
use super::question::{Client, Compare, Question};

/// Groups whose requests no other group mixes in: they change how the requests behind them are answered. (SORT unpacks
/// the sorted sets of a redis-server.)
const KEPT_APART: &[&str] = &["transactions", "server", "sort"];

/// A row of a grammar: how often, how to compare, the rule.
pub type Row = (u64, Compare, &'static str);

/// The words of a group: None where it has none by that name.
pub type Words = fn(&mut Source, &str) -> Option<Vec<Vec<u8>>>;

#[derive(Debug)]
pub struct Source {
    random: Random,
    group: &'static Group,
    place: Place,
    /// Of the group that the current request is from.
    words: Words,
}

impl Source {
    #[must_use]
    pub fn new(group: &'static Group, place: Place, seed: u64) -> Source {
        Source { random: Random::new(seed), group, place, words: group.words }
    }

    /// The next request that may be asked in this place.
    pub fn next_question(&mut self) -> Question {
        loop {
            let question = self.any_question();
            if question.words.is_empty() || !self.place.asks(&question.words) {
                continue;
            }
            if self.group.name != "transactions" || self.place.queues(&question.words) {
                return question;
            }
        }
    }

    fn any_question(&mut self) -> Question {
        let group = match self.below(8) {
            0 => groups::ALL[self.index(groups::ALL.len())],
            _ => self.group,
        };
        let at_home = group.name == self.group.name;
        if !at_home && KEPT_APART.contains(&group.name) {
            return Question::new(Compare::Nothing, [b""; 0]);
        }
        let total: u64 = group.grammar.iter().map(|row| row.0).sum();
        self.words = group.words;
        let mut nth = self.below(total);
        let &(_, compare, rule) = group
            .grammar
            .iter()
            .find(|row| {
                let found = nth < row.0;
                nth = nth.wrapping_sub(row.0);
                found
            })
            .expect("less than the sum of weights");
        // In a transaction nothing can be taken by chance: what was taken shows only at its end.
        if compare == Compare::Popped && self.group.name == "transactions" {
            return Question::new(Compare::Nothing, [b""; 0]);
        }
        let (by, rule) = match rule.strip_prefix("@other ") {
            Some(rule) => (Client::Other, rule),
            None => (Client::One, rule),
        };
        Question { words: self.expand(rule), compare, by }
    }

    /// The words of a rule.
    pub fn expand(&mut self, rule: &str) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        self.sequence(rule, &mut out);
        out
    }

    fn sequence(&mut self, rule: &str, out: &mut Vec<Vec<u8>>) {
        let mut rest = rule.trim_start();
        while !rest.is_empty() {
            let (item, behind) = rest.split_at(item_len(rest));
            let (times, behind) = match behind.as_bytes().first() {
                Some(b'*') => (self.below(4), &behind[1..]),
                Some(b'+') => (1 + self.below(3), &behind[1..]),
                _ => (1, behind),
            };
            for _ in 0..times {
                self.item(item, out);
            }
            rest = behind.trim_start();
        }
    }

    fn item(&mut self, item: &str, out: &mut Vec<Vec<u8>>) {
        let inside = || &item[1..item.len() - 1];
        match item.as_bytes()[0] {
            b'[' if self.below(2) == 0 => {}
            b'[' | b'(' => {
                let choices = choices(inside());
                let chosen = choices[self.index(choices.len())];
                self.sequence(chosen, out);
            }
            b'<' => {
                let words = self.words;
                let found = words(self, inside()).or_else(|| self.shared_word(inside()));
                out.extend(found.unwrap_or_else(|| panic!("no such word: {item}")));
            }
            _ => {
                let lower = self.below(4) == 0;
                out.push(if lower { item.to_ascii_lowercase().into_bytes() } else { item.into() });
            }
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.random.below(end)
    }

    /// As [`Source::below`], for places in lists.
    pub fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).expect("64 bits hold a length");
        usize::try_from(self.below(len)).expect("less than a length")
    }

    /// One of a list.
    pub fn one_of(&mut self, list: &[&str]) -> Vec<Vec<u8>> {
        vec![list[self.index(list.len())].as_bytes().to_vec()]
    }

    /// One of a list of rules.
    pub fn rule_of(&mut self, rules: &[&str]) -> Vec<Vec<u8>> {
        let rule = rules[self.index(rules.len())];
        self.expand(rule)
    }

    /// A key of a group's own, `prefix0` to ..., spelled as the place wants it; one in twelve is somebody else's.
    pub fn key_named(&mut self, prefix: &str, count: u64) -> Vec<Vec<u8>> {
        if self.below(12) == 0 {
            return vec![self.any_key()];
        }
        vec![self.own_key(prefix, count)]
    }

    /// As [`Source::key_named`], and never somebody else's.
    pub fn own_key(&mut self, prefix: &str, count: u64) -> Vec<u8> {
        let key = format!("{prefix}{}", self.below(count));
        self.spell(key.as_bytes())
    }

    /// A key (or a pattern of keys) as it is spelled in this place.
    #[must_use]
    pub fn spell(&self, key: &[u8]) -> Vec<u8> {
        self.place.spell(key)
    }
}

/// Bytes of the first item: a bracket with all inside, or a word.
fn item_len(rule: &str) -> usize {
    let bytes = rule.as_bytes();
    if !b"([<".contains(&bytes[0]) {
        let end = |at: &usize| *at > 0 && matches!(bytes[*at], b' ' | b'*' | b'+');
        return (0..bytes.len()).find(end).unwrap_or(bytes.len());
    }
    let mut depth = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'<' => depth += 1,
            b')' | b']' | b'>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    panic!("a bracket without its end: {rule}");
}

/// Split at the bars that are in no bracket.
fn choices(rule: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, byte) in rule.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'<' => depth += 1,
            b')' | b']' | b'>' => depth -= 1,
            b'|' if depth == 0 => {
                found.push(&rule[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&rule[from..]);
    found
}

/// Xorshift: every seed is the same run on every machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper bits are the better ones.
        (self.0 >> 16) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_cut_at_its_brackets() {
        assert_eq!(item_len("<key> x"), 5);
        assert_eq!(item_len("[LIMIT (a|[b c]) d]* x"), 19);
        assert_eq!(item_len("+ x"), 1);
        assert_eq!(item_len("a+ x"), 1);
        assert_eq!(choices("a|b c|(d|e)"), ["a", "b c", "(d|e)"]);
    }

    #[test]
    fn every_rule_of_every_grammar_can_be_expanded() {
        for group in groups::ALL {
            for (_, _, rule) in group.grammar {
                let mut source = Source::new(group, Place::Node, 7);
                for _ in 0..50 {
                    assert!(!source.expand(rule.trim_start_matches("@other ")).is_empty(), "{rule}");
                }
            }
        }
    }

    #[test]
    fn every_command_on_keys_is_asked() {
        let mut asked = std::collections::HashSet::new();
        let mut note = |question: Question| {
            let request = slotway_resp::OwnedRequest::new(&question.words);
            if let Ok(row) = slotway_commands::lookup::resolve(request.view()) {
                asked.insert(row.name);
            }
        };
        for group in groups::ALL {
            groups::chosen(group.chosen).into_iter().for_each(&mut note);
            let mut source = Source::new(group, Place::Redis, 1);
            (0..5000).map(|_| source.next_question()).for_each(&mut note);
        }
        let all = slotway_commands::table::COMMANDS.iter().filter(|row| row.is_here() && row.has_keys());
        let missing: Vec<&str> = all.map(|row| row.name).filter(|name| !asked.contains(name)).collect();
        assert!(missing.is_empty(), "in no grammar, and not chosen: {missing:?}");
    }

    #[test]
    fn the_same_seed_asks_the_same_questions() {
        let questions = |seed| {
            let mut source = Source::new(groups::ALL[0], Place::Node, seed);
            (0..100).map(|_| source.next_question()).collect::<Vec<_>>()
        };
        assert_eq!(questions(1), questions(1));
        assert_ne!(questions(1), questions(2));
    }
}
