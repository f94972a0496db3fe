//! The mount table: which backend answers below which path, and the endpoints that change it.
//!
//! Owns the mounts, and through them the secrets, roles and configuration that live and go with a mount. What a
//! backend does with a request is not known here.

use crate::random;
use crate::vault::call::Call;
use crate::vault::core::Core;
use crate::vault::field::Fields;
use crate::vault::reply::{Outcome, Refusal, Reply};
use crate::vault::token::MAX_LIFE;
use crate::vault::{approle, jwt, kv};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What answers below a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vault) enum Backend {
    System,
    Token,
    Jwt,
    AppRole,
    KvV1,
    KvV2,
}

impl Backend {
    /// In a secret's name a trailing slash means a folder; elsewhere it means nothing.
    pub(in crate::vault) fn keeps_slashes(self) -> bool {
        matches!(self, Self::KvV1 | Self::KvV2)
    }
}

/// What a mount keeps.
enum Store {
    System,
    Token,
    Jwt(Box<jwt::Jwt>),
    AppRole(approle::AppRole),
    Kv(kv::Store),
}

struct Mount {
    store: Store,
    description: String,
    accessor: String,
    uuid: String,
    /// As the mount request had it: KV mounts of version 1 may have none.
    options: Value,
}

impl Mount {
    fn new(store: Store, description: &str, options: Value) -> Self {
        let prefix = match &store {
            Store::System => "system",
            Store::Token => "auth_token",
            Store::Jwt(_) => "auth_jwt",
            Store::AppRole(_) => "auth_approle",
            Store::Kv(_) => "kv",
        };
        let uuid = random::uuid();
        let accessor = format!("{prefix}_{}", &uuid[..8]);
        Self { store, description: description.to_owned(), accessor, uuid, options }
    }

    fn backend(&self) -> Backend {
        match &self.store {
            Store::System => Backend::System,
            Store::Token => Backend::Token,
            Store::Jwt(_) => Backend::Jwt,
            Store::AppRole(_) => Backend::AppRole,
            Store::Kv(kv::Store::V1(_)) => Backend::KvV1,
            Store::Kv(kv::Store::V2(_)) => Backend::KvV2,
        }
    }

    fn describe(&self) -> Value {
        let mut config = json!({"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0});
        let kind = match self.store {
            Store::System => "system",
            Store::Token => "token",
            Store::Jwt(_) => "jwt",
            Store::AppRole(_) => "approle",
            Store::Kv(_) => "kv",
        };
        match self.store {
            Store::System => config["passthrough_request_headers"] = json!(["Accept"]),
            Store::Token | Store::Jwt(_) | Store::AppRole(_) => {
                config["token_type"] = json!("default-service")
            }
            Store::Kv(_) => {}
        }
        let mut description = json!({
            "accessor": self.accessor, "config": config, "description": self.description,
            "external_entropy_access": false, "local": false, "options": self.options, "plugin_version": "",
            "running_plugin_version": concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.devstack"),
            "running_sha256": "", "seal_wrap": matches!(self.store, Store::System), "type": kind,
            "uuid": self.uuid,
        });
        if matches!(self.store, Store::Jwt(_) | Store::AppRole(_) | Store::Kv(_)) {
            description["deprecation_status"] = json!("supported");
        }
        description
    }
}

/// All mounts by path; auth methods under `auth/`. Paths end in `/`.
pub(in crate::vault) struct Mounts(BTreeMap<String, Mount>);

impl Default for Mounts {
    /// What cannot be unmounted.
    fn default() -> Self {
        let text = "system endpoints used for control, policy and debugging";
        let system = Mount::new(Store::System, text, Value::Null);
        let token = Mount::new(Store::Token, "token based credentials", Value::Null);
        Self([("sys/".to_owned(), system), ("auth/token/".to_owned(), token)].into())
    }
}

impl Mounts {
    pub(in crate::vault) fn add_secrets(&mut self, path: &str, version: kv::Version, description: &str) {
        let options = json!({"version": version.name()});
        let mount = Mount::new(Store::Kv(kv::Store::new(version)), description, options);
        self.0.insert(path.to_owned(), mount);
    }

    /// The mount that answers this path. `secret` is in `secret/`.
    pub(in crate::vault) fn find(&self, path: &str) -> Option<(&str, Backend)> {
        let below = |mount: &str| path.starts_with(mount) || mount.strip_suffix('/') == Some(path);
        let longest = self.0.iter().filter(|(mount, _)| below(mount)).max_by_key(|(mount, _)| mount.len());
        longest.map(|(path, mount)| (path.as_str(), mount.backend()))
    }

    pub(in crate::vault) fn accessor(&self, path: &str) -> &str {
        self.0.get(path).map_or("", |mount| mount.accessor.as_str())
    }

    /// The secrets of a KV mount. `None`: it was unmounted meanwhile.
    pub(in crate::vault) fn kv(&mut self, path: &str) -> Option<&mut kv::Store> {
        match &mut self.0.get_mut(path)?.store {
            Store::Kv(store) => Some(store),
            _ => None,
        }
    }

    pub(in crate::vault) fn kv_ref(&self, path: &str) -> Option<&kv::Store> {
        match &self.0.get(path)?.store {
            Store::Kv(store) => Some(store),
            _ => None,
        }
    }

    /// The configuration of a JWT mount. `None`: it was disabled meanwhile.
    pub(in crate::vault) fn jwt(&mut self, path: &str) -> Option<&mut jwt::Jwt> {
        match &mut self.0.get_mut(path)?.store {
            Store::Jwt(store) => Some(store),
            _ => None,
        }
    }

    pub(in crate::vault) fn jwt_ref(&self, path: &str) -> Option<&jwt::Jwt> {
        match &self.0.get(path)?.store {
            Store::Jwt(store) => Some(store),
            _ => None,
        }
    }

    /// The roles of an AppRole mount. `None`: it was disabled meanwhile.
    pub(in crate::vault) fn approle(&mut self, path: &str) -> Option<&mut approle::AppRole> {
        match &mut self.0.get_mut(path)?.store {
            Store::AppRole(store) => Some(store),
            _ => None,
        }
    }

    pub(in crate::vault) fn approle_ref(&self, path: &str) -> Option<&approle::AppRole> {
        match &self.0.get(path)?.store {
            Store::AppRole(store) => Some(store),
            _ => None,
        }
    }

    /// The secrets engines, or the auth methods, described by their path.
    fn describe(&self, auth: bool, wanted: impl Fn(&str) -> bool) -> Value {
        let mounts = self.0.iter().filter(|(path, _)| path.starts_with("auth/") == auth && wanted(path));
        let described = mounts.map(|(path, mount)| {
            let path = path.strip_prefix("auth/").unwrap_or(path);
            (path.to_owned(), mount.describe())
        });
        described.collect::<Map<_, _>>().into()
    }

    /// Is there room for a mount here? None may stand inside another.
    fn check_free(&self, path: &str) -> Result<(), Refusal> {
        let taken = self.0.keys().find(|mount| path.starts_with(*mount) || mount.starts_with(path));
        taken.map_or(Ok(()), |mount| {
            let mount = mount.strip_prefix("auth/").unwrap_or(mount);
            Err(Refusal::bad(format!("path is already in use at {mount}")))
        })
    }
}

pub(super) fn list_secrets(core: &mut Core, _: &Call) -> Outcome {
    Ok(Reply::sys_data(core.mounts.describe(false, |_| true)))
}

pub(super) fn list_auth(core: &mut Core, _: &Call) -> Outcome {
    Ok(Reply::sys_data(core.mounts.describe(true, |_| true)))
}

fn described(core: &Core, path: &str, missing: &str) -> Outcome {
    let name = path.strip_prefix("auth/").unwrap_or(path);
    match core.mounts.0.get(path) {
        Some(mount) => Ok(Reply::sys_data(mount.describe())),
        None => Err(Refusal::bad(format!("{missing} at {name}"))),
    }
}

pub(super) fn read_secrets(core: &mut Core, call: &Call) -> Outcome {
    described(core, &format!("{}/", call.captured("path")), "No secret engine mount")
}

pub(super) fn read_auth(core: &mut Core, call: &Call) -> Outcome {
    described(core, &format!("auth/{}/", call.captured("path")), "No auth engine")
}

fn tuning(core: &Core, path: &str) -> Outcome {
    let mount = core
        .mounts
        .0
        .get(path)
        .ok_or_else(|| Refusal::bad(format!("cannot fetch sysview for path \"{path}\"")))?;
    let mut data = json!({
        "default_lease_ttl": MAX_LIFE.as_secs(), "max_lease_ttl": MAX_LIFE.as_secs(),
        "description": mount.description, "force_no_cache": false,
    });
    if path.starts_with("auth/") {
        data["token_type"] = json!("default-service");
    }
    if mount.options.is_object() {
        data["options"] = mount.options.clone();
    }
    Ok(Reply::sys_data(data))
}

pub(super) fn read_secrets_tuning(core: &mut Core, call: &Call) -> Outcome {
    tuning(core, &format!("{}/", call.captured("path")))
}

pub(super) fn read_auth_tuning(core: &mut Core, call: &Call) -> Outcome {
    tuning(core, &format!("auth/{}/", call.captured("path")))
}

pub(super) fn tune(_: &mut Core, _: &Call) -> Outcome {
    Err(Refusal::bad("the dev vault does not tune mounts: all tokens and leases live for at most 768h"))
}

pub(super) fn enable_secrets(core: &mut Core, call: &Call) -> Outcome {
    let path = format!("{}/", call.captured("path"));
    if ["sys/", "auth/", "identity/", "cubbyhole/"].iter().any(|reserved| path.starts_with(reserved)) {
        return Err(Refusal::bad(format!("cannot mount \"{path}\"")));
    }
    let kind = mount_type(call.fields())?;
    let mut options = call.fields().object("options")?.cloned().unwrap_or_default();
    let version = match kind.as_str() {
        "kv" => match Fields(&options).text("version")?.as_deref() {
            None | Some("" | "1") => kv::Version::V1,
            Some("2") => kv::Version::V2,
            Some(_) => return Err(Refusal::bad("nil backend of type \"kv\" returned from factory")),
        },
        "kv-v1" => kv::Version::V1,
        "kv-v2" => kv::Version::V2,
        other => return Err(unknown_type(other)),
    };
    if kind != "kv" {
        options.insert("version".to_owned(), version.name().into());
    }
    core.mounts.check_free(&path)?;
    let description = call.fields().text("description")?.unwrap_or_default();
    let mount = Mount::new(Store::Kv(kv::Store::new(version)), &description, options.into());
    core.mounts.0.insert(path, mount);
    Ok(Reply::Nothing)
}

pub(super) fn enable_auth(core: &mut Core, call: &Call) -> Outcome {
    let path = format!("auth/{}/", call.captured("path"));
    let kind = mount_type(call.fields())?;
    let store = match kind.as_str() {
        "jwt" => Store::Jwt(Box::default()),
        "approle" => Store::AppRole(approle::AppRole::default()),
        other => return Err(unknown_type(other)),
    };
    core.mounts.check_free(&path)?;
    let description = call.fields().text("description")?.unwrap_or_default();
    let mount = Mount::new(store, &description, json!({}));
    core.mounts.0.insert(path, mount);
    Ok(Reply::Nothing)
}

fn mount_type(fields: Fields<'_>) -> Result<String, Refusal> {
    let missing = || Refusal::bad("backend type must be specified as a string");
    fields.text("type")?.filter(|kind| !kind.is_empty()).ok_or_else(missing)
}

fn unknown_type(kind: &str) -> Refusal {
    Refusal::bad(format!("plugin not found in the catalog: {kind}"))
}

pub(super) fn disable_secrets(core: &mut Core, call: &Call) -> Outcome {
    let path = format!("{}/", call.captured("path"));
    if path == "sys/" {
        return Err(Refusal::bad(format!("cannot unmount \"{path}\"")));
    }
    core.mounts.0.remove(&path);
    Ok(Reply::Nothing)
}

pub(super) fn disable_auth(core: &mut Core, call: &Call) -> Outcome {
    let path = format!("auth/{}/", call.captured("path"));
    if path == "auth/token/" {
        return Err(Refusal::bad("token credential backend cannot be disabled"));
    }
    core.mounts.0.remove(&path);
    core.tokens.revoke_below(&path);
    Ok(Reply::Nothing)
}

pub(super) fn visible(core: &mut Core, call: &Call) -> Outcome {
    let acl = core.policies.acl(&call.caller()?.policies);
    let reached = |path: &str| acl.reaches(path);
    Ok(Reply::data(json!({
        "secret": core.mounts.describe(false, reached),
        "auth": core.mounts.describe(true, reached),
    })))
}

/// What the command line asks before it reads or writes a secret: is this KV version 1 or 2?
pub(super) fn preflight(core: &mut Core, call: &Call) -> Outcome {
    let asked = format!("{}/", call.captured("path").trim_end_matches('/'));
    let acl = core.policies.acl(&call.caller()?.policies);
    let found = core.mounts.find(&asked).map(|(path, _)| path.to_owned()).filter(|path| acl.reaches(path));
    let Some((path, mount)) = found.and_then(|path| core.mounts.0.get_key_value(&path)) else {
        let text =
            "preflight capability check returned 403, please ensure client's policies grant access to path";
        return Err(Refusal::new(403, format!("{text} \"{asked}\"")));
    };
    let mut data = mount.describe();
    data["path"] = json!(path);
    Ok(Reply::data(data))
}
