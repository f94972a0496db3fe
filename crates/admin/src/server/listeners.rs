//! What a node listens on, as Kong tells it at `/`: controllers look there for the listener that they are to program.
//!
//! Owns: the form, made of the settings' texts. Must not know: sockets. The texts were validated when the listeners were started.

use serde_json::{Map, Value, json};

/// The settings, and under which name their listeners are told of.
const SETTINGS: [(&str, &str); 4] = [
    ("proxy_listen", "proxy_listeners"),
    ("admin_listen", "admin_listeners"),
    ("status_listen", "status_listeners"),
    ("stream_listen", "stream_listeners"),
];

/// The words that may follow an address. Kong names those with a value by the pattern of it.
const WORDS: [&str; 13] = [
    "ssl",
    "http2",
    "http3",
    "proxy_protocol",
    "deferred",
    "bind",
    "reuseport",
    "backlog=%d+",
    "ipv6only=on",
    "ipv6only=off",
    "so_keepalive=on",
    "so_keepalive=off",
    "so_keepalive=%w*:%w*:%d*",
];

/// Adds the lists to the settings that they come from.
pub(crate) fn add(settings: &mut Map<String, Value>) {
    for (setting, name) in SETTINGS {
        let text = settings.get(setting).and_then(Value::as_str).unwrap_or_default();
        let listeners: Value = text.split(',').filter_map(|item| listener(item.trim())).collect();
        settings.insert(name.to_owned(), listeners);
    }
}

/// `0.0.0.0:8443 http2 ssl`; nothing for `off`.
fn listener(text: &str) -> Option<Value> {
    let mut words = text.split_whitespace();
    let address = words.next()?;
    let (ip, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let given: Vec<&str> = words.collect();
    let spelt = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut told = json!({ "ip": ip, "port": port, "listener": spelt });
    for word in WORDS {
        let is_given = match word.split_once('%') {
            Some(("so_keepalive=", _)) => {
                given.iter().any(|given| given.starts_with("so_keepalive=") && given.contains(':'))
            }
            Some((start, _)) => given.iter().any(|given| given.starts_with(start)),
            None => given.contains(&word),
        };
        told[word] = is_given.into();
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kong_tells_them() {
        let settings = json!({
            "proxy_listen": "0.0.0.0:8000 reuseport backlog=16384, [::]:8443 http2 ssl ipv6only=on",
            "admin_listen": "127.0.0.1:8001", "status_listen": "off",
        });
        let mut settings = settings.as_object().cloned().unwrap();
        add(&mut settings);
        let first = json!({
            "listener": "0.0.0.0:8000 reuseport backlog=16384", "ip": "0.0.0.0", "port": 8000, "ssl": false,
            "http2": false, "http3": false, "proxy_protocol": false, "deferred": false, "bind": false,
            "reuseport": true, "backlog=%d+": true, "ipv6only=on": false, "ipv6only=off": false,
            "so_keepalive=on": false, "so_keepalive=off": false, "so_keepalive=%w*:%w*:%d*": false,
        });
        assert_eq!(settings["proxy_listeners"][0], first);
        let second = &settings["proxy_listeners"][1];
        assert_eq!((&second["ip"], &second["port"]), (&json!("[::]"), &json!(8443)));
        assert_eq!(
            (&second["ssl"], &second["http2"], &second["ipv6only=on"]),
            (&json!(true), &json!(true), &json!(true))
        );
        assert_eq!(settings["admin_listeners"].as_array().unwrap().len(), 1);
        assert_eq!((&settings["status_listeners"], &settings["stream_listeners"]), (&json!([]), &json!([])));
    }
}
