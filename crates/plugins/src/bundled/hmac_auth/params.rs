//! What stands behind `hmac` in `Authorization`: who signed, how, what, and the signature.
//!
//! Owns: reading `name="value", ...`; nothing may stand there twice. Must not know: keys, requests.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// With or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a request says of its signature, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Params<'a> {
    /// Who signed.
    pub(crate) username: &'a str,
    /// By which algorithm.
    pub(crate) algorithm: &'a str,
    /// What is signed: names of headers, `@request-target` and `request-line`; at least one.
    pub(crate) headers: Vec<&'a str>,
    /// The signature.
    pub(crate) signature: Vec<u8>,
}

impl<'a> Params<'a> {
    /// From the value of the header. `None` where it is of another scheme or lacks something; parameters that nobody
    /// knows are passed over.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("hmac") {
            return None;
        }
        let [mut username, mut algorithm, mut headers, mut signature] = [None; 4];
        loop {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = after.strip_prefix('"')?.split_once('"')?;
            if value.contains(|c: char| c == '\\' || c.is_control()) {
                return None;
            }
            let place = match name.trim() {
                "username" => Some(&mut username),
                "algorithm" => Some(&mut algorithm),
                "headers" => Some(&mut headers),
                "signature" => Some(&mut signature),
                _ => None,
            };
            if place.is_some_and(|place| place.replace(value).is_some()) {
                return None;
            }
            match after.trim_start().strip_prefix(',') {
                Some(more) => rest = more,
                None if after.trim().is_empty() => break,
                None => return None,
            }
        }
        let headers: Vec<&str> = headers?.split(' ').filter(|name| !name.is_empty()).collect();
        let signature = BASE64.decode(signature?).ok()?;
        // A signature of nothing would fit any request.
        let is_whole = !headers.is_empty() && !signature.is_empty();
        let username = username.filter(|name| !name.is_empty())?;
        Some(Self { username, algorithm: algorithm?, headers, signature }).filter(|_| is_whole)
    }

    /// Whether a header is signed.
    pub(crate) fn signs(&self, header: &str) -> bool {
        self.headers.iter().any(|name| name.eq_ignore_ascii_case(header))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_read_and_what_is_not() {
        let whole = r#"hmac username="ann", algorithm="hmac-sha256", headers="date  @request-target", signature="AAE=""#;
        let read = Params {
            username: "ann",
            algorithm: "hmac-sha256",
            headers: vec!["date", "@request-target"],
            signature: vec![0, 1],
        };
        for text in [
            whole.to_owned(),
            whole.replace("hmac u", "HMAC   u"),
            whole.replace(", ", ","),
            whole.replace(", ", " ,\t"),
            whole.replace("AAE=", "AAE"),
            whole.replace("hmac username=\"ann\", ", "hmac  ") + ", username=\"ann\"",
            format!("{whole}, other=\"x\""),
        ] {
            assert_eq!(Params::read(&text).as_ref(), Some(&read), "{text}");
        }
        for text in [
            String::new(),
            "hmac".to_owned(),
            "hmac ".to_owned(),
            whole.replace("hmac u", "Basic u"),
            whole.replace("hmac u", "hmacu"),
            whole.replace("username=\"ann\", ", ""),
            whole.replace("ann", ""),
            whole.replace(", signature=\"AAE=\"", ""),
            whole.replace("AAE=", ""),
            whole.replace("AAE=", "A"),
            whole.replace("AAE=", "A AE="),
            whole.replace("date  @request-target", ""),
            whole.replace("date  @request-target", "  "),
            whole.replace("ann\"", "ann"),
            whole.replace("\"ann\"", "ann"),
            whole.replace("ann", "a\\\\nn"),
            format!("{whole}, username=\"bob\""),
            format!("{whole}, headers=\"date\""),
            format!("{whole},"),
            format!("{whole} x"),
        ] {
            assert_eq!(Params::read(&text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in ".{0,200}",
            close in "hmac [a-z]{0,3}(username|algorithm|headers|signature|[=\",]| |[a-z]{0,4}|=\"[^\"]{0,9}\",?){0,20}",
        ) {
            let _ = Params::read(&text);
            let _ = Params::read(&close);
        }

        #[test]
        fn what_is_written_is_read_again(
            username in "[ -!#-\\[\\]-~é]{1,20}",
            algorithm in "[ -!#-\\[\\]-~]{0,20}",
            headers in prop::collection::vec("[!#-\\[\\]-~]{1,10}", 1..5),
            signature in prop::collection::vec(any::<u8>(), 1..70),
            turn in 0..4_usize,
        ) {
            let (list, encoded) = (headers.join(" "), BASE64.encode(&signature));
            let mut pairs = [
                format!("username=\"{username}\""),
                format!("algorithm=\"{algorithm}\""),
                format!("headers=\"{list}\""),
                format!("signature=\"{encoded}\""),
            ];
            pairs.rotate_left(turn);
            let text = format!("hmac {}", pairs.join(", "));
            let headers = headers.iter().map(String::as_str).collect();
            let read = Params { username: &username, algorithm: &algorithm, headers, signature };
            prop_assert_eq!(Params::read(&text), Some(read));
        }
    }
}
