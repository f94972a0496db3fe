//! A node that starts while its vault cannot be reached, in real time, against a vault of the test's own that says what
//! it is told to.

use std::fs::{self, Permissions, set_permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::*;
use crate::backend::env::Env;
use crate::clock::Clock;
use crate::kind::Kind;
use crate::resolve::{Origin, Resolver};
use crate::rotate::{Engine, EngineOptions, Nudge, ReferenceState};
use crate::settings::Settings;
use crate::slot::Slot;
use crate::snapshot::{KeySource, LastKnownGood, LkgOptions};
use crate::template::Template;
use postern_client::Trust;

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A vault that gives one answer to everything.
struct Stub {
    address: SocketAddr,
    says: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Stub {
    async fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (says, asked) = (Arc::new(Mutex::new((200, String::new()))), Arc::new(AtomicUsize::new(0)));
        let (answer, count) = (Arc::clone(&says), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0)
                {}
                count.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answer.lock().unwrap().clone();
                let reply = format!(
                    "HTTP/1.1 {status} So\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        Self { address, says, asked, task }
    }

    fn gives(&self, secret: &serde_json::Value) {
        let body = json!({ "data": secret }).to_string();
        *self.says.lock().unwrap() = (200, body);
    }

    fn refuses(&self, status: u16) {
        *self.says.lock().unwrap() = (status, json!({"errors": ["no"]}).to_string());
    }

    /// From here on connections are refused.
    async fn stop(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

struct Node {
    _keys: TempDir,
    data: TempDir,
    key: PathBuf,
    address: SocketAddr,
    config: serde_json::Value,
    /// Seconds after [`NOW`].
    time: u64,
}

impl Node {
    fn new(stub: &Stub) -> Self {
        let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = keys.path().join("key");
        fs::write(&key, "6".repeat(64)).unwrap();
        set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
        let config = json!({"token": "t", "resurrect_ttl": 600});
        Self { _keys: keys, data, key, address: stub.address, config, time: 0 }
    }

    fn file(&self) -> PathBuf {
        self.data.path().join("values")
    }

    fn resolver(&self) -> Resolver {
        let mut config = self.config.clone();
        config["host"] = self.address.ip().to_string().into();
        config["port"] = self.address.port().into();
        config["protocol"] = "http".into();
        let settings = Settings::from_entity(Kind::Hcv, config.as_object().unwrap());
        Resolver::new(Env::default(), Trust::none()).with_vault("v", settings, Origin::default())
    }

    fn start(&self) -> Engine {
        let options = LkgOptions { file: self.file(), key: KeySource::File(self.key.clone()) };
        let time = NOW + Duration::from_secs(self.time);
        let kept = LastKnownGood::open_at(&options, Clock::of(move || time)).unwrap();
        let options = EngineOptions { last_known_good: Some(kept), ..EngineOptions::default() };
        Engine::start_with(self.resolver(), options)
    }

    /// Starts, asks, and stops: the value, how it stands, and whether it is a kept one.
    async fn try_once(&self, text: &str) -> (Option<String>, ReferenceState, bool) {
        let engine = self.start();
        let slot = hold(&engine, text).await;
        found(&engine, &slot)
    }
}

async fn hold(engine: &Engine, text: &str) -> Arc<Slot> {
    let slot = engine.slot(&Template::parse(text).unwrap());
    engine.settled(&[Arc::clone(&slot)]).await;
    slot
}

fn found(engine: &Engine, slot: &Slot) -> (Option<String>, ReferenceState, bool) {
    let status = engine.status();
    let text = slot.template().to_string();
    let of = status.references.iter().find(|status| status.reference == text).unwrap();
    (slot.load().map(|value| value.expose().to_owned()), of.state, of.from_last_known_good)
}

async fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

const PASS: &str = "{vault://v/db/pass}";

/// A node that has read its secret and written it down, and a vault that is gone.
async fn after_a_good_run() -> Node {
    let stub = Stub::start("127.0.0.1:0").await;
    stub.gives(&json!({"pass": "hunter2", "user": "app"}));
    let node = Node::new(&stub);
    let engine = node.start();
    let slot = hold(&engine, PASS).await;
    assert_eq!(found(&engine, &slot), (Some("hunter2".into()), ReferenceState::Fresh, false));
    engine.flush().await;
    stub.stop().await;
    node
}

const UNRESOLVED: (Option<String>, ReferenceState, bool) = (None, ReferenceState::Unresolved, false);

fn kept() -> (Option<String>, ReferenceState, bool) {
    (Some("hunter2".to_owned()), ReferenceState::Stale, true)
}

#[tokio::test]
async fn the_last_known_good_value_serves_until_the_vault_is_back() {
    let mut node = after_a_good_run().await;
    node.time = 100;
    let engine = node.start();
    let slot = hold(&engine, PASS).await;
    assert_eq!(found(&engine, &slot), kept());
    let status = engine.status();
    assert!(
        status.references[0].age.unwrap() >= Duration::from_secs(100),
        "since it was read, not since the start"
    );
    let file = status.last_known_good.unwrap();
    assert_eq!((file.serving, file.problem), (1, None));

    let stub = Stub::start(&node.address.to_string()).await;
    stub.gives(&json!({"pass": "correct horse"}));
    engine.refresh(&Nudge::All).await;
    assert_eq!(found(&engine, &slot), (Some("correct horse".into()), ReferenceState::Fresh, false));
    let text = node.file();
    let before = fs::read(&text).unwrap();
    soon("the change is written by itself", || fs::read(&text).unwrap() != before).await;
    drop(engine);
    stub.stop().await;
    assert_eq!(node.try_once(PASS).await.0, Some("correct horse".into()));
}

#[tokio::test]
async fn it_serves_while_the_vault_is_sealed_and_never_against_its_word() {
    let node = after_a_good_run().await;
    let stub = Stub::start(&node.address.to_string()).await;
    // (what the vault says, does the kept value serve?)
    for (status, serves) in [(503, true), (500, true), (429, true), (403, false), (404, false), (400, false)]
    {
        stub.refuses(status);
        let expected = if serves { kept() } else { UNRESOLVED };
        assert_eq!(node.try_once(PASS).await, expected, "{status}");
    }
    stub.gives(&json!({"user": "app"}));
    assert_eq!(node.try_once(PASS).await, UNRESOLVED, "the key is gone");

    // A vault that comes back and says no ends it.
    stub.refuses(503);
    let engine = node.start();
    let slot = hold(&engine, PASS).await;
    assert_eq!(found(&engine, &slot), kept());
    stub.refuses(403);
    engine.refresh(&Nudge::All).await;
    assert_eq!(found(&engine, &slot), UNRESOLVED);
    stub.refuses(503);
    engine.refresh(&Nudge::All).await;
    assert_eq!(found(&engine, &slot), UNRESOLVED, "and for good");
    engine.flush().await;
    drop(engine);
    assert_eq!(node.try_once(PASS).await, UNRESOLVED, "also after a restart");
}

#[tokio::test]
async fn it_serves_for_resurrect_ttl_after_it_was_read() {
    let mut node = after_a_good_run().await;
    for (time, expected) in [(0, kept()), (595, kept()), (600, UNRESOLVED), (10_000, UNRESOLVED)] {
        node.time = time;
        assert_eq!(node.try_once(PASS).await, expected, "{time} s later");
    }
    node.config["resurrect_ttl"] = 0.into();
    node.time = 0;
    assert_eq!(node.try_once(PASS).await, UNRESOLVED, "nothing is used beyond its ttl");
    node.config["resurrect_ttl"] = 600.into();
    // It ends in time by itself, too.
    node.time = 595;
    let engine = node.start();
    let slot = hold(&engine, PASS).await;
    assert_eq!(found(&engine, &slot), kept());
    soon("the value ends", || slot.load().is_none()).await;
}

#[tokio::test]
async fn a_clock_that_went_back_makes_no_value_young() {
    let stub = Stub::start("127.0.0.1:0").await;
    stub.gives(&json!({"pass": "hunter2"}));
    let mut node = Node::new(&stub);
    node.time = 5000;
    let engine = node.start();
    let _slot = hold(&engine, PASS).await;
    engine.flush().await;
    drop(engine);
    stub.stop().await;
    for (time, expected) in [(4950, kept()), (4000, UNRESOLVED)] {
        node.time = time;
        assert_eq!(node.try_once(PASS).await, expected, "{time}");
    }
}

#[tokio::test]
async fn it_belongs_to_its_vault_and_its_reference() {
    let mut node = after_a_good_run().await;
    let others = [
        "{vault://v/db/user}",
        "{vault://v/other/pass}",
        "{vault://v/db/pass#2}",
        "{vault://v/db/pass?base64_decode=true}",
    ];
    for other in others {
        assert_eq!(node.try_once(other).await, UNRESOLVED, "{other}");
    }
    assert_eq!(node.try_once(PASS).await, kept());
    for (field, value) in [("token", "another"), ("mount", "another"), ("namespace", "another"), ("kv", "v2")]
    {
        let config = node.config.clone();
        node.config[field] = value.into();
        assert_eq!(node.try_once(PASS).await, UNRESOLVED, "{field}");
        node.config = config;
    }
    node.config["base64_decode"] = true.into();
    assert_eq!(node.try_once(PASS).await, UNRESOLVED, "base64_decode");
    node.config["base64_decode"] = false.into();
    node.config["ttl"] = 30.into();
    assert_eq!(node.try_once(PASS).await, kept(), "how long it may be used is not what it is");
}

#[tokio::test]
async fn what_is_not_in_use_any_longer_goes_with_the_next_write() {
    let stub = Stub::start("127.0.0.1:0").await;
    stub.gives(&json!({"pass": "hunter2", "user": "app"}));
    let node = Node::new(&stub);
    let engine = node.start();
    let pass = hold(&engine, PASS).await;
    let user = hold(&engine, "{vault://v/db/user}").await;
    engine.flush().await;
    let both = fs::metadata(node.file()).unwrap().len();
    drop(user);
    let file = node.file();
    soon("it is written", || fs::metadata(&file).unwrap().len() < both).await;
    drop((pass, engine));
    stub.stop().await;
    assert_eq!(node.try_once("{vault://v/db/user}").await, UNRESOLVED);
    assert_eq!(node.try_once(PASS).await, kept());
}

#[tokio::test]
async fn what_was_not_asked_for_yet_is_not_lost_by_a_write() {
    let stub = Stub::start("127.0.0.1:0").await;
    stub.gives(&json!({"pass": "hunter2", "user": "app"}));
    let node = Node::new(&stub);
    let engine = node.start();
    let slots = (hold(&engine, PASS).await, hold(&engine, "{vault://v/db/user}").await);
    engine.flush().await;
    drop((slots, engine));
    // Another run dies before it comes to the password.
    let engine = node.start();
    stub.gives(&json!({"pass": "hunter2", "user": "another"}));
    let _user = hold(&engine, "{vault://v/db/user}").await;
    engine.flush().await;
    drop(engine);
    stub.stop().await;
    assert_eq!(node.try_once("{vault://v/db/user}").await.0, Some("another".into()));
    assert_eq!(node.try_once(PASS).await, kept());
}

#[tokio::test]
async fn what_an_older_configuration_gave_is_not_kept_as_the_new_ones() {
    let stub = Stub::start("127.0.0.1:0").await;
    stub.gives(&json!({"pass": "hunter2"}));
    let mut node = Node::new(&stub);
    let engine = node.start();
    let slot = hold(&engine, PASS).await;
    stub.stop().await;
    node.config["namespace"] = "another".into();
    engine.prepare(node.resolver()).commit();
    engine.refresh(&Nudge::All).await;
    assert_eq!(found(&engine, &slot), (Some("hunter2".into()), ReferenceState::Stale, false), "it serves on");
    engine.flush().await;
    drop((slot, engine));
    assert_eq!(node.try_once(PASS).await, UNRESOLVED);
}

#[tokio::test]
async fn changes_are_gathered_and_a_file_that_cannot_be_written_is_told() {
    let stub = Stub::start("127.0.0.1:0").await;
    stub.gives(&json!({"pass": "0"}));
    let node = Node::new(&stub);
    let engine = node.start();
    let _slot = hold(&engine, PASS).await;
    let file = node.file();
    soon("the first write", || file.exists()).await;
    let writes = || fs::metadata(&file).unwrap().modified().unwrap();
    let (mut seen, mut last, started) = (0, writes(), Instant::now());
    for round in 0..100 {
        stub.gives(&json!({"pass": round.to_string()}));
        engine.refresh(&Nudge::All).await;
        sleep(Duration::from_millis(10)).await;
        if writes() != last {
            (seen, last) = (seen + 1, writes());
        }
    }
    let seconds = started.elapsed().as_secs() + 1;
    assert!(seen <= seconds, "{seen} writes in {seconds} s");
    engine.flush().await;

    // Its place is taken by a directory, which cannot be replaced by a file, not even by root.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    stub.gives(&json!({"pass": "last"}));
    engine.refresh(&Nudge::All).await;
    engine.flush().await;
    let problem = engine.status().last_known_good.unwrap().problem.expect("a problem");
    assert!(problem.starts_with("cannot write"), "{problem}");
    fs::remove_dir(&file).unwrap();
    engine.flush().await;
    assert!(engine.status().last_known_good.unwrap().problem.is_none() && file.is_file());
    assert_eq!(fs::read_dir(node.data.path()).unwrap().count(), 1, "nothing is left beside it");
    assert!(stub.asked.load(Ordering::SeqCst) >= 102);
}

#[tokio::test]
async fn nothing_is_written_of_vaults_that_are_always_there() {
    let stub = Stub::start("127.0.0.1:0").await;
    let node = Node::new(&stub);
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("plain"), "hunter2").unwrap();
    let engine = node.start();
    let settings = Settings::from_entity(Kind::Fs, json!({"prefix": files.path()}).as_object().unwrap());
    engine.prepare(node.resolver().with_vault("files", settings, Origin::default())).commit();
    let slot = hold(&engine, "{vault://files/plain}").await;
    assert_eq!(slot.load().unwrap().expose(), "hunter2");
    engine.flush().await;
    assert!(!node.file().exists());
}
