//! Rows of the campaign: a line of Markdown for people, an object of JSON for programs.

use std::{collections::BTreeMap, io};

use serde_json::{Value, json as object};

use super::{
    cases::{Case, Under},
    run::Run,
};
use crate::bench::{histogram::Histogram, report::Table};

/// All runs of one case.
pub struct Row {
    case: &'static Case,
    runs: Vec<Run>,
    /// Why runs could not be made.
    failed: Vec<String>,
}

impl Row {
    #[must_use]
    pub fn new(case: &'static Case) -> Row {
        Row { case, runs: Vec::new(), failed: Vec::new() }
    }

    pub fn add(&mut self, ran: io::Result<Run>) {
        match ran {
            Ok(run) => self.runs.push(run),
            Err(error) => self.failed.push(error.to_string()),
        }
    }

    /// Milliseconds, sorted; of runs that looked for one.
    fn gaps(&self) -> Vec<f64> {
        let looked = self.runs.iter().filter(|run| !run.gap.is_zero());
        let mut gaps: Vec<f64> = looked.map(|run| run.gap.as_secs_f64() * 1000.0).collect();
        gaps.sort_by(f64::total_cmp);
        gaps
    }

    fn sum(&self, of: impl Fn(&Run) -> u64) -> u64 {
        self.runs.iter().map(of).sum()
    }

    fn errors(&self) -> BTreeMap<&str, u64> {
        let mut errors = BTreeMap::new();
        for (kind, count) in self.runs.iter().flat_map(|run| &run.errors) {
            *errors.entry(kind.as_str()).or_default() += count;
        }
        errors
    }

    fn latency(&self) -> Histogram {
        self.runs.iter().fold(Histogram::default(), |mut sum, run| {
            sum.add(&run.latency);
            sum
        })
    }

    /// What was looked at beside, each as its median.
    fn facts(&self) -> BTreeMap<&'static str, Vec<f64>> {
        let mut facts: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for (name, value) in self.runs.iter().flat_map(|run| &run.facts) {
            facts.entry(*name).or_default().push(*value);
        }
        for values in facts.values_mut() {
            values.sort_by(f64::total_cmp);
        }
        facts
    }

    /// What keeps the row from its goal.
    fn shortcomings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let gaps = self.gaps();
        if let Some(goal) = self.case.goal
            && !gaps.is_empty()
        {
            let within = gaps.iter().filter(|gap| **gap <= goal.most_ms).count();
            if median(&gaps) > goal.median_ms {
                found.push(format!("median above {} ms", goal.median_ms));
            }
            if within * 10 < gaps.len() * 9 {
                found.push(format!("{within} of {} within {} ms", gaps.len(), goal.most_ms));
            }
        }
        let strange = self.errors().into_iter().filter(|(kind, _)| !self.case.excused.contains(kind));
        let strange: u64 = strange.map(|(_, count)| count).sum();
        if strange > 0 {
            found.push(format!("{strange} errors that are not excused"));
        }
        let unclean = self.sum(|run| run.judgement.lost + run.judgement.doubled + run.judgement.wrong);
        if unclean > 0 {
            found.push("a promise broken".to_owned());
        }
        let complaints = self.runs.iter().flat_map(|run| run.complaints.iter().cloned());
        found.extend(complaints);
        found.extend(self.failed.iter().map(|why| format!("a run failed: {why}")));
        found.dedup();
        found
    }
}

/// As many digits as say something.
fn short(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// One run, for whoever watches.
#[must_use]
pub fn tell(ran: &io::Result<Run>) -> String {
    match ran {
        Err(error) => format!("failed: {error}"),
        Ok(run) => {
            let verdict = &run.judgement;
            let facts: Vec<String> =
                run.facts.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
            format!(
                "gap {:.0} ms, {} acknowledged, lost {}, doubled {}, wrong {}, errors {:?}, {} {}",
                run.gap.as_secs_f64() * 1000.0,
                run.acknowledged,
                verdict.lost,
                verdict.doubled,
                verdict.wrong,
                run.errors,
                facts.join(", "),
                run.complaints.join("; ")
            )
        }
    }
}

/// The table of `docs/failover.md`.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut table = Table::new([
        "case",
        "runs",
        "gap between acknowledged writes, ms: median (least-most)",
        "goal",
        "acknowledged",
        "lost / doubled / wrong",
        "errors",
        "latency p50 / p99 / most, ms",
        "also",
        "kept",
    ]);
    for row in rows {
        table.row(line(row));
    }
    let mut text = table.to_string();
    let control = rows.iter().filter(|row| row.case.under == Under::Sentinel);
    let found: Vec<u64> = control
        .map(|row| row.sum(|run| run.judgement.lost + run.judgement.doubled + run.judgement.wrong))
        .collect();
    if !found.is_empty() && found.iter().sum::<u64>() == 0 {
        text.push_str("\nThe control lost nothing: this campaign proves nothing.\n");
    }
    for row in rows {
        for words in row.runs.iter().flat_map(|run| &run.judgement.words).take(3) {
            text.push_str(&format!("\n- {}: {words}", row.case.name));
        }
    }
    text
}

fn line(row: &Row) -> [String; 10] {
    let gaps = row.gaps();
    let latency = row.latency();
    let ms = |per_mille| format!("{:.1}", latency.per_mille(per_mille).as_secs_f64() * 1000.0);
    let errors: Vec<String> = row.errors().iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let facts = row.facts().into_iter();
    let facts: Vec<String> = facts
        .map(|(name, values)| {
            let most = values.last().copied().unwrap_or(f64::NAN);
            format!("{name} {} (most {})", short(median(&values)), short(most))
        })
        .collect();
    let lacking = row.shortcomings();
    let gap = match gaps.as_slice() {
        [] => "-".to_owned(),
        [least, .., most] => format!("{:.0} ({least:.0}-{most:.0})", median(&gaps)),
        [only] => format!("{only:.0}"),
    };
    let goal = row.case.goal.map_or("-".to_owned(), |goal| {
        format!("median {:.0}, 9 of 10 within {:.0}", goal.median_ms, goal.most_ms)
    });
    [
        format!("`{}`: {}", row.case.name, row.case.what),
        row.runs.len().to_string(),
        gap,
        goal,
        row.sum(|run| run.acknowledged).to_string(),
        format!(
            "{} / {} / {}",
            row.sum(|run| run.judgement.lost),
            row.sum(|run| run.judgement.doubled),
            row.sum(|run| run.judgement.wrong)
        ),
        if errors.is_empty() { "none".to_owned() } else { errors.join(", ") },
        format!("{} / {} / {:.0}", ms(500), ms(990), latency.max().as_secs_f64() * 1000.0),
        if facts.is_empty() { "-".to_owned() } else { facts.join(", ") },
        if row.case.under == Under::Sentinel {
            "(control)".to_owned()
        } else if lacking.is_empty() {
            "yes".to_owned()
        } else {
            format!("no: {}", lacking.join("; ").replace('|', "/"))
        },
    ]
}

/// The same for programs.
#[must_use]
pub fn json(rows: &[Row]) -> Value {
    let run = |run: &Run| {
        object!({
            "gap_ms": run.gap.as_secs_f64() * 1000.0,
            "acknowledged": run.acknowledged,
            "lost": run.judgement.lost, "doubled": run.judgement.doubled, "wrong": run.judgement.wrong,
            "words": run.judgement.words,
            "errors": run.errors,
            "latency_ms": {"p50": millis(&run.latency, 500), "p99": millis(&run.latency, 990), "max": millis(&run.latency, 1000)},
            "facts": run.facts.iter().map(|(name, value)| ((*name).to_owned(), object!(value))).collect::<serde_json::Map<_, _>>(),
            "complaints": run.complaints,
        })
    };
    let rows = rows.iter().map(|row| {
        object!({
            "case": row.case.name, "system": row.case.under.name(), "what": row.case.what,
            "kept": row.shortcomings().is_empty(), "shortcomings": row.shortcomings(),
            "runs": row.runs.iter().map(run).collect::<Vec<_>>(), "failed": row.failed,
        })
    });
    Value::Array(rows.collect())
}

fn millis(latency: &Histogram, per_mille: u64) -> f64 {
    latency.per_mille(per_mille).as_secs_f64() * 1000.0
}
