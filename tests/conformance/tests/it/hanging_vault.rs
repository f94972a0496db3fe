//! A vault that takes connections and never answers holds nobody up who does not need it: neither a start nor a change. What
//! needs it is closed, all else serves, and it heals when the vault answers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use postern_conformance::{
    Gateway, Postern, Recorder,
    ask::{Way, becomes, get, request},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};

/// A vault that hangs until it is told to answer.
struct Vault {
    address: SocketAddr,
    answers: watch::Sender<bool>,
    /// Requests that came, and those whose client had enough of waiting.
    came: Arc<AtomicUsize>,
    given_up: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

const ANSWER: &str = r#"{"data":{"pass":"mypassword"}}"#;

impl Vault {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a bound port");
        let (answers, told) = watch::channel(false);
        let (came, given_up) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (requests, ended) = (Arc::clone(&came), Arc::clone(&given_up));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut told, requests, ended) = (told.clone(), Arc::clone(&requests), Arc::clone(&ended));
                tokio::spawn(async move {
                    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
                    while !all.windows(4).any(|end| end == b"\r\n\r\n") {
                        match stream.read(&mut buffer).await {
                            Ok(read @ 1..) => all.extend_from_slice(&buffer[..read]),
                            _ => return,
                        }
                    }
                    requests.fetch_add(1, Ordering::SeqCst);
                    tokio::select! {
                        // A client that hangs up has had enough; it says nothing else before there is an answer.
                        _ = stream.read(&mut buffer) => {
                            ended.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                        told = told.wait_for(|told| *told) => assert!(told.is_ok()),
                    }
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                         connection: close\r\n\r\n{ANSWER}",
                        ANSWER.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, answers, came, given_up, task }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    fn given_up(&self) -> usize {
        self.given_up.load(Ordering::SeqCst)
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Two services, one of which needs the vault; `path` is another route, which does not.
fn document(upstream: &Recorder, vault: &Vault, path: &str) -> String {
    let url = format!("http://127.0.0.1:{}", upstream.port());
    let add = json!({"add": {"headers": ["x-secret:{vault://own/password/pass}"]}});
    json!({
        "_format_version": "3.0",
        "vaults": [{"name": "hcv", "prefix": "own", "config": {
            "host": "127.0.0.1", "port": vault.address.port(), "token": "t",
        }}],
        "services": [
            {"name": "plain", "url": url, "routes": [{"name": "plain", "paths": ["/plain", path]}]},
            {
                "name": "secret", "url": url, "routes": [{"name": "secret", "paths": ["/secret"]}],
                "plugins": [{"name": "request-transformer", "config": add}],
            },
        ],
    })
    .to_string()
}

async fn ask(gateway: &Gateway, path: &str) -> u16 {
    let got = Way::http(gateway.http).ask(get("localhost", path)).await;
    got.unwrap_or_else(|error| panic!("{path}: {error}")).status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_start_nor_a_change_waits_for_it() {
    let (upstream, vault) = (Recorder::start().await, Vault::start().await);
    let mut gateway = Postern::gateway(&document(&upstream, &vault, "/0"), &[]).await;
    assert_eq!(
        (vault.came() > 0, vault.given_up()),
        (true, 0),
        "it serves while the vault is asked for the first time"
    );
    assert_eq!((ask(&gateway, "/plain").await, ask(&gateway, "/secret").await), (200, 503));
    let status = Way::http(gateway.status);
    assert_eq!(status.ask(get("localhost", "/status/ready")).await.expect("an answer").status, 200);

    // A change is in effect before the request ends that waits for the vault. That may end by chance meanwhile, but not each
    // time.
    let mut in_between = Vec::new();
    for number in 1..=4 {
        becomes("the vault is being asked", async || vault.came() > vault.given_up()).await;
        let before = vault.given_up();
        assert!(
            gateway.reload(&document(&upstream, &vault, &format!("/{number}"))).await,
            "{}",
            gateway.log()
        );
        in_between.push(vault.given_up() - before);
        assert_eq!(ask(&gateway, &format!("/{number}")).await, 200);
        assert_eq!((ask(&gateway, "/plain").await, ask(&gateway, "/secret").await), (200, 503));
    }
    assert!(in_between.contains(&0), "each change waited for the vault: {in_between:?}");

    vault.answers.send_replace(true);
    becomes("what needs the vault opens", async || ask(&gateway, "/secret").await == 200).await;
    let seen = upstream.take();
    let secret: Vec<_> = seen.iter().filter_map(|seen| seen.headers.get("x-secret")).collect();
    assert_eq!(secret, ["mypassword"], "only the last request had a value");
}

/// Who brings a configuration and hangs up while it is made: it takes effect whole, and nothing of it is seen before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_halves_nothing() {
    let (upstream, vault) = (Recorder::start().await, Vault::start().await);
    let url = format!("http://127.0.0.1:{}", upstream.port());
    let before = json!({"_format_version": "3.0", "services": [
        {"name": "s", "url": url, "routes": [{"name": "r", "paths": ["/before", "/plain"]}]},
    ]});
    let gateway = Postern::gateway(&before.to_string(), &[]).await;
    let admin = Way::http(gateway.admin.expect("an Admin API"));
    let body = json!({ "config": document(&upstream, &vault, "/after") }).to_string();
    let headers = [("content-type", "application/json")];
    let asking = tokio::spawn({
        let admin = admin.clone();
        async move { admin.ask(request("POST", &admin.address.to_string(), "/config", &headers, body)).await }
    });
    becomes("the vault is asked", async || vault.came() > 0).await;
    asking.abort();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()), "it went away before there was an answer");

    let number = async || -> Value {
        let page = Way::http(gateway.status).ask(get("localhost", "/status")).await.expect("a page").json();
        page["configuration"]["number"].clone()
    };
    becomes("it takes effect, for nobody stopped it", async || {
        let first = number().await;
        let answers =
            [ask(&gateway, "/before").await, ask(&gateway, "/after").await, ask(&gateway, "/secret").await];
        // Where the number stayed the same, all of them are of one configuration.
        if first == number().await {
            let whole = if first == 1 { [200, 404, 404] } else { [404, 200, 503] };
            assert_eq!(answers, whole, "configuration {first}");
        }
        first == 2
    })
    .await;
    vault.answers.send_replace(true);
    becomes("what needs the vault opens", async || ask(&gateway, "/secret").await == 200).await;
}
