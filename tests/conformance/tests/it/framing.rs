//! Hostile peers on both sides of the gateway: what crosses it has one meaning, and nothing holds it up.
//!
//! The gateway is the real program; both its neighbours are sockets of the test (`wire` for clients, `upstream` for what
//! is behind), so that every byte that was sent or received can be told. No test asserts that something is fast.

mod desync;
mod http2;
mod identity;
mod limits;
mod replies;
mod unread;
mod upstream;
mod wire;

use postern_conformance::{Gateway, Postern};

/// A gateway with two routes to one upstream: `/open` for all, `/key` for those with a key. Other paths are not found.
async fn gateway(upstream: &upstream::Upstream, settings: &[(&str, &str)]) -> Gateway {
    gateway_with(upstream, "", settings).await
}

/// The same, with more fields for the service: lines, two blanks deep.
async fn gateway_with(upstream: &upstream::Upstream, service: &str, settings: &[(&str, &str)]) -> Gateway {
    let yaml = format!(
        "_format_version: '3.0'
services:
- name: behind
  url: http://{}
  retries: 0
{service}
  routes:
  - {{name: open, paths: [/open], strip_path: false}}
  - name: stream
    paths: [/stream]
    strip_path: false
    request_buffering: false
  - name: guarded
    paths: [/key]
    strip_path: false
    plugins: [{{name: key-auth}}]
consumers:
- username: alice
  keyauth_credentials: [{{key: alices-key}}]
",
        upstream.address()
    );
    Postern::gateway(&yaml, settings).await
}
