//! Certificates: pairs, choices, refusals.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::SignatureAlgorithm as Kind;

use super::*;

/// A certificate that signed itself, and its key, as PEM.
fn made(algorithm: &'static SignatureAlgorithm) -> (Text, Text) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap();
    (Text::from(cert.pem().as_str()), Text::from(key.serialize_pem().as_str()))
}

fn entity(first: (Text, Text), second: Option<(Text, Text)>) -> Certificate {
    let (cert_alt, key_alt) = second.unzip();
    Certificate { cert: first.0, key: first.1, cert_alt, key_alt }
}

#[test]
fn what_is_no_pair_is_told_without_what_it_says() {
    let (cert, key) = made(&PKCS_ECDSA_P256_SHA256);
    let (other_cert, other_key) = made(&PKCS_RSA_SHA256);
    let broken = Text::from("-----BEGIN CERTIFICATE-----\n?secret?\n-----END CERTIFICATE-----\n");
    let (text, nothing) = (Text::from("secret"), Text::from(""));
    let cases = [
        (&cert, &other_key, "cert: certificate does not match key"),
        (&cert, &text, "cert: there is no private key in PEM form"),
        (&cert, &nothing, "cert: there is no private key in PEM form"),
        (&cert, &cert, "cert: there is no private key in PEM form"),
        (&text, &key, "cert: there is no certificate in PEM form"),
        (&key, &key, "cert: there is no certificate in PEM form"),
        (&broken, &key, "cert: not a certificate in PEM form"),
    ];
    for (cert, key, expected) in cases {
        let got = Pair::new(&entity((cert.clone(), key.clone()), None)).unwrap_err();
        assert_eq!(got, expected);
    }
    let second = entity((cert.clone(), key.clone()), Some((other_cert, key.clone())));
    assert_eq!(Pair::new(&second).unwrap_err(), "cert_alt: certificate does not match key");
    Pair::new(&entity((cert, key), None)).unwrap();
}

#[test]
fn the_key_that_the_client_can_check_is_chosen() {
    use SignatureScheme as Scheme;
    let (rsa, ecdsa) = (made(&PKCS_RSA_SHA256), made(&PKCS_ECDSA_P256_SHA256));
    let old = &[Scheme::RSA_PSS_SHA256, Scheme::RSA_PKCS1_SHA256][..];
    let new = &[Scheme::ECDSA_NISTP256_SHA256][..];
    let both = &[Scheme::RSA_PSS_SHA256, Scheme::ECDSA_NISTP256_SHA256][..];
    let none = &[Scheme::ED448][..];
    let cases = [
        (&rsa, None, [Kind::RSA; 4]),
        (&ecdsa, None, [Kind::ECDSA; 4]),
        // For old clients, for new ones, for those who take both (the cheaper one), for those who take neither.
        (&rsa, Some(&ecdsa), [Kind::RSA, Kind::ECDSA, Kind::ECDSA, Kind::RSA]),
        (&ecdsa, Some(&rsa), [Kind::RSA, Kind::ECDSA, Kind::ECDSA, Kind::ECDSA]),
    ];
    for (first, second, expected) in cases {
        let pair = Pair::new(&entity(first.clone(), second.cloned())).unwrap();
        let chosen = [old, new, both, none].map(|schemes| pair.choose(schemes).key.algorithm());
        assert_eq!(chosen, expected);
    }
}

#[test]
fn which_certificate_a_name_gets() {
    let names = ["a.test", "*.a.test", "a.*", "*.b.test", "b.*"];
    let cells: HashMap<String, Cell<Pair>> = names
        .iter()
        .map(|name| {
            let pair = Pair::new(&entity(made(&PKCS_ED25519), None)).unwrap();
            ((*name).to_owned(), Cell::Fixed(Arc::new(pair)))
        })
        .collect();
    let which = |certificates: &Certificates, name: &str| {
        let found = certificates.find(name)?.load()?;
        let known = certificates.by_name.iter();
        known
            .filter(|(_, cell)| Arc::ptr_eq(&cell.load().unwrap(), &found))
            .map(|(name, _)| name.clone())
            .next()
    };
    let mut certificates = Certificates::new(cells);
    for (name, expected) in [
        ("a.test", Some("a.test")),
        ("x.a.test", Some("*.a.test")),
        ("x.y.a.test", None),
        ("a.org", Some("a.*")),
        ("b.test", Some("b.*")),
        ("x.b.test", Some("*.b.test")),
        // The left end is open before the right one.
        ("test", None),
        ("c.test", None),
        ("", None),
    ] {
        assert_eq!(which(&certificates, name).as_deref(), expected, "{name}");
    }
    let any = Pair::new(&entity(made(&PKCS_ED25519), None)).unwrap();
    certificates.by_name.insert("*".to_owned(), Cell::Fixed(Arc::new(any)));
    for (name, expected) in [("a.test", "a.test"), ("c.test", "*"), ("", "*")] {
        assert_eq!(which(&certificates, name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn how_upstreams_are_spoken_to() {
    let system = RootCertStore::empty();
    let (cert, key) = made(&PKCS_ECDSA_P256_SHA256);
    let shown = entity((cert.clone(), key), None);
    let (_, other_key) = made(&PKCS_RSA_SHA256);
    let wrong = entity((cert.clone(), other_key), None);
    let text = Text::from("secret");
    for http2 in [false, true] {
        let config = client(&ClientTls { http2, ..ClientTls::default() }, &system).unwrap();
        assert_eq!(config.alpn_protocols, [if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }]);
        assert!(!config.client_auth_cert_resolver.has_certs());
    }
    let shows = client(&ClientTls { certificate: Some(&shown), ..ClientTls::default() }, &system).unwrap();
    assert!(shows.client_auth_cert_resolver.has_certs());
    let checked = ClientTls { verify: true, authorities: vec![&cert], ..ClientTls::default() };
    client(&checked, &system).unwrap();
    let refused = [
        ClientTls { certificate: Some(&wrong), ..ClientTls::default() },
        ClientTls { verify: true, authorities: vec![&text], ..ClientTls::default() },
        // Nobody is trusted.
        ClientTls { verify: true, ..ClientTls::default() },
    ];
    for tls in refused {
        let error = client(&tls, &system).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
