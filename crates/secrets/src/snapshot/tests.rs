//! The file of last known good values: round trips, and everything that may be wrong with it.

use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use postern_secret::Secret;

const KEY: [u8; 32] = *b"an example of thirty-two bytes..";

fn key() -> Key {
    Key::from_bytes(KEY)
}

fn entries() -> Entries {
    let entry = |value: &str, read| Entry { value: Secret::from(value), read: Duration::from_secs(read) };
    [
        ([1; 32], entry("hunter2", 1_700_000_000)),
        ([2; 32], entry("", 0)),
        ([3; 32], entry("pässwörd\n", u64::MAX)),
    ]
    .into()
}

/// Two directories: of the key, and of the data.
fn place() -> (TempDir, TempDir, LkgOptions) {
    let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = keys.path().join("key");
    fs::write(&path, KEY).unwrap();
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let options = LkgOptions { file: data.path().join("values"), key: KeySource::File(path) };
    (keys, data, options)
}

fn open(options: &LkgOptions) -> LastKnownGood {
    LastKnownGood::open(options).unwrap()
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_encoded_is_decoded_and_not_readable_between() {
    for entries in [Entries::new(), entries()] {
        let bytes = encode(&entries, &key()).unwrap();
        assert_eq!(decode(&bytes, &key()).unwrap(), entries);
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
        assert_ne!(encode(&entries, &key()).unwrap(), bytes, "another nonce each time");
    }
}

#[test]
fn another_key_opens_nothing() {
    let bytes = encode(&entries(), &key()).unwrap();
    let mut other = KEY;
    other[31] ^= 1;
    assert_eq!(decode(&bytes, &Key::from_bytes(other)), Err(SnapshotError::Undecipherable));
}

#[test]
fn each_flipped_bit_and_each_missing_byte_is_noticed() {
    let bytes = encode(&entries(), &key()).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(decode(&flipped, &key()).is_err(), "bit {bit} of byte {at}");
        }
    }
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length], &key()).is_err(), "{length} bytes");
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert_eq!(decode(&longer, &key()), Err(SnapshotError::Undecipherable));
}

#[test]
fn each_fault_has_its_name() {
    let good = encode(&entries(), &key()).unwrap();
    let mut newer = good.clone();
    newer[7] = 9;
    let cases: [(&[u8], SnapshotError); 5] = [
        (b"", SnapshotError::Foreign),
        (b"-----BEGIN CERTIFICATE-----", SnapshotError::Foreign),
        (&good[..7], SnapshotError::Foreign),
        (&newer, SnapshotError::Newer(9)),
        (&good[..40], SnapshotError::Undecipherable),
    ];
    for (bytes, expected) in cases {
        assert_eq!(decode(bytes, &key()), Err(expected));
    }
    let huge = [good.as_slice(), &vec![0; MAX_BYTES]].concat();
    assert_eq!(decode(&huge, &key()), Err(SnapshotError::TooLarge));
    let entry = Entry { value: Secret::from("x".repeat(MAX_BYTES)), read: Duration::ZERO };
    assert_eq!(encode(&[([0; 32], entry)].into(), &key()), Err(SnapshotError::TooLarge));
}

#[test]
fn the_file_is_for_its_owner_only_and_nothing_is_left_beside_it() {
    let (_keys, data, options) = place();
    let kept = open(&options);
    assert!(
        kept.entries.is_empty() && kept.problem.is_none() && names(&data).is_empty(),
        "no file, no problem"
    );
    for _ in 0..3 {
        kept.store.write(&entries()).unwrap();
        let mode = fs::metadata(&options.file).unwrap().permissions().mode();
        assert_eq!((mode & 0o7777, names(&data)), (0o600, vec!["values".to_owned()]));
    }
    assert_eq!(open(&options).entries, entries());
    let bytes = fs::read(&options.file).unwrap();
    assert!(!bytes.windows(7).any(|window| window == b"hunter2"));
}

#[test]
fn a_process_killed_before_the_new_file_is_in_place_leaves_the_old_one() {
    let (_keys, data, options) = place();
    open(&options).store.write(&entries()).unwrap();
    let file = data.path().canonicalize().unwrap().join("values");
    // Killed: nobody cleans up.
    std::mem::forget(file::Pending::write(&file, b"half of a fi").unwrap());
    assert_eq!(names(&data).len(), 2);
    let kept = open(&options);
    assert_eq!((&kept.entries, &kept.problem), (&entries(), &None));
    fs::write(data.path().join(".values.mine.new"), "somebody else's").unwrap();
    kept.store.write(&Entries::new()).unwrap();
    assert_eq!(
        names(&data),
        [".values.mine.new", "values"],
        "the next one tidies up, after its own kind only"
    );
    assert!(open(&options).entries.is_empty());
    // Given up rather than killed: it cleans up by itself.
    drop(file::Pending::write(&file, b"half of a fi").unwrap());
    assert_eq!(names(&data).len(), 2);
}

#[test]
fn a_file_that_cannot_be_used_is_reported_and_left_alone() {
    let (keys, _data, options) = place();
    open(&options).store.write(&entries()).unwrap();
    let good = fs::read(&options.file).unwrap();
    let other = keys.path().join("other");
    fs::write(&other, [7; 32]).unwrap();
    set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
    let kept = open(&LkgOptions { key: KeySource::File(other), ..options.clone() });
    assert_eq!((kept.problem, kept.entries.len()), (Some(SnapshotError::Undecipherable), 0));
    assert_eq!(fs::read(&options.file).unwrap(), good);

    fs::write(&options.file, &good[..good.len() - 1]).unwrap();
    assert_eq!(open(&options).problem, Some(SnapshotError::Undecipherable));
    fs::write(&options.file, "port=8000\n").unwrap();
    let kept = open(&options);
    assert_eq!(kept.problem, Some(SnapshotError::Foreign));
    assert_eq!(fs::read(&options.file).unwrap(), b"port=8000\n");
    kept.store.write(&entries()).unwrap();
    assert_eq!(open(&options).entries, entries(), "until there is something to keep");

    fs::File::create(&options.file).unwrap().set_len(MAX_BYTES as u64 + 1).unwrap();
    assert_eq!(open(&options).problem, Some(SnapshotError::TooLarge));
    fs::remove_file(&options.file).unwrap();
    fs::create_dir(&options.file).unwrap();
    assert_eq!(open(&options).problem, Some(SnapshotError::Foreign));
}

#[test]
fn without_a_key_or_a_directory_it_does_not_start() {
    let (_keys, data, options) = place();
    let nowhere = LkgOptions { file: data.path().join("absent/values"), ..options.clone() };
    let error = LastKnownGood::open(&nowhere).unwrap_err().to_string();
    assert!(error.ends_with("its directory: no such file or directory"), "{error}");
    let key = data.path().join("key");
    fs::write(&key, KEY).unwrap();
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let beside = LkgOptions { key: KeySource::File(key), ..options };
    let error = LastKnownGood::open(&beside).unwrap_err().to_string();
    assert!(error.contains("beside the data"), "{error}");
    assert!(!format!("{:?}", LastKnownGood::open(&place().2)).contains("an example"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = decode(&bytes, &key());
        let ours = [b"PSTNLKG\x01", bytes.as_slice()].concat();
        prop_assert!(decode(&ours, &key()).is_err());
    }

    #[test]
    fn any_entries_come_back(
        all in proptest::collection::hash_map(any::<[u8; 32]>(), (".{0,40}", any::<u64>()), 0..20)
    ) {
        let entry = |(value, read): (String, u64)| Entry { value: value.into(), read: Duration::from_secs(read) };
        let entries: Entries = all.into_iter().map(|(digest, of)| (digest, entry(of))).collect();
        prop_assert_eq!(decode(&encode(&entries, &key()).unwrap(), &key()).unwrap(), entries);
    }
}
