//! Certificates: which one a client is shown, that they change in place, and whom the gateway trusts and what it shows
//! as a client.

use std::{fs, path::Path};

use postern_conformance::{
    Dns, Postern, Recorder,
    ask::{Way, becomes, get, request},
    ca::{Ca, Issued},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    SignatureScheme,
    pki_types::{CertificateDer, pem::PemObject},
};

pub(crate) fn der(issued: &Issued) -> Vec<u8> {
    CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("a certificate as PEM").to_vec()
}

fn with_version(mut config: Value) -> String {
    config["_format_version"] = "3.0".into();
    config.to_string()
}

fn service(upstream: &Recorder) -> Value {
    json!({
        "name": "s", "url": format!("http://127.0.0.1:{}", upstream.port()),
        "routes": [{"name": "r", "paths": ["/"]}],
    })
}

fn write(directory: &Path, name: &str, content: &str) {
    let new = directory.join(format!(".{name}.new"));
    fs::write(&new, content).expect("a file of the vault");
    fs::rename(new, directory.join(name)).expect("a file of the vault");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_decides_which_certificate_is_shown() {
    let (ca, upstream, files) =
        (Ca::new("a root"), Recorder::start().await, TempDir::new().expect("a directory"));
    let exact = ca.issue(&["a.test"]);
    let (wild, right, default) =
        (ca.issue(&["*.a.test"]), ca.issue(&["right.test"]), ca.issue(&["default.test"]));
    let rsa = ca.issue_rsa(&["two.test"]);
    let ecdsa = ca.issue(&["two.test"]);
    write(files.path(), "default.crt", &default.chain);
    write(files.path(), "default.key", &default.key);
    let pair = |issued: &Issued, name: &str| json!({"cert": issued.chain, "key": issued.key, "snis": [{"name": name}]});
    let mut two = pair(&ecdsa, "two.test");
    (two["cert_alt"], two["key_alt"]) = (rsa.chain.as_str().into(), rsa.key.as_str().into());
    let yaml = with_version(json!({
        "services": [service(&upstream)],
        "certificates": [pair(&exact, "a.test"), pair(&wild, "*.a.test"), pair(&right, "right.*"), two],
    }));
    let path = |name: &str| files.path().join(name).to_string_lossy().into_owned();
    let (cert, key) = (path("default.crt"), path("default.key"));
    let gateway = Postern::gateway(&yaml, &[("ssl_cert", &cert), ("ssl_cert_key", &key)]).await;

    for (name, expected) in [
        ("a.test", &exact),
        ("A.test", &exact),
        ("x.a.test", &wild),
        ("right.org", &right),
        ("nobody.test", &default),
        ("", &default),
    ] {
        let shown = Way::https(gateway.https, name).open().await.expect("a handshake").certificates;
        assert!(shown.first() == Some(&der(expected)), "{name:?}");
    }
    let only = |schemes: &[SignatureScheme]| Way {
        schemes: schemes.to_vec(),
        ..Way::https(gateway.https, "two.test")
    };
    let old = only(&[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]);
    assert!(old.open().await.expect("a handshake").certificates[0] == der(&rsa), "for old clients");
    let new = only(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
    assert!(new.open().await.expect("a handshake").certificates[0] == der(&ecdsa), "for new clients");
    let any = Way::https(gateway.https, "two.test").open().await.expect("a handshake");
    assert!(any.certificates[0] == der(&ecdsa), "the cheaper one");
    assert_eq!(any.alpn.as_deref(), Some("http/1.1"));
    let two = Way::https2(gateway.https, "a.test").open().await.expect("a handshake");
    assert_eq!(two.alpn.as_deref(), Some("h2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_changes_in_place() {
    let (ca, upstream, files) =
        (Ca::new("a root"), Recorder::start().await, TempDir::new().expect("a directory"));
    let (first, second) = (ca.issue(&["a.test"]), ca.issue(&["a.test"]));
    let other = ca.issue(&["other.test"]);
    write(files.path(), "crt", &first.chain);
    write(files.path(), "key", &first.key);
    let yaml = with_version(json!({
        "vaults": [{"name": "fs", "prefix": "files", "config": {"prefix": files.path()}}],
        "services": [service(&upstream)],
        "certificates": [
            {"cert": "{vault://files/crt}", "key": "{vault://files/key}", "snis": [{"name": "a.test"}]},
            {"cert": "{vault://files/late}", "key": "{vault://files/late-key}", "snis": [{"name": "late.test"}]},
            {"cert": other.chain, "key": other.key, "snis": [{"name": "other.test"}]},
        ],
    }));
    let gateway = Postern::gateway(&yaml, &[]).await;
    let shown = async |name: &str| {
        Way::https(gateway.https, name).open().await.ok().map(|open| open.certificates[0].clone())
    };
    let mut old = Way::https2(gateway.https, "a.test").open().await.expect("a handshake");
    assert!(old.certificates[0] == der(&first));
    assert!(shown("late.test").await.is_none(), "a certificate without a value is not replaced by another");
    assert!(shown("other.test").await == Some(der(&other)), "other names are served");

    // One file after the other, as happens: in between they do not belong together, and the old ones serve.
    write(files.path(), "crt", &second.chain);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(shown("a.test").await == Some(der(&first)), "half a change is none");
    write(files.path(), "key", &second.key);
    becomes("the new certificate is shown", async || shown("a.test").await == Some(der(&second))).await;
    assert_eq!(old.ask(get("a.test", "/")).await.expect("the old connection lives").status, 200);

    write(files.path(), "late", &other.chain);
    write(files.path(), "late-key", "-----BEGIN PRIVATE KEY-----\ngarbage\n-----END PRIVATE KEY-----\n");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(shown("late.test").await.is_none(), "garbage is no key");
    assert!(!gateway.log().contains("garbage"), "{}", gateway.log());
    write(files.path(), "late-key", &other.key);
    becomes("the late certificate is shown", async || shown("late.test").await == Some(der(&other))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstreams_are_checked_and_shown_who_asks() {
    const ROOT: &str = "11111111-1111-4111-8111-111111111111";
    const WRONG: &str = "22222222-2222-4222-8222-222222222222";
    const CLIENT: &str = "33333333-3333-4333-8333-333333333333";
    let (root, wrong, clients) = (Ca::new("a root"), Ca::new("another root"), Ca::new("clients' root"));
    let deep = root.intermediate("one").intermediate("two");
    let client = clients.issue_client("the gateway");
    let plain = Recorder::tls(&root.issue(&["127.0.0.1"]), None).await;
    let named = Recorder::tls(&root.issue(&["elsewhere.test"]), None).await;
    let chained = Recorder::tls(&deep.issue(&["127.0.0.1"]), None).await;
    let mutual = Recorder::tls(&root.issue(&["127.0.0.1"]), Some(clients.pem())).await;
    let to = |name: &str, upstream: &Recorder, more: Value| {
        let mut service = json!({
            "name": name, "url": format!("https://127.0.0.1:{}", upstream.port()), "retries": 0,
            "routes": [{"name": name, "paths": [format!("~/{name}$")]}],
        });
        service.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        service
    };
    let yaml = with_version(json!({
        "ca_certificates": [{"id": ROOT, "cert": root.pem()}, {"id": WRONG, "cert": wrong.pem()}],
        "certificates": [{"id": CLIENT, "cert": client.chain, "key": client.key}],
        "services": [
            to("unchecked", &plain, json!({"tls_verify": false})),
            to("by-default", &plain, json!({})),
            to("right", &plain, json!({"tls_verify": true, "ca_certificates": [ROOT]})),
            to("both", &plain, json!({"tls_verify": true, "ca_certificates": [WRONG, ROOT]})),
            to("wrong", &plain, json!({"tls_verify": true, "ca_certificates": [WRONG]})),
            to("unknown", &plain, json!({"tls_verify": true})),
            to("name", &named, json!({"tls_verify": true, "ca_certificates": [ROOT]})),
            to("deep", &chained, json!({"tls_verify": true, "ca_certificates": [ROOT]})),
            to("too-deep", &chained, json!({"tls_verify": true, "ca_certificates": [ROOT], "tls_verify_depth": 1})),
            to("deep-enough", &chained, json!({"tls_verify": true, "ca_certificates": [ROOT], "tls_verify_depth": 2})),
            to("mutual", &mutual, json!({"client_certificate": CLIENT})),
            to("nobody", &mutual, json!({})),
        ],
    }));
    let gateway = Postern::gateway(&yaml, &[]).await;
    for (name, status) in [
        ("unchecked", 200),
        ("by-default", 200),
        ("right", 200),
        ("both", 200),
        ("wrong", 502),
        ("unknown", 502),
        ("name", 502),
        ("deep", 200),
        ("too-deep", 502),
        ("deep-enough", 200),
        ("mutual", 200),
        ("nobody", 502),
    ] {
        let got =
            Way::http(gateway.http).ask(get("localhost", &format!("/{name}"))).await.expect("an answer");
        assert_eq!(got.status, status, "{name}: {}\n{}", got.text(), gateway.log());
    }
    let seen = mutual.take().pop().expect("a request");
    assert!(seen.certificates.first() == Some(&der(&client)), "the gateway showed its certificate");
}

/// Two services on one address and port, told apart by their server names only: neither is asked over a connection that
/// was made and verified for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_serves_the_name_that_it_was_made_for() {
    const ROOT: &str = "11111111-1111-4111-8111-111111111111";
    let (root, dns) = (Ca::new("a root"), Dns::start().await);
    let (a, b) = (root.issue(&["a.example"]), root.issue(&["b.example"]));
    // One that has a certificate for each name, and one that has only the first.
    let both = Recorder::by_name(&[("a.example", &a), ("b.example", &b)]).await;
    let first = Recorder::by_name(&[("a.example", &a)]).await;
    let to = |name: &str, protocol: &str, host: &str, upstream: &Recorder| {
        let grpc = protocol == "grpcs";
        let protocols = if grpc { json!(["grpc", "grpcs"]) } else { json!(["http", "https"]) };
        json!({
            "name": name, "url": format!("{protocol}://{host}:{}", upstream.port()), "retries": 0,
            "tls_verify": true, "ca_certificates": [ROOT],
            "routes": [{"name": name, "paths": [format!("/{name}")], "protocols": protocols}],
        })
    };
    let mut services = Vec::new();
    for protocol in ["https", "grpcs"] {
        for (kind, upstream) in [("both", &both), ("first", &first)] {
            for host in ["a", "b"] {
                let name = format!("{kind}-{protocol}-{host}");
                services.push(to(&name, protocol, &format!("{host}.example"), upstream));
            }
        }
    }
    let yaml =
        with_version(json!({"ca_certificates": [{"id": ROOT, "cert": root.pem()}], "services": services}));
    let resolver = dns.address().to_string();
    let gateway = Postern::gateway(&yaml, &[("dns_resolver", &resolver)]).await;
    let ask = async |name: &str| {
        let (way, headers) = match name.contains("grpcs") {
            true => (Way::h2c(gateway.h2c), &[("content-type", "application/grpc"), ("te", "trailers")][..]),
            false => (Way::http(gateway.http), &[][..]),
        };
        let got = way.ask(request("POST", "localhost", &format!("/{name}"), headers, "")).await;
        got.unwrap_or_else(|error| panic!("{name}: {error}\n{}", gateway.log())).status
    };
    for protocol in ["https", "grpcs"] {
        // Each twice, so that there are kept connections of both.
        for host in ["a", "b", "a", "b"] {
            assert_eq!(ask(&format!("both-{protocol}-{host}")).await, 200, "{protocol} {host}");
        }
        let seen = both.take();
        let names: Vec<_> = seen.iter().map(|seen| seen.sni.as_deref()).collect();
        assert_eq!(names, [Some("a.example"), Some("b.example")].repeat(2), "{protocol}");
        let connections: Vec<_> = seen.iter().map(|seen| seen.connection).collect();
        assert_eq!(connections[..2], connections[2..], "kept connections are used, {protocol}");

        // Before there is a kept connection, while there is one, and again.
        for (host, status) in [("b", 502), ("a", 200), ("b", 502), ("a", 200), ("b", 502)] {
            assert_eq!(ask(&format!("first-{protocol}-{host}")).await, status, "{protocol} {host}");
        }
        assert!(first.take().iter().all(|seen| seen.sni.as_deref() == Some("a.example")), "{protocol}");
    }
}

/// The name that is sent, and that the certificate must have, is that of the `Host` that is sent: an upstream's
/// `host_header`, the client's with `preserve_host`, or what a plugin wrote; also where the target is an address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_that_is_sent_is_the_name_that_is_verified() {
    const ROOT: &str = "11111111-1111-4111-8111-111111111111";
    let root = Ca::new("a root");
    let (a, b) = (root.issue(&["a.example"]), root.issue(&["b.example"]));
    let upstream = Recorder::by_name(&[("a.example", &a), ("b.example", &b)]).await;
    let plain = Recorder::tls(&root.issue(&["127.0.0.1"]), None).await;
    let to = |name: &str, preserve: bool, plugins: Value| {
        json!({
            "name": name, "host": name, "protocol": "https", "retries": 0,
            "tls_verify": true, "ca_certificates": [ROOT], "plugins": plugins,
            "routes": [{"name": name, "paths": [format!("/{name}")], "preserve_host": preserve}],
        })
    };
    let targets = |upstream: &Recorder| json!([{"target": format!("127.0.0.1:{}", upstream.port())}]);
    let writes = json!([{"name": "request-transformer", "config": {"add": {"headers": ["host:b.example"]},
        "replace": {"headers": ["host:b.example"]}}}]);
    let yaml = with_version(json!({
        "ca_certificates": [{"id": ROOT, "cert": root.pem()}],
        "upstreams": [
            {"name": "header", "host_header": "a.example", "targets": targets(&upstream)},
            {"name": "kept", "host_header": "a.example", "targets": targets(&upstream)},
            {"name": "written", "targets": targets(&upstream)},
            {"name": "address", "targets": targets(&plain)},
        ],
        "services": [
            to("header", false, json!([])), to("kept", true, json!([])), to("written", false, writes),
            to("address", false, json!([])),
        ],
    }));
    let gateway = Postern::gateway(&yaml, &[]).await;
    for (path, host, status, name) in [
        ("/header", "c.example", 200, Some("a.example")),
        ("/kept", "B.example:8443", 200, Some("b.example")),
        ("/kept", "a.example", 200, Some("a.example")),
        ("/kept", "c.example", 502, None),
        ("/kept", "b.example", 200, Some("b.example")),
        ("/written", "c.example", 200, Some("b.example")),
        ("/address", "c.example", 200, None),
    ] {
        let got = Way::http(gateway.http).ask(get(host, path)).await.expect("an answer");
        assert_eq!(got.status, status, "{path} {host}: {}\n{}", got.text(), gateway.log());
        let seen = upstream.take().into_iter().chain(plain.take()).next();
        assert_eq!(seen.and_then(|seen| seen.sni).as_deref(), name, "{path} {host}");
    }
}
