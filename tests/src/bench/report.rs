//! Tables in Markdown, so that a run's output can be put into `docs/performance.md` as it is.

use super::rounds::Grid;
use std::fmt;
use std::fs;
use std::process::Command;

/// A Markdown table: the first column is words, the others are numbers.
#[derive(Debug)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Table {
        Table { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// # Panics
    /// When the row has more or fewer columns than the head.
    pub fn row<T: Into<String>>(&mut self, row: impl IntoIterator<Item = T>) {
        let row: Vec<String> = row.into_iter().map(Into::into).collect();
        assert_eq!(row.len(), self.head.len(), "a row fills the columns of its head");
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.head.join(" | "))?;
        writeln!(f, "|---|{}", "---:|".repeat(self.head.len() - 1))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// CPU time per request of every system, and the first system's as a part of each other's.
#[must_use]
pub fn cpu_table(grid: &Grid) -> Table {
    let ours = &grid.systems[0];
    let mut head = vec!["us of CPU per request".to_owned()];
    head.extend(grid.systems.iter().cloned());
    head.extend(grid.systems[1..].iter().map(|peer| format!("{ours} / {peer}")));
    head.push("strangers on the core".to_owned());
    let mut table = Table::new(head);
    for (row, cell) in grid.cells.iter().enumerate() {
        let mut line = vec![cell.to_string()];
        let systems = 0..grid.systems.len();
        line.extend(
            systems.clone().map(|system| format!("{:.3}", grid.spread(row, system, |s| s.cpu).median)),
        );
        line.extend(systems.clone().skip(1).map(|peer| grid.ratio(row, 0, peer).to_string()));
        line.push(strangers(grid, row));
        table.row(line);
    }
    table
}

/// The most that anything else used of the measured core, over the systems of a row.
fn strangers(grid: &Grid, row: usize) -> String {
    let systems = 0..grid.systems.len();
    let medians =
        systems.map(|system| grid.spread(row, system, |sample| sample.strangers.unwrap_or(f64::NAN)).median);
    // The largest of nothing but NaN is NaN: nobody looked.
    let most = medians.fold(f64::NAN, f64::max);
    if most.is_nan() { "not looked at".to_owned() } else { format!("{:.0} %", most * 100.0) }
}

/// CPU time per request of every system together with the backends behind it.
#[must_use]
pub fn sum_table(grid: &Grid) -> Table {
    let mut head = vec!["us of CPU per request, with backends".to_owned()];
    head.extend(grid.systems.iter().cloned());
    let mut table = Table::new(head);
    for (row, cell) in grid.cells.iter().enumerate() {
        let mut line = vec![cell.to_string()];
        for system in 0..grid.systems.len() {
            let sum = grid.spread(row, system, |sample| sample.cpu + sample.behind).median;
            let behind = grid.spread(row, system, |sample| sample.behind).median;
            line.push(format!("{sum:.3} (of it backends {behind:.3})"));
        }
        table.row(line);
    }
    table
}

/// The machine, in a line: numbers without it mean nothing.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    let redis = Command::new("redis-server").arg("--version").output().map(|output| output.stdout);
    let redis = String::from_utf8_lossy(&redis.unwrap_or_default()).into_owned();
    let version = redis.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("(none)");
    format!(
        "{cores} cores, {}, Linux {}, load average at the start {}, redis-server {version}.",
        model.map_or("unknown processor", |(_, name)| name),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split_whitespace().next().unwrap_or("unknown"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(["a", "b", "c"]);
        table.row(["x", "1", "2"]);
        assert_eq!(table.to_string(), "| a | b | c |\n|---|---:|---:|\n| x | 1 | 2 |\n");
    }
}
