//! The functions of decK's templates: `env`, `toInt`, `toFloat`, `toBool`, `indent`.
//!
//! Owns: what each takes, gives, and says when it cannot. Must not know: how a template is written. Data goes back
//! to `expression`.

use thiserror::Error;

/// `indent` beyond this helps no document.
const MAX_INDENT: i64 = 1024;

/// What an argument or a result is.
#[derive(Clone)]
pub(super) enum Value {
    /// A text in the template itself, which messages may quote.
    Written(String),
    /// A text that came out of a function, which no message may quote.
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
}

impl Value {
    /// As it stands in the filled-in text.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Written(text) | Self::Text(text) => text,
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
        }
    }
}

/// Why a template cannot be filled in. Holds names that the author wrote, never a value.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum TemplateError {
    #[error("environment variables in the state file must be prefixed with 'DECK_', found: '{0}'")]
    NotPrefixed(String),
    #[error("environment variable '{0}' present in state file but not set")]
    NotSet(String),
    #[error("{function}: the value is not {expected}")]
    WrongValue { function: &'static str, expected: &'static str },
    #[error("{function}: {expected}")]
    WrongArguments { function: &'static str, expected: &'static str },
    #[error("function \"{0}\" not defined")]
    UnknownFunction(String),
    #[error("`${{{{` without `}}}}`")]
    Unclosed,
    #[error("a template needs a function, such as env \"DECK_X\"")]
    Empty,
    #[error("unexpected {0} in a template")]
    Unexpected(String),
    #[error("parentheses are nested too deeply")]
    TooDeep,
}

impl TemplateError {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotPrefixed(name) => {
                format!("rename the variable to `DECK_{name}`, here and where it is set")
            }
            Self::NotSet(name) => format!("set it before the file is read: export {name}=..."),
            Self::UnknownFunction(_) => "a template knows env, toInt, toFloat, toBool and indent".to_owned(),
            Self::Unclosed => "write `${{ env \"DECK_X\" }}` with both braces on each side".to_owned(),
            Self::WrongValue { .. } | Self::WrongArguments { .. } => return None,
            Self::Empty | Self::Unexpected(_) | Self::TooDeep => {
                "the forms are `${{ env \"DECK_X\" }}` and `${{ env \"DECK_X\" | toInt }}`".to_owned()
            }
        })
    }
}

/// Calls one function; a piped value is its last argument.
pub(super) fn call(
    name: &str,
    arguments: Vec<Value>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Value, TemplateError> {
    match name {
        // The name is quoted when it is wrong, so it has to stand in the template.
        "env" => match arguments.as_slice() {
            [Value::Written(name)] if !name.starts_with("DECK_") => {
                Err(TemplateError::NotPrefixed(name.clone()))
            }
            [Value::Written(name)] => {
                env(name).map(Value::Text).ok_or_else(|| TemplateError::NotSet(name.clone()))
            }
            _ => Err(TemplateError::WrongArguments {
                function: "env",
                expected: "wants one name, as in env \"DECK_X\"",
            }),
        },
        "toInt" => convert("toInt", "an integer", arguments, |text| text.parse().ok().map(Value::Integer)),
        "toFloat" => convert("toFloat", "a number", arguments, |text| text.parse().ok().map(Value::Float)),
        "toBool" => convert("toBool", "a boolean (true, false, 1, 0)", arguments, |text| {
            boolean(text).map(Value::Bool)
        }),
        "indent" => match <[Value; 2]>::try_from(arguments) {
            Ok([Value::Integer(spaces @ 0..=MAX_INDENT), Value::Written(text) | Value::Text(text)]) => {
                let pad = format!("\n{}", " ".repeat(usize::try_from(spaces).unwrap_or_default()));
                Ok(Value::Text(text.replace('\n', &pad)))
            }
            _ => Err(TemplateError::WrongArguments {
                function: "indent",
                expected: "wants a number of spaces up to 1024 and a text, as in env \"DECK_X\" | indent 8",
            }),
        },
        other => Err(TemplateError::UnknownFunction(other.to_owned())),
    }
}

fn convert(
    function: &'static str,
    expected: &'static str,
    arguments: Vec<Value>,
    parse: impl Fn(&str) -> Option<Value>,
) -> Result<Value, TemplateError> {
    let text = one(function, "wants one text, as in env \"DECK_X\" | toInt", arguments)?;
    parse(&text).ok_or(TemplateError::WrongValue { function, expected })
}

fn one(
    function: &'static str,
    expected: &'static str,
    arguments: Vec<Value>,
) -> Result<String, TemplateError> {
    match <[Value; 1]>::try_from(arguments) {
        Ok([Value::Written(text) | Value::Text(text)]) => Ok(text),
        _ => Err(TemplateError::WrongArguments { function, expected }),
    }
}

/// The words that Go's `ParseBool` takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
