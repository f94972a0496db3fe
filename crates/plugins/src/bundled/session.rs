//! `session`: who was let in once is let in again by a cookie.
//!
//! Owns: when a session begins, holds, is renewed and ends, and its cookies. Must not know: how anybody is let in the first time;
//! other plugins do that, with `anonymous`, and see that it is done already. How a session is sealed is in `seal`.
//!
//! All of a session is in its cookie. So it needs no store and no node knows of another; but it cannot be taken back before its
//! time either, except by another secret.

mod seal;

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{HeaderName, HeaderValue, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema, TEXT};
use postern_model::{Record, Value};
use postern_secrets::Secret;
use postern_secrets::hashed::Hashed;
use serde::Deserialize;
use uuid::Uuid;

use self::seal::{Seal, Session};
use crate::identity;
use crate::logging::record::scheme;
use crate::plugin::{Answer, AnswerBody, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::args::{self, Found};
use crate::view::body::Form;
use crate::view::{Request, Response, cookies};
use postern_secrets::clock::Clock;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "session",
    priority: 1900,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Lets requests in by the cookie of who was let in before.",
};

const TOLD: &[&str] =
    &["absolute-timeout", "audience", "id", "idling-timeout", "rolling-timeout", "subject", "timeout"];
const NO_STORE: &str = "sessions that the gateway keeps: they are in their cookies";

const FIELDS: &[Field] = &[
    Field::string("secret")
        .secret()
        .doc("What cookies are sealed with. Where it is not said, a random one of this node: its sessions end with it."),
    Field::string("storage")
        .default_text("cookie")
        .rules(&[Rule::OneOf(&["cookie", "kong"])])
        .unsupported(NO_STORE)
        .doc("Where sessions are kept."),
    Field::string("audience").default_text("default").doc("For whom sessions are; another audience does not take them."),
    Field::number("idling_timeout").default_int(900).doc("Seconds after the last request at which a session ends; 0 for never."),
    Field::number("rolling_timeout")
        .default_int(3600)
        .doc("Seconds after which a session ends unless it was renewed, which it is after three quarters of them; 0 for never."),
    Field::number("absolute_timeout").default_int(86_400).doc("Seconds after its beginning at which it ends; 0 for never."),
    Field::number("stale_ttl")
        .default_int(10)
        .unsupported("an end of cookies that were replaced: they hold until their time is over")
        .doc("Seconds for which a cookie that was replaced still counts."),
    Field::string("cookie_name").default_text("session").rules(&[Rule::Custom(token)]).doc("The cookie's name."),
    Field::string("cookie_path").default_text("/").rules(&[Rule::Custom(attribute)]).doc("Its path."),
    Field::string("cookie_domain").rules(&[Rule::Custom(attribute)]).doc("Its domain."),
    Field::string("cookie_same_site")
        .default_text("Strict")
        .rules(&[Rule::OneOf(&["Default", "Lax", "None", "Strict"])])
        .doc("With which requests of other sites it goes; `Default`: what browsers think best."),
    Field::boolean("cookie_http_only").default_bool(true).doc("Whether scripts cannot read it."),
    Field::boolean("cookie_secure").default_bool(true).doc("Whether it goes over TLS only."),
    Field::boolean("remember").default_bool(false).doc("Whether a second cookie stays when the browser is closed."),
    Field::string("remember_cookie_name").default_text("remember").rules(&[Rule::Custom(token)]).doc("Its name."),
    Field::number("remember_rolling_timeout").default_int(604_800).doc("As `rolling_timeout`, for it."),
    Field::number("remember_absolute_timeout").default_int(2_592_000).doc("As `absolute_timeout`, for it."),
    Field::array("response_headers", &TEXT.rules(&[Rule::OneOf(TOLD)])).doc("What clients are told, as `Session-Id` and so on."),
    Field::array("request_headers", &TEXT.rules(&[Rule::OneOf(TOLD)])).doc("What upstreams are told."),
    Field::boolean("read_body_for_logout").default_bool(false).doc("Whether a parameter in a body ends a session too."),
    Field::set("logout_methods", &TEXT.rules(&[Rule::OneOf(&["DELETE", "GET", "POST"])]))
        .default_texts(&["DELETE", "POST"])
        .doc("Methods of requests that can end a session."),
    Field::string("logout_query_arg").default_text("session_logout").doc("The parameter of a query that ends it."),
    Field::string("logout_post_arg").default_text("session_logout").doc("The parameter of a body that ends it."),
    Field::boolean("hash_subject").default_bool(false).unsupported(NO_STORE).doc("Whether subjects are hashed in the store."),
    Field::boolean("store_metadata").default_bool(false).unsupported(NO_STORE).doc("Whether the store knows whose sessions are whose."),
    Field::array("bind", &TEXT.rules(&[Rule::OneOf(&["ip", "scheme", "user-agent"])]))
        .doc("What has to stay the same as when the session began."),
];

/// The name of a cookie (RFC 6265, 4.1.1).
fn token(value: &Value) -> Result<(), String> {
    let is_one = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    match value {
        Value::Text(text) if !is_one(text) => Err("not the name of a cookie".to_owned()),
        _ => Ok(()),
    }
}

/// An attribute of a cookie: nothing in it may end it.
fn attribute(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) if !text.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b';') => {
            Err("cannot stand in a cookie".to_owned())
        }
        _ => Ok(()),
    }
}

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, response: true, rewrite: false, body_filter: false, log: false },
    make,
};

#[derive(Deserialize)]
struct Config {
    secret: Option<Secret>,
    audience: String,
    idling_timeout: f64,
    rolling_timeout: f64,
    absolute_timeout: f64,
    cookie_name: String,
    cookie_path: Option<String>,
    cookie_domain: Option<String>,
    cookie_same_site: String,
    cookie_http_only: bool,
    cookie_secure: bool,
    remember: bool,
    remember_cookie_name: String,
    remember_rolling_timeout: f64,
    remember_absolute_timeout: f64,
    response_headers: Option<Vec<String>>,
    request_headers: Option<Vec<String>>,
    read_body_for_logout: bool,
    logout_methods: Option<Vec<String>>,
    logout_query_arg: Option<String>,
    logout_post_arg: Option<String>,
    bind: Option<Vec<String>>,
}

struct Sessions {
    config: Config,
    /// The present secret, and the one before: a rotation ends nobody's session.
    seal: Arc<Seal>,
    before: Option<Arc<Seal>>,
    /// Held for whoever comes after this one.
    _kept: Arc<Kept>,
    /// What sessions of this plugin are sealed to.
    place: Vec<u8>,
    attributes: String,
    logout_methods: Vec<Method>,
    clock: Clock,
}

/// What outlives a configuration.
#[derive(Default)]
struct Kept(Mutex<Option<Seals>>);

struct Seals {
    /// A hash of the present secret.
    of: [u8; 32],
    seal: Arc<Seal>,
    before: Option<Arc<Seal>>,
}

fn make(config: &Record, context: &Context<'_>) -> Result<Prepared, String> {
    let config: Config = config.read()?;
    let sealing = Sealing::new(config.secret.as_ref()).ok_or("secret: no key can be made of it")?;
    let mut place = context.id.as_bytes().to_vec();
    place.extend_from_slice(config.audience.as_bytes());
    let mut attributes = format!("; Path={}", config.cookie_path.as_deref().unwrap_or("/"));
    if let Some(domain) = &config.cookie_domain {
        attributes.push_str(&format!("; Domain={domain}"));
    }
    if config.cookie_same_site != "Default" {
        attributes.push_str(&format!("; SameSite={}", config.cookie_same_site));
    }
    attributes.push_str(if config.cookie_secure { "; Secure" } else { "" });
    attributes.push_str(if config.cookie_http_only { "; HttpOnly" } else { "" });
    HeaderValue::from_str(&attributes).map_err(|_| "cookie_path, cookie_domain: cannot stand in a cookie")?;
    let methods = config.logout_methods.iter().flatten().map(|method| Method::from_bytes(method.as_bytes()));
    let logout_methods = methods.collect::<Result<_, _>>().map_err(|_| "logout_methods: not a method")?;
    let clock = context.clock.clone();
    Ok(Prepared::at_commit(move |living| {
        let kept = living.state.of(living.id, Kept::default);
        let (seal, before) = kept.sealing_with(sealing);
        Sessions { seal, before, _kept: kept, place, attributes, logout_methods, clock, config }
    }))
}

/// The seal of a secret.
struct Sealing {
    /// A hash of the secret; zeros where there is none.
    of: [u8; 32],
    seal: Seal,
}

impl Sealing {
    /// Of this secret, or of a random one.
    fn new(secret: Option<&Secret>) -> Option<Self> {
        let random = || {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).ok()?;
            Some(Secret::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
        };
        let of = secret.map_or([0; 32], |secret| hash([secret.expose().as_bytes()]));
        Some(Self { of, seal: Seal::new(&secret.cloned().or_else(random)?)? })
    }
}

impl Kept {
    /// Seals with this one from now on, unless the secret is the one that it has. Gives the seal, and the one before it.
    fn sealing_with(&self, Sealing { of, seal }: Sealing) -> (Arc<Seal>, Option<Arc<Seal>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seals) = kept.as_ref().filter(|seals| seals.of == of) {
            return (Arc::clone(&seals.seal), seals.before.clone());
        }
        let seal = Arc::new(seal);
        let before = kept.take().map(|seals| seals.seal);
        *kept = Some(Seals { of, seal: Arc::clone(&seal), before: before.clone() });
        (seal, before)
    }
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    parts.into_iter().fold(Hashed::of("a session"), |hashed, part| hashed.field(part)).end()
}

/// The session of a request.
#[derive(Clone, Copy)]
struct Current {
    session: Session,
    /// It is to be sent again: renewed, used, or sealed with the secret of now.
    again: bool,
}

impl Plugin for Sessions {
    fn wants_body(&self, request: &Request) -> bool {
        self.config.read_body_for_logout
            && request.method == Method::POST
            && self.logout_methods.contains(&request.method)
            && Form::of(&request.headers).is_some()
    }

    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        for name in TOLD {
            // Whatever a client says of its own session.
            request.headers.remove(format!("session-{name}"));
        }
        let current = self.current(request);
        // They are for this gateway only.
        cookies::remove(&mut request.headers, &[&self.config.cookie_name, &self.config.remember_cookie_name]);
        let Some(current) = current else { return Step::Continue };
        if self.is_logout(request) {
            return self.log_out().into();
        }
        let Some(consumer) = request.directory.consumer(current.session.consumer).cloned() else {
            // Gone since.
            return Step::Continue;
        };
        identity::authenticated(request, consumer, current.session.credential, None);
        for (name, value) in self.told(self.config.request_headers.as_deref(), &current.session) {
            request.headers.insert(name, value);
        }
        request.notes.insert(current);
        Step::Continue
    }

    fn response(&self, request: &Request, response: &mut Response) {
        let now = self.clock.now();
        let (session, send) = match (request.notes.get::<Current>(), &request.consumer, request.credential) {
            (Some(Current { session, again }), ..) => (*session, *again),
            // Let in by another plugin just now.
            (None, Some(consumer), Some(credential)) => {
                let session = Session {
                    id: Uuid::new_v4(),
                    consumer: consumer.id,
                    credential,
                    began: now,
                    renewed: now,
                    used: now,
                    remembered: false,
                    bound: self.bound(request),
                };
                (session, true)
            }
            _ => return,
        };
        if send {
            self.send(&session, &mut response.headers);
        }
        for (name, value) in self.told(self.config.response_headers.as_deref(), &session) {
            response.headers.insert(name, value);
        }
    }
}

impl Sessions {
    /// The session that a request shows: the one of the browser, or the one that stays.
    fn current(&self, request: &Request) -> Option<Current> {
        let config = &self.config;
        self.shown(request, &config.cookie_name, false).or_else(|| {
            let stayed =
                config.remember.then(|| self.shown(request, &config.remember_cookie_name, true))??;
            // A new one of the browser begins.
            let now = self.clock.now();
            Some(Current { session: Session { renewed: now, used: now, ..stayed.session }, again: true })
        })
    }

    fn shown(&self, request: &Request, name: &str, remembered: bool) -> Option<Current> {
        let mut values = cookies::pairs(&request.headers).filter(|(known, _)| *known == name);
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            // Of two, one is somebody else's.
            return None;
        };
        let place = self.place(name);
        let opened = self.seal.open(value, &place).map(|session| (session, false));
        let before = || Some((self.before.as_ref()?.open(value, &place)?, true));
        let (session, is_old) = opened.or_else(before)?;
        let now = self.clock.now();
        let config = &self.config;
        let (rolling, absolute) = match remembered {
            true => (config.remember_rolling_timeout, config.remember_absolute_timeout),
            false => (config.rolling_timeout, config.absolute_timeout),
        };
        let is_within = |since: u64, most: f64| most <= 0.0 || (now.saturating_sub(since) as f64) < most;
        let holds = session.remembered == remembered
            && is_within(session.began, absolute)
            && is_within(session.renewed, rolling)
            && (remembered || is_within(session.used, config.idling_timeout))
            && session.bound == self.bound(request);
        if !holds {
            return None;
        }
        let is_due = !is_within(session.renewed, rolling * 0.75) && rolling > 0.0;
        // Not with every answer.
        let is_used = !is_within(session.used, (config.idling_timeout / 4.0).clamp(1.0, 60.0))
            && config.idling_timeout > 0.0;
        let renewed = if is_due { now } else { session.renewed };
        let session = Session { renewed, used: now, remembered: false, ..session };
        Some(Current { session, again: is_old || is_due || is_used })
    }

    /// What a session under this name is sealed to.
    fn place(&self, name: &str) -> Vec<u8> {
        [name.as_bytes(), b"\0", &self.place].concat()
    }

    fn bound(&self, request: &Request) -> [u8; 32] {
        let ip = request.client.ip.to_string();
        let parts = self.config.bind.iter().flatten().map(|what| match what.as_str() {
            "ip" => ip.as_bytes(),
            "scheme" => scheme(request.client.scheme).as_bytes(),
            _ => request.headers.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes),
        });
        hash(parts.collect::<Vec<_>>())
    }

    fn send(&self, session: &Session, headers: &mut HeaderMap) {
        let config = &self.config;
        let mut set = |name: &str, session: &Session, more: &str| {
            if let Some(value) = self.seal.seal(session, &self.place(name))
                && let Ok(cookie) = HeaderValue::try_from(format!("{name}={value}{}{more}", self.attributes))
            {
                headers.append(SET_COOKIE, cookie);
            }
        };
        set(&config.cookie_name, session, "");
        if config.remember {
            let life = format!("; Max-Age={}", config.remember_rolling_timeout.max(0.0));
            let stays = Session { remembered: true, ..*session };
            set(
                &config.remember_cookie_name,
                &stays,
                if config.remember_rolling_timeout > 0.0 { &life } else { "" },
            );
        }
    }

    fn is_logout(&self, request: &Request) -> bool {
        let config = &self.config;
        if !self.logout_methods.contains(&request.method) {
            return false;
        }
        let in_query = || {
            let (query, name) = (request.query.as_deref()?, config.logout_query_arg.as_deref()?);
            Some(args::find(query, name) != Found::Nothing)
        };
        let in_body = || {
            let name = config.logout_post_arg.as_deref().filter(|_| config.read_body_for_logout)?;
            Some(Form::of(&request.headers)?.find(request.body.as_deref()?, name) != Found::Nothing)
        };
        in_query().unwrap_or(false) || in_body().unwrap_or(false)
    }

    fn log_out(&self) -> Answer {
        let names = [&self.config.cookie_name, &self.config.remember_cookie_name];
        let mut answer =
            Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: AnswerBody::Empty };
        for name in names.iter().take(1 + usize::from(self.config.remember)) {
            let gone =
                format!("{name}={}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:01 GMT", self.attributes);
            if let Ok(gone) = HeaderValue::try_from(gone) {
                answer = answer.with_header(SET_COOKIE, gone);
            }
        }
        answer
    }

    fn told(&self, what: Option<&[String]>, session: &Session) -> Vec<(HeaderName, HeaderValue)> {
        let config = &self.config;
        let now = self.clock.now();
        let left = |since: u64, most: f64| (most > 0.0).then(|| (since as f64 + most - now as f64).max(0.0));
        let idling = left(session.used, config.idling_timeout);
        let rolling = left(session.renewed, config.rolling_timeout);
        let absolute = left(session.began, config.absolute_timeout);
        let seconds = |left: Option<f64>| left.map(|left| format!("{left:.0}"));
        let told = |name: &String| {
            let text = match name.as_str() {
                "id" => Some(session.id.simple().to_string()),
                "audience" => Some(config.audience.clone()),
                "subject" => Some(session.consumer.to_string()),
                "idling-timeout" => seconds(idling),
                "rolling-timeout" => seconds(rolling),
                "absolute-timeout" => seconds(absolute),
                _ => seconds([idling, rolling, absolute].into_iter().flatten().reduce(f64::min)),
            };
            let header = HeaderName::try_from(format!("session-{name}")).ok()?;
            Some((header, HeaderValue::try_from(text?).ok()?))
        };
        what.unwrap_or_default().iter().filter_map(told).collect()
    }
}

#[cfg(test)]
mod tests;
