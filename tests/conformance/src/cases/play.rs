//! One case: start its servers, fill in the placeholders, run, compare.

use super::{
    format::{Case, Expect, Idp, ServerKind},
    placeholders::{Placeholders, fill, fill_all, idp_placeholders, vault_placeholders},
};
use crate::{DevStack, OidcProvider, OpenBao, Outcome, Postern, TlsFiles, ca::Ca};

/// Plays a case.
///
/// # Errors
/// What differed, or what in the case itself is wrong.
pub(super) async fn play(case: &Case) -> Result<(), String> {
    let mut known = Placeholders::new();
    let mut postern = Postern::command();
    known.insert("DIR", postern.directory().display().to_string());

    // Held until the end of the run.
    let devstack = start_devstack(case, &mut known).await;
    let oidc = start_oidc(case, &mut known).await;
    let (bao, ca_pem) = start_openbao(case, &mut known).await;
    if let Some(ca_pem) = ca_pem {
        postern = postern.file("ca.pem", &ca_pem);
        known.insert("CA_FILE", postern.directory().join("ca.pem").display().to_string());
        known.insert("CA_PEM", ca_pem);
    }
    prepare(case, &known, devstack.as_ref(), bao.as_ref()).await?;

    for (name, value) in &case.given.env {
        postern = postern.env(name, fill(value, &known)?);
    }
    for (name, content) in &case.given.files {
        postern = postern.file(name, fill(content, &known)?);
    }
    let postern = postern.args(fill_all(&case.run, &known)?);
    let outcome = postern.run().await;
    drop((devstack, oidc, bao));
    compare(&case.expect, &outcome, &known)
}

async fn start_devstack(case: &Case, known: &mut Placeholders) -> Option<DevStack> {
    let wanted = case.given.server == ServerKind::Devstack || case.given.idp == Idp::Devstack;
    if !wanted {
        return None;
    }
    let stack = DevStack::start().await;
    let info = stack.info.clone();
    vault_placeholders(known, &info.vault_addr, &info.root_token);
    idp_placeholders(known, &info.issuer, &info.token_endpoint, &info.jwks_url, &info.audience);
    known.insert("CLIENT_ID", info.client_id.clone());
    known.insert("CLIENT_SECRET", info.client_secret);
    known.insert("SUBJECT", format!("{}@clients", info.client_id));
    Some(stack)
}

async fn start_oidc(case: &Case, known: &mut Placeholders) -> Option<OidcProvider> {
    if case.given.idp != Idp::OidcProvider {
        return None;
    }
    let idp = OidcProvider::start().await;
    idp_placeholders(known, idp.issuer(), idp.token_endpoint(), idp.jwks_url(), idp.audience());
    known.insert("CLIENT_ID", idp.client_id().to_owned());
    known.insert("CLIENT_SECRET", idp.client_secret().to_owned());
    known.insert("SUBJECT", idp.client_id().to_owned());
    Some(idp)
}

async fn start_openbao(case: &Case, known: &mut Placeholders) -> (Option<OpenBao>, Option<String>) {
    let (bao, ca_pem) = match case.given.server {
        ServerKind::OpenbaoDev => (OpenBao::dev().await, None),
        ServerKind::OpenbaoTls => {
            let ca = Ca::new("Conformance Root CA");
            let server = ca.issue(&["localhost", "127.0.0.1"]);
            let bao = OpenBao::tls(TlsFiles { cert: server.chain, key: server.key }).await;
            (bao, Some(ca.pem().to_owned()))
        }
        ServerKind::None | ServerKind::Devstack => return (None, None),
    };
    vault_placeholders(known, &bao.addr(), bao.root_token());
    (Some(bao), ca_pem)
}

async fn prepare(
    case: &Case,
    known: &Placeholders,
    devstack: Option<&DevStack>,
    bao: Option<&OpenBao>,
) -> Result<(), String> {
    for line in &case.given.setup {
        let line = fill_all(line, known)?;
        let outcome = match (bao, devstack) {
            (Some(bao), _) => bao.cli(&line).await,
            (None, Some(stack)) => stack.cli(&line).await,
            (None, None) => return Err("a setup needs a server".into()),
        };
        if outcome.code != 0 {
            return Err(format!("setup {line:?} failed: {outcome}"));
        }
    }
    match (case.given.sealed, bao, devstack) {
        (false, ..) => Ok(()),
        (true, Some(bao), _) => {
            bao.seal().await;
            Ok(())
        }
        (true, None, Some(stack)) => {
            stack.cli(&["operator", "seal"]).await.ok();
            Ok(())
        }
        (true, None, None) => Err("`sealed` needs a server".into()),
    }
}

fn compare(expect: &Expect, outcome: &Outcome, known: &Placeholders) -> Result<(), String> {
    let mut wrong = Vec::new();
    if outcome.code != expect.code {
        wrong.push(format!("exit code {} instead of {}", outcome.code, expect.code));
    }
    let streams = [
        ("stdout", &outcome.stdout, &expect.stdout, &expect.stdout_contains, &expect.stdout_absent),
        ("stderr", &outcome.stderr, &expect.stderr, &expect.stderr_contains, &expect.stderr_absent),
    ];
    for (name, text, whole, contains, absent) in streams {
        if let Some(whole) = whole
            && *text != fill(whole, known)?
        {
            wrong.push(format!("{name} is not {whole:?}"));
        }
        for wanted in fill_all(contains, known)? {
            if !text.contains(&wanted) {
                wrong.push(format!("{name} lacks {wanted:?}"));
            }
        }
        for unwanted in fill_all(absent, known)? {
            if text.contains(&unwanted) {
                wrong.push(format!("{name} must not have {unwanted:?}"));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}\n{outcome}", wrong.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_told() {
        let outcome = Outcome { code: 1, stderr: "Error: sealed".into(), ..Outcome::default() };
        let expect = Expect {
            code: 0,
            stdout: Some("mypassword\n".into()),
            stderr_contains: vec!["503".into()],
            stderr_absent: vec!["sealed".into()],
            ..Expect::default()
        };
        let wrong = compare(&expect, &outcome, &Placeholders::new()).expect_err("four differences");
        for part in ["exit code 1 instead of 0", "stdout is not", "lacks \"503\"", "must not have \"sealed\""]
        {
            assert!(wrong.contains(part), "{part:?} is not in {wrong}");
        }
    }
}
