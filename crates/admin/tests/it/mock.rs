//! A gateway of a few lines: lists with pages, PUT, PATCH, GET, DELETE, defaults by schema, unique names.
//!
//! Owns: what an Admin API must do for decK, no more. It notes each request, and fails where a test wants it to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use postern_admin::client::gateway::{Connection, Gateway};
use postern_client::Trust;
use postern_model::Kind;
use postern_model::field::Plugins as _;
use postern_plugins::registry::Registry;
use serde_json::{Map, Value as Json, json};

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) body: Json,
}

/// What to do instead of answering.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Answer(u16, String),
    Hang,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// By collection (its path) and id.
    pub(crate) rows: BTreeMap<String, BTreeMap<String, Map<String, Json>>>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) page: usize,
    /// By the beginning of `METHOD /path`.
    pub(crate) faults: Vec<(String, Fault)>,
    clock: i64,
}

#[derive(Clone, Default)]
pub(crate) struct Mock(Arc<Mutex<Inner>>);

/// The kind whose list has a path of its own, or goes by the same name below an upstream.
fn kind(list: &str) -> Option<Kind> {
    Kind::all().into_iter().find(|kind| kind.path().unwrap_or(kind.nested()) == list)
}

/// `/consumers/<id>/<name>` → the flat list.
fn nested(name: &str) -> Option<&'static str> {
    let found =
        Kind::all().into_iter().filter(|kind| kind.owner().is_some_and(|owner| owner.to == "consumers"));
    found.filter(|kind| kind.nested() == name).find_map(Kind::path)
}

impl Mock {
    /// Starts it, and a client of it.
    pub(crate) async fn start() -> (Self, String) {
        let mock = Self::default();
        mock.with(|inner| inner.page = 1000);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(serve).with_state(mock.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (mock, address)
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.with(|inner| std::mem::take(&mut inner.asked))
    }

    /// The requests since the last time that were no GET.
    pub(crate) fn writes(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| !asked.line.starts_with("GET ")).collect()
    }

    pub(crate) fn fail(&self, beginning: &str, fault: Fault) {
        self.with(|inner| inner.faults.push((beginning.to_owned(), fault)));
    }

    pub(crate) fn count(&self) -> usize {
        self.with(|inner| inner.rows.values().map(BTreeMap::len).sum())
    }
}

pub(crate) fn gateway(address: &str, workspace: Option<&str>) -> Gateway {
    Gateway::new(Connection {
        address: address.to_owned(),
        workspace: workspace.map(ToOwned::to_owned),
        headers: Vec::new(),
        token: Some("t0k3n-of-the-admin".into()),
        trust: Trust::none(),
        verify: true,
        identity: None,
        server_name: None,
        timeout: Duration::from_secs(5),
    })
    .unwrap()
}

async fn serve(
    State(mock): State<Mock>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    let body: Json = serde_json::from_slice(&body).unwrap_or_default();
    let line = format!("{method} {uri}");
    let fault = mock.with(|inner| {
        inner.asked.push(Asked { line: line.clone(), body: body.clone() });
        inner.faults.iter().find(|(beginning, _)| line.starts_with(beginning)).map(|(_, fault)| fault.clone())
    });
    match fault {
        Some(Fault::Hang) => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return StatusCode::OK.into_response();
        }
        Some(Fault::Answer(status, text)) => {
            return (StatusCode::from_u16(status).unwrap(), text).into_response();
        }
        None => {}
    }
    let path: Vec<&str> = uri.path().split('/').filter(|step| !step.is_empty()).collect();
    let path = path.strip_prefix(&["default"]).unwrap_or(&path);
    let (status, answer) = mock.with(|inner| inner.answer(&method, path, &query, body));
    let status = StatusCode::from_u16(status).unwrap();
    if status == StatusCode::NO_CONTENT {
        status.into_response()
    } else {
        (status, axum::Json(answer)).into_response()
    }
}

fn not_found() -> (u16, Json) {
    (404, json!({ "message": "Not found" }))
}

impl Inner {
    fn answer(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &BTreeMap<String, String>,
        body: Json,
    ) -> (u16, Json) {
        match (method.as_str(), path) {
            ("GET", [] | ["kong"]) => (200, json!({ "version": "3.9.0" })),
            ("GET", ["workspaces", "default"]) => (200, json!({ "name": "default" })),
            ("GET", ["schemas", "plugins", name]) => match Registry::bundled().schema(name) {
                Some(plugin) => (200, postern_model::schema::of_plugin(plugin)),
                None => not_found(),
            },
            ("POST", ["schemas", _, "validate"]) if body["name"] == "bad" => {
                (400, json!({ "message": "schema violation (host: required field missing)" }))
            }
            ("POST", ["schemas", _, "validate"]) => {
                (200, json!({ "message": "schema validation successful" }))
            }
            ("GET", ["schemas", kind]) => {
                postern_model::schema::of_entity(kind).map_or_else(not_found, |it| (200, it))
            }
            ("GET", ["consumer_groups", id]) => self.group(id),
            ("POST", ["consumer_groups", id, "consumers"]) => {
                let row = json!({ "group": id, "consumer": body["consumer"] });
                self.rows.entry("members".to_owned()).or_default().insert(
                    format!("{id}/{}", body["consumer"].as_str().unwrap()),
                    row.as_object().unwrap().clone(),
                );
                (201, row)
            }
            ("DELETE", ["consumer_groups", id, "consumers", consumer]) => {
                self.rows.entry("members".to_owned()).or_default().remove(&format!("{id}/{consumer}"));
                (204, Json::Null)
            }
            ("GET", ["upstreams", id, "targets"]) => self.list("targets", query, Some(id)),
            (_, ["upstreams", id, "targets", target]) => {
                self.one(method, "targets", target, body, Some(("upstream", id)))
            }
            (_, ["consumers", id, name, credential]) => match nested(name) {
                Some(list) => self.one(method, list, credential, body, Some(("consumer", id))),
                None => not_found(),
            },
            ("GET", [list]) if kind(list).is_some() => self.list(list, query, None),
            (_, [list, id]) if kind(list).is_some() => self.one(method, list, id, body, None),
            _ => not_found(),
        }
    }

    fn group(&self, id: &str) -> (u16, Json) {
        let row = |list: &str, id: &str| self.rows.get(list).and_then(|rows| rows.get(id)).cloned();
        let Some(group) = row("consumer_groups", id) else { return not_found() };
        let members =
            self.rows.get("members").into_iter().flatten().filter(|(_, member)| member["group"] == id);
        let consumers: Vec<_> =
            members.filter_map(|(_, member)| row("consumers", member["consumer"].as_str()?)).collect();
        (200, json!({ "consumer_group": group, "consumers": consumers, "plugins": [] }))
    }

    fn list(&self, list: &str, query: &BTreeMap<String, String>, upstream: Option<&str>) -> (u16, Json) {
        let tags: Vec<&str> = query.get("tags").map(|tags| tags.split(',').collect()).unwrap_or_default();
        let has = |row: &Map<String, Json>, tag: &str| {
            row.get("tags").and_then(Json::as_array).is_some_and(|own| own.iter().any(|one| one == tag))
        };
        let rows = self.rows.get(list).into_iter().flat_map(BTreeMap::values);
        let rows: Vec<_> = rows
            .filter(|row| tags.iter().all(|tag| has(row, tag)))
            .filter(|row| upstream.is_none_or(|id| row["upstream"]["id"] == id))
            .collect();
        let from: usize = query.get("offset").map_or(0, |offset| offset.parse().unwrap());
        let until = (from + self.page).min(rows.len());
        let offset = (until < rows.len()).then(|| until.to_string());
        (200, json!({ "data": rows[from..until], "offset": offset, "next": null }))
    }

    fn one(
        &mut self,
        method: &Method,
        list: &str,
        id: &str,
        body: Json,
        owner: Option<(&str, &str)>,
    ) -> (u16, Json) {
        let kind = kind(list).unwrap();
        let unique = kind.known_by().into_iter().filter_map(|fields| match (kind.collection(), fields) {
            // One may be there twice.
            ("certificates", _) | (_, [_, _, ..]) => None,
            (_, fields) => fields.first().copied(),
        });
        let rows = self.rows.entry(list.to_owned()).or_default();
        match method.as_str() {
            "GET" => rows.get(id).map_or_else(not_found, |row| (200, row.clone().into())),
            "DELETE" => {
                rows.remove(id);
                (204, Json::Null)
            }
            _ => {
                let Json::Object(mut row) = body else {
                    return (400, json!({ "message": "Cannot parse JSON body" }));
                };
                for field in unique {
                    let rival = rows.iter().find(|(other, row_there)| {
                        *other != id && row.get(field).is_some() && row_there.get(field) == row.get(field)
                    });
                    if rival.is_some() {
                        let value = row[field].as_str().unwrap();
                        let message = format!("UNIQUE violation detected on '{{{field}=\"{value}\"}}'");
                        return (409, json!({ "message": message, "code": 5 }));
                    }
                }
                self.clock += 1;
                row.insert("id".to_owned(), id.into());
                if let Some((field, owner)) = owner {
                    row.insert(field.to_owned(), json!({ "id": owner }));
                }
                row.entry("created_at").or_insert(self.clock.into());
                row.insert("updated_at".to_owned(), self.clock.into());
                fill(kind.collection(), &mut row);
                rows.insert(id.to_owned(), row.clone());
                (200, row.into())
            }
        }
    }
}

/// Defaults, in a way of its own: what the client does must not be judged by itself.
fn fill(kind: &str, row: &mut Map<String, Json>) {
    if kind == "plugins" {
        let name = row["name"].as_str().unwrap().to_owned();
        let Some(plugin) = Registry::bundled().schema(&name) else { return };
        let schema = postern_model::schema::of_plugin(plugin);
        let config = row.entry("config").or_insert(json!({}));
        let described =
            schema["fields"].as_array().unwrap().iter().find_map(|field| field.get("config")).unwrap();
        record(described, config.as_object_mut().unwrap(), true);
        for name in ["service", "route", "consumer", "consumer_group", "instance_name"] {
            row.entry(name).or_insert(Json::Null);
        }
    } else if let Some(schema) = postern_model::schema::of_entity(kind).filter(|_| kind != "vaults") {
        record(&schema, row, false);
    }
}

fn record(schema: &Json, row: &mut Map<String, Json>, in_config: bool) {
    for (name, field) in
        schema["fields"].as_array().unwrap().iter().flat_map(|field| field.as_object().unwrap())
    {
        if field["type"] == "record" {
            let is_there = row.get(name).is_some_and(Json::is_object);
            if is_there || !in_config || field["required"] == true {
                let inner = row.entry(name.clone()).or_insert(json!({}));
                if inner.is_null() {
                    *inner = json!({});
                }
                record(field, inner.as_object_mut().unwrap(), in_config);
                continue;
            }
        }
        row.entry(name.clone()).or_insert_with(|| field["default"].clone());
    }
}
