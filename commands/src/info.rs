//! INFO: which sections and fields there are, how they are written, and how the texts of several nodes become one.
//!
//! The fields are rows (`fields`), each with its merge rule. A node walks them to write its text ([`write()`]), a
//! proxy to merge the texts of its nodes ([`merge`]) with its own values in place of theirs. Texts of real Redis
//! servers merge as well: a field that has no row keeps the first node's value.

mod fields;
mod merge;

pub use fields::SECTIONS;
pub use merge::merge;

/// The version that INFO and HELLO report.
pub const REDIS_VERSION: &str = "7.2.0";

/// One section: `# Title` and its fields.
#[derive(Debug)]
pub struct Section {
    /// Lower case, as INFO is asked for it.
    pub name: &'static str,
    pub title: &'static str,
    pub asked: Asked,
    pub fields: &'static [Field],
}

/// When a section is part of the answer without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// INFO alone, `default`, `all`, `everything`.
    ByDefault,
    /// `all` and `everything`.
    WithAll,
}

/// One field, or all fields of a pattern.
#[derive(Debug)]
pub struct Field {
    /// A name, or the front of names and a `*`: `cmdstat_*`.
    pub name: &'static str,
    pub rule: Rule,
}

impl Field {
    pub fn is_pattern(&self) -> bool {
        self.name.ends_with('*')
    }

    pub fn covers(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(front) => name.starts_with(front),
            None => self.name == name,
        }
    }
}

/// How the values of several nodes become one. Whatever the rule, a value of the proxy's own goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Numbers, added; decimals as many as the first has.
    Sum,
    Max,
    Min,
    /// The first node's.
    First,
    /// Only the proxy can say it; left out if it does not.
    Own,
    /// The same for every proxy.
    Fixed(&'static str),
    /// The first that is not `ok`.
    Worst,
    /// Another field of the section, written for people: `2.55M`.
    Human(&'static str),
    /// Two decimals of one field through another.
    Ratio(&'static str, &'static str),
    /// Two decimals and `%`: the first field as part of the second less the third (no third: empty name).
    Percent(&'static str, &'static str, &'static str),
    /// `name=value` pairs with a comma between, each by its own rule.
    Pairs(&'static [(&'static str, PairRule)]),
    /// Speaks of a node's role: left out.
    LeftOut,
}

/// How one value of a [`Rule::Pairs`] field is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairRule {
    Sum,
    Max,
    /// Two decimals of one sum through another.
    Ratio(&'static str, &'static str),
    /// An average, each node's weighted with another of its values.
    Weighted(&'static str),
}

/// The sections that the words behind INFO ask for, in the order in which they are written. Unknown names ask for
/// nothing.
pub fn selected<'w>(words: impl Iterator<Item = &'w [u8]> + Clone) -> Vec<&'static Section> {
    let none = words.clone().next().is_none();
    let asks = |section: &&Section| {
        none && section.asked == Asked::ByDefault || words.clone().any(|word| asks_for(word, section))
    };
    SECTIONS.iter().filter(asks).collect()
}

fn asks_for(word: &[u8], section: &Section) -> bool {
    match word.to_ascii_lowercase().as_slice() {
        b"default" => section.asked == Asked::ByDefault,
        // They differ in what modules add of their own, and there are no modules.
        b"all" | b"everything" => true,
        b"module_list" => section.name == "modules",
        name => name == section.name.as_bytes(),
    }
}

/// Writes a text from the rows: `value` of each field (None: left out), and for a pattern all `lines` that it stands
/// for.
pub fn write(
    sections: &[&'static Section],
    value: &dyn Fn(&str) -> Option<String>,
    lines: &dyn Fn(&str) -> Vec<(String, String)>,
) -> String {
    let mut text = String::new();
    for section in sections {
        write_title(&mut text, section.title);
        for field in section.fields {
            if field.is_pattern() {
                for (name, value) in lines(field.name) {
                    write_line(&mut text, &name, &value);
                }
            } else if let Some(value) = value(field.name) {
                write_line(&mut text, field.name, &value);
            }
        }
    }
    text
}

fn write_title(text: &mut String, title: &str) {
    if !text.is_empty() {
        text.push_str("\r\n");
    }
    text.extend(["# ", title, "\r\n"]);
}

fn write_line(text: &mut String, name: &str, value: &str) {
    text.extend([name, ":", value, "\r\n"]);
}

/// Bytes as INFO writes them for people: `512B`, `1.50K`, `2.55M`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = usize::try_from(bytes.ilog2() / 10).unwrap_or(0).min(UNITS.len() - 1);
    #[allow(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let scaled = bytes as f64 / (1_u64 << (10 * power)) as f64;
    format!("{scaled:.2}{}", UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_for_people_with_two_decimals() {
        let check = |bytes, text: &str| assert_eq!(human(bytes), text);
        check(0, "0B");
        check(1023, "1023B");
        check(1024, "1.00K");
        check(2_671_608, "2.55M");
        check(25_276_514_304, "23.54G");
        check(1 << 40, "1.00T");
        check(1 << 60, "1024.00P");
    }

    #[test]
    fn the_words_behind_info_choose_sections_in_any_case() {
        let names = |words: &[&str]| -> Vec<&str> {
            selected(words.iter().map(|word| word.as_bytes())).iter().map(|section| section.name).collect()
        };
        assert_eq!(names(&["keyspace", "SERVER", "nope"]), ["server", "keyspace"]);
        assert_eq!(names(&["nope"]), Vec::<&str>::new());
        assert_eq!(names(&[]), names(&["default"]));
        assert!(!names(&[]).contains(&"commandstats"));
        assert_eq!(names(&["all"]), names(&["everything"]));
        assert_eq!(names(&["everything"]).len(), SECTIONS.len());
    }

    #[test]
    fn a_text_is_written_in_the_order_of_the_rows() {
        let sections = selected([&b"cluster"[..], b"keyspace"].into_iter());
        let value = |name: &str| (name == "cluster_enabled").then(|| "0".to_owned());
        let lines = |_: &str| vec![("db0".to_owned(), "keys=1,expires=0,avg_ttl=0".to_owned())];
        let text = "# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n";
        assert_eq!(write(&sections, &value, &lines), text);
    }

    #[test]
    fn no_field_stands_twice_and_every_rule_names_fields_of_its_section() {
        let mut names: Vec<&str> =
            SECTIONS.iter().flat_map(|section| section.fields).map(|field| field.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for section in SECTIONS {
            let has = |name: &str| name.is_empty() || section.fields.iter().any(|field| field.name == name);
            for field in section.fields {
                let known = match field.rule {
                    Rule::Human(of) => has(of),
                    Rule::Ratio(of, through) => has(of) && has(through),
                    Rule::Percent(of, whole, less) => has(of) && has(whole) && has(less),
                    Rule::Pairs(pairs) => pairs.iter().all(|(_, rule)| match rule {
                        PairRule::Ratio(of, through) => {
                            [of, through].iter().all(|n| pairs.iter().any(|p| p.0 == **n))
                        }
                        PairRule::Weighted(by) => pairs.iter().any(|pair| pair.0 == *by),
                        PairRule::Sum | PairRule::Max => true,
                    }),
                    _ => true,
                };
                assert!(known, "{}", field.name);
            }
        }
    }
}
