//! Who belongs to which group of consumers.
//!
//! Owns: the forms that only groups have: one is answered with its members around it, and members are added by name.
//! Must not know: how other entities are served (`crud` does); a membership is a row like any other.

use axum::response::IntoResponse;
use http::{Method, StatusCode};
use postern_config::store::{Expect, Filter, Kept, Key, Row, Select, Step, Write};
use postern_model::Kind;
use postern_model::field::Field;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::call::{Answered, Call, ok};
use super::crud::{all, named, remove};
use super::decode;
use super::error::Refusal;
use super::foreign::identifier;
use super::page::{self, SIZE_MAX};
use super::write::unsupported;
use super::{prepare, shown};

const MEMBERSHIPS: &str = "consumer_group_consumers";

/// The two sides of a membership.
#[derive(Clone, Copy)]
enum Side {
    Group,
    Consumer,
}

impl Side {
    /// The field of a membership.
    fn field(self) -> &'static str {
        match self {
            Self::Group => "consumer_group",
            Self::Consumer => "consumer",
        }
    }

    /// The kind, which is also what answers call several.
    fn collection(self) -> &'static str {
        match self {
            Self::Group => "consumer_groups",
            Self::Consumer => "consumers",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Group => Self::Consumer,
            Self::Consumer => Self::Group,
        }
    }

    fn kind(self) -> Result<Kind, Refusal> {
        Kind::named(self.collection()).ok_or(Refusal::Unexpected)
    }
}

/// `GET /consumer_groups/{}`: wrapped, for decK takes a bare one for a fault.
pub(crate) async fn one(call: &Call<'_>) -> Answered {
    let group = named(call.admin, Side::Group.kind()?, call.parameter(0)).await?;
    let id = group.row.id;
    let consumers = match call.argument("list_consumers") {
        Some("false") => Vec::new(),
        _ => {
            let memberships = all(call.admin, MEMBERSHIPS, Some(by(Side::Group, id))).await?;
            others(call, Side::Consumer, memberships.iter()).await?
        }
    };
    let plugins = all(call.admin, "plugins", Some(by(Side::Group, id))).await?;
    let kind = Kind::named("plugins").ok_or(Refusal::Unexpected)?;
    let plugins = shown::entities(call.admin, kind, plugins).await?;
    ok(json!({ "consumer_group": group.row.body, "consumers": consumers, "plugins": plugins }))
}

/// `/consumer_groups/{}/consumers`
pub(crate) async fn members(call: &Call<'_>) -> Answered {
    sided(call, Side::Group).await
}

/// `/consumers/{}/consumer_groups`
pub(crate) async fn of_consumer(call: &Call<'_>) -> Answered {
    sided(call, Side::Consumer).await
}

async fn sided(call: &Call<'_>, side: Side) -> Answered {
    let one = named(call.admin, side.kind()?, call.parameter(0)).await?;
    match call.method {
        Method::POST => add(call, side, &one).await,
        Method::DELETE => {
            writable(call, "remove")?;
            let rows = all(call.admin, MEMBERSHIPS, Some(by(side, one.row.id))).await?;
            let kind = Kind::named(MEMBERSHIPS).ok_or(Refusal::Unexpected)?;
            remove(call, rows.into_iter().map(|row| (kind, row.id)).collect()).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => list(call, side, &one).await,
    }
}

async fn list(call: &Call<'_>, side: Side, one: &Kept) -> Answered {
    let select = Select {
        kind: MEMBERSHIPS.to_owned(),
        after: page::after(call, None)?,
        size: page::size(call)?,
        filter: Some(by(side, one.row.id)),
        tags: None,
    };
    let found = call.admin.store().page(&select).await?;
    let offset = found.rows.last().map(|kept| kept.row.id).filter(|_| found.more);
    let offset = offset.map(|last| page::offset(last, None));
    let others = others(call, side.other(), found.rows.iter().map(|kept| &kept.row)).await?;
    let mut body = json!({ side.other().collection(): others, "next": null });
    if let Some(offset) = offset {
        let path = format!("/{}/{}/{}", side.collection(), one.row.id, side.other().collection());
        body["next"] = page::next(call, &path, &offset).into();
        body["offset"] = offset.into();
    }
    ok(body)
}

/// The entities at the other side of memberships.
async fn others<'a>(
    call: &Call<'_>,
    side: Side,
    memberships: impl Iterator<Item = &'a Row>,
) -> Result<Vec<Value>, Refusal> {
    let mut found = Vec::new();
    for membership in memberships {
        let reference = membership.references.iter().find(|reference| reference.field == side.field());
        let Some(reference) = reference else { continue };
        // It may have gone since the list was read.
        if let Some(kept) = call.admin.store().get(side.collection(), reference.id).await? {
            found.push(kept.row);
        }
    }
    let kind = side.kind()?;
    shown::entities(call.admin, kind, found).await
}

/// `{"consumer": "..."}` for a group, `{"group": "..."}` for a consumer; several in a list.
async fn add(call: &Call<'_>, side: Side, one: &Kept) -> Answered {
    const OF_GROUP: &[Field] = &[Field::strings("consumer")];
    const OF_CONSUMER: &[Field] = &[Field::strings("group")];
    writable(call, "create")?;
    let (fields, name) = match side {
        Side::Group => (OF_GROUP, "consumer"),
        Side::Consumer => (OF_CONSUMER, "group"),
    };
    let mut body = decode::fields(call.content_type(), &call.body, fields)?;
    let names = match body.remove(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => {
            items.into_iter().filter_map(|item| item.as_str().map(ToOwned::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    if names.is_empty() || names.len() > SIZE_MAX || !body.is_empty() {
        return Err(Refusal::Bad(format!("must provide {name}: a name, an id, or a list of them")));
    }
    let other = side.other();
    let (mut steps, mut added) = (Vec::new(), Vec::new());
    for name in &names {
        let found = named(call.admin, other.kind()?, name).await;
        let found = found.map_err(|refusal| match refusal {
            Refusal::NotFound => Refusal::Dangling {
                field: other.field().to_owned(),
                kind: other.collection().to_owned(),
                by: if identifier(name).is_some() {
                    "id"
                } else {
                    other.kind().ok().and_then(Kind::path_key).unwrap_or("id")
                },
                value: name.clone(),
            },
            refusal => refusal,
        })?;
        steps.push(Step::Put(membership(call, side, one.row.id, found.row.id)?, Expect::Absent));
        added.push(found.row.body);
    }
    let steps = prepare::steps(call.admin, steps).await?;
    let rows: Vec<Row> = steps.iter().filter_map(prepare::of_put).cloned().collect();
    let write = Write { steps, revision: None, by: call.who.clone() };
    let refused = |error| Refusal::of_write(error, &rows.iter().collect::<Vec<_>>());
    call.admin.store().write(write).await.map_err(refused)?;
    let mut response = ok(json!({ side.field(): one.row.body, other.collection(): added }))?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn membership(call: &Call<'_>, side: Side, one: Uuid, other: Uuid) -> Result<Row, Refusal> {
    let (id, now) = (Uuid::new_v4(), call.admin.now());
    let body = json!({
        "id": id, side.field(): { "id": one }, side.other().field(): { "id": other },
        "created_at": now, "updated_at": now,
    });
    let kind = Kind::named(MEMBERSHIPS).ok_or(Refusal::Unexpected)?;
    let body = body.as_object().cloned().unwrap_or_else(Map::new);
    let checked = kind.check(&body, &Vec::new()).map_err(Refusal::Schema)?;
    Ok(Row::of(kind, id, checked.body))
}

/// One membership: from the group, or from the consumer.
pub(crate) async fn member(call: &Call<'_>, from_consumer: bool) -> Answered {
    let (first, second) = match from_consumer {
        true => (Side::Consumer, Side::Group),
        false => (Side::Group, Side::Consumer),
    };
    let one = named(call.admin, first.kind()?, call.parameter(0)).await?;
    let other = named(call.admin, second.kind()?, call.parameter(1)).await?;
    let (group, consumer) = match from_consumer {
        true => (other.row.id, one.row.id),
        false => (one.row.id, other.row.id),
    };
    let values = [Value::from(group.to_string()), consumer.to_string().into()];
    let key = Key::of(MEMBERSHIPS, &["consumer_group", "consumer"], &values);
    let found = call.admin.store().find(MEMBERSHIPS, &key).await?.ok_or(Refusal::NotFound)?;
    if call.method == Method::DELETE {
        writable(call, "remove")?;
        let kind = Kind::named(MEMBERSHIPS).ok_or(Refusal::Unexpected)?;
        remove(call, vec![(kind, found.row.id)]).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    ok(json!({ second.field(): other.row.body }))
}

fn writable(call: &Call<'_>, verb: &str) -> Result<(), Refusal> {
    let kind = Kind::named(MEMBERSHIPS).ok_or(Refusal::Unexpected)?;
    match call.admin.node().about().is_db_less {
        true => Err(unsupported(kind, verb, None)),
        false => Ok(()),
    }
}

fn by(side: Side, id: Uuid) -> Filter {
    Filter::RefersTo { field: side.field().to_owned(), id }
}
