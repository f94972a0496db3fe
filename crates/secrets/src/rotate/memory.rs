//! After a rotation the old value is nowhere in this process: a test reads its own memory and looks. Owns: a value that
//! it can look for without having it itself. What dependencies keep for a while is in docs/decisions/0012.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::*;
use crate::backend::env::Env;
use crate::kind::Kind;
use crate::resolve::Origin;
use crate::settings::Settings;
use crate::snapshot::{KeySource, LkgOptions};
use postern_client::Trust;

const LENGTH: usize = 64;
/// So much of its end counts as the value: the start of what was freed is overwritten by the allocator's own notes.
const END: usize = 16;
const MASK: u8 = 0xA5;

/// One test reads what another has read.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A random value, kept only in a form in which nobody would find it.
struct Needle([u8; LENGTH]);

impl Needle {
    fn new() -> Self {
        Self(std::array::from_fn(|_| fastrand::alphanumeric() as u8 ^ MASK))
    }

    fn text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(LENGTH));
        text.extend(self.0.iter().map(|byte| byte ^ MASK));
        text
    }

    /// How often the bytes hold its end.
    fn count_in(&self, bytes: &[u8]) -> usize {
        let end = &self.0[LENGTH - END..];
        let starts = bytes.windows(END).filter(|window| window[0] ^ MASK == end[0]);
        starts.filter(|window| window.iter().zip(end).all(|(byte, masked)| byte ^ MASK == *masked)).count()
    }

    /// How often it is in the memory of this process, in whatever may be written.
    fn count(&self) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = fs::File::open("/proc/self/mem").unwrap();
        let mut buffer = Zeroizing::new(vec![0; 1024 * 1024]);
        let own = buffer.as_ptr() as u64;
        let own_end = own + buffer.len() as u64;
        let mut found = 0;
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
            if !rights.starts_with("rw") || line.ends_with("[vvar]") {
                continue;
            }
            let (start, end) = range.split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            let (mut at, end) = (number(start), number(end));
            while at < end {
                // Not in what was just read.
                if (own..own_end).contains(&at) {
                    at = own_end;
                    continue;
                }
                let until = if at < own { end.min(own) } else { end };
                memory.seek(SeekFrom::Start(at)).unwrap();
                let length = usize::try_from(until - at).unwrap().min(buffer.len());
                // What is not mapped any longer cannot be read.
                let Ok(read) = memory.read(&mut buffer[..length]) else { break };
                found += self.count_in(&buffer[..read]);
                buffer[..read].fill(0);
                let is_last = read < END || read as u64 == until - at;
                at = if is_last { until } else { at + (read - END + 1) as u64 };
            }
        }
        found
    }

    fn put(&self, file: &Path) {
        fs::write(file, &*self.text()).unwrap();
    }
}

async fn becomes(slot: &Slot, expected: &Needle) {
    let is_so = || {
        slot.with(|value| {
            value.is_some_and(|value| value.len() == LENGTH && expected.count_in(value.as_bytes()) == 1)
        })
    };
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(5)).await;
    }
}

/// What was freed in another thread may lie in a buffer there for a moment; what was not wiped lies for ever.
async fn is_gone(needle: &Needle) -> bool {
    for _ in 0..20 {
        if needle.count() == 0 {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "each test has a runtime of its own")]
async fn a_value_that_was_replaced_or_dropped_is_nowhere() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plain");
    let (old, new) = (Needle::new(), Needle::new());
    old.put(&file);
    let settings = Settings::from_entity(Kind::Fs, json!({"prefix": directory.path()}).as_object().unwrap());
    let resolver =
        Resolver::new(Env::default(), Trust::none()).with_vault("files", settings, Origin::default());
    let engine = Engine::start(resolver);
    let slot = engine.slot(&Template::parse("{vault://files/plain}").unwrap());
    let around = engine.slot(&Template::parse("Bearer {vault://files/plain}").unwrap());
    let derived = slot.derive("a copy", |value| Ok(value.clone())).unwrap();
    becomes(&slot, &old).await;
    assert!(old.count() > 0, "the test finds what is there");
    new.put(&file);
    becomes(&slot, &new).await;
    assert!(is_gone(&old).await, "the old value is still there");
    assert!(new.count() > 0);
    drop((slot, around, derived, engine));
    assert!(is_gone(&new).await, "the dropped value is still there");
}

/// Beyond ours, one copy may lie in the connection's buffer: hyper does not wipe it, and the next reply overwrites it.
const IN_THE_CONNECTION: usize = 1;

#[tokio::test]
#[expect(clippy::await_holding_lock, reason = "each test has a runtime of its own")]
async fn what_came_over_the_network_and_was_kept_is_held_once() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // As it is, and as a private key is: with line ends that JSON writes in another way.
    for (before, after) in [("{\"data\":{\"k\":\"", "\"}}"), ("{\"data\":{\"k\":\"\\n\\u0041", "\\n\"}}")] {
        let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = keys.path().join("key");
        fs::write(&key, [7; 32]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let file = data.path().join("values");
        let options = LkgOptions { file: file.clone(), key: KeySource::File(key) };
        let served = Arc::new(Mutex::new(Needle::new()));
        let port = vault(Arc::clone(&served), before, after);
        let config = json!({"host": "127.0.0.1", "port": port, "protocol": "http", "token": "t"});
        let settings = Settings::from_entity(Kind::Hcv, config.as_object().unwrap());
        let resolver = || {
            Resolver::new(Env::default(), Trust::none()).with_vault("v", settings.clone(), Origin::default())
        };
        let start = || {
            let last_known_good = Some(LastKnownGood::open(&options).unwrap());
            Engine::start_with(resolver(), EngineOptions { last_known_good, ..EngineOptions::default() })
        };
        let engine = start();
        let slot = engine.slot(&Template::parse("{vault://v/a/k}").unwrap());
        let mut replaced = Vec::new();
        for _ in 0..4 {
            engine.refresh(&Nudge::All).await;
            engine.flush().await;
            assert!(slot.load().is_some(), "{:?}", engine.status());
            let held = served.lock().unwrap().count();
            assert!((1..=1 + IN_THE_CONNECTION).contains(&held), "held {held} times");
            replaced.push(std::mem::replace(&mut *served.lock().unwrap(), Needle::new()));
        }
        let newest = replaced.pop().unwrap();
        for old in &replaced {
            assert!(old.count() <= IN_THE_CONNECTION, "an old value is still there");
        }
        drop((slot, engine));
        // What was read from the file is in the memory of whoever asked for it, and gone with that.
        let engine = start();
        assert!(newest.count() > 0);
        drop(engine);
        sleep(Duration::from_millis(200)).await;
        assert!(newest.count() <= IN_THE_CONNECTION, "what was read from the file is still there");
    }
}

/// A vault that gives one secret to all who ask, and keeps none of it. Tells its port.
fn vault(secret: Arc<Mutex<Needle>>, before: &'static str, after: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let secret = Arc::clone(&secret);
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    let secret = secret.lock().unwrap().text();
                    let mut reply = Zeroizing::new(Vec::with_capacity(4096));
                    let length = before.len() + LENGTH + after.len();
                    write!(reply, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{before}").unwrap();
                    reply.extend_from_slice(&secret);
                    reply.extend_from_slice(after.as_bytes());
                    stream.write_all(&reply).unwrap();
                }
            });
        }
    });
    port
}
