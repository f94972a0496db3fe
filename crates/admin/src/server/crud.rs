//! Entities of every kind: listed, shown, created, replaced, merged, deleted; flat and below a parent.
//!
//! Owns: what each method does with which path. Must not know: fields; there is one set of functions for all kinds.

use axum::response::IntoResponse;
use http::{HeaderValue, Method, StatusCode, header};
use postern_config::store::{Expect, Filter, Kept, Key, Row, Select, Step, StoreError, Write};
use postern_model::Kind;
use postern_model::entity::upstream::with_port;
use uuid::Uuid;

use super::call::{Answered, Call, ok};
use super::error::Refusal;
use super::foreign::{identifier, refers_to};
use super::page::{self, SIZE_MAX};
use super::route::Serves;
use super::write::{self, Aim, Parent, Place, save};
use super::{Admin, shown};

/// Serves an endpoint of entities.
pub(crate) async fn serve(call: &Call<'_>, serves: Serves) -> Answered {
    match serves {
        Serves::Collection(kind) => collection(call, kind, None).await,
        Serves::Entity(kind) => {
            let place = place(kind, call.parameter(0), None).ok_or(Refusal::NotFound)?;
            entity(call, kind, place, None).await
        }
        Serves::Nested(parent, child, field) => {
            let parent = parent_id(call, parent).await?;
            collection(call, child, Some((field, parent))).await
        }
        Serves::NestedEntity(parent, child, field) => {
            let parent = Some((field, parent_id(call, parent).await?));
            let place = place(child, call.parameter(1), parent).ok_or(Refusal::NotFound)?;
            entity(call, child, place, parent).await
        }
        Serves::Foreign(child, to, field) => foreign(call, child, to, field).await,
        _ => Err(Refusal::NotFound),
    }
}

/// What a segment of a path means.
pub(crate) fn place(kind: Kind, segment: &str, parent: Parent) -> Option<Place> {
    if let Some(id) = identifier(segment) {
        return Some(Place::Id(id));
    }
    let field = kind.path_key()?;
    let text = match kind.collection() {
        // As they are kept.
        "targets" => with_port(segment).unwrap_or_else(|| segment.to_owned()),
        _ => segment.to_owned(),
    };
    let key = match parent {
        _ if kind.is_unique(field) => Key::of(kind.collection(), &[field], &[text.as_str().into()]),
        // One of its kind among those of its owner.
        Some((owner, id)) if kind.owner().is_some_and(|refers| refers.field == owner) => {
            Key::of(kind.collection(), &[owner, field], &[id.to_string().into(), text.as_str().into()])
        }
        _ => return None,
    };
    Some(Place::Key(field, text, key))
}

/// The identifier of the entity that the first parameter names.
pub(crate) async fn parent_id(call: &Call<'_>, parent: Kind) -> Result<Uuid, Refusal> {
    Ok(named(call.admin, parent, call.parameter(0)).await?.row.id)
}

/// The entity that a segment names.
pub(crate) async fn named(admin: &Admin, kind: Kind, segment: &str) -> Result<Kept, Refusal> {
    let place = place(kind, segment, None).ok_or(Refusal::NotFound)?;
    place.find(admin, kind).await?.ok_or(Refusal::NotFound)
}

async fn collection(call: &Call<'_>, kind: Kind, parent: Parent) -> Answered {
    match call.method {
        Method::POST => {
            let row = save(call, kind, &Aim::Create, parent).await?;
            answer(call, StatusCode::CREATED, kind, row).await
        }
        _ => list(call, kind, parent).await,
    }
}

async fn list(call: &Call<'_>, kind: Kind, parent: Parent) -> Answered {
    let mut filter = parent.map(|(field, id)| Filter::RefersTo { field: field.to_owned(), id });
    if let ("consumers", Some(custom_id)) = (kind.collection(), call.argument("custom_id")) {
        filter = Some(Filter::Key(Key::of("consumers", &["custom_id"], &[custom_id.into()])));
    }
    let (rows, offset) = rows(call, kind, filter, parent).await?;
    let data = shown::entities(call.admin, kind, rows).await?;
    page::page(call, &path(call, kind, parent), data, offset)
}

/// The rows of the page that is asked for, and the offset of the next one.
pub(crate) async fn rows(
    call: &Call<'_>,
    kind: Kind,
    filter: Option<Filter>,
    parent: Parent,
) -> Result<(Vec<Row>, Option<String>), Refusal> {
    let tags = page::tags(call)?;
    let of = parent.filter(|_| kind.collection() == "targets").map(|(_, id)| id);
    let (after, size) = (page::after(call, of)?, page::size(call)?);
    let select = Select { kind: kind.collection().to_owned(), after, size, filter, tags };
    let found = call.admin.store().page(&select).await?;
    let last = found.rows.last().map(|kept| kept.row.id);
    let offset = last.filter(|_| found.more).map(|last| page::offset(last, of));
    Ok((found.rows.into_iter().map(|kept| kept.row).collect(), offset))
}

/// Where the list is, for the link to its next page.
fn path(call: &Call<'_>, kind: Kind, parent: Parent) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let above = parent.and_then(|(field, _)| {
        let refers = kind.refers().into_iter().find(|refers| refers.field == field)?;
        Kind::named(refers.to)?.path()
    });
    match above {
        Some(above) => format!("/{above}/{}/{}", encoded(call.parameter(0)), kind.nested()),
        None => format!("/{}", kind.path().unwrap_or(kind.nested())),
    }
}

async fn entity(call: &Call<'_>, kind: Kind, place: Place, parent: Parent) -> Answered {
    match call.method {
        Method::PUT => {
            let row = save(call, kind, &Aim::Replace(place), parent).await?;
            answer(call, StatusCode::OK, kind, row).await
        }
        Method::PATCH => {
            let row = save(call, kind, &Aim::Merge(place), parent).await?;
            answer(call, StatusCode::OK, kind, row).await
        }
        Method::DELETE => delete(call, kind, &place, parent).await,
        _ => {
            let found = find(call.admin, kind, &place, parent).await?.ok_or(Refusal::NotFound)?;
            answer(call, StatusCode::OK, kind, found.row).await
        }
    }
}

async fn find(admin: &Admin, kind: Kind, place: &Place, parent: Parent) -> Result<Option<Kept>, Refusal> {
    let found = place.find(admin, kind).await?;
    Ok(found.filter(|kept| parent.is_none_or(|(field, id)| refers_to(kept, field, id))))
}

async fn delete(call: &Call<'_>, kind: Kind, place: &Place, parent: Parent) -> Answered {
    if call.admin.node().about().is_db_less {
        return Err(write::unsupported(kind, "remove", Some(place)));
    }
    match find(call.admin, kind, place, parent).await? {
        Some(kept) if call.headers.contains_key(header::IF_MATCH) => {
            write::expected(call, Some(&kept))?;
            // Written as it is, which fails where somebody was faster, and deleted in one step.
            let id = kept.row.id;
            let same = Step::Put(kept.row, Expect::Version(kept.version));
            let gone = Step::Delete { kind: kind.collection().to_owned(), id };
            let write = Write { steps: vec![same, gone], revision: None, by: call.who.clone() };
            call.admin.store().write(write).await.map_err(|error| match error {
                StoreError::Stale => Refusal::Stale(StatusCode::PRECONDITION_FAILED),
                error => Refusal::of_write(error, &[]),
            })?;
        }
        Some(kept) => remove(call, vec![(kind, kept.row.id)]).await?,
        None if call.headers.contains_key(header::IF_MATCH) => write::expected(call, None)?,
        // What is not there need not be deleted; but below a parent Kong says so.
        None if parent.is_some() => return Err(Refusal::NotFound),
        None => {}
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Deletes entities, all or none.
pub(crate) async fn remove(call: &Call<'_>, what: Vec<(Kind, Uuid)>) -> Result<(), Refusal> {
    let step = |(kind, id): (Kind, Uuid)| Step::Delete { kind: kind.collection().to_owned(), id };
    let steps = what.into_iter().map(step).collect();
    let write = Write { steps, revision: None, by: call.who.clone() };
    call.admin.store().write(write).await.map_err(|error| Refusal::of_write(error, &[]))?;
    Ok(())
}

/// `/routes/{}/service`: the entity that another refers to.
async fn foreign(call: &Call<'_>, child: Kind, to: Kind, field: &'static str) -> Answered {
    let kept = named(call.admin, child, call.parameter(0)).await?;
    let reference = kept.row.references.iter().find(|reference| reference.field == field);
    let Some(reference) = reference else { return Err(Refusal::NotFound) };
    entity(call, to, Place::Id(reference.id), None).await
}

/// An entity as an answer.
pub(crate) async fn answer(call: &Call<'_>, status: StatusCode, kind: Kind, row: Row) -> Answered {
    let tag = HeaderValue::try_from(write::tag(&row)).map_err(|_| Refusal::Unexpected)?;
    let shown = shown::entities(call.admin, kind, vec![row]).await?.pop().ok_or(Refusal::Unexpected)?;
    let mut response = ok(shown)?;
    response.headers_mut().insert(header::ETAG, tag);
    *response.status_mut() = status;
    Ok(response)
}

/// Every row of a kind, page by page.
pub(crate) async fn all(admin: &Admin, kind: &str, filter: Option<Filter>) -> Result<Vec<Row>, Refusal> {
    let mut select = Select { kind: kind.to_owned(), after: None, size: SIZE_MAX, filter, tags: None };
    let mut rows = Vec::new();
    loop {
        let page = admin.store().page(&select).await?;
        select.after = page.rows.last().map(|kept| kept.row.id);
        rows.extend(page.rows.into_iter().map(|kept| kept.row));
        if !page.more {
            return Ok(rows);
        }
    }
}
