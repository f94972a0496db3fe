//! Where things are configured: kong.conf, then the environment. The only reader of the process environment.
//!
//! Owns: which settings there are, the order of the layers (file < `KONG_*` < `POSTERN_*` < command line), and what
//! is said of settings that are unknown or not used yet. Must not know: what a setting does. Values may be secrets or
//! references; data goes on to [`crate::boot`].

mod conf;
pub(crate) mod node;
pub(crate) mod sample;
mod without_effect;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use postern_secrets::field::Field;
use postern_secrets::nearest::nearest;
use postern_secrets::{FieldError, Kind, Secret, Settings as VaultSettings, Template, io_reason};

use tracing_subscriber::filter::LevelFilter;

use crate::cli::Options;
use crate::report::Failure;

/// Names that Kong knows. What this build uses of them is in [`is_used`].
const KNOWN: &str = include_str!("settings/known.txt");
/// Used when no file is named; Kong's places after ours.
const DEFAULT_FILES: [&str; 3] = ["/etc/postern/postern.conf", "/etc/kong/kong.conf", "/etc/kong.conf"];
/// Larger files are no kong.conf.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// All settings that were given, each with the place where it was.
#[derive(Debug)]
pub(crate) struct Settings {
    values: BTreeMap<String, Setting>,
    environment: Vec<(String, String)>,
}

#[derive(Debug)]
struct Setting {
    text: Secret,
    place: String,
}

impl Settings {
    /// Reads all layers.
    pub(crate) fn load(options: &Options) -> Result<Self, Failure> {
        let mut settings = Self { values: BTreeMap::new(), environment: environment() };
        let from_environment: Vec<_> = settings.environment.iter().filter_map(from_variable).collect();
        // The running node's settings, references intact, are what its command-line tools go by.
        let prefix = options.prefix.clone().or_else(|| {
            let last = from_environment.iter().rfind(|(_, key, _)| key == "prefix")?;
            Some(PathBuf::from(last.2.expose()))
        });
        let running = prefix.map(|prefix| prefix.join(".kong_env")).filter(|file| file.exists());
        let default = || DEFAULT_FILES.iter().map(PathBuf::from).find(|file| file.exists());
        if let Some(file) = options.conf.clone().or(running).or_else(default) {
            settings.read_file(&file)?;
        }
        for (name, key, text) in from_environment {
            settings.values.insert(key, Setting { text, place: name });
        }
        if let Some(prefix) = &options.prefix {
            let text = Secret::from(prefix.to_string_lossy().as_ref());
            settings.values.insert("prefix".to_owned(), Setting { text, place: "--prefix".to_owned() });
        }
        Ok(settings)
    }

    /// The text of a setting; an empty one counts as not given.
    pub(crate) fn text(&self, key: &str) -> Option<&Secret> {
        self.values.get(key).map(|setting| &setting.text).filter(|text| !text.expose().is_empty())
    }

    /// The settings of a node that were given, as they were written, with the names of their places.
    pub(crate) fn of_node(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.values
            .iter()
            .filter(|(key, _)| node::is_used(key))
            .map(|(key, setting)| (key.as_str(), &setting.text))
    }

    /// The settings of a node as they were written, references intact, with the defaults of the others; credentials that
    /// are no references are left out.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&'static str, String)> {
        node::SPECS.iter().map(|spec| {
            let given = self.text(spec.key).map(Secret::expose);
            let is_credential =
                matches!(spec.key, "pg_password" | "admin_token" | "declarative_config_string");
            let text = match given {
                Some(text) if is_credential && !Template::has_reference(text) => "******",
                Some(text) => text,
                None => spec.default,
            };
            (spec.key, text.to_owned())
        })
    }

    /// The prefix: as it was given, or where services keep their state, which is made if need be.
    pub(crate) fn prefix(&self) -> PathBuf {
        // What cannot be made, or written to, is passed over below.
        if self.text("prefix").is_none() {
            let _ = std::fs::create_dir_all(STATE);
        }
        self.prefix_that_is_there()
    }

    /// The same for a command that only reads: nothing is made.
    pub(crate) fn prefix_that_is_there(&self) -> PathBuf {
        if let Some(prefix) = self.text("prefix") {
            return PathBuf::from(prefix.expose());
        }
        let system = PathBuf::from(STATE);
        if is_writable(&system) {
            return system;
        }
        let variable =
            |name: &str| self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let home = || PathBuf::from(variable("HOME").map_or(".", String::as_str)).join(".local/state");
        variable("XDG_STATE_HOME").map_or_else(home, PathBuf::from).join("postern")
    }

    /// Where the service manager puts credentials.
    pub(crate) fn credentials_directory(&self) -> Option<&str> {
        let found = self.environment.iter().find(|(name, _)| name == "CREDENTIALS_DIRECTORY");
        found.map(|(_, directory)| directory.as_str())
    }

    /// Holds up whoever compiles, in builds for tests, for as long as the named pipe that `POSTERN_TEST_HOLD_COMPILER` names is
    /// not written to its end: tests see what goes on meanwhile.
    pub(crate) fn hold_compiler(&self) {
        let held = self.environment.iter().find(|(name, _)| name == "POSTERN_TEST_HOLD_COMPILER");
        if let Some((_, pipe)) = held.filter(|_| cfg!(debug_assertions)) {
            // Where there is no pipe, there is nothing to wait for.
            let _ = std::fs::read(pipe);
        }
    }

    /// The process environment, for vaults of kind `env` and for decK's templates.
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// What is configured for the default vault of a kind: `vault_<kind>_<field>`.
    pub(crate) fn default_vault(&self, kind: Kind) -> Result<VaultSettings, Vec<FieldError>> {
        let start = vault_prefix(kind);
        let texts = self.values.iter().filter_map(|(key, setting)| {
            let field = key.strip_prefix(&start)?;
            kind.field(field).map(|_| (field, setting.text.expose()))
        });
        VaultSettings::from_texts(kind, texts).map_err(|errors| {
            let named = errors
                .into_iter()
                .map(|error| FieldError { field: format!("{start}{}", error.field), ..error });
            named.collect()
        })
    }

    /// Where the fields of a default vault were given.
    pub(crate) fn default_vault_places(&self, kind: Kind) -> BTreeMap<String, String> {
        let start = vault_prefix(kind);
        let places = self.values.iter().filter_map(|(key, setting)| {
            Some((key.strip_prefix(&start)?.to_owned(), format!("{key} in {}", setting.place)))
        });
        places.collect()
    }

    /// What is worth saying of the settings, once: those that nobody knows, and those without effect.
    pub(crate) fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let ours = used_vault_settings();
        for (key, setting) in &self.values {
            if is_used(key) {
                continue;
            }
            if is_known(key) {
                let advice = without_effect::advice(key);
                notices.push(format!("{key} in {} has no effect: {advice}", setting.place));
            } else {
                let near = nearest(key, known().chain(ours.iter().map(String::as_str)));
                let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                notices.push(format!("unknown setting {key} in {}{near}", setting.place));
            }
        }
        notices
    }

    fn read_file(&mut self, file: &Path) -> Result<(), Failure> {
        let shown = file.display();
        let failure =
            |reason: String| Failure::new(format!("cannot read {shown}: {reason}"), "-c names a kong.conf");
        let size = std::fs::metadata(file).map_err(|error| failure(io_reason(&error)))?;
        if size.len() > MAX_BYTES {
            return Err(failure(format!("it is larger than {MAX_BYTES} bytes")));
        }
        let bytes = std::fs::read(file).map_err(|error| failure(io_reason(&error)))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            failure(format!("it is not UTF-8 (at byte {})", error.utf8_error().valid_up_to()))
        })?;
        for line in conf::parse(&text).map_err(|error| {
            Failure::new(
                format!("{shown}:{}: {}", error.line, error.message),
                "write `key = value`, one a line",
            )
        })? {
            let place = format!("{shown}:{}", line.number);
            self.values
                .insert(line.key.to_owned(), Setting { text: Secret::from(line.value.into_owned()), place });
        }
        Ok(())
    }
}

/// The setting `log_level` of the environment, which is needed before anything is read; a file's comes too late.
pub(crate) fn log_level() -> Option<LevelFilter> {
    let environment = environment();
    let level =
        environment.iter().rfind(|(name, _)| matches!(name.as_str(), "KONG_LOG_LEVEL" | "POSTERN_LOG_LEVEL"));
    match level?.1.as_str() {
        "debug" => Some(LevelFilter::DEBUG),
        "info" | "notice" => Some(LevelFilter::INFO),
        "warn" => Some(LevelFilter::WARN),
        "error" | "crit" | "alert" | "emerg" => Some(LevelFilter::ERROR),
        _ => None,
    }
}

/// Where services keep their state.
const STATE: &str = "/var/lib/postern";

fn is_writable(directory: &Path) -> bool {
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Variables that are not UTF-8 are left out: neither a setting nor a secret is anything else.
pub(crate) fn environment() -> Vec<(String, String)> {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the process environment")]
    let variables = std::env::vars_os();
    let texts =
        variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut texts: Vec<_> = texts.collect();
    // KONG_ comes before POSTERN_, so that the latter wins.
    texts.sort();
    texts
}

/// `KONG_X` and `POSTERN_X` → `x`, with the variable's name first.
fn from_variable((name, value): &(String, String)) -> Option<(String, String, Secret)> {
    // The address of an Admin API is for `sync` and its like, and no setting.
    let name_of_setting = Some(name).filter(|name| *name != "POSTERN_KONG_ADDR")?;
    let key = name_of_setting.strip_prefix("KONG_").or_else(|| name_of_setting.strip_prefix("POSTERN_"))?;
    Some((name.clone(), key.to_ascii_lowercase(), Secret::from(value.as_str())))
}

fn vault_prefix(kind: Kind) -> String {
    format!("vault_{}_", kind.name())
}

fn known<'a>() -> impl Iterator<Item = &'a str> {
    KNOWN.lines().filter(|line| !line.starts_with('#'))
}

fn is_known(key: &str) -> bool {
    // nginx directives are injected under names of their own; plugin servers are named by their users.
    key.starts_with("nginx_") || key.starts_with("pluginserver_") || known().any(|name| name == key)
}

fn is_used(key: &str) -> bool {
    node::is_used(key)
        || Kind::ALL
            .into_iter()
            .any(|kind| key.strip_prefix(&vault_prefix(kind)).is_some_and(|f| kind.field(f).is_some()))
}

fn used_vault_settings() -> Vec<String> {
    let of = |kind: Kind| {
        kind.fields()
            .iter()
            .flat_map(Field::spellings)
            .map(move |field| format!("{}{field}", vault_prefix(kind)))
    };
    Kind::ALL.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(values: &[(&str, &str)]) -> Settings {
        let values = values.iter().map(|(key, text)| {
            ((*key).to_owned(), Setting { text: Secret::from(*text), place: "kong.conf:1".to_owned() })
        });
        Settings { values: values.collect(), environment: Vec::new() }
    }

    #[test]
    fn default_vaults_take_their_fields_in_every_spelling() {
        let settings = settings(&[
            ("vault_hcv_host", "vault.local"),
            ("vault_hcv_decode_base64", "on"),
            ("vault_hcv_oauth2_role_name", "demo"),
            ("vault_env_prefix", "SECRETS_"),
            ("vault_hcv_nonsense", "x"),
        ]);
        let hcv = settings.default_vault(Kind::Hcv).unwrap();
        assert_eq!(hcv.text("host").unwrap().expose(), "vault.local");
        assert!(hcv.flag("base64_decode") && hcv.is_set("jwt_role") && !hcv.is_set("token"));
        assert_eq!(settings.default_vault(Kind::Env).unwrap().text("prefix").unwrap().expose(), "SECRETS_");
    }

    #[test]
    fn a_wrong_default_vault_names_the_setting() {
        let errors = settings(&[("vault_hcv_port", "http")]).default_vault(Kind::Hcv).unwrap_err();
        assert_eq!(
            (errors[0].field.as_str(), errors[0].message.as_str()),
            ("vault_hcv_port", "expected an integer")
        );
    }

    #[test]
    fn notices_name_what_is_unknown_and_what_is_unused() {
        let notices = settings(&[
            ("vault_hcv_tokn", "x"),
            ("declarative_confg", "x"),
            ("admin_gui_listen", "x"),
            ("proxy_listen", "x"),
            ("nginx_http_foo", "x"),
            ("vaults", "bundled"),
            ("vault_hcv_oauth2_scopes", "a"),
            ("zzz", "x"),
        ])
        .notices();
        assert_eq!(
            notices,
            [
                "admin_gui_listen in kong.conf:1 has no effect: there is no Kong Manager; the Admin API takes pages of other \
                 origins by admin_origins",
                "unknown setting declarative_confg in kong.conf:1; did you mean declarative_config?",
                "nginx_http_foo in kong.conf:1 has no effect: there is no nginx here; postern config settings lists the \
                 directives that have an effect",
                "unknown setting vault_hcv_tokn in kong.conf:1; did you mean vault_hcv_token?",
                "unknown setting zzz in kong.conf:1",
            ]
        );
    }

    #[test]
    fn the_list_of_known_settings_is_sorted_and_whole() {
        assert!(known().is_sorted());
        assert!(known().count() > 340);
        assert!(
            is_known("lua_ssl_verify_depth") && is_known("vault_aws_region") && !is_known("vault_aws_regon")
        );
    }
}
