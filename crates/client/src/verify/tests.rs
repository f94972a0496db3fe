//! Chains of every kind, shown by a real TLS server, against the texts that people search for.

use std::time::Duration;

use http::Method;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::*;
use crate::{Client, Outgoing};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str, issuer: Option<&Issuer>) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    match issuer {
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

/// A server's certificate and key.
struct Leaf {
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn leaf(names: &[&str], issuer: Option<&Issuer>, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "server");
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let cert = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Leaf { der: cert.der().clone(), key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
}

/// Serves one connection with this chain, and says what a client that trusts `trusted` makes of it.
async fn outcome(leaf: Leaf, rest: Vec<CertificateDer<'static>>, trusted: &str, verify: bool) -> String {
    let chain = std::iter::once(leaf.der).chain(rest).collect();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, leaf.key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        if let Ok(mut tls) = TlsAcceptor::from(Arc::new(config)).accept(socket).await {
            let mut request = [0; 1024];
            let _ = tls.read(&mut request).await;
            let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            let _ = tls.shutdown().await;
        }
    });
    let client = Client::new(&Trust::from_items([trusted]).unwrap(), verify);
    let url = Url::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
    let sent =
        tokio::time::timeout(Duration::from_secs(20), client.send(Outgoing::new(Method::GET, url))).await;
    let sent = sent.unwrap();
    server.await.unwrap();
    match sent {
        Ok(reply) => reply.status.to_string(),
        Err(error) => {
            assert!(error.hint().is_some(), "{error}");
            error.to_string()
        }
    }
}

const HERE: &[&str] = &["127.0.0.1", "localhost"];

#[tokio::test]
async fn trusted_chains_are_accepted() {
    let root = ca("root", None);
    let middle = ca("middle", Some(&root));
    assert_eq!(outcome(leaf(HERE, Some(&root), |_| {}), vec![], &root.pem(), true).await, "200");
    let chain = vec![middle.der().clone()];
    assert_eq!(outcome(leaf(HERE, Some(&middle), |_| {}), chain.clone(), &root.pem(), true).await, "200");
    // The whole chain in the trust list, and only the leaf shown, works as well.
    let both = format!("{}{}", root.pem(), middle.pem());
    assert_eq!(outcome(leaf(HERE, Some(&middle), |_| {}), vec![], &both, true).await, "200");
}

#[tokio::test]
async fn a_self_signed_certificate_in_the_list_is_trusted_even_as_a_ca() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let cert = leaf(HERE, None, |params| params.is_ca = is_ca);
        let pem = pem_of(&cert.der);
        assert_eq!(outcome(cert, vec![], &pem, true).await, "200", "{is_ca:?}");
        let other = leaf(HERE, None, |params| params.is_ca = is_ca);
        assert_eq!(outcome(other, vec![], &pem, true).await, "18: self-signed certificate", "{is_ca:?}");
    }
}

#[tokio::test]
async fn a_listed_certificate_must_still_be_valid_and_for_this_host() {
    let expired = leaf(HERE, None, |params| params.not_after = date_time_ymd(2001, 1, 1));
    let pem = pem_of(&expired.der);
    assert_eq!(outcome(expired, vec![], &pem, true).await, "10: certificate has expired");
    let early = leaf(HERE, None, |params| params.not_before = date_time_ymd(2999, 1, 1));
    let pem = pem_of(&early.der);
    assert_eq!(outcome(early, vec![], &pem, true).await, "9: certificate is not yet valid");
    let other = leaf(&["vault.example"], None, |_| {});
    let pem = pem_of(&other.der);
    assert_eq!(outcome(other, vec![], &pem, true).await, "certificate host mismatch");
}

#[tokio::test]
async fn what_is_wrong_is_said_with_openssls_numbers() {
    let (root, stranger) = (ca("root", None), ca("stranger", None));
    let middle = ca("middle", Some(&root));
    let namesake = ca("root", None);
    let by = |issuer: &Issuer| leaf(HERE, Some(issuer), |_| {});
    let der = |issuer: &Issuer| issuer.der().clone();
    let cases = [
        ("18: self-signed certificate", leaf(HERE, None, |_| {}), vec![], &stranger),
        ("19: self-signed certificate in certificate chain", by(&root), vec![der(&root)], &stranger),
        (
            "19: self-signed certificate in certificate chain",
            by(&middle),
            vec![der(&root), der(&middle)],
            &stranger,
        ),
        ("20: unable to get local issuer certificate", by(&middle), vec![der(&middle)], &stranger),
        ("21: unable to verify the first certificate", by(&middle), vec![], &root),
        ("21: unable to verify the first certificate", by(&root), vec![], &stranger),
        (
            "10: certificate has expired",
            leaf(HERE, Some(&root), |params| params.not_after = date_time_ymd(2001, 1, 1)),
            vec![],
            &root,
        ),
        (
            "9: certificate is not yet valid",
            leaf(HERE, Some(&root), |params| params.not_before = date_time_ymd(2999, 1, 1)),
            vec![],
            &root,
        ),
        ("7: certificate signature failure", by(&root), vec![], &namesake),
        ("certificate host mismatch", leaf(&["vault.example"], Some(&root), |_| {}), vec![], &root),
    ];
    for (expected, leaf, rest, trusted) in cases {
        assert_eq!(outcome(leaf, rest, &trusted.pem(), true).await, expected);
    }
}

#[tokio::test]
async fn verification_can_be_switched_off() {
    let expired = leaf(&["vault.example"], None, |params| params.not_after = date_time_ymd(2001, 1, 1));
    assert_eq!(outcome(expired, vec![], "", false).await, "200");
}

fn pem_of(der: &CertificateDer<'_>) -> String {
    use base64::Engine as _;

    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}
