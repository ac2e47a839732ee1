//! Columns that stand under each other.

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Rows of cells under a head.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    head: Vec<String>,
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

/// What stands between two columns.
const GAP: &str = "  ";

impl Table {
    /// An empty table. A column whose name begins with `>` is one of numbers and stands on the right.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let side = |name: &&str| if name.starts_with('>') { Side::Right } else { Side::Left };
        let sides = columns.iter().map(side).collect();
        let head = columns.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        Self { head, sides, rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.head.len());
        self.rows.push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The head and the rows, without blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..self.head.len()).map(|column| width(column).unwrap_or(0)).collect();
        all().map(|row| line(row, &widths, &self.sides)).collect()
    }
}

/// A cell as a terminal may show it. Memos, names and notes are strangers' texts: a line end in one would look like a row, and
/// an escape could do worse.
fn shown(cell: &str) -> String {
    cell.chars()
        .map(|letter| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() })
        .collect()
}

fn line(cells: &[String], widths: &[usize], sides: &[Side]) -> String {
    let padded = cells.iter().zip(widths).zip(sides).map(|((cell, &width), side)| match side {
        Side::Left => format!("{cell:<width$}"),
        Side::Right => format!("{cell:>width$}"),
    });
    padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_ends() {
        let mut table = Table::new(&["name", ">price", "note"]);
        table.row(["ada".into(), "0.5".into(), String::new()]);
        table.row(["joão".into(), "12.25".into(), "café".into()]);
        assert_eq!(table.lines(), ["name  price  note", "ada     0.5", "joão  12.25  café"]);
        assert!(!table.is_empty() && Table::new(&["name"]).is_empty());
    }

    #[test]
    fn a_strangers_text_stays_in_its_cell() {
        let mut table = Table::new(&["memo"]);
        table.row(["hi\u{1b}[31m\n9 genesis +5".to_owned()]);
        assert_eq!(table.lines(), ["memo", "hi\\u{1b}[31m\\n9 genesis +5"]);
    }
}
