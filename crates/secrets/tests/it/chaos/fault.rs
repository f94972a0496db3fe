//! The faults, as data: how long each lasts, what is promised meanwhile, how many requests it may cost, and how soon
//! it is over. What each *does* is in `inject.rs`.

use std::time::Duration;

use super::login::{Login, Tokens};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    Slow,
    Killed,
    Sealed,
    Stopped,
    PolicyWithdrawn,
    SomeDenied,
    Revoked,
    LeasesRevoked,
    OneUse,
    Batch,
    TooMany,
    ServerError,
    Reset,
    Drip,
    Garbage,
    Refused,
    NoSuchHost,
    OtherCa,
    CaRotated,
    IdpDown,
    IdpDownAtEnd,
    IdpKeysRotated,
    ClockJump,
}

/// What is promised while a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Nothing new can be read: the last values serve, each within its window.
    LastValues,
    /// The same, but some time after the fault began: what was got before lives on for a while.
    LastValuesLater,
    /// It does not matter: a new version is seen while the fault lasts.
    NoMatter,
    /// As [`Promise::LastValues`]; and it ends when an operator gives a new credential.
    NewCredential,
}

/// References on so many secrets, each read once a second.
pub(crate) const SECRETS: u64 = 5;
/// So many of them are denied where only some are.
pub(crate) const DENIED: u64 = 3;
/// So many requests to one vault are under way at most.
const AT_ONCE: u64 = 8;
/// A version that is written while the fault does not matter is seen so soon, on a machine however slow.
pub(crate) const SEEN_WITHIN: Duration = Duration::from_secs(15);
/// So many failures in a row open the circuit.
const OPENS_AFTER: u64 = 5;
/// So many may be on their way when it opens: there are not more secrets.
const ON_THEIR_WAY: u64 = 3;

impl Fault {
    pub(crate) const ALL: [Self; 24] = [
        Self::Nothing,
        Self::Slow,
        Self::Killed,
        Self::Sealed,
        Self::Stopped,
        Self::PolicyWithdrawn,
        Self::SomeDenied,
        Self::Revoked,
        Self::LeasesRevoked,
        Self::OneUse,
        Self::Batch,
        Self::TooMany,
        Self::ServerError,
        Self::Reset,
        Self::Drip,
        Self::Garbage,
        Self::Refused,
        Self::NoSuchHost,
        Self::OtherCa,
        Self::CaRotated,
        Self::IdpDown,
        Self::IdpDownAtEnd,
        Self::IdpKeysRotated,
        Self::ClockJump,
    ];

    /// In words, for the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing; ttl 60, nudges",
            Self::Slow => "vault slow (0.3 s)",
            Self::Killed => "vault killed, restarted",
            Self::Sealed => "vault sealed, unsealed",
            Self::Stopped => "vault stopped (SIGSTOP)",
            Self::PolicyWithdrawn => "policy withdrawn (403)",
            Self::SomeDenied => "three secrets of five denied",
            Self::Revoked => "token revoked by accessor",
            Self::LeasesRevoked => "all leases revoked",
            Self::OneUse => "tokens of one use",
            Self::Batch => "batch tokens of 4 s",
            Self::TooMany => "429, Retry-After: 3",
            Self::ServerError => "500",
            Self::Reset => "connections reset",
            Self::Drip => "one byte a second",
            Self::Garbage => "garbage for answers",
            Self::Refused => "connections refused",
            Self::NoSuchHost => "host name unknown",
            Self::OtherCa => "certificate of another CA",
            Self::CaRotated => "CA rotated in place",
            Self::IdpDown => "IdP down, token lives",
            Self::IdpDownAtEnd => "IdP down, token ends",
            Self::IdpKeysRotated => "IdP's keys rotated",
            Self::ClockJump => "clock jumps an hour",
        }
    }

    /// How long it lasts. `long`: as long as it may last in real life.
    pub(crate) fn lasts(self, long: bool) -> Duration {
        Duration::from_secs(match self {
            // Beyond the client's limit of 10 s for one exchange.
            Self::Stopped if long => 30,
            Self::Stopped | Self::Drip => 12,
            Self::IdpDownAtEnd => 12,
            Self::OneUse | Self::Batch | Self::IdpKeysRotated => 10,
            Self::Nothing | Self::Revoked | Self::LeasesRevoked | Self::ClockJump | Self::IdpDown => 6,
            _ => 8,
        })
    }

    /// Whether the whole server is meant, so that it cannot be shared with other faults.
    pub(crate) fn is_of_the_site(self) -> bool {
        matches!(self, Self::Killed | Self::Sealed | Self::Stopped | Self::LeasesRevoked)
    }

    /// Whether it is done once, to the server or the clock, and not to each cell.
    pub(crate) fn is_of_the_server(self) -> bool {
        matches!(self, Self::Killed | Self::Sealed | Self::Stopped | Self::ClockJump)
    }

    /// Whether the proxy has to speak TLS.
    pub(crate) fn needs_tls(self) -> bool {
        matches!(self, Self::OtherCa | Self::CaRotated)
    }

    /// Whether the cell has an IdP of its own, whose tokens are short or whose keys rotate.
    pub(crate) fn needs_own_idp(self) -> bool {
        matches!(self, Self::IdpDownAtEnd | Self::IdpKeysRotated)
    }

    /// The tokens that the cell logs in to.
    pub(crate) fn tokens(self) -> Tokens {
        match self {
            Self::OneUse => Tokens::OneUse,
            Self::Batch => Tokens::Batch,
            Self::IdpDownAtEnd | Self::IdpKeysRotated => Tokens::Short,
            _ => Tokens::Lasting,
        }
    }

    /// What is promised, or why there is no such cell.
    pub(crate) fn promise(self, login: Login) -> Result<Promise, &'static str> {
        use Promise::{LastValues, LastValuesLater, NewCredential, NoMatter};
        match self {
            Self::IdpDown | Self::IdpDownAtEnd | Self::IdpKeysRotated if login != Login::Jwt => {
                Err("no IdP in this login")
            }
            Self::OneUse | Self::Batch if login == Login::Token => {
                Err("a given token is not replaced; see the revoked one")
            }
            Self::CaRotated | Self::Slow if login == Login::Cert => {
                Err("its TLS ends in the server, so the proxy cannot reach into it")
            }
            Self::Revoked | Self::LeasesRevoked if !login.repeats() => Ok(NewCredential),
            Self::Revoked
            | Self::LeasesRevoked
            | Self::OneUse
            | Self::Batch
            | Self::SomeDenied
            | Self::IdpDown
            | Self::IdpKeysRotated
            | Self::ClockJump
            | Self::Slow
            | Self::Nothing => Ok(NoMatter),
            Self::IdpDownAtEnd => Ok(LastValuesLater),
            _ => Ok(LastValues),
        }
    }

    /// How many requests the vault may get from the beginning of the fault until all is well again, logins included.
    /// `lasted` and `healed` in seconds.
    pub(crate) fn bound(self, login: Login, lasted: f64, healed: f64) -> u64 {
        // Every secret once a second, and twice more for good measure.
        let steady = |seconds: f64| SECRETS * (seconds.ceil() as u64 + 2);
        // Until the last one is seen, the first ones may be read again.
        let seen_again = 3 * SECRETS;
        let doublings = doublings(lasted);
        let promise = self.promise(login);
        match self {
            // Two new versions, each asked for once; and one check whether all is there.
            Self::Nothing => 3 * SECRETS,
            // Each read needs a login of its own.
            Self::OneUse => 2 * steady(lasted + healed),
            // One login for every life of a token, of which its half is used.
            Self::Batch | Self::IdpKeysRotated if promise == Ok(Promise::NoMatter) => {
                steady(lasted + healed) + 2 * (lasted + healed).ceil() as u64
            }
            Self::IdpDownAtEnd => steady(lasted + healed) + 2 * doublings,
            // Those that are not denied; the others with a repeat after a login, at doubling pauses.
            Self::SomeDenied => steady(lasted + healed) + 2 * DENIED * (doublings + 1) + doublings + 1,
            _ if promise == Ok(Promise::NoMatter) => steady(lasted + healed) + AT_ONCE,
            // Refused, not failed: each secret at doubling pauses, with a repeat after a login.
            Self::PolicyWithdrawn | Self::Revoked | Self::LeasesRevoked | Self::Batch => {
                2 * SECRETS * (doublings + 1) + doublings + 1 + seen_again
            }
            // The last request that hangs does so until the client's limit; the others are read meanwhile.
            Self::Drip => self.meanwhile(login, lasted).unwrap_or(0) + steady(healed),
            _ => self.meanwhile(login, lasted).unwrap_or(0) + seen_again,
        }
    }

    /// How many requests may be sent while nothing but failures comes back: what opens the circuit, those that were on
    /// their way when it opened, and a probe at each doubling pause. `None` where that is not how it fails.
    pub(crate) fn meanwhile(self, login: Login, lasted: f64) -> Option<u64> {
        let fails = self.promise(login) == Ok(Promise::LastValues) && self != Self::PolicyWithdrawn;
        fails.then(|| OPENS_AFTER + ON_THEIR_WAY + doublings(lasted) + 1)
    }

    /// The pause that its refusals ask for.
    pub(crate) fn retry_after(self) -> Option<Duration> {
        (self == Self::TooMany).then_some(Duration::from_secs(3))
    }

    /// The options of some references, and of the one whose value may be used for a short time only.
    pub(crate) fn options(self, login: Login) -> (&'static str, &'static str) {
        match (self, self.promise(login)) {
            // Read once a minute, as the vault's settings say.
            (Self::Nothing, _) => ("", ""),
            // It must never be gone, also on a machine that has not been at it for some seconds.
            (_, Ok(Promise::NoMatter)) => ("?ttl=2", "?ttl=1&resurrect_ttl=9"),
            _ => ("?ttl=2", "?ttl=1&resurrect_ttl=3"),
        }
    }

    /// How many logins there may be among them.
    pub(crate) fn logins(self, login: Login, lasted: f64, healed: f64) -> u64 {
        let doublings = doublings(lasted);
        match self {
            _ if !login.repeats() => 0,
            Self::OneUse => SECRETS * ((lasted + healed).ceil() as u64 + 2),
            Self::Batch | Self::IdpKeysRotated => (lasted + healed).ceil() as u64,
            Self::PolicyWithdrawn | Self::SomeDenied => doublings + 1,
            Self::IdpDownAtEnd => 2 + (healed / 2.0).ceil() as u64,
            Self::Revoked | Self::LeasesRevoked | Self::ClockJump => 1,
            // Other settings, another session.
            Self::NoSuchHost | Self::CaRotated => 1,
            _ => 0,
        }
    }

    /// How soon all is well again. Pauses double up to about the length of the fault, and this machine is slow.
    pub(crate) fn heals_within(self) -> Duration {
        Duration::from_secs(40)
    }
}

/// How often a pause that begins with a second and doubles fits into so many seconds.
fn doublings(seconds: f64) -> u64 {
    seconds.max(1.0).log2().ceil() as u64 + 1
}
