//! `acl`: who may send requests is told by the groups of the consumer.
//!
//! Owns: which groups are let through, and what the upstream is told of them. Must not know: who the consumer is; an
//! authentication plugin has said so before. Texts and headers are Kong's.

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use postern_model::Record;
use postern_model::field::{Check, Default, Field, HTTP_PROTOCOLS, PluginSchema, Schema, TEXT};
use serde::Deserialize;

use crate::directory::Consumer;
use crate::plugin::{Answer, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "acl",
    priority: 950,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[Check::OnlyOneOf(&["allow", "deny"])] },
    doc: "Lets consumers through, or not, by their groups.",
};

const FIELDS: &[Field] = &[
    Field::array("allow", &TEXT).default(Default::None).doc("Groups of which a consumer needs one."),
    Field::array("deny", &TEXT).default(Default::None).doc("Groups of which a consumer may have none."),
    Field::boolean("hide_groups_header")
        .required()
        .default_bool(false)
        .doc("Whether the upstream is told nothing of the groups."),
    Field::boolean("include_consumer_groups")
        .required()
        .default_bool(false)
        .doc("Whether the names of consumer groups count as well."),
    Field::boolean("always_use_authenticated_groups")
        .required()
        .default_bool(false)
        .unsupported("groups that come with a token, which no plugin here gives yet")
        .doc("Whether groups that came with a token count before those of the consumer."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

const GROUPS: HeaderName = HeaderName::from_static("x-consumer-groups");

#[derive(Deserialize)]
struct Config {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    hide_groups_header: bool,
    include_consumer_groups: bool,
}

struct Acl {
    groups: Vec<String>,
    is_to_deny: bool,
    hide_groups_header: bool,
    include_consumer_groups: bool,
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let Config { allow, deny, hide_groups_header, include_consumer_groups } = config.read()?;
    let is_to_deny = deny.as_ref().is_some_and(|groups| !groups.is_empty());
    let groups = deny.filter(|groups| !groups.is_empty()).or(allow).unwrap_or_default();
    Ok(Prepared::ready(Acl { groups, is_to_deny, hide_groups_header, include_consumer_groups }))
}

impl Acl {
    fn groups<'c>(&self, consumer: &'c Consumer) -> impl Iterator<Item = &'c str> {
        let named =
            consumer.groups.iter().map(|(_, name)| name.as_str()).filter(|_| self.include_consumer_groups);
        consumer.acls.iter().map(String::as_str).chain(named)
    }
}

impl Plugin for Acl {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        // Nobody says by himself which groups he is in.
        request.headers.remove(GROUPS);
        let Some(consumer) = request.consumer.clone() else {
            return Answer::message(StatusCode::UNAUTHORIZED, "Unauthorized").into();
        };
        if !self.is_to_deny && request.credential.is_none() && self.groups(&consumer).next().is_none() {
            // An anonymous consumer in no group may have a credential and just not show it.
            return Answer::message(StatusCode::UNAUTHORIZED, "Unauthorized").into();
        }
        let is_listed = self.groups(&consumer).any(|group| self.groups.iter().any(|listed| listed == group));
        if is_listed == self.is_to_deny {
            return Answer::message(StatusCode::FORBIDDEN, "You cannot consume this service").into();
        }
        let told: Vec<&str> =
            if self.hide_groups_header { Vec::new() } else { self.groups(&consumer).collect() };
        if !told.is_empty()
            && let Ok(value) = HeaderValue::try_from(told.join(", "))
        {
            request.headers.insert(GROUPS, value);
        }
        Step::Continue
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::testing::{access, make as made, told};

    fn request(acls: &[&str]) -> Request {
        let mut consumer = Consumer::new(Uuid::from_u128(1), Some("ann".to_owned()), None);
        consumer.acls = acls.iter().map(|&group| group.to_owned()).collect();
        consumer.groups = vec![(Uuid::from_u128(2), "gold".to_owned())];
        let mut request = Request::for_test();
        request.consumer = Some(Arc::new(consumer));
        request.credential = Some(Uuid::from_u128(3));
        request
    }

    async fn status(config: Value, request: &mut Request) -> u16 {
        let answer = told(access(&*made(&SCHEMA.config, make, &config), request).await);
        answer.map_or(200, |(status, _)| status.as_u16())
    }

    #[tokio::test]
    async fn who_passes() {
        for (config, acls, expected) in [
            (json!({"allow": ["a", "b"]}), &["b"][..], 200),
            (json!({"allow": ["a"]}), &["b"], 403),
            (json!({"allow": ["a"]}), &["A"], 403),
            (json!({"allow": ["a"]}), &[], 403),
            (json!({"deny": ["a"]}), &["b"], 200),
            (json!({"deny": ["a"]}), &["b", "a"], 403),
            (json!({"deny": ["a"]}), &[], 200),
            (json!({"allow": ["gold"]}), &[], 403),
            (json!({"allow": ["gold"], "include_consumer_groups": true}), &[], 200),
            (json!({"deny": ["gold"], "include_consumer_groups": true}), &[], 403),
        ] {
            assert_eq!(status(config.clone(), &mut request(acls)).await, expected, "{config} {acls:?}");
        }
        for (config, acls, expected) in [
            (json!({"allow": ["a"]}), &[][..], 401),
            (json!({"allow": ["a"]}), &["b"], 403),
            (json!({"allow": ["a"]}), &["a"], 200),
            (json!({"deny": ["a"]}), &[], 200),
            (json!({"deny": ["a"]}), &["a"], 403),
        ] {
            let mut anonymous = request(acls);
            anonymous.credential = None;
            assert_eq!(
                status(config.clone(), &mut anonymous).await,
                expected,
                "anonymous: {config} {acls:?}"
            );
        }
        let mut nobody = Request::for_test();
        assert_eq!(status(json!({"deny": ["a"]}), &mut nobody).await, 401, "nobody is in no group");
    }

    #[tokio::test]
    async fn what_the_upstream_is_told() {
        let with_own = |acls: &[&str]| {
            let mut request = request(acls);
            request.headers.insert(GROUPS, HeaderValue::from_static("admin"));
            request
        };
        let mut asked = with_own(&["a", "b"]);
        status(json!({"allow": ["a"]}), &mut asked).await;
        assert_eq!(asked.headers[GROUPS], "a, b");
        for (config, acls) in
            [(json!({"allow": ["a"], "hide_groups_header": true}), &["a"][..]), (json!({"deny": ["x"]}), &[])]
        {
            let mut asked = with_own(acls);
            assert_eq!(status(config, &mut asked).await, 200);
            assert!(
                !asked.headers.contains_key(GROUPS),
                "what the client says of its groups is not passed on"
            );
        }
    }
}
