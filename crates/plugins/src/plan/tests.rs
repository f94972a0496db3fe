//! Who runs, compared with a slow reading of Kong's table; and what happens on the way through the phases.

use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use postern_model::Record;
use postern_model::field::Schema;
use proptest::prelude::*;

use super::*;
use crate::directory::Consumer;
use crate::plugin::{Answer, Outcome, Step};
use crate::prepared::Prepared;
use crate::registry::Context;
use crate::view::{Request, Response, Source};

const fn schema(name: &'static str, priority: i32) -> PluginSchema {
    PluginSchema {
        name,
        priority,
        version: "1",
        protocols: &[],
        not_bound_to: &[],
        config: Schema { fields: &[], checks: &[] },
        doc: "",
    }
}

static AUTH: PluginSchema = schema("auth", 1000);
static ALPHA: PluginSchema = schema("alpha", 900);
static OMEGA: PluginSchema = schema("omega", 900);
const ALL: Phases = Phases { rewrite: true, access: true, response: true, body_filter: true, log: true };

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn definition(schema: &'static PluginSchema) -> Definition {
    fn never(_: &Record, _: &Context<'_>) -> Result<Prepared, String> {
        Err("not made in these tests".to_owned())
    }
    Definition { schema, phases: ALL, make: never }
}

fn entity(scope: Scope) -> entity::Plugin {
    entity::Plugin {
        name: "auth".into(),
        instance_name: None,
        service: scope.service,
        route: scope.route,
        consumer: scope.consumer,
        consumer_group: scope.consumer_group,
        protocols: vec![Protocol::Http, Protocol::Https],
        enabled: true,
        config: Record::default(),
    }
}

fn instance(number: u128, schema: &'static PluginSchema, scope: Scope, plugin: impl Plugin) -> Instance {
    let cell = Cell::fixed(Box::new(plugin));
    Instance::new(id(number), &entity(scope), &definition(schema), cell).unwrap()
}

/// Does nothing.
struct Nothing;
impl Plugin for Nothing {}

/// The table of the documentation, read one line at a time. `c` consumer, `g` group, `r` route, `s` service.
const TABLE: [&str; 12] = ["crs", "grs", "cr", "cs", "gr", "gs", "rs", "c", "g", "r", "s", ""];

fn slow(
    instances: &[(u128, Scope)],
    route: Uuid,
    service: Option<Uuid>,
    who: Option<&Consumer>,
) -> Option<Uuid> {
    for line in TABLE {
        let groups: Vec<Option<Uuid>> = match (line.contains('g'), who) {
            (true, Some(who)) => who.groups.iter().map(|(id, _)| Some(*id)).collect(),
            (true, None) => continue,
            (false, _) => vec![None],
        };
        for group in groups {
            let wanted = Scope {
                route: line.contains('r').then_some(route),
                service: if line.contains('s') { service } else { None },
                consumer: if line.contains('c') { who.map(|who| who.id) } else { None },
                consumer_group: group,
            };
            let complete =
                (!line.contains('s') || service.is_some()) && (!line.contains('c') || who.is_some());
            if let Some((found, _)) = instances.iter().find(|(_, scope)| complete && *scope == wanted) {
                return Some(id(*found));
            }
        }
    }
    None
}

fn some_id(low: u128) -> impl Strategy<Value = Option<Uuid>> {
    prop_oneof![Just(None), (low..low + 2).prop_map(|n| Some(id(n)))]
}

prop_compose! {
    fn scope()(route in some_id(10), service in some_id(20), who in some_id(30), is_group: bool) -> Scope {
        let (consumer, consumer_group) = if is_group { (None, who) } else { (who, None) };
        Scope { route, service, consumer, consumer_group }
    }
}

proptest! {
    #[test]
    fn the_most_specific_instance_runs(
        scopes in prop::collection::vec(scope(), 0..40),
        service in some_id(20),
        who in some_id(30),
        groups in prop::sample::subsequence(vec![30_u128, 31], 0..=2).prop_shuffle(),
    ) {
        let scopes: Vec<(u128, Scope)> = (100..).zip(scopes).collect();
        let who = who.map(|id| {
            let mut consumer = Consumer::new(id, None, None);
            consumer.groups = groups.iter().map(|n| (self::id(*n), String::new())).collect();
            consumer
        });
        let instances = scopes.iter().map(|(n, scope)| instance(*n, &AUTH, *scope, Nothing)).collect();
        let plans = Plans::new([(id(10), service), (id(11), None)], instances);
        for (route, service) in [(id(10), service), (id(11), None)] {
            let fast: Vec<Uuid> = plans.of(route).instances(who.as_ref()).iter().map(|found| found.id).collect();
            prop_assert_eq!(fast.first().copied(), slow(&scopes, route, service, who.as_ref()));
            prop_assert!(fast.len() <= 1);
        }
    }
}

#[test]
fn the_order_is_that_of_priorities_and_then_backwards_by_name() {
    let instances = vec![
        instance(1, &ALPHA, Scope::default(), Nothing),
        instance(2, &AUTH, Scope::default(), Nothing),
        instance(3, &OMEGA, Scope::default(), Nothing),
    ];
    let plans = Plans::new([], instances);
    let names: Vec<&str> = plans.unrouted().instances(None).iter().map(|found| found.schema.name).collect();
    assert_eq!(names, ["auth", "omega", "alpha"]);
}

#[test]
fn equal_plans_are_one() {
    let scope = Scope { route: Some(id(10)), ..Scope::default() };
    let instances = vec![instance(1, &AUTH, Scope::default(), Nothing), instance(2, &ALPHA, scope, Nothing)];
    let plans = Plans::new((10..10_010).map(|n| (id(n), Some(id(n % 7)))), instances);
    assert!(!Arc::ptr_eq(plans.of(id(10)), plans.of(id(11))));
    assert!((11..10_010).all(|n| Arc::ptr_eq(plans.of(id(n)), plans.unrouted())));
    assert_eq!(plans.of(id(10)).entries.len(), 2);
    // What both have is there once.
    let layer = |plan: &Plan| Arc::as_ptr(plan.entries[0].layers[3].as_ref().unwrap());
    assert_eq!(layer(plans.of(id(10))), layer(plans.unrouted()));
}

#[test]
fn what_is_off_or_not_for_http_is_left_out() {
    for (protocols, enabled, runs) in [
        (vec![Protocol::Http], true, true),
        (vec![Protocol::Grpcs, Protocol::Tcp], true, true),
        (vec![Protocol::Tcp, Protocol::Tls, Protocol::Udp, Protocol::TlsPassthrough], true, false),
        (vec![Protocol::Http], false, false),
        (vec![], true, false),
    ] {
        let entity = entity::Plugin { protocols: protocols.clone(), enabled, ..entity(Scope::default()) };
        let made = Instance::new(id(1), &entity, &definition(&AUTH), Cell::fixed(Box::new(Nothing)));
        assert_eq!(made.is_some(), runs, "{protocols:?} {enabled}");
    }
}

/// Notes when it is called, and does what it was told in `access`.
#[derive(Clone)]
struct Noting {
    name: &'static str,
    notes: Arc<Mutex<Vec<String>>>,
    does: Does,
}

#[derive(Clone, Copy, PartialEq)]
enum Does {
    Nothing,
    Identify,
    Answer,
    Wait,
    ReadBody,
}

impl Noting {
    fn note(&self, what: &str) {
        self.notes.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl Plugin for Noting {
    fn rewrite<'a>(&'a self, _: &'a mut Request) -> Step<'a> {
        self.note("rewrite");
        Step::Continue
    }

    fn wants_body(&self, _: &Request) -> bool {
        self.does == Does::ReadBody
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        self.note(&format!("access {:?}", request.body.as_deref().map(<[u8]>::len)));
        match self.does {
            Does::Nothing | Does::ReadBody => Step::Continue,
            Does::Identify => {
                request.consumer = Some(Arc::new(Consumer::new(id(30), None, None)));
                Step::Continue
            }
            Does::Answer => Answer::message(StatusCode::UNAUTHORIZED, "no").into(),
            Does::Wait => Step::Wait(Box::pin(async move {
                tokio::task::yield_now().await;
                request.response_headers.push((http::header::VIA, http::HeaderValue::from_static("here")));
                Outcome::Continue
            })),
        }
    }

    fn response(&self, _: &Request, _: &mut Response) {
        self.note("response");
    }

    fn log(&self, _: &Request, _: &crate::view::Summary<'_>) {
        self.note("log");
    }
}

struct Run {
    notes: Vec<String>,
    verdict: Result<Verdict, &'static str>,
    headers: HeaderMap,
}

/// All phases of a request for route 10, with these plugins.
async fn run(
    make: impl FnOnce(&dyn Fn(&'static str, Does) -> Noting) -> Vec<Instance>,
    body: Result<usize, &'static str>,
) -> Run {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let noting = |name, does| Noting { name, notes: Arc::clone(&notes), does };
    let plans = Plans::new([(id(10), None)], make(&noting));
    let mut request = Request::for_test();
    assert!(matches!(run_rewrite(plans.unrouted(), &mut request).await, Verdict::Continue));
    let mut running = Running::default();
    let verdict = running
        .access(plans.of(id(10)), &mut request, async |request: &mut Request| {
            request.body = Some(Bytes::from(vec![0; body?]));
            Ok(())
        })
        .await;
    let mut response =
        Response { status: StatusCode::OK, headers: HeaderMap::new(), source: Source::Upstream };
    running.response(&mut request, &mut response);
    let summary = crate::view::Summary::for_test();
    running.log(&request, &summary);
    assert!(!running.chosen.spilled());
    let notes = notes.lock().unwrap().clone();
    Run { notes, verdict, headers: response.headers }
}

#[tokio::test]
async fn a_plugin_for_the_consumer_is_chosen_once_the_consumer_is_known() {
    let consumer = Scope { consumer: Some(id(30)), ..Scope::default() };
    let run = run(
        |noting| {
            vec![
                instance(1, &AUTH, Scope::default(), noting("auth", Does::Identify)),
                instance(2, &OMEGA, consumer, noting("hers", Does::Nothing)),
                instance(3, &OMEGA, Scope::default(), noting("anybody's", Does::Nothing)),
            ]
        },
        Ok(0),
    )
    .await;
    assert!(matches!(run.verdict, Ok(Verdict::Continue)));
    let expected = [
        "auth rewrite",
        // Nobody is known yet.
        "anybody's rewrite",
        "auth access None",
        "hers access None",
        "auth response",
        "hers response",
        "auth log",
        "hers log",
    ];
    assert_eq!(run.notes, expected);
}

#[tokio::test]
async fn after_an_answer_the_rest_sees_the_response_and_the_log_only() {
    let route = Scope { route: Some(id(10)), ..Scope::default() };
    let run = run(
        |noting| {
            vec![
                instance(1, &AUTH, route, noting("auth", Does::Answer)),
                instance(2, &ALPHA, route, noting("alpha", Does::Nothing)),
            ]
        },
        Ok(0),
    )
    .await;
    let Ok(Verdict::Answer(answer)) = run.verdict else { panic!("{:?}", run.verdict) };
    assert_eq!(answer.status, 401);
    assert_eq!(run.notes, ["auth access None", "auth response", "alpha response", "auth log", "alpha log"]);
}

#[tokio::test]
async fn a_plugin_without_its_secret_stops_the_request() {
    let route = Scope { route: Some(id(10)), ..Scope::default() };
    let run = run(
        |noting| {
            let dark = Instance::new(id(7), &entity(route), &definition(&AUTH), Cell::live(|| None)).unwrap();
            vec![dark, instance(2, &ALPHA, route, noting("alpha", Does::Nothing))]
        },
        Ok(0),
    )
    .await;
    assert!(
        matches!(run.verdict, Ok(Verdict::Unavailable { plugin: "auth", instance }) if instance == id(7))
    );
    assert_eq!(run.notes, ["alpha response", "alpha log"]);
}

#[tokio::test]
async fn the_body_is_read_when_the_first_plugin_wants_it() {
    let route = Scope { route: Some(id(10)), ..Scope::default() };
    let three = |noting: &dyn Fn(&'static str, Does) -> Noting| {
        vec![
            instance(1, &AUTH, route, noting("auth", Does::Wait)),
            instance(2, &OMEGA, route, noting("omega", Does::ReadBody)),
            instance(3, &ALPHA, route, noting("alpha", Does::ReadBody)),
        ]
    };
    let read = run(three, Ok(3)).await;
    assert_eq!(read.notes[..3], ["auth access None", "omega access Some(3)", "alpha access Some(3)"]);
    // What was put aside in a step that waited.
    assert_eq!(read.headers["via"], "here");
    let failed = run(three, Err("too large")).await;
    assert_eq!(failed.verdict.unwrap_err(), "too large");
    assert_eq!(failed.notes[..2], ["auth access None", "auth response"]);
    assert_eq!(failed.notes.len(), 1 + 3 + 3);
}
