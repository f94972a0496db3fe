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

/// `openssl x509 -req` without extensions makes version 1.
const VERSION_1: (&str, &str) = (
    "-----BEGIN CERTIFICATE-----\nMIIBHzCBxwIUCZGU5TXsma8nsIwhvPp3JV22E94wCgYIKoZIzj0EAwIwEjEQMA4G\nA1UEAwwHdjEudGVzdDAgFw0yNjEyMDExNTQzMzdaGA8yMTI2MTEwNzE1NDMzN1ow\nEjEQMA4GA1UEAwwHdjEudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBIu\ntr6HHrkynlT94TxtlbrWIcXq0e1+DB8MHeY/MYbeuEGgl7qIEjsc6RYchHNJ5OFr\nsuvNzenaJmAIVqK4yK4wCgYIKoZIzj0EAwIDRwAwRAIgaVwXph6vvslVvtbOvJpG\nWGkgOPicZUDblQjmTbVHWg4CIDS31PFv9Umib1u5JUG8YD7YVkI3JR8d/YWriBSl\nFBQS\n-----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0poZxLoAXOYwTXje\nz5u7nTMYMQQiSOAnxS1cZW6nicmhRANCAAQSLra+hx65Mp5U/eE8bZW61iHF6tHt\nfgwfDB3mPzGG3rhBoJe6iBI7HOkWHIRzSeTha7Lrzc3p2iZgCFaiuMiu\n-----END PRIVATE KEY-----\n",
);

/// RSA with 1024 bits.
const SMALL: (&str, &str) = (
    "-----BEGIN CERTIFICATE-----\nMIICCDCCAXGgAwIBAgIUR9ivPaLD7Y9DkWBoIMfhS3tkXEMwDQYJKoZIhvcNAQEL\nBQAwFTETMBEGA1UEAwwKc21hbGwudGVzdDAgFw0yNjEyMDExNTQzMzdaGA8yMTI2\nMTEwNzE1NDMzN1owFTETMBEGA1UEAwwKc21hbGwudGVzdDCBnzANBgkqhkiG9w0B\nAQEFAAOBjQAwgYkCgYEAqKC51wenIMMiVfxuXIGu1HKHWRjWh9gUrp1uV58m/rRa\nxzXSArauxMF7E6U0d+9uazGTeY7+FocLTkot23JOd/cunoMFNZ3M9GXrGXFZkcBD\nzobZ6aqqyJdcFYHZO14SIjXNtmkNS4/grk2yziLpgMll/tYTyYpDYNEqzSFKotsC\nAwEAAaNTMFEwHQYDVR0OBBYEFA7ZzuDzk/iW+yza9aNkHl9burutMB8GA1UdIwQY\nMBaAFA7ZzuDzk/iW+yza9aNkHl9burutMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZI\nhvcNAQELBQADgYEACPM1tCw3prjddVKB1jHcNt3SSnyFdF/FfiutpdNgdaUPTpEJ\nPi+439I+5TYIrzXw/Ucvh9m+7ofRVzaMqWW0Cf7TCT1ap8cMZPjDdQO7WhEaR1Ms\n4kKC8QoeYTmdDSvjOBV0VFBRLE658kdBocFddC41LAFJWpDUtsm/5kxVHDc=\n-----END CERTIFICATE-----\n",
    "-----BEGIN PRIVATE KEY-----\nMIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAKigudcHpyDDIlX8\nblyBrtRyh1kY1ofYFK6dblefJv60Wsc10gK2rsTBexOlNHfvbmsxk3mO/haHC05K\nLdtyTnf3Lp6DBTWdzPRl6xlxWZHAQ86G2emqqsiXXBWB2TteEiI1zbZpDUuP4K5N\nss4i6YDJZf7WE8mKQ2DRKs0hSqLbAgMBAAECgYBe+6GSWJIwJxoJGxZC7x0+N4C7\nk/0LKZCExtKnclMxtv9HJK61rpcE5wLfjvfd8rTclmE+YGgI4mpg3/GyoVFG4Usl\n0ijqQCyIoe6bzPcTEyWOGYBTUktJZkmOdJG/Uj0W/xR/5DU7jd4YzndHfopPOH5b\niJwApJs0EV6MH0Nm+QJBANqe+voekMNMf+MQCwMtXMXkxwLyiq1mE/r3/JW4QAOO\noBpn6y/xgODxOBjW58QBdxTtzMURmDmsJa+v4PIrJf0CQQDFdYySQ8wFXFNtvoyO\ntHZtduzWJCf/pI+mrsC3lsjv8y94XOA1wFDWWwJ5Sp86M5vPS+N85bIR6F75GehW\nJ9e3AkBJ5ULgGETGPq1biqiuQj8BhPrfvCuzwLUwN3JhCQ5aJXNoeYe9hNwTLHXR\nr5JXZkdiA58bXX8ev1ldsQ1PzdXhAkEAics8K53QNDV3qu/8WmGo+z6wi8dzejy2\nWlU8+2DoHDqSd+YoOJpaTxv3n/jpIM5+/qwwtin8l+6WyDLCJc1sBQJBAKFP/NVx\n0iADT2vn/zvyjZnuef1shq+cFm6XY0/pY8YPovDDQVG3oZPot/c3nTdiIcyMJrWG\nkjZMeN9jK+zswXU=\n-----END PRIVATE KEY-----\n",
);

#[test]
fn what_openssl_makes_is_taken_where_it_can_be_shown() {
    let pair = |cert: &str, key: &str| Pair::new(&entity((Text::from(cert), Text::from(key)), None));
    let (cert, key) = VERSION_1;
    pair(cert, key).unwrap();
    let (other_cert, other_key) = made(&PKCS_ECDSA_P256_SHA256);
    assert_eq!(pair(cert, &other_key).unwrap_err(), "cert: certificate does not match key");
    assert_eq!(pair(&other_cert, key).unwrap_err(), "cert: certificate does not match key");
    let small = pair(SMALL.0, SMALL.1).unwrap_err();
    assert!(small.contains("2048 bits"), "{small}");

    // All in one file, as some servers want it.
    let parameters = "-----BEGIN DH PARAMETERS-----\nMAYCAQ8CAQI=\n-----END DH PARAMETERS-----\n";
    let all = [other_cert.as_str(), other_key.as_str(), parameters].concat();
    pair(&all, &all).unwrap();
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
