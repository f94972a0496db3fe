//! Tokens: their lives, uses and kin.
//!
//! Owns every token, root's included. Must not know policies' contents or who logs in; `token/paths.rs` has the
//! handlers under `auth/token/`, and `jwt` asks for tokens here.

mod params;
mod paths;

pub(super) use params::{Params, Person, not_enforced};
pub(super) use paths::ROUTES;

use crate::clock::{Clock, go_duration, rfc3339};
use crate::random;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// The system's default and maximal life of tokens and leases: 768 hours.
pub(super) const MAX_LIFE: Duration = Duration::from_secs(768 * 3600);

/// Service tokens are kept, renewed and revoked. Batch tokens only expire, as in Vault, where they are not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Service,
    Batch,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        if self == Self::Service { "service" } else { "batch" }
    }
}

/// A token. It cannot be printed.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) id: String,
    /// Empty for batch tokens.
    pub(super) accessor: String,
    pub(super) kind: Kind,
    /// Sorted, without repeats.
    pub(super) policies: Vec<String>,
    pub(super) parent: Option<String>,
    pub(super) orphan: bool,
    /// The request path that made it, without `v1/`.
    pub(super) path: String,
    pub(super) display_name: String,
    pub(super) meta: Option<BTreeMap<String, String>>,
    pub(super) entity_id: String,
    pub(super) renewable: bool,
    /// 0: no limit; -1: this is the last use.
    pub(super) num_uses: i64,
    pub(super) explicit_max_ttl: Duration,
    /// Renewed to this again and again.
    pub(super) period: Duration,
    /// The life it was made with; zero: no end.
    pub(super) ttl: Duration,
    /// What was granted last, and is granted again when a renewal asks for nothing.
    granted: Duration,
    created: Instant,
    created_wall: Duration,
    renewed_wall: Option<Duration>,
    expires: Option<Instant>,
}

/// What a new token is to be. The rest follows from the clock.
pub(super) struct Wish {
    pub(super) id: Option<String>,
    pub(super) kind: Kind,
    pub(super) policies: Vec<String>,
    pub(super) parent: Option<String>,
    pub(super) orphan: bool,
    pub(super) path: String,
    pub(super) display_name: String,
    pub(super) meta: Option<BTreeMap<String, String>>,
    pub(super) entity_id: String,
    pub(super) renewable: bool,
    pub(super) num_uses: i64,
    pub(super) explicit_max_ttl: Duration,
    pub(super) period: Duration,
    /// Zero: it never ends. Only root tokens may be so.
    pub(super) ttl: Duration,
}

/// A life within its limit, with a warning if that is less than was wished.
pub(super) fn cap(wish: Duration, limit: Duration, warnings: &mut Vec<String>) -> Duration {
    if wish > limit {
        let short = |life: Duration| go_duration(life).replace("m0s", "m").replace("h0m", "h");
        warnings.push(format!(
            "TTL of \"{}\" exceeded the effective max_ttl of \"{}\"; TTL value is capped accordingly",
            short(wish),
            short(limit)
        ));
    }
    wish.min(limit)
}

/// A new service token's text.
pub(super) fn new_id() -> String {
    format!("s.{}", random::alphanumeric(24))
}

impl Token {
    fn new(wish: Wish, clock: &Clock) -> Self {
        let created = Instant::now();
        let generated = || match wish.kind {
            Kind::Service => new_id(),
            Kind::Batch => format!("b.{}", random::alphanumeric(120)),
        };
        Self {
            id: wish.id.unwrap_or_else(generated),
            accessor: if wish.kind == Kind::Service { random::alphanumeric(24) } else { String::new() },
            kind: wish.kind,
            policies: wish.policies,
            parent: wish.parent,
            orphan: wish.orphan,
            path: wish.path,
            display_name: wish.display_name,
            meta: wish.meta,
            entity_id: wish.entity_id,
            renewable: wish.renewable,
            num_uses: wish.num_uses,
            explicit_max_ttl: wish.explicit_max_ttl,
            period: wish.period,
            ttl: wish.ttl,
            granted: wish.ttl,
            created,
            created_wall: clock.wall(),
            renewed_wall: None,
            expires: (!wish.ttl.is_zero()).then(|| created + wish.ttl),
        }
    }

    fn is_alive(&self) -> bool {
        self.expires.is_none_or(|end| Instant::now() < end)
    }

    /// Seconds left; 0 for one that never ends.
    fn seconds_left(&self) -> u64 {
        self.expires.map_or(0, |end| end.saturating_duration_since(Instant::now()).as_secs())
    }

    /// The `data` of a lookup.
    pub(super) fn describe(&self) -> Value {
        let expires = |end: Instant| rfc3339(self.created_wall + end.saturating_duration_since(self.created));
        let mut data = json!({
            "accessor": self.accessor,
            "creation_time": self.created_wall.as_secs(),
            "creation_ttl": self.ttl.as_secs(),
            "display_name": self.display_name,
            "entity_id": self.entity_id,
            "expire_time": self.expires.map(expires),
            "explicit_max_ttl": self.explicit_max_ttl.as_secs(),
            "id": self.id,
            "issue_time": rfc3339(self.created_wall),
            "meta": self.meta,
            "num_uses": self.num_uses,
            "orphan": self.orphan,
            "path": self.path,
            "policies": self.policies,
            "renewable": self.renewable,
            "ttl": self.seconds_left(),
            "type": self.kind.name(),
        });
        if !self.period.is_zero() {
            data["period"] = json!(self.period.as_secs());
        }
        if let Some(renewed) = self.renewed_wall {
            data["last_renewal"] = json!(rfc3339(renewed));
            data["last_renewal_time"] = json!(renewed.as_secs());
        }
        data
    }

    /// The `auth` of a login, a creation or a renewal.
    pub(super) fn auth(&self) -> Value {
        let mut auth = json!({
            "client_token": self.id,
            "accessor": self.accessor,
            "policies": self.policies,
            "metadata": self.meta,
            "lease_duration": self.seconds_left_rounded(),
            "renewable": self.renewable,
            "entity_id": self.entity_id,
            "token_type": self.kind.name(),
            "orphan": self.orphan,
            "mfa_requirement": null,
            "num_uses": self.num_uses,
        });
        // Vault leaves out an empty list here, but not above.
        if !self.policies.is_empty() {
            auth["token_policies"] = json!(self.policies);
        }
        auth
    }

    /// The life that was just granted, which must not read as one second less.
    fn seconds_left_rounded(&self) -> u64 {
        self.expires.map_or(0, |end| {
            (end.saturating_duration_since(Instant::now()) + Duration::from_millis(999)).as_secs()
        })
    }

    /// Extends the life by `increment`, within all limits.
    fn renew(&mut self, increment: Duration, clock: &Clock) {
        let now = Instant::now();
        let wish = match (self.period.is_zero(), increment.is_zero()) {
            (false, _) => self.period,
            (true, false) => increment,
            (true, true) => self.granted,
        };
        let limit = if self.period.is_zero() { Some(self.created + MAX_LIFE) } else { None };
        let explicit = (!self.explicit_max_ttl.is_zero()).then(|| self.created + self.explicit_max_ttl);
        let end = [limit, explicit].into_iter().flatten().fold(now + wish, Instant::min);
        self.expires = Some(end);
        self.granted = end - now;
        self.renewed_wall = Some(clock.wall());
    }
}

/// All tokens. A token whose life is over counts as absent and is dropped when someone looks.
pub(super) struct Tokens(HashMap<String, Token>);

impl Tokens {
    pub(super) fn with_root(id: &str, clock: &Clock) -> Self {
        let mut tokens = Self(HashMap::new());
        tokens.add(
            Wish {
                id: Some(id.to_owned()),
                kind: Kind::Service,
                policies: vec!["root".to_owned()],
                parent: None,
                orphan: true,
                path: "auth/token/create".to_owned(),
                display_name: "token".to_owned(),
                meta: None,
                entity_id: String::new(),
                renewable: false,
                num_uses: 0,
                explicit_max_ttl: Duration::ZERO,
                period: Duration::ZERO,
                ttl: Duration::ZERO,
            },
            clock,
        );
        tokens
    }

    pub(super) fn add(&mut self, wish: Wish, clock: &Clock) -> Token {
        let token = Token::new(wish, clock);
        self.0.insert(token.id.clone(), token.clone());
        token
    }

    /// A living token.
    pub(super) fn get(&mut self, id: &str) -> Option<&Token> {
        self.drop_dead();
        self.0.get(id)
    }

    pub(super) fn by_accessor(&mut self, accessor: &str) -> Option<&Token> {
        self.drop_dead();
        self.0.values().find(|token| !accessor.is_empty() && token.accessor == accessor)
    }

    /// The token for a request, which counts as one use. The last use leaves it alive for this request;
    /// [`Tokens::after_use`] then ends it.
    pub(super) fn using(&mut self, id: &str) -> Option<(Token, LastUse)> {
        self.drop_dead();
        let token = self.0.get_mut(id)?;
        let last = token.num_uses == 1;
        token.num_uses = match token.num_uses {
            0 => 0,
            1 => -1,
            left => left - 1,
        };
        Some((token.clone(), LastUse(last)))
    }

    pub(super) fn after_use(&mut self, id: &str, LastUse(last): LastUse) {
        if last {
            self.revoke(id);
        }
    }

    /// Ends a token and all that it made.
    pub(super) fn revoke(&mut self, id: &str) {
        self.0.remove(id);
        let children: Vec<String> = self
            .0
            .values()
            .filter(|token| token.parent.as_deref() == Some(id))
            .map(|token| token.id.clone())
            .collect();
        for child in children {
            self.revoke(&child);
        }
    }

    /// Ends a token; what it made lives on without a parent.
    pub(super) fn revoke_alone(&mut self, id: &str) {
        self.0.remove(id);
        for token in self.0.values_mut().filter(|token| token.parent.as_deref() == Some(id)) {
            (token.parent, token.orphan) = (None, true);
        }
    }

    /// Ends the service tokens that were made below this path: its mount goes away.
    pub(super) fn revoke_below(&mut self, path: &str) {
        let gone: Vec<String> = self
            .0
            .values()
            .filter(|token| token.kind == Kind::Service && token.path.starts_with(path))
            .map(|token| token.id.clone())
            .collect();
        gone.iter().for_each(|id| self.revoke(id));
    }

    pub(super) fn expire_all_but(&mut self, id: &str) {
        self.0.retain(|token, _| token == id);
    }

    pub(super) fn renew(&mut self, id: &str, increment: Duration, clock: &Clock) -> Option<Token> {
        let token = self.0.get_mut(id)?;
        token.renew(increment, clock);
        Some(token.clone())
    }

    pub(super) fn accessors(&mut self) -> Vec<String> {
        self.drop_dead();
        self.0.values().map(|token| token.accessor.clone()).filter(|accessor| !accessor.is_empty()).collect()
    }

    fn drop_dead(&mut self) {
        let dead: Vec<String> =
            self.0.values().filter(|token| !token.is_alive()).map(|token| token.id.clone()).collect();
        dead.iter().for_each(|id| self.revoke(id));
    }
}

/// Was this the last use of a use-limited token?
#[derive(Clone, Copy, Debug)]
pub(super) struct LastUse(bool);
