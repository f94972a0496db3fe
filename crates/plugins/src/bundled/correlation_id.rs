//! `correlation-id`: a header by which a request is found again in the logs of all services that it passed.
//!
//! Owns: what the header says where the client's does not, and that the client is told. Must not know: who logs it.
//! A client's own value stays, as in Kong: one request of a user is often many between services.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use postern_model::Record;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use serde::Deserialize;
use uuid::{Builder, Uuid};

use super::rules;
use crate::plugin::{Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::{Request, Response};
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "correlation-id",
    priority: 100_001,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Gives each request an identifier that all services see.",
};

const HEADER_NAME: &str = "Kong-Request-ID";

const FIELDS: &[Field] = &[
    Field::string("header_name")
        .default_text(HEADER_NAME)
        .rules(&[Rule::Custom(rules::header_name)])
        .doc("The header that holds the identifier."),
    Field::string("generator")
        .required()
        .default_text("uuid#counter")
        .rules(&[Rule::OneOf(&["tracker", "uuid", "uuid#counter"])])
        .doc(
            "`uuid`: a random one for each request; `uuid#counter`: one for the node, and a count; `tracker`: \
             host, port, process, count and time.",
        ),
    Field::boolean("echo_downstream")
        .required()
        .default_bool(false)
        .doc("Whether the client is told the identifier."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: true, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    header_name: Option<String>,
    generator: Generator,
    echo_downstream: bool,
}

#[derive(Clone, Copy, Deserialize)]
enum Generator {
    #[serde(rename = "uuid")]
    Uuid,
    #[serde(rename = "uuid#counter")]
    UuidCounter,
    #[serde(rename = "tracker")]
    Tracker,
}

struct CorrelationId {
    header: HeaderName,
    generator: Generator,
    echo_downstream: bool,
    node: Arc<Node>,
    clock: Clock,
}

/// What all instances on this node count with.
struct Node {
    id: Uuid,
    /// How many identifiers were made.
    made: AtomicU64,
}

/// What a request was given, for the response: later plugins may change its headers.
#[derive(Clone)]
struct Given(HeaderValue);

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let Config { header_name, generator, echo_downstream } = config.read()?;
    let header = header_name.as_deref().unwrap_or(HEADER_NAME);
    let header = HeaderName::try_from(header).map_err(|_| "header_name: not the name of a header")?;
    let clock = context.clock.clone();
    Ok(Prepared::at_commit(move |living| {
        let node = || Node { id: Uuid::new_v4(), made: AtomicU64::new(0) };
        CorrelationId { header, generator, echo_downstream, node: living.state.of(Uuid::nil(), node), clock }
    }))
}

impl Plugin for CorrelationId {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        let value = self.sent(&request.headers).cloned().unwrap_or_else(|| {
            let new = self.generate(request);
            request.headers.insert(self.header.clone(), new.clone());
            new
        });
        if self.echo_downstream {
            request.notes.insert(Given(value));
        }
        Step::Continue
    }

    fn response(&self, request: &Request, response: &mut Response) {
        if !self.echo_downstream {
            return;
        }
        // Where the gateway answered before `access`, nothing was given yet.
        let given = request.notes.get::<Given>().map(|Given(value)| value);
        let value = given.or_else(|| self.sent(&request.headers)).cloned();
        response.headers.insert(self.header.clone(), value.unwrap_or_else(|| self.generate(request)));
    }
}

impl CorrelationId {
    /// What the client says. Nothing is as good as no header.
    fn sent<'r>(&self, headers: &'r HeaderMap) -> Option<&'r HeaderValue> {
        headers.get(&self.header).filter(|value| !value.is_empty())
    }

    fn generate(&self, request: &Request) -> HeaderValue {
        let count = || self.node.made.fetch_add(1, Ordering::Relaxed) + 1;
        let text = match self.generator {
            // Random already, and never the client's word.
            Generator::Uuid => {
                let id = Builder::from_random_bytes(request.id.0.to_be_bytes()).into_uuid();
                let mut digits = Uuid::encode_buffer();
                return value(id.hyphenated().encode_lower(&mut digits));
            }
            Generator::UuidCounter => format!("{}#{}", self.node.id, count()),
            Generator::Tracker => {
                let now = self.clock.since_1970();
                let (host, port) = (&request.client.host, request.client.port);
                let (seconds, milliseconds) = (now.as_secs(), now.subsec_millis());
                format!("{host}-{port}-{}-{}-{seconds}.{milliseconds:03}", std::process::id(), count())
            }
        };
        value(&text)
    }
}

/// Hexadecimal digits, and a host that came in a header: always allowed in one.
fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::state::State;
    use crate::testing::{access, check, make_in};
    use crate::view::{RequestId, Source};

    struct Once {
        state: Arc<State>,
        plugin: Box<dyn Plugin>,
    }

    fn once(config: &Json) -> Once {
        let state = Arc::default();
        let plugin = make_in(&SCHEMA.config, make, config, &state, &Clock::at(1_700_000_000));
        Once { state, plugin }
    }

    /// What the upstream gets, and what the client is told.
    async fn pass(plugin: &dyn Plugin, mut request: Request) -> (Vec<String>, Option<String>) {
        let name = |headers: &HeaderMap| {
            let values = headers.get_all("kong-request-id").iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(access(plugin, &mut request).await.is_none());
        let sent = name(&request.headers);
        // What came later must not be told.
        request.headers.insert("kong-request-id", HeaderValue::from_static("changed"));
        let mut response =
            Response { status: StatusCode::OK, headers: HeaderMap::new(), source: Source::Upstream };
        response.headers.append("kong-request-id", HeaderValue::from_static("the upstream's"));
        plugin.response(&request, &mut response);
        let told = name(&response.headers).remove(0);
        (sent, (told != "the upstream's").then_some(told))
    }

    #[tokio::test]
    async fn who_sends_one_keeps_it() {
        let Once { plugin, .. } = once(&json!({"echo_downstream": true}));
        let request = Request::for_test().with("kong-request-id", "mine");
        assert_eq!(pass(&*plugin, request).await, (vec!["mine".to_owned()], Some("mine".to_owned())));
        let request = Request::for_test().with("kong-request-id", "").with("kong-request-id", "two");
        let (sent, told) = pass(&*plugin, request).await;
        assert!(sent.len() == 1 && sent[0].ends_with("#1") && told == Some(sent[0].clone()), "{sent:?}");
    }

    #[tokio::test]
    async fn the_client_is_told_if_so_configured() {
        let Once { plugin, .. } = once(&json!({}));
        let (sent, told) = pass(&*plugin, Request::for_test()).await;
        assert!(sent[0].ends_with("#1") && told.is_none());
    }

    #[tokio::test]
    async fn a_uuid_is_one_of_its_own() {
        let Once { plugin, .. } = once(&json!({"generator": "uuid"}));
        let mut ids = Vec::new();
        for id in [1, 2] {
            let mut request = Request::for_test();
            request.id = RequestId(id);
            ids.push(Uuid::parse_str(&pass(&*plugin, request).await.0[0]).unwrap());
        }
        assert!(ids[0] != ids[1] && ids.iter().all(|id| id.get_version_num() == 4), "{ids:?}");
    }

    #[tokio::test]
    async fn counts_go_on_whatever_is_configured_anew() {
        let Once { state, plugin } = once(&json!({}));
        let (first, _) = pass(&*plugin, Request::for_test()).await;
        let again = make_in(&SCHEMA.config, make, &json!({}), &state, &Clock::at(0));
        let (second, _) = pass(&*again, Request::for_test()).await;
        let (node, one) = first[0].split_once('#').unwrap();
        assert!(Uuid::parse_str(node).is_ok());
        assert_eq!((one, second[0].as_str()), ("1", format!("{node}#2").as_str()));
    }

    #[tokio::test]
    async fn a_tracker_says_where_and_when() {
        let Once { plugin, .. } = once(&json!({"generator": "tracker"}));
        let expected = |n: u32| format!("example.com-80-{}-{n}-1700000000.000", std::process::id());
        assert_eq!(pass(&*plugin, Request::for_test()).await.0, [expected(1)]);
        assert_eq!(pass(&*plugin, Request::for_test()).await.0, [expected(2)]);
    }

    #[tokio::test]
    async fn an_early_answer_is_told_one_too() {
        let Once { plugin, .. } = once(&json!({"echo_downstream": true, "header_name": "X-Own"}));
        let mut response =
            Response { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), source: Source::Gateway };
        plugin.response(&Request::for_test(), &mut response);
        assert!(response.headers["x-own"].to_str().unwrap().ends_with("#1"));
        plugin.response(&Request::for_test().with("x-own", "mine"), &mut response);
        assert_eq!(response.headers["x-own"], "mine");
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        assert!(check(&SCHEMA.config, &json!({"header_name": "a b"})).is_err());
        assert!(check(&SCHEMA.config, &json!({"header_name": "X-Request_ID"})).is_ok());
    }
}
