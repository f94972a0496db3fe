//! What each fault does, and what ends it. Must not know: what is promised meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use super::cell::{Cell, idp_is_up};
use super::fault::{DENIED, Fault, SECRETS};
use super::login::{Login, Tokens};
use super::proxy::{Face, Way, acceptor};
use super::site::Site;

/// Begins what is done once, to the server that all these cells share.
pub(crate) async fn begin_site(fault: Fault, site: &Site) {
    match fault {
        Fault::Killed => site.bao.write().await.kill().await,
        Fault::Sealed => site.bao.read().await.seal().await,
        Fault::Stopped => site.bao.read().await.stop(),
        Fault::ClockJump => {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(3600)).await;
            tokio::time::resume();
        }
        _ => {}
    }
}

/// Ends it; the server answers when this returns.
pub(crate) async fn end_site(fault: Fault, site: &Site) {
    match fault {
        Fault::Killed => site.bao.write().await.restart().await,
        Fault::Sealed => {
            let bao = site.bao.read().await;
            bao.unseal().await;
            bao.active().await;
        }
        Fault::Stopped => site.bao.read().await.go_on(),
        _ => {}
    }
}

/// Begins what is done to each cell.
pub(crate) async fn begin(cell: &mut Cell) {
    match cell.fault {
        Fault::PolicyWithdrawn => cell.deny(0..SECRETS).await,
        Fault::SomeDenied => cell.deny(0..DENIED).await,
        Fault::Revoked => revoke(cell).await,
        Fault::LeasesRevoked => {
            let path = format!("sys/leases/revoke-prefix/{}", cell.login.path(&cell.name));
            cell.site.admin("PUT", &path, json!({"sync": true})).await;
        }
        Fault::Slow => cell.vault.set(Way::Slow(Duration::from_millis(300))).await,
        Fault::TooMany => {
            let seconds = cell.fault.retry_after().map(|pause| pause.as_secs());
            cell.vault.set(Way::Status(429, seconds)).await;
        }
        Fault::ServerError => cell.vault.set(Way::Status(500, None)).await,
        Fault::Reset => cell.vault.set(Way::Reset).await,
        Fault::Drip => cell.vault.set(Way::Drip).await,
        Fault::Garbage => cell.vault.set(Way::Garbage).await,
        Fault::Refused => cell.vault.set(Way::Closed).await,
        Fault::NoSuchHost => trusting(cell, "host", "vault.invalid".into()),
        Fault::OtherCa | Fault::CaRotated => {
            cell.vault.show(Face::Tls(acceptor(&cell.site.around.shown_by_another()))).await;
        }
        Fault::IdpDown | Fault::IdpDownAtEnd => idp_is_up(cell, false).await,
        Fault::IdpKeysRotated => {
            let idp = cell.own_idp.as_ref().expect("an IdP of its own");
            // Once, and the old key would still be published.
            for _ in 0..2 {
                idp.rotate_keys().await.expect("a new key");
            }
        }
        Fault::Nothing
        | Fault::Killed
        | Fault::Sealed
        | Fault::Stopped
        | Fault::OneUse
        | Fault::Batch
        | Fault::ClockJump => {}
    }
}

/// Ends it.
pub(crate) async fn end(cell: &mut Cell) {
    match cell.fault {
        Fault::PolicyWithdrawn | Fault::SomeDenied => cell.deny(0..0).await,
        Fault::Revoked | Fault::LeasesRevoked if !cell.login.repeats() => {
            let token = cell.login.new_token(&cell.site, &cell.name, Tokens::Lasting).await;
            trusting(cell, "token", token.into());
        }
        Fault::NoSuchHost => trusting(cell, "host", "localhost".into()),
        Fault::OtherCa => {
            let right = acceptor(&cell.site.around.shown);
            let face = if cell.login == Login::Cert { Face::Sealed(right) } else { Face::Tls(right) };
            cell.vault.show(face).await;
        }
        // The file of trusted certificates has a new one at its old name, and is read again.
        Fault::CaRotated => {
            let trusted = cell.site.around.other_ca.pem().to_owned();
            cell.configure("kv", "v2".into(), &[&trusted]);
        }
        Fault::IdpDown | Fault::IdpDownAtEnd => idp_is_up(cell, true).await,
        Fault::Slow
        | Fault::TooMany
        | Fault::ServerError
        | Fault::Reset
        | Fault::Drip
        | Fault::Garbage
        | Fault::Refused => {
            cell.vault.set(Way::Through).await;
        }
        _ => {}
    }
}

/// Revokes the cell's tokens, one after the other, by their accessors.
async fn revoke(cell: &Cell) {
    let accessors = cell.site.admin("LIST", "auth/token/accessors", Value::Null).await;
    for accessor in accessors["data"]["keys"].as_array().into_iter().flatten() {
        let accessor = json!({"accessor": accessor});
        let bao = cell.site.bao.read().await;
        // Others come and go meanwhile.
        let (status, token) = bao.request("POST", "auth/token/lookup-accessor", Some(&accessor)).await;
        let policies = token["data"]["policies"].as_array().cloned().unwrap_or_default();
        if status == 200 && policies.contains(&Value::from(cell.name.as_str())) {
            cell.site.admin("POST", "auth/token/revoke-accessor", accessor).await;
        }
    }
}

fn trusting(cell: &mut Cell, field: &str, value: Value) {
    let trusted = cell.site.around.ca.pem().to_owned();
    cell.configure(field, value, &[&trusted]);
}
