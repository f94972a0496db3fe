//! Templates: what they become, what is refused, and that no value is quoted.

use proptest::prelude::*;

use super::*;

const PEM: &str = "-----BEGIN\nabc\n-----END";

fn env(name: &str) -> Option<String> {
    let value = match name {
        "DECK_HOST" => "vault.local",
        "DECK_PORT" => "8200",
        "DECK_RATE" => "0.5",
        "DECK_ON" => "T",
        "DECK_EMPTY" => "",
        "DECK_PEM" => PEM,
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn fills_in() {
    let cases = [
        ("a: b", "a: b"),
        ("a: ${{ env \"DECK_HOST\" }}", "a: vault.local"),
        ("a: ${{env \"DECK_HOST\"}}:${{env `DECK_PORT`}}", "a: vault.local:8200"),
        ("a: \"${{ env \"DECK_HOST\" }}\" # b", "a: \"vault.local\" # b"),
        ("a: ${{ env \"DECK_PORT\" | toInt }}", "a: 8200"),
        ("a: ${{ toInt (env \"DECK_PORT\") }}", "a: 8200"),
        ("a: ${{ env \"DECK_RATE\" | toFloat }}", "a: 0.5"),
        ("a: ${{ env \"DECK_ON\" | toBool }}", "a: true"),
        ("a: ${{ env \"DECK_EMPTY\" }}.", "a: ."),
        ("a: |\n    ${{ env \"DECK_PEM\" | indent 4 }}\n", "a: |\n    -----BEGIN\n    abc\n    -----END\n"),
        ("${{ indent 1 `x\ny` }}", "x\n y"),
        ("${{ \"}}\\\"\" }}", "}}\""),
        ("# ${{ env \"OTHER\" }}\n  # ${{\na: 1", "# ${{ env \"OTHER\" }}\n  # ${{\na: 1"),
        ("a: $ {{ b }} ${ {{ }}", "a: $ {{ b }} ${ {{ }}"),
        ("a: ${{\n env \"DECK_HOST\"\n}}", "a: vault.local"),
    ];
    for (source, expected) in cases {
        let rendered = render(source, &env).unwrap_or_else(|violations| panic!("{source}: {violations:?}"));
        assert_eq!(rendered.text(), expected, "{source}");
    }
}

#[test]
fn refuses() {
    let cases = [
        (
            "a: 1\nb: ${{ env \"HOST\" }}",
            "2:4: environment variables in the state file must be prefixed with 'DECK_', found: 'HOST'",
        ),
        (
            "a: ${{ env \"DECK_NONE\" }}",
            "1:4: environment variable 'DECK_NONE' present in state file but not set",
        ),
        ("a: ${{ env \"DECK_HOST\" | toInt }}", "1:4: toInt: the value is not an integer"),
        ("a: ${{ env \"DECK_HOST\" | toFloat }}", "1:4: toFloat: the value is not a number"),
        (
            "a: ${{ env \"DECK_HOST\" | toBool }}",
            "1:4: toBool: the value is not a boolean (true, false, 1, 0)",
        ),
        ("a: ${{ env }}", "1:4: env: wants one name, as in env \"DECK_X\""),
        ("a: ${{ upper \"x\" }}", "1:4: function \"upper\" not defined"),
        ("a: ${{ toInt env \"DECK_PORT\" }}", "1:4: unexpected name `env` in a template"),
        ("a: ${{ env \"DECK_HOST\"", "1:4: `${{` without `}}`"),
        ("a: ${{ env \"DECK_HOST }}", "1:4: `${{` without `}}`"),
        ("a: ${{ }}", "1:4: a template needs a function, such as env \"DECK_X\""),
        ("a: ${{ .Values.x }}", "1:4: unexpected character '.' in a template"),
        (
            "a: ${{ env \"DECK_PEM\" | indent 4000000000 }}",
            "1:4: indent: wants a number of spaces up to 1024 and a text, as in env \"DECK_X\" | indent 8",
        ),
        ("a: ${{ ((((((((((((((((((1)))))))))))))))))) }}", "1:4: parentheses are nested too deeply"),
    ];
    for (source, expected) in cases {
        let violations = render(source, &env).expect_err(source);
        assert_eq!(violations.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected], "{source}");
        assert!(violations.iter().all(|violation| !format!("{violation:?}").contains("vault.local")));
    }
}

#[test]
fn tells_of_every_template() {
    let violations = render("a: ${{ env \"A\" }}\n\nb: ${{ env \"DECK_B\" }}\n", &env).expect_err("both");
    let lines: Vec<_> = violations.iter().map(|violation| violation.position.map(|at| at.line)).collect();
    assert_eq!(lines, [Some(1), Some(3)]);
}

#[test]
fn filled_in_text_is_bounded() {
    let large = |_: &str| Some("x".repeat(8 * 1024 * 1024));
    let violations = render(&"${{ env \"DECK_X\" }}\n".repeat(9), &large).expect_err("too large");
    assert_eq!(violations.len(), 1);
    assert!(violations[0].message.contains("larger than"));
}

proptest! {
    #[test]
    fn text_without_templates_stays(text in "[^$]*|(\\PC|[ \n#$}\\{])*") {
        prop_assume!(!text.contains(OPENING));
        let rendered = render(&text, &env).expect("identity");
        prop_assert_eq!(rendered.text(), &text);
    }

    #[test]
    fn never_panics(parts in prop::collection::vec(
        prop_oneof!["\\PC{0,5}", Just("${{".to_owned()), Just(" env \"DECK_PEM\"".to_owned()), Just("}}".to_owned()),
            Just(" | indent 3".to_owned()), Just("\n".to_owned()), Just("#".to_owned()), Just("(".to_owned())],
        0..20,
    )) {
        let _ = render(&parts.concat(), &env);
    }

    #[test]
    fn what_follows_keeps_its_place(before in "[a\n ]{0,20}", after in "[b\n ]{0,20}") {
        let source = format!("{before}${{{{ env \"DECK_PEM\" }}}}{after}c");
        let rendered = render(&source, &env).expect("renders");
        let index = rendered.text().chars().count() - 1;
        prop_assert_eq!(rendered.position_of(index), position_in(&source, source.len() - 1));
    }
}
