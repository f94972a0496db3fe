//! Bodies to upstreams: what can be sent again, and when an answer is awaited.

use super::*;
use crate::timed::{Limits, Watch};

fn whole(text: &'static str) -> ToUpstream {
    ToUpstream::new(Some(Bytes::from_static(text.as_bytes())), None, false)
}

async fn read(body: &mut ToUpstream) -> Vec<Bytes> {
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        all.push(frame.unwrap().into_data().unwrap());
    }
    all
}

#[tokio::test]
async fn what_is_there_is_sent_and_can_be_sent_again() {
    for (text, pieces) in [("", &[][..]), ("hello", &["hello"][..])] {
        let mut body = whole(text);
        assert_eq!(body.size_hint().exact(), Some(text.len() as u64));
        assert_eq!(body.is_end_stream(), text.is_empty());
        let mut again = body.again().unwrap();
        assert_eq!(read(&mut body).await, pieces);
        assert!(body.is_end_stream());
        assert_eq!(read(&mut again).await, pieces, "a second time");
    }
}

/// The upstream's time for an answer begins when it has all of the request, not before.
#[tokio::test]
async fn an_answer_is_awaited_from_the_end_on() {
    for text in ["", "hello"] {
        let watch = Watch::default();
        let timing = watch.timing(Phase::Idle, Limits::default());
        let mut body = whole(text);
        body.on(Arc::clone(&timing));
        assert_eq!(timing.is_in(Phase::Body), text.is_empty(), "{text:?}");
        read(&mut body).await;
        assert!(timing.is_in(Phase::Body), "{text:?}");
        timing.enter(Phase::Quiet);
        read(&mut body).await;
        assert!(timing.is_in(Phase::Quiet), "it begins once");
    }
}
