//! Dates, in UTC.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    year: u64,
    /// From 1.
    month: u64,
    day: u64,
    /// Of the day.
    second: u64,
    millis: u64,
    since_1970: u64,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self::at(SystemTime::now())
    }

    /// A time after 1970.
    pub fn at(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since_1970.as_secs() / 86_400, since_1970.as_secs() % 86_400);
        // Years begin in March here, so that the day that comes every four years is the last one.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (month, day) = (if month < 10 { month + 3 } else { month - 9 }, day - (153 * month + 2) / 5 + 1);
        Moment {
            year: era * 400 + year + u64::from(month <= 2),
            month,
            day,
            second,
            millis: u64::from(since_1970.subsec_millis()),
            since_1970: since_1970.as_secs(),
        }
    }

    /// Milliseconds since 1970.
    pub fn millis(&self) -> u64 {
        self.since_1970 * 1000 + self.millis
    }

    /// `02/Jan/2006:15:04:05 +0000`, as access logs of old have it.
    pub fn local(&self) -> String {
        let month = MONTHS.get(self.month as usize - 1).copied().unwrap_or_default();
        let (hour, minute, second) = self.time();
        format!("{:02}/{month}/{}:{hour:02}:{minute:02}:{second:02} +0000", self.day, self.year)
    }

    fn time(&self) -> (u64, u64, u64) {
        (self.second / 3600, self.second / 60 % 60, self.second % 60)
    }
}

/// As RFC 3339 has it, with milliseconds.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = self.time();
        let (year, month, day, millis) = (self.year, self.month, self.day, self.millis);
        write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days() {
        let table = [
            (0, "1970-01-01T00:00:00.007Z", "01/Jan/1970:00:00:00 +0000"),
            (951_782_400, "2000-02-29T00:00:00.007Z", "29/Feb/2000:00:00:00 +0000"),
            (951_868_799, "2000-02-29T23:59:59.007Z", "29/Feb/2000:23:59:59 +0000"),
            (1_136_214_245, "2006-01-02T15:04:05.007Z", "02/Jan/2006:15:04:05 +0000"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z", "01/Mar/2100:00:00:00 +0000"),
        ];
        for (seconds, iso, local) in table {
            let moment = Moment::at(UNIX_EPOCH + Duration::new(seconds, 7_000_000));
            assert_eq!((moment.to_string().as_str(), moment.local().as_str()), (iso, local));
            assert_eq!(moment.millis(), seconds * 1000 + 7);
        }
    }
}
