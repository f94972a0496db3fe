//! Reading from the KV engine, both versions: path → the secret's JSON object, as text.
//!
//! Owns: where a secret lives below its mount, and telling the ways apart in which there can be none. Must not know:
//! how the token was got, or which member of the object is wanted.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::api::{Api, mount, refused};
use crate::client::Reply;
use crate::secret::Secret;
use crate::trail::OpenStep;
use crate::vault::{Read, VaultError};

/// Kong's words before whatever went wrong with a read.
const DOING: &str = "unable to retrieve secret from vault: ";

/// A read's answer; for v2, `data` is a [`Versioned`].
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

/// Where one read goes.
struct Place {
    v2: bool,
    /// `<mount>/<resource>`, as people name it.
    shown: String,
    /// Below `/v1/`.
    path: String,
    version: Option<i64>,
}

/// Reads one secret.
pub(super) async fn read(api: &Api, token: &Secret, request: &Read<'_>) -> Result<Secret, VaultError> {
    let mut step = request.trail.step("read the secret");
    step.fact("vault", api.address());
    let outcome = read_place(api, token, request, &mut step).await;
    step.done(outcome)
}

async fn read_place(
    api: &Api,
    token: &Secret,
    request: &Read<'_>,
    step: &mut OpenStep<'_>,
) -> Result<Secret, VaultError> {
    let place = Place::new(request)?;
    step.fact("path", format_args!("/v1/{}", place.path));
    if let Some(version) = place.version {
        step.fact("version", version);
    }
    let reply = api.get(&place.path, place.version, token).await?;
    step.fact("status", reply.status);
    match reply.status {
        200 => place.object(&reply),
        404 => Err(place.absent(&reply, api.namespace())),
        _ => Err(refused(&reply, DOING, format!("reading {}", place.shown), |status, _| place.hint(status))),
    }
}

impl Place {
    fn new(request: &Read<'_>) -> Result<Self, VaultError> {
        let text =
            |name| request.settings.text(name).map(|text| text.expose().to_owned()).unwrap_or_default();
        let (mount_name, v2) = (text("mount"), text("kv") == "v2");
        let mount = mount(&mount_name);
        let version = match request.version {
            // v1 has no versions; Kong ignores one.
            Some(version) if v2 => Some(version.as_integer().ok_or_else(|| {
                VaultError::unusable(
                    format!("version {version} is not a whole number"),
                    "a version of the KV engine is a whole number, such as #2; 0 or none is the latest",
                )
            })?),
            _ => None,
        };
        let resource = request.resource;
        let path = if v2 { format!("{mount}/data/{resource}") } else { format!("{mount}/{resource}") };
        Ok(Self { v2, shown: format!("{mount}/{resource}"), path, version })
    }

    /// The object in a reply, in the reply's own spelling.
    fn object(&self, reply: &Reply) -> Result<Secret, VaultError> {
        let text = std::str::from_utf8(reply.body()).map_err(|_| self.garbled("is not UTF-8"))?;
        // serde's own words would quote the reply.
        let envelope: Envelope<'_> =
            serde_json::from_str(text).map_err(|_| self.garbled("is not a vault's JSON"))?;
        let data = envelope.data.ok_or_else(|| self.garbled("has no data"))?;
        if !self.v2 {
            return self.checked_object(data);
        }
        let versioned: Versioned<'_> =
            serde_json::from_str(data.get()).map_err(|_| self.garbled("is not one of KV version 2"))?;
        match (versioned.data, versioned.metadata) {
            (Some(object), Some(_)) => self.checked_object(object),
            (None, Some(metadata)) => Err(self.deleted(&metadata)),
            _ => Err(self.garbled("is not one of KV version 2")),
        }
    }

    fn checked_object(&self, object: &RawValue) -> Result<Secret, VaultError> {
        if object.get().starts_with('{') {
            Ok(Secret::from(object.get()))
        } else {
            Err(self.garbled("holds no object"))
        }
    }

    fn garbled(&self, what: &str) -> VaultError {
        let other = if self.v2 { "v1" } else { "v2" };
        VaultError::Garbled {
            message: format!("the answer for {} {what}", self.shown),
            hint: Some(format!(
                "check that host and port are those of a vault, and whether the mount is KV {other} (kv: {other})"
            )),
        }
    }

    /// Why a 404: the path, the version, or the wrong version of the engine.
    fn absent(&self, reply: &Reply, namespace: Option<&str>) -> VaultError {
        let found = || {
            let envelope: Envelope<'_> = serde_json::from_slice(reply.body()).ok()?;
            serde_json::from_str::<Versioned<'_>>(envelope.data?.get()).ok()?.metadata
        };
        if let Some(metadata) = self.v2.then(found).flatten() {
            return self.deleted(&metadata);
        }
        let body = reply.shown();
        if body.contains("no handler for route") || body.contains("unsupported path") {
            return refused(reply, DOING, format!("reading {}", self.shown), |_, _| {
                Some("is there a KV engine at this mount? `vault secrets list` shows the mounts".to_owned())
            });
        }
        let version =
            self.version.map_or_else(String::new, |version| format!(", or no version {version} of it"));
        let hint = if body.contains("versioned K/V") {
            "the mount is KV version 2: set kv: v2 in the vault's configuration".to_owned()
        } else {
            let (kv, other) = if self.v2 { ("v2", "v1") } else { ("v1", "v2") };
            let option = namespace.map_or_else(String::new, |namespace| format!("-namespace={namespace} "));
            format!(
                "`vault kv get {option}{}` shows whether it exists; the vault is configured with kv: {kv}, is the mount \
                 {other}?",
                self.shown
            )
        };
        // A namespace that is not there gets the same answer.
        let within = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
        VaultError::Absent {
            message: Some(format!("{DOING}there is no secret at {}{within}{version}", self.shown)),
            hint: Some(hint),
        }
    }

    fn deleted(&self, metadata: &Metadata) -> VaultError {
        let Metadata { version, deletion_time, destroyed } = metadata;
        let (what, hint) = if *destroyed {
            (format!("version {version} of {} is destroyed", self.shown), "write a new version".to_owned())
        } else {
            let when: String = deletion_time.chars().filter(|c| c.is_ascii_graphic()).take(40).collect();
            (
                format!("version {version} of {} was deleted ({when})", self.shown),
                format!("`vault kv undelete -versions={version} {}` brings it back", self.shown),
            )
        };
        VaultError::Absent { message: Some(format!("{DOING}{what}")), hint: Some(hint) }
    }

    fn hint(&self, status: u16) -> Option<String> {
        match status {
            403 => Some(format!(
                "the token must be valid, and its policies must allow it:\n\n    path \"{}\" {{\n      capabilities = [\"read\"]\n    }}\n",
                self.path
            )),
            400 => Some("see the vault's log".to_owned()),
            _ => None,
        }
    }
}
