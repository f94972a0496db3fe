//! `request-size-limiting`: no body is larger than so many bytes.
//!
//! Owns: the limit, and what is answered where a request says beforehand that it breaks it. Must not know: how bodies are
//! read; one that does not say its length streams on under [`Request::body_limit`] and is cut off there.

use http::StatusCode;
use http::header::CONTENT_LENGTH;
use postern_model::Record;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use serde::Deserialize;

use crate::plugin::{Answer, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::{BODY_TOO_LARGE, Request};

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "request-size-limiting",
    priority: 951,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Limits the size of requests' bodies.",
};

const SIZE: i64 = 128;

const FIELDS: &[Field] = &[
    Field::integer("allowed_payload_size")
        .default_int(SIZE)
        .doc("The largest body that passes, in the unit of `size_unit`. Below zero is as zero."),
    Field::string("size_unit")
        .required()
        .default_text("megabytes")
        .rules(&[Rule::OneOf(&["bytes", "kilobytes", "megabytes"])])
        .doc("`bytes`, `kilobytes` of 1024 bytes or `megabytes` of 1,048,576 bytes."),
    Field::boolean("require_content_length")
        .required()
        .default_bool(false)
        .doc("Whether a request must say the length of its body, also where it has none."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    allowed_payload_size: Option<i64>,
    size_unit: Unit,
    require_content_length: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Bytes,
    Kilobytes,
    Megabytes,
}

struct RequestSizeLimiting {
    /// In bytes.
    limit: u64,
    require_content_length: bool,
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let Config { allowed_payload_size, size_unit, require_content_length } = config.read()?;
    let unit = match size_unit {
        Unit::Bytes => 1,
        Unit::Kilobytes => 1 << 10,
        Unit::Megabytes => 1 << 20,
    };
    let size = u64::try_from(allowed_payload_size.unwrap_or(SIZE)).unwrap_or(0);
    Ok(Prepared::ready(RequestSizeLimiting { limit: size.saturating_mul(unit), require_content_length }))
}

impl Plugin for RequestSizeLimiting {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        let said = request.headers.get(CONTENT_LENGTH).map(|value| length(value.as_bytes()));
        let length = match said {
            // A number that fits nowhere is too large.
            Some(Some(digits)) => digits,
            Some(None) | None if self.require_content_length => {
                let message = "A valid Content-Length header is required";
                return Answer::message(StatusCode::LENGTH_REQUIRED, message).into();
            }
            Some(None) | None => 0,
        };
        // Another plugin may have read the body, or put another one in its place.
        let whole = request.body.as_ref().map_or(0, |body| body.len() as u64);
        if length.max(whole) > self.limit {
            return Answer::message(StatusCode::PAYLOAD_TOO_LARGE, BODY_TOO_LARGE).into();
        }
        let other = request.body_limit.unwrap_or(u64::MAX);
        request.body_limit = Some(self.limit.min(other));
        Step::Continue
    }
}

/// The number that these digits are, the largest there is where it is larger; `None` for anything else.
fn length(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        text.iter()
            .fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::{access, told};

    async fn said(config: &Json, request: &mut Request) -> Option<(u16, String)> {
        let plugin = crate::testing::make(&SCHEMA.config, make, config);
        let (status, text) = told(access(&*plugin, request).await)?;
        Some((status.as_u16(), text))
    }

    fn too_large() -> Option<(u16, String)> {
        Some((413, "Request size limit exceeded".to_owned()))
    }

    #[tokio::test]
    async fn what_a_request_says_of_its_length_is_believed() {
        for (config, limit) in [
            (json!({}), 134_217_728_u64),
            (json!({"allowed_payload_size": 3, "size_unit": "bytes"}), 3),
            (json!({"allowed_payload_size": 3, "size_unit": "kilobytes"}), 3072),
            (json!({"allowed_payload_size": 3, "size_unit": "megabytes"}), 3_145_728),
            (json!({"allowed_payload_size": 0}), 0),
            (json!({"allowed_payload_size": -1}), 0),
        ] {
            let fits = &mut Request::for_test().with("content-length", &limit.to_string());
            assert_eq!(said(&config, fits).await, None, "{config}");
            assert_eq!(fits.body_limit, Some(limit));
            let more = &mut Request::for_test().with("content-length", &(limit + 1).to_string());
            assert_eq!(said(&config, more).await, too_large(), "{config}");
        }
        let endless = &mut Request::for_test().with("content-length", "18446744073709551616");
        assert_eq!(said(&json!({}), endless).await, too_large());
    }

    #[tokio::test]
    async fn without_a_length_the_body_is_bounded() {
        let config = json!({"allowed_payload_size": 2, "size_unit": "kilobytes"});
        let mut request = Request::for_test();
        assert_eq!(said(&config, &mut request).await, None);
        assert_eq!(request.body_limit, Some(2048));
        // The stricter limit counts.
        request.body_limit = Some(7);
        assert_eq!(said(&config, &mut request).await, None);
        assert_eq!(request.body_limit, Some(7));
    }

    #[tokio::test]
    async fn a_body_that_is_there_already_is_measured() {
        let config = json!({"allowed_payload_size": 3, "size_unit": "bytes"});
        let mut request = Request::for_test();
        request.body = Some(Bytes::from_static(b"abc"));
        assert_eq!(said(&config, &mut request).await, None);
        request.body = Some(Bytes::from_static(b"abcd"));
        assert_eq!(said(&config, &mut request).await, too_large());
        // Whatever the header says.
        let mut lies = Request::for_test().with("content-length", "1");
        lies.body = Some(Bytes::from_static(b"abcd"));
        assert_eq!(said(&config, &mut lies).await, too_large());
    }

    #[tokio::test]
    async fn a_length_may_be_required() {
        let config = json!({"require_content_length": true});
        let required = Some((411, "A valid Content-Length header is required".to_owned()));
        assert_eq!(said(&config, &mut Request::for_test()).await, required);
        for length in ["", "x", "-1", "+1", "1e3", "0x10", "1, 1"] {
            let request = &mut Request::for_test().with("content-length", length);
            assert_eq!(said(&config, request).await, required, "{length}");
        }
        assert_eq!(said(&config, &mut Request::for_test().with("content-length", "0")).await, None);
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_are(number: u64, zeros in 0..30_usize, text in ".*") {
            let digits = format!("{}{number}", "0".repeat(zeros));
            prop_assert_eq!(length(digits.as_bytes()), Some(number));
            prop_assert_eq!(length(text.as_bytes()).is_some(), !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        }
    }
}
