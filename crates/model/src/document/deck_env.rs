//! `${{ env "DECK_X" }}`: the templates of decK, filled in as text before YAML is parsed.
//!
//! Owns: where a template begins and ends, and that no value gets into a message. Must not know: YAML (quoting is the
//! author's job, as with decK), the process environment. Data goes on to `yaml`, through a [`Rendered`].
//!
//! What stands between `${{` and `}}` is in `expression`; what its functions do is in `function`. A line that begins
//! with `#`, blanks before it aside, is a comment and stays as it is.

mod expression;
mod function;

use super::origin::{Rendered, Writer, position_in};
use super::text::MAX_BYTES;
use crate::violation::{Report, Violation};

/// Opens a template.
const OPENING: &str = "${{";

/// After so many broken templates the rest is not looked at.
const MAX_FAILURES: usize = 100;

/// Fills in the templates of a text. `env` answers `env "DECK_X"`; `None` means that the variable is not set.
///
/// # Errors
/// Every template that cannot be filled in, with its line. No message holds a value.
pub fn render<'a>(
    source: &'a str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Rendered<'a>, Vec<Violation>> {
    let mut report = Report::default();
    render_into(source, env, &mut report).ok_or_else(|| report.finish())
}

/// The same, with the violations in a report; nothing comes back when there are any.
pub(super) fn render_into<'a>(
    source: &'a str,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) -> Option<Rendered<'a>> {
    if !source.contains(OPENING) {
        return Some(Rendered::unchanged(source));
    }
    let mut writer = Writer::new(source);
    let (mut at, mut in_comment, mut failures) = (0, is_comment(source), 0);
    while let Some(found) = source[at..].find(OPENING) {
        let opening = at + found;
        if let Some(newline) = source[at..opening].rfind('\n') {
            in_comment = is_comment(&source[at + newline + 1..]);
        }
        writer.copy(&source[at..opening]);
        if in_comment {
            let end = source[opening..].find('\n').map_or(source.len(), |newline| opening + newline);
            writer.copy(&source[opening..end]);
            at = end;
            continue;
        }
        match fill(source, opening, env) {
            Ok((value, end)) if (writer.len() + value.len()) as u64 <= MAX_BYTES => {
                writer.fill(&source[opening..end], &value);
                at = end;
            }
            Ok(_) => {
                let message =
                    format!("the file is larger than {MAX_BYTES} bytes once its templates are filled in");
                report.push(Violation::error("", Some(position_in(source, opening)), message));
                return None;
            }
            Err(Problem { violation, resume }) => {
                report.push(violation);
                failures += 1;
                at = resume.filter(|_| failures < MAX_FAILURES)?;
            }
        }
    }
    writer.copy(&source[at..]);
    (failures == 0).then(|| writer.finish())
}

/// Whether the line that begins a text is a comment.
fn is_comment(line: &str) -> bool {
    line.trim_start_matches([' ', '\t']).starts_with('#')
}

struct Problem {
    violation: Violation,
    /// Where to look for further templates.
    resume: Option<usize>,
}

/// The value of the template at `opening`, and the byte after its end.
fn fill(
    source: &str,
    opening: usize,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, usize), Problem> {
    let body = opening + OPENING.len();
    expression::evaluate(&source[body..], env).map(|(value, length)| (value, body + length)).map_err(
        |error| {
            let position = position_in(source, opening);
            Problem {
                violation: Violation::error("", Some(position), error.to_string()).with_hint_if(error.hint()),
                resume: source[body..].find("}}").map(|end| body + end + 2),
            }
        },
    )
}

#[cfg(test)]
mod tests;
