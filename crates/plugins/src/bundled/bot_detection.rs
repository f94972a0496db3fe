//! `bot-detection`: clients that say that they are a crawler, or a library, are refused.
//!
//! Owns: whom `User-Agent` refuses, and the operator's exceptions. Must not know: which crawlers there are (`known`
//! does). What a client says of itself is no proof: this keeps out the honest ones.

mod known;

use http::StatusCode;
use http::header::USER_AGENT;
use postern_model::field::{Field, HTTP_PROTOCOLS, PluginSchema, Rule, Schema};
use postern_model::{Record, Value};
use regex_automata::meta::Regex;
use serde::Deserialize;

use crate::plugin::{Answer, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "bot-detection",
    priority: 2500,
    version: "3.9.1",
    protocols: HTTP_PROTOCOLS,
    not_bound_to: &["consumer", "consumer_group"],
    config: Schema { fields: FIELDS, checks: &[] },
    doc: "Refuses clients that call themselves a crawler or a library.",
};

const EXPRESSION: Field = Field::string("").rules(&[Rule::Custom(expression)]);

const FIELDS: &[Field] = &[
    Field::array("allow", &EXPRESSION)
        .default_empty()
        .rules(&[Rule::Custom(together)])
        .doc("Regular expressions: whose `User-Agent` matches one of them comes in, whatever else it says."),
    Field::array("deny", &EXPRESSION).default_empty().rules(&[Rule::Custom(together)]).doc(
        "Regular expressions: whose `User-Agent` matches one of them is refused, besides the known ones.",
    ),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

fn expression(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) => {
            Regex::new(text).map(drop).map_err(|_| format!("not a valid regex: {}", text.as_str()))
        }
        _ => Ok(()),
    }
}

/// They are one when requests come, which bounds what all of them take of memory.
fn together(value: &Value) -> Result<(), String> {
    let texts: Vec<&str> = value.as_list().unwrap_or_default().iter().filter_map(Value::as_text).collect();
    match Regex::new_many(&texts) {
        // What is wrong with one of them is said there.
        Err(error) if error.pattern().is_none() => Err("the expressions are too large together".to_owned()),
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Config {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
}

struct BotDetection {
    allow: Option<Regex>,
    deny: Option<Regex>,
    known: &'static Regex,
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let Config { allow, deny } = config.read()?;
    let any = |name: &str, list: Option<Vec<String>>| {
        let list = list.unwrap_or_default();
        if list.is_empty() {
            return Ok(None);
        }
        Regex::new_many(&list)
            .map(Some)
            .map_err(|_| format!("{name}: not a valid regex, or all are too large"))
    };
    Ok(Prepared::ready(BotDetection {
        allow: any("allow", allow)?,
        deny: any("deny", deny)?,
        known: known::bots().ok_or("the list of known ones cannot be read")?,
    }))
}

impl Plugin for BotDetection {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        let mut agents = request.headers.get_all(USER_AGENT).iter();
        let Some(agent) = agents.next() else { return Step::Continue };
        if agents.next().is_some() {
            return Answer::message(StatusCode::BAD_REQUEST, "Only one User-Agent header allowed").into();
        }
        if self.refuses(agent.as_bytes().trim_ascii()) {
            return Answer::message(StatusCode::FORBIDDEN, "Forbidden").into();
        }
        Step::Continue
    }
}

impl BotDetection {
    fn refuses(&self, agent: &[u8]) -> bool {
        let is_in = |regex: &Option<Regex>| regex.as_ref().is_some_and(|regex| regex.is_match(agent));
        !is_in(&self.allow) && (is_in(&self.deny) || self.known.is_match(agent))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::{access, check, told};

    async fn said(config: &Json, agents: &[&[u8]]) -> Option<(u16, String)> {
        let plugin = crate::testing::make(&SCHEMA.config, make, config);
        let mut request = Request::for_test();
        for agent in agents {
            request.headers.append(USER_AGENT, HeaderValue::from_bytes(agent).unwrap());
        }
        let (status, text) = told(access(&*plugin, &mut request).await)?;
        Some((status.as_u16(), text))
    }

    fn forbidden() -> Option<(u16, String)> {
        Some((403, "Forbidden".to_owned()))
    }

    #[tokio::test]
    async fn known_ones_are_refused() {
        for (agent, is_refused) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", false),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_5) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/50.0 Safari/537.36",
                false,
            ),
            ("curl/8.5.0", false),
            ("", false),
            ("CUBOT", false),
            ("a robot of 2024", false),
            ("Reedit/7", false),
            ("Zaoistic", true),
            ("a Zaoistic", false),
            ("myaws-cli/2.0", false),
            ("aws-cli/2.0.1", true),
            ("  Googlebot/2.1 (+http://www.google.com/bot.html) ", true),
            ("facebookexternalhit/1.1", true),
            ("facebookexternalhit", false),
            ("Apache-HttpClient/4.5", true),
            ("reqwest", true),
            ("SomethingCRAWLing", true),
            ("My Own Bot/1", true),
            ("My Own Bot 1", true),
            ("xyz /TestBot-7 ", true),
            ("Mozilla/5.0 Yandex.Browser", false),
            ("YandexBot", true),
            ("x PTST/123", true),
            ("x PTST/123 y", false),
            ("Argus/1", true),
            ("Argus", false),
        ] {
            let said = said(&json!({}), &[agent.as_bytes()]).await;
            assert_eq!(said, if is_refused { forbidden() } else { None }, "{agent}");
        }
        assert_eq!(said(&json!({}), &[]).await, None);
    }

    #[tokio::test]
    async fn the_operator_has_exceptions() {
        let config = json!({"allow": ["^Googlebot/", "good"], "deny": ["curl", "evil.*thing"]});
        for (agent, is_refused) in [
            ("Googlebot/2.1", false),
            ("a Googlebot/2.1", true),
            ("curl/8", true),
            ("good curl/8", false),
            ("evil small thing", true),
            ("Curl/8", false),
        ] {
            let said = said(&config, &[agent.as_bytes()]).await;
            assert_eq!(said, if is_refused { forbidden() } else { None }, "{agent}");
        }
    }

    #[tokio::test]
    async fn one_client_has_one_name() {
        let two = said(&json!({"allow": ["good"]}), &[b"good", b"Googlebot/2.1"]).await;
        assert_eq!(two, Some((400, "Only one User-Agent header allowed".to_owned())));
    }

    #[tokio::test]
    async fn what_is_no_text_is_looked_at_too() {
        assert_eq!(said(&json!({}), &[b"\xff\xfeGooglebot/2.1"]).await, forbidden());
        assert_eq!(said(&json!({"deny": ["x.y"]}), &[b"\xff x-y"]).await, forbidden());
        assert_eq!(said(&json!({}), &[&[0xff; 4096]]).await, None);
    }

    #[test]
    fn expressions_are_checked() {
        let said = check(&SCHEMA.config, &json!({"deny": ["ok", "(open"]}));
        assert_eq!(said, Err("not a valid regex: (open".to_owned()));
        assert!(check(&SCHEMA.config, &json!({"allow": ["(?i)ok"]})).is_ok());
    }
}
