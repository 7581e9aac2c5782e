//! Tables for people.

use std::fmt;

/// Rows under a heading, each column as wide as it has to be.
#[derive(Debug)]
pub(super) struct Table<const N: usize>(Vec<[String; N]>);

impl<const N: usize> Table<N> {
    pub(super) fn new(heading: [&str; N]) -> Self {
        Table(vec![heading.map(str::to_owned)])
    }

    /// Cells come from a configuration, or from servers: what could steer a terminal is taken out.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.0.push(cells.map(|cell| cell.replace(char::is_control, " ")));
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.0 {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.0 {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let mut table = Table::new(["A", "LONG", "C"]);
        table.row(["wide".into(), "b".into(), String::new()]);
        table.row(["ü".into(), "\x1b[31m".into(), "c".into()]);
        assert_eq!(table.to_string(), "A     LONG   C\nwide  b\nü      [31m  c\n");
    }
}
