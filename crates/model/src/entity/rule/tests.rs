//! The rules as tables: what is fine, and what is not.

use super::*;
use crate::value::Text;

fn good(rule: fn(&Value) -> Result<(), String>, texts: &[&str]) {
    for text in texts {
        assert_eq!(rule(&Value::Text(Text::from(*text))), Ok(()), "{text:?}");
    }
}

fn bad(rule: fn(&Value) -> Result<(), String>, texts: &[&str]) {
    for text in texts {
        rule(&Value::Text(Text::from(*text))).expect_err(text);
    }
}

#[test]
fn hosts() {
    good(host, &["a", "a.b", "a_b.c-d", "10.0.0.1", "::1", "[::1]", "a.b.", "1.2.3"]);
    bad(host, &["", "a b", "a..b", "-a", "a:80", "[::1]:80", "*.a", "1.2.3.999", "a/b", "[::1", "é"]);
    good(host_or_wildcard, &["*.a", "a.*", "a.*:80", "*.a:80", "a:80", "[::1]:80", "10.0.0.1"]);
    bad(host_or_wildcard, &["*", "a*", "*a.b", "a.*.b", "*.*", "a:", "a:+1", "a:65536", "a:b"]);
    good(server_name, &["*", "*.a", "a.*", "a.b"]);
    bad(server_name, &["a:443", "10.0.0.1", "::1", "a.*.b", ""]);
    good(target, &["a", "a:80", "10.0.0.1:80", "[::1]:80", "::1"]);
    bad(target, &["", ":80", "a:", "a:x", "a:80:80", "http://a"]);
}

#[test]
fn paths() {
    good(fixed_path, &["/", "/a", "/a/b/", "/a%20b", "/é", "/a;b=c,d"]);
    bad(fixed_path, &["", "a", "//", "/a//b", "/%", "/%2", "/%g0", "/a b", "/a?b", "/a#b", "/a\\b"]);
    good(path_or_regex, &["/a", "~/a", "~/a/(?<x>[^/]+)$", "~/\\p{L}"]);
    bad(path_or_regex, &["~", "~a", "a", "~/(", "~/a{2,1}", "~/(?=a)", "/a b"]);
    bad(path_or_regex, &[&format!("~/{}", "a".repeat(9000)), &format!("~/{}", "(".repeat(5000))]);
    assert!(looks_like_regex("/a+") && looks_like_regex("/(a)") && !looks_like_regex("/a-b_c.d~e%20"));
}

#[test]
fn pem_texts() {
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    good(
        certificate,
        &[&pem("CERTIFICATE"), &format!("  about it\n{}{}", pem("CERTIFICATE"), pem("CERTIFICATE"))],
    );
    bad(
        certificate,
        &["", "x", &pem("PRIVATE KEY"), "-----BEGIN CERTIFICATE-----\nAAAA", "-----END CERTIFICATE-----"],
    );
    bad(certificate, &["-----BEGIN CERTIFICATE-----\nA!\n-----END CERTIFICATE-----"]);
    bad(one_certificate, &[&pem("CERTIFICATE").repeat(2)]);
    good(private_key, &[&pem("PRIVATE KEY"), &pem("RSA PRIVATE KEY")]);
    good(private_key, &[&format!("{}{}", pem("EC PARAMETERS"), pem("EC PRIVATE KEY"))]);
    bad(private_key, &[&pem("ENCRYPTED PRIVATE KEY"), &pem("PUBLIC KEY"), &pem("PRIVATE KEY").repeat(2), ""]);
    good(public_key, &[&pem("PUBLIC KEY")]);
    bad(public_key, &[&pem("PRIVATE KEY")]);
    good(jwk, &[r#"{"kty": "oct", "k": "x"}"#]);
    bad(jwk, &["", "{}", "[]", "{\"kty\":"]);
}

#[test]
fn words() {
    good(name, &["a", "a.b-c_d~e", "é"]);
    bad(name, &["a b", "a/b", "a:b"]);
    good(method, &["GET", "PROPFIND"]);
    bad(method, &["", "get", "G-T", "GET "]);
    good(route_header, &["x-a", "X_B"]);
    bad(route_header, &["", "Host", "hOST", "x y", "é"]);
    good(token, &["a", "a-b.c"]);
    bad(token, &["", "a b", "a;b", "a=b"]);
}
