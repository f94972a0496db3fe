//! The grammar against its table of cases (`cases.json`) and against itself.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn cases() -> Value {
    serde_json::from_str(include_str!("cases.json")).unwrap()
}

fn value(option: &OptionValue) -> Value {
    match option {
        OptionValue::True => Value::Bool(true),
        OptionValue::Text(text) => Value::String(text.clone()),
        OptionValue::List(items) => items.iter().map(value).collect(),
    }
}

#[test]
fn recognises_what_kong_recognises() {
    for (expected, texts) in cases()["is_reference"].as_object().unwrap() {
        for text in texts.as_array().unwrap() {
            let text = text.as_str().unwrap();
            assert_eq!(Reference::is_reference(text), expected == "true", "{text}");
        }
    }
}

#[test]
fn takes_apart_what_kong_takes_apart() {
    for case in cases()["parse"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let parsed = Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let options: serde_json::Map<_, _> =
            parsed.options().iter().map(|(name, option)| (name.clone(), value(option))).collect();
        assert_eq!(case["name"], parsed.name(), "name of {text}");
        assert_eq!(case["resource"], parsed.resource(), "resource of {text}");
        assert_eq!(case["key"].as_str(), parsed.key(), "key of {text}");
        assert_eq!(case.get("options").cloned().unwrap_or_default(), as_case(options), "options of {text}");
        assert_eq!(
            case["version"].as_str().map(str::to_owned),
            parsed.version().map(|version| version.to_string()),
            "version of {text}"
        );
        assert_eq!(Reference::parse(&parsed.to_string()), Ok(parsed.clone()), "{text} printed as {parsed}");
    }
}

/// A case without options has no member for them.
fn as_case(options: serde_json::Map<String, Value>) -> Value {
    if options.is_empty() { Value::Null } else { Value::Object(options) }
}

#[test]
fn refuses_with_kongs_words() {
    for case in cases()["errors"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let error = Reference::parse(text).expect_err(text);
        assert_eq!(case["message"], error.to_string());
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn ignores_options_after_the_hundredth() {
    let query: Vec<String> = (0..150).map(|i| format!("o{i}=1")).collect();
    let parsed = Reference::parse(&format!("{{vault://env/a?{}}}", query.join("&"))).unwrap();
    assert_eq!(parsed.options().len(), MAX_OPTIONS);
    assert_eq!(parsed.options().last().unwrap().0, "o99");
}

fn option_value() -> impl Strategy<Value = OptionValue> {
    let single = prop_oneof![Just(OptionValue::True), any::<String>().prop_map(OptionValue::Text)];
    prop_oneof![
        3 => single.clone(),
        1 => proptest::collection::vec(single, 2..4).prop_map(OptionValue::List),
    ]
}

prop_compose! {
    /// Any reference that a text can stand for: names cannot hold `/` or `#`, segments are never empty.
    fn reference()(
        name in "[^/#]{1,12}",
        resource in prop_oneof![".{1,12}", "[a-z/%+]{1,12}"],
        key in proptest::option::of(".{1,12}"),
        options in proptest::collection::btree_map(".{1,8}", option_value(), 0..4),
        version in proptest::option::of(prop_oneof![
            any::<u32>().prop_map(Version::from),
            any::<f64>().prop_filter_map("finite", |number| Version::parse(&format!("{number:?}"))),
        ]),
    ) -> Reference {
        Reference { name, resource, key, options: options.into_iter().collect(), version }
    }
}

proptest! {
    #[test]
    fn printing_then_parsing_is_the_identity(reference in reference()) {
        let text = reference.to_string();
        prop_assert_eq!(Reference::parse(&text), Ok(reference), "{}", text);
    }

    #[test]
    fn parsing_never_panics_and_is_stable(inner in "[ -~]{0,40}|.{0,40}") {
        let text = format!("{{vault://{inner}}}");
        if let Ok(parsed) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&parsed.to_string()), Ok(parsed));
        }
        let _ = Reference::parse(&inner);
    }
}
