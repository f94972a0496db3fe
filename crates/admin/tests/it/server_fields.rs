//! Every field of every kind, wrong in every way that its description allows: 400, the field is named, nothing changes.

use postern_admin::server::route::kinds;
use postern_model::field::{Field, Rule, Type};
use serde_json::{Value, json};

use super::server_double::Api;
use super::server_kinds::example;

/// Values that the field cannot have.
fn wrong(field: &Field) -> Vec<Value> {
    let mut values = match field.ty {
        Type::String => vec![json!(1), json!(true), json!([]), json!({})],
        Type::Integer => {
            vec![json!("x"), json!("1"), json!(1.5), json!(true), json!([1]), json!({}), json!(1e300)]
        }
        Type::Number => vec![json!("x"), json!(true), json!([1]), json!({})],
        Type::Boolean => vec![json!("true"), json!(1), json!([]), json!({})],
        Type::Array(element) | Type::Set(element) => {
            let mut values = vec![json!("x"), json!(1), json!(true), json!({"a": 1})];
            values.extend(wrong(element).into_iter().map(|value| json!([value])));
            values
        }
        Type::Map(..) => vec![json!("x"), json!(1), json!([1])],
        Type::Record(_) => vec![json!("x"), json!(1), json!([1]), json!({"none": 1})],
        Type::Foreign(_) => vec![json!(1), json!(true), json!([1]), json!({"none": 1}), json!({"id": 1})],
        Type::Any => Vec::new(),
    };
    for rule in field.rules {
        values.extend(match rule {
            Rule::OneOf(_) => vec![json!("no such word")],
            Rule::OneOfIntegers(_) => vec![json!(-77)],
            Rule::Between(low, high) => vec![json!(low - 1.0), json!(high + 1.0)],
            Rule::Above(low) => vec![json!(low)],
            Rule::LengthMin(least) if *least > 0 && matches!(field.ty, Type::String) => vec![json!("")],
            Rule::LengthMin(least) if *least > 0 => vec![json!([])],
            Rule::LengthMax(most) => vec![json!("x".repeat(most + 1))],
            Rule::StartsWith(_) => vec![json!("\u{1}")],
            Rule::Uuid => vec![json!("x"), json!("11111111111141118111111111111111")],
            _ => Vec::new(),
        });
    }
    values
}

/// Every field, records included, with the way to it.
fn fields(of: &'static [Field], way: &[&'static str], found: &mut Vec<(Vec<&'static str>, &'static Field)>) {
    for field in of {
        let mut here = way.to_vec();
        here.push(field.name);
        if let Type::Record(inner) = field.ty {
            fields(inner, &here, found);
        }
        found.push((here, field));
    }
}

fn place(body: &mut Value, way: &[&str], value: Value) {
    match way {
        [] => *body = value,
        [step, rest @ ..] => {
            if !body.is_object() {
                *body = json!({});
            }
            place(&mut body[*step], rest, value);
        }
    }
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named_and_changes_nothing() {
    let mut count = 0;
    for kind in kinds().filter(|kind| !kind.is_vault()) {
        let name = kind.collection();
        let api = Api::new();
        let example = example(&api, name, "one").await;
        let created = api.done("POST", &example.path, example.body.clone()).await;
        let one = format!("{}/{}", example.path, created.id());
        let before = api.get("/export").await.body;
        let parent = if example.path.matches('/').count() > 1 { &["consumer", "upstream"][..] } else { &[] };
        let mut found = Vec::new();
        fields(kind.fields(), &[], &mut found);
        for (way, field) in found {
            // The path says who the parent is, whatever the body says.
            if parent.contains(&way[0]) || name == "routes" && ["expression", "priority"].contains(&way[0]) {
                continue;
            }
            for value in wrong(field) {
                let mut body = example.body.clone();
                place(&mut body, &way, value.clone());
                for (method, path) in [("POST", &example.path), ("PUT", &one), ("PATCH", &one)] {
                    let answer = api.ask(method, path, body.clone()).await;
                    let said = format!("{method} {path} {}={value}: {}", way.join("."), answer.body);
                    assert_eq!(answer.status, 400, "{said}");
                    let named = &answer.body["fields"][way[0]];
                    assert!(!named.is_null(), "{said}");
                    assert!(answer.message().contains(way[0]), "{said}");
                    count += 1;
                }
            }
            if field.required
                && way.len() == 1
                && matches!(field.default, postern_model::field::Default::None)
            {
                let is_made_up = !kind.generated().is_empty() && matches!(field.name, "key" | "secret");
                let follows = matches!(field.ty, Type::Record(_))
                    || name == "plugins" && field.name == "protocols"
                    || name == "services" && field.name == "host";
                if is_made_up || follows {
                    continue;
                }
                let mut body = example.body.clone();
                body[field.name] = Value::Null;
                let answer = api.ask("POST", &example.path, body).await;
                assert_eq!(
                    (answer.status, &answer.body["fields"][field.name]),
                    (400, &json!("required field missing")),
                    "{} {}",
                    name,
                    field.name
                );
            }
        }
        let unknown = api.ask("PATCH", &one, json!({"nonsense": 1})).await;
        assert_eq!(unknown.body["fields"], json!({"nonsense": "unknown field"}));
        assert_eq!(api.get("/export").await.body, before, "{}", name);
    }
    assert!(count > 1000, "{count}");
}

#[tokio::test]
async fn fields_of_plugins_too() {
    use postern_model::field::Plugins as _;
    let api = Api::new();
    let registry = postern_plugins::registry::Registry::bundled();
    for name in registry.names() {
        let mut found = Vec::new();
        fields(registry.schema(name).unwrap().config.fields, &[], &mut found);
        for (way, field) in found {
            for value in wrong(field) {
                let mut config = json!({});
                place(&mut config, &way, value.clone());
                let answer = api.ask("POST", "/plugins", json!({"name": name, "config": config})).await;
                assert_eq!(answer.status, 400, "{name}.{}={value}: {}", way.join("."), answer.body);
                assert!(
                    !answer.body["fields"]["config"][way[0]].is_null(),
                    "{name}.{}={value}: {}",
                    way.join("."),
                    answer.body
                );
            }
        }
    }
    assert_eq!(api.get("/plugins").await.body["data"], json!([]));
}
