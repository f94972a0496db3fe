//! A real OpenBao in dev mode with a file audit device, and what it holds for the measurements.
//!
//! Owns: the server's process and the identity provider for its logins, 1,000 secrets of 10 keys, and the count of
//! what the audit device saw: the server's own word, not ours. Must not know: what is measured.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use postern_devstack::{Idp, IdpOptions, PortChoice};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::http::Http;
use crate::stand::{ROLE, SECRETS, Stand, fields, secret_name};

const ROOT_TOKEN: &str = "root";

/// A running OpenBao. It ends when this is dropped.
pub(crate) struct Bao {
    _server: Child,
    _idp: Idp,
    home: TempDir,
    port: u16,
    root: Http,
}

/// What the audit device saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Reads of secrets.
    pub(crate) reads: usize,
    /// Logins.
    pub(crate) logins: usize,
    /// Anything else.
    pub(crate) others: usize,
}

impl Bao {
    /// Starts it, and fills it.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let home = TempDir::new()?;
        let (server, port) = start_server(home.path()).await?;
        let root = Http::new(&api(port), ROOT_TOKEN);
        let idp = Idp::start(IdpOptions { port: PortChoice::Free, ..IdpOptions::default() }).await?;
        prepare_login(&root, &idp, &home.path().join("jwt")).await?;
        let bao = Self { _server: server, _idp: idp, home, port, root };
        bao.put_all(0).await?;
        Ok(bao)
    }

    /// What a child needs to know of it. `token` is for the bare loop: of a login like the engine's own.
    pub(crate) async fn stand(&self) -> Result<Stand, Failure> {
        let jwt = std::fs::read_to_string(self.jwt_file())?;
        let login = self.root.post("auth/jwt/login", &json!({"role": ROLE, "jwt": jwt})).await?;
        let token = login["auth"]["client_token"].as_str().ok_or("a login without a token")?;
        Ok(Stand {
            port: self.port,
            jwt_file: self.jwt_file(),
            token: token.to_owned(),
            root_token: ROOT_TOKEN.to_owned(),
        })
    }

    /// Writes all secrets anew.
    pub(crate) async fn put_all(&self, round: usize) -> Result<(), Failure> {
        put_all(&self.root, round).await
    }

    /// Where the audit log ends now.
    pub(crate) fn mark(&self) -> Result<u64, Failure> {
        Ok(std::fs::metadata(self.audit_log())?.len())
    }

    /// What the audit device saw since `mark`.
    pub(crate) fn seen_since(&self, mark: u64) -> Result<Seen, Failure> {
        let mut log = std::fs::File::open(self.audit_log())?;
        log.seek(SeekFrom::Start(mark))?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        let mut seen = Seen::default();
        for line in text.lines() {
            let entry: Value = serde_json::from_str(line)?;
            if entry["type"] != "request" {
                continue;
            }
            let request = &entry["request"];
            let path = request["path"].as_str().unwrap_or_default();
            if path.starts_with("secret/data/") && request["operation"] == "read" {
                seen.reads += 1;
            } else if path == "auth/jwt/login" {
                seen.logins += 1;
            } else {
                seen.others += 1;
            }
        }
        Ok(seen)
    }

    /// Its name and version.
    pub(crate) async fn version(&self) -> Result<String, Failure> {
        let output = Command::new(binary()).arg("version").output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.split(' ').take(2).collect::<Vec<_>>().join(" "))
    }

    fn jwt_file(&self) -> PathBuf {
        self.home.path().join("jwt")
    }

    fn audit_log(&self) -> PathBuf {
        self.home.path().join("audit.log")
    }
}

/// Writes all secrets anew; `round` is part of each value.
pub(crate) async fn put_all(root: &Http, round: usize) -> Result<(), Failure> {
    let put = move |http: Http, number| async move {
        let path = format!("secret/data/{}", secret_name(number));
        http.post(&path, &json!({"data": fields(number, round)})).await.map(drop)
    };
    root.each(SECRETS, put).await
}

/// Where its requests go.
pub(crate) fn api(port: u16) -> String {
    format!("http://127.0.0.1:{port}/v1")
}

fn binary() -> PathBuf {
    // bench/scale -> bench -> checkout
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    checkout.join(".tools/bin/bao")
}

async fn start_server(home: &Path) -> Result<(Child, u16), Failure> {
    let binary = binary();
    if !binary.exists() {
        return Err(format!("{} is not there: run `make tools`", binary.display()).into());
    }
    let port = free_port()?;
    let config = home.join("audit.hcl");
    let audit = home.join("audit.log");
    std::fs::write(
        &config,
        format!("audit \"file\" \"file\" {{\n  options {{ file_path = \"{}\" }}\n}}\n", audit.display()),
    )?;
    let log_path = home.join("openbao.log");
    let log = std::fs::File::create(&log_path)?;
    let mut server = Command::new(binary)
        .env_clear()
        .env("HOME", home)
        .args(["server", "-dev", "-dev-no-store-token"])
        .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
        .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
        .arg(format!("-config={}", config.display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = std::fs::read_to_string(&log_path)?;
        // Its listener answers before `secret/` is mounted; this line comes after.
        if log.contains("OpenBao server started!") {
            return Ok((server, port));
        }
        if server.try_wait()?.is_some() || Instant::now() > deadline {
            return Err(format!("OpenBao did not start:\n{log}").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A free loopback port whose successor is free too: OpenBao takes it for its cluster listener.
fn free_port() -> Result<u16, Failure> {
    for _ in 0..100 {
        let first = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let port = first.local_addr()?.port();
        if port < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return Ok(port);
        }
    }
    Err("no two neighbouring loopback ports are free".into())
}

/// A login by JWT that may read the secrets, and a JWT for it in a file.
async fn prepare_login(root: &Http, idp: &Idp, jwt_file: &Path) -> Result<(), Failure> {
    let policy = "path \"secret/data/*\" { capabilities = [\"read\"] }";
    root.post("sys/policies/acl/read-secrets", &json!({"policy": policy})).await?;
    root.post("sys/auth/jwt", &json!({"type": "jwt"})).await?;
    root.post("auth/jwt/config", &json!({"jwks_url": idp.jwks_url()})).await?;
    let role = json!({
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": [idp.audience()],
        "token_policies": ["read-secrets"],
        "token_ttl": "1h",
    });
    root.post(&format!("auth/jwt/role/{ROLE}"), &role).await?;
    let form = json!({
        "grant_type": "client_credentials",
        "client_id": idp.client_id(),
        "client_secret": idp.client_secret(),
        "audience": idp.audience(),
    });
    let idp = Http::new(idp.url().trim_end_matches('/'), "");
    let reply = idp.post("oauth/token", &form).await?;
    let token = reply["access_token"].as_str().ok_or("no access token")?;
    std::fs::write(jwt_file, token)?;
    Ok(())
}
