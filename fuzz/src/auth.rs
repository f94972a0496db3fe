//! What clients show to say who they are. Owns: that reading it ends, and that nothing can be written in two ways that
//! would be signed as one.

/// The compact form of a token: what is read is written back to the same.
pub fn jwt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(written) = postern_plugins::fuzzing::jwt(text) {
        assert_eq!(written, text);
    }
}

/// The parameters of `hmac` in `Authorization`: none is empty that would make a signature cover nothing, and what they
/// are written as is read to the same.
pub fn hmac(data: &[u8]) {
    use base64::Engine;
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(read) = postern_plugins::fuzzing::hmac(text) else { return };
    let (username, algorithm, headers, signature) = &read;
    assert!(!username.is_empty() && !headers.is_empty() && !signature.is_empty());
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    let written = format!(
        r#"hmac signature="{signature}", headers="{}", username="{username}", algorithm="{algorithm}""#,
        headers.join(" ")
    );
    assert_eq!(
        postern_plugins::fuzzing::hmac(&written).as_ref(),
        Some(&read),
        "{text:?} written as {written:?}"
    );
}

/// `Authorization` with a name and a password, or with a token: what is read is written back to the same, and nobody is
/// nobody.
pub fn authorization(data: &[u8]) {
    use base64::Engine;
    let Ok(value) = http::HeaderValue::from_bytes(data) else { return };
    if let Some((name, password)) = postern_plugins::fuzzing::basic(&value) {
        assert!(!name.is_empty() && !name.contains(':'));
        let pair = [name.as_bytes(), b":", &password].concat();
        let written = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let written = http::HeaderValue::try_from(written).expect("base64 can stand in a header");
        assert_eq!(postern_plugins::fuzzing::basic(&written), Some((name, password)));
    }
    if let Some(token) = postern_plugins::fuzzing::bearer(&value) {
        assert!(!token.is_empty());
        let written = http::HeaderValue::try_from(format!("Bearer {token}")).expect("it stood in one");
        assert_eq!(postern_plugins::fuzzing::bearer(&written), Some(token));
    }
}
