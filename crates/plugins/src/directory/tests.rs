//! Who is found by what, and who is not.

use postern_model::Text;
use postern_model::entity::{AclGroup, BasicauthCredential, ConsumerGroup, Foreign, KeyauthCredential};

use super::*;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn text(text: &str) -> Text {
    Text::from(text)
}

fn source() -> Source {
    let consumer = |name: &str, custom: Option<&str>| entity::Consumer {
        username: Some(text(name)),
        custom_id: custom.map(text),
        tags: None,
    };
    let key = |consumer, key, ttl| KeyauthCredential {
        consumer: Foreign { id: id(consumer) },
        key: text(key),
        ttl,
    };
    Source {
        consumers: vec![(id(1), consumer("ann", Some("c-1"))), (id(2), consumer("bob", None))],
        consumer_groups: vec![
            (id(11), ConsumerGroup { name: text("silver") }),
            (id(12), ConsumerGroup { name: text("gold") }),
        ],
        group_members: vec![(id(1), id(11)), (id(1), id(12)), (id(9), id(11))],
        keyauth_credentials: vec![
            (id(21), key(1, "ann-key", None)),
            (id(22), key(2, "bob-key", Some(60))),
            (id(23), key(9, "nobody-key", None)),
        ],
        acls: vec![(id(31), AclGroup { consumer: Foreign { id: id(2) }, group: text("admins") })],
        loaded_at: 1000,
        ..Source::default()
    }
}

fn with_password(form: PasswordForm, password: &str) -> Directory {
    let credential = BasicauthCredential {
        consumer: Foreign { id: id(1) },
        username: text("ann"),
        password: text(password),
    };
    Directory::new(Source { basicauth_credentials: vec![(id(41), credential)], passwords: form, ..source() })
}

/// The outcome, and whether it took the slow way.
fn try_password(directory: &Directory, name: &str, password: &str) -> (bool, bool) {
    let passwords = directory.passwords();
    match passwords.check(passwords.find(name), password.as_bytes()) {
        Check::Right => (true, false),
        Check::Wrong => (false, false),
        Check::Slow(slow) => (slow.run(password.as_bytes()), true),
    }
}

#[test]
fn consumers_are_found_by_each_of_their_names() {
    let directory = Directory::new(source());
    let ann = directory.consumer(id(1)).unwrap();
    assert!(Arc::ptr_eq(ann, directory.by_username("ann").unwrap()));
    assert!(Arc::ptr_eq(ann, directory.by_custom_id("c-1").unwrap()));
    assert!(Arc::ptr_eq(ann, directory.by_id_or_username(&id(1).to_string()).unwrap()));
    assert!(Arc::ptr_eq(ann, directory.by_id_or_username("ann").unwrap()));
    assert!(directory.by_id_or_username("c-1").is_none() && directory.by_username("c-1").is_none());
    let groups: Vec<&str> = ann.groups.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(groups, ["gold", "silver"]);
    assert_eq!(directory.by_username("bob").unwrap().acls, ["admins"]);
    assert_eq!(ann.headers.id, id(1).to_string());
}

#[test]
fn keys_are_found_whole_or_not_at_all() {
    let directory = Directory::new(source());
    for (key, owner) in [
        ("ann-key", Some("ann")),
        ("bob-key", Some("bob")),
        ("ann-ke", None),
        ("ann-key ", None),
        ("", None),
        // Its consumer is not there.
        ("nobody-key", None),
    ] {
        let found = directory.key(key).and_then(|found| found.consumer.username.as_deref());
        assert_eq!(found, owner, "{key}");
    }
    let bob = directory.key("bob-key").unwrap();
    assert!(!bob.has_ended(1059) && bob.has_ended(1060));
    assert!(!directory.key("ann-key").unwrap().has_ended(u64::MAX));
}

#[test]
fn passwords_are_right_or_wrong_in_each_form() {
    // SHA-1 of "hunter2" and the consumer's identifier, as Kong writes it.
    let sha1: String = salted("hunter2");
    // "hunter2" with m=64, t=1, p=1.
    let argon2 = argon2_of("hunter2");
    for (form, written, slow) in [
        (PasswordForm::Plain, "hunter2", false),
        (PasswordForm::KongSha1, sha1.as_str(), false),
        (PasswordForm::Plain, argon2.as_str(), true),
        (PasswordForm::KongSha1, argon2.as_str(), true),
    ] {
        let directory = with_password(form, written);
        assert_eq!(try_password(&directory, "ann", "hunter2"), (true, slow), "{written}");
        for wrong in ["hunter", "hunter22", "", written].iter().filter(|wrong| **wrong != "hunter2") {
            assert_eq!(try_password(&directory, "ann", wrong), (false, slow), "{written} {wrong}");
        }
        // A name that nobody has goes the same way as one with a wrong password.
        assert_eq!(try_password(&directory, "eve", "hunter2"), (false, slow), "{written}");
    }
}

#[test]
fn what_cannot_be_read_fits_no_password() {
    let greedy = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b0dWRWJTmaaJObG";
    for (form, written) in [
        (PasswordForm::Plain, "$argon2id$nonsense"),
        (PasswordForm::Plain, greedy),
        (PasswordForm::KongSha1, "hunter2"),
        (PasswordForm::KongSha1, "zz00000000000000000000000000000000000000"),
    ] {
        let directory = with_password(form, written);
        assert_eq!(try_password(&directory, "ann", written), (false, false), "{written}");
        assert_eq!(try_password(&directory, "ann", ""), (false, false), "{written}");
    }
}

#[test]
fn nothing_prints_a_credential() {
    let directory = with_password(PasswordForm::Plain, "hunter2");
    let printed = format!("{directory:?}");
    assert!(!printed.contains("ann-key") && !printed.contains("hunter2"), "{printed}");
}

fn salted(password: &str) -> String {
    let text = format!("{password}{}", id(1));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn argon2_of(password: &str) -> String {
    use argon2::password_hash::{PasswordHasher, SaltString};
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let salt = SaltString::from_b64("c29tZXNhbHQ").unwrap();
    argon2.hash_password(password.as_bytes(), &salt).unwrap().to_string()
}

#[test]
fn a_few_changes_come_to_what_is_made_anew() {
    let directory = Directory::new(source());
    let dan = entity::Consumer { username: Some(text("dan")), custom_id: Some(text("c-4")), tags: None };
    let key = |consumer, key| KeyauthCredential {
        consumer: Foreign { id: id(consumer) },
        key: text(key),
        ttl: None,
    };
    let change = || Change {
        consumers_gone: vec![id(2)],
        consumers: vec![(id(4), dan.clone())],
        keys_gone: vec![(id(21), key(1, "ann-key")), (id(22), key(2, "bob-key"))],
        keys: vec![(id(21), key(1, "ann-again")), (id(24), key(4, "dan-key"))],
        loaded_at: 1000,
    };
    let changed = directory.with(change()).unwrap();
    let of = |key: &str| changed.key(key).map(|found| found.consumer.username.as_deref().unwrap_or_default());
    assert_eq!(
        ["ann-key", "bob-key", "ann-again", "dan-key"].map(of),
        [None, None, Some("ann"), Some("dan")]
    );
    assert_eq!(changed.by_username("bob"), None);
    assert_eq!(changed.by_custom_id("c-4").unwrap().id, id(4));
    assert_eq!(changed.consumer(id(1)).unwrap().groups.len(), 2, "who was there is as before");
    // What requests still read is as it was.
    assert_eq!(directory.key("bob-key").unwrap().consumer.username.as_deref(), Some("bob"));
    assert!(directory.key("dan-key").is_none() && directory.by_username("dan").is_none());
    // A consumer who is there already is not new: credentials know it as it was.
    assert!(changed.with(change()).is_none());
}

#[test]
fn a_directory_that_has_grown_is_made_anew() {
    let directory = Directory::new(Source::default());
    let consumer = |n: u128| {
        (id(n), entity::Consumer { username: Some(text(&n.to_string())), custom_id: None, tags: None })
    };
    let with = |count| {
        directory.with(Change { consumers: (1..=count).map(consumer).collect(), ..Change::default() })
    };
    assert!(with(1000).is_some());
    assert!(with(10_000).is_none());
}
