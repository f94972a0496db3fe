//! A client that others wrote for Kong: PyPI's aio-kong does its round with a node. `aio-kong/check.py` says what is checked.

use postern_conformance::ca::Ca;
use postern_conformance::{Node, Postgres, python};

async fn round(node: &Node) {
    let issued = Ca::new("An authority").issue(&["a.example"]);
    let (cert, key) = (node.directory().join("a.crt"), node.directory().join("a.key"));
    std::fs::write(&cert, issued.chain).expect("a file");
    std::fs::write(&key, issued.key).expect("a file");
    let url = format!("http://{}", node.admin);
    python::check("aio-kong", &[url.as_ref(), cert.as_os_str(), key.as_os_str()]).await.ok();
}

#[tokio::test]
async fn aio_kong_on_sqlite() {
    round(&Node::sqlite(&[]).await).await;
}

#[tokio::test]
async fn aio_kong_on_postgresql() {
    let server = Postgres::start().await;
    round(&Node::postgres(&server, &server.database().await, &[]).await).await;
}
