//! Columns for people. Foreign text (what a check said) is shown on one line without control characters, so that it cannot write over
//! the table or speak to the terminal.

use super::paint::{Paint, Style};

/// A cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

/// A plain cell.
pub(super) fn cell(text: impl AsRef<str>) -> Cell {
    styled(text, Style::Plain)
}

/// A cell with a style.
pub(super) fn styled(text: impl AsRef<str>, style: Style) -> Cell {
    Cell { text: clean(text.as_ref()), style }
}

/// `text` on one line, without control characters.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// Rows of cells under bold headings, each column as wide as its widest cell. Without rows there is nothing.
pub(super) fn render<const COLUMNS: usize>(headings: [&str; COLUMNS], rows: Vec<[Cell; COLUMNS]>, paint: Paint) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let all: Vec<_> = std::iter::once(headings.map(|heading| styled(heading, Style::Bold))).chain(rows).collect();
    let widest = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(widest).collect();
    let mut out = String::new();
    for row in &all {
        let mut line = String::new();
        let mut gap = 0;
        for (cell, width) in row.iter().zip(&widths) {
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(gap));
                line.push_str(&paint.style(&cell.text, cell.style));
                gap = 0;
            }
            gap += width - cell.text.chars().count() + 2;
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_without_trailing_blanks() {
        let rows = vec![[cell("web"), cell(""), cell("x")], [cell("longer"), cell("b"), cell("")]];
        assert_eq!(render(["NAME", "B", "C"], rows, Paint::Plain), "NAME    B  C\nweb        x\nlonger  b\n");
    }

    #[test]
    fn foreign_text_cannot_speak_to_the_terminal() {
        let table = render(["A"], vec![[cell("a\n\x1b[2Jb\u{2028}c")]], Paint::Plain);
        assert_eq!(table, "A\na  [2Jb c\n");
    }
}
