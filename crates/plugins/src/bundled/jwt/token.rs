//! The compact form of a token: header, claims and signature, in base64 with dots between.
//!
//! Owns: taking it apart, strictly: each token has one written form. Must not know: keys; what is read here is a claim
//! of whoever sent it until a signature is verified.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::directory::issuers::Algorithm;

/// Longer ones are not looked at; headers are shorter anyway.
const LONGEST: usize = 64 * 1024;

/// A token, not yet believed.
#[derive(Clone, Debug)]
pub(crate) struct Token<'a> {
    /// The header.
    pub(crate) header: Map<String, Value>,
    /// What it claims.
    pub(crate) claims: Map<String, Value>,
    /// The algorithm that the header names.
    pub(crate) algorithm: Algorithm,
    /// What is signed: header and claims as they are written.
    pub(crate) signed: &'a str,
    /// The signature.
    pub(crate) signature: Vec<u8>,
}

/// Why it is no token; Kong's word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl<'a> Token<'a> {
    /// From its compact form.
    ///
    /// # Errors
    /// What is wrong with it. The algorithm `none` is as unknown as any other that is not on the list.
    pub(crate) fn read(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > LONGEST {
            return Err(Malformed("too long"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed("invalid JSON"))?;
        let (header, claims) = signed.split_once('.').ok_or(Malformed("invalid JSON"))?;
        let header = object(header).ok_or(Malformed("invalid JSON"))?;
        let claims = object(claims).ok_or(Malformed("invalid JSON"))?;
        let is_jwt = |typ: &Value| typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("jwt"));
        if header.get("typ").is_some_and(|typ| !is_jwt(typ)) {
            return Err(Malformed("invalid typ"));
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let algorithm = algorithm.ok_or(Malformed("invalid alg"))?;
        // RFC 7515, 4.1.11: whoever does not know what is critical has to refuse. None is known here.
        if header.contains_key("crit") {
            return Err(Malformed("unknown crit"));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok().filter(|signature| !signature.is_empty());
        let signature = signature.ok_or(Malformed("invalid signature"))?;
        Ok(Self { header, claims, algorithm, signed, signature })
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn compact(header: &str, claims: &str, signature: &[u8]) -> String {
        [header.as_bytes(), claims.as_bytes(), signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    #[test]
    fn what_is_no_token() {
        let ok = r#"{"alg":"HS256","typ":"JWT"}"#;
        for (text, reason) in [
            (String::new(), "invalid JSON"),
            ("..".to_owned(), "invalid JSON"),
            ("a.b".to_owned(), "invalid JSON"),
            ("a.b.c".to_owned(), "invalid JSON"),
            (compact("[]", "{}", b"x"), "invalid JSON"),
            (compact(ok, "1", b"x"), "invalid JSON"),
            (compact(ok, r#"{"exp":1e999}"#, b"x"), "invalid JSON"),
            (format!("{}.x", compact(ok, "{}", b"x")), "invalid JSON"),
            (compact(ok, "{}", b"x").replacen('.', "=.", 1), "invalid JSON"),
            (compact(ok, "{}", b""), "invalid signature"),
            (format!("{}=", compact(ok, "{}", b"x")), "invalid signature"),
            // `eB` has bits beyond its byte.
            (compact(ok, "{}", b"x").replace(".eA", ".eB"), "invalid signature"),
            (compact(r#"{"alg":"none"}"#, "{}", b""), "invalid alg"),
            (compact(r#"{"alg":"None"}"#, "{}", b"x"), "invalid alg"),
            (compact(r#"{"alg":"hs256"}"#, "{}", b"x"), "invalid alg"),
            (compact(r#"{"alg":["HS256"]}"#, "{}", b"x"), "invalid alg"),
            (compact("{}", "{}", b"x"), "invalid alg"),
            (compact(r#"{"alg":"HS256","typ":"JWE"}"#, "{}", b"x"), "invalid typ"),
            (compact(r#"{"alg":"HS256","typ":1}"#, "{}", b"x"), "invalid typ"),
            (compact(r#"{"alg":"HS256","crit":["exp"]}"#, "{}", b"x"), "unknown crit"),
            ("a".repeat(LONGEST + 1), "too long"),
            (compact(ok, &"[".repeat(10_000), b"x"), "invalid JSON"),
        ] {
            assert_eq!(Token::read(&text).err(), Some(Malformed(reason)), "{text:.100}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", dots in "[A-Za-z0-9_=-]{0,40}(\\.[A-Za-z0-9_=-]{0,40}){0,4}") {
            let _ = Token::read(&text);
            let _ = Token::read(&dots);
        }

        #[test]
        fn any_bytes_between_the_dots_are_read_or_refused(
            header in prop::collection::vec(any::<u8>(), 0..60),
            claims in prop::collection::vec(any::<u8>(), 0..60),
            signature in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let text = [header, claims, signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
            let _ = Token::read(&text);
        }

        #[test]
        fn what_is_written_is_read_again(
            which in 0..13_usize,
            issuer in ".{0,20}",
            exp in any::<i64>(),
            signature in prop::collection::vec(any::<u8>(), 1..70),
        ) {
            let (name, algorithm) = crate::directory::issuers::ALGORITHMS[which];
            let (header, claims) = (json!({"alg": name}), json!({"iss": issuer, "exp": exp}));
            let text = compact(&header.to_string(), &claims.to_string(), &signature);
            let token = Token::read(&text).unwrap();
            prop_assert_eq!(token.algorithm, algorithm);
            prop_assert_eq!(Value::Object(token.header), header);
            prop_assert_eq!(Value::Object(token.claims), claims);
            prop_assert_eq!(&token.signature, &signature);
            // There is one way to write it.
            prop_assert_eq!(format!("{}.{}", token.signed, URL_SAFE_NO_PAD.encode(&token.signature)), text);
        }
    }
}
