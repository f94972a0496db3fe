//! Kong's log object: what its log plugins write of a request.
//!
//! Owns: names, order and units of the fields, as Kong's public documentation of the log plugins shows them. Must not know:
//! who delivers it. Sizes are of the message as it was sent (line, headers and body), to the byte for HTTP/1.1 without
//! transfer codings. Times of day are in milliseconds since 1970.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use postern_model::entity::Protocol;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;
use uuid::Uuid;

use super::fields::Fields;
use super::redact::Redaction;
use super::secret_values::Met;
use crate::view::{Request, Source, Summary, TlsInfo, Try, args};

/// The identifier of the one workspace that there is.
pub(crate) const WORKSPACE: &str = "default";

/// Bytes that a log object seldom needs more than.
const USUAL: usize = 2560;

/// A request that has ended, as a log tells of it.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// The request.
    pub(crate) request: &'a Request,
    /// What came of it.
    pub(crate) summary: &'a Summary<'a>,
    /// When it ended, since 1970.
    pub(crate) ended: Duration,
    /// What is not shown.
    pub(crate) redaction: &'a Redaction,
}

impl Record<'_> {
    /// One line of JSON, without a line's end.
    pub(crate) fn json(&self, fields: &Fields) -> String {
        let met = Met::of(self.request);
        if fields.is_empty() && met.is_none() {
            let mut line = Vec::with_capacity(USUAL);
            let _ = serde_json::to_writer(&mut line, self);
            return String::from_utf8(line).unwrap_or_default();
        }
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Json::Object(object) = &mut json {
            fields.apply(object);
            if let Some(met) = met {
                met.blot_object(object);
            }
        }
        json.to_string()
    }

    /// When the request began, since 1970.
    pub(crate) fn started(&self) -> Duration {
        self.ended.saturating_sub(self.summary.total)
    }

    /// Bytes of the request: line, headers and body.
    pub(crate) fn request_size(&self) -> u64 {
        let target = self.summary.target;
        let target = target.path().len() + target.query().map_or(0, |query| query.len() + 1);
        let line = self.request.method.as_str().len() + target + " HTTP/1.1\r\n".len() + 1;
        line as u64 + size(&self.request.headers) + self.summary.received
    }

    /// Bytes of the response: line, headers and body.
    pub(crate) fn response_size(&self) -> u64 {
        let reason = self.summary.status.canonical_reason().unwrap_or_default();
        let line = "HTTP/1.1 200 \r\n".len() + reason.len();
        line as u64 + size(self.summary.headers) + self.summary.sent
    }

    /// The request's target with its credentials blotted out.
    pub(crate) fn uri(&self) -> String {
        let target = self.summary.target;
        let uri = match target.query() {
            None => target.path().to_owned(),
            Some(query) => [target.path(), "?", &self.redaction.query(self.request, query)].concat(),
        };
        self.redaction.text(self.request, uri.into()).into_owned()
    }

    /// Scheme, host and port of the client's URL; the port where it is not the scheme's own.
    pub(crate) fn origin(&self) -> String {
        let client = &self.request.client;
        let scheme = scheme(client.scheme);
        let usual = if client.scheme == Protocol::Https { 443 } else { 80 };
        match client.port {
            port if port == usual => format!("{scheme}://{}", client.host),
            port => format!("{scheme}://{}:{port}", client.host),
        }
    }

    /// In milliseconds: the gateway's own, the upstream's until its head, from there to the end, and the whole.
    pub(crate) fn latencies(&self) -> Latencies {
        let Summary { total, gateway, upstream, .. } = *self.summary;
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let proxy = upstream.map_or(-1, millis);
        let receive = upstream.map_or(0, |upstream| millis(total.saturating_sub(gateway + upstream)));
        // Without an upstream, all of it is the gateway's.
        let kong = if upstream.is_none() { millis(total) } else { millis(gateway) };
        Latencies { kong, proxy, receive, request: millis(total) }
    }
}

/// Milliseconds. `proxy` is -1 where no upstream answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Latencies {
    pub(crate) kong: i64,
    pub(crate) proxy: i64,
    pub(crate) receive: i64,
    pub(crate) request: i64,
}

pub(crate) fn scheme(scheme: Protocol) -> &'static str {
    if scheme == Protocol::Https { "https" } else { "http" }
}

/// Headers as they are on the wire, and the empty line.
fn size(headers: &HeaderMap) -> u64 {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + 4;
    headers.iter().map(line).sum::<usize>() as u64 + 2
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, summary, .. } = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("request", &RequestPart(self))?;
        map.serialize_entry("response", &ResponsePart(self))?;
        map.serialize_entry("latencies", &self.latencies())?;
        let began = self.started();
        if !summary.tries.is_empty() {
            map.serialize_entry("tries", &Tries(summary.tries, began))?;
        }
        map.serialize_entry("client_ip", &request.client.ip)?;
        map.serialize_entry("started_at", &millis(began))?;
        map.serialize_entry("source", source(summary.source))?;
        map.serialize_entry("workspace", WORKSPACE)?;
        map.serialize_entry("workspace_name", WORKSPACE)?;
        if let Some(status) = summary.upstream_status {
            map.serialize_entry("upstream_status", status.as_str())?;
        }
        if request.service.is_some() {
            let upstream = match &request.query {
                None => request.path.clone(),
                Some(query) => [&request.path, "?", &*self.redaction.query(request, query)].concat(),
            };
            map.serialize_entry("upstream_uri", &upstream)?;
        }
        if let Some(route) = request.route.as_ref().and_then(|route| route.entity.json()) {
            map.serialize_entry("route", route)?;
        }
        if let Some(service) = request.service.as_ref().and_then(|service| service.entity.json()) {
            map.serialize_entry("service", service)?;
        }
        if let Some(consumer) = &request.consumer {
            let named = Consumer {
                id: consumer.id,
                username: consumer.username.as_deref(),
                custom_id: consumer.custom_id.as_deref(),
            };
            map.serialize_entry("consumer", &named)?;
        }
        if let Some(id) = request.credential {
            let consumer_id = request.consumer.as_ref().map(|consumer| consumer.id);
            map.serialize_entry("authenticated_entity", &Authenticated { id, consumer_id })?;
        }
        map.end()
    }
}

/// Who made a response, in Kong's words.
pub(crate) fn source(source: Source) -> &'static str {
    match source {
        Source::Upstream => "upstream",
        Source::Plugin => "exit",
        Source::Gateway => "error",
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it fits for the next 500 million years")]
fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[derive(serde::Serialize)]
struct Consumer<'a> {
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_id: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct Authenticated {
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_id: Option<Uuid>,
}

struct RequestPart<'a>(&'a Record<'a>);

impl Serialize for RequestPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Record { request, summary, redaction, .. } = *self.0;
        let uri = self.0.uri();
        let mut map = serializer.serialize_map(None)?;
        map.collect_str("id", &request.id)?;
        map.serialize_entry("method", request.method.as_str())?;
        map.serialize_entry("uri", &uri)?;
        map.serialize_entry("url", &[self.0.origin(), uri].concat())?;
        map.serialize_entry("size", &self.0.request_size())?;
        map.serialize_entry("querystring", &Query(self.0))?;
        map.serialize_entry("headers", &Headers(&request.headers, redaction))?;
        if let Some(TlsInfo { version, cipher }) = summary.tls {
            let tls = BTreeMap::from([("version", version), ("cipher", cipher), ("client_verify", "NONE")]);
            map.serialize_entry("tls", &tls)?;
        }
        map.end()
    }
}

struct ResponsePart<'a>(&'a Record<'a>);

impl Serialize for ResponsePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", &self.0.summary.status.as_u16())?;
        map.serialize_entry("size", &self.0.response_size())?;
        map.serialize_entry("headers", &Headers(self.0.summary.headers, self.0.redaction))?;
        map.end()
    }
}

/// Each name once; several values are a list.
struct Headers<'a>(&'a HeaderMap, &'a Redaction);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut headers = self.0.iter().peekable();
        // All values of a name stand together.
        while let Some((name, value)) = headers.next() {
            let first = self.1.header(name, value);
            if headers.peek().is_none_or(|(next, _)| *next != name) {
                map.serialize_entry(name.as_str(), &first)?;
                continue;
            }
            let mut all = vec![first];
            while let Some((_, value)) = headers.next_if(|(next, _)| *next == name) {
                all.push(self.1.header(name, value));
            }
            map.serialize_entry(name.as_str(), &all)?;
        }
        map.end()
    }
}

/// As [`Headers`]; a parameter without a value is `true`.
struct Query<'a>(&'a Record<'a>);

impl Serialize for Query<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Record { request, summary, redaction, .. } = *self.0;
        let mut found: BTreeMap<String, Vec<Json>> = BTreeMap::new();
        for (name, value) in summary.target.query().into_iter().flat_map(args::pairs) {
            let value = match value {
                None => Json::Bool(true),
                Some(value) => Json::from(&*redaction.parameter(request, &name, value)),
            };
            found.entry(name.into_owned()).or_default().push(value);
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, values) in &found {
            match values.as_slice() {
                [only] => map.serialize_entry(name, only)?,
                all => map.serialize_entry(name, all)?,
            }
        }
        map.end()
    }
}

struct Tries<'a>(&'a [Try], Duration);

#[derive(serde::Serialize)]
struct TryPart {
    balancer_start: u64,
    balancer_start_ns: u128,
    balancer_latency: u64,
    balancer_latency_ns: u128,
    ip: IpAddr,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

impl Serialize for Tries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|one| TryPart {
            balancer_start: millis(self.1 + one.started),
            balancer_start_ns: (self.1 + one.started).as_nanos(),
            balancer_latency: millis(one.took),
            balancer_latency_ns: one.took.as_nanos(),
            ip: one.address.ip(),
            port: one.address.port(),
            state: one.failure.map(|_| "failed"),
            code: one.failure.map(|status| status.as_u16()),
        }))
    }
}

/// A text that something displays as, without memory of its own.
trait CollectStr: SerializeMap {
    fn collect_str(&mut self, name: &str, value: &impl std::fmt::Display) -> Result<(), Self::Error> {
        struct Shown<'a, T>(&'a T);
        impl<T: std::fmt::Display> Serialize for Shown<'_, T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self.0)
            }
        }
        self.serialize_entry(name, &Shown(value))
    }
}

impl<T: SerializeMap> CollectStr for T {}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use http::{StatusCode, Uri};
    use serde_json::json;

    use super::super::redact::Unusual;
    use super::*;

    fn logged(request: &Request, summary: &Summary<'_>) -> Json {
        let record = Record {
            request,
            summary,
            ended: Duration::from_millis(1_700_000_000_003),
            redaction: &Redaction::default(),
        };
        serde_json::from_str(&record.json(&Fields::default())).unwrap()
    }

    #[test]
    fn the_object_is_kongs() {
        let mut request = Request::for_test().with("accept", "*/*").with("x-a", "1").with("x-a", "2");
        request.path = "/up".to_owned();
        request.service = Some(Arc::default());
        let consumer = crate::directory::Consumer::new(Uuid::from_u128(5), Some("ann".to_owned()), None);
        request.consumer = Some(Arc::new(consumer));
        request.credential = Some(Uuid::from_u128(6));
        let target = Uri::from_static("/a%20b?x=1&x=2&y&z=");
        let headers = HeaderMap::from_iter([(http::header::SERVER, "x".parse().unwrap())]);
        let tries = [Try {
            address: SocketAddr::from(([192, 0, 2, 9], 80)),
            started: Duration::from_millis(1),
            took: Duration::from_micros(5),
            failure: None,
        }];
        let tls = Some(TlsInfo { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256" });
        let summary = Summary {
            target: &target,
            headers: &headers,
            tries: &tries,
            tls,
            sent: 7,
            ..Summary::for_test()
        };
        let expected = json!({
            "request": {
                "id": "00000000000000000000000000000001", "method": "GET", "uri": "/a%20b?x=1&x=2&y&z=",
                "url": "http://example.com/a%20b?x=1&x=2&y&z=", "size": 65,
                "querystring": {"x": ["1", "2"], "y": true, "z": ""},
                "headers": {"accept": "*/*", "x-a": ["1", "2"]},
                "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "client_verify": "NONE"},
            },
            "response": {"status": 200, "size": 37, "headers": {"server": "x"}},
            "latencies": {"kong": 1, "proxy": 1, "receive": 1, "request": 3},
            "tries": [{
                "balancer_start": 1_700_000_000_001_u64, "balancer_start_ns": 1_700_000_000_001_000_000_u64,
                "balancer_latency": 0, "balancer_latency_ns": 5000, "ip": "192.0.2.9", "port": 80,
            }],
            "client_ip": "192.0.2.1", "started_at": 1_700_000_000_000_u64, "source": "upstream",
            "workspace": "default", "workspace_name": "default", "upstream_status": "200", "upstream_uri": "/up",
            "consumer": {"id": "00000000-0000-0000-0000-000000000005", "username": "ann"},
            "authenticated_entity": {
                "id": "00000000-0000-0000-0000-000000000006", "consumer_id": "00000000-0000-0000-0000-000000000005",
            },
        });
        assert_eq!(logged(&request, &summary), expected);
    }

    #[test]
    fn credentials_are_nowhere_in_it() {
        let mut request = Request::for_test()
            .with("authorization", "Bearer s3cr3t")
            .with("cookie", "a=s3cr3t")
            .with("x-badge", "s3cr3t")
            .to("/up?apikey=s3cr3t&badge=s3cr3t");
        request.headers.get_mut("x-badge").unwrap().set_sensitive(true);
        request.service = Some(Arc::default());
        Unusual::of([], [&"badge".to_owned()]).mark(&mut request);
        let target = Uri::from_static("/?apikey=s3cr3t&badge=s3cr3t&a=1");
        let headers = HeaderMap::from_iter([(http::header::SET_COOKIE, "sid=s3cr3t".parse().unwrap())]);
        let summary = Summary { target: &target, headers: &headers, ..Summary::for_test() };
        let text = logged(&request, &summary).to_string();
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("/?apikey=***&badge=***&a=1"), "{text}");
    }

    #[test]
    fn nothing_of_a_request_can_end_the_line() {
        let request = Request::for_test().with("user-agent", "a\"}\\u000a,\"status\":200");
        let summary = Summary { status: StatusCode::FORBIDDEN, ..Summary::for_test() };
        let record = Record {
            request: &request,
            summary: &summary,
            ended: Duration::ZERO,
            redaction: &Redaction::default(),
        };
        let line = record.json(&Fields::default());
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Json>(&line).unwrap()["response"]["status"], 403);
    }

    #[test]
    fn without_an_upstream_the_time_is_the_gateways() {
        let summary =
            Summary { upstream: None, source: Source::Plugin, upstream_status: None, ..Summary::for_test() };
        let logged = logged(&Request::for_test(), &summary);
        assert_eq!(logged["latencies"], json!({"kong": 3, "proxy": -1, "receive": 0, "request": 3}));
        assert_eq!((&logged["source"], &logged["upstream_status"]), (&json!("exit"), &Json::Null));
    }
}
