//! Bodies without end to the Admin API of a real node: what is accepted is in effect, now and after a restart; what is
//! refused has changed nothing.
//!
//! Owns: what must hold. `generate/bodies.rs` has what is sent, by the node's own `/schemas`. `BODIES=n` sends n instead of some
//! eight hundred, `SEED=n` others: `make generate BODIES=100000`.
//!
//! Bodies go out in batches, each plugin on a route of its own. A marker written behind them tells when a node has them all; if
//! it does not come into effect, the bodies are sent again one by one, to name the one that it hangs on. A canary route must
//! answer all the time.

mod bodies;

use std::time::Duration;

use postern_conformance::ask::{Connection, Way, request};
use postern_conformance::{Node, Recorder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::bodies::{Bodies, Body};

/// Bodies that are settled together, and how often until the node is started again.
const BATCH: usize = 40;
const BATCHES: usize = 8;
/// For a change to be in effect. What takes longer than this is lost.
const SOON: Duration = Duration::from_secs(20);
/// More say nothing new.
const MOST_FAILURES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_accepted_is_in_effect_and_what_is_refused_changes_nothing() {
    let (all, seed) = (number("BODIES").unwrap_or(800), number("SEED").unwrap_or(15));
    let upstream = Recorder::start().await;
    let mut failures = Vec::new();
    let mut counts = [0, 0];
    for (flavour, share) in [("traditional_compatible", all / 2), ("expressions", all - all / 2)] {
        let settings = [("router_flavor", flavour), ("dns_resolver", "127.0.0.1:9")];
        let mut run = Run::start(Node::sqlite(&settings).await, &upstream, flavour).await;
        let mut bodies = Bodies::of(&run.node, seed, flavour).await;
        let mut left = usize::try_from(share).unwrap();
        while left > 0 && run.failures.len() < MOST_FAILURES {
            for _ in 0..BATCHES {
                let batch: Vec<Body> =
                    (0..BATCH.min(left)).map(|place| bodies.next(run.routes[place])).collect();
                left -= batch.len();
                run.batch(batch).await;
            }
            run.restart().await;
        }
        counts = [counts[0] + run.accepted, counts[1] + run.refused];
        failures.extend(run.failures);
    }
    println!("{} bodies accepted, {} refused, seed {seed}", counts[0], counts[1]);
    let shown: String = failures.iter().map(|failure| format!("\n{failure}")).collect();
    assert!(failures.is_empty(), "{} failures, seed {seed}:{shown}", failures.len());
    assert!(counts[0] > all / 10 && counts[1] > all / 10, "{counts:?}: it says little");
}

/// A number for the test, from outside.
#[expect(clippy::disallowed_methods, reason = "how long a test runs is not the gateway's matter")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A node, and what has come of it so far.
struct Run {
    node: Node,
    flavour: &'static str,
    /// To the Admin API; one for all requests.
    connection: Connection,
    /// Of the routes that plugins are bound to.
    routes: Vec<uuid::Uuid>,
    /// What was accepted since the node started, by path.
    present: Vec<String>,
    markers: usize,
    accepted: u64,
    refused: u64,
    failures: Vec<String>,
}

impl Run {
    /// With a canary, and a route for each body of a batch.
    async fn start(node: Node, upstream: &Recorder, flavour: &'static str) -> Self {
        let connection = Way::http(node.admin).open().await.expect("a connection");
        let routes = (0..BATCH).map(|number| uuid::Uuid::from_u128(0x7000 + number as u128)).collect();
        let mut run = Self {
            node,
            flavour,
            connection,
            routes,
            present: Vec::new(),
            markers: 0,
            accepted: 0,
            refused: 0,
            failures: Vec::new(),
        };
        let url = format!("http://{}", upstream.address());
        run.must("PUT", "/services/canary", &json!({"url": url})).await;
        let canary = run.route("/canary");
        run.must("PUT", "/routes/canary", &canary).await;
        for number in 0..BATCH {
            let path = format!("/routes/{}", run.routes[number]);
            let route = json!({"name": format!("of-plugin-{number}"), "hosts": [format!("p{number}.test")]});
            run.must("PUT", &path, &route).await;
        }
        for (path, body) in bodies::PARENTS {
            let body: Value = serde_json::from_str(body).expect("a body");
            run.must("PUT", path, &body).await;
        }
        if let Err(reason) = run.settled().await {
            panic!("it does not even begin: {reason}\n{}", run.node.log());
        }
        run
    }

    /// A route of the test's own, which no generated one stands before.
    fn route(&self, path: &str) -> Value {
        let service = json!({"name": "canary"});
        match self.flavour {
            "expressions" => json!({
                "expression": format!("http.path == \"{path}\" && http.host == \"localhost\""),
                "priority": 70_368_744_177_663_u64, "service": service, "strip_path": false,
            }),
            _ => json!({
                "paths": [path], "hosts": ["localhost"], "methods": ["GET"], "headers": {"x-mine": ["1"]},
                "snis": ["mine.test"], "service": service, "strip_path": false,
            }),
        }
    }

    /// Sends bodies; then all of them must be in effect, or have changed nothing.
    async fn batch(&mut self, batch: Vec<Body>) {
        let mut sent = Vec::new();
        for body in batch {
            let (status, answer) = self.ask("PUT", &body.path, &body.json).await;
            match status {
                200 | 201 => self.accepted += 1,
                400..=499 => self.refused += 1,
                _ => self.failed(&body, &format!("answers {status}: {answer}")),
            }
            sent.push((body, status));
        }
        let accepted = |status: u16| matches!(status, 200 | 201);
        if let Err(reason) = self.settled().await {
            self.one_by_one(
                sent.iter().filter(|(_, status)| accepted(*status)).map(|(body, _)| body),
                &reason,
            )
            .await;
            return;
        }
        // What was refused, is refused again, and is not even a change.
        let before = self.effect().await;
        for (body, status) in sent.iter().filter(|(_, status)| !accepted(*status)) {
            let (again, answer) = self.ask("PUT", &body.path, &body.json).await;
            if again != *status {
                self.failed(body, &format!("answered {status}, and then {again}: {answer}"));
            }
        }
        let after = self.effect().await;
        if before != after {
            self.failures.push(format!("what was refused changed {before} to {after}"));
        }
        self.present
            .extend(sent.into_iter().filter(|(_, status)| accepted(*status)).map(|(body, _)| body.path));
        if self.present.len() > 3 * BATCH {
            self.clear().await;
        }
    }

    /// Finds out on which body a node hangs.
    async fn one_by_one<'b>(&mut self, bodies: impl Iterator<Item = &'b Body>, reason: &str) {
        let bodies: Vec<&Body> = bodies.collect();
        for body in &bodies {
            self.ask("DELETE", &body.path, &Value::Null).await;
        }
        if let Err(reason) = self.settled().await {
            panic!("it is gone, and yet in the way: {reason}\n{}", self.failures.join("\n"));
        }
        let mut found = 0;
        for body in bodies {
            let (status, _) = self.ask("PUT", &body.path, &body.json).await;
            if !matches!(status, 200 | 201) {
                continue;
            }
            if let Err(reason) = self.settled().await {
                found += 1;
                self.failed(body, &format!("accepted, and not in effect: {reason}"));
            }
            self.ask("DELETE", &body.path, &Value::Null).await;
        }
        if let Err(reason) = self.settled().await {
            panic!("it is gone, and yet in the way: {reason}\n{}", self.failures.join("\n"));
        }
        if found == 0 {
            self.failures.push(format!(
                "a batch is accepted, each body of it takes effect, and together not: {reason}"
            ));
        }
    }

    /// Waits until all that was written so far is in effect, and the canary answers.
    async fn settled(&mut self) -> Result<(), String> {
        self.markers += 1;
        let path = format!("/marker-{}", self.markers);
        let marker = self.route(&path);
        self.must("PUT", "/routes/marker", &marker).await;
        let begun = Instant::now();
        let refusals = self.refusals();
        while self.status(&path).await != 200 {
            let effect = self.effect().await;
            let reasons = effect["configuration"]["refused"].clone();
            if !is_empty(&reasons) {
                // It may be the refusal of what was there before; the second one from now on is of what is there now.
                if self.refusals() > refusals + 1 {
                    return Err(reasons.to_string());
                }
                self.must("PUT", "/routes/marker", &marker).await;
            }
            if begun.elapsed() > SOON {
                return Err(format!("the change is not there after {SOON:?}: {reasons}"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        match self.status("/canary").await {
            200 => {}
            status => return Err(format!("the canary answers {status}")),
        }
        let effect = self.effect().await;
        let configuration = &effect["configuration"];
        match configuration["refused"].is_null() && is_empty(&configuration["broken"]) {
            true => Ok(()),
            false => Err(configuration.to_string()),
        }
    }

    /// Starts the node again: all that was accepted is there, and served.
    async fn restart(&mut self) {
        self.node.end().await;
        self.node.start_again().await;
        self.connection = Way::http(self.node.admin).open().await.expect("a connection");
        if let Err(reason) = self.settled().await {
            self.failures.push(format!("after a restart: {reason}"));
        }
        for path in self.present.clone() {
            let (status, _) = self.ask("GET", &path, &Value::Null).await;
            if status != 200 {
                self.failures.push(format!("{path} is not there after a restart: {status}"));
            }
        }
        self.clear().await;
    }

    async fn clear(&mut self) {
        for path in std::mem::take(&mut self.present).into_iter().rev() {
            let (status, answer) = self.ask("DELETE", &path, &Value::Null).await;
            if status != 204 {
                self.failures.push(format!("{path} cannot be deleted: {status} {answer}"));
            }
        }
    }

    /// What tells which configuration is in effect.
    async fn effect(&mut self) -> Value {
        let (_, status) = self.ask("GET", "/status", &Value::Null).await;
        json!({"hash": status["configuration_hash"], "configuration": status["configuration"]})
    }

    /// How often the node refused a configuration.
    fn refusals(&self) -> usize {
        self.node.log().matches("a new configuration was refused").count()
    }

    async fn status(&self, path: &str) -> u16 {
        let asked = request("GET", "localhost", path, &[("x-mine", "1")], "");
        Way::http(self.node.proxy).ask(asked).await.map_or(0, |got| got.status)
    }

    fn failed(&mut self, body: &Body, reason: &str) {
        let (path, flavour) = (&body.path, self.flavour);
        let reason: String = reason.chars().take(600).collect();
        let changed = &body.changed;
        self.failures.push(format!("{path} ({flavour}) with {changed}: {reason}"));
    }

    async fn must(&mut self, method: &str, path: &str, body: &Value) {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(matches!(status, 200 | 201), "{method} {path} {body}: {status} {answer}");
    }

    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("content-type", "application/json")];
        let headers = if body.is_null() { &[] } else { &headers[..] };
        let host = self.node.admin.to_string();
        for _ in 0..3 {
            match self.connection.ask(request(method, &host, path, headers, text.clone())).await {
                Ok(got) => return (got.status, serde_json::from_slice(&got.body).unwrap_or(Value::Null)),
                // It may close a connection after an answer.
                Err(_) => self.connection = Way::http(self.node.admin).open().await.expect("a connection"),
            }
        }
        (0, "no answer".into())
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}
