//! The version of a reference: a number as Lua reads one. Owns: its spellings; what it means is the vault's.

use std::fmt::{self, Display, Formatter};

/// A finite number; vaults that count versions want [`Version::as_integer`].
#[derive(Clone, Copy, Debug)]
pub struct Version(f64);

impl Version {
    /// Reads what Kong's `tonumber` reads: blanks around, a sign, decimals, exponents, `0x` and `0b`; `None` for
    /// the rest, and for infinities and NaN, which no vault has.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(|c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c'));
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let lower = digits.to_ascii_lowercase();
        let magnitude = if let Some(hex) = lower.strip_prefix("0x") {
            radix(hex, 16)?
        } else if let Some(binary) = lower.strip_prefix("0b") {
            radix(binary, 2)?
        } else if lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            // Rust's float grammar has the same decimals and exponents; its words are kept out by the first byte.
            lower.parse::<f64>().ok()?
        } else {
            return None;
        };
        // Adding zero turns -0 into 0, so that equal versions are equal.
        let value = if negative { -magnitude } else { magnitude } + 0.0;
        value.is_finite().then_some(Self(value))
    }

    /// The version as a whole number, where it is one.
    pub fn as_integer(self) -> Option<i64> {
        // Beyond 2^53 not every whole number has a value of its own.
        let whole = self.0.fract() == 0.0 && self.0.abs() <= 9_007_199_254_740_992.0;
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, checked above")]
        whole.then_some(self.0 as i64)
    }
}

impl From<u32> for Version {
    fn from(number: u32) -> Self {
        Self(f64::from(number))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Version {}

impl std::hash::Hash for Version {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.as_integer() {
            Some(integer) => write!(f, "{integer}"),
            // Debug prints the shortest text that reads back as the same number.
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Digits of a base as a float, as Lua does: no digit is an error, more digits than fit lose precision.
fn radix(digits: &str, base: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits
        .chars()
        .try_fold(0.0, |value, digit| Some(value * f64::from(base) + f64::from(digit.to_digit(base)?)))
}
