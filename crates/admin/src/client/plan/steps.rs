//! One entity and what is to become of it → the step that does it.
//!
//! Owns: what is sent, what it is called, and what of it may be shown. Must not know: why it is done.

use std::collections::HashMap;

use postern_model::Kind;
use postern_model::kind::Refers;
use serde_json::Value as Json;

use super::super::compare::canonical;
use super::super::kinds::{self, Body, Place, referred};
use super::super::mask::Mask;
use super::super::present::{Existing, Present};
use super::super::schema;
use super::super::schemas::Schemas;
use super::identify::{Identified, One};
use super::{Action, Step};

pub(super) struct Maker<'a> {
    identified: &'a Identified,
    present: &'a Present,
    schemas: &'a Schemas,
    /// What each identifier is called.
    names: HashMap<(&'static str, String), String>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(identified: &'a Identified, present: &'a Present, schemas: &'a Schemas) -> Self {
        let existing = present.entities.iter().chain(&present.lookup);
        let existing = existing.map(|entity| (entity.kind, &entity.id, &entity.body));
        let wanted = identified.entities.iter().map(|one| (one.kind, &one.id, &one.body));
        let names = existing.chain(wanted).map(|(kind, id, body)| {
            ((kind.collection(), id.clone()), kinds::name_of(kind, body).unwrap_or(id).to_owned())
        });
        Self { identified, present, schemas, names: names.collect() }
    }

    /// A new entity, or one that is made again.
    pub(super) fn create(&self, index: usize, again: Option<usize>) -> Step {
        let one = &self.identified.entities[index];
        let old = again.map(|at| &self.present.entities[at]).filter(|existing| existing.id == one.id);
        self.write(Action::Create, one, old, Json::Null)
    }

    /// What makes a present entity what it should be; nothing where it is that.
    pub(super) fn update(&self, index: usize, at: usize) -> Option<Step> {
        let (one, existing) = (&self.identified.entities[index], &self.present.entities[at]);
        let mut old = canonical(existing.kind, &existing.body, self.schemas);
        let new = canonical(one.kind, &one.body, self.schemas);
        // A gateway tells the seconds that remain of those that were set.
        let ttl = |body: &Body| body.get("ttl").and_then(Json::as_i64);
        if let (Some(remain), Some(wanted)) = (ttl(&old), ttl(&new))
            && remain <= wanted
        {
            old.insert("ttl".to_owned(), wanted.into());
        }
        // What the gateway generated, for nobody said it, stays.
        for field in one.kind.generated().iter().filter(|field| !new.contains_key(**field)) {
            old.remove(*field);
        }
        let differs = old != new && kinds::place(one.kind) != Place::Member;
        differs.then(|| self.write(Action::Update, one, Some(existing), old.into()))
    }

    /// The end of a present entity.
    pub(super) fn delete(&self, at: usize) -> Step {
        let existing = &self.present.entities[at];
        let (kind, Existing { id, body, .. }) = (existing.kind, existing);
        let mask = self.mask(kind, body, Mask::Open);
        let old = with_id(canonical(kind, body, self.schemas), id);
        Step {
            action: Action::Delete,
            kind,
            id: id.clone(),
            owner: owner(kind, body),
            name: self.name(kind, id, body),
            body: body.clone(),
            secrets: Vec::new(),
            shown: (mask.pair(Some(&old), None).0, Json::Null),
        }
    }

    fn write(&self, action: Action, one: &One, existing: Option<&Existing>, old: Json) -> Step {
        let mask = self.mask(one.kind, &one.body, one.mask.clone());
        let new = with_id(canonical(one.kind, &one.body, self.schemas), &one.id);
        let old = match old {
            Json::Object(old) => Some(with_id(old, &one.id)),
            _ => None,
        };
        // What it was may have had credentials elsewhere: another kind of vault, say.
        let mask = existing
            .map_or(mask.clone(), |existing| mask.and(self.mask(one.kind, &existing.body, Mask::Open)));
        let shown = mask.pair(old.as_ref(), Some(&new));
        let body = self.sent(action, one, existing);
        let mut secrets = Vec::new();
        mask.hidden_texts(&Json::from(body.clone()), &mut secrets);
        Step {
            action,
            kind: one.kind,
            id: one.id.clone(),
            owner: owner(one.kind, &one.body),
            name: self.name(one.kind, &one.id, &one.body),
            body,
            secrets,
            shown,
        }
    }

    fn mask(&self, kind: Kind, body: &Body, environment: Mask) -> Mask {
        let config = self.schemas.config(kind, body);
        // What an older name hides is shown under the newer one.
        let moved = config.map_or(Mask::Open, |config| unfolded(config, &environment.of("config")));
        Mask::of_kind(kind, body, config).and(Mask::field("config", moved)).and(environment)
    }

    /// The whole entity, as gateways want it: without what is null, unless it is in a `config`.
    fn sent(&self, action: Action, one: &One, existing: Option<&Existing>) -> Body {
        if kinds::place(one.kind) == Place::Member {
            let consumer = referred(&one.body, "consumer").unwrap_or_default();
            return [("consumer".to_owned(), consumer.into())].into_iter().collect();
        }
        let mut body = Body::new();
        for (name, value) in &one.body {
            let value = if name == "config" { value.clone() } else { without_nulls(value) };
            let is_nothing =
                value.is_null() || name == "config" && value.as_object().is_some_and(Body::is_empty);
            if !is_nothing {
                body.insert(name.clone(), value);
            }
        }
        body.insert("id".to_owned(), one.id.as_str().into());
        if one.kind.is_plugin()
            && !body.contains_key("protocols")
            && let Some(protocols) = self.schemas.protocols(&body)
        {
            body.insert("protocols".to_owned(), protocols.clone());
        }
        if let (Action::Update, Some(existing)) = (action, existing) {
            for field in one.kind.generated().iter().filter(|field| !one.body.contains_key(**field)) {
                if let Some(value) = existing.body.get(*field) {
                    body.insert((*field).to_owned(), value.clone());
                }
            }
            if let Some(created) = existing.body.get("created_at").filter(|created| created.is_number()) {
                body.insert("created_at".to_owned(), created.clone());
            }
            if one.kind.collection() == "certificates" {
                // Without them the gateway would take the certificate's names away.
                body.insert("snis".to_owned(), self.server_names(&existing.id));
            }
        }
        body
    }

    fn server_names(&self, certificate: &str) -> Json {
        let snis = self.present.entities.iter().filter(|entity| {
            entity.kind.collection() == "snis" && referred(&entity.body, "certificate") == Some(certificate)
        });
        snis.filter_map(|sni| sni.body.get("name").cloned()).collect()
    }

    /// `rate-limiting for service a and consumer b`, `cors (global)`, `10.0.0.1:80 for upstream u`.
    fn name(&self, kind: Kind, id: &str, body: &Body) -> String {
        let called = |reference: Refers| {
            let to = referred(body, reference.field)?;
            let name = self.names.get(&(reference.to, to.to_owned())).map_or(to, String::as_str);
            Some(format!("{} {name}", reference.field.replace('_', "-")))
        };
        let text = |field: &str| body.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
        let mut refers = kind.refers();
        let place = |field: &str| SCOPES.iter().position(|scope| *scope == field).unwrap_or(SCOPES.len());
        refers.sort_by_key(|refers| place(refers.field));
        let scopes: Vec<String> = refers.into_iter().filter_map(called).collect();
        let own = match kind.collection() {
            "plugins" => text("name"),
            "targets" => text("target"),
            "acls" => text("group"),
            "mtls_auth_credentials" => text("subject_name"),
            "consumer_group_consumers" => {
                let member = scopes.first().and_then(|scope| scope.strip_prefix("consumer "));
                let group = scopes.get(1).map(String::as_str).unwrap_or_default();
                return format!("{} for {group}", member.unwrap_or_default());
            }
            _ => match kinds::name_of(kind, body) {
                Some(name) => name.to_owned(),
                None if kind.is_secret("key") && matches!(kinds::place(kind), Place::Under(..)) => {
                    "[masked]".to_owned()
                }
                None => id.to_owned(),
            },
        };
        match (kind.is_plugin(), kinds::place(kind), scopes.as_slice()) {
            (true, _, []) => format!("{own} (global)"),
            (true, ..) | (_, Place::Under(..), [_, ..]) => format!("{own} for {}", scopes.join(" and ")),
            _ => own,
        }
    }
}

/// In the order in which decK names them.
const SCOPES: &[&str] = &["service", "route", "consumer", "consumer_group"];

fn owner(kind: Kind, body: &Body) -> Option<String> {
    let field = match kinds::place(kind) {
        Place::Under(_, field, _) => field,
        Place::Member => "consumer_group",
        Place::Top(_) => return None,
    };
    referred(body, field).map(ToOwned::to_owned)
}

fn with_id(mut body: Body, id: &str) -> Json {
    body.insert("id".to_owned(), id.into());
    body.into()
}

fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect::<Body>()
            .into(),
        other => other.clone(),
    }
}

/// The mask of the newer names of what is hidden under older ones.
fn unfolded(config: &Json, mask: &Mask) -> Mask {
    let of_names = schema::shorthands(config)
        .filter(|(name, _)| mask.of(name) != Mask::Open)
        .flat_map(|(_, field)| schema::ways_of(field))
        .map(|way| way.iter().rev().fold(Mask::Hidden, |mask, step| Mask::field(step, mask)))
        .fold(Mask::Open, Mask::and);
    schema::fields(config)
        .filter(|(_, field)| schema::type_of(field) == "record")
        .map(|(name, field)| Mask::field(name, unfolded(field, &mask.of(name))))
        .fold(of_names, Mask::and)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_are_not_sent() {
        let body = json!({ "a": null, "b": { "c": null, "d": [null] }, "e": false });
        assert_eq!(without_nulls(&body), json!({ "b": { "d": [null] }, "e": false }));
    }

    #[test]
    fn a_value_stays_hidden_under_its_newer_name() {
        let config = json!({ "fields": [{ "redis": { "type": "record", "fields": [] } }], "shorthand_fields": [
            { "redis_host": { "deprecation": { "replaced_with": [{ "path": ["redis", "host"] }] } } },
        ] });
        let mask = unfolded(&config, &Mask::field("redis_host", Mask::Hidden));
        assert_eq!(mask.of("redis").of("host"), Mask::Hidden);
        assert_eq!(mask.of("redis").of("port"), Mask::Open);
    }
}
