//! LATENCY: see [`crate::latency`], and the distributions of [`crate::histogram`].

use std::fmt::Write;

use slotway_commands::{Command, Id, lookup, table::COMMANDS};
use slotway_resp::write;

use crate::{
    call::Done,
    histogram::Histogram,
    latency::{Event, Series},
    server_call::ServerCall,
};

fn write_number(out: &mut Vec<u8>, number: u64) {
    write::integer(out, i64::try_from(number).unwrap_or(i64::MAX));
}

/// `LATENCY LATEST`: of each event its name, the time and milliseconds of the last sample, and the worst ever.
pub(crate) fn latest(call: &mut ServerCall<'_>) -> Done {
    let latency = &call.node.latency;
    write::array(call.out, latency.all().len());
    for (event, series) in latency.all() {
        let last = series.last().map_or((0, 0), |sample| (sample.at_s, sample.millis));
        write::array(call.out, 4);
        write::bulk(call.out, event.name().as_bytes());
        for number in [last.0, last.1, series.max_ms] {
            write_number(call.out, number);
        }
    }
    Ok(())
}

/// `LATENCY HISTORY event`: the samples, time and milliseconds.
pub(crate) fn history(call: &mut ServerCall<'_>) -> Done {
    let event = Event::named(call.request.word(2));
    let series = event.and_then(|event| call.node.latency.of(event));
    write::array(call.out, series.map_or(0, |series| series.samples().len()));
    for sample in series.into_iter().flat_map(Series::samples) {
        write::array(call.out, 2);
        write_number(call.out, sample.at_s);
        write_number(call.out, sample.millis);
    }
    Ok(())
}

/// `LATENCY RESET [event ...]`: how many were forgotten.
pub(crate) fn reset(call: &mut ServerCall<'_>) -> Done {
    let latency = &mut call.node.latency;
    let events: Vec<Event> = match call.request.len() {
        2 => latency.all().map(|(event, _)| event).collect(),
        _ => call.request.words().skip(2).filter_map(Event::named).collect(),
    };
    let forgotten = events.into_iter().filter(|event| latency.forget(*event)).count();
    write::integer(call.out, i64::try_from(forgotten).unwrap_or(i64::MAX));
    Ok(())
}

/// Lines of a graph.
const GRAPH_ROWS: u64 = 6;

/// `LATENCY GRAPH event`: a column per sample, the newest on the right.
pub(crate) fn graph(call: &mut ServerCall<'_>) -> Done {
    let word = call.request.word(2);
    let found = Event::named(word).and_then(|event| Some((event, call.node.latency.of(event)?)));
    let Some((event, series)) = found else {
        let name = String::from_utf8_lossy(word);
        return Err(format!("ERR No samples available for event '{name}'").into());
    };
    let text = draw(event, series);
    write::verbatim(call.out, call.version(), "txt", text.as_bytes());
    Ok(())
}

fn draw(event: Event, series: &Series) -> String {
    let millis: Vec<u64> = series.samples().map(|sample| sample.millis).collect();
    let high = millis.iter().copied().max().unwrap_or(0);
    let low = millis.iter().copied().min().unwrap_or(0);
    let (name, max) = (event.name(), series.max_ms);
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {max} ms)\n");
    text.extend(std::iter::repeat_n('-', 80));
    text.push('\n');
    for row in (0..GRAPH_ROWS).rev() {
        for millis in &millis {
            // How many of the rows a column fills: the highest all, the lowest one.
            let filled = (millis - low) * (GRAPH_ROWS - 1) / (high - low).max(1);
            text.push(match filled.cmp(&row) {
                std::cmp::Ordering::Greater => '|',
                std::cmp::Ordering::Equal => '#',
                std::cmp::Ordering::Less => ' ',
            });
        }
        text.push('\n');
    }
    text
}

/// `LATENCY DOCTOR`: the events in words.
pub(crate) fn doctor(call: &mut ServerCall<'_>) -> Done {
    let threshold_ms = call.node.bounds.latency_nanos / 1_000_000;
    let mut text = String::new();
    if call.node.bounds.latency_nanos == u64::MAX {
        text.push_str(
            "Latency is not monitored. CONFIG SET latency-monitor-threshold <milliseconds> begins it.\n",
        );
    } else if call.node.latency.all().len() == 0 {
        text.push_str("Nothing has taken longer than latency-monitor-threshold.\n");
    }
    for (event, series) in call.node.latency.all() {
        let samples: Vec<u64> = series.samples().map(|sample| sample.millis).collect();
        let count = u64::try_from(samples.len()).unwrap_or(u64::MAX);
        let mean = samples.iter().sum::<u64>() / count.max(1);
        let (name, max) = (event.name(), series.max_ms);
        let written = writeln!(
            text,
            "{name}: {count} samples of {threshold_ms} ms and more, {mean} ms on average, {max} ms at worst. {}",
            advice(event)
        );
        debug_assert!(written.is_ok(), "a String takes every character");
    }
    write::verbatim(call.out, call.version(), "txt", text.as_bytes());
    Ok(())
}

fn advice(event: Event) -> &'static str {
    match event {
        Event::LogSync => "Replies wait for the disk: is it slow, or busy with something else?",
        Event::LogWrite | Event::LogWriteAlone => {
            "The disk takes less than is written: replies do not wait for that, but writers may."
        }
        Event::LogWriteBesideSnapshot => {
            "no-appendfsync-on-rewrite leaves the disk to a snapshot while one is written."
        }
        Event::Command => "SLOWLOG GET tells which commands they were.",
        Event::FastCommand => {
            "Commands that are always short had to wait: look for a busy machine or swapping."
        }
        Event::Eviction => "Raise maxmemory, or lower maxmemory-eviction-tenacity.",
        Event::Expiry => "Many keys expire at the same moment: spread their times to live.",
    }
}

/// `LATENCY HISTOGRAM [command ...]`: calls, and how many took no longer than each power of two in microseconds.
pub(crate) fn histogram(call: &mut ServerCall<'_>) -> Done {
    let statistics = &call.node.statistics;
    let rows: Vec<&Command> = match call.request.len() {
        2 => COMMANDS.iter().collect(),
        _ => call.request.words().skip(2).flat_map(named).collect(),
    };
    let found: Vec<(&Command, &Histogram)> =
        rows.into_iter().filter_map(|row| Some((row, statistics.histogram(row.id)?))).collect();
    let (out, version) = (&mut *call.out, call.client.version.get());
    write::map(out, version, found.len());
    for (row, histogram) in found {
        write::bulk(out, row.name.as_bytes());
        write::map(out, version, 2);
        write::bulk(out, b"calls");
        write_number(out, histogram.total());
        write::bulk(out, b"histogram_usec");
        let steps = steps(histogram);
        write::map(out, version, steps.len());
        for (micros, count) in steps {
            write_number(out, micros);
            write_number(out, count);
        }
    }
    Ok(())
}

/// A command, or all subcommands of a container.
fn named(name: &[u8]) -> Vec<&'static Command> {
    let row = lookup::find_full(name);
    row.map_or(Vec::new(), |row| match row.is_container() {
        true => row.subcommands().iter().chain([row]).collect(),
        false => vec![row],
    })
}

/// The first power of two, in nanoseconds.
const FIRST_STEP: u64 = 1024;
/// Redis's histograms count with seven bits, so that the last time of a step lies a little behind the power of two.
const STEP_BITS: u32 = 7;

/// Microseconds and how many took no longer; only where there are more than a step before.
fn steps(histogram: &Histogram) -> Vec<(u64, u64)> {
    let mut steps = Vec::new();
    let mut before = 0;
    for doublings in 0..=u32::BITS - FIRST_STEP.ilog2() {
        let step = FIRST_STEP << doublings;
        let count = histogram.up_to(step);
        if count > before {
            steps.push(((step + (step >> STEP_BITS) - 1) / 1000, count));
        }
        before = count;
    }
    steps
}

/// A command's line of INFO latencystats: name and value.
pub(crate) fn percentiles(id: Id, histogram: &Histogram, percentiles: &[f64]) -> (String, String) {
    let mut text = String::new();
    for percent in percentiles {
        #[allow(clippy::cast_precision_loss, reason = "three decimals are shown")]
        let micros = histogram.percentile(*percent) as f64 / 1000.0;
        let comma = if text.is_empty() { "" } else { "," };
        let written = write!(text, "{comma}p{percent}={micros:.3}");
        debug_assert!(written.is_ok(), "a String takes every character");
    }
    (format!("latency_percentiles_usec_{}", Command::row(id).name), text)
}
