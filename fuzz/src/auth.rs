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
