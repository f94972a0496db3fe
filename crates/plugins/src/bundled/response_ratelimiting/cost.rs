//! What an upstream says that a response costs: `video=2, image=1`.
//!
//! Owns: reading it. What cannot be read costs nothing, and nothing costs less than that: no response gives back what
//! others have used. Must not know: the limits.

use http::HeaderMap;
use http::header::HeaderName;
use smallvec::SmallVec;

/// How many names are looked at: an upstream that says more says nothing about them.
const NAMES_MAX: usize = 64;

/// Costs by name.
#[derive(Debug, Default)]
pub(super) struct Costs<'a>(SmallVec<[(&'a str, u32); 4]>);

impl Costs<'_> {
    /// What it costs under this name; where that is said twice, the last counts, as in Kong.
    pub(super) fn of(&self, name: &str) -> u32 {
        self.0.iter().rev().find(|(known, _)| *known == name).map_or(0, |(_, cost)| *cost)
    }
}

/// Reads all headers of this name.
pub(super) fn read<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Costs<'a> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(',')).take(NAMES_MAX);
    Costs(
        pairs
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, cost)| (name.trim(), number(cost)))
            .collect(),
    )
}

/// Part of one counts as one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; less than zero is zero"
)]
fn number(text: &str) -> u32 {
    let number: f64 = text.trim().parse().unwrap_or(0.0);
    if number.is_finite() { number.ceil() as u32 } else { 0 }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-kong-limit");

    fn cost(values: &[&str], name: &str) -> u32 {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        read(&headers, &NAME).of(name)
    }

    #[test]
    fn costs_are_read() {
        for (values, expected) in [
            (&["a=1"][..], 1),
            (&["b=7, a=2"], 2),
            (&["b=7", "a=3"], 3),
            (&["b=7 ,\t a = 4 ", "c=1"], 4),
            (&["a=1, a=5"], 5),
            (&["a=0.5"], 1),
            (&["a=99999999999"], u32::MAX),
            (&["a=-5"], 0),
            (&["a=inf"], 0),
            (&["a=nan"], 0),
            (&["a=x"], 0),
            (&["a="], 0),
            (&["a=1=2"], 0),
            (&["a"], 0),
            (&["A=1, aa=1"], 0),
            (&["\u{e9}=1"], 0),
            (&[], 0),
        ] {
            assert_eq!(cost(values, "a"), expected, "{values:?}");
        }
        let many = format!("{}a=1", "b=1,".repeat(NAMES_MAX));
        assert_eq!(cost(&[&many], "a"), 0);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u32, before in "[b-z=, ]{0,20}", after in "(,[b-z=, ]{0,20})?") {
            prop_assert_eq!(cost(&[&format!("{before},a={number}{after}")], "a"), number);
        }

        #[test]
        fn nothing_panics(text in "[ -~\\t]{0,60}") {
            cost(&[&text], "a");
        }
    }
}
