//! Keys fetched over https, as from a real identity provider.

use super::Tutorial;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Serves an empty key set over TLS; returns its URL and the PEM of its certificate.
async fn key_server() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = made.cert.pem();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).expect("a key");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a pair");
    let listener = TcpListener::bind("localhost:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate breaks off.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _request = stream.read(&mut [0; 4096]).await;
            let body = r#"{"keys":[]}"#;
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _sent = stream.write_all(reply.as_bytes()).await;
            let _closed = stream.shutdown().await;
        }
    });
    (format!("https://localhost:{port}/jwks.json"), pem)
}

#[tokio::test]
async fn the_certificate_must_be_trusted() {
    let (url, pem) = key_server().await;
    let Tutorial { root, .. } = &Tutorial::start().await;
    let (status, error) = root.refused("POST", "auth/jwt/config", json!({"jwks_url": url})).await;
    assert_eq!((status, error.as_str()), (400, "error checking jwks URL"));
    let (_, error) =
        root.refused("POST", "auth/jwt/config", json!({"jwks_url": url, "jwks_ca_pem": "x"})).await;
    assert_eq!(error, "error checking jwks_ca_pem");
    root.ok("POST", "auth/jwt/config", json!({"jwks_url": url, "jwks_ca_pem": pem})).await;
}
