//! The key of the file of last known good values. Owns: where it may come from, and how well it must be kept. Must not
//! know: what is encrypted with it, or the process environment; whoever starts the engine says where the key is.

use std::fmt::{self, Debug, Formatter};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::SnapshotError;
use postern_client::io_reason;

/// Of AES-256.
const LENGTH: usize = 32;
/// Larger files are no keys but accidents.
const MAX_BYTES: u64 = 4096;
/// What the key that is derived from a credential is for; another use of the same credential gets another key.
const PURPOSE: &[u8] = b"postern last known good 1";
/// Opening a named pipe must not wait for a writer.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file that holds the key: 32 bytes, or their hex or base64 text.
    File(PathBuf),
    /// A credential that the service manager put there (`$CREDENTIALS_DIRECTORY/NAME`): at least 32 bytes of any kind,
    /// from which the key is derived.
    Credential(PathBuf),
}

/// A key for AES-256. Wiped when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; LENGTH]>);

impl Key {
    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key, for a file in the directory `data`.
    pub(super) fn load(source: &KeySource, data: &Path) -> Result<Self, SnapshotError> {
        let (KeySource::File(path) | KeySource::Credential(path)) = source;
        load(source, path, data).map_err(|reason| SnapshotError::Key { path: path.clone(), reason })
    }

    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl Debug for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn load(source: &KeySource, path: &Path, data: &Path) -> Result<Key, String> {
    let reason = |error: io::Error| io_reason(&error);
    let real = path.canonicalize().map_err(reason)?;
    // Whoever takes a copy of the data's directory must not have the key with it.
    if real.parent().is_some_and(|directory| directory.starts_with(data)) {
        return Err(format!(
            "it is beside the data, in {}; whoever copies one has the other",
            data.display()
        ));
    }
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(&real).map_err(reason)?;
    // Of the open file: nobody can put another one in its place between the check and the use.
    let metadata = file.metadata().map_err(reason)?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    // The service manager lets its service read credentials by an access list, which shows as the group's right to read.
    let (forbidden, whom) = match source {
        KeySource::File(_) => (0o077, "others than its owner have rights to it; chmod 600"),
        KeySource::Credential(_) => (0o037, "others than its service have rights to it"),
    };
    if metadata.mode() & forbidden != 0 {
        return Err(whom.to_owned());
    }
    let bytes = read(file).map_err(reason)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes"));
    }
    match source {
        KeySource::File(_) => {
            parse(&bytes).ok_or_else(|| "it is not 32 bytes, as they are or in hex or base64".to_owned())
        }
        KeySource::Credential(_) if bytes.len() < LENGTH => Err(format!("it is shorter than {LENGTH} bytes")),
        KeySource::Credential(_) => derive(&bytes).ok_or_else(|| "no key can be derived from it".to_owned()),
    }
}

fn read(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Sized before it is filled: a buffer that grows leaves pieces of itself behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 2));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// 32 bytes as they are, else hex or base64 with blanks around.
pub(crate) fn parse(bytes: &[u8]) -> Option<Key> {
    let mut key = Key(Zeroizing::new([0; LENGTH]));
    if let Ok(bytes) = <&[u8; LENGTH]>::try_from(bytes) {
        key.0.copy_from_slice(bytes);
        return Some(key);
    }
    let text = bytes.trim_ascii();
    if text.len() == 2 * LENGTH {
        for (byte, pair) in key.0.iter_mut().zip(text.chunks_exact(2)) {
            *byte = hex(pair[0])? << 4 | hex(pair[1])?;
        }
        return Some(key);
    }
    // Room for what the decoder wants, which counts in blocks.
    let mut decoded = Zeroizing::new([0; LENGTH + 4]);
    let length = STANDARD
        .decode_slice(text, &mut *decoded)
        .or_else(|_| STANDARD_NO_PAD.decode_slice(text, &mut *decoded));
    if length != Ok(LENGTH) {
        return None;
    }
    key.0.copy_from_slice(&decoded[..LENGTH]);
    Some(key)
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

fn derive(secret: &[u8]) -> Option<Key> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            LENGTH
        }
    }
    let mut key = Key(Zeroizing::new([0; LENGTH]));
    let extracted = Salt::none(HKDF_SHA256).extract(secret);
    extracted.expand(&[PURPOSE], Length).ok()?.fill(key.0.as_mut_slice()).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const RAW: [u8; LENGTH] = *b"an example of thirty-two bytes..";

    #[test]
    fn three_spellings_of_one_key() {
        let hex: String = RAW.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = STANDARD.encode(RAW);
        let texts =
            [hex.clone(), hex.to_uppercase(), format!("{hex}\n"), base64.clone(), format!(" {base64}\r\n")];
        let bare = base64.trim_end_matches('=').to_owned();
        for text in texts.iter().chain([&bare]) {
            assert_eq!(parse(text.as_bytes()), Some(Key::from_bytes(RAW)), "{text}");
        }
        assert_eq!(parse(&RAW), Some(Key::from_bytes(RAW)));
        let long = STANDARD.encode([7; 33]);
        for wrong in ["", "short", &hex[1..], &format!("{}g", &hex[1..]), &long, &"a".repeat(4096)] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_derived_key_is_another_one_and_always_the_same() {
        let (one, two) = (derive(&RAW).unwrap(), derive(b"another credential of some length").unwrap());
        assert_eq!(Some(&one), derive(&RAW).as_ref());
        assert!(one != two && one != Key::from_bytes(RAW));
        // RFC 5869, worked out by hand: two rounds of HMAC-SHA256.
        let known = "09fe600be0f58749b70d23ef253e219f1f59871005467700a14b74f007365138";
        assert_eq!(Some(one), parse(known.as_bytes()));
    }

    #[test]
    fn a_key_that_is_not_well_kept_is_refused() {
        let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = data.path().canonicalize().unwrap();
        let key = |name: &str, mode: u32, bytes: &[u8], directory: &Path| {
            let path = directory.join(name);
            write(&path, bytes).unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        let load = |source: KeySource| {
            Key::load(&source, &data).map_err(|error| match error {
                SnapshotError::Key { reason, .. } => reason,
                other => panic!("{other}"),
            })
        };
        let file = |name, mode, bytes: &[u8]| load(KeySource::File(key(name, mode, bytes, keys.path())));
        let credential =
            |name, mode, bytes: &[u8]| load(KeySource::Credential(key(name, mode, bytes, keys.path())));
        assert!(file("good", 0o600, &RAW).is_ok() && file("better", 0o400, &RAW).is_ok());
        for mode in [0o640, 0o604, 0o660, 0o666, 0o610] {
            assert!(file("open", mode, &RAW).unwrap_err().contains("others than its owner"), "{mode:o}");
        }
        assert!(credential("acl", 0o440, &RAW).is_ok());
        for mode in [0o444, 0o460, 0o404] {
            assert!(
                credential("open", mode, &RAW).unwrap_err().contains("others than its service"),
                "{mode:o}"
            );
        }
        assert!(credential("short", 0o400, b"hunter2").unwrap_err().contains("shorter"));
        assert!(file("large", 0o600, &[b'x'; 5000]).unwrap_err().contains("larger"));
        assert!(load(KeySource::File(keys.path().to_owned())).unwrap_err().contains("regular"));
        assert!(load(KeySource::File(keys.path().join("absent"))).is_err());

        let beside = key("key", 0o600, &RAW, &data);
        assert!(load(KeySource::File(beside.clone())).unwrap_err().contains("beside"));
        std::fs::create_dir(data.join("below")).unwrap();
        let below = key("key", 0o600, &RAW, &data.join("below"));
        assert!(load(KeySource::File(below)).unwrap_err().contains("beside"));
        // A link from elsewhere does not help: what counts is where the key is.
        std::os::unix::fs::symlink(beside, keys.path().join("link")).unwrap();
        assert!(load(KeySource::File(keys.path().join("link"))).unwrap_err().contains("beside"));
        std::os::unix::fs::symlink(keys.path().join("good"), data.join("link")).unwrap();
        assert!(load(KeySource::File(data.join("link"))).is_ok());
    }
}
