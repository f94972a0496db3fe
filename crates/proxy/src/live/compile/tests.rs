//! What each kind of broken entity closes, what serves on, and that preparing touches nothing.

mod cut_off;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use postern_model::check::Rows;
use postern_model::entity::service::Protocol;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema};
use postern_plugins::plan::{Running, Verdict};
use postern_plugins::plugin::{Answer, Plugin, Step};
use postern_plugins::prepared;
use postern_plugins::registry::{Context, Definition, Phases};
use postern_plugins::view::Request;
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::{Kind, Settings};
use serde_json::{Value as Json, json};
use tokio::runtime::Handle;

use super::*;
use crate::dns::{self, Dns};
use crate::live::Live;

/// Answers with 200 and one more for each time that it was finished, as long as the one before lives.
struct Counting(Arc<AtomicU16>, u16);

impl Plugin for Counting {
    fn access<'a>(&'a self, _: &'a mut Request) -> Step<'a> {
        let status = StatusCode::from_u16(200 + self.1).unwrap_or_default();
        assert!(self.0.load(Ordering::Relaxed) >= self.1);
        Answer::message(status, "").into()
    }
}

fn counting(_: &postern_model::Record, _: &Context<'_>) -> Result<prepared::Prepared, String> {
    Ok(prepared::Prepared::at_commit(|living| {
        let finished = living.state.of(living.id, AtomicU16::default);
        let times = finished.fetch_add(1, Ordering::Relaxed) + 1;
        Counting(finished, times)
    }))
}

const FIELDS: &[Field] = &[Field::string("text")];

const fn schema(name: &'static str) -> PluginSchema {
    PluginSchema {
        name,
        priority: 1,
        version: "1",
        protocols: HTTP_PROTOCOLS,
        not_bound_to: &[],
        config: postern_model::field::Schema { fields: FIELDS, checks: &[] },
        doc: "",
    }
}

static COUNTING: PluginSchema = schema("counting");
static PICKY: PluginSchema = schema("picky");
static ELSEWHERE: PluginSchema = schema("elsewhere");

/// Plugins of this build and of these tests; `elsewhere` is in another version only.
fn registry(with_elsewhere: bool) -> Registry {
    let phases = Phases { access: true, ..Phases::default() };
    let mut all: Vec<Definition> = Registry::bundled().0.to_vec();
    all.push(Definition { schema: &COUNTING, phases, make: counting });
    all.push(Definition { schema: &PICKY, phases, make: |_, _| Err("text: never right".to_owned()) });
    if with_elsewhere {
        all.push(Definition { schema: &ELSEWHERE, phases, make: counting });
    }
    Registry(all.leak())
}

/// A vault whose one variable has a value.
fn resolver() -> Resolver {
    let env = Env::new([("HERE".to_owned(), "there.test".to_owned())]);
    let resolver = Resolver::new(env, Facts::default().trust);
    resolver.with_vault("env", Ok(Settings::empty(Kind::Env)), Origin::new("test"))
}

fn compiler() -> Compiler {
    let settings = dns::Settings {
        servers: vec![(Ipv4Addr::LOCALHOST, 9).into()],
        hosts_file: false,
        ..dns::Settings::default()
    };
    let maker = Maker::new(Means {
        registry: registry(false),
        control: Control::new(Handle::current(), Dns::new(settings).unwrap()),
        flavour: Flavour::TraditionalCompatible,
        system: Arc::new(RootCertStore::empty()),
        verify: false,
        facts: Arc::default(),
    });
    Compiler::new(maker, Engine::start(resolver()), Arc::default())
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn pem() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

type Row = (&'static str, u128, Json);

/// Four routes with a service each: at an address, by an upstream, by a name, and over TLS. A consumer, and certificates.
fn good() -> Vec<Row> {
    let ((cert, key), (authority, _)) = (pem(), pem());
    let route = |number: u128, name: &str| {
        (
            "routes",
            number,
            json!({"name": name, "paths": [format!("/{name}")], "service": {"id": id(number - 10)}}),
        )
    };
    vec![
        ("services", 1, json!({"name": "address", "host": "127.0.0.1", "port": 9})),
        ("services", 2, json!({"name": "upstream", "host": "up.test", "port": 9})),
        ("services", 3, json!({"name": "name", "host": "server.test", "port": 9})),
        (
            "services",
            4,
            json!({
                "name": "tls", "host": "127.0.0.1", "port": 9, "protocol": "https", "tls_verify": true,
                "ca_certificates": [id(5)],
            }),
        ),
        ("ca_certificates", 5, json!({"cert": authority})),
        ("upstreams", 6, json!({"name": "up.test"})),
        ("targets", 7, json!({"target": "127.0.0.1:9", "upstream": {"id": id(6)}})),
        route(11, "address"),
        route(12, "upstream"),
        route(13, "name"),
        route(14, "tls"),
        ("consumers", 21, json!({"username": "alice"})),
        ("consumers", 22, json!({"username": "bob"})),
        ("keyauth_credentials", 23, json!({"key": "of-alice", "consumer": {"id": id(21)}})),
        ("keyauth_credentials", 24, json!({"key": "of-bob", "consumer": {"id": id(22)}})),
        ("consumer_groups", 25, json!({"name": "gold"})),
        (
            "consumer_group_consumers",
            26,
            json!({"consumer": {"id": id(21)}, "consumer_group": {"id": id(25)}}),
        ),
        ("acls", 27, json!({"group": "staff", "consumer": {"id": id(21)}})),
        ("certificates", 31, json!({"cert": cert, "key": key})),
        ("snis", 32, json!({"name": "a.test", "certificate": {"id": id(31)}})),
        ("snis", 33, json!({"name": "b.test", "certificate": {"id": id(31)}})),
    ]
}

fn put(rows: &mut Rows, (kind, number, mut json): Row) {
    match json.as_object_mut() {
        Some(body) => {
            body.insert("id".to_owned(), id(number).to_string().into());
            rows.put(kind, id(number), body.clone(), &registry(true));
        }
        // Not even JSON.
        None => rows.put_unreadable(kind, id(number), "its body is no JSON object", None),
    }
}

/// The good rows, with these in their places.
fn snapshot(others: &[Row]) -> Snapshot {
    let mut rows = Rows::default();
    good().into_iter().chain(others.iter().cloned()).for_each(|row| put(&mut rows, row));
    rows.snapshot().0
}

async fn prepare<'c>(
    compiler: &'c Compiler,
    snapshot: &Snapshot,
    on_problem: OnProblem,
) -> Result<Prepared<'c>, Vec<Problem>> {
    let candidate = compiler.living.engine().prepare(resolver());
    compiler.prepare(snapshot, candidate, on_problem, Instant::now() + Duration::from_millis(50)).await
}

/// What a request comes to, as far as it is known before anything is sent.
async fn outcome(live: &Live, path: &str, key: Option<&str>) -> String {
    let headers = HeaderMap::new();
    let facts = postern_router::Facts {
        method: &Method::GET,
        host: "any.test",
        port: 80,
        path,
        query: None,
        headers: &headers,
        scheme: Protocol::Http,
        sni: None,
        source: None,
        destination: None,
    };
    let Some(found) = live.router.find(&facts) else { return "no route".to_owned() };
    let route = &live.routes[found.route];
    let mut request = Request::for_test();
    request.consumer = key.and_then(|key| Some(Arc::clone(&live.directory.key(key)?.consumer)));
    let verdict =
        Running::default().access(&route.plan, &mut request, async |_| Ok::<(), ()>(())).await.unwrap();
    match verdict {
        Verdict::Unavailable { plugin, .. } => format!("closed by {plugin}"),
        Verdict::Answer(answer) => format!("answer {}", answer.status.as_u16()),
        Verdict::Continue => match route.service.as_ref().map(|service| service.cell.load()) {
            Some(Some(_)) => "serves".to_owned(),
            Some(None) => "no service".to_owned(),
            None => "no service at all".to_owned(),
        },
    }
}

/// All that is looked at: four routes, two consumers, three names.
async fn all(live: &Live) -> [String; 9] {
    let consumer = |key| if live.directory.key(key).is_some() { "known" } else { "nobody" }.to_owned();
    let name = |name| {
        match live.certificates.find(name) {
            None => "default",
            Some(cell) if cell.load().is_some() => "its own",
            Some(_) => "refused",
        }
        .to_owned()
    };
    [
        outcome(live, "/address", None).await,
        outcome(live, "/upstream", None).await,
        outcome(live, "/name", None).await,
        outcome(live, "/tls", None).await,
        consumer("of-alice"),
        consumer("of-bob"),
        name("a.test"),
        name("b.test"),
        name("c.test"),
    ]
}

const GOOD: [&str; 9] =
    ["serves", "serves", "serves", "serves", "known", "known", "its own", "its own", "default"];

/// Where these places differ from [`GOOD`].
fn but(places: &[(usize, &'static str)]) -> [&'static str; 9] {
    let mut expected = GOOD;
    places.iter().for_each(|(place, text)| expected[*place] = text);
    expected
}

/// What is broken, the rows, and what comes of it.
fn cases() -> Vec<(&'static str, Vec<Row>, [&'static str; 9])> {
    const UNKNOWN: &str = "closed by unknown";
    let everywhere = |by| but(&[(0, by), (1, by), (2, by), (3, by)]);
    let on = |route: u128| json!({"id": id(route)});
    let no_json = Json::Null;
    let other_key = || json!({"cert": pem().0, "key": pem().1});
    vec![
        ("nothing", vec![], GOOD),
        (
            "a plugin of a route, by its fields",
            vec![("plugins", 41, json!({"name": "key-auth", "route": on(11), "config": {"key_names": 5}}))],
            but(&[(0, "closed by key-auth")]),
        ),
        (
            "a plugin of a service",
            vec![("plugins", 41, json!({"name": "key-auth", "service": on(2), "config": {"key_names": 5}}))],
            but(&[(1, "closed by key-auth")]),
        ),
        (
            "a plugin of nothing",
            vec![("plugins", 41, json!({"name": "key-auth", "config": {"key_names": 5}}))],
            everywhere("closed by key-auth"),
        ),
        (
            "a plugin of a route, by its constructor",
            vec![("plugins", 41, json!({"name": "picky", "route": on(11)}))],
            but(&[(0, "closed by picky")]),
        ),
        (
            "a plugin that nobody knows",
            vec![("plugins", 41, json!({"name": "of-tomorrow", "route": on(11)}))],
            but(&[(0, UNKNOWN)]),
        ),
        (
            "a plugin that the compiler does not have",
            vec![("plugins", 41, json!({"name": "elsewhere", "route": on(11)}))],
            but(&[(0, UNKNOWN)]),
        ),
        (
            "a plugin whose name cannot be read",
            vec![("plugins", 41, json!({"name": 5, "route": on(11)}))],
            but(&[(0, UNKNOWN)]),
        ),
        (
            "a plugin whose scope cannot be read, though a good one is closer",
            vec![
                ("plugins", 41, json!({"name": "counting", "route": "?"})),
                ("plugins", 42, json!({"name": "counting", "route": on(11)})),
            ],
            everywhere(UNKNOWN),
        ),
        ("a plugin that is no JSON", vec![("plugins", 41, no_json.clone())], everywhere(UNKNOWN)),
        (
            "a plugin that is switched off",
            vec![("plugins", 41, json!({"name": "key-auth", "enabled": false, "config": {"key_names": 5}}))],
            GOOD,
        ),
        (
            "a plugin whose route is broken",
            vec![
                ("routes", 11, json!({"name": "address", "paths": 5})),
                ("plugins", 41, json!({"name": "counting", "route": on(11)})),
            ],
            but(&[(0, "no route")]),
        ),
        (
            "a route of another flavour",
            vec![("routes", 11, json!({"name": "address", "expression": "http.path == \"/address\""}))],
            but(&[(0, "no route")]),
        ),
        ("a route that is no JSON", vec![("routes", 11, no_json.clone())], but(&[(0, "no route")])),
        (
            "a service",
            vec![("services", 1, json!({"name": "address", "host": 5}))],
            but(&[(0, "no service")]),
        ),
        ("a service that is no JSON", vec![("services", 1, no_json.clone())], but(&[(0, "no service")])),
        (
            "an upstream",
            vec![("upstreams", 6, json!({"name": "up.test", "slots": 0}))],
            but(&[(1, "no service")]),
        ),
        (
            "an upstream that waits for a value",
            vec![("upstreams", 6, json!({"name": "up.test", "host_header": "{vault://env/away}"}))],
            but(&[(1, "no service")]),
        ),
        (
            "an upstream, by a service whose host is a reference",
            vec![
                ("services", 2, json!({"name": "upstream", "host": "{vault://env/here}", "port": 9})),
                ("upstreams", 6, json!({"name": "there.test", "slots": 0})),
            ],
            but(&[(1, "no service")]),
        ),
        (
            "an upstream whose name cannot be read: no name is sure to be a server's",
            vec![("upstreams", 6, no_json.clone())],
            but(&[(1, "no service"), (2, "no service")]),
        ),
        ("an authority", vec![("ca_certificates", 5, json!({"cert": "?"}))], but(&[(3, "no service")])),
        (
            "a certificate, by its fields",
            vec![("certificates", 31, json!({"cert": 5, "key": "?"}))],
            but(&[(6, "refused"), (7, "refused")]),
        ),
        (
            "a certificate whose key is another one's",
            vec![("certificates", 31, other_key())],
            but(&[(6, "refused"), (7, "refused")]),
        ),
        (
            "a server name",
            vec![("snis", 32, json!({"name": "a.test", "certificate": "?"}))],
            but(&[(6, "refused")]),
        ),
        ("a consumer", vec![("consumers", 21, json!({"username": 5}))], but(&[(4, "nobody")])),
        ("a credential", vec![("keyauth_credentials", 23, json!({"key": 5}))], but(&[(4, "nobody")])),
        (
            "a group of a consumer",
            vec![("acls", 27, json!({"group": 5, "consumer": on(21)}))],
            but(&[(4, "nobody")]),
        ),
        (
            "a group of a consumer that waits for a value",
            vec![("acls", 27, json!({"group": "{vault://env/away}", "consumer": on(21)}))],
            but(&[(4, "nobody")]),
        ),
        (
            "a group of nobody knows whom",
            vec![("acls", 27, no_json.clone())],
            but(&[(4, "nobody"), (5, "nobody")]),
        ),
        (
            "a membership",
            vec![("consumer_group_consumers", 26, json!({"consumer": on(21), "consumer_group": 5}))],
            but(&[(4, "nobody")]),
        ),
        ("a consumer group", vec![("consumer_groups", 25, json!({"name": 5}))], but(&[(4, "nobody")])),
        (
            "a consumer group that waits for a value",
            vec![("consumer_groups", 25, json!({"name": "{vault://env/away}"}))],
            but(&[(4, "nobody")]),
        ),
        ("a kind of tomorrow", vec![("of_tomorrow", 51, json!({"route": on(11)}))], GOOD),
    ]
}

/// What takes effect, and what could not be made.
fn committed(prepared: Prepared<'_>) -> (Live, Vec<Arc<Broken>>) {
    let mut swapped = None;
    let broken = prepared.commit(|live| swapped = Some(live));
    (swapped.unwrap(), broken)
}

#[tokio::test]
async fn what_is_broken_closes_what_needs_it_and_nothing_else() {
    let mut wrong = Vec::new();
    for (what, rows, expected) in cases() {
        let compiler = compiler();
        let snapshot = snapshot(&rows);
        let prepared = prepare(&compiler, &snapshot, OnProblem::Close).await.unwrap();
        let (live, problems) = committed(prepared);
        let found = all(&live).await;
        if found != expected {
            wrong.push(format!("{what}:\n    {found:?}, not\n    {expected:?}"));
        }
        let waits = what.contains("waits for a value") || what == "nothing";
        if !waits && snapshot.broken.is_empty() && problems.is_empty() {
            wrong.push(format!("{what}: nobody is told"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_broken_plugin_of_a_consumer_is_for_this_one() {
    let compiler = compiler();
    let row = ("plugins", 41, json!({"name": "counting", "consumer": {"id": id(21)}, "config": 5}));
    let (live, _) = committed(prepare(&compiler, &snapshot(&[row]), OnProblem::Close).await.unwrap());
    for (key, expected) in
        [(Some("of-alice"), "closed by counting"), (Some("of-bob"), "serves"), (None, "serves")]
    {
        assert_eq!(outcome(&live, "/address", key).await, expected, "{key:?}");
    }
}

/// What only making it tells, in three kinds.
fn wrong_for_the_compiler() -> Vec<Row> {
    vec![
        ("plugins", 41, json!({"name": "picky", "route": {"id": id(11)}})),
        ("plugins", 42, json!({"name": "counting", "route": {"id": id(12)}})),
        ("routes", 13, json!({"name": "name", "expression": "http.path == \"/name\""})),
        ("certificates", 31, json!({"cert": pem().0, "key": pem().1})),
    ]
}

#[tokio::test]
async fn a_document_is_refused_with_all_that_stands_against_it() {
    let compiler = compiler();
    let before = Handle::current().metrics().num_alive_tasks();
    let problems =
        prepare(&compiler, &snapshot(&wrong_for_the_compiler()), OnProblem::Refuse).await.err().unwrap();
    let mut told: Vec<_> = problems.iter().map(|problem| (problem.kind, problem.id)).collect();
    told.sort_unstable();
    assert_eq!(told, [("certificates", id(31)), ("plugins", id(41)), ("routes", id(13))]);
    let of_plugin = problems.iter().find(|problem| problem.kind == "plugins").unwrap();
    assert_eq!(of_plugin.field.as_deref(), Some("config.text"));
    untouched(&compiler, before);
    // The same by those who only want to know.
    assert_eq!(compiler.maker().check(&snapshot(&wrong_for_the_compiler())).unwrap_err().len(), 3);
    untouched(&compiler, before);
}

/// Nothing lives that was only prepared.
fn untouched(compiler: &Compiler, tasks: usize) {
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks, "a task was begun");
    let kept = compiler.kept();
    assert!(kept.upstreams.is_empty() && kept.singles.is_empty(), "it is kept already");
    assert_eq!(compiler.node().metrics.present(), None, "a plugin was finished");
}

#[tokio::test]
async fn preparing_touches_nothing_and_a_commit_finishes_once() {
    let compiler = compiler();
    let rows = [
        // It has no name to be asked for, which would begin a task.
        ("services", 3, json!({"name": "name", "host": "127.0.0.2", "port": 9})),
        ("plugins", 41, json!({"name": "counting", "route": {"id": id(11)}})),
        (
            "plugins",
            42,
            json!({"name": "counting", "route": {"id": id(12)}, "config": {"text": "{vault://env/here}"}}),
        ),
        ("plugins", 43, json!({"name": "prometheus"})),
        // Checks are tasks of a balancer's.
        (
            "upstreams",
            6,
            json!({
                "name": "up.test",
                "healthchecks": {"active": {"type": "tcp", "healthy": {"interval": 60}, "unhealthy": {"interval": 60}}},
            }),
        ),
    ];
    let snapshot = snapshot(&rows);
    let before = Handle::current().metrics().num_alive_tasks();
    for _ in 0..3 {
        let prepared = prepare(&compiler, &snapshot, OnProblem::Refuse).await.unwrap();
        untouched(&compiler, before);
        drop(prepared);
        untouched(&compiler, before);
    }
    let (first, broken) = committed(prepare(&compiler, &snapshot, OnProblem::Refuse).await.unwrap());
    assert!(broken.is_empty());
    assert!(Handle::current().metrics().num_alive_tasks() > before, "balancers are kept true");
    assert!(!compiler.kept().upstreams.is_empty() && !compiler.kept().singles.is_empty());
    assert!(compiler.node().metrics.present().is_some());
    for path in ["/address", "/upstream"] {
        assert_eq!(outcome(&first, path, None).await, "answer 201", "{path}");
    }
    // What is only prepared beside it changes nothing of it either.
    drop(prepare(&compiler, &snapshot, OnProblem::Refuse).await.unwrap());
    let (second, _) = committed(prepare(&compiler, &snapshot, OnProblem::Refuse).await.unwrap());
    assert_eq!(outcome(&first, "/address", None).await, "answer 201", "requests under way");
    assert_eq!(outcome(&second, "/address", None).await, "answer 202", "it found what it kept");
    let balancer = |live: &Live| live.balancer("up.test").unwrap();
    assert!(Arc::ptr_eq(&balancer(&first), &balancer(&second)));
}
