//! A real Redis, and servers that only say that they are one.

use std::process::{Child, Command as Process, Stdio};

use postern_client::Trust;
use postern_secrets::Secret;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::connect::{Login, Sentinels, Tls};
use super::*;

/// A server of the test's own, ended with it.
pub(crate) struct Server {
    pub(crate) port: u16,
    process: Child,
    _directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A port for a node of a cluster, whose other one, for the cluster's own talk, is 10000 above.
async fn free_pair() -> u16 {
    loop {
        let port = fastrand::u16(10_000..22_000);
        let (own, talk) = (
            TcpListener::bind(("127.0.0.1", port)).await,
            TcpListener::bind(("127.0.0.1", port + 10_000)).await,
        );
        if own.is_ok() && talk.is_ok() {
            return port;
        }
    }
}

impl Server {
    /// `redis-server` with these lines of configuration, once it takes connections.
    pub(crate) async fn start(lines: &[String]) -> Self {
        Self::start_at(free_port().await, false, lines).await
    }

    async fn start_at(port: u16, sentinel: bool, lines: &[String]) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("redis.conf");
        let place = format!("bind 127.0.0.1\nport {port}\ndir {}", directory.path().display());
        let memory = if sentinel { "" } else { "save \"\"\nappendonly no" };
        std::fs::write(&file, [&[place, memory.to_owned()], lines].concat().join("\n")).unwrap();
        // A Sentinel is the same program in another mode.
        let mode = sentinel.then_some("--sentinel");
        let mut process = Process::new("redis-server");
        let process = process.arg(&file).args(mode).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("redis-server is needed for this test: apt-get install redis-server");
        let server = Self { port, process, _directory: directory };
        for _ in 0..1000 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return server;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not listen");
    }

    /// What an administrator says to it.
    async fn told(&self, login: &Login, words: &[&str]) -> Reply {
        let settings = Settings { login: login.clone(), ..settings(self.port) };
        let mut connection = connect(&settings, None).await.unwrap();
        connection.ask(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()).await.unwrap()
    }
}

pub(crate) fn settings(port: u16) -> Settings {
    Settings {
        places: vec![("127.0.0.1".to_owned(), port)],
        login: Login::default(),
        database: 0,
        tls: None,
        timeout: Duration::from_secs(5),
        sentinels: None,
        redirections: 0,
    }
}

fn reached(settings: Settings) -> Arc<Redis> {
    let redis = Arc::<Redis>::default();
    crate::testing::reach(&redis, settings);
    redis
}

fn login(username: Option<&str>, password: &str) -> Login {
    Login { username: username.map(Secret::from), password: Some(Secret::from(password)) }
}

async fn count(redis: &Arc<Redis>, key: &str) -> Result<Reply, Failure> {
    redis.ask(key.as_bytes(), &[b"INCR", key.as_bytes()]).await
}

#[test]
fn slots_are_those_of_the_specification() {
    assert_eq!(slot(b"123456789"), 0x31C3 % SLOTS);
    assert_eq!(slot(b"a{user1000}.following"), slot(b"{user1000}.followers"));
    assert_ne!(slot(b"{}a"), slot(b"{}b"));
    assert_eq!(redirection("MOVED 3999 127.0.0.1:6381"), Some((("127.0.0.1".to_owned(), 6381), true)));
    assert_eq!(redirection("ASK 3999 ::1:6381"), Some((("::1".to_owned(), 6381), false)));
    assert_eq!(redirection("MOVED 3999"), None);
}

#[tokio::test]
async fn many_ask_over_one_connection() {
    let server = Server::start(&[]).await;
    let redis = reached(Settings { database: 3, ..settings(server.port) });
    let asked = (0..200).map(|_| count(&redis, "n"));
    let mut numbers: Vec<_> = futures_util::future::join_all(asked)
        .await
        .into_iter()
        .map(|reply| match reply.unwrap() {
            Reply::Integer(number) => number,
            other => panic!("{other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    let Reply::Text(clients) = server.told(&Login::default(), &["CLIENT", "LIST"]).await else {
        panic!("text")
    };
    let clients = String::from_utf8(clients.to_vec()).unwrap();
    assert_eq!(clients.lines().filter(|line| line.contains(" db=3 ")).count(), 1, "{clients}");
}

#[tokio::test]
async fn a_user_of_the_access_list_and_a_password_that_rotates() {
    let server =
        Server::start(&["user default on >root ~* +@all".to_owned(), "user app on >one ~* +@all".to_owned()])
            .await;
    let redis = reached(Settings { login: login(Some("app"), "one"), ..settings(server.port) });
    assert_eq!(count(&redis, "n").await, Ok(Reply::Integer(1)));
    let root = login(None, "root");
    // Both are right for a while, as when passwords are rotated with care.
    server.told(&root, &["ACL", "SETUSER", "app", ">two"]).await;
    let renewed = Settings { login: login(Some("app"), "two"), ..settings(server.port) };
    let (mut failed, rotating) = (0, redis.clone());
    for number in 0..200 {
        if number == 100 {
            crate::testing::reach(&rotating, renewed.clone());
        }
        failed += u32::from(count(&redis, "n").await.is_err());
    }
    assert_eq!(failed, 0);
    server.told(&root, &["ACL", "SETUSER", "app", "<one"]).await;
    assert!(matches!(count(&redis, "n").await, Ok(Reply::Integer(202))));
    let old = reached(Settings { login: login(Some("app"), "one"), ..settings(server.port) });
    assert_eq!(count(&old, "n").await, Err(Failure::Refused));
    let nobody = reached(settings(server.port));
    assert_eq!(count(&nobody, "n").await, Err(Failure::Refused));
}

#[tokio::test]
async fn it_comes_back_after_its_server() {
    let port = free_port().await;
    let server = Server::start_at(port, false, &[]).await;
    let redis = reached(Settings { timeout: Duration::from_millis(500), ..settings(port) });
    assert_eq!(count(&redis, "n").await, Ok(Reply::Integer(1)));
    drop(server);
    assert!(count(&redis, "n").await.is_err());
    // While it is away nobody waits for it.
    let began = Instant::now();
    for _ in 0..1000 {
        assert!(count(&redis, "n").await.is_err());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let _server = Server::start_at(port, false, &[]).await;
    for _ in 0..100 {
        if count(&redis, "n").await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not come back");
}

#[tokio::test]
async fn a_server_that_lies_costs_no_more_than_its_time() {
    for answer in [&b"HTTP/1.1 400 no\r\n\r\n"[..], b"$99999999999\r\n", b"+PONG\r\n+OK\r\n+OK\r\n", b""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(answer).await;
                kept.push(stream);
            }
        });
        let redis = reached(Settings { timeout: Duration::from_millis(300), ..settings(port) });
        let asked = timeout(Duration::from_secs(10), count(&redis, "n")).await;
        let reply = asked.expect("it does not take for ever");
        assert!(!matches!(reply, Ok(Reply::Integer(_))), "{reply:?}");
    }
}

#[tokio::test]
async fn over_tls_under_the_name_that_is_configured() {
    let directory = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["redis.test".to_owned()]).unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port().await;
    let lines = [
        format!("tls-port {port}\ntls-cert-file {}\ntls-key-file {}", cert.display(), key.display()),
        format!("tls-auth-clients no\ntls-ca-cert-file {}", cert.display()),
    ];
    let _server = Server::start(&lines).await;
    let trust = Trust::from_items([made.cert.pem().as_str()]).unwrap();
    let tls = |trust: &Trust, verify, name: Option<&str>| {
        let tls = Tls { trust: trust.clone(), verify, name: name.map(str::to_owned) };
        reached(Settings { tls: Some(tls), ..settings(port) })
    };
    assert_eq!(count(&tls(&trust, true, Some("redis.test")), "n").await, Ok(Reply::Integer(1)));
    assert!(count(&tls(&trust, true, None), "n").await.is_err(), "not its name");
    assert!(count(&tls(&Trust::none(), true, Some("redis.test")), "n").await.is_err(), "nobody we trust");
    assert_eq!(count(&tls(&Trust::none(), false, None), "n").await, Ok(Reply::Integer(2)));
}

#[tokio::test]
async fn sentinels_name_the_master() {
    let master = Server::start(&[]).await;
    let port = free_port().await;
    let line = format!("sentinel monitor main 127.0.0.1 {} 1", master.port);
    let sentinel = Server::start_at(port, true, &[line]).await;
    let named = |name: &str| Settings {
        places: Vec::new(),
        sentinels: Some(Sentinels {
            places: vec![("127.0.0.1".to_owned(), 1), ("127.0.0.1".to_owned(), sentinel.port)],
            master: name.to_owned(),
            login: Login::default(),
        }),
        ..settings(0)
    };
    assert_eq!(count(&reached(named("main")), "n").await, Ok(Reply::Integer(1)));
    assert!(count(&reached(named("other")), "n").await.is_err());
}

#[tokio::test]
async fn a_cluster_is_asked_where_a_key_is() {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let lines = ["cluster-enabled yes\ncluster-node-timeout 10000".to_owned()];
        nodes.push(Server::start_at(free_pair().await, false, &lines).await);
    }
    let addresses: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let created = tokio::process::Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .arg("--cluster-yes")
        .output();
    let created = timeout(Duration::from_secs(60), created).await.expect("in time").unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
    // Each of them has to hear of it.
    for node in &nodes {
        let says_ok = async || match node.told(&Login::default(), &["CLUSTER", "INFO"]).await {
            Reply::Text(text) => String::from_utf8_lossy(&text).contains("cluster_state:ok"),
            _ => false,
        };
        for _ in 0..1000 {
            if says_ok().await {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
    let cluster = reached(Settings { redirections: 5, ..settings(nodes[0].port) });
    for number in 0..50 {
        assert_eq!(count(&cluster, &format!("key-{number}")).await, Ok(Reply::Integer(1)), "{number}");
    }
    for number in 0..50 {
        assert_eq!(count(&cluster, &format!("key-{number}")).await, Ok(Reply::Integer(2)), "{number}");
    }
    let alone = reached(settings(nodes[0].port));
    let mut refused = 0;
    for number in 0..50 {
        refused += u32::from(count(&alone, &format!("key-{number}")).await.is_err());
    }
    assert!(refused > 0, "one node has all the keys");
}
