//! For tests of plugins: configurations by a field list, and plugins made of them.
//!
//! Owns: the shortest way from JSON to a plugin. Must not know: any plugin. Rules are the model's matter and are only
//! looked at where a test asks for them ([`check`]).

pub(crate) mod server;

use std::sync::Arc;

use http::StatusCode;
use postern_model::field::{Check, Default, Field, Rule, Schema, Type};
use postern_model::{Record, Text, Value};
use serde_json::Value as Json;
use tokio::runtime::{Builder, Handle};
use uuid::Uuid;

use crate::node::Node;
use crate::plugin::{Answer, AnswerBody, Outcome, Plugin, Step};
use crate::prepared::Living;
use crate::redis::Redis;
use crate::redis::connect::Settings;
use crate::registry::{Context, Make};
use crate::renewal::Renewal;
use crate::state::State;
use crate::view::Request;
use postern_secrets::clock::Clock;

/// A configuration: what is given, and the defaults.
pub(crate) fn record(fields: &'static [Field], json: &Json) -> Record {
    let known = |name: &String| assert!(fields.iter().any(|field| field.name == name), "no field {name}");
    json.as_object().into_iter().flatten().for_each(|(name, _)| known(name));
    Record::new(fields.iter().map(|field| (field.name, value(field, &json[field.name]))).collect())
}

fn value(field: &Field, json: &Json) -> Value {
    match (field.ty, json) {
        (Type::Record(fields), _)
            if field.required || matches!(field.default, Default::Fields) || json.is_object() =>
        {
            Value::Record(record(fields, json))
        }
        (_, Json::Null) => match field.default {
            Default::None | Default::Fields => Value::Null,
            Default::Text(text) => Value::Text(Text::from(text)),
            Default::Integer(number) if matches!(field.ty, Type::Number) => Value::Number(number as f64),
            Default::Integer(number) => Value::Integer(number),
            Default::Number(number) => Value::Number(number),
            Default::Boolean(truth) => Value::Boolean(truth),
            Default::Texts(texts) => {
                Value::List(texts.iter().map(|text| Value::Text(Text::from(*text))).collect())
            }
            Default::Integers(numbers) => {
                Value::List(numbers.iter().map(|number| Value::Integer(*number)).collect())
            }
            Default::Empty if matches!(field.ty, Type::Map(..)) => Value::Map(Vec::new()),
            Default::Empty => Value::List(Vec::new()),
        },
        (Type::Map(_, values), Json::Object(entries)) => {
            let entry = |(name, json): (&String, &Json)| (name.as_str().into(), value(values, json));
            Value::Map(entries.iter().map(entry).collect())
        }
        (_, Json::Bool(truth)) => Value::Boolean(*truth),
        (Type::Integer, Json::Number(number)) => Value::Integer(number.as_i64().unwrap()),
        (_, Json::Number(number)) => Value::Number(number.as_f64().unwrap()),
        (_, Json::String(text)) => Value::Text(Text::from(text.as_str())),
        (Type::Array(element) | Type::Set(element), Json::Array(items)) => {
            Value::List(items.iter().map(|item| value(element, item)).collect())
        }
        (ty, json) => panic!("{json} for {ty:?}"),
    }
}

/// A plugin with this configuration, and the clock at 1,700,000,000.
pub(crate) fn make(schema: &Schema, make: Make, json: &Json) -> Box<dyn Plugin> {
    make_in(schema, make, json, &Arc::default(), &Clock::at(1_700_000_000))
}

/// The same with a state and a clock of the test's own.
pub(crate) fn make_in(
    schema: &Schema,
    make: Make,
    json: &Json,
    state: &Arc<State>,
    clock: &Clock,
) -> Box<dyn Plugin> {
    made(schema, make, json, state, clock, &Arc::default()).unwrap()
}

/// The same on a node of the test's own.
pub(crate) fn make_on(schema: &Schema, make: Make, json: &Json, node: &Arc<Node>) -> Box<dyn Plugin> {
    made(schema, make, json, &Arc::default(), &Clock::at(1_700_000_000), node).unwrap()
}

/// What a constructor says of a configuration from which nothing can be made.
pub(crate) fn refusal(schema: &Schema, make: Make, json: &Json) -> Option<String> {
    made(schema, make, json, &Arc::default(), &Clock::at(0), &Arc::default()).err()
}

fn made(
    schema: &Schema,
    make: Make,
    json: &Json,
    state: &Arc<State>,
    clock: &Clock,
    node: &Arc<Node>,
) -> Result<Box<dyn Plugin>, String> {
    let id = Uuid::from_u128(99);
    let prepared = make(&record(schema.fields, json), &Context { id, clock, node: &node.facts })?;
    Ok(on(state, node, |living| prepared.commit(&Living { id, ..*living })))
}

/// What a commit can reach, for a plugin without references.
pub(crate) fn on<R>(state: &Arc<State>, node: &Arc<Node>, act: impl FnOnce(&Living<'_>) -> R) -> R {
    // Where a test has no runtime, nothing is to run.
    let idle = Builder::new_current_thread().build().unwrap();
    let io = Handle::try_current().unwrap_or_else(|_| idle.handle().clone());
    let outcome = act(&Living { id: Uuid::nil(), state, node, renewal: &Renewal::default(), io: &io });
    idle.shutdown_background();
    outcome
}

/// Has a Redis reached in some way, without references.
pub(crate) fn reach(redis: &Redis, settings: Settings) {
    on(&Arc::default(), &Arc::default(), |living| redis.reach(settings, living));
}

/// What the custom rules and checks of a schema say; the first complaint.
pub(crate) fn check(schema: &Schema, json: &Json) -> Result<(), String> {
    let record = record(schema.fields, json);
    rules(schema.fields, &record)?;
    schema.checks.iter().try_for_each(|check| match check {
        Check::Custom(check) => check(&record).map_err(|(field, reason)| format!("{field}: {reason}")),
        Check::AtLeastOneOf(names) if names.iter().all(|name| record.get(name).is_none()) => {
            Err(format!("at least one of these fields must be non-empty: {}", names.join(", ")))
        }
        _ => Ok(()),
    })
}

fn rules(fields: &'static [Field], record: &Record) -> Result<(), String> {
    for field in fields {
        let Some(value) = record.get(field.name) else { continue };
        apply(field.rules, value)?;
        match (field.ty, value) {
            (Type::Record(fields), Value::Record(record)) => rules(fields, record)?,
            (Type::Array(element) | Type::Set(element), Value::List(items)) => {
                items.iter().try_for_each(|item| apply(element.rules, item))?;
            }
            (Type::Map(keys, values), Value::Map(entries)) => {
                for (key, value) in entries {
                    apply(keys.rules, &Value::Text(Text::from(&**key)))?;
                    apply(values.rules, value)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn apply(rules: &[Rule], value: &Value) -> Result<(), String> {
    rules.iter().try_for_each(|rule| match rule {
        Rule::Custom(rule) => rule(value),
        _ => Ok(()),
    })
}

/// The phase `access`, to its end.
pub(crate) async fn access(plugin: &dyn Plugin, request: &mut Request) -> Option<Box<Answer>> {
    let outcome = match plugin.access(request) {
        Step::Continue => Outcome::Continue,
        Step::Answer(answer) => Outcome::Answer(answer),
        Step::Wait(wait) => wait.await,
    };
    match outcome {
        Outcome::Continue => None,
        Outcome::Answer(answer) => Some(answer),
    }
}

/// An answer as a test compares it.
pub(crate) fn told(answer: Option<Box<Answer>>) -> Option<(StatusCode, String)> {
    answer.map(|answer| match answer.body {
        AnswerBody::Message(message) => (answer.status, message),
        other => panic!("{other:?}"),
    })
}
