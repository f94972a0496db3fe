//! Reading from the KV engine, both versions: path → the secret's JSON object, as text.
//!
//! Owns: where a secret lives below its mount, and telling the ways apart in which there can be none. Must not know:
//! how the token was got, or which member of the object is wanted.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::api::{Api, mount, refused};
use crate::trail::OpenStep;
use crate::vault::{Read, VaultError};
use postern_client::Reply;
use postern_secret::Secret;

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
pub(super) struct Place {
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
    place.answered(&reply, api.namespace())
}

impl Place {
    pub(super) fn new(request: &Read<'_>) -> Result<Self, VaultError> {
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

    /// What to make of a reply. The namespace is where it was asked.
    pub(super) fn answered(&self, reply: &Reply, namespace: Option<&str>) -> Result<Secret, VaultError> {
        match reply.status {
            200 => self.object(reply),
            404 => Err(self.absent(reply, namespace)),
            _ => Err(refused(reply, DOING, format!("reading {}", self.shown), |status, _| self.hint(status))),
        }
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
            // Of a time nothing is lost; of a secret that was read as KV v2 by mistake nothing is told.
            let of_time = |c: &char| c.is_ascii_digit() || "TZ:.+-".contains(*c);
            let when: String = deletion_time.chars().filter(of_time).take(40).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_secret_taken_for_metadata_nothing_is_told() {
        let place =
            Place { v2: true, shown: "kv/app".to_owned(), path: "kv/data/app".to_owned(), version: None };
        let told = |time: &str| {
            let body = format!(r#"{{"data":{{"metadata":{{"deletion_time":"{time}","version":2}}}}}}"#);
            place.answered(&Reply::new(200, "", None, body.as_bytes(), &[]), None).unwrap_err().to_string()
        };
        let time = "2026-01-02T03:04:05.678+01:00";
        assert!(told(time).ends_with(&format!("version 2 of kv/app was deleted ({time})")), "{}", told(time));
        assert!(told("hunter-secret").ends_with("was deleted (-)"), "{}", told("hunter-secret"));
    }
}
