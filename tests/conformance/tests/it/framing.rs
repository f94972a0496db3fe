//! Hostile peers on both sides of the gateway: what crosses it has one meaning, and nothing holds it up.

use postern_conformance::Postern;

#[tokio::test]
async fn it_starts() {
    let mut gateway = Postern::gateway("_format_version: '3.0'\n", &[]).await;
    assert!(gateway.reload("_format_version: '3.0'\nservices: []\n").await);
    assert!(!gateway.reload("_format_version: '3.0'\nservices: 5\n").await);
    assert!(gateway.memory() > 1000);
    gateway.signal("-TERM");
    gateway.ended().await;
}
