//! A bare HTTP client: what the engine is measured beside, and what prepares the server.
//!
//! Owns: the pooled client of hyper-util with nothing around it. Must not know: what is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::{Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::Failure;

/// How many requests are under way at once: as many as the engine allows itself.
pub(crate) const AT_ONCE: usize = 8;

/// A pooled client that speaks to one OpenBao with one token.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    pool: Client<HttpConnector, Full<Bytes>>,
    address: String,
    token: String,
}

impl Http {
    /// `address` is what all paths are below, as in `http://127.0.0.1:8200/v1`.
    pub(crate) fn new(address: &str, token: &str) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        let pool = Client::builder(TokioExecutor::new()).build(tcp);
        Self { pool, address: address.to_owned(), token: token.to_owned() }
    }

    /// The body, whole.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Failure> {
        self.exchange(Method::GET, path, Bytes::new()).await
    }

    /// Sends JSON; the reply's JSON, or null.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let reply = self.exchange(Method::POST, path, Bytes::from(body.to_string())).await?;
        Ok(if reply.is_empty() { Value::Null } else { serde_json::from_slice(&reply)? })
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let url = format!("{}/{path}", self.address);
        let request = Request::builder()
            .method(method.clone())
            .uri(&url)
            .header("x-vault-token", &self.token)
            .header("x-vault-request", "true")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let response = self.pool.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            return Err(format!("{method} {url}: {status} {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(body)
    }

    /// Does `work` for each number below `count`, [`AT_ONCE`] at a time.
    pub(crate) async fn each<F>(
        &self,
        count: usize,
        work: impl Fn(Self, usize) -> F + Clone + Send + 'static,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers: JoinSet<Result<(), Failure>> = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (next, work, http) = (Arc::clone(&next), work.clone(), self.clone());
            workers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok(());
                    }
                    work(http.clone(), number).await?;
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        Ok(())
    }
}
