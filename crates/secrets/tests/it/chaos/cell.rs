//! One cell of the matrix: an engine with one login, its references and its readers, before a fault, in it and after.
//!
//! Owns: the life of a cell. Must not know: what the fault does ([`inject`](super::inject)), or what was promised
//! ([`Fault`]); it measures, and [`judge`](super::judge) compares.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postern_client::Trust;
use postern_conformance::OpenBao;
use postern_devstack::{Idp as DevIdp, IdpOptions, PortChoice};
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::rotate::{Engine, Nudge};
use postern_secrets::{Kind, Settings, Template};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::fault::{Fault, SECRETS};
use super::login::{Idp, Login};
use super::proxy::{Face, Proxy, Way, acceptor};
use super::readers::{Readers, Watched};
use super::site::Site;

/// Keys of each secret, each with a reference of its own.
const KEYS: u64 = 4;
/// The life of the IdP's tokens where they are to end soon.
const SHORT_JWT: Duration = Duration::from_secs(5);

pub(crate) struct Cell {
    /// Also the name of its policy, its mount and its folder of secrets.
    pub(crate) name: String,
    pub(crate) login: Login,
    pub(crate) fault: Fault,
    pub(crate) site: Site,
    pub(crate) vault: Proxy,
    pub(crate) idp: Proxy,
    pub(crate) own_idp: Option<DevIdp>,
    pub(crate) engine: Engine,
    pub(crate) client_secret: String,
    config: Value,
    run: String,
    written: Arc<AtomicU64>,
    watched: Vec<Watched>,
    window: Watched,
}

impl Cell {
    /// Prepares everything, and waits until the first values are there.
    pub(crate) async fn start(site: &Site, login: Login, fault: Fault, run: &str) -> Self {
        let name = format!("{}-{fault:?}", login.name()).to_lowercase();
        let (vault, protocol) = vault_proxy(site, login, fault).await;
        let own_idp = if fault.needs_own_idp() { Some(own_idp(fault).await) } else { None };
        let (idp, idp_proxy) = idp(site, own_idp.as_ref()).await;
        let mut config = login.prepare(site, &name, fault.tokens(), &idp).await;
        let common = json!({
            "protocol": protocol, "port": vault.port(), "mount": "secret", "kv": "v2",
            "ttl": if fault == Fault::Nothing { 60 } else { 1 },
            "host": if fault == Fault::NoSuchHost { "localhost" } else { "127.0.0.1" },
        });
        for (field, value) in common.as_object().into_iter().flatten() {
            config[field] = value.clone();
        }
        allow(site, &name, 0..0).await;
        let written = Arc::<AtomicU64>::default();
        write(site, &name, run, &written, 1).await;
        let engine = Engine::start(resolver(&config, &[site.around.ca.pem()]));
        let (watched, window) = watch(&engine, fault.options(login), &name, run, &written);
        let slots: Vec<_> =
            watched.iter().chain([&window]).map(|watched| Arc::clone(&watched.slot)).collect();
        engine.settled(&slots).await;
        let cell = Self {
            name,
            login,
            fault,
            site: site.clone(),
            vault,
            idp: idp_proxy,
            own_idp,
            engine,
            client_secret: idp.client_secret,
            config,
            run: run.to_owned(),
            written,
            watched,
            window,
        };
        let first = cell.seen(1, Duration::from_secs(10), |_| true).await;
        assert!(first.is_some(), "{}: no values to begin with: {}", cell.name, cell.complaint());
        cell
    }

    pub(crate) fn read(&self) -> Readers {
        Readers::start(&self.watched, &self.window)
    }

    /// Writes the next version of every secret, and says so where nobody looks for a minute; gives its number.
    pub(crate) async fn write_next(&self) -> u64 {
        let next = self.written.load(Ordering::Acquire) + 1;
        write(&self.site, &self.name, &self.run, &self.written, next).await;
        if self.fault == Fault::Nothing {
            self.engine.nudge(&Nudge::Vault("v".to_owned()));
        }
        next
    }

    /// Waits until this version is in all slots that are asked about; tells how long it took.
    pub(crate) async fn seen(
        &self,
        version: u64,
        within: Duration,
        which: impl Fn(u64) -> bool,
    ) -> Option<Duration> {
        let began = Instant::now();
        let all = || {
            let asked = self.watched.iter().filter(|watched| which(watched.secret));
            asked.map(Watched::seen).all(|seen| seen == Some(version))
        };
        while began.elapsed() < within {
            if all() {
                return Some(began.elapsed());
            }
            sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// Changes the vault's configuration, as an operator does.
    pub(crate) fn configure(&mut self, field: &str, value: Value, trusted: &[&str]) {
        self.config[field] = value;
        self.engine.prepare(resolver(&self.config, trusted)).commit();
    }

    /// Denies these secrets, and gives the others back.
    pub(crate) async fn deny(&self, denied: Range<u64>) {
        allow(&self.site, &self.name, denied).await;
    }

    /// What the engine says is wrong.
    pub(crate) fn complaint(&self) -> String {
        let references = self.engine.status().references.into_iter();
        let mut errors = references.filter_map(|status| status.last_error.map(|error| error.message));
        errors.next().unwrap_or_else(|| "nothing".to_owned())
    }
}

async fn vault_proxy(site: &Site, login: Login, fault: Fault) -> (Proxy, &'static str) {
    let (port, tls_port) = {
        let bao = site.bao.read().await;
        (OpenBao::port(&bao), bao.tls_port())
    };
    let shown = || acceptor(&site.around.shown);
    if login == Login::Cert {
        (Proxy::to(tls_port, Face::Sealed(shown())).await, "https")
    } else if fault.needs_tls() {
        (Proxy::to(port, Face::Tls(shown())).await, "https")
    } else {
        (Proxy::to(port, Face::Plain).await, "http")
    }
}

async fn own_idp(fault: Fault) -> DevIdp {
    let life = if fault == Fault::IdpDownAtEnd { SHORT_JWT } else { Duration::from_secs(3600) };
    let options = IdpOptions { port: PortChoice::Free, token_life: life, ..IdpOptions::default() };
    DevIdp::start(options).await.expect("an IdP on a free port")
}

/// The IdP as the vault and the engine see it; the engine's way to it can be closed.
async fn idp(site: &Site, own: Option<&DevIdp>) -> (Idp, Proxy) {
    let provider = &site.around.idp;
    let mut idp = match own {
        Some(own) => Idp {
            issuer: own.url(),
            jwks_url: own.jwks_url(),
            audience: own.audience(),
            token_endpoint: own.token_endpoint(),
            client_id: own.client_id().to_owned(),
            client_secret: own.client_secret().to_owned(),
        },
        None => Idp {
            issuer: provider.issuer().to_owned(),
            jwks_url: provider.jwks_url().to_owned(),
            audience: provider.audience().to_owned(),
            token_endpoint: provider.token_endpoint().to_owned(),
            client_id: provider.client_id().to_owned(),
            client_secret: provider.client_secret().to_owned(),
        },
    };
    let rest = idp.token_endpoint.strip_prefix("http://127.0.0.1:").expect("an IdP on loopback");
    let (port, path) = rest.split_once('/').expect("a path");
    let proxy = Proxy::to(port.parse().expect("a port"), Face::Plain).await;
    idp.token_endpoint = format!("http://127.0.0.1:{}/{path}", proxy.port());
    (idp, proxy)
}

fn resolver(config: &Value, trusted: &[&str]) -> Resolver {
    let settings = Settings::from_entity(Kind::Hcv, config.as_object().expect("an object"));
    let trust = Trust::from_items(trusted.iter().copied()).expect("PEM");
    Resolver::new(Env::default(), trust).with_vault("v", settings, Origin::new("chaos"))
}

/// The policy of a cell: everything below its folder but what is denied.
async fn allow(site: &Site, cell: &str, denied: Range<u64>) {
    let mut policy = format!("path \"secret/data/{cell}/*\" {{ capabilities = [\"read\"] }}\n");
    policy.extend(
        denied
            .map(|secret| format!("path \"secret/data/{cell}/{secret}\" {{ capabilities = [\"deny\"] }}\n")),
    );
    site.admin("PUT", &format!("sys/policies/acl/{cell}"), json!({"policy": policy})).await;
}

async fn write(site: &Site, cell: &str, run: &str, written: &AtomicU64, version: u64) {
    // Before the first write: it may be read at once.
    written.store(version, Ordering::Release);
    for secret in 0..SECRETS {
        let member =
            |key| (format!("k{key}"), Value::from(format!("{}{version}", stem(run, cell, secret, key))));
        let data: serde_json::Map<_, _> = (0..KEYS).map(member).collect();
        site.admin("POST", &format!("secret/data/{cell}/{secret}"), json!({"data": data})).await;
    }
}

fn stem(run: &str, cell: &str, secret: u64, key: u64) -> String {
    format!("{run}.{cell}.{secret}.{key}.")
}

/// A slot for each key of each secret, one for two keys of one secret, and one whose value may be used for a short time
/// only. The options are those of some references, and of the last.
fn watch(
    engine: &Engine,
    (other, short): (&str, &str),
    cell: &str,
    run: &str,
    written: &Arc<AtomicU64>,
) -> (Vec<Watched>, Watched) {
    let reference = |secret, key, options: &str| format!("{{vault://v/{cell}/{secret}/k{key}{options}}}");
    let watched = |secret, text: String, stems: Vec<String>| Watched {
        slot: engine.slot(&Template::parse(&text).expect("a template")),
        secret,
        stems,
        written: Arc::clone(written),
    };
    let keys = (0..SECRETS).flat_map(|secret| (0..KEYS).map(move |key| (secret, key)));
    let mut all: Vec<_> = keys
        .map(|(secret, key)| {
            let options = if key == 3 { other } else { "" };
            watched(secret, reference(secret, key, options), vec![stem(run, cell, secret, key)])
        })
        .collect();
    let two = format!("{}|{}", reference(1, 0, ""), reference(1, 1, ""));
    all.push(watched(1, two, vec![stem(run, cell, 1, 0), stem(run, cell, 1, 1)]));
    // Of a secret that is never denied alone.
    let last = SECRETS - 1;
    let short = reference(last, 0, short);
    (all, watched(last, short, vec![stem(run, cell, last, 0)]))
}

impl Drop for Cell {
    fn drop(&mut self) {
        // Whatever happened to a cell, its server must not be left stopped.
        if self.fault == Fault::Stopped
            && let Ok(bao) = self.site.bao.try_read()
        {
            bao.go_on();
        }
    }
}

/// Closes the way to the IdP, or opens it.
pub(crate) async fn idp_is_up(cell: &Cell, up: bool) {
    cell.idp.set(if up { Way::Through } else { Way::Closed }).await;
}
