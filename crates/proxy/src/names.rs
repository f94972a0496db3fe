//! Names of headers that HTTP does not know of; Kong's, because upstreams and dashboards go by them.

use http::HeaderName;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-kong-request-id");
pub(crate) const UPSTREAM_LATENCY: HeaderName = HeaderName::from_static("x-kong-upstream-latency");
pub(crate) const PROXY_LATENCY: HeaderName = HeaderName::from_static("x-kong-proxy-latency");
pub(crate) const RESPONSE_LATENCY: HeaderName = HeaderName::from_static("x-kong-response-latency");
pub(crate) const UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-kong-upstream-status");
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(crate) const FORWARDED_PATH: HeaderName = HeaderName::from_static("x-forwarded-path");
pub(crate) const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(crate) const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
