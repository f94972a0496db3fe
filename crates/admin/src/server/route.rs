//! Which endpoints there are, as data: path → what it serves, with which methods.
//!
//! Owns: Kong's paths of every kind, flat and nested, and which comes first where two would fit. Must not know: what an
//! endpoint does. `/endpoints`, the OpenAPI document, the methods that a page takes and the tests read this list.

use std::net::IpAddr;

use postern_model::Kind;

/// A page, or pages of one shape.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `/services/{services}/plugins`
    pub path: String,
    /// What it serves.
    pub serves: Serves,
}

/// What an endpoint serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the paths beside each say it")]
pub enum Serves {
    /// Entities of a kind.
    Collection(&'static Resource),
    /// One of them.
    Entity(&'static Resource),
    /// Those that refer to the parent by the field.
    Nested(&'static Resource, &'static Resource, &'static str),
    /// One of those.
    NestedEntity(&'static Resource, &'static Resource, &'static str),
    /// What the field of an entity refers to: its resource is the second.
    Foreign(&'static Resource, &'static Resource, &'static str),
    AllTargets,
    Health,
    TargetHealth(bool),
    AddressHealth(bool),
    Members,
    Member,
    GroupsOfConsumer,
    GroupOfConsumer,
    Root,
    Status,
    Endpoints,
    Tags,
    TagsOf,
    EnabledPlugins,
    Workspaces,
    Workspace,
    Schema,
    PluginSchema,
    VaultSchema,
    Validate,
    Config,
    Export,
    OpenApi,
    VaultStatus,
    VaultRefresh,
    Secrets,
    SecretsRefresh,
    Events,
    Audit,
}

/// How a kind appears in paths.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// The name of its lists.
    pub kind: &'static str,
    /// The path of all of them; none where there is only the nested one.
    pub path: Option<&'static str>,
    /// Its name below a parent.
    pub nested: &'static str,
    /// The field that may stand in a path instead of the identifier.
    pub by: Option<&'static str>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Peer {
    /// From where.
    pub address: IpAddr,
    /// Whom a certificate names that was verified.
    pub certificate: Option<String>,
}

const fn resource(
    kind: &'static str,
    path: &'static str,
    nested: &'static str,
    by: Option<&'static str>,
) -> Resource {
    Resource { kind, path: Some(path), nested, by }
}

/// Every kind with paths of its own.
pub static RESOURCES: [Resource; 18] = [
    resource("services", "services", "services", Some("name")),
    resource("routes", "routes", "routes", Some("name")),
    resource("plugins", "plugins", "plugins", Some("instance_name")),
    resource("consumers", "consumers", "consumers", Some("username")),
    resource("consumer_groups", "consumer_groups", "consumer_groups", Some("name")),
    resource("keyauth_credentials", "key-auths", "key-auth", Some("key")),
    resource("basicauth_credentials", "basic-auths", "basic-auth", Some("username")),
    resource("hmacauth_credentials", "hmac-auths", "hmac-auth", Some("username")),
    resource("jwt_secrets", "jwts", "jwt", Some("key")),
    resource("acls", "acls", "acls", Some("group")),
    resource("certificates", "certificates", "certificates", None),
    resource("snis", "snis", "snis", Some("name")),
    resource("ca_certificates", "ca_certificates", "ca_certificates", None),
    resource("upstreams", "upstreams", "upstreams", Some("name")),
    Resource { kind: "targets", path: None, nested: "targets", by: Some("target") },
    resource("vaults", "vaults", "vaults", Some("prefix")),
    resource("key_sets", "key-sets", "key-sets", Some("name")),
    resource("keys", "keys", "keys", Some("name")),
];

impl Resource {
    /// The one of a kind.
    pub(crate) fn of(kind: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|resource| resource.kind == kind)
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        // The test below sees that each is one.
        Kind::named(self.kind).unwrap_or_else(|| Kind::all()[0])
    }

    /// Whether what may stand in a path is a credential.
    pub(crate) fn by_credential(&self) -> bool {
        let is_secret = |by: &str| self.kind().fields().iter().any(|field| field.name == by && field.secret);
        self.by.is_some_and(is_secret)
    }
}

/// `/snis/{}/certificate` and what would be below `/targets` are not there, as in Kong.
const NO_WAY_BACK: [&str; 2] = ["snis", "targets"];

/// All of them. Where two fit a path, the first is meant.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> =
        FIXED.iter().map(|(path, serves)| Endpoint { path: (*path).to_owned(), serves: *serves }).collect();
    let mut add = |path: String, serves| endpoints.push(Endpoint { path, serves });
    for resource in &RESOURCES {
        let Some(path) = resource.path else { continue };
        add(format!("/{path}"), Serves::Collection(resource));
        add(format!("/{path}/{{{path}}}"), Serves::Entity(resource));
    }
    for child in &RESOURCES {
        for refers in child.kind().refers().into_iter().filter(|refers| !refers.many) {
            let Some(parent) = Resource::of(refers.to) else { continue };
            let Some(path) = parent.path else { continue };
            let nested = format!("/{path}/{{{path}}}/{}", child.nested);
            add(format!("{nested}/{{{}}}", child.nested), Serves::NestedEntity(parent, child, refers.field));
            add(nested, Serves::Nested(parent, child, refers.field));
            if let Some(path) = child.path.filter(|_| !NO_WAY_BACK.contains(&child.kind)) {
                let back = format!("/{path}/{{{path}}}/{}", refers.field);
                add(back, Serves::Foreign(child, parent, refers.field));
            }
        }
    }
    endpoints
}

const FIXED: &[(&str, Serves)] = &[
    ("/", Serves::Root),
    ("/status", Serves::Status),
    ("/endpoints", Serves::Endpoints),
    ("/openapi.json", Serves::OpenApi),
    ("/tags", Serves::Tags),
    ("/tags/{tags}", Serves::TagsOf),
    ("/workspaces", Serves::Workspaces),
    ("/workspaces/{workspaces}", Serves::Workspace),
    ("/config", Serves::Config),
    ("/export", Serves::Export),
    ("/secrets", Serves::Secrets),
    ("/secrets/refresh", Serves::SecretsRefresh),
    ("/events", Serves::Events),
    ("/audit", Serves::Audit),
    ("/plugins/enabled", Serves::EnabledPlugins),
    ("/schemas/{name}/validate", Serves::Validate),
    ("/schemas/plugins/{name}", Serves::PluginSchema),
    ("/schemas/vaults/{name}", Serves::VaultSchema),
    ("/schemas/{name}", Serves::Schema),
    ("/vaults/{vaults}/status", Serves::VaultStatus),
    ("/vaults/{vaults}/refresh", Serves::VaultRefresh),
    ("/upstreams/{upstreams}/health", Serves::Health),
    ("/upstreams/{upstreams}/targets/all", Serves::AllTargets),
    ("/upstreams/{upstreams}/targets/{targets}/healthy", Serves::TargetHealth(true)),
    ("/upstreams/{upstreams}/targets/{targets}/unhealthy", Serves::TargetHealth(false)),
    ("/upstreams/{upstreams}/targets/{targets}/{address}/healthy", Serves::AddressHealth(true)),
    ("/upstreams/{upstreams}/targets/{targets}/{address}/unhealthy", Serves::AddressHealth(false)),
    ("/consumer_groups/{consumer_groups}/consumers", Serves::Members),
    ("/consumer_groups/{consumer_groups}/consumers/{consumers}", Serves::Member),
    ("/consumers/{consumers}/consumer_groups", Serves::GroupsOfConsumer),
    ("/consumers/{consumers}/consumer_groups/{consumer_groups}", Serves::GroupOfConsumer),
];

impl Endpoint {
    /// The texts in place of its parameters, if a path has its shape.
    pub(crate) fn fits(&self, segments: &[String]) -> Option<Vec<String>> {
        let mut shape = self.path.split('/').filter(|part| !part.is_empty());
        let mut parameters = Vec::new();
        for segment in segments {
            let part = shape.next()?;
            if part.starts_with('{') {
                parameters.push(segment.clone());
            } else if part != segment {
                return None;
            }
        }
        shape.next().is_none().then_some(parameters)
    }
}

impl Serves {
    /// The methods that it takes.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Collection(_) | Self::Nested(..) => &["GET", "HEAD", "OPTIONS", "POST"],
            Self::Entity(_) | Self::NestedEntity(..) => &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"],
            Self::Foreign(..) => &["GET", "HEAD", "OPTIONS", "PATCH", "PUT"],
            Self::Members | Self::GroupsOfConsumer => &["DELETE", "GET", "HEAD", "OPTIONS", "POST"],
            Self::Member | Self::GroupOfConsumer => &["DELETE", "GET", "HEAD", "OPTIONS"],
            Self::TargetHealth(_) | Self::AddressHealth(_) => &["OPTIONS", "PUT"],
            Self::Config => &["GET", "HEAD", "OPTIONS", "POST"],
            Self::Validate | Self::VaultRefresh | Self::SecretsRefresh => &["OPTIONS", "POST"],
            _ => &["GET", "HEAD", "OPTIONS"],
        }
    }

    /// The resources whose identifiers or names stand in its path, in this order.
    pub(crate) fn parameters(self) -> Vec<&'static Resource> {
        match self {
            Self::Entity(resource) | Self::Nested(resource, ..) | Self::Foreign(resource, ..) => {
                vec![resource]
            }
            Self::NestedEntity(parent, child, _) => vec![parent, child],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_paths() {
        for kind in Kind::all() {
            let is_there = Resource::of(kind.collection()).is_some();
            assert_eq!(is_there, kind.collection() != "consumer_group_consumers", "{}", kind.collection());
        }
        for resource in &RESOURCES {
            assert_eq!(resource.kind().collection(), resource.kind);
            if let (Some(key), Some(by)) = (resource.kind().endpoint_key(), resource.by) {
                assert_eq!(key, by, "{}", resource.kind);
            }
        }
    }

    #[test]
    fn no_endpoint_hides_another() {
        let endpoints = endpoints();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let example: Vec<String> =
                endpoint.path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            let first = endpoints.iter().position(|other| other.fits(&example).is_some());
            assert_eq!(first, Some(index), "{}", endpoint.path);
        }
    }
}
