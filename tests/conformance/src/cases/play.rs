//! One case: start its servers, fill in the placeholders, run, compare.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    format::{Case, Expect, Idp, Run, ServerKind},
    placeholders::{Placeholders, fill, fill_all, idp_placeholders, vault_placeholders},
};
use crate::{DevStack, OidcProvider, OpenBao, Outcome, Postern, TlsFiles, ca::Ca};

/// What became of one run, by the name that `skipped.yaml` may give.
pub(super) type Verdict = (String, Result<(), String>);

/// Plays a case on one of its servers: a verdict for each run.
pub(super) async fn play(case: &Case, server: ServerKind) -> Vec<Verdict> {
    let runs = runs(case, server);
    let played = play_all(case, server, &runs).await;
    match played {
        Ok(verdicts) => verdicts,
        // Nothing could be run; told once in full.
        Err(why) => {
            let reasons = std::iter::once(why).chain(std::iter::repeat("not run either".to_owned()));
            runs.into_iter().zip(reasons).map(|((name, _), why)| (name, Err(why))).collect()
        }
    }
}

/// The names under which the runs of a case are known, in their order.
pub(super) fn names(case: &Case) -> Vec<String> {
    let all = case.given.server.all().iter();
    all.flat_map(|server| runs(case, *server)).map(|(name, _)| name).collect()
}

fn runs(case: &Case, server: ServerKind) -> Vec<(String, Run)> {
    let on = if case.given.server.all().len() > 1 { format!(" ({})", server.name()) } else { String::new() };
    if case.runs.is_empty() {
        let run = Run { run: case.run.clone(), expect: case.expect.clone(), ..Run::default() };
        return vec![(format!("{}{on}", case.name), run)];
    }
    let named = case.runs.iter().map(|run| (format!("{}: {}{on}", case.name, run.name), run.clone()));
    named.collect()
}

async fn play_all(case: &Case, server: ServerKind, runs: &[(String, Run)]) -> Result<Vec<Verdict>, String> {
    let mut known = Placeholders::new();
    // Held until the end of the last run.
    let devstack = start_devstack(case, server, &mut known).await;
    let _oidc = start_oidc(case, &mut known).await;
    let (bao, ca_pem) = start_openbao(server, &mut known).await;
    let vault = Vault { bao: bao.as_ref(), devstack: devstack.as_ref() };
    let ca_pem = ca_pem.as_deref();

    let stage = directory(ca_pem, [&case.given.files], &mut known)?;
    prepare(&case.given.setup, &vault, &known).await?;
    if case.given.sealed {
        vault.seal().await?;
    }
    let mut verdicts = Vec::new();
    for (name, run) in runs {
        verdicts.push((name.clone(), play_run(case, run, &vault, ca_pem, known.clone()).await));
    }
    drop(stage);
    Ok(verdicts)
}

async fn play_run(
    case: &Case,
    run: &Run,
    vault: &Vault<'_>,
    ca_pem: Option<&str>,
    mut known: Placeholders,
) -> Result<(), String> {
    let mut postern = directory(ca_pem, [&case.given.files, &run.files], &mut known)?;
    prepare(&run.setup, vault, &known).await?;
    let mut environment = case.given.env.clone();
    environment.extend(run.env.clone());
    for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
        postern = postern.env(name, fill(value, &known)?);
    }
    let outcome = postern.args(fill_all(&run.run, &known)?).run().await;
    compare(&run.expect, &outcome, &known)
}

/// A new working directory with these files in it, where `${DIR}` points from now on.
fn directory<'a>(
    ca_pem: Option<&str>,
    files: impl IntoIterator<Item = &'a BTreeMap<String, String>>,
    known: &mut Placeholders,
) -> Result<Postern, String> {
    let mut postern = Postern::command();
    known.insert("DIR", postern.directory().display().to_string());
    if let Some(ca_pem) = ca_pem {
        postern = postern.file("ca.pem", ca_pem);
        known.insert("CA_FILE", postern.directory().join("ca.pem").display().to_string());
        known.insert("CA_PEM", ca_pem.to_owned());
        known.insert("CA_BASE64", STANDARD.encode(ca_pem));
    }
    for (name, content) in files.into_iter().flatten() {
        postern = postern.file(name, fill(content, known)?);
    }
    Ok(postern)
}

/// The vault of a case, ready for command lines.
struct Vault<'a> {
    bao: Option<&'a OpenBao>,
    devstack: Option<&'a DevStack>,
}

impl Vault<'_> {
    async fn cli(&self, line: &[String]) -> Result<Outcome, String> {
        match (self.bao, self.devstack) {
            (Some(bao), _) => Ok(bao.cli(line).await),
            (None, Some(stack)) => Ok(stack.cli(line).await),
            (None, None) => Err("a setup needs a server".into()),
        }
    }

    async fn seal(&self) -> Result<(), String> {
        let outcome = self.cli(&["operator".to_owned(), "seal".to_owned()]).await?;
        if outcome.code == 0 { Ok(()) } else { Err(format!("sealing failed: {outcome}")) }
    }
}

async fn start_devstack(case: &Case, server: ServerKind, known: &mut Placeholders) -> Option<DevStack> {
    let wanted = server == ServerKind::Devstack || case.given.idp == Idp::Devstack;
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

async fn start_openbao(server: ServerKind, known: &mut Placeholders) -> (Option<OpenBao>, Option<String>) {
    let (bao, ca_pem) = match server {
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

async fn prepare(setup: &[Vec<String>], vault: &Vault<'_>, known: &Placeholders) -> Result<(), String> {
    for line in setup {
        let line = fill_all(line, known)?;
        let outcome = vault.cli(&line).await?;
        if outcome.code != 0 {
            return Err(format!("setup {line:?} failed: {outcome}"));
        }
    }
    Ok(())
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
