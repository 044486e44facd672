//! LATENCY over all shards: distributions added, samples put into the order of time, and what is words shard by shard.
//!
//! It speaks of the time that commands took in the nodes; what a request took on its way through the proxy is a metric
//! (`slotway_proxy_request_seconds`).

use std::collections::{BTreeMap, BTreeSet};

use slotway_cluster::ShardId;
use slotway_commands::Id;
use slotway_resp::{Frame, Limits, Version, write};

use crate::{
    dispatch::Case,
    errors::MALFORMED,
    every_shard,
    gather::{self, Merge},
    local::info,
};

/// Samples of an event that LATENCY HISTORY shows at most, as Redis does.
const SAMPLES_MAX: usize = 160;

pub(crate) fn run(case: &mut Case<'_>) {
    let names = case.thread.shard_ids();
    if names.len() == 1 {
        return case.send_to_shard(0);
    }
    let (id, version) = (case.command.id, case.client.version.get());
    let merge = move |parts: Vec<Vec<u8>>, out: &mut Vec<u8>| {
        if matches!(id, Id::LatencyDoctor | Id::LatencyGraph) {
            return texts(&names, &parts, version, out);
        }
        if let Some(error) = gather::first_error(&parts) {
            return out.extend_from_slice(error);
        }
        let before = out.len();
        let merged = match id {
            Id::LatencyHistogram => histograms(&parts, version, out),
            Id::LatencyLatest => latest(&parts, out),
            _ => history(&parts, out),
        };
        if merged.is_none() {
            out.truncate(before);
            out.extend_from_slice(MALFORMED);
        }
    };
    let shards: Vec<usize> = (0..case.thread.shard_count()).collect();
    every_shard::fan_out(case, &shards, Merge::Custom(Box::new(merge)));
}

fn frame(part: &[u8]) -> Option<Frame> {
    Frame::parse(part, &Limits::REPLY).ok().flatten().map(|(frame, _)| frame)
}

fn number(frame: &Frame) -> Option<u64> {
    u64::try_from(frame.as_integer()?).ok()
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    write::integer(out, i64::try_from(number).unwrap_or(i64::MAX));
}

/// A map of either version.
fn pairs(frame: Frame) -> Option<Vec<(Frame, Frame)>> {
    match frame {
        Frame::Map(pairs) => Some(pairs),
        Frame::Array(items) if items.len().is_multiple_of(2) => {
            let mut items = items.into_iter();
            Some(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
        }
        _ => None,
    }
}

/// A command's distribution on all shards.
#[derive(Default)]
struct Distribution {
    calls: u64,
    /// For each shard: microseconds, and how many calls took no longer, where that is more than at the step before.
    shards: Vec<BTreeMap<u64, u64>>,
}

impl Distribution {
    fn add(&mut self, of_shard: Frame) -> Option<()> {
        for (name, value) in pairs(of_shard)? {
            match name {
                Frame::Bulk(name) if name == b"calls" => self.calls += number(&value)?,
                Frame::Bulk(name) if name == b"histogram_usec" => {
                    let steps = pairs(value)?;
                    let steps = steps.iter().map(|(us, count)| Some((number(us)?, number(count)?)));
                    self.shards.push(steps.collect::<Option<_>>()?);
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// The steps of all shards. A shard that has none at a time counts with its last one before.
    fn steps(&self) -> Vec<(u64, u64)> {
        let times: BTreeSet<u64> = self.shards.iter().flat_map(BTreeMap::keys).copied().collect();
        let up_to = |us: u64| {
            self.shards
                .iter()
                .filter_map(|steps| steps.range(..=us).next_back())
                .map(|(_, count)| count)
                .sum()
        };
        times.into_iter().map(|us| (us, up_to(us))).collect()
    }
}

/// LATENCY HISTOGRAM: commands in the order in which the shards name them.
fn histograms(parts: &[Vec<u8>], version: Version, out: &mut Vec<u8>) -> Option<()> {
    let mut commands: Vec<(Frame, Distribution)> = Vec::new();
    for part in parts {
        for (name, of_shard) in pairs(frame(part)?)? {
            let known = commands.iter().position(|(known, _)| *known == name);
            let at = known.unwrap_or_else(|| {
                commands.push((name, Distribution::default()));
                commands.len() - 1
            });
            commands[at].1.add(of_shard)?;
        }
    }
    write::map(out, version, commands.len());
    for (name, distribution) in &commands {
        name.write(out);
        write::map(out, version, 2);
        write::bulk(out, b"calls");
        write_number(out, distribution.calls);
        write::bulk(out, b"histogram_usec");
        let steps = distribution.steps();
        write::map(out, version, steps.len());
        for (us, count) in steps {
            write_number(out, us);
            write_number(out, count);
        }
    }
    Some(())
}

/// LATENCY LATEST: of each event when it was last and what it took then, and its longest time.
fn latest(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let mut events: Vec<(Frame, (u64, u64), u64)> = Vec::new();
    for part in parts {
        for event in frame(part)?.as_array()? {
            let [name, at_s, millis, max] = event.as_array()? else { return None };
            let (last, max) = ((number(at_s)?, number(millis)?), number(max)?);
            match events.iter_mut().find(|(known, ..)| known == name) {
                Some((_, known_last, known_max)) => {
                    *known_last = last.max(*known_last);
                    *known_max = max.max(*known_max);
                }
                None => events.push((name.clone(), last, max)),
            }
        }
    }
    write::array(out, events.len());
    for (name, (at_s, millis), max) in events {
        write::array(out, 4);
        name.write(out);
        [at_s, millis, max].into_iter().for_each(|number| write_number(out, number));
    }
    Some(())
}

/// LATENCY HISTORY: one sample a second, the worst of all shards; the last ones.
fn history(parts: &[Vec<u8>], out: &mut Vec<u8>) -> Option<()> {
    let mut samples: BTreeMap<u64, u64> = BTreeMap::new();
    for part in parts {
        for sample in frame(part)?.as_array()? {
            let [at_s, millis] = sample.as_array()? else { return None };
            let worst = samples.entry(number(at_s)?).or_default();
            *worst = number(millis)?.max(*worst);
        }
    }
    let skipped = samples.len().saturating_sub(SAMPLES_MAX);
    write::array(out, samples.len() - skipped);
    for (at_s, millis) in samples.into_iter().skip(skipped) {
        write::array(out, 2);
        write_number(out, at_s);
        write_number(out, millis);
    }
    Some(())
}

/// LATENCY GRAPH and DOCTOR: what each shard says, under its name. A shard without samples says so in an error.
fn texts(names: &[ShardId], parts: &[Vec<u8>], version: Version, out: &mut Vec<u8>) {
    let said: Vec<Option<String>> = parts.iter().map(|part| info::text_of(part)).collect();
    if said.iter().all(Option::is_none) {
        return out.extend_from_slice(gather::first_error(parts).unwrap_or(MALFORMED));
    }
    let mut text = String::new();
    for ((name, said), part) in names.iter().zip(said).zip(parts) {
        let refusal = || String::from_utf8_lossy(part).trim_start_matches('-').trim_end().to_owned() + "\n";
        text += &format!("shard {name}:\n{}", said.unwrap_or_else(refusal));
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    write::verbatim(out, version, "txt", text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply as RESP: heads and integers as they are, every other word a bulk.
    fn wire(text: &str) -> Vec<u8> {
        text.split_whitespace()
            .flat_map(|word| match word.strip_prefix(['*', '%', ':']) {
                Some(_) => format!("{word}\r\n").into_bytes(),
                None => format!("${}\r\n{word}\r\n", word.len()).into_bytes(),
            })
            .collect()
    }

    #[track_caller]
    fn check(merge: impl Fn(&[Vec<u8>], &mut Vec<u8>) -> Option<()>, parts: &[&str], expected: &str) {
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| wire(part)).collect();
        let mut out = Vec::new();
        assert!(merge(&parts, &mut out).is_some());
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(wire(expected)).unwrap());
    }

    #[test]
    fn distributions_are_added_step_by_step() {
        let two = |parts: &[Vec<u8>], out: &mut Vec<u8>| histograms(parts, Version::Resp2, out);
        let three = |parts: &[Vec<u8>], out: &mut Vec<u8>| histograms(parts, Version::Resp3, out);
        check(
            two,
            &[
                "*2 get *4 calls :5 histogram_usec *4 :1 :2 :4 :5",
                "*4 set *4 calls :1 histogram_usec *2 :1 :1 get *4 calls :3 histogram_usec *4 :2 :1 :8 :3",
                "*0",
            ],
            "*4 get *4 calls :8 histogram_usec *8 :1 :2 :2 :3 :4 :6 :8 :8 set *4 calls :1 histogram_usec *2 :1 :1",
        );
        let get = "%1 get %2 calls :1 histogram_usec %1 :1 :1";
        check(three, &[get, get], "%1 get %2 calls :2 histogram_usec %1 :1 :2");
        check(three, &["%0", "%0"], "%0");
    }

    #[test]
    fn the_latest_event_and_the_longest_are_those_of_any_shard() {
        check(
            latest,
            &["*1 *4 command :100 :7 :90", "*2 *4 command :101 :5 :20 *4 expire-cycle :9 :1 :1"],
            "*2 *4 command :101 :5 :90 *4 expire-cycle :9 :1 :1",
        );
        check(latest, &["*1 *4 command :100 :7 :7", "*1 *4 command :100 :9 :9"], "*1 *4 command :100 :9 :9");
    }

    #[test]
    fn samples_stand_in_the_order_of_time() {
        check(
            history,
            &["*2 *2 :1 :10 *2 :5 :2", "*0", "*3 *2 :2 :3 *2 :5 :4 *2 :6 :1"],
            "*4 *2 :1 :10 *2 :2 :3 *2 :5 :4 *2 :6 :1",
        );
        let many = |from: usize| {
            let samples: String = (from..from + 100).map(|second| format!(" *2 :{second} :1")).collect();
            format!("*100{samples}")
        };
        let mut out = Vec::new();
        history(&[wire(&many(0)), wire(&many(100))], &mut out).unwrap();
        assert!(out.starts_with(&wire("*160 *2 :40 :1 *2 :41 :1")));
    }

    #[test]
    fn words_stand_under_the_names_of_their_shards() {
        let names = [ShardId(1), ShardId(7)];
        let parts = [b"$5\r\nfine\n\r\n".to_vec(), b"-ERR No samples\r\n".to_vec()];
        let mut out = Vec::new();
        texts(&names, &parts, Version::Resp3, &mut out);
        let text = "shard 1:\nfine\nshard 7:\nERR No samples\n";
        assert_eq!(String::from_utf8(out).unwrap(), format!("={}\r\ntxt:{text}\r\n", text.len() + 4));
        let mut out = Vec::new();
        texts(&names, &[parts[1].clone(), parts[1].clone()], Version::Resp2, &mut out);
        assert_eq!(out, parts[1]);
    }

    #[test]
    fn replies_of_another_kind_are_no_halves_of_an_answer() {
        let mut out = Vec::new();
        for (one, other) in [("*0", ":1"), ("*1 :1", "*0"), ("*2 get :1", "*0")] {
            let parts = [wire(one), wire(other)];
            assert_eq!(histograms(&parts, Version::Resp2, &mut out), None);
            assert_eq!(history(&parts, &mut out), None);
            assert_eq!(latest(&parts, &mut out), None);
        }
    }
}
