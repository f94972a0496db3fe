//! Puts the last hand to an entity of a file: shorthands, shared parts, tags.
//!
//! Owns: what decK does to an entity before it compares it. Must not know: schemas, other entities.

use serde_json::Value as Json;
use url::Url;

use super::super::kinds::Body;
use super::super::mask::Mask;
use super::super::target;
use super::{Entity, Header};

/// Fields into which a service's `url` is split.
const PARTS_OF_URL: [&str; 4] = ["protocol", "host", "port", "path"];

/// All of it.
pub(super) fn settle(entity: &mut Entity, header: &Header, problems: &mut Vec<String>) {
    match entity.kind.collection() {
        "services" => url(entity, problems),
        "routes" => route(entity),
        "targets" => {
            if let Some(Json::String(text)) = entity.body.get_mut("target") {
                *text = target::canonical(text);
            }
        }
        "keys" => {
            // A JWK is a text on the wire; people write it as a mapping, too.
            if let Some(jwk) = entity.body.get_mut("jwk").filter(|jwk| jwk.is_object()) {
                *jwk = jwk.to_string().into();
                entity.mask = std::mem::take(&mut entity.mask).and(Mask::field("jwk", Mask::Hidden));
            }
        }
        "plugins" => plugin(entity, header, problems),
        _ => {}
    }
    if let Some((defaults, mask)) = header.defaults.get(entity.kind.collection()) {
        merge_under(&mut entity.body, defaults);
        entity.mask = std::mem::take(&mut entity.mask).and(mask.clone());
    }
    tag(entity, &header.select_tags);
}

/// Adds tags that an entity does not have.
pub(super) fn tag(entity: &mut Entity, tags: &[String]) {
    if tags.is_empty() || !entity.kind.may_set("tags") {
        return;
    }
    let own = entity.body.remove("tags");
    let mut all = own.and_then(|own| own.as_array().cloned()).unwrap_or_default();
    for tag in tags {
        if !all.iter().any(|own| own == tag) {
            all.push(tag.as_str().into());
        }
    }
    entity.body.insert("tags".to_owned(), all.into());
}

/// `url: https://host:port/path` stands for four fields.
fn url(entity: &mut Entity, problems: &mut Vec<String>) {
    let Some(text) = entity.body.remove("url").filter(|url| !url.is_null()) else { return };
    let parsed = text.as_str().and_then(|text| Url::parse(text).ok());
    let Some((url, host)) = parsed.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        // Not quoted: it may hold credentials.
        problems.push(format!("{}: `url` is no URL", entity.place));
        return;
    };
    let body = &mut entity.body;
    body.insert("protocol".to_owned(), url.scheme().into());
    body.insert("host".to_owned(), host.into());
    if let Some(port) = url.port_or_known_default() {
        body.insert("port".to_owned(), port.into());
    }
    let has_path = text.as_str().is_some_and(|text| text.ends_with('/')) || url.path() != "/";
    if has_path && !url.path().is_empty() {
        body.insert("path".to_owned(), url.path().into());
    }
    let of_url = entity.mask.of("url");
    let parts = PARTS_OF_URL.map(|part| Mask::field(part, of_url.clone()));
    entity.mask = parts.into_iter().fold(std::mem::take(&mut entity.mask), Mask::and);
}

/// gRPC has no paths to strip, and gateways insist on that being said.
fn route(entity: &mut Entity) {
    let protocols = entity.body.get("protocols").and_then(Json::as_array);
    if protocols.is_some_and(|protocols| protocols.iter().any(|one| one == "grpc" || one == "grpcs")) {
        entity.body.insert("strip_path".to_owned(), false.into());
    }
    if entity.body.get("expression").is_some_and(Json::is_string) && !entity.body.contains_key("priority") {
        entity.body.insert("priority".to_owned(), 0.into());
    }
}

/// `_config` names a shared part, over which the plugin's own is laid.
fn plugin(entity: &mut Entity, header: &Header, problems: &mut Vec<String>) {
    if let Some(name) = entity.body.remove("_config").filter(|name| !name.is_null()) {
        match name.as_str().and_then(|name| header.plugin_configs.get(name)) {
            Some((shared, mask)) => {
                let own = entity.body.entry("config").or_insert(Json::Null);
                if own.is_null() {
                    *own = Body::new().into();
                }
                if let Json::Object(own) = own {
                    merge_under(own, shared);
                }
                let mask = Mask::field("config", mask.clone());
                entity.mask = std::mem::take(&mut entity.mask).and(mask);
            }
            None => problems.push(format!("{}: `_config` names nothing in _plugin_configs", entity.place)),
        }
    }
    entity.body.entry("enabled").or_insert(true.into());
}

/// Adds what is not there; what is there wins, key by key.
fn merge_under(body: &mut Body, below: &Body) {
    for (name, value) in below {
        match (body.get_mut(name), value) {
            (Some(Json::Object(own)), Json::Object(below)) => merge_under(own, below),
            (Some(_), _) => {}
            (None, value) => {
                body.insert(name.clone(), value.clone());
            }
        }
    }
}
