//! The `token_*` settings that a role of any auth method has, and the token that a login gets by them.
//!
//! Owns their reading, rules and description. Must not know how somebody proves who he is.

use super::{Kind, MAX_LIFE, Wish, cap};
use crate::vault::call::Call;
use crate::vault::core::Core;
use crate::vault::reply::{Outcome, Refusal, Reply};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings that would narrow a token, and are not enforced here.
const NOT_ENFORCED: [&str; 3] = ["token_bound_cidrs", "bound_cidrs", "token_strictly_bind_ip"];

/// What the tokens of a role will be.
#[derive(Clone, Debug)]
pub(in crate::vault) struct Params {
    policies: Vec<String>,
    /// The policies, or the period, were given by their older name, which is then shown too.
    older_policies: bool,
    older_period: bool,
    /// `default`, `service` or `batch`.
    kind: String,
    ttl: Duration,
    max_ttl: Duration,
    explicit_max_ttl: Duration,
    period: Duration,
    num_uses: i64,
    no_default_policy: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            older_policies: false,
            older_period: false,
            kind: "default".to_owned(),
            ttl: Duration::ZERO,
            max_ttl: Duration::ZERO,
            explicit_max_ttl: Duration::ZERO,
            period: Duration::ZERO,
            num_uses: 0,
            no_default_policy: false,
        }
    }
}

/// Who logged in.
pub(in crate::vault) struct Person {
    /// The same at each login.
    pub(in crate::vault) alias: String,
    pub(in crate::vault) display_name: String,
    pub(in crate::vault) meta: BTreeMap<String, String>,
}

impl Params {
    /// Takes what the body has, and leaves the rest.
    pub(in crate::vault) fn take(&mut self, call: &Call) -> Result<(), Refusal> {
        let fields = call.fields();
        if let Some(name) = NOT_ENFORCED.iter().find(|name| fields.get(name).is_some()) {
            return Err(not_enforced(name));
        }
        if let Some(kind) = fields.text("token_type")? {
            if !matches!(kind.as_str(), "default" | "service" | "batch") {
                return Err(Refusal::bad(format!("invalid 'token_type' value \"{kind}\"")));
            }
            self.kind = kind;
        }
        let (newer, older) = (fields.texts("token_policies")?, fields.texts("policies")?);
        if newer.is_some() || older.is_some() {
            self.older_policies = newer.is_none();
            self.policies = match older {
                Some(older) => {
                    let mut older: Vec<_> = older.iter().map(|name| name.to_lowercase()).collect();
                    older.sort();
                    older.dedup();
                    older
                }
                None => newer.unwrap_or_default(),
            };
        }
        if fields.get("token_period").is_some() || fields.get("period").is_some() {
            self.older_period = fields.get("token_period").is_none();
        }
        for (name, older, target) in [
            ("token_ttl", "ttl", &mut self.ttl),
            ("token_max_ttl", "max_ttl", &mut self.max_ttl),
            ("token_explicit_max_ttl", "", &mut self.explicit_max_ttl),
            ("token_period", "period", &mut self.period),
        ] {
            if let Some(life) = fields.duration(name)?.or(fields.duration(older)?) {
                *target = life;
            }
        }
        if let Some(number) = fields.number("token_num_uses")?.or(fields.number("num_uses")?) {
            if number < 0 {
                return Err(Refusal::bad("'token_num_uses' cannot be negative"));
            }
            self.num_uses = number;
        }
        self.no_default_policy = fields.flag("token_no_default_policy")?.unwrap_or(self.no_default_policy);
        Ok(())
    }

    /// What goes together and what does not.
    pub(in crate::vault) fn check(&self) -> Result<(), Refusal> {
        if !self.max_ttl.is_zero() && self.ttl > self.max_ttl {
            return Err(Refusal::bad("'token_ttl' cannot be greater than 'token_max_ttl'"));
        }
        if self.makes_batch_tokens() && self.num_uses > 0 {
            let text = "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited \
                        use count";
            return Err(Refusal::bad(text));
        }
        if self.makes_batch_tokens() && !self.period.is_zero() {
            let text =
                "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens";
            return Err(Refusal::bad(text));
        }
        Ok(())
    }

    /// As part of a role's description.
    pub(in crate::vault) fn describe(&self) -> Map<String, Value> {
        let mut data = Map::new();
        if self.older_policies {
            data.insert("policies".to_owned(), json!(self.policies));
        }
        if self.older_period {
            data.insert("period".to_owned(), json!(self.period.as_secs()));
        }
        for (name, value) in [
            ("token_bound_cidrs", json!([])),
            ("token_explicit_max_ttl", json!(self.explicit_max_ttl.as_secs())),
            ("token_max_ttl", json!(self.max_ttl.as_secs())),
            ("token_no_default_policy", json!(self.no_default_policy)),
            ("token_num_uses", json!(self.num_uses)),
            ("token_period", json!(self.period.as_secs())),
            ("token_policies", json!(self.policies)),
            ("token_strictly_bind_ip", json!(false)),
            ("token_ttl", json!(self.ttl.as_secs())),
            ("token_type", json!(self.kind)),
        ] {
            data.insert(name.to_owned(), value);
        }
        data
    }

    /// The token of somebody who has proven who he is.
    pub(in crate::vault) fn log_in(&self, core: &mut Core, call: &Call, person: Person) -> Outcome {
        if self.policies.iter().any(|policy| policy == "root") {
            return Err(Refusal::bad("auth methods cannot create root tokens"));
        }
        let mut policies: Vec<String> = self.policies.iter().map(|name| name.to_lowercase()).collect();
        if !self.no_default_policy {
            policies.push("default".to_owned());
        }
        policies.sort();
        policies.dedup();
        let kind = if self.makes_batch_tokens() { Kind::Batch } else { Kind::Service };
        let entity = format!("{}/{}", core.mounts.accessor(&call.mount), person.alias);
        let mut warnings = Vec::new();
        let wish = Wish {
            id: None,
            kind,
            policies,
            parent: None,
            orphan: true,
            path: call.path.clone(),
            display_name: person.display_name,
            meta: Some(person.meta),
            entity_id: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, entity.as_bytes()).to_string(),
            renewable: kind == Kind::Service,
            num_uses: self.num_uses,
            explicit_max_ttl: self.explicit_max_ttl,
            period: self.period,
            ttl: self.life(&mut warnings),
        };
        let token = core.tokens.add(wish, &core.clock);
        Ok(Reply::auth(token.auth(), warnings))
    }

    fn makes_batch_tokens(&self) -> bool {
        self.kind == "batch"
    }

    /// The role's wish, within its own limits and the system's.
    fn life(&self, warnings: &mut Vec<String>) -> Duration {
        let wishes = [self.period, self.ttl, MAX_LIFE];
        let wish = wishes.into_iter().find(|life| !life.is_zero()).unwrap_or(MAX_LIFE);
        let limits = [self.max_ttl, self.explicit_max_ttl];
        let limit = limits.into_iter().filter(|life| !life.is_zero()).fold(MAX_LIFE, Duration::min);
        cap(wish, limit, warnings)
    }
}

/// A setting that would narrow a role must not seem to work.
pub(in crate::vault) fn not_enforced(name: &str) -> Refusal {
    Refusal::bad(format!("the dev vault does not enforce '{name}', so it refuses the role"))
}
