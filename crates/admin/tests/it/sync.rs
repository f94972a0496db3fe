//! Whole runs: what is synced is there, and then nothing is left to do.

use std::time::Duration;

use postern_admin::client::carry_out::{Pace, carry_out};
use postern_admin::client::dump::Style;
use postern_admin::client::gateway::Gateway;
use postern_admin::client::plan::{Action, Goal, Plan};
use postern_admin::client::present::Scope;
use postern_admin::client::report::{Report, headline};
use postern_admin::client::wanted::{self, Source, Wanted};
use postern_admin::client::{self, Problems};

use crate::mock::{Mock, gateway};

pub(crate) const FILE: &str = include_str!("all.yaml");

pub(crate) fn scope() -> Scope {
    Scope {
        select_tags: Vec::new(),
        lookup_tags: Default::default(),
        skip_consumers: false,
        skip_ca_certificates: false,
        parallelism: 10,
    }
}

pub(crate) fn read(yaml: &str) -> Wanted {
    let env = |name: &str| (name == "DECK_HOST").then(|| "hidden.example".to_owned());
    let source = Source { name: "kong.yaml".to_owned(), bytes: yaml.as_bytes().to_vec() };
    wanted::read(&[source], &env, true).unwrap()
}

pub(crate) async fn plan(gateway: &Gateway, yaml: &str, scope: &Scope, goal: Goal) -> Result<Plan, Problems> {
    let wanted = read(yaml);
    let select_tags = client::select_tags(&scope.select_tags, &wanted.header.select_tags)?;
    let wanted = wanted.with_tags(&select_tags);
    let scope = Scope { select_tags, lookup_tags: wanted.header.lookup_tags.clone(), ..scope.clone() };
    client::plan(gateway, wanted, &scope, goal, false).await
}

/// Created, updated, deleted.
pub(crate) async fn sync(gateway: &Gateway, yaml: &str, scope: &Scope, goal: Goal) -> [usize; 3] {
    let plan = plan(gateway, yaml, scope, goal).await.unwrap();
    let pace = Pace { parallelism: scope.parallelism, pause: Duration::ZERO };
    let report = Report::of(carry_out(gateway, &plan, pace, &|_| {}).await);
    assert_eq!(report.errors, [""; 0]);
    [Action::Create, Action::Update, Action::Delete].map(|action| report.count(action))
}

pub(crate) async fn left(gateway: &Gateway, yaml: &str, scope: &Scope) -> Vec<String> {
    plan(gateway, yaml, scope, Goal::Exactly).await.unwrap().steps().map(headline).collect()
}

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn after_a_sync_nothing_is_left_to_do() {
    for (page, parallelism, workspace) in [(1000, 10, None), (2, 1, Some("default")), (1, 50, None)] {
        let (mock, address) = Mock::start().await;
        mock.with(|inner| inner.page = page);
        let gateway = gateway(&address, workspace);
        let scope = Scope { parallelism, ..scope() };
        let [created, updated, deleted] = sync(&gateway, FILE, &scope, Goal::Exactly).await;
        assert_eq!((updated, deleted), (0, 0));
        assert_eq!(created, mock.count());
        assert_eq!(left(&gateway, FILE, &scope).await, NOTHING);
        assert_eq!(sync(&gateway, FILE, &scope, Goal::Exactly).await, [0, 0, 0]);
        let prefixed = mock.asked().iter().filter(|asked| asked.line.contains(" /default/")).count();
        assert_eq!(prefixed > 0, workspace.is_some());
    }
}

#[tokio::test]
async fn a_dump_asks_for_what_is_there() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    for (with_id, skip_defaults) in [(false, false), (true, false), (false, true)] {
        let style = Style { with_id, skip_defaults, ..Style::default() };
        let document = client::dump(&gateway, &scope(), &style).await.unwrap();
        let yaml = client::to_yaml(&document);
        assert_eq!(left(&gateway, &yaml, &scope()).await, NOTHING, "{yaml}");
        assert_eq!(yaml.contains("connect_timeout: 60000"), !skip_defaults);
        // On an empty gateway it makes the same.
        let (other, address) = Mock::start().await;
        let to = crate::mock::gateway(&address, None);
        sync(&to, &yaml, &scope(), Goal::Exactly).await;
        assert_eq!(other.count(), mock.count());
        assert_eq!(left(&to, &yaml, &scope()).await, NOTHING);
    }
}

#[tokio::test]
async fn an_edit_is_one_update() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    mock.asked();
    let edited = FILE.replace("retries: 3", "retries: 4").replace("minute: 5", "minute: 6");
    assert_ne!(edited, FILE);
    assert_eq!(
        left(&gateway, &edited, &scope()).await,
        ["updating service first", "updating plugin rate-limiting for route one"]
    );
    assert_eq!(mock.writes().len(), 0, "a diff writes nothing");
    assert_eq!(sync(&gateway, &edited, &scope(), Goal::Exactly).await, [0, 2, 0]);
    let writes = mock.writes();
    assert!(writes.iter().all(|write| write.body["created_at"].is_number()));
    assert_eq!(left(&gateway, &edited, &scope()).await, NOTHING);
}

#[tokio::test]
async fn order_matters_where_the_gateway_says_so() {
    let (_, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    let sets = FILE.replace("[POST, GET]", "[GET, POST]").replace("tags: [b, a]", "tags: [a, b]");
    assert_ne!(sets, FILE);
    assert_eq!(left(&gateway, &sets, &scope()).await, NOTHING);
    let lists = FILE.replace("[x-key, apikey]", "[apikey, x-key]");
    assert_ne!(lists, FILE);
    assert_eq!(left(&gateway, &lists, &scope()).await, ["updating plugin key-auth for service first"]);
}

#[tokio::test]
async fn apply_refers_to_what_is_there_and_deletes_nothing() {
    let (_, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    let part = "_format_version: '3.0'\nroutes: [{ name: new, paths: [/new], service: { name: first } }]\nplugins: [{ name: key-auth, consumer: alice }]";
    assert!(plan(&gateway, part, &scope(), Goal::Exactly).await.is_err(), "sync refers to the file only");
    assert_eq!(sync(&gateway, part, &scope(), Goal::AtLeast).await, [2, 0, 0]);
    assert_eq!(sync(&gateway, part, &scope(), Goal::AtLeast).await, [0, 0, 0]);
}

#[tokio::test]
async fn tags_part_what_is_looked_after() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    let of = |team: &str| {
        format!(
            "_format_version: '3.0'\n_info: {{ select_tags: [{team}, all] }}\nservices: [{{ name: {team}, host: h, tags: [own], routes: [{{ name: {team}, paths: [/{team}] }}] }}]"
        )
    };
    assert_eq!(sync(&gateway, &of("a"), &scope(), Goal::Exactly).await, [2, 0, 0]);
    assert_eq!(sync(&gateway, &of("b"), &scope(), Goal::Exactly).await, [2, 0, 0]);
    assert_eq!(left(&gateway, &of("a"), &scope()).await, NOTHING);
    let lists = mock.asked();
    assert!(lists.iter().any(|asked| asked.line == "GET /services?size=1000&tags=a%2Call"), "{lists:?}");
    let tagged = Scope { select_tags: vec!["a".to_owned(), "all".to_owned()], ..scope() };
    let style = Style { select_tags: tagged.select_tags.clone(), ..Style::default() };
    let dump = client::to_yaml(&client::dump(&gateway, &tagged, &style).await.unwrap());
    assert!(dump.contains("name: a") && !dump.contains("name: b") && dump.contains("select_tags:"), "{dump}");
    assert!(dump.contains("tags:\n  - own\n"), "{dump}");
    assert_eq!(left(&gateway, &dump, &scope()).await, NOTHING);
    let empty = "_format_version: '3.0'";
    assert_eq!(sync(&gateway, empty, &tagged, Goal::Exactly).await, [0, 0, 2]);
    assert_eq!(mock.count(), 2);
}

#[tokio::test]
async fn reset_leaves_nothing_and_a_dump_of_nothing_is_bare() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    let [created, ..] = sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    let plan = client::plan(&gateway, Wanted::default(), &scope(), Goal::Exactly, false).await.unwrap();
    let ranks: Vec<usize> = plan.steps().map(|step| step.kind.rank()).collect();
    assert!(ranks.is_sorted_by(|a, b| a >= b), "children first: {ranks:?}");
    let pace = Pace { parallelism: 10, pause: Duration::ZERO };
    let report = Report::of(carry_out(&gateway, &plan, pace, &|_| {}).await);
    assert_eq!((report.count(Action::Delete), mock.count()), (created, 0));
    let dump = client::dump(&gateway, &scope(), &Style::default()).await.unwrap();
    assert_eq!(client::to_yaml(&dump), "_format_version: \"3.0\"\n");
}

#[tokio::test]
async fn an_id_for_a_name_that_is_taken_replaces_its_holder() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    mock.asked();
    let moved =
        FILE.replace("- name: first\n", "- name: first\n  id: 99999999-9999-4999-8999-999999999999\n");
    let [created, updated, deleted] = sync(&gateway, &moved, &scope(), Goal::Exactly).await;
    assert_eq!((created, updated, deleted), (4, 0, 4), "the service, its route, and their plugins");
    let writes = mock.writes();
    assert!(writes[..4].iter().all(|write| write.line.starts_with("DELETE")), "{writes:?}");
    assert_eq!(left(&gateway, &moved, &scope()).await, NOTHING);
}

#[tokio::test]
async fn consumers_are_left_alone_if_so_asked() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    let without = Scope { skip_consumers: true, skip_ca_certificates: true, ..scope() };
    sync(&gateway, FILE, &without, Goal::Exactly).await;
    let asked = mock.asked();
    let of_consumers = ["consumer", "key-auth", "acl", "jwt", "ca_cert"];
    let is_of = |line: &str, word: &str| {
        ["GET", "PUT", "POST"].iter().any(|verb| line.starts_with(&format!("{verb} /{word}")))
    };
    let touched = asked.iter().find(|asked| of_consumers.iter().any(|word| is_of(&asked.line, word)));
    assert!(touched.is_none(), "{touched:?}");
    assert_eq!(left(&gateway, FILE, &without).await, NOTHING);
    sync(&gateway, FILE, &scope(), Goal::Exactly).await;
    let before = mock.count();
    sync(&gateway, "_format_version: '3.0'", &without, Goal::Exactly).await;
    assert!(mock.count() > 8 && mock.count() < before);
}

#[tokio::test]
async fn the_gateway_looks_at_each_entity() {
    let (mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    assert_eq!(client::validate::validate(&gateway, &read(FILE), 10).await, [""; 0]);
    let asked = mock.asked();
    assert_eq!(asked.len(), 27, "keys, groups and members are not checked by gateways");
    assert!(
        asked.iter().all(|asked| asked.line.starts_with("POST /schemas/") && asked.body["id"].is_string())
    );
    let bad = "_format_version: '3.0'\nservices: [{ name: good }, { name: bad, plugins: [{ name: bad }] }]";
    assert_eq!(
        client::validate::validate(&gateway, &read(bad), 1).await,
        [
            "kong.yaml:2:28: service bad: HTTP status 400 (message: \"schema violation (host: required field missing)\")",
            "kong.yaml:2:51: plugin bad: HTTP status 400 (message: \"schema violation (host: required field missing)\")",
        ]
    );
}

/// A group of another file, which is found by its tag: its members of ours are found again.
#[tokio::test]
async fn groups_that_are_looked_up() {
    let (_mock, address) = Mock::start().await;
    let gateway = gateway(&address, None);
    let global = "_format_version: '3.0'\n_info: {select_tags: [global]}\nconsumer_groups: [{name: gold}]";
    let team = "_format_version: '3.0'\n_info:\n  select_tags: [team1]\n  default_lookup_tags: {consumer_groups: \
                [global]}\nconsumers: [{username: alice, groups: [{name: gold}]}]";
    assert_eq!(sync(&gateway, global, &scope(), Goal::Exactly).await, [1, 0, 0]);
    assert_eq!(sync(&gateway, team, &scope(), Goal::Exactly).await, [2, 0, 0]);
    assert_eq!(left(&gateway, team, &scope()).await, NOTHING);
    let without = team.replace(", groups: [{name: gold}]", "");
    assert_eq!(sync(&gateway, &without, &scope(), Goal::Exactly).await, [0, 0, 1]);
}
