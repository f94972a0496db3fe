//! Host names and server names with wildcards.
//!
//! Owns: what a name of a route means. Must not know: in what order names are tried.

use crate::facts::rootless;

/// A name, or many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    /// This one.
    Exact(Box<str>),
    /// `*.example.com`: one or more characters, and then this.
    EndsIn(Box<str>),
    /// `example.*`: this, and then one or more characters.
    BeginsWith(Box<str>),
}

/// A host of a route, and the port if it has one.
pub(crate) fn host(host: &str) -> (Name, Option<u16>) {
    // Colons inside brackets are those of an IPv6 address.
    let name_end = host.rfind(']').unwrap_or(0);
    let port = host[name_end..].rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let name = match port {
        Some(_) => host.rsplit_once(':').map_or(host, |(name, _)| name),
        None => host,
    };
    (Name::parse(name), port)
}

/// A server name of a route.
pub(crate) fn sni(sni: &str) -> Name {
    Name::parse(sni)
}

impl Name {
    fn parse(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match (name.strip_prefix('*'), name.strip_suffix('*')) {
            (Some(end), _) => Self::EndsIn(rootless(end).into()),
            (None, Some(start)) => Self::BeginsWith(start.into()),
            (None, None) => Self::Exact(rootless(&name).into()),
        }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(wanted) => **wanted == *name,
            Self::EndsIn(end) => name.len() > end.len() && name.ends_with(&**end),
            Self::BeginsWith(start) => name.len() > start.len() && name.starts_with(&**start),
        }
    }
}
