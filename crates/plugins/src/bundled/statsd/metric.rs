//! One metric as StatsD servers read it.
//!
//! Owns: Kong's names, and the four ways of tags. Must not know: requests. Nothing that a client or an operator names can end
//! a name or a line: [`part`] leaves letters, digits, dashes and underscores.

use std::fmt::Write as _;

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

/// A metric with all that it may be of.
pub(super) struct Line<'a> {
    pub(super) prefix: &'a str,
    pub(super) name: Name,
    pub(super) kind: Kind,
    pub(super) rate: f64,
    pub(super) value: &'a str,
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
            None => write!(out, "{}:{}", self.name(), self.measured()),
            Some(Style::Dogstatsd) => {
                write!(out, "{}:{}|#{}", self.plain_name(), self.measured(), self.tags(':'))
            }
            Some(Style::Influxdb) => {
                write!(out, "{},{}:{}", self.plain_name(), self.tags('='), self.measured())
            }
            Some(Style::Librato) => {
                write!(out, "{}#{}:{}", self.plain_name(), self.tags('='), self.measured())
            }
            Some(Style::Signalfx) => {
                write!(out, "{}[{}]:{}", self.plain_name(), self.tags('='), self.measured())
            }
        };
        out.push('\n');
    }

    fn measured(&self) -> String {
        let measured = format!("{}|{}", self.value, self.kind.letters());
        if self.rate < 1.0 { format!("{measured}|@{}", self.rate) } else { measured }
    }

    /// With what it is of among its parts.
    fn name(&self) -> String {
        let Self { prefix, name, status, workspace, .. } = self;
        let consumer = self.consumer.unwrap_or_default();
        let of = match (self.service, self.route) {
            (Some(service), _) => format!("service.{service}"),
            (None, _) => "global.unmatched".to_owned(),
        };
        let end = name.end();
        match name {
            Name::RequestPerUser => format!("{prefix}.{of}.user.{consumer}.{end}"),
            Name::StatusCount => format!("{prefix}.{of}.{end}.{status}"),
            Name::StatusCountPerUser => format!("{prefix}.{of}.user.{consumer}.{end}.{status}"),
            Name::StatusCountPerWorkspace => format!("{prefix}.{of}.workspace.{workspace}.{end}.{status}"),
            Name::StatusCountPerUserPerRoute => {
                let route = self.route.unwrap_or("unmatched");
                format!("{prefix}.route.{route}.user.{consumer}.{end}.{status}")
            }
            _ => format!("{prefix}.{of}.{end}"),
        }
    }

    fn plain_name(&self) -> String {
        format!("{}.{}", self.prefix, self.name.end())
    }

    fn tags(&self, between: char) -> String {
        let status = self.name.is_of_a_status().then(|| self.status.to_string());
        let tags = [
            ("service", self.service),
            ("route", self.route),
            (
                "consumer",
                self.consumer.filter(|_| self.name.is_of_a_consumer() && self.name != Name::UniqueUsers),
            ),
            ("workspace", Some(self.workspace)),
            ("status", status.as_deref()),
        ];
        let tags = tags.iter().filter_map(|(name, value)| Some(format!("{name}{between}{}", (*value)?)));
        tags.collect::<Vec<_>>().join(",")
    }
}

/// A text as part of a name or a tag.
pub(super) fn part(text: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    text.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
}
