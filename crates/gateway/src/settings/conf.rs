//! The syntax of kong.conf: `key = value`, one a line. Pure: text in, lines out.
//!
//! A comment goes from an unescaped `#`, and the blanks before it, to the end of the line; a literal `#` in a value is
//! written `\#`.

use std::borrow::Cow;

/// One setting of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) key: &'a str,
    pub(super) value: Cow<'a, str>,
}

/// A line that is no setting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConfError {
    pub(super) line: usize,
    pub(super) message: &'static str,
}

/// The settings of a file, in their order; of one that is given twice the last counts, which is up to the caller.
pub(super) fn parse(text: &str) -> Result<Vec<Line<'_>>, ConfError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, uncommented(line).trim()));
    let settings = lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| {
        let error = |message| ConfError { line: number, message };
        let (key, value) = line.split_once('=').ok_or_else(|| error("there is no `=`"))?;
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(error("a key is made of letters, digits and underscores"));
        }
        let value = value.trim();
        let value = if value.contains("\\#") { value.replace("\\#", "#").into() } else { value.into() };
        Ok(Line { number, key, value })
    });
    settings.collect()
}

fn uncommented(line: &str) -> &str {
    let bytes = line.as_bytes();
    let comment = (0..bytes.len()).find(|&at| bytes[at] == b'#' && (at == 0 || bytes[at - 1] != b'\\'));
    comment.map_or(line, |at| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kong_reads() {
        let text = "# comment\n\n a = b\nc=d # why\ne =\nf = \\#1 a\\#b#c\n\tg\t=\t{vault://env/x\\#2}\nh = x = y\r\n";
        let found: Vec<_> =
            parse(text).unwrap().into_iter().map(|l| (l.number, l.key, l.value.into_owned())).collect();
        let expected = [
            (3, "a", "b"),
            (4, "c", "d"),
            (5, "e", ""),
            (6, "f", "#1 a#b"),
            (7, "g", "{vault://env/x#2}"),
            (8, "h", "x = y"),
        ];
        assert_eq!(found, expected.map(|(number, key, value)| (number, key, value.to_owned())));
    }

    #[test]
    fn names_the_line_that_is_no_setting() {
        assert_eq!(parse("a = b\nnonsense"), Err(ConfError { line: 2, message: "there is no `=`" }));
        assert_eq!(parse("= b").unwrap_err().line, 1);
        assert_eq!(parse("a b = c").unwrap_err().message, "a key is made of letters, digits and underscores");
    }
}
