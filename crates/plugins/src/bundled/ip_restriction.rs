//! `ip-restriction`: who may send requests is told by the address.
//!
//! Owns: which addresses are let through. Must not know: how the address was found; behind trusted proxies it is the one
//! that they name. A list of addresses to deny wins over one to allow, as in Kong.

use std::net::IpAddr;

use cidr::IpInet;
use http::StatusCode;
use postern_model::field::{Check, Default, Field, PluginSchema, Rule, Schema};
use postern_model::{Record, Value};
use serde::Deserialize;

use super::rules;
use crate::plugin::{Answer, Plugin, Step};
use crate::prepared::Prepared;
use crate::registry::{Context, Definition, Phases};
use crate::view::Request;

pub(crate) static SCHEMA: PluginSchema = PluginSchema {
    name: "ip-restriction",
    priority: 990,
    version: "3.9.1",
    protocols: &["grpc", "grpcs", "http", "https", "tcp", "tls"],
    not_bound_to: &[],
    config: Schema { fields: FIELDS, checks: &[Check::AtLeastOneOf(&["allow", "deny"])] },
    doc: "Lets requests through, or not, by the address that they come from.",
};

const ADDRESSES: Field = Field::string("").rules(&[Rule::Custom(address)]);

const FIELDS: &[Field] = &[
    Field::array("allow", &ADDRESSES)
        .default(Default::None)
        .doc("Addresses, and blocks like 10.0.0.0/8, that are let through; all others are not."),
    Field::array("deny", &ADDRESSES)
        .default(Default::None)
        .doc("Addresses and blocks that are not let through, also where `allow` has them."),
    Field::number("status")
        .rules(&[Rule::Custom(rules::status)])
        .doc("The status for those who are not; 403."),
    Field::string("message").doc("The text for them."),
];

pub(crate) const DEFINITION: Definition = Definition {
    schema: &SCHEMA,
    phases: Phases { access: true, rewrite: false, response: false, body_filter: false, log: false },
    make,
};

fn address(value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) => parsed(text).map(drop),
        _ => Ok(()),
    }
}

fn parsed(text: &str) -> Result<IpInet, String> {
    text.parse().map_err(|_| format!("invalid ip or cidr range: '{text}'"))
}

#[derive(Deserialize)]
struct Config {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    status: Option<f64>,
    message: Option<String>,
}

struct IpRestriction {
    allow: Vec<IpInet>,
    deny: Vec<IpInet>,
    status: StatusCode,
    message: Option<String>,
}

fn make(config: &Record, _: &Context<'_>) -> Result<Prepared, String> {
    let Config { allow, deny, status, message } = config.read()?;
    let blocks = |list: Option<Vec<String>>| -> Result<Vec<IpInet>, String> {
        list.unwrap_or_default().iter().map(|text| parsed(text)).collect()
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what does not fit is no status"
    )]
    let status = StatusCode::from_u16(status.unwrap_or(403.0) as u16);
    Ok(Prepared::ready(IpRestriction {
        allow: blocks(allow)?,
        deny: blocks(deny)?,
        status: status.map_err(|_| "status: not a status")?,
        message,
    }))
}

impl IpRestriction {
    fn passes(&self, ip: IpAddr) -> bool {
        let is_in = |blocks: &[IpInet]| blocks.iter().any(|block| block.contains(&ip));
        !is_in(&self.deny) && (self.allow.is_empty() || is_in(&self.allow))
    }
}

impl Plugin for IpRestriction {
    fn access<'a>(&'a self, request: &'a mut Request) -> Step<'a> {
        // An IPv4 client of an IPv6 socket is the IPv4 client that lists name.
        let ip = request.client.ip.to_canonical();
        if self.passes(ip) {
            return Step::Continue;
        }
        let message = self.message.clone().unwrap_or_else(|| format!("IP address not allowed: {ip}"));
        Answer::message(self.status, message).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{access, check, make as made, told};

    async fn said(config: serde_json::Value, ip: &str) -> Option<(StatusCode, String)> {
        let mut request = Request::for_test();
        request.client.ip = ip.parse().unwrap();
        told(access(&*made(&SCHEMA.config, make, &config), &mut request).await)
    }

    #[tokio::test]
    async fn who_passes() {
        for (config, ip, passes) in [
            (json!({"allow": ["10.0.0.0/8"]}), "10.255.0.1", true),
            (json!({"allow": ["10.0.0.0/8"]}), "11.0.0.1", false),
            (json!({"allow": ["10.1.2.3/8"]}), "10.9.9.9", true),
            (json!({"allow": ["10.0.0.1"]}), "10.0.0.1", true),
            (json!({"allow": ["10.0.0.1"]}), "10.0.0.2", false),
            (json!({"deny": ["10.0.0.1"]}), "10.0.0.2", true),
            (json!({"deny": ["10.0.0.1"], "allow": ["10.0.0.0/8"]}), "10.0.0.1", false),
            (json!({"deny": ["2001:db8::/32"]}), "2001:db8:1::1", false),
            (json!({"deny": ["2001:db8::/32"]}), "::1", true),
            // As the socket of a listener on [::] tells of an IPv4 client.
            (json!({"deny": ["10.0.0.1"]}), "::ffff:10.0.0.1", false),
            (json!({"allow": ["10.0.0.1"]}), "::ffff:10.0.0.1", true),
            (json!({"allow": ["0.0.0.0/0"]}), "::1", false),
        ] {
            assert_eq!(said(config.clone(), ip).await.is_none(), passes, "{config} {ip}");
        }
    }

    #[tokio::test]
    async fn what_others_are_told() {
        let usual = said(json!({"deny": ["::1"]}), "::1").await.unwrap();
        assert_eq!(usual, (StatusCode::FORBIDDEN, "IP address not allowed: ::1".to_owned()));
        let own = said(json!({"deny": ["::1"], "status": 404, "message": "no"}), "::1").await.unwrap();
        assert_eq!(own, (StatusCode::NOT_FOUND, "no".to_owned()));
    }

    #[test]
    fn what_is_no_address() {
        for bad in ["10.0.0.1/33", "10.0.0", "host", "", "10.0.0.1/", "::1/129", "10.0.0.1 "] {
            assert!(check(&SCHEMA.config, &json!({"allow": [bad]})).is_err(), "{bad}");
        }
        assert!(check(&SCHEMA.config, &json!({})).is_err(), "one of both");
    }
}
