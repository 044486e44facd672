//! Several INFO texts become one.
//!
//! Fields are gathered over all texts in the order of the rows, each merged by its rule; what is derived from other
//! fields (ratios, percentages, sizes for people) is computed from the merged ones afterwards, never added up.

use std::collections::BTreeMap;

use super::{Field, PairRule, Rule, SECTIONS, Section, human, write_line, write_title};

/// Merges INFO texts of several nodes. A section is written if any text has it; `own` is what the proxy says of a
/// field itself, whatever its rule.
pub fn merge(texts: &[&str], own: &dyn Fn(&str) -> Option<String>) -> String {
    let mut gathered: Vec<Gathered<'_>> = SECTIONS.iter().map(Gathered::new).collect();
    for text in texts {
        gather(text, &mut gathered);
    }
    let mut out = String::new();
    for section in gathered.iter().filter(|section| section.present) {
        write_title(&mut out, section.section.title);
        for (name, value) in section.merged(own) {
            write_line(&mut out, &name, &value);
        }
    }
    out
}

/// One section's values over all texts.
struct Gathered<'t> {
    section: &'static Section,
    present: bool,
    /// By field: the names that came, in order of first appearance, each with its values in the order of the texts.
    /// The last list holds the fields that have no row.
    values: Vec<Vec<(&'t str, Vec<&'t str>)>>,
}

fn gather<'t>(text: &'t str, gathered: &mut [Gathered<'t>]) {
    let mut current = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            current =
                gathered.iter().position(|section| section.section.title.eq_ignore_ascii_case(title.trim()));
            if let Some(at) = current {
                gathered[at].present = true;
            }
        } else if let (Some(at), Some((name, value))) = (current, line.split_once(':')) {
            gathered[at].add(name, value);
        }
    }
}

impl<'t> Gathered<'t> {
    fn new(section: &'static Section) -> Self {
        Gathered { section, present: false, values: vec![Vec::new(); section.fields.len() + 1] }
    }

    fn add(&mut self, name: &'t str, value: &'t str) {
        let fields = self.section.fields;
        // A field's own row goes before a pattern that covers it, too.
        let at = fields
            .iter()
            .position(|field| field.name == name)
            .or_else(|| fields.iter().position(|field| field.covers(name)))
            .unwrap_or(fields.len());
        let list = &mut self.values[at];
        match list.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => list.push((name, vec![value])),
        }
    }

    fn merged(&self, own: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut derived: Vec<(usize, Rule)> = Vec::new();
        for (field, found) in self.section.fields.iter().zip(&self.values) {
            if field.is_pattern() {
                lines.extend(found.iter().filter_map(|(name, values)| {
                    Some(((*name).to_owned(), own(name).or_else(|| by_rule(field, values))?))
                }));
            } else if let Some(value) = own(field.name) {
                lines.push((field.name.to_owned(), value));
            } else if let Some((_, values)) = found.first() {
                if is_derived(field.rule) {
                    derived.push((lines.len(), field.rule));
                    lines.push((field.name.to_owned(), values[0].to_owned()));
                } else if let Some(value) = by_rule(field, values) {
                    lines.push((field.name.to_owned(), value));
                }
            }
        }
        for (at, rule) in derived {
            if let Some(value) = derive(rule, &lines) {
                lines[at].1 = value;
            }
        }
        let unknown = &self.values[self.section.fields.len()];
        lines.extend(unknown.iter().map(|(name, values)| ((*name).to_owned(), values[0].to_owned())));
        lines
    }
}

fn is_derived(rule: Rule) -> bool {
    matches!(rule, Rule::Human(_) | Rule::Ratio(..) | Rule::Percent(..))
}

fn by_rule(field: &Field, values: &[&str]) -> Option<String> {
    match field.rule {
        Rule::Sum => Some(sum(values)),
        Rule::Max => extreme(values, |one, other| one > other),
        Rule::Min => extreme(values, |one, other| one < other),
        Rule::First => values.first().map(|value| (*value).to_owned()),
        Rule::Fixed(value) => Some(value.to_owned()),
        Rule::Worst => {
            values.iter().find(|value| **value != "ok").or(values.first()).map(|v| (*v).to_owned())
        }
        Rule::Pairs(pairs) => Some(merge_pairs(pairs, values)),
        // Derived ones come later, from the merged fields.
        Rule::Own | Rule::LeftOut | Rule::Human(_) | Rule::Ratio(..) | Rule::Percent(..) => None,
    }
}

/// Exact for whole numbers; with as many decimals as the first value has otherwise.
fn sum(values: &[&str]) -> String {
    let whole: Option<Vec<i128>> = values.iter().map(|value| value.parse().ok()).collect();
    if let Some(whole) = whole {
        return whole.iter().sum::<i128>().to_string();
    }
    let decimals =
        values.first().and_then(|value| value.split_once('.')).map_or(0, |(_, decimals)| decimals.len());
    format!("{:.decimals$}", values.iter().map(|value| number(value)).sum::<f64>())
}

fn extreme(values: &[&str], better: fn(f64, f64) -> bool) -> Option<String> {
    let choose = |best, value| if better(number(value), number(best)) { value } else { best };
    values.iter().copied().reduce(choose).map(str::to_owned)
}

/// What is no number counts as zero: a backend's text is not ours to fail on.
fn number(value: &str) -> f64 {
    value.trim_end_matches('%').parse().unwrap_or(0.0)
}

fn derive(rule: Rule, lines: &[(String, String)]) -> Option<String> {
    let value = |name: &str| lines.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match rule {
        Rule::Human(of) => Some(human(value(of)?.parse().ok()?)),
        Rule::Ratio(of, through) => Some(quotient(number(value(of)?), number(value(through)?))),
        Rule::Percent(of, whole, less) => {
            let whole = number(value(whole)?) - value(less).map_or(0.0, number);
            Some(format!("{}%", quotient(number(value(of)?) * 100.0, whole)))
        }
        _ => None,
    }
}

fn quotient(of: f64, through: f64) -> String {
    format!("{:.2}", if through == 0.0 { 0.0 } else { of / through })
}

/// `calls=1,usec=3` of several nodes. Names without a rule keep the first node's value.
fn merge_pairs(rules: &[(&str, PairRule)], values: &[&str]) -> String {
    let nodes: Vec<BTreeMap<&str, &str>> = values
        .iter()
        .map(|value| value.split(',').filter_map(|pair| pair.split_once('=')).collect())
        .collect();
    let all = |name: &str| -> Vec<&str> { nodes.iter().filter_map(|node| node.get(name).copied()).collect() };
    let total = |name: &str| -> f64 { all(name).iter().map(|value| number(value)).sum() };
    let names =
        values.first().into_iter().flat_map(|value| value.split(',')).filter_map(|pair| pair.split_once('='));
    let merged = names.map(|(name, first)| {
        let rule = rules.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule);
        let value = match rule {
            Some(PairRule::Sum) => sum(&all(name)),
            Some(PairRule::Max) => extreme(&all(name), |one, other| one > other).unwrap_or_default(),
            Some(PairRule::Ratio(of, through)) => quotient(total(of), total(through)),
            Some(PairRule::Weighted(by)) => weighted(&nodes, name, by),
            None => first.to_owned(),
        };
        format!("{name}={value}")
    });
    merged.collect::<Vec<_>>().join(",")
}

fn weighted(nodes: &[BTreeMap<&str, &str>], name: &str, by: &str) -> String {
    let of = |node: &BTreeMap<&str, &str>, name: &str| node.get(name).map_or(0.0, |value| number(value));
    let weights: f64 = nodes.iter().map(|node| of(node, by)).sum();
    let sum: f64 = nodes.iter().map(|node| of(node, name) * of(node, by)).sum();
    format!("{:.0}", if weights == 0.0 { 0.0 } else { (sum / weights).floor() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &[&str], merged: &str) {
        let texts: Vec<String> = texts.iter().map(|text| text.replace('\n', "\r\n")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(merge(&texts, &|_| None), merged.replace('\n', "\r\n"));
    }

    #[test]
    fn counts_are_added_states_are_the_worst_and_the_rest_is_the_first_nodes() {
        check(
            &[
                "# Persistence\nloading:0\nrdb_last_save_time:20\nrdb_last_bgsave_status:ok\n",
                "# Persistence\nloading:1\nrdb_last_save_time:10\nrdb_last_bgsave_status:err\n",
            ],
            "# Persistence\nloading:1\nrdb_last_save_time:10\nrdb_last_bgsave_status:err\n",
        );
        check(
            &[
                "# Stats\ninstantaneous_input_kbps:1.50\nexpired_keys:1\n",
                "# Stats\ninstantaneous_input_kbps:0.25\nexpired_keys:2\n",
            ],
            "# Stats\ninstantaneous_input_kbps:1.75\nexpired_keys:3\n",
        );
    }

    #[test]
    fn what_is_derived_is_computed_from_the_merged_fields() {
        check(
            &[
                "# Memory\nused_memory:1024\nused_memory_human:1.00K\nused_memory_rss:4096\nmem_fragmentation_ratio:4.00\n",
                "# Memory\nused_memory:1024\nused_memory_human:1.00K\nused_memory_rss:2048\nmem_fragmentation_ratio:2.00\n",
            ],
            "# Memory\nused_memory:2048\nused_memory_human:2.00K\nused_memory_rss:6144\nmem_fragmentation_ratio:3.00\n",
        );
    }

    #[test]
    fn databases_are_added_and_their_average_time_to_live_is_weighted() {
        check(
            &[
                "# Keyspace\ndb0:keys=3,expires=1,avg_ttl=100\n",
                "# Keyspace\ndb0:keys=5,expires=3,avg_ttl=500\ndb1:keys=1,expires=0,avg_ttl=0\n",
            ],
            "# Keyspace\ndb0:keys=8,expires=4,avg_ttl=400\ndb1:keys=1,expires=0,avg_ttl=0\n",
        );
    }

    #[test]
    fn command_statistics_are_added_and_the_average_is_computed_anew() {
        check(
            &[
                "# Commandstats\ncmdstat_get:calls=1,usec=3,usec_per_call=3.00,rejected_calls=0,failed_calls=1\n",
                "# Commandstats\ncmdstat_get:calls=3,usec=3,usec_per_call=1.00,rejected_calls=2,failed_calls=0\n",
            ],
            "# Commandstats\ncmdstat_get:calls=4,usec=6,usec_per_call=1.50,rejected_calls=2,failed_calls=1\n",
        );
    }

    #[test]
    fn a_proxy_speaks_for_itself_and_hides_roles() {
        let text = "# Server\r\nredis_version:7.0.15\r\nos:Linux\r\nhz:10\r\n\r\n# Replication\r\nrole:slave\r\n\
                    master_host:x\r\nconnected_slaves:1\r\nslave0:ip=y\r\n";
        let own = |name: &str| (name == "redis_version").then(|| "7.2.0".to_owned());
        let merged = "# Server\r\nredis_version:7.2.0\r\nhz:10\r\n\r\n# Replication\r\nrole:master\r\n\
                      connected_slaves:0\r\n";
        assert_eq!(merge(&[text], &own), merged);
    }

    #[test]
    fn fields_without_a_row_keep_the_first_nodes_value_and_foreign_sections_are_left_out() {
        check(
            &["# Stats\nnew_field:1\n\n# Odd\nx:1\n", "# Stats\nnew_field:2\n", "garbage\n"],
            "# Stats\nnew_field:1\n",
        );
    }
}
