//! What a gateway has: its lists, read all at once.
//!
//! Owns: which lists are asked for, and which refusals mean that there is no such list. Must not know: what is wanted. What
//! comes back is outside text: an entity without a usable identifier is an error, as that would get into a path.

use std::collections::{BTreeMap, HashSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use postern_model::Kind;
use serde_json::{Value as Json, json};

use super::Problems;
use super::gateway::{Gateway, GatewayError};
use super::kinds::{Body, referred};
use super::wanted::is_identifier;

/// An entity that a gateway has.
#[derive(Clone, Debug)]
pub struct Existing {
    /// What it is.
    pub kind: Kind,
    /// Its identifier.
    pub id: String,
    /// All that the gateway says of it.
    pub body: Body,
}

/// What a gateway has.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// What is looked after, in the order of the kinds.
    pub entities: Vec<Existing>,
    /// What may only be referred to.
    pub lookup: Vec<Existing>,
}

/// What to look at.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Only what has all of these tags.
    pub select_tags: Vec<String>,
    /// Tags of what may be referred to, by collection.
    pub lookup_tags: BTreeMap<String, Vec<String>>,
    /// Leave consumers, groups and credentials alone.
    pub skip_consumers: bool,
    /// Leave CA certificates alone.
    pub skip_ca_certificates: bool,
    /// Requests at a time.
    pub parallelism: usize,
}

impl Scope {
    /// Whether a kind is looked after.
    pub fn holds(&self, kind: Kind) -> bool {
        let of_consumers = kind.collection().starts_with("consumer")
            || kind.refers().into_iter().any(|reference| reference.to == "consumers" && !kind.is_plugin());
        !(self.skip_consumers && of_consumers
            || self.skip_ca_certificates && kind.collection() == "ca_certificates")
    }
}

/// Reads all of it.
///
/// # Errors
/// The first list that cannot be read.
pub async fn read(gateway: &Gateway, scope: &Scope) -> Result<Present, Problems> {
    let kinds = Kind::known().filter(|kind| scope.holds(*kind));
    let lists = kinds.filter_map(|kind| Some((kind, kind.path()?)));
    let lists = lists.map(|(kind, path)| async move {
        // Gateways do not tag these.
        let tags: &[String] = if kind.may_set("tags") { &scope.select_tags } else { &[] };
        entities(gateway, kind, &[path], tags).await
    });
    let read: Vec<Vec<Existing>> =
        stream::iter(lists).buffer_unordered(scope.parallelism.max(1)).try_collect().await?;
    let mut found: Vec<Existing> = read.into_iter().flatten().collect();
    let inside = inside(gateway, scope, &found).await?;
    found.extend(inside);
    let lookup = lookup(gateway, scope).await?;
    if Kind::known_as("consumers").is_some_and(|consumers| scope.holds(consumers)) {
        drop_orphans(&mut found);
        let members = elsewhere(gateway, scope, &found, &lookup).await?;
        found.extend(members);
    }
    // Of plugins that belong to a consumer nothing is known without it.
    if scope.skip_consumers {
        let is_of_consumer =
            |body: &Body| referred(body, "consumer").is_some() || referred(body, "consumer_group").is_some();
        found.retain(|entity| !entity.kind.is_plugin() || !is_of_consumer(&entity.body));
    }
    found.sort_by_key(|entity| entity.kind.rank());
    Ok(Present { entities: found, lookup })
}

/// Who of the consumers that are looked after is in a group that may only be referred to: the consumer's file says so.
async fn elsewhere(
    gateway: &Gateway,
    scope: &Scope,
    found: &[Existing],
    lookup: &[Existing],
) -> Result<Vec<Existing>, Problems> {
    let ids = |collection: &'static str| -> HashSet<&str> {
        let of = found.iter().filter(move |entity| entity.kind.collection() == collection);
        of.map(|entity| entity.id.as_str()).collect()
    };
    let (own, consumers) = (ids("consumer_groups"), ids("consumers"));
    let groups = lookup.iter().filter(|one| one.kind.collection() == "consumer_groups");
    let groups: Vec<Existing> = groups.filter(|group| !own.contains(group.id.as_str())).cloned().collect();
    let mut members = inside(gateway, scope, &groups).await?;
    members.retain(|member| referred(&member.body, "consumer").is_some_and(|id| consumers.contains(id)));
    Ok(members)
}

/// Targets of upstreams and members of groups, which have no lists of their own.
async fn inside(gateway: &Gateway, scope: &Scope, found: &[Existing]) -> Result<Vec<Existing>, Problems> {
    let of =
        |collection: &'static str| found.iter().filter(move |entity| entity.kind.collection() == collection);
    let targets = of("upstreams").map(|upstream| async move {
        let Some(kind) = Kind::known_as("targets") else { return Ok(Vec::new()) };
        let path = ["upstreams", &upstream.id, "targets"];
        let mut targets = entities(gateway, kind, &path, &scope.select_tags).await?;
        for target in &mut targets {
            target.body.insert("upstream".to_owned(), json!({ "id": upstream.id }));
        }
        Ok::<_, Problems>(targets)
    });
    let targets = stream::iter(targets).buffer_unordered(scope.parallelism.max(1)).try_collect::<Vec<_>>();
    let members = of("consumer_groups").map(|group| async move {
        match gateway.get(&["consumer_groups", &group.id]).await {
            Ok(body) => members(&group.id, &body),
            Err(error) if matches!(error.status(), Some(403 | 404)) => Ok(Vec::new()),
            Err(error) => Err(reading("consumer_groups", &error)),
        }
    });
    let members = stream::iter(members).buffer_unordered(scope.parallelism.max(1)).try_collect::<Vec<_>>();
    let (targets, members) = (targets.await?, members.await?);
    Ok(targets.into_iter().chain(members).flatten().collect())
}

/// `{"consumer_group": {...}, "consumers": [{...}]}`
fn members(group: &str, body: &Body) -> Result<Vec<Existing>, Problems> {
    let Some(kind) = Kind::known_as("consumer_group_consumers") else { return Ok(Vec::new()) };
    let consumers = body.get("consumers").and_then(Json::as_array).into_iter().flatten();
    let member = |consumer: &Json| {
        let id = consumer.get("id").and_then(Json::as_str).filter(|id| is_identifier(id));
        let id = id.ok_or_else(|| Problems::one("consumer_groups: a member has no usable `id`"))?;
        let body = json!({ "consumer_group": { "id": group }, "consumer": { "id": id } });
        let body = body.as_object().cloned().unwrap_or_default();
        Ok(Existing { kind, id: format!("{group}/{id}"), body })
    };
    consumers.map(member).collect()
}

/// A credential of somebody who was not read cannot be named.
fn drop_orphans(found: &mut Vec<Existing>) {
    let consumers: HashSet<String> = found
        .iter()
        .filter(|entity| entity.kind.collection() == "consumers")
        .map(|entity| entity.id.clone())
        .collect();
    found.retain(|entity| match referred(&entity.body, "consumer") {
        Some(consumer) if !entity.kind.is_plugin() => consumers.contains(consumer),
        _ => true,
    });
}

async fn lookup(gateway: &Gateway, scope: &Scope) -> Result<Vec<Existing>, Problems> {
    let mut found = Vec::new();
    for (collection, tags) in &scope.lookup_tags {
        if let Some((kind, path)) = Kind::known_as(collection).and_then(|kind| Some((kind, kind.path()?))) {
            found.extend(entities(gateway, kind, &[path], tags).await?);
        }
    }
    Ok(found)
}

async fn entities(
    gateway: &Gateway,
    kind: Kind,
    path: &[&str],
    tags: &[String],
) -> Result<Vec<Existing>, Problems> {
    let bodies = match gateway.list(path, tags).await {
        Ok(bodies) => bodies,
        Err(error) if error.status().is_some_and(|status| kind.absent().contains(&status)) => Vec::new(),
        Err(error) => return Err(reading(kind.collection(), &error)),
    };
    let existing = |body: Body| match body.get("id").and_then(Json::as_str).filter(|id| is_identifier(id)) {
        Some(id) => Ok(Existing { kind, id: id.to_owned(), body }),
        None => Err(Problems::one(format!("{}: an entity has no usable `id`", kind.collection()))),
    };
    bodies.into_iter().map(existing).collect()
}

fn reading(collection: &str, error: &GatewayError) -> Problems {
    Problems::of(&format!("reading {collection}"), error)
}
