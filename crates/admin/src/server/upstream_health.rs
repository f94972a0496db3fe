//! How the targets of an upstream are, as this node sees them.
//!
//! Owns: Kong's form of it. Must not know: how health is found out; the node does.

use axum::response::IntoResponse;
use http::StatusCode;
use postern_config::store::{Filter, Row};
use postern_model::Kind;
use serde_json::{Value, json};
use uuid::Uuid;

use super::call::{Answered, Call, ok};
use super::crud::{named, parent_id, place, rows};
use super::error::Refusal;
use super::{AddressHealth, TargetHealth, page};

fn upstreams() -> Result<Kind, Refusal> {
    Kind::named("upstreams").ok_or(Refusal::Unexpected)
}

/// `/upstreams/{}/targets/all`
pub(crate) async fn all_targets(call: &Call<'_>) -> Answered {
    let id = parent_id(call, upstreams()?).await?;
    let (targets, offset) = targets(call, id).await?;
    let data = targets.into_iter().map(|row| row.body.into()).collect();
    page::page(call, &format!("/upstreams/{id}/targets/all"), data, offset)
}

/// `/upstreams/{}/health`: of its targets, or with `balancer_health=1` of itself.
pub(crate) async fn health(call: &Call<'_>) -> Answered {
    let upstream = named(call.admin, upstreams()?, call.parameter(0)).await?;
    let id = upstream.row.id;
    let node_id = call.admin.node().about().node_id;
    let known = call.admin.node().health(id);
    if call.argument("balancer_health") == Some("1") {
        let health = match &known {
            None => "HEALTHCHECKS_OFF",
            Some(known) if known.is_well => "HEALTHY",
            Some(_) => "UNHEALTHY",
        };
        return ok(json!({ "data": { "id": id, "health": health }, "node_id": node_id, "next": null }));
    }
    let (targets, offset) = targets(call, id).await?;
    let known = known.unwrap_or_default().targets;
    let data: Vec<Value> = targets
        .into_iter()
        .map(|row| {
            let mut body = row.body;
            let name = body.get("target").and_then(Value::as_str).unwrap_or_default();
            let health = known.iter().find(|health| health.target == name);
            body.insert(
                "health".to_owned(),
                health.map_or("HEALTHCHECKS_OFF", |health| health.health).into(),
            );
            body.insert("data".to_owned(), health.map(details).unwrap_or_default());
            body.into()
        })
        .collect();
    let mut told = json!({ "data": data, "node_id": node_id, "next": null });
    if let Some(offset) = offset {
        told["next"] = page::next(call, &format!("/upstreams/{id}/health"), &offset).into();
        told["offset"] = offset.into();
    }
    ok(told)
}

/// The targets of an upstream that the page has, and the offset of the next page.
async fn targets(call: &Call<'_>, upstream: Uuid) -> Result<(Vec<Row>, Option<String>), Refusal> {
    let kind = Kind::named("targets").ok_or(Refusal::Unexpected)?;
    let filter = Filter::RefersTo { field: "upstream".to_owned(), id: upstream };
    rows(call, kind, Some(filter), Some(("upstream", upstream))).await
}

fn details(health: &TargetHealth) -> Value {
    let total: u64 = health.addresses.iter().map(|address| u64::from(address.weight)).sum();
    let well = |address: &&AddressHealth| address.health != "UNHEALTHY";
    let available: u64 = health.addresses.iter().filter(well).map(|address| u64::from(address.weight)).sum();
    let (host, port) = health.target.rsplit_once(':').unwrap_or((&health.target, ""));
    let addresses: Vec<Value> = health
        .addresses
        .iter()
        .map(|address| {
            json!({
                "ip": address.ip, "port": address.port, "weight": address.weight, "health": address.health,
            })
        })
        .collect();
    json!({
        "host": host,
        "port": port.parse::<u16>().ok(),
        "weight": { "total": total, "available": available, "unavailable": total - available },
        "addresses": addresses,
    })
}

/// `/upstreams/{}/targets/{}[/{address}]/healthy` and `unhealthy`
pub(crate) async fn switch(call: &Call<'_>, is_well: bool, of_address: bool) -> Answered {
    let upstream = parent_id(call, upstreams()?).await?;
    let targets = Kind::named("targets").ok_or(Refusal::Unexpected)?;
    let place = place(targets, call.parameter(1), Some(("upstream", upstream))).ok_or(Refusal::NotFound)?;
    let target = place.find(call.admin, targets).await?.ok_or(Refusal::NotFound)?;
    if !super::foreign::refers_to(&target, "upstream", upstream) {
        return Err(Refusal::NotFound);
    }
    let name = target.row.body.get("target").and_then(Value::as_str).unwrap_or_default();
    let address = of_address.then(|| call.parameter(2));
    match call.admin.node().set_health(upstream, name, address, is_well) {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Refusal::NotFound),
    }
}
