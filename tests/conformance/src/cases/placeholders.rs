//! What `${NAME}` in a case stands for: addresses and credentials that are new in each run.

use std::collections::BTreeMap;

/// Names and values that `${NAME}` in a case stands for.
pub(super) type Placeholders = BTreeMap<&'static str, String>;

pub(super) fn fill_all(texts: &[String], known: &Placeholders) -> Result<Vec<String>, String> {
    texts.iter().map(|text| fill(text, known)).collect()
}

/// Replaces each `${NAME}`. `{vault://...}` and `${{ env }}` are not placeholders and stay.
pub(super) fn fill(text: &str, known: &Placeholders) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let (name, behind) = match after.split_once('}') {
            Some((name, behind)) if !name.starts_with('{') => (name, behind),
            _ => {
                filled.push_str("${");
                rest = after;
                continue;
            }
        };
        filled.push_str(known.get(name).ok_or_else(|| format!("nothing here is called ${{{name}}}"))?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

pub(super) fn vault_placeholders(known: &mut Placeholders, addr: &str, token: &str) {
    let (protocol, rest) = addr.split_once("://").unwrap_or(("http", addr));
    let (host, port) = rest.trim_end_matches('/').rsplit_once(':').unwrap_or((rest, ""));
    known.insert("VAULT_ADDR", addr.to_owned());
    known.insert("VAULT_PROTOCOL", protocol.to_owned());
    known.insert("VAULT_HOST", host.to_owned());
    known.insert("VAULT_PORT", port.to_owned());
    known.insert("VAULT_TOKEN", token.to_owned());
}

pub(super) fn idp_placeholders(
    known: &mut Placeholders,
    issuer: &str,
    token: &str,
    jwks: &str,
    audience: &str,
) {
    let domain = issuer.split_once("://").map_or(issuer, |(_, rest)| rest).trim_end_matches('/');
    known.insert("IDP_DOMAIN", domain.to_owned());
    known.insert("IDP_ISSUER", issuer.to_owned());
    known.insert("TOKEN_ENDPOINT", token.to_owned());
    known.insert("JWKS_URL", jwks.to_owned());
    known.insert("AUDIENCE", audience.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_placeholders_and_nothing_else() {
        let known = Placeholders::from([("PORT", "8200".to_owned())]);
        let text = "port: ${PORT}, ${{ env \"DECK_X\" }}, {vault://a/b}, $PORT";
        let filled = "port: 8200, ${{ env \"DECK_X\" }}, {vault://a/b}, $PORT";
        assert_eq!(fill(text, &known).as_deref(), Ok(filled));
        assert!(fill("${PROT}", &known).is_err());
    }
}
