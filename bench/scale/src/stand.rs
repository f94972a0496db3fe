//! What is measured on: 10,000 references on 1,000 secrets of 10 keys each, and an engine that holds them.
//!
//! Owns: names and values of the secrets, the vault's configuration, and a child's own CPU and memory. Must not know:
//! which measurement uses them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use postern_client::Trust;
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::rotate::Engine;
use postern_secrets::slot::Slot;
use postern_secrets::{Kind, Settings, Template};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::bao::api;
use crate::http::Http;

/// How many secrets.
pub(crate) const SECRETS: usize = 1_000;
/// How many keys in each.
pub(crate) const KEYS: usize = 10;
/// The role that logs in.
pub(crate) const ROLE: &str = "bench";

/// What a child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stand {
    /// OpenBao's port on loopback.
    pub(crate) port: u16,
    /// Holds the JWT for the engine's login.
    pub(crate) jwt_file: PathBuf,
    /// A client token with the policy that the engine's login gets.
    pub(crate) token: String,
    /// The token that may write.
    pub(crate) root_token: String,
}

impl Stand {
    /// A bare client that may read.
    pub(crate) fn reader(&self) -> Http {
        Http::new(&api(self.port), &self.token)
    }

    /// A bare client that may write.
    pub(crate) fn writer(&self) -> Http {
        Http::new(&api(self.port), &self.root_token)
    }

    /// An engine's view of the server, with a JWT login.
    pub(crate) fn resolver(&self, ttl: Option<u32>) -> Result<Resolver, Failure> {
        let config = json!({
            "host": "127.0.0.1", "port": self.port, "protocol": "http", "kv": "v2", "mount": "secret",
            "auth_method": "jwt", "jwt_role": ROLE, "jwt_file": self.jwt_file, "ttl": ttl,
        });
        let config = config.as_object().cloned().unwrap_or_default();
        let settings = Settings::from_entity(Kind::Hcv, &config).map_err(|errors| format!("{errors:?}"))?;
        let resolver = Resolver::new(Env::default(), Trust::none());
        Ok(resolver.with_vault("bao", Ok(settings), Origin::new("the benchmark")))
    }
}

/// The name of a secret.
pub(crate) fn secret_name(number: usize) -> String {
    format!("s{number:04}")
}

/// What a secret holds after it was written for the `round`-th time.
pub(crate) fn fields(number: usize, round: usize) -> Value {
    let fields: Map<String, Value> =
        (0..KEYS).map(|key| (format!("k{key}"), json!(value(number, key, round)))).collect();
    Value::Object(fields)
}

/// 32 characters, different for each key and round.
pub(crate) fn value(number: usize, key: usize, round: usize) -> String {
    format!("value-{number:06}-{key:04}-{round:014}")
}

/// All 10,000 references, parsed.
pub(crate) fn templates() -> Result<Vec<Template>, Failure> {
    (0..SECRETS).flat_map(|number| (0..KEYS).map(move |key| template(number, key))).collect()
}

/// One of them.
pub(crate) fn template(number: usize, key: usize) -> Result<Template, Failure> {
    Ok(Template::parse(&format!("{{vault://bao/{}/k{key}}}", secret_name(number)))?)
}

/// Slots for all of these.
pub(crate) fn slots(engine: &Engine, templates: &[Template]) -> Vec<Arc<Slot>> {
    engine.slots(templates)
}

/// Fails unless each of [`templates`]' slots holds what was written in this round.
pub(crate) fn check(slots: &[Arc<Slot>], round: usize) -> Result<(), Failure> {
    for (index, slot) in slots.iter().enumerate() {
        let expected = value(index / KEYS, index % KEYS, round);
        if slot.with(|value| value != Some(expected.as_str())) {
            return Err(format!("{} does not hold the value of round {round}", slot.template()).into());
        }
    }
    Ok(())
}

/// CPU time of this process so far, all threads, user and system.
pub(crate) fn process_cpu() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPU time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

fn duration(time: rustix::time::Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

/// Resident memory of this process in KiB, as the kernel adds it up page by page.
pub(crate) fn resident_kib() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
