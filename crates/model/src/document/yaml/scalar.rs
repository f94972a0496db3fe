//! What an unquoted scalar means.
//!
//! Owns: the core schema of YAML 1.2 (section 10.3.2), by which `no`, `on` and `1_000` are texts. Must not know: which
//! field the scalar is for; a boolean field may still take `yes` and `no` ([`crate::entity`]).

use serde_json::Number;

use crate::document::node::Kind;

/// The tags of the core schema.
pub(super) const TAGS: [&str; 7] = ["str", "int", "float", "bool", "null", "seq", "map"];

/// The meaning of an unquoted scalar without a tag.
pub(super) fn core_schema(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => integer(text).or_else(|| float(text)).unwrap_or(Kind::Text),
    }
}

/// The meaning of a scalar with a tag of the core schema; `None` when the text is not of that type.
pub(super) fn tagged(text: &str, tag: &str) -> Option<Kind> {
    let kind = core_schema(text);
    match (tag, kind) {
        ("str", _) => Some(Kind::Text),
        ("int", kind @ Kind::Integer(_))
        | ("float", kind @ Kind::Float(_))
        | ("bool", kind @ Kind::Bool(_))
        | ("null", kind @ Kind::Null) => Some(kind),
        ("float", Kind::Integer(number)) => number.as_f64().map(Kind::Float),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Kind> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(Number::from);
    let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = if let Some(digits) = text.strip_prefix("0x").filter(|digits| plain(digits)) {
        radix(digits, 16)
    } else if let Some(digits) = text.strip_prefix("0o").filter(|digits| plain(digits)) {
        radix(digits, 8)
    } else {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let digits = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
        let number =
            || text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
        digits.then(number).and_then(Result::ok)
    };
    number.map(Kind::Integer)
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, infinities, and no number.
fn float(text: &str) -> Option<Kind> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(Kind::Float(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if unsigned.len() == text.len() => return Some(Kind::Float(f64::NAN)),
        _ => {}
    }
    let (mantissa, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_is_fine = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let is_number = digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0 && exponent_is_fine;
    is_number.then(|| text.parse().ok().map(Kind::Float)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_schema_of_yaml_1_2() {
        let int = |number: i64| Kind::Integer(number.into());
        let cases = [
            ("", Kind::Null),
            ("~", Kind::Null),
            ("NULL", Kind::Null),
            ("nUll", Kind::Text),
            ("true", Kind::Bool(true)),
            ("FALSE", Kind::Bool(false)),
            ("yes", Kind::Text),
            ("no", Kind::Text),
            ("on", Kind::Text),
            ("NO", Kind::Text),
            ("y", Kind::Text),
            ("0", int(0)),
            ("-1", int(-1)),
            ("+12", int(12)),
            ("0777", int(777)),
            ("0o17", int(15)),
            ("0xfF", int(255)),
            ("0x", Kind::Text),
            ("0x+1", Kind::Text),
            ("1_000", Kind::Text),
            ("-", Kind::Text),
            ("18446744073709551615", Kind::Integer(u64::MAX.into())),
            ("18446744073709551616", Kind::Float(18_446_744_073_709_551_616.0)),
            ("3.0", Kind::Float(3.0)),
            ("1.", Kind::Float(1.0)),
            (".5", Kind::Float(0.5)),
            ("-1e3", Kind::Float(-1000.0)),
            ("1e", Kind::Text),
            (".", Kind::Text),
            ("1.2.3", Kind::Text),
            ("e3", Kind::Text),
            ("inf", Kind::Text),
            ("nan", Kind::Text),
            ("-.inf", Kind::Float(f64::NEG_INFINITY)),
            ("+.nan", Kind::Text),
            ("12:30", Kind::Text),
            ("2026-11-23", Kind::Text),
            ("<<", Kind::Text),
        ];
        for (text, kind) in cases {
            assert_eq!(core_schema(text), kind, "{text}");
        }
        assert!(matches!(core_schema(".NaN"), Kind::Float(number) if number.is_nan()));
    }

    #[test]
    fn tags_of_the_core_schema() {
        assert_eq!(tagged("12", "str"), Some(Kind::Text));
        assert_eq!(tagged("12", "float"), Some(Kind::Float(12.0)));
        assert_eq!(tagged("x", "int"), None);
        assert_eq!(tagged("12", "binary"), None);
    }
}
