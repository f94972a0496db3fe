//! Requests that two parsers may read in two ways: each is refused, or crosses with one meaning.
//!
//! Every payload is followed by a good request that asks for the end of the connection. What the upstream received is
//! told exactly: no payload may add a request, hide one, or leave anything in a connection that the next client gets.

use super::upstream::Upstream;
use super::{gateway, wire};

/// What comes of a payload.
enum Expect {
    /// This answer, nothing reaches the upstream, and the connection ends.
    Refused(u16),
    /// No answer at all, and the connection ends.
    Closed,
    /// The upstream gets exactly these, line and body, and the connection goes on: the good request follows.
    Crosses(&'static [(&'static str, &'static str)]),
    /// The same, but the connection ends after the answers.
    CrossesAndEnds(&'static [(&'static str, &'static str)]),
    /// These answers, of which only what is named reached the upstream; then the good request is served if `true`.
    Answers(&'static [u16], &'static [(&'static str, &'static str)], bool),
}
use Expect::{Answers, Closed, Crosses, CrossesAndEnds, Refused};

const HELLO: &[(&str, &str)] = &[("POST /open", "hello")];
const NO_BODY: &[(&str, &str)] = &[("POST /open", "")];
const GET: &[(&str, &str)] = &[("GET /open", "")];
/// What an attacker hides behind a body.
const SMUGGLED: &str = "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(fields: &str, body: &str) -> String {
    format!("POST /open HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}")
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}

#[rustfmt::skip]
fn lengths() -> Vec<(&'static str, String, Expect)> {
    vec![
        ("one length", post("Content-Length: 5", "hello"), Crosses(HELLO)),
        ("the same length twice", post("Content-Length: 5\r\nContent-Length: 5", "hello"), Crosses(HELLO)),
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6", "hello"), Refused(400)),
        ("two lengths, zero first", post("Content-Length: 0\r\nContent-Length: 43", SMUGGLED), Refused(400)),
        ("a list of lengths", post("Content-Length: 5, 5", "hello"), Refused(400)),
        ("a list of two lengths", post("Content-Length: 5, 6", "hello"), Refused(400)),
        ("a length with a plus", post("Content-Length: +5", "hello"), Refused(400)),
        ("a length with a minus", post("Content-Length: -5", "hello"), Refused(400)),
        ("a length between blanks", post("Content-Length:  5 ", "hello"), Crosses(HELLO)),
        ("a length between tabs", post("Content-Length:\t5\t", "hello"), Crosses(HELLO)),
        ("a length in hexadecimal", post("Content-Length: 0x5", "hello"), Refused(400)),
        ("a length with a fraction", post("Content-Length: 5.0", "hello"), Refused(400)),
        ("a length with an exponent", post("Content-Length: 5e0", "hello"), Refused(400)),
        ("a length with an underscore", post("Content-Length: 0_5", "hello"), Refused(400)),
        ("a length with zeros in front", post("Content-Length: 0005", "hello"), Crosses(HELLO)),
        ("an empty length", post("Content-Length: ", "hello"), Refused(400)),
        ("a length in quotes", post("Content-Length: \"5\"", "hello"), Refused(400)),
        ("a length too large for 64 bits", post("Content-Length: 18446744073709551621", "hello"), Refused(400)),
        ("a length of all bits", post("Content-Length: 18446744073709551615", "hello"), Refused(431)),
        ("a length with a vertical tab", post("Content-Length: \x0b5", "hello"), Refused(400)),
        ("a blank before the colon", post("Content-Length : 5", "hello"), Refused(400)),
        ("a tab before the colon", post("Content-Length\t: 5", "hello"), Refused(400)),
        ("a NUL in the name", post("Content-Length\0: 5", "hello"), Refused(400)),
        ("an underscore for the hyphen", post("Content_Length: 43", SMUGGLED), Answers(&[200, 200], &[("POST /open", ""), ("GET /open/smuggled", "")], true)),
        ("no length: what follows is a request", post("X: 1", SMUGGLED), Answers(&[200, 200], &[("POST /open", ""), ("GET /open/smuggled", "")], true)),
        ("a length on a GET", format!("GET /open HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()), Crosses(&[("GET /open", SMUGGLED)])),
    ]
}

#[rustfmt::skip]
fn encodings() -> Vec<(&'static str, String, Expect)> {
    const BOTH: &str = "5\r\nhello\r\n0\r\n\r\n";
    vec![
        ("chunks", chunked(BOTH), Crosses(HELLO)),
        ("a length, then chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked", BOTH), CrossesAndEnds(HELLO)),
        ("chunks, then a length", post("Transfer-Encoding: chunked\r\nContent-Length: 5", BOTH), CrossesAndEnds(HELLO)),
        ("CL.TE: the length hides a request", post("Content-Length: 48\r\nTransfer-Encoding: chunked", &format!("0\r\n\r\n{SMUGGLED}")), CrossesAndEnds(NO_BODY)),
        ("TE.CL: the chunk hides a request", post("Transfer-Encoding: chunked\r\nContent-Length: 4", &format!("2b\r\n{SMUGGLED}\r\n0\r\n\r\n")), Refused(400)),
        ("TE.CL with the right size", post("Transfer-Encoding: chunked\r\nContent-Length: 4", &format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len())), CrossesAndEnds(&[("POST /open", SMUGGLED)])),
        ("chunks and a length that is none", post("Transfer-Encoding: chunked\r\nContent-Length: x", BOTH), CrossesAndEnds(HELLO)),
        ("chunked, identity", post("Transfer-Encoding: chunked, identity", BOTH), Refused(400)),
        ("identity, chunked", post("Transfer-Encoding: identity, chunked", BOTH), Refused(400)),
        ("gzip, chunked", post("Transfer-Encoding: gzip, chunked", BOTH), Refused(400)),
        ("identity", post("Transfer-Encoding: identity", BOTH), Refused(400)),
        ("identity and a length", post("Transfer-Encoding: identity\r\nContent-Length: 5", "hello"), Refused(400)),
        ("xchunked", post("Transfer-Encoding: xchunked", BOTH), Refused(400)),
        ("xchunked and a length", post("Transfer-Encoding: xchunked\r\nContent-Length: 5", "hello"), Refused(400)),
        ("chunked with blanks", post("Transfer-Encoding:   chunked  ", BOTH), Crosses(HELLO)),
        ("Chunked", post("transfer-encoding: Chunked", BOTH), Crosses(HELLO)),
        ("chunked with a vertical tab", post("Transfer-Encoding: \x0bchunked", BOTH), Refused(400)),
        ("chunked in quotes", post("Transfer-Encoding: \"chunked\"", BOTH), Refused(400)),
        ("chunked with a parameter", post("Transfer-Encoding: chunked;q=1", BOTH), Refused(400)),
        ("chunked and a comma", post("Transfer-Encoding: chunked,", BOTH), Refused(400)),
        ("chunked twice in one line", post("Transfer-Encoding: chunked, chunked", BOTH), Refused(400)),
        ("chunked in two lines", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", BOTH), Refused(400)),
        ("chunked, then identity in two lines", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", BOTH), Refused(400)),
        ("identity, then chunked in two lines", post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", BOTH), Refused(400)),
        ("an empty encoding", post("Transfer-Encoding:\r\nContent-Length: 5", "hello"), Refused(400)),
        ("a blank before the encoding's colon", post("Transfer-Encoding : chunked", BOTH), Refused(400)),
        ("an underscore in the encoding", post("Transfer_Encoding: chunked\r\nContent-Length: 5", "hello"), Crosses(HELLO)),
        ("an encoding behind a bare line end", post("X: 1\nTransfer-Encoding: chunked\r\nContent-Length: 5", BOTH), CrossesAndEnds(HELLO)),
        ("an encoding behind a bare CR", post("X: 1\rTransfer-Encoding: chunked\r\nContent-Length: 5", "hello"), Refused(400)),
        ("an encoding on a folded line", post("X: 1\r\n Transfer-Encoding: chunked\r\nContent-Length: 5", "hello"), Refused(400)),
        ("a folded encoding", post("Transfer-Encoding:\r\n chunked", BOTH), Refused(400)),
        ("a folded encoding with a length", post("Content-Length: 5\r\nTransfer-Encoding:\r\n\tchunked", "hello"), Refused(400)),
        ("chunks in HTTP/1.0", format!("POST /open HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{BOTH}"), Refused(400)),
        ("chunks on a GET", format!("GET /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{BOTH}"), Crosses(&[("GET /open", "hello")])),
        ("chunks on a GET that is not buffered", format!("GET /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{BOTH}"), Crosses(&[("GET /stream", "hello")])),
        ("chunks that are not buffered", format!("POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{BOTH}"), Crosses(&[("POST /stream", "hello")])),
        ("both, not buffered", format!("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{BOTH}"), CrossesAndEnds(&[("POST /stream", "hello")])),
    ]
}

#[rustfmt::skip]
fn chunk_sizes() -> Vec<(&'static str, String, Expect)> {
    vec![
        ("an extension", chunked("5;a=b\r\nhello\r\n0\r\n\r\n"), Crosses(HELLO)),
        ("an extension in quotes", chunked("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"), Crosses(HELLO)),
        ("an extension with a bare line end", chunked("5;a\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("an extension with a bare CR", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("a blank behind the size", chunked("5 \r\nhello\r\n0\r\n\r\n"), Crosses(HELLO)),
        ("a blank before the size", chunked(" 5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("a size with 0x", chunked("0x5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("a size with a plus", chunked("+5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("a size with a minus", chunked("-5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("a size with an underscore", chunked("5_\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("a size with many zeros", chunked("00000000000000005\r\nhello\r\n0\r\n\r\n"), Crosses(HELLO)),
        ("a size that overflows", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("a size of all bits", chunked("ffffffffffffffff0\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("no size", chunked("\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("only an extension", chunked(";a\r\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("no line end behind a chunk", chunked("5\r\nhello0\r\n\r\n"), Refused(400)),
        ("a chunk longer than its size", chunked("5\r\nhello!\r\n0\r\n\r\n"), Refused(400)),
        ("a bare line end behind a size", chunked("5\nhello\r\n0\r\n\r\n"), Refused(400)),
        ("a bare line end behind a chunk", chunked("5\r\nhello\n0\r\n\r\n"), Refused(400)),
        ("a bare line end at the end", chunked("5\r\nhello\r\n0\r\n\n"), CrossesAndEnds(HELLO)),
        ("a bare CR behind a size", chunked("5\rhello\r\n0\r\n\r\n"), Refused(400)),
        ("a last chunk of many zeros", chunked("5\r\nhello\r\n0000\r\n\r\n"), Crosses(HELLO)),
        ("a trailer", chunked("5\r\nhello\r\n0\r\nX-Mine: 1\r\n\r\n"), CrossesAndEnds(HELLO)),
        ("trailers that belong in a head", chunked("5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\nHost: b\r\nX-Consumer-Id: 1\r\n\r\n"), CrossesAndEnds(HELLO)),
        ("announced trailers", post("Transfer-Encoding: chunked\r\nTrailer: X-Consumer-Id, Host", "5\r\nhello\r\n0\r\nX-Consumer-Id: 1\r\nHost: b\r\n\r\n"), CrossesAndEnds(HELLO)),
        ("announced trailers, not buffered", "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Consumer-Id\r\n\r\n5\r\nhello\r\n0\r\nX-Consumer-Id: 1\r\n\r\n".to_owned(), CrossesAndEnds(&[("POST /stream", "hello")])),
        ("a trailer without a colon", chunked("5\r\nhello\r\n0\r\nnonsense\r\n\r\n"), Refused(400)),
    ]
}

#[rustfmt::skip]
fn lines() -> Vec<(&'static str, String, Expect)> {
    vec![
        ("bare line ends", "GET /open HTTP/1.1\nHost: a\n\n".to_owned(), Crosses(GET)),
        ("a bare CR in a value", get("/open", "X: a\rb\r\n"), Refused(400)),
        ("a bare CR at the end of a line", "GET /open HTTP/1.1\rHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("a NUL in a value", get("/open", "X: a\0b\r\n"), Refused(400)),
        ("a NUL in the target", get("/open\0", ""), Refused(400)),
        ("a folded value", get("/open", "X: a\r\n b\r\n"), Refused(400)),
        ("a field without a colon", get("/open", "nonsense\r\n"), Refused(400)),
        ("a field without a name", get("/open", ": nonsense\r\n"), Refused(400)),
        ("a blank line first", format!("\r\n{}", get("/open", "")), Crosses(GET)),
        ("a blank before the first field", "GET /open HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(), Refused(400)),
        ("two blanks in the line", "GET  /open HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("two blanks before the version", "GET /open  HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("a tab in the line", "GET\t/open HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("a blank in the target", "GET /open HTTP/1.1\r\nX: HTTP/1.1\r\nHost: a\r\n\r\n".replace("/open ", "/open /key "), Refused(400)),
        ("HTTP/0.9", "GET /open\r\n".to_owned(), Refused(400)),
        ("HTTP/1.2", "GET /open HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("HTTP/2.0 in words", "GET /open HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("a version in lower case", "GET /open http/1.1\r\nHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("HTTP/1.0", "GET /open HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(), CrossesAndEnds(GET)),
        ("HTTP/1.0 without Host", "GET /open HTTP/1.0\r\n\r\n".to_owned(), CrossesAndEnds(GET)),
        ("HTTP/1.0 that goes on", "GET /open HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".to_owned(), Crosses(GET)),
        ("pipelined requests", get("/open/1", "") + &get("/open/2", "") + &get("/open/3", ""), Crosses(&[("GET /open/1", ""), ("GET /open/2", ""), ("GET /open/3", "")])),
        ("a body and a request in one go", post("Content-Length: 5", "hello") + &get("/open/2", ""), Crosses(&[("POST /open", "hello"), ("GET /open/2", "")])),
        ("TLS on a plain port", "\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03".to_owned(), Refused(400)),
        ("HTTP/2 where it is not spoken", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), Closed),
        ("a blank that is not ASCII", get("/open", "X\u{a0}: 1\r\n"), Refused(400)),
    ]
}

#[rustfmt::skip]
fn heads() -> Vec<(&'static str, String, Expect)> {
    vec![
        ("Connection names the length", post("Content-Length: 5\r\nConnection: Content-Length", "hello"), Crosses(HELLO)),
        ("Connection names the encoding", post("Transfer-Encoding: chunked\r\nConnection: transfer-encoding", "5\r\nhello\r\n0\r\n\r\n"), Crosses(HELLO)),
        ("Connection names the host", get("/open", "Connection: host\r\n"), Crosses(GET)),
        ("no Host", "GET /open HTTP/1.1\r\n\r\n".to_owned(), Refused(400)),
        ("two Hosts", get("/open", "Host: b\r\n"), Refused(400)),
        ("the same Host twice", get("/open", "Host: a\r\n"), Refused(400)),
        ("an empty Host", "GET /open HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), Refused(400)),
        ("a Host with a blank", "GET /open HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), Refused(400)),
        ("a Host with a user", "GET /open HTTP/1.1\r\nHost: b@a\r\n\r\n".to_owned(), Refused(400)),
        ("a Host with a path", "GET /open HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), Refused(400)),
        ("a Host with a list", "GET /open HTTP/1.1\r\nHost: a, b\r\n\r\n".to_owned(), Refused(400)),
        ("a Host with a signed port", "GET /open HTTP/1.1\r\nHost: a:+80\r\n\r\n".to_owned(), Refused(400)),
        ("an absolute target", get("http://a/open", ""), Crosses(GET)),
        ("an absolute target of another host", get("http://b/open", ""), Refused(400)),
        ("an absolute target without Host", "GET http://a/open HTTP/1.1\r\n\r\n".to_owned(), Refused(400)),
        ("an absolute target with a user", get("http://a@b/open", ""), Refused(400)),
        ("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), Refused(405)),
        ("TRACE", "TRACE /open HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refused(405)),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), Refused(400)),
        ("a method of another case", get("/open", "").replace("GET", "get"), Crosses(&[("get /open", "")])),
        ("a method that is no word", get("/open", "").replace("GET", "GE(T"), Refused(400)),
        ("an unread body behind a 404", format!("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()), Answers(&[404], &[], true)),
        ("unread chunks behind a 404", format!("POST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()), Answers(&[404], &[], true)),
        ("an unread body behind a 401", format!("POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()), Answers(&[401], &[], true)),
        ("an unread body behind a 400", format!("POST /open HTTP/1.1\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()), Refused(400)),
        ("a body that waits for a word, behind a 401", format!("POST /key HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()), Answers(&[401], &[], true)),
        ("early bytes behind an upgrade that nobody agreed to", get("/open", "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n") + &get("/key", ""), Answers(&[200, 401], &[("GET /open", "")], true)),
        ("early bytes behind an upgrade to h2c", get("/open", "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n") + &get("/key", ""), Answers(&[200, 401], &[("GET /open", "")], true)),
        ("an upgrade with a body", get("/open", "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n") + "hello", Refused(400)),
    ]
}

#[rustfmt::skip]
fn targets() -> Vec<(&'static str, String, Expect)> {
    vec![
        ("two slashes", get("//open", ""), Crosses(GET)),
        ("dots", get("/open/../open", ""), Crosses(GET)),
        ("escaped dots", get("/x/%2e%2e/open", ""), Crosses(GET)),
        ("dots above the root", get("/../../open", ""), Refused(400)),
        ("a query that looks like an absolute target", get("/open?http://b/key", ""), Crosses(&[("GET /open?http://b/key", "")])),
        ("a guarded path", get("/key", ""), Answers(&[401], &[], true)),
        ("a guarded path, escaped", get("/%6bey", ""), Answers(&[401], &[], true)),
        ("a guarded path, two slashes", get("//key", ""), Answers(&[401], &[], true)),
        ("a guarded path behind dots", get("/open/../key", ""), Answers(&[401], &[], true)),
        ("a guarded path behind escaped dots", get("/open/%2e%2e/key", ""), Answers(&[401], &[], true)),
        ("a guarded path behind half-escaped dots", get("/open/.%2E/key", ""), Answers(&[401], &[], true)),
        ("a guarded path in an absolute target", get("http://a/key", ""), Answers(&[401], &[], true)),
        ("a guarded path with a fragment", get("/key#/../open", ""), Answers(&[401], &[], true)),
        ("a fragment that hides dots", get("/open#/../key", ""), Crosses(GET)),
        ("a guarded path in other letters", get("/KEY", ""), Answers(&[404], &[], true)),
        ("backslashes", get("\\open", ""), Refused(400)),
        ("an escape of an escape stays one", get("/open/%252e%252e/key", ""), Crosses(&[("GET /open/%252e%252e/key", "")])),
        ("an escape that is none", get("/open/%zz", ""), Refused(400)),
        ("a half escape", get("/open/%2", ""), Refused(400)),
    ]
}

const END: &str = "GET /open/end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const VICTIM: &str = "GET /open/victim HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Sends all payloads of a table, and gives what went wrong.
async fn judge(cases: Vec<(&'static str, String, Expect)>) {
    let upstream = Upstream::honest().await;
    // Whoever waits for more than there is gives up, so that a wrong answer is seen and not waited for.
    let limits = [("nginx_proxy_client_header_timeout", "10s"), ("nginx_proxy_client_body_timeout", "10s")];
    let gateway = gateway(&upstream, &limits).await;
    let mut wrong = Vec::new();
    for (name, payload, expect) in &cases {
        let answers =
            wire::replies(&wire::exchange(gateway.http, &[payload, END].concat().into_bytes()).await);
        let heard = upstream.take();
        let (mut statuses, mut lines, goes_on): (Vec<u16>, Vec<(&str, &str)>, bool) = match expect {
            Refused(status) => (vec![*status], vec![], false),
            Closed => (vec![], vec![], false),
            Crosses(lines) => (vec![200; lines.len()], lines.to_vec(), true),
            CrossesAndEnds(lines) => (vec![200; lines.len()], lines.to_vec(), false),
            Answers(statuses, lines, goes_on) => (statuses.to_vec(), lines.to_vec(), *goes_on),
        };
        if goes_on {
            statuses.push(200);
            lines.push(("GET /open/end", ""));
        }
        let got: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        let came: Vec<_> = heard.iter().map(|heard| (heard.line.as_str(), heard.body.as_str())).collect();
        let whole = heard.iter().all(|heard| heard.complete) && answers.iter().all(|answer| answer.complete);
        let clean = heard.iter().all(|heard| !heard.head.contains("x-consumer-id"));
        if got != statuses || came != lines || !whole || !clean {
            wrong.push(format!(
                "{name}: answers {got:?} instead of {statuses:?}, upstream got {came:?} instead of {lines:?}"
            ));
        }
        // Whoever comes next, on whatever connection to the upstream is left, gets what it asked for.
        let victim = wire::replies(&wire::exchange(gateway.http, VICTIM.as_bytes()).await);
        if victim.len() != 1 || victim[0].text() != "for /open/victim" {
            wrong.push(format!("{name}: the next client got {victim:?}"));
        }
        let heard = upstream.take();
        if heard.len() != 1 || heard[0].line != "GET /open/victim" {
            wrong.push(format!("{name}: with the next client came {heard:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test]
async fn one_length_or_none() {
    judge(lengths()).await;
}

#[tokio::test]
async fn one_encoding_or_none() {
    judge(encodings()).await;
}

#[tokio::test]
async fn one_way_to_read_a_chunk() {
    judge(chunk_sizes()).await;
}

#[tokio::test]
async fn one_way_to_read_a_line() {
    judge(lines()).await;
}

#[tokio::test]
async fn one_host_and_no_tricks_with_connection() {
    judge(heads()).await;
}

#[tokio::test]
async fn one_path() {
    judge(targets()).await;
}
