//! Who a request is from is for the gateway to say: clients can neither say it, nor have it unsaid.

use super::upstream::Upstream;
use super::{gateway, wire};

const CLAIMS: &str = "X-Consumer-ID: 1\r\nx-consumer-username: root\r\nX-Consumer-Custom-ID: 1\r\n\
    X-Consumer-Groups: admins\r\nX-Credential-Identifier: 1\r\nX-Anonymous-Consumer: true\r\n\
    X_Consumer_Username: root\r\nX-Consumer_Username: root\r\n";

#[tokio::test]
async fn a_client_says_nothing_in_our_name() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, &[]).await;
    for more in
        ["", "Connection: close, x-consumer-id\r\n", "Connection: close, keep-alive, x-forwarded-for\r\n"]
    {
        let end = if more.is_empty() { "Connection: close\r\n" } else { "" };
        let request = format!("GET /open HTTP/1.1\r\nHost: a\r\n{CLAIMS}{more}{end}\r\n");
        assert_eq!(wire::replies(&wire::exchange(gateway.http, request.as_bytes()).await)[0].status, 200);
        let heard = upstream.take().remove(0);
        for word in ["consumer", "credential", "anonymous", "root", "admins"] {
            assert!(!heard.head.contains(word), "{word}: {}", heard.head);
        }
        assert_eq!(wire::field(&heard.head, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(wire::field(&heard.head, "x-real-ip"), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_client_does_not_unsay_what_we_say() {
    let upstream = Upstream::honest().await;
    let gateway = gateway(&upstream, &[]).await;
    let names =
        "x-consumer-id, x-consumer-username, x-credential-identifier, x-forwarded-for, x-real-ip, host, via";
    for fields in [String::new(), CLAIMS.to_owned(), format!("Connection: {names}\r\n")] {
        let request = format!(
            "POST /key HTTP/1.1\r\nHost: a\r\napikey: alices-key\r\n{fields}Connection: close\r\n\
             Transfer-Encoding: chunked\r\nTrailer: X-Consumer-Username\r\n\r\n0\r\nX-Consumer-Username: root\r\n\r\n"
        );
        assert_eq!(wire::replies(&wire::exchange(gateway.http, request.as_bytes()).await)[0].status, 200);
        let heard = upstream.take().remove(0);
        assert_eq!(wire::field(&heard.head, "x-consumer-username"), Some("alice"), "{fields}");
        assert!(wire::field(&heard.head, "x-consumer-id").is_some_and(|id| id.len() == 36), "{}", heard.head);
        assert_eq!(wire::field(&heard.head, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(wire::field(&heard.head, "x-real-ip"), Some("127.0.0.1"));
        assert!(!heard.head.contains("root"), "{}", heard.head);
    }
}
