//! Which endpoints there are, as data: path → what it serves, with which methods.
//!
//! Owns: the shape of the paths of every kind, flat and nested, and which comes first where two would fit; what stands in
//! them is in the table of kinds. Must not know: what an endpoint does. `/endpoints`, the OpenAPI document, the methods that a page takes and the tests read this list.

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
    Collection(Kind),
    /// One of them.
    Entity(Kind),
    /// Those that refer to the parent by the field.
    Nested(Kind, Kind, &'static str),
    /// One of those.
    NestedEntity(Kind, Kind, &'static str),
    /// What the field of an entity refers to: its kind is the second.
    Foreign(Kind, Kind, &'static str),
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

/// Who asks.
#[derive(Clone, Debug)]
pub struct Peer {
    /// From where.
    pub address: IpAddr,
    /// Whom a certificate names that was verified.
    pub certificate: Option<String>,
}

/// Every kind with paths of its own. Memberships have none: they are served as what a group has, and a consumer.
pub fn kinds() -> impl Iterator<Item = Kind> {
    Kind::all().into_iter().filter(|kind| !kind.is_membership())
}

/// Whether what may stand in a path of one is a credential.
pub(crate) fn by_credential(kind: Kind) -> bool {
    kind.path_key().is_some_and(|key| kind.is_secret(key))
}

/// `/snis/{}/certificate` and what would be below `/targets` are not there, as in Kong.
const NO_WAY_BACK: [&str; 2] = ["snis", "targets"];

/// All of them. Where two fit a path, the first is meant.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> =
        FIXED.iter().map(|(path, serves)| Endpoint { path: (*path).to_owned(), serves: *serves }).collect();
    let mut add = |path: String, serves| endpoints.push(Endpoint { path, serves });
    for kind in kinds() {
        let Some(path) = kind.path() else { continue };
        add(format!("/{path}"), Serves::Collection(kind));
        add(format!("/{path}/{{{path}}}"), Serves::Entity(kind));
    }
    for child in kinds() {
        for refers in child.refers().into_iter().filter(|refers| !refers.many) {
            let Some(parent) = Kind::named(refers.to) else { continue };
            let Some(path) = parent.path() else { continue };
            let (name, field) = (child.nested(), refers.field);
            let nested = format!("/{path}/{{{path}}}/{name}");
            add(format!("{nested}/{{{name}}}"), Serves::NestedEntity(parent, child, field));
            add(nested, Serves::Nested(parent, child, field));
            if let Some(path) = child.path().filter(|_| !NO_WAY_BACK.contains(&child.collection())) {
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

    /// The kinds whose identifiers or names stand in its path, in this order.
    pub(crate) fn parameters(self) -> Vec<Kind> {
        match self {
            Self::Entity(kind) | Self::Nested(kind, ..) | Self::Foreign(kind, ..) => vec![kind],
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
        for kind in kinds() {
            let name = kind.collection();
            assert!(kind.path().is_some() || kind.owner().is_some(), "{name}");
            if let (Some(key), Some(path_key)) = (kind.endpoint_key(), kind.path_key()) {
                assert_eq!(key, path_key, "{name}");
            }
            let fields = kind.fields().iter().map(|field| field.name);
            assert!(fields.clone().any(|field| kind.path_key().is_none_or(|key| key == field)), "{name}");
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
