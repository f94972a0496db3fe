//! The servers of some cells: an OpenBao that can be killed, identity providers, a cluster's token review.
//!
//! Owns: what all cells at one site share. Must not know: faults, or what cells do with the servers.

use std::sync::Arc;
use std::time::Duration;

use postern_conformance::ca::{Ca, Issued};
use postern_conformance::{Answer, Audit, OidcProvider, OpenBao, Stub, TlsFiles};
use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::time::sleep;

/// What does not die with one OpenBao.
pub(crate) struct Surroundings {
    pub(crate) idp: OidcProvider,
    /// Says yes to every service account.
    pub(crate) cluster: Stub,
    /// Issues what every server shows, and the client certificates.
    pub(crate) ca: Ca,
    /// Trusted by nobody at first.
    pub(crate) other_ca: Ca,
    /// What a server shows whose certificate is right.
    pub(crate) shown: Issued,
}

/// One OpenBao and what is around it.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) bao: Arc<RwLock<OpenBao>>,
    pub(crate) around: Arc<Surroundings>,
    pub(crate) audit: Audit,
}

const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

impl Surroundings {
    pub(crate) async fn start() -> Arc<Self> {
        let cluster = Stub::http(|_| {
            let user = json!({"username": "system:serviceaccount:shop:app", "uid": "u", "groups": []});
            let status = json!({"authenticated": true, "user": user, "audiences": ["vault"]});
            Answer::json(
                201,
                &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}),
            )
        });
        let (ca, other_ca) = (Ca::new("chaos CA"), Ca::new("another CA"));
        let shown = ca.issue(&HOSTS);
        Arc::new(Self { idp: OidcProvider::start().await, cluster: cluster.await, ca, other_ca, shown })
    }

    /// What a server shows that comes from somebody else.
    pub(crate) fn shown_by_another(&self) -> Issued {
        self.other_ca.issue(&HOSTS)
    }
}

impl Site {
    /// An OpenBao of its own in these surroundings.
    pub(crate) async fn start(around: &Arc<Surroundings>) -> Self {
        let tls = TlsFiles { cert: around.shown.chain.clone(), key: around.shown.key.clone() };
        let bao = OpenBao::kept(Some(tls)).await;
        let audit = Audit::kept(&bao);
        let site = Self { bao: Arc::new(RwLock::new(bao)), around: Arc::clone(around), audit };
        // The one method whose mount has no name of the test's choice.
        site.admin("POST", "sys/auth/cert", json!({"type": "cert"})).await;
        site
    }

    /// A request that has to succeed, as root and past every proxy.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let body = Some(body).filter(|body| !body.is_null());
        for _ in 0..100 {
            let (status, reply) = self.bao.read().await.request(method, path, body.as_ref()).await;
            if (200..300).contains(&status) {
                return reply;
            }
            // For some moments after a start it does not lead, and sends its clients to itself.
            assert!(status == 307 || status >= 500, "{method} {path}: {status} {reply}");
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{method} {path}: it does not become active");
    }
}
