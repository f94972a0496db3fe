//! The list in which violations are gathered.
//!
//! Owns: their order, and that a hostile file cannot make the list endless. Must not know: what they are about.

use super::{Severity, Violation};

/// More than this helps nobody, and a file can hold millions.
const MAX_VIOLATIONS: usize = 1000;

/// Longer messages are cut: some quote what they are about.
const MAX_MESSAGE: usize = 600;

/// Gathers violations; [`Report::finish`] sorts them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    violations: Vec<Violation>,
    left_out: usize,
    left_out_errors: bool,
}

impl Report {
    /// Notes one more, unless the list is full or its last entry says the same.
    pub(crate) fn push(&mut self, mut violation: Violation) {
        if self.violations.last() == Some(&violation) {
            return;
        }
        if self.violations.len() >= MAX_VIOLATIONS {
            self.left_out += 1;
            self.left_out_errors |= violation.severity == Severity::Error;
            return;
        }
        for text in [Some(&mut violation.message), Some(&mut violation.path), violation.hint.as_mut()] {
            text.into_iter().for_each(make_presentable);
        }
        self.violations.push(violation);
    }

    /// A next step that is dear to find, unless nobody would see it any more.
    pub(crate) fn hint<T>(&self, find: impl FnOnce() -> T) -> Option<T> {
        (self.violations.len() < MAX_VIOLATIONS).then(find)
    }

    /// Whether whatever is noted from now on is only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.violations.len() >= MAX_VIOLATIONS
    }

    /// Whether something in it refuses the document.
    pub(crate) fn has_errors(&self) -> bool {
        self.left_out_errors || self.violations.iter().any(|violation| violation.severity == Severity::Error)
    }

    /// Everything, in the order of the file; what concerns the whole file comes first.
    pub(crate) fn finish(mut self) -> Vec<Violation> {
        self.violations.sort_by(|a, b| {
            (a.position, &a.path, a.severity, &a.message).cmp(&(b.position, &b.path, b.severity, &b.message))
        });
        self.violations.dedup();
        if self.left_out > 0 {
            let message = format!("{} more violations are not shown", self.left_out);
            self.violations.push(match self.left_out_errors {
                true => Violation::error("", None, message),
                false => Violation::warning("", None, message),
            });
        }
        self.violations
    }
}

/// Cuts what is long, and spells out control characters: what a file says must not steer a terminal.
pub(crate) fn make_presentable(text: &mut String) {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    if text.contains(char::is_control) {
        let spelt = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        *text = text.chars().map(spelt).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;

    #[test]
    fn sorted_by_position_and_bounded() {
        let mut report = Report::default();
        for line in (1..=1200).rev() {
            report.push(Violation::warning("", Some(Position { line, column: 1 }), "w"));
        }
        assert!(!report.has_errors());
        report.push(Violation::error("", None, "e".repeat(5000)));
        assert!(report.has_errors());
        let all = report.finish();
        assert_eq!(all.len(), MAX_VIOLATIONS + 1);
        assert!(all[0].position < all[1].position);
        assert_eq!(all[MAX_VIOLATIONS].to_string(), "201 more violations are not shown");
    }

    #[test]
    fn control_characters_are_spelt_out() {
        let mut text = "a\u{1b}[2Jb\nc".to_owned();
        make_presentable(&mut text);
        assert_eq!(text, "a\\u{1b}[2Jb\\nc");
    }

    #[test]
    fn cuts_at_a_character() {
        let mut text = "ä".repeat(600);
        make_presentable(&mut text);
        assert_eq!(text.chars().count(), 301);
    }
}
