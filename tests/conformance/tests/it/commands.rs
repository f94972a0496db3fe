//! `postern vault get` as the tests below ask for it: the default vault, configured by the environment.

use postern_conformance::Postern;

/// The reference that all of these resolve.
pub(crate) const REFERENCE: &str = "{vault://hcv/password/pass}";
/// The token of [`by_token`].
pub(crate) const TOKEN: &str = "canary-vault-token-5f1d";
/// The client secret of [`by_oauth2`].
pub(crate) const CLIENT_SECRET: &str = "canary-client-secret-83ba";

/// The default vault on this port, and a client token.
pub(crate) fn by_token(port: u16) -> Postern {
    vault(port).env("KONG_VAULT_HCV_TOKEN", TOKEN)
}

/// The default vault on this port, and the client-credentials grant at this endpoint.
pub(crate) fn by_oauth2(port: u16, endpoint: &str) -> Postern {
    vault(port)
        .env("KONG_VAULT_HCV_AUTH_METHOD", "oauth2")
        .env("KONG_VAULT_HCV_OAUTH2_ROLE_NAME", "demo")
        .env("KONG_VAULT_HCV_OAUTH2_TOKEN_ENDPOINT", endpoint)
        .env("KONG_VAULT_HCV_OAUTH2_CLIENT_ID", "the-client")
        .env("KONG_VAULT_HCV_OAUTH2_CLIENT_SECRET", CLIENT_SECRET)
        .env("KONG_VAULT_HCV_OAUTH2_AUDIENCES", "https://postern.test/api/v2/")
}

fn vault(port: u16) -> Postern {
    Postern::command()
        .args(["vault", "get", REFERENCE])
        .env("KONG_VAULT_HCV_PORT", port.to_string())
        .env("KONG_VAULT_HCV_KV", "v2")
}
