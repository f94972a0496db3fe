//! A request goes out on a connection, kept or new, and the head of its response comes back.
//!
//! Owns: which connection a request may use ([`Reach`] → [`Key`]), and what can have become of a request that failed. Must
//! not know: what is tried again.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use rustls::ClientConfig;
use tokio::time::timeout;

use super::Failure;
use super::connect::{connect, connect_http2, reason};
use crate::balance::Picked;
use crate::body::ToUpstream;
use crate::live::Service;
use crate::pool::{Connection, Key, Names};
use crate::timed::Limits;
use crate::worker::Worker;

/// How to reach a peer.
#[derive(Clone, Copy)]
pub(super) struct Reach<'a> {
    /// Where.
    pub(super) address: SocketAddr,
    /// TLS, if it is spoken.
    pub(super) tls: Option<Tls<'a>>,
    /// Whether HTTP/2 is spoken.
    pub(super) http2: bool,
    /// How long a connection may take to be made, with TLS.
    pub(super) connect: Duration,
    /// The limits for reading and writing.
    pub(super) limits: Limits,
}

/// TLS to a peer.
#[derive(Clone, Copy)]
pub(super) struct Tls<'a> {
    pub(super) config: &'a Arc<ClientConfig>,
    /// Differs for all settings that may not share connections.
    pub(super) number: u64,
    /// What is sent as the server name, and what the certificate is checked for where it is checked: the name in the `Host`
    /// that is sent.
    pub(super) name: &'a Arc<str>,
}

impl<'a> Reach<'a> {
    /// As a service says, to the peer that was chosen for it. `sent`: the server name of a `Host` that is neither the
    /// upstream's nor the peer's.
    pub(super) fn new(service: &'a Service, picked: &'a Picked, sent: Option<&'a Arc<str>>) -> Self {
        let tls = service.tls.as_ref();
        let name = sent.or(service.server_name.as_ref()).unwrap_or(&picked.name);
        Self {
            address: picked.address,
            tls: tls.map(|(config, number)| Tls { config, number: *number, name }),
            http2: service.is_http2(),
            connect: service.connect,
            limits: service.limits,
        }
    }

    /// What a connection must have been made for to be used.
    pub(super) fn key(&self, names: &Names) -> Key {
        let address = self.address;
        match &self.tls {
            None => Key { address, tls: 0, name: 0 },
            Some(tls) => Key { address, tls: tls.number, name: names.number(tls.name) },
        }
    }
}

/// The head of a response, and the connection it came on, which is kept when the body has ended.
pub(crate) struct Answered {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Option<(Key, Connection)>,
}

/// Sends a request to a peer and waits for the head of the response.
pub(super) async fn send(
    worker: &Rc<Worker>,
    reach: &Reach<'_>,
    request: Request<ToUpstream>,
) -> Result<Answered, Failure> {
    let key = reach.key(&worker.pool.names);
    if reach.http2 {
        return Box::pin(send_http2(worker, reach, key, request)).await;
    }
    let mut request = request;
    // A kept connection may have been closed by the peer just now: then another one, at last a new one.
    while let Some(connection) = worker.pool.take(key) {
        match send_on(connection, key, reach, request).await {
            Ok(answered) => return Ok(answered),
            Err((_, Some(unsent))) => request = *unsent,
            Err((failure, None)) => return Err(failure),
        }
    }
    let connection = match timeout(reach.connect, Box::pin(connect(worker, reach))).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(reason)) => return Err(Failure::Connect(Box::new(request), reason)),
        Err(_) => return Err(Failure::Timeout(Some(Box::new(request)))),
    };
    send_on(connection, key, reach, request).await.map_err(|(failure, unsent)| match unsent {
        Some(unsent) => Failure::Connect(unsent, "the connection was closed at once".to_owned().into()),
        None => failure,
    })
}

async fn send_on(
    mut connection: Connection,
    key: Key,
    reach: &Reach<'_>,
    mut request: Request<ToUpstream>,
) -> Result<Answered, (Failure, Option<Box<Request<ToUpstream>>>)> {
    // Its last response may just have ended.
    if connection.send.ready().await.is_err() {
        return Err((Failure::Broken("closed".to_owned()), Some(Box::new(request))));
    }
    let timing = Arc::clone(&connection.timing);
    timing.limit(reach.limits);
    request.body_mut().on(Arc::clone(&timing));
    timing.ask();
    let sent = connection.send.try_send_request(request).await;
    timing.answered();
    match sent {
        Ok(response) => Ok(Answered { response, lease: Some((key, connection)) }),
        Err(mut error) => {
            let unsent = error.take_message().map(Box::new);
            let failure = match timing.has_expired() {
                true => Failure::Timeout(None),
                false if error.error().is_parse() => Failure::Malformed(reason(error.error())),
                false => Failure::Broken(reason(error.error())),
            };
            Err((failure, unsent))
        }
    }
}

async fn send_http2(
    worker: &Rc<Worker>,
    reach: &Reach<'_>,
    key: Key,
    mut request: Request<ToUpstream>,
) -> Result<Answered, Failure> {
    *request.version_mut() = Version::HTTP_2;
    let mut send = match worker.pool.shared(key) {
        Some(send) => send,
        None => match timeout(reach.connect, connect_http2(worker, reach)).await {
            Ok(Ok(send)) => {
                worker.pool.share(key, send.clone());
                send
            }
            Ok(Err(reason)) => return Err(Failure::Connect(Box::new(request), reason)),
            Err(_) => return Err(Failure::Timeout(Some(Box::new(request)))),
        },
    };
    if send.ready().await.is_err() {
        return Err(Failure::Connect(Box::new(request), "the connection is closed".to_owned().into()));
    }
    let answer = send.try_send_request(request);
    match reach.limits.between_reads() {
        None => answer.await,
        Some(limit) => match timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => return Err(Failure::Timeout(None)),
        },
    }
    .map(|response| Answered { response, lease: None })
    .map_err(|mut error| match error.take_message() {
        Some(unsent) => Failure::Connect(Box::new(unsent), reason(error.error()).into()),
        None => Failure::Broken(reason(error.error())),
    })
}

#[cfg(test)]
mod tests;
