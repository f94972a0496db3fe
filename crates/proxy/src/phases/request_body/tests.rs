//! Bodies that plugins want to see.

use std::rc::Rc;

use postern_plugins::view::Request as View;
use tokio::task::LocalSet;

use super::*;
use crate::body::double::incoming;
use crate::timed::{Limits, Phase, Watch};

const HELLO: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
const SHORT: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nhello";

async fn body(request: &'static str) -> FromClient {
    let timing = Watch::default().timing(Phase::Quiet, Limits::default());
    let incoming = incoming(request).await;
    FromClient::new(incoming, 0, timing, Rc::default(), Version::HTTP_11, &Rc::default())
}

#[tokio::test]
async fn what_plugins_get_of_a_body() {
    let run = async {
        // The request, what a plugin allows, what is kept in memory; what plugins see.
        let cases = [
            (Some(HELLO), None, 5, Ok(Some("hello"))),
            (Some(HELLO), Some(5), 5, Ok(Some("hello"))),
            (Some(HELLO), None, 4, Err(413)),
            (Some(HELLO), Some(4), 100, Err(413)),
            (Some(SHORT), None, 100, Err(400)),
            // It was read before.
            (None, None, 100, Ok(None)),
        ];
        for (request, limit, most, expected) in cases {
            let mut view = View::for_test();
            view.body_limit = limit;
            let mut streaming = match request {
                Some(request) => Some(body(request).await),
                None => None,
            };
            let got = read_body(&mut view, &mut streaming, most).await;
            let seen = view.body.as_deref().map(|body| std::str::from_utf8(body).unwrap());
            assert_eq!(
                got.map(|()| seen).map_err(|status| status.as_u16()),
                expected,
                "{request:?} {limit:?} {most}"
            );
            assert!(streaming.is_none(), "there is nothing left to read");
        }
    };
    LocalSet::new().run_until(run).await;
}
