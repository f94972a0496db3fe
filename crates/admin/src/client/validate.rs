//! Has the gateway look at each entity without keeping it.
//!
//! Owns: how it is asked. Must not know: what it checks. No reference is resolved here but by name: a gateway does not look
//! for what is referred to.

use futures_util::stream::{self, StreamExt as _};
use http::Method;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::gateway::Gateway;
use super::kinds::{self, Body};
use super::mask::Mask;
use super::wanted::{Entity, Target, Wanted};

/// Everything that the gateway says against what files ask for.
pub async fn validate(gateway: &Gateway, wanted: &Wanted, parallelism: usize) -> Vec<String> {
    let ids: Vec<String> = wanted
        .entities
        .iter()
        .map(|entity| entity.id.clone().unwrap_or_else(|| Uuid::new_v4().to_string()))
        .collect();
    let entities = wanted.entities.iter().enumerate().filter(|(_, entity)| entity.kind.is_validated());
    let checks = entities.map(|(index, entity)| one(gateway, index, entity, &ids));
    let found: Vec<Option<String>> = stream::iter(checks).buffered(parallelism.max(1)).collect().await;
    found.into_iter().flatten().collect()
}

async fn one(gateway: &Gateway, index: usize, entity: &Entity, ids: &[String]) -> Option<String> {
    let body = Json::from(body_of(entity, &ids[index], ids));
    let mask = Mask::of_kind(entity.kind, &entity.body, None).and(entity.mask.clone());
    let mut secrets = Vec::new();
    mask.hidden_texts(&body, &mut secrets);
    let path = ["schemas", entity.kind.collection(), "validate"];
    let error = gateway.write(Method::POST, &path, &body, &secrets).await.err()?;
    let plugin = || entity.body.get("name").and_then(Json::as_str);
    let name = kinds::name_of(entity.kind, &entity.body).or_else(plugin);
    let name = name.map_or_else(String::new, |name| format!(" {name}"));
    Some(format!("{}: {}{name}: {error}", entity.place, entity.kind.deck_name()))
}

fn body_of(entity: &Entity, id: &str, ids: &[String]) -> Body {
    let mut body = entity.body.clone();
    body.insert("id".to_owned(), id.into());
    for (reference, target) in &entity.references {
        let other = match target {
            Target::Around(index) => ids[*index].clone(),
            Target::Named(name) => Uuid::try_parse(name).unwrap_or_else(|_| Uuid::new_v4()).to_string(),
        };
        body.insert(reference.field.to_owned(), json!({ "id": other }));
    }
    body
}
