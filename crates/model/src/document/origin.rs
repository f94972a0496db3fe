//! Where each character of the text that YAML sees stands in the file as written.
//!
//! Owns: the line map, and which characters came out of the environment. Must not know: the template language, YAML.
//! `deck_env` fills it, `yaml` asks it for every node.

use std::borrow::Cow;
use std::ops::Range;

use super::text::count;
use crate::violation::Position;

/// A text with its templates filled in.
#[derive(Debug)]
pub struct Rendered<'a> {
    text: Cow<'a, str>,
    /// Empty where nothing was filled in: then every place is its own origin.
    pieces: Vec<Piece>,
    /// Where each line of `text` begins, in characters; filled only when there are pieces.
    lines: Vec<usize>,
    /// Where each line of the source begins, in characters; filled only when there are pieces.
    source_lines: Vec<usize>,
}

/// A run of characters with one origin. Pieces are in order, without gaps.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// The first character in the text.
    at: usize,
    /// The character of the source that it comes from.
    source: usize,
    /// Filled in: every character comes from the start of the template, and none of them may be quoted.
    filled: bool,
}

impl<'a> Rendered<'a> {
    /// A text in which nothing was filled in.
    pub(super) fn unchanged(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), pieces: Vec::new(), lines: Vec::new(), source_lines: Vec::new() }
    }

    /// The text that YAML sees.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing was filled in.
    pub(super) fn is_unchanged(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The place in the file as written, for a line (from 1) and a column (from 0) of the text.
    pub(super) fn position(&self, line: usize, column: usize) -> Position {
        match self.pieces.is_empty() {
            true => Position { line: count(line.max(1)), column: count(column + 1) },
            false => self.source_position(self.index(line, column)),
        }
    }

    /// The same for the index of a character; it costs a walk over the text.
    pub(super) fn position_of(&self, index: usize) -> Position {
        match self.pieces.is_empty() {
            true => line_and_column(&line_starts(&self.text), index),
            false => self.source_position(index),
        }
    }

    /// Whether something between two places (line from 1, column from 0) came out of the environment.
    pub(super) fn conceals_between(&self, from: (usize, usize), to: (usize, usize)) -> bool {
        !self.pieces.is_empty() && {
            let from = self.index(from.0, from.1);
            self.conceals(from..self.index(to.0, to.1).max(from + 1))
        }
    }

    /// The same for indices of characters.
    pub(super) fn conceals(&self, range: Range<usize>) -> bool {
        let first = self.pieces.partition_point(|piece| piece.at <= range.start).saturating_sub(1);
        self.pieces[first.min(self.pieces.len())..]
            .iter()
            .take_while(|piece| piece.at < range.end)
            .any(|piece| piece.filled)
    }

    fn index(&self, line: usize, column: usize) -> usize {
        let start = self.lines.get(line.saturating_sub(1)).or(self.lines.last());
        start.copied().unwrap_or(0) + column
    }

    fn source_position(&self, index: usize) -> Position {
        let piece = self.pieces.partition_point(|piece| piece.at <= index).checked_sub(1);
        let source =
            piece.and_then(|piece| self.pieces.get(piece)).map_or(index, |piece| match piece.filled {
                true => piece.source,
                false => piece.source + (index - piece.at),
            });
        line_and_column(&self.source_lines, source)
    }
}

/// Writes a [`Rendered`], run by run.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    source: &'a str,
    text: String,
    pieces: Vec<Piece>,
    written: usize,
    consumed: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self {
            source,
            text: String::with_capacity(source.len()),
            pieces: Vec::new(),
            written: 0,
            consumed: 0,
        }
    }

    /// How many bytes the text has so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The next characters of the source, as they are.
    pub(super) fn copy(&mut self, run: &str) {
        self.push(run, false);
        self.consumed += run.chars().count();
    }

    /// What stands in for the next characters of the source.
    pub(super) fn fill(&mut self, template: &str, value: &str) {
        self.push(value, true);
        self.consumed += template.chars().count();
    }

    pub(super) fn finish(self) -> Rendered<'a> {
        let (lines, source_lines) = (line_starts(&self.text), line_starts(self.source));
        Rendered { text: Cow::Owned(self.text), pieces: self.pieces, lines, source_lines }
    }

    fn push(&mut self, run: &str, filled: bool) {
        if !run.is_empty() {
            self.pieces.push(Piece { at: self.written, source: self.consumed, filled });
            self.written += run.chars().count();
            self.text.push_str(run);
        }
    }
}

/// The place of a byte of a text, for messages about the source itself.
pub(super) fn position_in(source: &str, byte: usize) -> Position {
    let before = &source[..byte];
    line_and_column(&line_starts(before), before.chars().count())
}

/// Where each line begins, in characters. Breaks are those of YAML: LF, CR LF and CR.
fn line_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let mut characters = text.chars().enumerate().peekable();
    while let Some((index, c)) = characters.next() {
        let is_break = c == '\n' || (c == '\r' && characters.peek().is_none_or(|(_, next)| *next != '\n'));
        if is_break {
            starts.push(index + 1);
        }
    }
    starts
}

fn line_and_column(starts: &[usize], index: usize) -> Position {
    let line = starts.partition_point(|start| *start <= index).max(1);
    let start = starts.get(line - 1).copied().unwrap_or(0);
    Position { line: count(line), column: count(index - start.min(index) + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_through_values_of_several_lines() {
        let source = "a: T\nb: cd";
        let mut writer = Writer::new(source);
        writer.copy("a: ");
        writer.fill("T", "1\n2\n3");
        writer.copy("\nb: cd");
        let rendered = writer.finish();
        assert_eq!(rendered.text(), "a: 1\n2\n3\nb: cd");
        assert_eq!(rendered.position(1, 0), Position { line: 1, column: 1 });
        assert_eq!(rendered.position(2, 0), Position { line: 1, column: 4 });
        assert_eq!(rendered.position(3, 0), Position { line: 1, column: 4 });
        assert_eq!(rendered.position(4, 3), Position { line: 2, column: 4 });
        assert!(rendered.conceals_between((1, 3), (1, 4)) && rendered.conceals_between((2, 0), (4, 0)));
        assert!(!rendered.conceals_between((1, 0), (1, 2)) && !rendered.conceals_between((4, 0), (4, 5)));
    }

    #[test]
    fn lines_break_as_in_yaml() {
        assert_eq!(line_starts("a\r\nb\rc\nd"), [0, 3, 5, 7]);
        assert_eq!(position_in("ä\r\nbc", "ä\r\nb".len()), Position { line: 2, column: 2 });
    }
}
