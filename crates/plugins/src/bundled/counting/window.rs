//! How time is divided: windows that begin with the second, the minute, ... the year of the calendar, in UTC.
//!
//! Owns: when a window begins and ends. Must not know: what is counted in it.

use http::header::HeaderName;

/// A length of time for which there may be a limit. From short to long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::bundled) enum Period {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

/// A window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bundled) struct Window {
    /// When it began, in seconds since 1970. Enough until 2106.
    pub(in crate::bundled) start: u32,
    /// How many seconds later its count is worth nothing, at the latest.
    pub(in crate::bundled) length: u32,
}

const DAY: u64 = 86_400;

impl Period {
    /// All, from short to long.
    pub(in crate::bundled) const ALL: [Self; 6] =
        [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Year];

    /// The name of the field.
    pub(in crate::bundled) fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// The window that this moment is in, in seconds since 1970.
    pub(in crate::bundled) fn window(self, now: u64) -> Window {
        let (start, length) = match self {
            Self::Second => (now, 1),
            Self::Minute => (now - now % 60, 60),
            Self::Hour => (now - now % 3600, 3600),
            Self::Day => (now - now % DAY, 86_400),
            Self::Month => (now - now % DAY - (Date::of(now / DAY).day - 1) * DAY, 31 * 86_400),
            Self::Year => (now - now % DAY - Date::of(now / DAY).day_of_year * DAY, 366 * 86_400),
        };
        Window { start: u32::try_from(start).unwrap_or(u32::MAX), length }
    }

    /// The seconds until the window ends, as Kong tells them: a month has 30 days, a year 365, and it is never zero.
    pub(in crate::bundled) fn reset(self, window: &Window, now: u64) -> u32 {
        let length: u32 = match self {
            Self::Month => 30 * 86_400,
            Self::Year => 365 * 86_400,
            _ => window.length,
        };
        let passed = u32::try_from(now).unwrap_or(u32::MAX).saturating_sub(window.start);
        length.saturating_sub(passed).max(1)
    }

    /// `X-RateLimit-Limit-...`
    pub(in crate::bundled) fn limit_header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Second => "x-ratelimit-limit-second",
            Self::Minute => "x-ratelimit-limit-minute",
            Self::Hour => "x-ratelimit-limit-hour",
            Self::Day => "x-ratelimit-limit-day",
            Self::Month => "x-ratelimit-limit-month",
            Self::Year => "x-ratelimit-limit-year",
        })
    }

    /// `X-RateLimit-Remaining-...`
    pub(in crate::bundled) fn remaining_header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Second => "x-ratelimit-remaining-second",
            Self::Minute => "x-ratelimit-remaining-minute",
            Self::Hour => "x-ratelimit-remaining-hour",
            Self::Day => "x-ratelimit-remaining-day",
            Self::Month => "x-ratelimit-remaining-month",
            Self::Year => "x-ratelimit-remaining-year",
        })
    }
}

/// A day of the Gregorian calendar.
struct Date {
    /// Of the month, from 1.
    day: u64,
    /// From 0.
    day_of_year: u64,
}

impl Date {
    /// The day that is so many days after 1970-01-01.
    fn of(days: u64) -> Self {
        // Years are counted from 1601, after which leap years repeat every 400, 100 and 4 years.
        let days = (days + 134_774) % 146_097;
        // The last day of a period of 400 or 4 years belongs to its last year, which has a day more.
        let n100 = (days / 36_524).min(3);
        let days = days - n100 * 36_524;
        let (n4, days) = (days / 1461, days % 1461);
        let n1 = (days / 365).min(3);
        let day_of_year = days - n1 * 365;
        let is_leap = n1 == 3 && (n4 < 24 || n100 == 3);
        let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut day = day_of_year;
        for length in lengths {
            if day < length {
                break;
            }
            day -= length;
        }
        Self { day: day + 1, day_of_year }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_with_the_calendar() {
        // From `date -u -d ... +%s`.
        for (now, period, start) in [
            (1_709_251_199, Period::Second, 1_709_251_199),
            (1_709_251_199, Period::Minute, 1_709_251_140),
            (1_709_251_199, Period::Hour, 1_709_247_600),
            // 2024-02-29T23:59:59Z
            (1_709_251_199, Period::Day, 1_709_164_800),
            (1_709_251_199, Period::Month, 1_706_745_600),
            (1_709_251_199, Period::Year, 1_704_067_200),
            // 2024-03-01T00:00:00Z
            (1_709_251_200, Period::Month, 1_709_251_200),
            // 2023-12-31T23:59:59Z and a second later
            (1_704_067_199, Period::Year, 1_672_531_200),
            (1_704_067_199, Period::Month, 1_701_388_800),
            (1_704_067_200, Period::Year, 1_704_067_200),
            // 2100 is no leap year: 2100-03-01T00:00:00Z
            (4_107_542_400, Period::Month, 4_107_542_400),
            // 2000 was one: 2000-12-31T12:00:00Z
            (978_264_000, Period::Year, 946_684_800),
            (0, Period::Year, 0),
        ] {
            assert_eq!(period.window(now).start, start, "{now} {period:?}");
        }
    }

    #[test]
    fn a_window_never_ends_in_zero_seconds() {
        for (period, now, reset) in [
            (Period::Second, 1_709_251_199, 1),
            (Period::Minute, 1_709_251_199, 1),
            (Period::Minute, 1_709_251_140, 60),
            (Period::Month, 1_706_745_600, 2_592_000),
            // The 31st day of a month.
            (Period::Month, 1_704_067_199, 1),
        ] {
            assert_eq!(period.reset(&period.window(now), now), reset, "{period:?} {now}");
        }
    }
}
