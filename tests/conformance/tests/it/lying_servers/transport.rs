//! What is wrong below the meaning of an answer: bytes that are no HTTP, too much, too slow, too little, nothing.
//!
//! Every lie is told in each place (by the vault to a read, by the vault to a login, by the identity provider), with
//! and without TLS. Those that take the whole ten seconds of an exchange do so at the same time.

use futures_util::{StreamExt as _, future, stream};
use postern_conformance::{
    Answer, Postern, Stub,
    ca::{Ca, Issued},
};

use super::{IDP, VAULT, always, honest_idp, refused};
use crate::commands::{by_oauth2, by_token};

#[derive(Clone, Copy, Debug)]
enum Place {
    Read,
    Login,
    Idp,
}

const PLACES: [Place; 3] = [Place::Read, Place::Login, Place::Idp];

/// Each lie with a text that tells it.
fn lies() -> Vec<(&'static str, Answer, &'static str)> {
    let bytes = |text: &str| Answer::Bytes(text.as_bytes().to_vec());
    let ok = "HTTP/1.1 200 OK\r\n";
    let (slow, late) =
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n".to_vec(), b"{\"data\": {\"data\": {}}}".to_vec());
    vec![
        ("bytes that are no HTTP", Answer::Bytes((0..=255).cycle().take(5000).collect()), "broke: "),
        ("another protocol", bytes("SSH-2.0-OpenSSH_9.2p1\r\n"), "broke: "),
        (
            "a body without end",
            Answer::Endless(format!("{ok}\r\n").into_bytes()),
            "is larger than 8388608 bytes",
        ),
        (
            "a body of 1 GB",
            Answer::Endless(format!("{ok}content-length: 1073741824\r\n\r\n").into_bytes()),
            "is larger than 8388608 bytes",
        ),
        ("a header without end", Answer::Endless(format!("{ok}x: ").into_bytes()), "broke: "),
        (
            "a chunk size without end",
            Answer::Endless(format!("{ok}transfer-encoding: chunked\r\n\r\n1;").into_bytes()),
            "broke: ",
        ),
        ("ten thousand headers", bytes(&format!("{ok}{}\r\n", "x: y\r\n".repeat(10_000))), "broke: "),
        ("interim answers only", bytes(&"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50_000)), "broke: "),
        ("two lengths", bytes(&format!("{ok}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}")), "broke: "),
        ("a length that is none", bytes(&format!("{ok}content-length: -1\r\n\r\n{{}}")), "broke: "),
        (
            "a body that ends too soon",
            bytes(&format!("{ok}content-length: 1000\r\n\r\n{{\"data\":")),
            "broke: ",
        ),
        (
            "a chunk that ends too soon",
            bytes(&format!("{ok}transfer-encoding: chunked\r\n\r\nff\r\n{{")),
            "broke: ",
        ),
        ("nothing, and the end", bytes(""), "broke: "),
        ("half a status line", bytes("HTTP/1.1 2"), "broke: "),
        ("nothing, and no end", Answer::Silence, "within 10 seconds"),
        ("a byte a second", Answer::Drip(Vec::new(), slow.clone()), "within 10 seconds"),
        ("a byte of the body a second", Answer::Drip(slow, late), "within 10 seconds"),
    ]
}

#[tokio::test]
async fn every_lie_ends_soon() {
    let ca = Ca::new("Test Root");
    let (tls, lies) = (ca.issue(&["127.0.0.1"]), lies());
    let (mut slow, mut fast) = (Vec::new(), Vec::new());
    for (what, answer, text) in &lies {
        let waits = matches!(answer, Answer::Silence | Answer::Drip(..));
        for place in PLACES {
            for tls in [None, Some(&tls)] {
                let tellings = if waits { &mut slow } else { &mut fast };
                tellings.push(tell(place, tls, answer, what, text, ca.pem()));
            }
        }
    }
    // Waiting costs nothing, but megabytes over TLS cost time on a small machine.
    let fast = stream::iter(fast).buffer_unordered(3).count();
    let (waited, worked) = future::join(future::join_all(slow), fast).await;
    assert_eq!(waited.len() + worked, lies.len() * 6);
}

/// A server that does not speak TLS, and one that never ends its handshake.
#[tokio::test]
async fn handshakes_end_soon() {
    let (silent, page) =
        (Stub::http(always(Answer::Silence)).await, Stub::http(always(Answer::Bytes(vec![]))).await);
    let https = |stub: &Stub| by_token(stub.port()).env("KONG_VAULT_HCV_PROTOCOL", "https");
    // The greeting of TLS is no HTTP request, so the stub waits for more of it.
    refused(https(&silent), VAULT).await.stderr_has(&["no answer from 127.0.0.1:", "within 10 seconds"]);
    let idp = by_oauth2(1, &page.url().replace("http:", "https:"));
    refused(idp, IDP).await.stderr_has(&["no answer from 127.0.0.1:", "within 10 seconds"]);
}

async fn tell(place: Place, tls: Option<&Issued>, answer: &Answer, what: &str, text: &str, ca: &str) {
    let answer = always(answer.clone());
    let liar = match tls {
        None => Stub::http(answer).await,
        Some(shown) => Stub::tls(shown, answer).await,
    };
    let idp = honest_idp().await;
    let (get, because): (Postern, &str) = match place {
        Place::Read => (by_token(liar.port()), VAULT),
        Place::Login => (by_oauth2(liar.port(), &idp.url()), VAULT),
        Place::Idp => (by_oauth2(1, &format!("{}/oauth/token", liar.url())), IDP),
    };
    let protocol = liar.url().split(':').next().unwrap_or_default().to_owned();
    let get = get.env("KONG_VAULT_HCV_PROTOCOL", &protocol).env("KONG_LUA_SSL_TRUSTED_CERTIFICATE", ca);
    let outcome = refused(get, because).await;
    assert!(outcome.stderr.contains(text), "{what}, {place:?}, {protocol}: no {text:?} in {outcome}");
    assert!(outcome.stderr.contains("Hint: "), "{what}, {place:?}, {protocol}: {outcome}");
    assert_eq!(liar.heard().len(), 1, "{what}, {place:?}, {protocol}: asked more than once");
}
