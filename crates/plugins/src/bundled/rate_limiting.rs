//! `rate-limiting`: so many requests per second, minute, hour, day, month and year, and no more.
//!
//! Owns: whom a request counts for, and what is answered when it is one too many. Must not know: how counts are kept
//! nor how time is divided (`counting` does). Headers and texts are Kong's.

mod shared;

use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use postern_model::Record;
use postern_model::field::{Check, Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use serde::Deserialize;
use smallvec::SmallVec;
use uuid::Uuid;

use self::shared::{Counted, Shared};
use super::counting::counters::Counters;
use super::counting::told::{amount, whole};
use super::counting::whom::{By, Whom};
use super::counting::window::{Period, Window};
use super::counting::{self, number};
use super::{redis, rules};
use crate::plugin::{Answer, Outcome, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "rate-limiting",
    priority: 910,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &[],
    config: Schema {
        fields: FIELDS,
        checks: &[
            Check::AtLeastOneOf(&["second", "minute", "hour", "day", "month", "year"]),
            Check::Custom(limits_grow),
            Check::Custom(what_is_counted_is_named),
            Check::Custom(sync_rate_fits),
            Check::Custom(redis_is_named),
        ],
    },
    doc: "Limits how many requests somebody may send in a time.",
};

const FIELDS: &[Field] = &[
    Field::number("second").rules(&[Rule::Above(0.0)]).doc("Requests a second."),
    Field::number("minute").rules(&[Rule::Above(0.0)]).doc("Requests a minute."),
    Field::number("hour").rules(&[Rule::Above(0.0)]).doc("Requests an hour."),
    Field::number("day").rules(&[Rule::Above(0.0)]).doc("Requests a day."),
    Field::number("month").rules(&[Rule::Above(0.0)]).doc("Requests a month of the calendar."),
    Field::number("year").rules(&[Rule::Above(0.0)]).doc("Requests a year of the calendar."),
    Field::string("limit_by")
        .default_text("consumer")
        .rules(&[Rule::OneOf(&[
            "consumer",
            "consumer-group",
            "credential",
            "header",
            "ip",
            "path",
            "service",
        ])])
        .doc("For whom requests are counted together. Where a request has no such thing: for its address."),
    Field::string("header_name")
        .rules(&[Rule::Custom(rules::header_name)])
        .doc("The header, for `limit_by: header`."),
    Field::string("path").rules(&[Rule::Custom(rules::path)]).doc("The path, for `limit_by: path`."),
    Field::string("policy")
        .default_text("local")
        .rules(&[Rule::OneOf(&["cluster", "local", "redis"]), Rule::Custom(counting::policy)])
        .doc("Where counts are kept: `local`, in this node's memory, or `redis`, where several nodes share them."),
    Field::boolean("fault_tolerant")
        .required()
        .default_bool(true)
        .doc("Whether requests go on, without limits, when counts cannot be read; else they are answered with 500."),
    Field::record("redis", &REDIS).required().doc("The Redis, for `policy: redis`."),
    Field::boolean("hide_client_headers")
        .required()
        .default_bool(false)
        .doc("Whether responses say nothing of limits."),
    Field::number("error_code")
        .default_int(429)
        .rules(&[Rule::Above(0.0), Rule::Custom(rules::status)])
        .doc("The status of the answer to one request too many."),
    Field::string("error_message").default_text("API rate limit exceeded").doc("Its text."),
    Field::number("sync_rate")
        .required()
        .default_int(-1)
        .doc("Seconds between two exchanges of counts with the Redis; -1 for at once."),
];

const REDIS: [Field; 17] = redis::with_groups(true);

fn redis_is_named(config: &Record) -> Result<(), (&'static str, String)> {
    redis::groups_are_whole(config, "redis")?;
    match config.text("policy") {
        Some("redis") => redis::is_named(config, "redis.host"),
        _ => Ok(()),
    }
}

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

fn limits_grow(config: &Record) -> Result<(), (&'static str, String)> {
    counting::limits_grow(config).map_err(|(field, message)| (field, format!("The {message}")))
}

fn what_is_counted_is_named(config: &Record) -> Result<(), (&'static str, String)> {
    match config.text("limit_by") {
        Some("header") if config.get("header_name").is_none() => {
            Err(("header_name", "required field missing".to_owned()))
        }
        Some("path") if config.get("path").is_none() => Err(("path", "required field missing".to_owned())),
        _ => Ok(()),
    }
}

fn sync_rate_fits(config: &Record) -> Result<(), (&'static str, String)> {
    let rate = number(config, "sync_rate").unwrap_or(-1.0);
    if rate != -1.0 && rate < 0.02 {
        return Err(("sync_rate", "must be -1, or 0.02 or more".to_owned()));
    }
    if rate == -1.0 || config.text("policy") == Some("redis") {
        return Ok(());
    }
    Err(("sync_rate", "sync_rate can only be used with the redis policy".to_owned()))
}

#[derive(Deserialize)]
struct Config {
    second: Option<f64>,
    minute: Option<f64>,
    hour: Option<f64>,
    day: Option<f64>,
    month: Option<f64>,
    year: Option<f64>,
    limit_by: Option<By>,
    header_name: Option<String>,
    path: Option<String>,
    hide_client_headers: bool,
    error_code: Option<f64>,
    error_message: Option<String>,
    policy: String,
    fault_tolerant: bool,
    redis: redis::Config,
    sync_rate: f64,
}

struct RateLimiting {
    id: Uuid,
    limits: SmallVec<[Limit; 2]>,
    whom: Whom,
    hide_client_headers: bool,
    status: StatusCode,
    message: String,
    counters: Arc<Counters>,
    /// Where several nodes share their counts.
    shared: Option<Shared>,
    clock: Clock,
}

/// One limit.
struct Limit {
    period: Period,
    limit: f64,
    /// How many requests pass.
    passes: u32,
    /// `X-RateLimit-Limit-...` and `X-RateLimit-Remaining-...`, made once: making a name checks it.
    names: [HeaderName; 2],
    value: HeaderValue,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let shared = match config.policy.as_str() {
        "redis" => Some(config.redis.settings(context)?),
        _ => None,
    };
    let given = [config.second, config.minute, config.hour, config.day, config.month, config.year];
    let limits =
        Period::ALL.into_iter().zip(given).filter_map(|(period, limit)| Some(Limit::new(period, limit?)));
    let header = config.header_name.map(HeaderName::try_from).transpose();
    let status = config.error_code.unwrap_or(429.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what does not fit is no status"
    )]
    let status = StatusCode::from_u16(status as u16);
    let whom = Whom {
        by: config.limit_by.unwrap_or(By::Consumer),
        header: header.map_err(|_| "header_name: not the name of a header")?,
        path: config.path,
    };
    let status = status.map_err(|_| "error_code: not a status")?;
    let (limits, clock) = (limits.collect(), context.clock.clone());
    Ok(Prepared::at_commit(move |living| RateLimiting {
        id: living.id,
        limits,
        whom,
        hide_client_headers: config.hide_client_headers,
        status,
        message: config.error_message.unwrap_or_else(|| "API rate limit exceeded".to_owned()),
        // One for the whole node, so that its memory is bounded whatever the number of plugins.
        counters: living.state.of(Uuid::nil(), Counters::default),
        shared: shared.map(|redis| Shared::new(redis, config.sync_rate, config.fault_tolerant, living)),
        clock,
    }))
}

impl Limit {
    fn new(period: Period, limit: f64) -> Self {
        let names = [period.limit_header(), period.remaining_header()];
        Self { period, limit, passes: counting::passes(limit), names, value: amount(limit) }
    }

    /// What is left after so many requests.
    fn left(&self, used: u32) -> f64 {
        (self.limit - f64::from(used)).max(0.0)
    }
}

/// What a request comes to for one limit.
#[derive(Clone, Copy, Default)]
struct Usage {
    left: f64,
    /// Seconds until the window ends.
    reset: u32,
}

impl Plugin for RateLimiting {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        let now = self.clock.now();
        let Some(shared) = &self.shared else {
            let (usages, passes) = self.count(request, now);
            return match self.settle(&usages, passes, request) {
                None => Step::Continue,
                Some(answer) => answer.into(),
            };
        };
        let counted: SmallVec<[Counted; 6]> = self
            .limits
            .iter()
            .map(|limit| Counted {
                period: limit.period,
                window: limit.period.window(now),
                passes: limit.passes,
            })
            .collect();
        let who = self.whom.of(request).into_owned();
        Step::Wait(Box::pin(async move {
            let answer = match shared.count(self.id, &who, &counted).await {
                Ok((used, passes)) => {
                    let limits = self.limits.iter().zip(&counted).zip(&used);
                    let usages: SmallVec<[Usage; 6]> = limits
                        .map(|((limit, counted), used)| Usage {
                            left: limit.left(*used),
                            reset: limit.period.reset(&counted.window, now),
                        })
                        .collect();
                    self.settle(&usages, passes, request)
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
}

impl RateLimiting {
    /// Tells what is left, and says no to a request that is one too many.
    fn settle(&self, usages: &[Usage], passes: bool, request: &mut Request) -> Option<Answer> {
        if !self.hide_client_headers {
            self.tell(usages, passes, request);
        }
        (!passes).then(|| Answer::message(self.status, self.message.as_str()))
    }

    /// Counts a request, unless it is one too many: then it counts for none of the limits.
    fn count(&self, request: &Request, now: u64) -> (SmallVec<[Usage; 6]>, bool) {
        let who = self.whom.of(request);
        let mut counted: SmallVec<[(u128, Window); 6]> = SmallVec::new();
        let mut usages: SmallVec<[Usage; 6]> = SmallVec::new();
        let mut passes = true;
        for limit in &self.limits {
            let window = limit.period.window(now);
            let key = self.counters.key(&(self.id, limit.period, who.as_ref()));
            // Once a limit is reached, the others are only looked at.
            let used = match passes.then(|| self.counters.add(key, &window, 1, limit.passes)) {
                Some(Some(used)) => {
                    counted.push((key, window));
                    used
                }
                Some(None) => {
                    passes = false;
                    limit.passes
                }
                None => self.counters.used(key, &window),
            };
            usages.push(Usage { left: limit.left(used), reset: limit.period.reset(&window, now) });
        }
        if !passes {
            for (index, (key, window)) in counted.iter().enumerate() {
                self.counters.take_back(*key, window, 1);
                usages[index].left += 1.0;
            }
        }
        (usages, passes)
    }

    /// Puts the headers aside that every response to the request gets.
    fn tell(&self, usages: &[Usage], passes: bool, request: &mut Request) {
        // The limit that will be reached first; of equal ones, that of the longest window.
        let tightest =
            (0..usages.len()).min_by(|a, b| usages[*a].left.total_cmp(&usages[*b].left).then(b.cmp(a)));
        let Some(tightest) = tightest else { return };
        let headers = &mut request.response_headers;
        headers.reserve(2 * usages.len() + 4);
        for (limit, usage) in self.limits.iter().zip(usages) {
            headers.push((limit.names[0].clone(), limit.value.clone()));
            headers.push((limit.names[1].clone(), amount(usage.left)));
        }
        let reset = whole(u64::from(usages[tightest].reset));
        headers.push((LIMIT, self.limits[tightest].value.clone()));
        headers.push((REMAINING, amount(usages[tightest].left)));
        headers.push((RESET, reset.clone()));
        if !passes {
            headers.push((RETRY_AFTER, reset));
        }
    }
}

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

#[cfg(test)]
mod tests;
