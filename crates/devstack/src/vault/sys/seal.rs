//! Seal and health: the endpoints that answer whether or not the vault is sealed.
//!
//! Owns the seal. Sealing here shuts the door and nothing more: what is inside was never encrypted.

use crate::random;
use crate::vault::call;
use crate::vault::core::Core;
use crate::vault::policy::Capability;
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::wire::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What the dev vault says its version is.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+postern.devstack");

/// The seal and its one key.
pub(in crate::vault) struct Seal {
    sealed: bool,
    key: String,
    cluster_id: String,
}

impl Seal {
    /// Open, with a new key.
    pub(in crate::vault) fn new() -> Self {
        Self { sealed: false, key: random::key(), cluster_id: random::uuid() }
    }

    pub(in crate::vault) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(in crate::vault) fn key(&self) -> &str {
        &self.key
    }

    pub(in crate::vault) fn seal(&mut self) {
        self.sealed = true;
    }

    pub(in crate::vault) fn unseal(&mut self) {
        self.sealed = false;
    }

    /// The name and id of the cluster, which only an open vault tells.
    fn add_cluster(&self, document: &mut Value) {
        if !self.sealed {
            document["cluster_name"] = json!(format!("dev-{}", &self.cluster_id[..8]));
            document["cluster_id"] = json!(self.cluster_id);
        }
    }

    fn status(&self) -> Reply {
        let mut document = json!({
            "type": "shamir", "initialized": true, "sealed": self.sealed, "t": 1, "n": 1, "progress": 0,
            "nonce": "", "recovery_seal": false, "version": VERSION, "commit_date": "", "migration": false,
            "storage_type": "inmem",
        });
        self.add_cluster(&mut document);
        Reply::Raw(200, document)
    }
}

/// Answers the endpoints that need neither an open vault nor, but for sealing, a token. `None`: it is none of them.
pub(in crate::vault) fn health(core: &mut Core, request: &Request, path: &str) -> Option<Outcome> {
    let method = request.method.as_str();
    let wrong_method = Err(Refusal { status: 405, errors: Vec::new() });
    Some(match (path, method) {
        ("sys/health", "GET" | "HEAD") => Ok(health_of(core, request)),
        ("sys/seal-status", "GET") => Ok(core.seal.status()),
        ("sys/leader", "GET") => Ok(Reply::Raw(200, json!({"ha_enabled": false}))),
        ("sys/init", "GET") => Ok(Reply::Raw(200, json!({"initialized": true}))),
        ("sys/init", "PUT" | "POST") => Err(Refusal::bad("Vault is already initialized")),
        ("sys/seal", "PUT" | "POST") => seal(core, request),
        ("sys/unseal", "PUT" | "POST") => unseal(core, request),
        ("sys/health" | "sys/seal-status" | "sys/leader" | "sys/init" | "sys/seal" | "sys/unseal", _) => {
            wrong_method
        }
        _ => return None,
    })
}

fn health_of(core: &Core, request: &Request) -> Reply {
    let sealed = core.seal.is_sealed();
    let mode = if sealed { "unknown" } else { "disabled" };
    let mut document = json!({
        "initialized": true, "sealed": sealed, "standby": sealed,
        "replication_performance_mode": mode, "replication_dr_mode": mode,
        "server_time_utc": core.clock.unix(), "version": VERSION,
    });
    core.seal.add_cluster(&mut document);
    let (wish, usual) = if sealed { ("sealedcode", 503) } else { ("activecode", 200) };
    let status = request.query(wish).and_then(|code| code.parse().ok()).unwrap_or(usual);
    Reply::Raw(status, document)
}

fn seal(core: &mut Core, request: &Request) -> Outcome {
    if core.seal.is_sealed() {
        return Ok(Reply::Nothing);
    }
    let id = call::token_id(request).unwrap_or_default();
    let token = core.tokens.get(&id).ok_or_else(Refusal::no_token)?;
    let acl = core.policies.acl(&token.policies);
    if !acl.allows("sys/seal", Capability::Update) || !acl.allows("sys/seal", Capability::Sudo) {
        return Err(Refusal::denied());
    }
    core.seal.seal();
    Ok(Reply::Nothing)
}

fn unseal(core: &mut Core, request: &Request) -> Outcome {
    let body = request.body.as_deref().unwrap_or_default();
    let fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("failed to decode JSON input: {error}")))?;
    if fields.get("reset") == Some(&Value::Bool(true)) {
        return Ok(core.seal.status());
    }
    let Some(key) = fields.get("key").and_then(Value::as_str).filter(|key| !key.is_empty()) else {
        let text = "'key' must be specified in request body as JSON, or 'reset' set to true";
        return Err(Refusal::bad(text));
    };
    let invalid = || Refusal::bad("'key' must be a valid hex or base64 string");
    let bytes = hex(key).or_else(|| STANDARD.decode(key).ok()).ok_or_else(invalid)?;
    if !core.seal.is_sealed() {
        return Ok(core.seal.status());
    }
    if bytes.len() < 16 {
        return Err(Refusal::bad("invalid key: key is shorter than minimum 16 bytes"));
    }
    if STANDARD.encode(&bytes) != core.seal.key {
        let text = "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: \
                    cipher: message authentication failed";
        return Err(Refusal::bad(text));
    }
    core.seal.unseal();
    Ok(core.seal.status())
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
