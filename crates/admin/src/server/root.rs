//! The node itself: `/`, `/status`, `/endpoints`, `/plugins/enabled`, workspaces.
//!
//! Owns: what Kong's clients look for there: a `version` that decK understands, above all. Must not know: how the node
//! counts.

use std::collections::BTreeSet;

use postern_secrets::rotate::ReferenceState;
use serde_json::{Value, json};

use super::KONG_VERSION;
use super::call::{Answered, Call, ok};
use super::crud;
use super::error::Refusal;
use super::listeners;
use super::route::Serves;

/// `/`
pub(crate) async fn root(call: &Call<'_>) -> Answered {
    let (about, applied) = (call.admin.node().about(), call.admin.node().applied());
    let in_use = crud::all(call.admin, "plugins", None).await?;
    let in_use: BTreeSet<&str> = in_use.iter().filter_map(|row| row.body.get("name")?.as_str()).collect();
    let in_use: Vec<&str> = in_use.into_iter().collect();
    let plugins = call.admin.node().plugins();
    let available: serde_json::Map<String, Value> = plugins
        .names()
        .into_iter()
        .filter_map(|name| {
            let schema = plugins.schema(name)?;
            Some((name.to_owned(), json!({ "version": schema.version, "priority": schema.priority })))
        })
        .collect();
    let mut configuration = about.settings;
    listeners::add(&mut configuration);
    let database = if about.is_db_less { "off" } else { call.admin.store().name() };
    configuration.insert("database".to_owned(), database.into());
    configuration.insert("router_flavor".to_owned(), about.router_flavor.into());
    ok(json!({
        "version": KONG_VERSION,
        "edition": "community",
        "tagline": format!("Postern {}, which speaks Kong's Admin API", about.version),
        "postern": {
            "version": about.version,
            "broken": applied.broken,
            "broken_count": applied.broken_count,
        },
        "hostname": about.hostname,
        "node_id": about.node_id,
        "pids": { "master": std::process::id() },
        "timers": { "running": 0, "pending": 0 },
        "plugins": {
            "available_on_server": available,
            "enabled_in_cluster": in_use,
            "disabled_on_server": {},
        },
        "configuration": configuration,
    }))
}

/// `/status`
pub(crate) async fn status(call: &Call<'_>) -> Answered {
    let node = call.admin.node();
    let (counts, applied) = (node.counts(), node.applied());
    let reachable = call.admin.store().ping().await.is_ok();
    let secrets = node.engine().map(|engine| {
        let status = engine.status();
        let count = |state| status.references.iter().filter(|reference| reference.state == state).count();
        json!({
            "references": status.references.len(),
            "fresh": count(ReferenceState::Fresh),
            "stale": count(ReferenceState::Stale),
            "unresolved": count(ReferenceState::Unresolved),
            "invalid": count(ReferenceState::Invalid),
        })
    });
    let hash = applied.hash.unwrap_or_else(|| "0".repeat(32));
    ok(json!({
        "database": { "reachable": reachable },
        "server": {
            "connections_accepted": counts.accepted,
            "connections_handled": counts.accepted,
            "connections_active": counts.active,
            "connections_reading": 0,
            "connections_writing": counts.active,
            "connections_waiting": 0,
            "total_requests": counts.requests,
        },
        "memory": { "workers_lua_vms": [], "lua_shared_dicts": {} },
        "configuration_hash": hash,
        "configuration": {
            "revision": applied.revision,
            "refused": applied.refused,
            "broken": applied.broken,
            "broken_count": applied.broken_count,
        },
        "secrets": secrets,
    }))
}

/// `/endpoints`
pub(crate) fn endpoints(call: &Call<'_>) -> Answered {
    let mut paths: Vec<&str> = call.admin.endpoints().iter().map(|endpoint| endpoint.path.as_str()).collect();
    paths.sort_unstable();
    ok(json!({ "data": paths, "next": null }))
}

/// `/plugins/enabled`
pub(crate) fn enabled_plugins(call: &Call<'_>) -> Answered {
    ok(json!({ "enabled_plugins": call.admin.node().plugins().names() }))
}

/// The one workspace that there is; files that decK wrote with `-w default` name it.
pub(crate) fn workspaces(call: &Call<'_>, serves: Serves) -> Answered {
    const ID: &str = "00000000-0000-0000-0000-000000000000";
    let workspace = json!({
        "id": ID, "name": "default", "comment": null, "created_at": 0, "config": {}, "meta": {},
    });
    match (serves, call.parameter(0)) {
        (Serves::Workspaces, _) => ok(json!({ "data": [workspace], "next": null })),
        (_, "default" | ID) => ok(workspace),
        _ => Err(Refusal::NotFound),
    }
}
