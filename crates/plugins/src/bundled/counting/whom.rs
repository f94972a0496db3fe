//! For whom something counts.
//!
//! Owns: which property of a request that is. Must not know: what is counted.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::HeaderName;
use serde::Deserialize;
use uuid::Uuid;

use crate::view::Request;

/// The property of requests that count together.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::bundled) enum By {
    Consumer,
    ConsumerGroup,
    Credential,
    Header,
    Ip,
    Path,
    Service,
}

/// The same, with what some of them need.
pub(in crate::bundled) struct Whom {
    pub(in crate::bundled) by: By,
    /// For [`By::Header`].
    pub(in crate::bundled) header: Option<HeaderName>,
    /// For [`By::Path`].
    pub(in crate::bundled) path: Option<String>,
}

impl Whom {
    /// For whom a request counts; where it has no such thing: for its address.
    pub(in crate::bundled) fn of<'r>(&self, request: &'r Request) -> Cow<'r, [u8]> {
        let id = |id: &'r Uuid| Cow::Borrowed(id.as_bytes().as_slice());
        let consumer = request.consumer.as_deref();
        let who = match self.by {
            By::Consumer => {
                consumer.map(|consumer| id(&consumer.id)).or_else(|| request.credential.as_ref().map(id))
            }
            By::ConsumerGroup => {
                consumer.and_then(|consumer| consumer.groups.first()).map(|(group, _)| id(group))
            }
            By::Credential => request.credential.as_ref().map(id),
            By::Service => request.service.as_deref().map(|service| id(&service.id)),
            By::Header => {
                let value = self.header.as_ref().and_then(|name| request.headers.get(name));
                value.map(|value| Cow::Borrowed(value.as_bytes()))
            }
            By::Path => Some(request.client_path())
                .filter(|path| Some(*path) == self.path.as_deref())
                .map(|path| Cow::Borrowed(path.as_bytes())),
            By::Ip => None,
        };
        who.unwrap_or_else(|| match request.client.ip {
            IpAddr::V4(ip) => Cow::Owned(ip.octets().to_vec()),
            IpAddr::V6(ip) => Cow::Owned(ip.octets().to_vec()),
        })
    }
}
