//! Vault's path rules as tables.

use super::*;

fn acl(policies: &[&str]) -> Acl {
    let clock = Clock::start();
    let mut all = Policies::with_default(&clock);
    let names: Vec<String> = (0..policies.len()).map(|index| format!("p{index}")).collect();
    for (name, text) in names.iter().zip(policies) {
        all.write(name, text, &clock).expect(text);
    }
    all.acl(&names)
}

/// `pattern=capability` pairs in one policy; path; what is granted there.
#[test]
fn the_most_specific_pattern_decides() {
    let table: &[(&str, &str, &[&str])] = &[
        ("secret/a=read", "secret/a", &["read"]),
        ("secret/a=read", "secret/a/b", &["deny"]),
        ("secret/a=read", "secret/ab", &["deny"]),
        ("secret/a=read", "secret", &["deny"]),
        ("/secret/a=read", "secret/a", &["read"]),
        ("secret/*=read", "secret/a", &["read"]),
        ("secret/*=read", "secret/", &["read"]),
        ("secret/*=read", "secret", &["deny"]),
        ("secret/*=read", "secret/a/b/c", &["read"]),
        ("secret/a*=read", "secret/abc", &["read"]),
        ("secret/a*=read", "secret/b", &["deny"]),
        ("*=read", "anything/at/all", &["read"]),
        ("secret/+/x=read", "secret/a/x", &["read"]),
        ("secret/+/x=read", "secret/a/b/x", &["deny"]),
        ("secret/+/x=read", "secret/a/y", &["deny"]),
        ("secret/+=read", "secret/a", &["read"]),
        ("secret/+=read", "secret/a/b", &["deny"]),
        ("secret/+/x*=read", "secret/a/xyz/more", &["read"]),
        ("secret/+/*=read", "secret/a/b/c", &["read"]),
        ("secret/+/*=read", "secret/a", &["deny"]),
        ("+/a=read", "secret/a", &["read"]),
        // A `+` or `*` inside a segment is a letter.
        ("secret/a+b=read", "secret/a+b", &["read"]),
        ("secret/a+b=read", "secret/axb", &["deny"]),
        ("secret/*/x=read", "secret/a/x", &["deny"]),
        // Exact before prefix, also when it denies.
        ("secret/*=read secret/a=deny", "secret/a", &["deny"]),
        ("secret/*=deny secret/a=read", "secret/a", &["read"]),
        ("secret/*=deny secret/a=read", "secret/b", &["deny"]),
        // The longer prefix.
        ("secret/*=read secret/data/*=update", "secret/data/x", &["update"]),
        ("secret/*=read secret/data/*=update", "secret/meta/x", &["read"]),
        // The first wildcard stands later.
        ("secret/*=read secret/foo/+=list", "secret/foo/bar", &["list"]),
        ("secret/+/bar=read secret/foo/+=list", "secret/foo/bar", &["list"]),
        ("secret/foo/*=read secret/+/bar=list", "secret/foo/bar", &["read"]),
        // Same place: without `*` before with, fewer `+` first, then the longer one.
        ("secret/+/bar=read secret/+/b*=list", "secret/foo/bar", &["read"]),
        ("secret/+/+=read secret/+/bar=list", "secret/foo/bar", &["list"]),
        ("secret/+/b*=read secret/+/ba*=list", "secret/foo/bar", &["list"]),
    ];
    for (rules, path, granted) in table {
        let policy: String = rules
            .split(' ')
            .map(|rule| {
                let (path, capability) = rule.split_once('=').expect("a pair");
                format!("path \"{path}\" {{ capabilities = [\"{capability}\"] }}\n")
            })
            .collect();
        assert_eq!(acl(&[&policy]).names_at(path), *granted, "{rules} at {path}");
    }
}

#[test]
fn policies_add_up_and_deny_wins_on_the_same_pattern() {
    let read = "path \"a/*\" { capabilities = [\"read\"] }";
    let list = "path \"a/*\" { capabilities = [\"list\"] }";
    let deny = "path \"a/*\" { capabilities = [\"deny\"] }";
    assert_eq!(acl(&[read, list]).names_at("a/b"), ["list", "read"]);
    assert_eq!(acl(&[read, deny, list]).names_at("a/b"), ["deny"]);
    assert_eq!(acl(&[]).names_at("a/b"), ["deny"]);
}

#[test]
fn a_folder_may_be_listed_by_its_name() {
    let granted = acl(&["path \"secret/metadata\" { capabilities = [\"list\", \"read\"] }"]);
    assert!(granted.allows("secret/metadata/", Capability::List));
    assert!(!granted.allows("secret/metadata/", Capability::Read));
    assert!(!granted.allows("secret/metadata/x/", Capability::List));
}

#[test]
fn root_may_do_everything() {
    let policies = Policies::with_default(&Clock::start());
    let root = policies.acl(&["root".to_owned()]);
    assert!(root.allows("sys/seal", Capability::Sudo));
    assert_eq!(root.names_at("x"), ["root"]);
}

#[test]
fn knows_which_mounts_a_token_may_see() {
    for (pattern, mount, seen) in [
        ("secret/data/a", "secret/", true),
        ("secret/*", "secret/", true),
        ("se*", "secret/", true),
        ("+/data/a", "secret/", true),
        ("secretive/*", "secret/", false),
        ("kv/*", "secret/", false),
        ("secret", "secret/", false),
    ] {
        let granted = acl(&[&format!("path \"{pattern}\" {{ capabilities = [\"read\"] }}")]);
        assert_eq!(granted.reaches(mount), seen, "{pattern} {mount}");
    }
    assert!(!acl(&["path \"secret/*\" { capabilities = [\"deny\"] }"]).reaches("secret/"));
}
