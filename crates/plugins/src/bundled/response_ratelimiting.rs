//! `response-ratelimiting`: upstreams say what a response has cost, and who has used up a limit gets no more of it.
//!
//! Owns: the named limits, what upstream and client are told of them, and what is answered beyond them. Must not know: how
//! counts are kept, nor how time is divided (`counting` does), nor how a cost is written (`cost` does). Headers and texts
//! are Kong's. Unlike there, costs in this node's memory count at once, before the client has the response.

mod cost;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    LAST_MODIFIED,
};
use postern_model::field::{Check, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Value};
use serde::Deserialize;
use smallvec::SmallVec;
use uuid::Uuid;

use self::shared::{Addition, Shared};
use super::counting::counters::Counters;
use super::counting::told::amount;
use super::counting::whom::{By, Whom};
use super::counting::window::{Period, Window};
use super::counting::{self, number, remote};
use super::{redis, rules};
use crate::plugin::{Answer, BodyFilter, Outcome, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::{Request, Response, Source};
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "response-ratelimiting",
    priority: 900,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer_group"],
    config: Schema {
        fields: FIELDS,
        checks: &[Check::Custom(limits_are_some_and_grow), Check::Custom(redis_is_named)],
    },
    doc: "Limits how much of what upstreams count somebody may use in a time.",
};

const HEADER_NAME: &str = "x-kong-limit";

const FIELDS: &[Field] = &[
    Field::string("header_name")
        .default_text(HEADER_NAME)
        .rules(&[Rule::Custom(rules::header_name)])
        .doc("The header by which an upstream says what a response has cost: `name=1, other=2`."),
    Field::string("limit_by")
        .default_text("consumer")
        .rules(&[Rule::OneOf(&["consumer", "credential", "ip"])])
        .doc("For whom costs are counted together. Where a request has no such thing: for its address."),
    Field::string("policy")
        .default_text("local")
        .rules(&[Rule::OneOf(&["cluster", "local", "redis"]), Rule::Custom(counting::policy)])
        .doc("Where counts are kept: `local`, in this node's memory; `redis`, where several nodes share them."),
    Field::boolean("fault_tolerant")
        .required()
        .default_bool(true)
        .doc("Whether requests go on, uncounted, when Redis cannot be asked; otherwise they are answered with 500."),
    Field::record("redis", &REDIS).required().doc("The Redis, for `policy: redis`."),
    Field::boolean("block_on_first_violation")
        .required()
        .default_bool(false)
        .doc("Whether a request is refused before it is sent on, as soon as one of the limits is used up."),
    Field::boolean("hide_client_headers")
        .required()
        .default_bool(false)
        .doc("Whether responses say nothing of limits."),
    Field::map("limits", &LIMIT_NAME, &LIMIT)
        .required()
        .rules(&[Rule::LengthMin(1)])
        .doc("The limits by the names that upstreams call them."),
];

const REDIS: [Field; 17] = redis::with_groups(true);

/// It becomes a part of headers.
const LIMIT_NAME: Field = rules::HEADER_NAME;
const LIMIT: Field = Field::record("", PERIODS).required();

const PERIODS: &[Field] = &[
    Field::number("second").rules(&[Rule::Above(0.0)]).doc("How much of it a second."),
    Field::number("minute").rules(&[Rule::Above(0.0)]).doc("How much of it a minute."),
    Field::number("hour").rules(&[Rule::Above(0.0)]).doc("How much of it an hour."),
    Field::number("day").rules(&[Rule::Above(0.0)]).doc("How much of it a day."),
    Field::number("month").rules(&[Rule::Above(0.0)]).doc("How much of it a month of the calendar."),
    Field::number("year").rules(&[Rule::Above(0.0)]).doc("How much of it a year of the calendar."),
];

fn redis_is_named(config: &Record) -> Result<(), (&'static str, String)> {
    redis::groups_are_whole(config, "redis")?;
    match config.text("policy") {
        Some("redis") => redis::is_named(config, "redis.host"),
        _ => Ok(()),
    }
}

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, response: true, body_filter: true, rewrite: false, log: false },
    make,
};

fn limits_are_some_and_grow(config: &Record) -> Result<(), (&'static str, String)> {
    let blame = |message| ("limits", message);
    for (name, limit) in limits(config) {
        if Period::ALL.iter().all(|period| number(limit, period.name()).is_none()) {
            let periods = Period::ALL.map(Period::name).join(", ");
            return Err(blame(format!("{name}: at least one of these fields must be non-empty: {periods}")));
        }
        counting::limits_grow(limit).map_err(|(_, message)| blame(format!("the {message}")))?;
    }
    Ok(())
}

fn limits(config: &Record) -> impl Iterator<Item = (&str, &Record)> {
    let entries = match config.get("limits") {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().filter_map(|(name, limit)| match limit {
        Value::Record(limit) => Some((&**name, limit)),
        _ => None,
    })
}

#[derive(Deserialize)]
struct Config {
    header_name: Option<String>,
    limit_by: Option<By>,
    block_on_first_violation: bool,
    hide_client_headers: bool,
    policy: Option<String>,
    fault_tolerant: bool,
    redis: redis::Config,
}

struct ResponseRatelimiting {
    id: Uuid,
    header: HeaderName,
    whom: Whom,
    limits: Vec<Named>,
    block_on_first_violation: bool,
    hide_client_headers: bool,
    counters: Arc<Counters>,
    /// Where several nodes share their counts.
    shared: Option<Shared>,
    clock: Clock,
}

/// What an upstream counts under a name.
struct Named {
    name: Box<str>,
    limits: SmallVec<[Limit; 2]>,
    /// `X-RateLimit-Remaining-...`, for the upstream.
    remaining: HeaderName,
}

/// One limit of it.
struct Limit {
    period: Period,
    limit: f64,
    /// From how many on nothing passes.
    passes: u32,
    /// `X-RateLimit-Limit-...-...` and `X-RateLimit-Remaining-...-...`, for the client.
    names: [HeaderName; 2],
    value: HeaderValue,
}

/// A request that came past `access`: what its response costs counts.
#[derive(Clone)]
struct Passed {
    /// Whether the response is withheld.
    withheld: Arc<AtomicBool>,
    /// What was used of each limit before, where that is counted elsewhere.
    read: Option<Arc<Read>>,
}

/// Counts as they were when a request came.
struct Read {
    keys: Vec<String>,
    windows: SmallVec<[Window; 6]>,
    used: SmallVec<[u32; 6]>,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let given: Config = config.read()?;
    let header = HeaderName::try_from(given.header_name.as_deref().unwrap_or(HEADER_NAME));
    let shared = match given.policy.as_deref() {
        Some("redis") => Some(given.redis.settings(context)?),
        _ => None,
    };
    let limits = limits(config).map(|(name, limit)| Named::new(name, limit)).collect::<Result<_, _>>();
    let header = header.map_err(|_| "header_name: not the name of a header")?;
    let limits = limits.map_err(|_| "limits: a name cannot stand in the name of a header")?;
    let clock = context.clock.clone();
    Ok(Prepared::at_commit(move |living| ResponseRatelimiting {
        id: living.id,
        header,
        whom: Whom { by: given.limit_by.unwrap_or(By::Consumer), header: None, path: None },
        limits,
        block_on_first_violation: given.block_on_first_violation,
        hide_client_headers: given.hide_client_headers,
        // One for the whole node, so that its memory is bounded whatever the number of plugins.
        counters: living.state.of(Uuid::nil(), Counters::default),
        shared: shared.map(|redis| Shared::new(redis, given.fault_tolerant, living)),
        clock,
    }))
}

impl Named {
    fn new(name: &str, limit: &Record) -> Result<Self, http::header::InvalidHeaderName> {
        let given = |period: Period| Some((period, number(limit, period.name())?));
        let limits = Period::ALL.into_iter().filter_map(given).map(|(period, limit)| {
            let header = |what| HeaderName::try_from(format!("x-ratelimit-{what}-{name}-{}", period.name()));
            let names = [header("limit")?, header("remaining")?];
            Ok(Limit { period, limit, passes: counting::passes(limit), names, value: amount(limit) })
        });
        Ok(Self {
            name: name.into(),
            limits: limits.collect::<Result<_, _>>()?,
            remaining: HeaderName::try_from(format!("x-ratelimit-remaining-{name}"))?,
        })
    }
}

impl Limit {
    /// What is left after so many uses.
    fn left(&self, used: u32) -> f64 {
        (self.limit - f64::from(used)).max(0.0)
    }
}

impl Plugin for ResponseRatelimiting {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        let now = self.clock.now();
        let who = self.whom.of(request).into_owned();
        let Some(shared) = &self.shared else {
            let used = self.each().map(|(named, limit)| {
                self.counters.used(self.key(named, limit, &who), &limit.period.window(now))
            });
            let used: SmallVec<[u32; 6]> = used.collect();
            return match self.admit(request, &used, None) {
                None => Step::Continue,
                Some(answer) => answer.into(),
            };
        };
        Step::Wait(Box::pin(async move {
            let whose = remote::whose(SCHEMA.name, self.id, &who);
            let windows: SmallVec<[Window; 6]> =
                self.each().map(|(_, limit)| limit.period.window(now)).collect();
            let key = |((named, limit), window): ((&Named, &Limit), &Window)| {
                remote::key(&format!("{whose}:{}", named.name), limit.period, window)
            };
            let keys: Vec<String> = self.each().zip(&windows).map(key).collect();
            let answer = match shared.used(&keys).await {
                Ok(used) => {
                    let read = Arc::new(Read { keys, windows, used });
                    self.admit(request, &read.used, Some(Arc::clone(&read)))
                }
                Err(failure) => {
                    shared.complain(request, &failure);
                    let closed = (!shared.fault_tolerant).then_some(StatusCode::INTERNAL_SERVER_ERROR);
                    closed.map(|status| Answer::message(status, "An unexpected error occurred"))
                }
            };
            answer.map_or(Outcome::Continue, |answer| Outcome::Answer(Box::new(answer)))
        }))
    }

    fn response(&self, request: &Request, response: &mut Response) {
        let passed = request.notes.get::<Passed>();
        let counted = passed.map(|passed| {
            let costs = match response.source {
                Source::Upstream => cost::read(&response.headers, &self.header),
                // Nobody but an upstream says what it costs.
                Source::Plugin | Source::Gateway => cost::Costs::default(),
            };
            match (&self.shared, &passed.read) {
                (Some(shared), Some(read)) => self.count_there(shared, read, &costs),
                _ => self.count_here(request, &costs),
            }
        });
        response.headers.remove(&self.header);
        let (Some(passed), Some((used, passes))) = (passed, counted) else { return };
        if !self.hide_client_headers {
            for ((_, limit), used) in self.each().zip(used) {
                let [limit_header, remaining_header] = &limit.names;
                response.headers.insert(limit_header, limit.value.clone());
                response.headers.insert(remaining_header, amount(limit.left(used)));
            }
        }
        if !passes {
            passed.withheld.store(true, Ordering::Relaxed);
            response.status = StatusCode::TOO_MANY_REQUESTS;
            response.source = Source::Plugin;
            for of_the_body in OF_THE_BODY {
                response.headers.remove(of_the_body);
            }
        }
    }

    fn body_filter(&self, request: &Request, _: &Response) -> Option<Box<dyn BodyFilter>> {
        let passed = request.notes.get::<Passed>()?;
        passed.withheld.load(Ordering::Relaxed).then(|| Box::new(Nothing) as Box<dyn BodyFilter>)
    }
}

impl ResponseRatelimiting {
    /// Every limit.
    fn each(&self) -> impl Iterator<Item = (&Named, &Limit)> {
        self.limits.iter().flat_map(|named| named.limits.iter().map(move |limit| (named, limit)))
    }

    /// Tells the upstream what is left, or the client that nothing is.
    fn admit(&self, request: &mut Request, used: &[u32], read: Option<Arc<Read>>) -> Option<Answer> {
        let mut used = used.iter();
        for named in &self.limits {
            let left = named.limits.iter().zip(&mut used).map(|(limit, used)| limit.left(*used));
            let left = left.fold(f64::INFINITY, f64::min);
            if self.block_on_first_violation && left <= 0.0 {
                let message = format!("API rate limit exceeded for '{}'", named.name);
                return Some(Answer::message(StatusCode::TOO_MANY_REQUESTS, message));
            }
            // In place of whatever the client says.
            request.headers.insert(named.remaining.clone(), amount(left));
        }
        request.notes.insert(Passed { withheld: Arc::default(), read });
        None
    }

    fn key(&self, named: &Named, limit: &Limit, who: &[u8]) -> u128 {
        self.counters.key(&(self.id, limit.period, &*named.name, who))
    }

    /// Counts what a response costs, unless a limit that it would use is used up: then it counts for none. Gives what is
    /// used of each limit then.
    fn count_here(&self, request: &Request, costs: &cost::Costs) -> (SmallVec<[u32; 6]>, bool) {
        let now = self.clock.now();
        let who = self.whom.of(request);
        let mut counted: SmallVec<[(usize, u128, Window, u32); 6]> = SmallVec::new();
        let mut all: SmallVec<[u32; 6]> = SmallVec::new();
        let mut passes = true;
        for named in &self.limits {
            let cost = costs.of(&named.name);
            for limit in &named.limits {
                let window = limit.period.window(now);
                let key = self.key(named, limit, &who);
                let used = if cost == 0 || !passes {
                    self.counters.used(key, &window)
                } else if let Some(used) = self.counters.add(key, &window, cost, limit.passes) {
                    counted.push((all.len(), key, window, cost));
                    used
                } else {
                    passes = false;
                    self.counters.used(key, &window)
                };
                all.push(used);
            }
        }
        if !passes {
            for (index, key, window, cost) in counted {
                self.counters.take_back(key, &window, cost);
                all[index] = all[index].saturating_sub(cost);
            }
        }
        (all, passes)
    }

    /// The same by what was read when the request came, for all nodes together.
    fn count_there(&self, shared: &Shared, read: &Read, costs: &cost::Costs) -> (SmallVec<[u32; 6]>, bool) {
        let mut after = read.used.clone();
        let mut additions = Vec::new();
        for (index, (named, limit)) in self.each().enumerate() {
            let cost = costs.of(&named.name);
            if cost == 0 {
                continue;
            }
            if after[index] >= limit.passes {
                return (read.used.clone(), false);
            }
            after[index] = after[index].saturating_add(cost);
            additions.push(Addition { key: read.keys[index].clone(), window: read.windows[index], cost });
        }
        shared.add(additions);
        (after, true)
    }
}

/// What says something of a body that is withheld.
const OF_THE_BODY: [HeaderName; 6] =
    [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, ETAG, LAST_MODIFIED];

/// Withholds a body.
struct Nothing;

impl BodyFilter for Nothing {
    fn chunk(&mut self, _: Bytes) -> Bytes {
        Bytes::new()
    }
}

#[cfg(test)]
mod tests;
