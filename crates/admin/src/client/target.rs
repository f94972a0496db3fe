//! Addresses of targets in one form: gateways add the port that is missing, decK spells IPv6 out in full.
//!
//! Owns: that form. Must not know: entities.

use std::net::Ipv6Addr;

/// The port of a target that names none.
const PORT: &str = "8000";

/// `host:port`, and `[0000:...:0001]:port` for IPv6. What is neither stays as it is, for the gateway to refuse.
pub(super) fn canonical(target: &str) -> String {
    if let Some((address, rest)) = target.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = rest.strip_prefix(':').unwrap_or(PORT);
        return address.parse().map_or_else(|_| target.to_owned(), |address| spelt_out(address, port));
    }
    match target.parse::<Ipv6Addr>() {
        Ok(address) => spelt_out(address, PORT),
        Err(_) if target.contains(':') || target.is_empty() => target.to_owned(),
        Err(_) => format!("{target}:{PORT}"),
    }
}

fn spelt_out(address: Ipv6Addr, port: &str) -> String {
    let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:04x}")).collect();
    format!("[{}]:{port}", groups.join(":"))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn one_form() {
        let one = "[0000:0000:0000:0000:0000:0000:0000:0001]";
        let cases = [
            ("10.0.0.1:80", "10.0.0.1:80".to_owned()),
            ("example.com", "example.com:8000".to_owned()),
            ("[::1]:80", format!("{one}:80")),
            ("::1", format!("{one}:8000")),
            ("[0000:0000:0000:0000:0000:0000:0000:0001]:80", format!("{one}:80")),
            ("[nonsense]:80", "[nonsense]:80".to_owned()),
            ("", String::new()),
        ];
        for (given, expected) in cases {
            assert_eq!(canonical(given), expected, "{given}");
            assert_eq!(canonical(&expected), expected);
        }
    }
}
