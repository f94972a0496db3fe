//! The regular expressions that an expression has in it, before the engine reads it.
//!
//! Owns: where they stand: behind `~`, as a text in quotes or as `r#"..."#`. Must not know: what they mean. It finds all that the
//! engine compiles, and of a text that the engine refuses perhaps others.

/// Every text behind a `~`.
pub(super) fn of(expression: &str) -> Vec<String> {
    let mut patterns = Vec::new();
    let mut rest = expression;
    let mut is_pattern = false;
    while let Some(first) = rest.chars().next() {
        let literal = raw(rest).or_else(|| quoted(rest));
        if let Some((text, left)) = literal {
            if is_pattern {
                patterns.push(text);
            }
            (rest, is_pattern) = (left, false);
            continue;
        }
        is_pattern = first == '~' || is_pattern && first.is_whitespace();
        rest = &rest[first.len_utf8()..];
    }
    patterns
}

/// `r#"..."#`, and what follows it.
fn raw(text: &str) -> Option<(String, &str)> {
    let (raw, left) = text.strip_prefix("r#\"")?.split_once("\"#")?;
    Some((raw.to_owned(), left))
}

/// A text in quotes with its escapes undone, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('"')?;
    let mut plain = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((plain, &body[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => plain.push('\n'),
                'r' => plain.push('\r'),
                't' => plain.push('\t'),
                other => plain.push(other),
            },
            other => plain.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_found() {
        for (expression, patterns) in [
            (r#"http.path ~ "a\\d" && http.host == "b""#, &["a\\d"][..]),
            (r##"http.path ~ r#"a"b\d"# || http.path ~"c""##, &["a\"b\\d", "c"]),
            (r#"http.path == "~ \"x\" ~" && http.path ~ "y\"z""#, &["y\"z"]),
            (
                r#"lower(http.path) ~
                "x""#,
                &["x"],
            ),
            (r#"http.path ~ "open"#, &[]),
            ("~", &[]),
            ("\u{e9}~\u{e9}", &[]),
        ] {
            assert_eq!(of(expression), patterns, "{expression}");
        }
    }
}
