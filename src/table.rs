//! Tables for people: aligned columns, colours only where they are wanted.
//!
//! Plain text without frames, so that `grep` and `awk` work on it too.

use std::io::IsTerminal;

/// One cell: a text and how it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    align: Align,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// Whether colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    On,
    Off,
}

impl Colour {
    /// On a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal is a dumb one.
    pub(crate) fn of_stdout() -> Colour {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stdout().is_terminal() && !unwanted { Colour::On } else { Colour::Off }
    }
}

impl Cell {
    pub(crate) fn text(text: impl ToString) -> Cell {
        Cell { text: text.to_string(), tone: Tone::Plain, align: Align::Left }
    }

    /// A number, aligned to the right.
    pub(crate) fn number(text: impl ToString) -> Cell {
        Cell { align: Align::Right, ..Cell::text(text) }
    }

    #[must_use]
    pub(crate) fn tone(self, tone: Tone) -> Cell {
        Cell { tone, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn padded(&self, width: usize, colour: Colour) -> String {
        let padding = " ".repeat(width.saturating_sub(self.width()));
        let text = painted(&self.text, self.tone, colour);
        match self.align {
            Align::Left => text + &padding,
            Align::Right => padding + &text,
        }
    }
}

/// `text` in the colour of its tone.
pub(crate) fn painted(text: &str, tone: Tone, colour: Colour) -> String {
    let code = match (tone, colour) {
        (Tone::Plain, _) | (_, Colour::Off) => return text.to_owned(),
        (Tone::Good, Colour::On) => "32",
        (Tone::Warning, Colour::On) => "33",
        (Tone::Bad, Colour::On) => "31",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Titles and rows, two spaces between columns, no spaces at line ends. A title is aligned as its first cell.
pub(crate) fn render(titles: &[&str], rows: &[Vec<Cell>], colour: Colour) -> String {
    let titles: Vec<Cell> = titles
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let align = rows.first().map_or(Align::Left, |row| row[column].align);
            Cell { align, ..Cell::text(title) }
        })
        .collect();
    let mut widths = vec![0; titles.len()];
    for row in rows.iter().chain([&titles]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut out = String::new();
    for row in [&titles].into_iter().chain(rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| cell.padded(width, colour)).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Bytes as people read them: `1.5 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut unit, mut whole, mut tenths) = (0, value, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{whole} B") } else { format!("{whole}.{tenths} {}", UNITS[unit]) }
}

/// What stands where nothing is known.
pub(crate) const UNKNOWN: &str = "-";

/// The value, or [`UNKNOWN`].
pub(crate) fn known<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [
            vec![Cell::text("n1"), Cell::number(5), Cell::text("up").tone(Tone::Good)],
            vec![Cell::text("node-22"), Cell::number(12345), Cell::text("")],
        ];
        let expected = "NODE      KEYS  STATE\nn1           5  up\nnode-22  12345\n";
        assert_eq!(render(&["NODE", "KEYS", "STATE"], &rows, Colour::Off), expected);
    }

    #[test]
    fn colours_do_not_disturb_the_columns() {
        let rows = [vec![Cell::text("up").tone(Tone::Good), Cell::text("x")]];
        let text = render(&["STATE", "X"], &rows, Colour::On);
        assert_eq!(text, "STATE  X\n\u{1b}[32mup\u{1b}[0m     x\n");
    }

    #[test]
    fn a_table_without_rows_is_its_titles() {
        assert_eq!(render(&["A", "B"], &[], Colour::Off), "A  B\n");
    }

    #[test]
    fn bytes_are_shown_with_one_decimal() {
        for (value, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_600_000, "1.5 MiB"), (1 << 41, "2.0 TiB")]
        {
            assert_eq!(bytes(value), text);
        }
    }
}
