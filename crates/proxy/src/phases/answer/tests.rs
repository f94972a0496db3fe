//! What is said of an answer besides what it says.

use super::*;

#[test]
fn whose_limit_a_body_went_beyond() {
    for (status, received, limit, expected) in [
        (413, 11, Some(10), true),
        // The gateway's own limit was the lower one.
        (413, 10, Some(10), false),
        (413, 11, None, false),
        (400, 11, Some(10), false),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(is_plugins_limit(status, received, limit), expected, "{status} {received} {limit:?}");
    }
}

#[test]
fn the_form_of_an_answer() {
    for (status, source, expected) in [
        (404, Source::Gateway, ErrorType::Json),
        (426, Source::Gateway, ErrorType::Json),
        (503, Source::Gateway, ErrorType::Html),
        (413, Source::Gateway, ErrorType::Html),
        (401, Source::Plugin, ErrorType::Json),
        (503, Source::Plugin, ErrorType::Json),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(form(status, source, ErrorType::Html), expected, "{status} {source:?}");
    }
}

#[test]
fn the_gateways_own_words() {
    for (status, text) in [
        (413, "Request body too large"),
        (502, "An invalid response was received from the upstream server"),
        (503, "The upstream server is currently unavailable"),
        (504, "The upstream server is timing out"),
    ] {
        let answer = gateway(StatusCode::from_u16(status).unwrap());
        assert_eq!(answer.status.as_u16(), status);
        let postern_plugins::plugin::AnswerBody::Message(said) = answer.body else { panic!("no words") };
        assert_eq!(said, text);
    }
}
