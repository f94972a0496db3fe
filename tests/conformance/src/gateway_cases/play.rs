//! A scene → what was wrong in it.
//!
//! Starts the upstreams that the configuration names and the gateway, sends each step, and compares. All of a step is
//! compared, so that one run tells all.

use std::{collections::BTreeMap, net::TcpListener, time::Duration};

use http::HeaderMap;
use regex_automata::meta::Regex;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::format::{Answer, Over, Scene, Step};
use crate::{
    Gateway, Recorder, Reply, Seen,
    ask::{Got, PATIENCE, Way, request},
    ca::Ca,
};

struct Stage {
    gateway: Gateway,
    upstreams: BTreeMap<String, Recorder>,
    closed: u16,
}

/// Plays one; each fault names the scene and the step.
pub(super) async fn play(scene: &Scene) -> Vec<String> {
    let stage = match stage(scene).await {
        Ok(stage) => stage,
        Err(log) => return vec![format!("{}: the gateway did not start:\n{log}", scene.name)],
    };
    let mut faults = Vec::new();
    for (number, step) in scene.steps.iter().enumerate() {
        let wrong = stage.step(step).await;
        if !wrong.is_empty() {
            let name = step.name.as_deref().unwrap_or(&step.send);
            faults.push(format!("{} [{}] {name}:\n  {}", scene.name, number + 1, wrong.join("\n  ")));
        }
    }
    faults
}

async fn stage(scene: &Scene) -> Result<Stage, String> {
    // Bound for as long as it takes to learn its number; nobody else is given it soon.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = closed.expect("a free port").port();
    let mut upstreams = BTreeMap::new();
    let texts = scene.settings.values().chain([&scene.config]);
    for name in texts.flat_map(|text| placeholders(text)) {
        if upstreams.contains_key(&name) {
            continue;
        }
        let recorder = match name.split_once('.') {
            Some(("port", _)) => Recorder::start().await,
            Some(("tls", host)) => Recorder::tls(&Ca::new("recorders").issue(&[host]), None).await,
            _ => continue,
        };
        upstreams.insert(name, recorder);
    }
    let fill = |text: &str| fill(text, &upstreams, closed);
    let settings: Vec<_> = scene.settings.iter().map(|(name, value)| (name.as_str(), fill(value))).collect();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let gateway = Gateway::try_start(&fill(&scene.config), &settings).await?;
    Ok(Stage { gateway, upstreams, closed })
}

/// What stands between `${` and `}`.
fn placeholders(text: &str) -> Vec<String> {
    let parts = text.split("${").skip(1).filter_map(|part| part.split_once('}'));
    parts.map(|(name, _)| name.to_owned()).collect()
}

fn fill(text: &str, upstreams: &BTreeMap<String, Recorder>, closed: u16) -> String {
    let mut text = text.replace("${closed}", &closed.to_string());
    for (name, recorder) in upstreams {
        text = text.replace(&format!("${{{name}}}"), &recorder.port().to_string());
    }
    text
}

impl Stage {
    async fn step(&self, step: &Step) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let mut wrong = Vec::new();
        for _ in 0..step.times {
            loop {
                wrong = self.once(step).await;
                if wrong.is_empty() || !step.eventually || Instant::now() > until {
                    break;
                }
                sleep(Duration::from_millis(50)).await;
            }
            if !wrong.is_empty() {
                break;
            }
        }
        wrong
    }

    async fn once(&self, step: &Step) -> Vec<String> {
        for upstream in self.upstreams.values() {
            upstream.take();
            upstream.answers(reply(&step.answer));
        }
        let got = match self.send(step).await {
            Ok(got) => got,
            Err(error) => return vec![format!("no answer: {error}")],
        };
        let seen: Vec<(String, Seen)> = self
            .upstreams
            .iter()
            .flat_map(|(name, upstream)| upstream.take().into_iter().map(move |seen| (name.clone(), seen)))
            .collect();
        let id = got.header("x-kong-request-id").unwrap_or("(no request id)").to_owned();
        let local = |text: &str| {
            let text = fill(text, &self.upstreams, self.closed);
            let text =
                text.replace("${request_id}", &id).replace("${http}", &self.gateway.http.port().to_string());
            text.replace("${https}", &self.gateway.https.port().to_string())
        };
        let mut wrong = judge_response(step, &got, &local);
        wrong.extend(judge_upstream(step, &seen, &local));
        for pattern in &step.log {
            wrong.extend(fits_a_line("the log", &local(pattern), || self.gateway.log()).await);
        }
        if let Some(pattern) = &step.access_log {
            wrong.extend(fits_a_line("the access log", &local(pattern), || self.gateway.access_log()).await);
        }
        wrong
    }

    async fn send(&self, step: &Step) -> Result<Got, String> {
        let (method, target) = step.send.split_once(' ').ok_or("`send` is a method and a target")?;
        let name = step.sni.as_deref().unwrap_or_else(|| step.host.split(':').next().unwrap_or_default());
        let mut way = match step.over {
            Over::Http => Way::http(self.gateway.http),
            Over::H2c => Way::h2c(self.gateway.h2c),
            Over::Https => Way::https(self.gateway.https, name),
            Over::Https2 => Way::https2(self.gateway.https, name),
        };
        way.from = step.from;
        let headers: Vec<(String, String)> = pairs(&step.headers);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        way.ask(request(method, &step.host, target, &headers, step.body.clone())).await
    }
}

fn reply(answer: &Answer) -> Reply {
    Reply {
        status: answer.status,
        headers: pairs(&answer.headers),
        body: answer.body.clone().into(),
        delay: Duration::from_millis(answer.delay_ms),
        ..Reply::default()
    }
}

fn pairs(headers: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let all = headers.iter().flat_map(|(name, value)| match value {
        Value::Array(values) => values.iter().map(|value| (name.clone(), text(value))).collect(),
        value => vec![(name.clone(), text(value))],
    });
    all.collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn judge_response(step: &Step, got: &Got, local: &impl Fn(&str) -> String) -> Vec<String> {
    let mut wrong = Vec::new();
    if got.status != step.status {
        wrong.push(format!("status {} instead of {}: {}", got.status, step.status, got.text()));
    }
    wrong.extend(judge_headers("response", &step.response, &got.headers, local));
    wrong.extend(step.text.as_ref().and_then(|expected| fits("the body", &local(expected), &got.text())));
    wrong.extend(step.json.as_ref().and_then(|expected| same_json("the body", expected, &got.body, local)));
    wrong
}

fn judge_upstream(step: &Step, seen: &[(String, Seen)], local: &impl Fn(&str) -> String) -> Vec<String> {
    let expected = &step.upstream;
    let mut wrong = Vec::new();
    let count = if expected.none { Some(0) } else { expected.count };
    if let Some(count) = count.filter(|count| *count != seen.len()) {
        wrong.push(format!("{} requests instead of {count} came to upstreams", seen.len()));
    }
    let asks = expected.at.is_some() || expected.got.is_some() || expected.host.is_some();
    let asks = asks || expected.body.is_some() || expected.json.is_some() || expected.version.is_some();
    if !asks && expected.headers.is_empty() {
        return wrong;
    }
    let Some((name, seen)) = seen.last() else {
        wrong.push("no upstream was asked".to_owned());
        return wrong;
    };
    let name = name.split_once('.').map_or(name.as_str(), |(_, name)| name);
    let line = format!("{} {}", seen.method, seen.target);
    let body = String::from_utf8_lossy(&seen.body);
    let texts = [
        ("the upstream", &expected.at, name),
        ("the upstream's request", &expected.got, &line),
        ("the upstream's host", &expected.host, &seen.host),
        ("the upstream's body", &expected.body, &body),
        ("the upstream's version", &expected.version, &seen.version),
    ];
    for (what, expected, got) in texts {
        wrong.extend(expected.as_ref().and_then(|expected| fits(what, &local(expected), got)));
    }
    let json = expected.json.as_ref();
    wrong.extend(json.and_then(|expected| same_json("the upstream's body", expected, &seen.body, local)));
    wrong.extend(judge_headers("upstream", &expected.headers, &seen.headers, local));
    wrong
}

fn judge_headers(
    whose: &str,
    expected: &BTreeMap<String, Value>,
    got: &HeaderMap,
    local: &impl Fn(&str) -> String,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, expected) in expected {
        let values: Vec<_> = got
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let what = format!("{whose} header {name}");
        match expected {
            Value::Null if values.is_empty() => {}
            Value::Null => wrong.push(format!("{what} is {values:?}, but should not be there")),
            Value::Array(all) if *all == values => {}
            Value::Array(all) => wrong.push(format!("{what} is {values:?} instead of {all:?}")),
            one => match &values[..] {
                [value] => wrong.extend(fits(&what, &local(&text(one)), value)),
                values => wrong.push(format!("{what} is {values:?} instead of {one}")),
            },
        }
    }
    wrong
}

fn same_json(what: &str, expected: &Value, got: &[u8], local: &impl Fn(&str) -> String) -> Option<String> {
    let expected: Value = serde_json::from_str(&local(&expected.to_string())).expect("JSON");
    let Ok(value) = serde_json::from_slice::<Value>(got) else {
        return Some(format!("{what} is no JSON: {}", String::from_utf8_lossy(got)));
    };
    (value != expected).then(|| format!("{what} is {value} instead of {expected}"))
}

fn fits(what: &str, expected: &str, got: &str) -> Option<String> {
    let is_so = match expected.strip_prefix('~') {
        Some(pattern) => regex(pattern).is_match(got),
        None => got == expected,
    };
    (!is_so).then(|| format!("{what} is {got:?} instead of {expected:?}"))
}

async fn fits_a_line(what: &str, pattern: &str, log: impl Fn() -> String) -> Option<String> {
    let regex = regex(pattern);
    let until = Instant::now() + Duration::from_secs(20);
    while !log().lines().any(|line| regex.is_match(line)) {
        if Instant::now() > until {
            return Some(format!("no line of {what} is like {pattern:?}:\n{}", log()));
        }
        sleep(Duration::from_millis(20)).await;
    }
    None
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}
