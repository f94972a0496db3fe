//! One metric as StatsD servers read it.
//!
//! Owns: Kong's names, and the four ways of tags. Must not know: requests. Nothing that a client or an operator names can end
//! a name or a line: [`part`] leaves letters, digits, dashes and underscores.

use std::fmt::{self, Write as _};

use serde::Deserialize;

/// The metrics of Kong's plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Name {
    CacheDatastoreHitsTotal,
    CacheDatastoreMissesTotal,
    KongLatency,
    Latency,
    RequestCount,
    RequestPerUser,
    RequestSize,
    ResponseSize,
    ShdictUsage,
    StatusCount,
    StatusCountPerUser,
    StatusCountPerUserPerRoute,
    StatusCountPerWorkspace,
    UniqueUsers,
    UpstreamLatency,
}

/// What the server makes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Meter,
    Set,
    Timer,
}

/// How tags are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Style {
    /// `name:1|c|#a:b,c:d`
    Dogstatsd,
    /// `name,a=b,c=d:1|c`
    Influxdb,
    /// `name#a=b,c=d:1|c`
    Librato,
    /// `name[a=b,c=d]:1|c`
    Signalfx,
}

impl Name {
    /// As they are written in configurations.
    pub(super) const ALL: &'static [&'static str] = &[
        "cache_datastore_hits_total",
        "cache_datastore_misses_total",
        "kong_latency",
        "latency",
        "request_count",
        "request_per_user",
        "request_size",
        "response_size",
        "shdict_usage",
        "status_count",
        "status_count_per_user",
        "status_count_per_user_per_route",
        "status_count_per_workspace",
        "unique_users",
        "upstream_latency",
    ];

    /// Those that are sent where nobody says which.
    pub(super) fn usual() -> impl Iterator<Item = (Self, Kind)> {
        [
            (Self::RequestCount, Kind::Counter),
            (Self::Latency, Kind::Timer),
            (Self::RequestSize, Kind::Counter),
            (Self::StatusCount, Kind::Counter),
            (Self::ResponseSize, Kind::Counter),
            (Self::UniqueUsers, Kind::Set),
            (Self::RequestPerUser, Kind::Counter),
            (Self::UpstreamLatency, Kind::Timer),
            (Self::KongLatency, Kind::Timer),
            (Self::StatusCountPerUser, Kind::Counter),
            (Self::StatusCountPerWorkspace, Kind::Counter),
            (Self::StatusCountPerUserPerRoute, Kind::Counter),
        ]
        .into_iter()
    }

    /// Whether it says nothing without one.
    pub(super) fn is_of_a_consumer(self) -> bool {
        matches!(
            self,
            Self::UniqueUsers
                | Self::RequestPerUser
                | Self::StatusCountPerUser
                | Self::StatusCountPerUserPerRoute
        )
    }

    /// Whether it counts by status.
    pub(super) fn is_of_a_status(self) -> bool {
        matches!(
            self,
            Self::StatusCount
                | Self::StatusCountPerUser
                | Self::StatusCountPerUserPerRoute
                | Self::StatusCountPerWorkspace
        )
    }

    /// The end of its name, behind whatever it is of.
    fn end(self) -> &'static str {
        match self {
            Self::RequestCount | Self::RequestPerUser => "request.count",
            Self::RequestSize => "request.size",
            Self::ResponseSize => "response.size",
            Self::Latency => "latency",
            Self::UpstreamLatency => "upstream_latency",
            Self::KongLatency => "kong_latency",
            Self::UniqueUsers => "user.uniques",
            Self::StatusCount
            | Self::StatusCountPerUser
            | Self::StatusCountPerUserPerRoute
            | Self::StatusCountPerWorkspace => "status",
            Self::ShdictUsage => "shdict",
            Self::CacheDatastoreHitsTotal => "cache_datastore_hits_total",
            Self::CacheDatastoreMissesTotal => "cache_datastore_misses_total",
        }
    }
}

impl Kind {
    fn letters(self) -> &'static str {
        match self {
            Self::Counter => "c",
            Self::Gauge => "g",
            Self::Histogram => "h",
            Self::Meter => "m",
            Self::Set => "s",
            Self::Timer => "ms",
        }
    }
}

/// What a metric says.
pub(super) enum Measured<'a> {
    Number(u64),
    Text(&'a str),
}

impl fmt::Display for Measured<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A metric with all that it may be of.
pub(super) struct Line<'a> {
    pub(super) prefix: &'a str,
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) rate: f64,
    pub(super) value: Measured<'a>,
    pub(super) service: Option<&'a str>,
    pub(super) route: Option<&'a str>,
    pub(super) consumer: Option<&'a str>,
    pub(super) workspace: &'a str,
    pub(super) status: u16,
}

impl Line<'_> {
    /// Writes it, and the end of the line.
    pub(super) fn write(&self, style: Option<Style>, out: &mut String) {
        // A string takes all that is written to it.
        let _ = match style {
            None => self.name(out).and_then(|()| self.measured(out)),
            Some(style) => self.tagged(style, out),
        };
        out.push('\n');
    }

    fn tagged(&self, style: Style, out: &mut String) -> fmt::Result {
        write!(out, "{}.{}", self.prefix, self.name.end())?;
        match style {
            Style::Dogstatsd => {
                self.measured(out)?;
                out.push_str("|#");
                self.tags(':', out)
            }
            Style::Influxdb => {
                out.push(',');
                self.tags('=', out)?;
                self.measured(out)
            }
            Style::Librato => {
                out.push('#');
                self.tags('=', out)?;
                self.measured(out)
            }
            Style::Signalfx => {
                out.push('[');
                self.tags('=', out)?;
                out.push(']');
                self.measured(out)
            }
        }
    }

    fn measured(&self, out: &mut String) -> fmt::Result {
        write!(out, ":{}|{}", self.value, self.kind.letters())?;
        if self.rate < 1.0 { write!(out, "|@{}", self.rate) } else { Ok(()) }
    }

    /// With what it is of among its parts.
    fn name(&self, out: &mut String) -> fmt::Result {
        let Self { prefix, name, status, workspace, .. } = self;
        let consumer = self.consumer.unwrap_or_default();
        let end = name.end();
        out.push_str(prefix);
        match (name, self.service) {
            (Name::StatusCountPerUserPerRoute, _) => {
                write!(out, ".route.{}", self.route.unwrap_or("unmatched"))?;
            }
            (_, Some(service)) => write!(out, ".service.{service}")?,
            (_, None) => out.push_str(".global.unmatched"),
        }
        match name {
            Name::RequestPerUser => write!(out, ".user.{consumer}.{end}"),
            Name::StatusCount => write!(out, ".{end}.{status}"),
            Name::StatusCountPerUser | Name::StatusCountPerUserPerRoute => {
                write!(out, ".user.{consumer}.{end}.{status}")
            }
            Name::StatusCountPerWorkspace => write!(out, ".workspace.{workspace}.{end}.{status}"),
            _ => write!(out, ".{end}"),
        }
    }

    fn tags(&self, between: char, out: &mut String) -> fmt::Result {
        let of_a_consumer = self.name.is_of_a_consumer() && self.name != Name::UniqueUsers;
        let mut comma = "";
        for (name, value) in [
            ("service", self.service),
            ("route", self.route),
            ("consumer", self.consumer.filter(|_| of_a_consumer)),
            ("workspace", Some(self.workspace)),
        ] {
            if let Some(value) = value {
                write!(out, "{comma}{name}{between}{value}")?;
                comma = ",";
            }
        }
        if self.name.is_of_a_status() { write!(out, "{comma}status{between}{}", self.status) } else { Ok(()) }
    }
}

/// A text as part of a name or a tag.
pub(super) fn part(text: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    text.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
}
