//! Telling plugins and the upstream who sent a request.
//!
//! Owns: what an authentication plugin does once it knows, or gives up: Kong's headers, and none of the client's own
//! making. Must not know: how the plugin knows.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use crate::directory::Consumer;
use crate::plugin::{Answer, Step};
use crate::view::Request;

const CONSUMER_ID: HeaderName = HeaderName::from_static("x-consumer-id");
const CONSUMER_CUSTOM_ID: HeaderName = HeaderName::from_static("x-consumer-custom-id");
const CONSUMER_USERNAME: HeaderName = HeaderName::from_static("x-consumer-username");
const CREDENTIAL: HeaderName = HeaderName::from_static("x-credential-identifier");
const ANONYMOUS: HeaderName = HeaderName::from_static("x-anonymous-consumer");

/// A credential was right.
pub(crate) fn authenticated(
    request: &mut Request,
    consumer: Arc<Consumer>,
    credential: Uuid,
    identifier: Option<HeaderValue>,
) {
    tell(&mut request.headers, &consumer);
    set(&mut request.headers, CREDENTIAL, identifier);
    request.headers.remove(ANONYMOUS);
    request.consumer = Some(consumer);
    request.credential = Some(credential);
}

/// A credential was right, but it is nobody's whom we know.
pub(crate) fn without_consumer(request: &mut Request, credential: Uuid, identifier: Option<HeaderValue>) {
    for name in [CONSUMER_ID, CONSUMER_CUSTOM_ID, CONSUMER_USERNAME, ANONYMOUS] {
        request.headers.remove(name);
    }
    set(&mut request.headers, CREDENTIAL, identifier);
    request.consumer = None;
    request.credential = Some(credential);
}

/// None was right, and the plugin's field `anonymous` names a consumer for that.
pub(crate) fn anonymous<'a>(request: &mut Request, name: &str) -> Step<'a> {
    let Some(consumer) = request.directory.by_id_or_username(name).cloned() else {
        let message = format!("anonymous consumer {name} is configured but doesn't exist");
        return Answer::message(StatusCode::INTERNAL_SERVER_ERROR, message).into();
    };
    tell(&mut request.headers, &consumer);
    request.headers.remove(CREDENTIAL);
    request.headers.insert(ANONYMOUS, HeaderValue::from_static("true"));
    request.consumer = Some(consumer);
    request.credential = None;
    Step::Continue
}

fn tell(headers: &mut HeaderMap, consumer: &Consumer) {
    headers.insert(CONSUMER_ID, consumer.headers.id.clone());
    set(headers, CONSUMER_CUSTOM_ID, consumer.headers.custom_id.clone());
    set(headers, CONSUMER_USERNAME, consumer.headers.username.clone());
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}
