//! What is sent: entities and plugins that are right, with one to three values within, at or beyond a rule.
//!
//! Owns: which fields there are, by the node's own `/schemas`, and what each is tried with. Must not know: what comes of it.

use postern_conformance::Node;
use postern_conformance::ca::Ca;
use serde_json::{Map, Value, json};

/// An entity to be written.
pub(super) struct Body {
    pub(super) path: String,
    pub(super) json: Value,
    /// What of it was changed, for people.
    pub(super) changed: String,
}

/// What others refer to; it is there from the beginning.
pub(super) const PARENTS: &[(&str, &str)] = &[
    ("/consumers/00000000-0000-4000-8000-000000000001", r#"{"username": "parent"}"#),
    ("/upstreams/00000000-0000-4000-8000-000000000002", r#"{"name": "parent.test"}"#),
    ("/key-sets/00000000-0000-4000-8000-000000000003", r#"{"name": "parent"}"#),
];
const CONSUMER: &str = "00000000-0000-4000-8000-000000000001";
const CERTIFICATE: &str = "00000000-0000-4000-8000-000000000004";
const KEY_SET: &str = "00000000-0000-4000-8000-000000000003";

/// Bodies in a random order that follows from a number.
pub(super) struct Bodies {
    kinds: Vec<Kind>,
    pems: Vec<String>,
    random: Random,
    made: u128,
    expressions: bool,
}

/// A kind of entity, or a plugin.
struct Kind {
    /// The path of its list.
    list: &'static str,
    /// For plugins.
    plugin: Option<String>,
    right: Value,
    changes: Vec<Change>,
}

struct Change {
    path: Vec<Step>,
    value: Value,
    decides: bool,
}

#[derive(Clone)]
enum Step {
    Key(String),
    First,
}

impl Bodies {
    pub(super) async fn of(node: &Node, seed: u64, flavour: &str) -> Self {
        let ca = Ca::new("An authority");
        let (one, other, rsa) = (ca.issue(&["a.test"]), ca.issue(&["b.test"]), ca.issue_rsa(&["c.test"]));
        let two_blocks = format!("{}{}", one.cert, one.key);
        let pems =
            [&one.chain, &one.key, &other.cert, &other.key, &rsa.cert, &rsa.key, ca.pem(), &two_blocks];
        let mut pems: Vec<String> = pems.iter().map(|pem| (*pem).to_owned()).collect();
        pems.push(one.cert.replace('\n', "\r\n"));
        pems.push(one.cert[..one.cert.len() / 2].to_owned());
        pems.push("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned());
        pems.push("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned());
        pems.push("-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n".to_owned());
        let pair = json!({"cert": one.chain, "key": one.key});
        node.put(&format!("/certificates/{CERTIFICATE}"), &pair).await;
        let mut kinds = Vec::new();
        for (list, schema, right) in entities(&one.chain, &one.key) {
            let fields = node.get(&format!("/schemas/{schema}")).await["fields"].clone();
            let mut changes = Vec::new();
            each(&fields, &[], &mut changes);
            if schema == "vaults" {
                for kind in ["env", "fs", "hcv"] {
                    let of_kind = node.get(&format!("/schemas/vaults/{kind}")).await["fields"].clone();
                    each(&of_kind, &[], &mut changes);
                }
            }
            kinds.push(Kind { list, plugin: None, right, changes });
        }
        let enabled = node.get("/plugins/enabled").await["enabled_plugins"].clone();
        for name in enabled.as_array().expect("a list").iter().filter_map(Value::as_str) {
            let fields = node.get(&format!("/schemas/plugins/{name}")).await["fields"].clone();
            let config = field(&fields, "config").expect("a plugin has a config");
            let mut changes = Vec::new();
            each(&config["fields"], &[Step::Key("config".to_owned())], &mut changes);
            let right = json!({"name": name, "config": right_config(name)});
            kinds.push(Kind { list: "/plugins", plugin: Some(name.to_owned()), right, changes });
        }
        Self { kinds, pems, random: Random(seed), made: 0, expressions: flavour == "expressions" }
    }

    /// The next one; a plugin is bound to this route.
    pub(super) fn next(&mut self, route: uuid::Uuid) -> Body {
        self.made += 1;
        let random = &mut self.random;
        // What routes say is a language, and certificates need keys that fit; both are few among some fifty kinds.
        let is_special = |kind: &&Kind| matches!(kind.list, "/routes" | "/certificates");
        let kind = match random.below(5) {
            0 => {
                let special = self.kinds.iter().filter(is_special).count();
                self.kinds.iter().filter(is_special).nth(random.below(special))
            }
            _ => self.kinds.get(random.below(self.kinds.len())),
        };
        let Some(kind) = kind else { unreachable!("there are routes") };
        let mut json = kind.right.clone();
        let unique = format!("n{}", self.made);
        name_it(&mut json, kind.list, &unique);
        if kind.plugin.is_some() {
            json["route"] = json!({"id": route});
        }
        let mut changed = Vec::new();
        if kind.list == "/routes" && random.below(if self.expressions { 2 } else { 8 }) == 0 {
            let expression = expression(random);
            json = json!({"name": unique, "expression": expression});
            changed.push(format!("expression = {}", Value::from(expression)));
        }
        if kind.list.ends_with("certificates") && random.below(2) == 0 {
            let names = ["cert", "key", "cert_alt", "key_alt"];
            let name = names[random.below(if kind.list == "/certificates" { 4 } else { 1 })];
            let pem = random.below(self.pems.len());
            json[name] = self.pems[pem].as_str().into();
            changed.push(format!("{name} = PEM {pem}"));
        }
        let count = match random.below(10) {
            0..=4 if !changed.is_empty() => 0,
            0..=6 => 1,
            7 | 8 => 2,
            _ => 3,
        };
        for _ in 0..count.min(kind.changes.len()) {
            let change = Change::any(&kind.changes, random);
            json = change.applied_to(json);
            changed.push(change.shown());
        }
        let id = uuid::Uuid::from_u128(0x1000_4000_8000_0000_0000_0000 + self.made);
        let plugin = kind.plugin.as_deref().map_or(String::new(), |name| format!("{name}: "));
        Body {
            path: format!("{}/{id}", kind.list),
            json,
            changed: format!("{plugin}{}", changed.join(" and ")),
        }
    }
}

/// Path, name of the schema, and a body.
fn entities(cert: &str, key: &str) -> Vec<(&'static str, &'static str, Value)> {
    let consumer = json!({"id": CONSUMER});
    vec![
        ("/services", "services", json!({"host": "127.0.0.1"})),
        ("/routes", "routes", json!({"paths": ["/generated"]})),
        ("/routes", "routes", json!({"paths": ["~/g/\\d+"], "hosts": ["g.test"], "headers": {"x-g": ["1"]}})),
        ("/consumers", "consumers", json!({})),
        ("/consumer_groups", "consumer_groups", json!({})),
        ("/key-auths", "keyauth_credentials", json!({"consumer": consumer})),
        ("/basic-auths", "basicauth_credentials", json!({"consumer": consumer, "password": "p"})),
        ("/hmac-auths", "hmacauth_credentials", json!({"consumer": consumer, "secret": "s"})),
        ("/jwts", "jwt_secrets", json!({"consumer": consumer, "secret": "s"})),
        ("/acls", "acls", json!({"consumer": consumer})),
        ("/upstreams", "upstreams", json!({})),
        ("/upstreams/00000000-0000-4000-8000-000000000002/targets", "targets", json!({})),
        ("/certificates", "certificates", json!({"cert": cert, "key": key})),
        ("/snis", "snis", json!({"certificate": {"id": CERTIFICATE}})),
        ("/ca_certificates", "ca_certificates", json!({"cert": cert})),
        ("/vaults", "vaults", json!({"name": "env", "config": {"prefix": "A_"}})),
        ("/key-sets", "key_sets", json!({})),
        ("/keys", "keys", json!({"set": {"id": KEY_SET}, "jwk": "{\"kty\":\"oct\",\"k\":\"YQ\"}"})),
    ]
}

/// A name that no other body has, where the kind needs one.
fn name_it(json: &mut Value, list: &str, unique: &str) {
    let (field, name) = match list {
        "/consumers" | "/basic-auths" | "/hmac-auths" => ("username", unique.to_owned()),
        "/key-auths" | "/jwts" => ("key", unique.to_owned()),
        "/acls" => ("group", unique.to_owned()),
        "/upstreams" | "/snis" => ("name", format!("{unique}.test")),
        list if list.ends_with("/targets") => {
            ("target", format!("127.0.0.1:{}", 1 + unique[1..].parse::<u32>().unwrap_or(0) % 65_000))
        }
        "/vaults" => ("prefix", format!("v-{unique}")),
        "/keys" => ("kid", unique.to_owned()),
        "/services" | "/routes" | "/consumer_groups" | "/key-sets" => ("name", unique.to_owned()),
        _ => return,
    };
    json[field] = name.into();
}

/// What a plugin cannot do without.
fn right_config(plugin: &str) -> Value {
    match plugin {
        "acl" => json!({"allow": ["a"]}),
        "file-log" => json!({"path": "/dev/null"}),
        "http-log" => json!({"http_endpoint": "http://127.0.0.1:9/"}),
        "ip-restriction" => json!({"allow": ["10.0.0.0/8"]}),
        "oauth2-introspection" => {
            json!({"introspection_url": "http://127.0.0.1:9/", "authorization_value": "Basic YTpi"})
        }
        "opentelemetry" => json!({"traces_endpoint": "http://127.0.0.1:9/"}),
        "proxy-cache" => json!({"strategy": "memory"}),
        "rate-limiting" => json!({"minute": 5}),
        "redirect" => json!({"location": "https://a.test/"}),
        "response-ratelimiting" => json!({"limits": {"a": {"minute": 5}}}),
        "statsd" => json!({"host": "127.0.0.1"}),
        "tcp-log" | "udp-log" => json!({"host": "127.0.0.1", "port": 9}),
        "upstream-oauth" => json!({
            "oauth": {"token_endpoint": "http://127.0.0.1:9/", "client_id": "a", "client_secret": "b"},
        }),
        _ => json!({}),
    }
}

/// Right ones, and such as are wrong in every way.
fn expression(random: &mut Random) -> String {
    const FIELDS: &[&str] = &[
        "http.path",
        "http.host",
        "http.method",
        "net.protocol",
        "tls.sni",
        "http.headers.x_a",
        "http.queries.q",
        "http.path.segments.0",
        "http.path.segments.0_1",
        "http.path.segments.len",
        "net.port",
        "net.src.ip",
        "net.dst.port",
        "net.src.port",
        "net.dst.ip",
        "nope",
        "http.",
        "http.path.segments.1_0",
        "http.path.segments.x",
        "http.headers.",
    ];
    const OPERATORS: &[&str] =
        &["==", "!=", "~", "^=", "=^", ">", ">=", "<", "<=", "in", "not in", "contains", "=", "<>", ""];
    const VALUES: &[&str] = &[
        "\"/g\"",
        "\"\"",
        "80",
        "-1",
        "0x50",
        "99999999999999999999",
        "10.0.0.0/8",
        "10.0.0.1",
        "10.0.0.0/33",
        "::1",
        "::/129",
        "r#\"/g/\\d+\"#",
        "r#\"(\"#",
        "r#\"\\d{1,999999}\"#",
        "r#\"(\\w{99}){99}\"#",
        "\"(\"",
        "\"\\\\d{1,99999}\"",
        "\"(?=a)\"",
        "\"a",
        "a",
        "",
        "\"\\q\"",
        "\"\u{e9}\"",
        "\"\\0\"",
    ];
    let mut predicate = || {
        let [field, operator, value] = [FIELDS, OPERATORS, VALUES].map(|list| list[random.below(list.len())]);
        match random.below(8) {
            0 => format!("lower({field}) {operator} {value}"),
            1 => format!("any({field}) {operator} {value}"),
            2 => format!("!({field} {operator} {value})"),
            3 => format!("({field} {operator} {value}"),
            _ => format!("{field} {operator} {value}"),
        }
    };
    let (first, second) = (predicate(), predicate());
    match random.below(8) {
        0 => format!("{first} && {second}"),
        1 => format!("{first} || {second}"),
        2 => format!("{}{first}{}", "(".repeat(70), ")".repeat(70)),
        3 => vec![first; 400].join(" || "),
        4 => ["(", ")", "!", "", "&&", "true", "http.path"][random.below(7)].to_owned(),
        _ => first,
    }
}

impl Change {
    fn applied_to(&self, mut json: Value) -> Value {
        let mut place = &mut json;
        for step in &self.path {
            place = match step {
                Step::Key(name) => {
                    if !place.is_object() {
                        *place = Value::Object(Map::new());
                    }
                    &mut place[name.as_str()]
                }
                Step::First => {
                    if place.as_array().is_none_or(Vec::is_empty) {
                        *place = json!([null]);
                    }
                    &mut place[0]
                }
            };
        }
        *place = self.value.clone();
        json
    }

    /// One of many; choices come up as often as all else.
    fn any<'a>(changes: &'a [Self], random: &mut Random) -> &'a Self {
        loop {
            let change = &changes[random.below(changes.len())];
            if change.decides || random.below(6) == 0 {
                return change;
            }
        }
    }

    fn shown(&self) -> String {
        let steps = self.path.iter().map(|step| match step {
            Step::Key(name) => format!(".{}", name.chars().take(60).collect::<String>().escape_debug()),
            Step::First => "[0]".to_owned(),
        });
        let value: String = self.value.to_string().chars().take(120).collect();
        format!("{} = {value}", steps.collect::<String>().trim_start_matches('.'))
    }
}

fn field<'v>(fields: &'v Value, name: &str) -> Option<&'v Value> {
    fields.as_array()?.iter().find_map(|field| field.get(name))
}

/// What the fields of a schema are tried with.
fn each(fields: &Value, path: &[Step], changes: &mut Vec<Change>) {
    for (name, field) in fields.as_array().into_iter().flatten().filter_map(Value::as_object).flatten() {
        // An entity that is written again under another identifier is another one.
        if path.is_empty() && matches!(name.as_str(), "id" | "created_at" | "updated_at") {
            continue;
        }
        let path: Vec<Step> = path.iter().cloned().chain([Step::Key(name.clone())]).collect();
        values(field, &path, changes);
    }
}

fn values(field: &Value, path: &[Step], changes: &mut Vec<Change>) {
    let below = |step: Step| -> Vec<Step> { path.iter().cloned().chain([step]).collect() };
    let mut put = |value: Value, decides: bool| changes.push(Change { path: path.to_vec(), value, decides });
    for choice in field["one_of"].as_array().into_iter().flatten() {
        put(choice.clone(), true);
    }
    for limit in
        [&field["between"][0], &field["between"][1], &field["gt"]].into_iter().filter_map(Value::as_f64)
    {
        for value in [limit - 1.0, limit - 0.5, limit, limit + 0.5, limit + 1.0] {
            put(if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }, false);
        }
    }
    for length in [&field["len_min"], &field["len_max"]].into_iter().filter_map(Value::as_u64) {
        for length in [length.saturating_sub(1), length, length + 1] {
            put("a".repeat(usize::try_from(length).unwrap_or(0)).into(), false);
        }
    }
    for value in [json!(null), json!({}), json!([]), json!([[1]]), json!({"a": {"b": 1}})] {
        put(value, false);
    }
    match field["type"].as_str().unwrap_or_default() {
        "string" => texts().into_iter().for_each(|text| put(text.into(), false)),
        "integer" | "number" => numbers().into_iter().for_each(|number| put(number, false)),
        "boolean" => [true, false].into_iter().for_each(|truth| put(truth.into(), true)),
        "array" | "set" => {
            let good = good(&field["elements"]);
            put(vec![good; 200].into(), false);
            values(&field["elements"], &below(Step::First), changes);
        }
        "map" => {
            let good = good(&field["values"]);
            for key in texts() {
                changes.push(Change { path: below(Step::Key(key)), value: good.clone(), decides: false });
            }
            values(&field["values"], &below(Step::Key("key".to_owned())), changes);
        }
        "record" => each(&field["fields"], path, changes),
        _ => {}
    }
}

/// A value that is probably right.
fn good(field: &Value) -> Value {
    match field["type"].as_str().unwrap_or_default() {
        _ if field["one_of"].is_array() => field["one_of"][0].clone(),
        _ if !field["default"].is_null() => field["default"].clone(),
        "string" => "a:b".into(),
        "integer" | "number" => 200.into(),
        "boolean" => true.into(),
        "record" => {
            let fields =
                field["fields"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
            Value::Object(fields.map(|(name, field)| (name.clone(), good(field))).collect())
        }
        _ => json!([]),
    }
}

fn numbers() -> Vec<Value> {
    let whole = [
        0,
        1,
        -1,
        2,
        99,
        100,
        199,
        599,
        600,
        999,
        65_535,
        65_536,
        1 << 31,
        -(1 << 31),
        1 << 53,
        i64::MAX,
        i64::MIN,
    ];
    let floats = [0.5, -0.5, 1e-300, 1e300, -1e300, 429.5];
    whole.map(|number| json!(number)).into_iter().chain(floats.map(|number| json!(number))).collect()
}

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    texts.extend(["a".repeat(300), "a".repeat(70_000), format!("{}a{}", "(".repeat(300), ")".repeat(300))]);
    texts
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A-b_c",
    "-1",
    "0",
    "65536",
    "\u{0}",
    "a\r\nb: c",
    "x:\r\ny",
    "x:\u{0}",
    "\t",
    "\u{7f}",
    "a\"b",
    "a\\",
    "\u{e9}",
    "x:\u{e9}",
    "\u{1f980}",
    "a b",
    "a b:c",
    "a;b",
    "a,b",
    "a=b",
    ":",
    ":b",
    "a:",
    "a:b:c",
    "%",
    "%zz",
    "%00",
    "(",
    "[",
    "*",
    "\\d{1,999999}",
    "~(",
    "~/(",
    "~/\\d{1,999999}",
    "~/(\\w{99}){99}",
    "~*(",
    "(?=a)",
    "$(",
    "$(headers.x)",
    "x:$(headers.x)",
    "x:$(",
    "x:$(os.time())",
    "{vault://env/nothing}",
    "x:{vault://env/nothing}",
    "{vault://",
    "{vault://nowhere/x}",
    "11111111-2222-4333-8444-555555555555",
    "http://",
    "http:///x",
    "http://a.test",
    "http://u:p@a.test:8080/x?y=z#w",
    "http://a.test:99999",
    "http://[::1",
    "http://a b/",
    "http://a\r\nb/",
    "ftp://a.test",
    "//a.test",
    "mailto:a@a.test",
    "/",
    "//",
    "/..",
    "/a/../..",
    "/%2e%2e/",
    "/%00",
    "/a b",
    "/\u{e9}",
    "/?a",
    "a.test",
    "A.TEST.",
    ".a.test",
    "*.a.test",
    "a.*",
    "*.*",
    "a..test",
    "a_b.test",
    "a.test:80",
    "localhost",
    "127.0.0.1",
    "127.0.0.1:80",
    "999.0.0.1",
    "::1",
    "[::1]:80",
    "10.0.0.0/8",
    "10.0.0.1/8",
    "10.0.0.0/33",
    "::/129",
    "GET",
    "get",
    "G ET",
    "host",
    "content-length:5",
    "transfer-encoding:chunked",
    "date",
    "@request-target",
    "text/html",
    "200-299",
    "299-200",
    "0-99999",
    "return 1",
    "return nil",
    "return kong",
    "return 1e999",
    "a.b.c",
    "/dev/null",
    "true",
    "null",
    "exp",
    "HS256",
    "{\"kty\":\"oct\"}",
    "{",
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
];

/// Numbers that follow from the first: splitmix64.
pub(super) struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap_or(0)
    }
}
