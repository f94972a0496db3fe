//! `packaging/postern.conf`: every setting with its default, for people who look for one. Pure: the list in, text out.

use std::fmt::Write as _;

use postern_secrets::Kind;

use super::node::SPECS;
use super::vault_prefix;

const HEAD: &str = "\
# Settings of Postern, with what they are when they are not given. `postern config settings` prints this file.
#
# `key = value`, one a line; a line with a # in front does nothing. Postern reads the file that -c names, or the first
# there is of /etc/postern/postern.conf, /etc/kong/kong.conf and /etc/kong.conf. The environment overrides it:
# proxy_listen is KONG_PROXY_LISTEN or POSTERN_PROXY_LISTEN there, and the latter wins. Values may be references,
# {vault://env/name}, but for prefix, log_level and vaults. nginx_http_* is read like nginx_proxy_*.
";

/// The text of the file.
pub(crate) fn sample() -> String {
    let mut text = HEAD.to_owned();
    for spec in SPECS {
        let value = if spec.default.is_empty() { "" } else { " " };
        // Writing to a String cannot fail.
        let _ = write!(text, "\n# {}\n#{} ={value}{}\n", spec.doc, spec.key, spec.default);
    }
    text.push_str("\n# The vaults that need no entity: for each kind its fields, as in kong.yaml.\n");
    for kind in Kind::ALL {
        for field in kind.fields() {
            let _ = write!(text, "\n# {}\n#{}{} =\n", field.doc, vault_prefix(kind), field.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{conf, is_used};

    #[test]
    fn the_committed_file_is_what_is_printed() {
        let committed = include_str!("../../../../packaging/postern.conf");
        assert!(committed == sample(), "run: postern config settings > packaging/postern.conf");
    }

    #[test]
    fn every_line_is_a_setting_once_its_mark_is_gone() {
        let text = sample();
        let active: String = text
            .lines()
            .filter(|line| !line.starts_with("# "))
            .map(|line| format!("{}\n", line.trim_start_matches('#')))
            .collect();
        let lines = conf::parse(&active).unwrap();
        assert!(lines.len() > SPECS.len());
        for line in &lines {
            assert!(is_used(line.key), "{}", line.key);
        }
        for spec in SPECS {
            let found: Vec<_> = lines.iter().filter(|line| line.key == spec.key).collect();
            assert_eq!((found.len(), &*found[0].value), (1, spec.default), "{}", spec.key);
        }
    }
}
