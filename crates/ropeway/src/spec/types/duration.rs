//! Durations as Go writes them: `300ms`, `1m30s`, `1.5h`.

use std::{fmt, str::FromStr, time::Duration};

use super::text_type;

/// A duration in Go's syntax, read exactly (no floating point): one or more decimal numbers, each with a unit
/// `ns`, `us`, `ms`, `s`, `m` or `h`; or `0`. Not negative; at most `u64::MAX` nanoseconds (584 years).
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct GoDuration(Duration);

impl GoDuration {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A duration of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The same length as `std` has it.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether this is `0`, which most fields read as "no limit".
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text.starts_with('-') {
            return Err(DurationError::Negative);
        }
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest == "0" {
            return Ok(Self::default());
        }
        if rest.is_empty() {
            return Err(DurationError::Syntax(text.into()));
        }
        let mut nanos: u128 = 0;
        while !rest.is_empty() {
            let (part, after) = leading_part(rest, text)?;
            nanos = nanos.checked_add(part).ok_or(DurationError::TooLong)?;
            rest = after;
        }
        let nanos = u64::try_from(nanos).map_err(|_| DurationError::TooLong)?;
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

text_type!(GoDuration, expects: "a duration such as 30s, 1m30s or 500ms", schema: {
    "type": ["string", "integer"],
    "pattern": r"^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$",
    "minimum": 0,
    "maximum": 0,
    "examples": ["30s", "1m30s", "500ms", "1.5h"],
});

/// How long to wait for a peer: a [`GoDuration`] of 1 ms to 60 s.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeout(GoDuration);

impl Timeout {
    /// The longest there is.
    pub const MAX: Duration = Duration::from_secs(60);

    /// A timeout of whole seconds, if there can be one.
    pub const fn from_secs(seconds: u64) -> Option<Self> {
        if seconds == 0 || seconds > Self::MAX.as_secs() {
            None
        } else {
            Some(Self(GoDuration::from_secs(seconds)))
        }
    }

    /// The same length as `std` has it.
    pub const fn get(self) -> Duration {
        self.0.get()
    }
}

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration: GoDuration = text.parse().map_err(|error: DurationError| error.to_string())?;
        let allowed = Duration::from_millis(1)..=Self::MAX;
        allowed.contains(&duration.get()).then_some(Self(duration)).ok_or_else(|| {
            format!(
                "a timeout is 1ms to 60s, not {duration}: without one a peer could keep the gateway waiting"
            )
        })
    }
}

text_type!(Timeout, expects: "a duration such as 5s or 500ms", schema: {
    "type": "string",
    "pattern": r"^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$",
    "examples": ["5s", "500ms"],
});

/// Over how long something is spread: a [`GoDuration`] of at most 24 hours. Default: 60 s.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Window(GoDuration);

impl Window {
    /// The longest there is.
    pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// A window of whole seconds, at most 65,535.
    pub const fn from_secs(seconds: u16) -> Self {
        Self(GoDuration::from_secs(seconds as u64))
    }

    /// The same length as `std` has it.
    pub const fn get(self) -> Duration {
        self.0.get()
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::from_secs(60)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration: GoDuration = text.parse().map_err(|error: DurationError| error.to_string())?;
        let fits = duration.get() <= Self::MAX;
        fits.then_some(Self(duration)).ok_or_else(|| format!("a window is 24h at most, not {duration}"))
    }
}

text_type!(Window, expects: "a duration such as 60s or 5m", schema: {
    "type": ["string", "integer"],
    "pattern": r"^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$",
    "minimum": 0,
    "maximum": 0,
    "examples": ["60s", "5m"],
});

/// Why a text is no duration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DurationError {
    /// A number without a unit.
    MissingUnit(String),
    /// Below zero.
    Negative,
    /// Not numbers with units.
    Syntax(String),
    /// More than can be counted in 64 bits of nanoseconds.
    TooLong,
    /// A unit that Go does not have.
    UnknownUnit(String),
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingUnit(number) => {
                write!(f, "a duration needs a unit: write `{number}s` for {number} seconds")
            }
            Self::Negative => f.write_str("a duration cannot be negative"),
            Self::Syntax(text) => {
                write!(f, "`{text}` is not a duration: write it like `30s`, `1m30s` or `500ms`")
            }
            Self::TooLong => f.write_str("this duration is too long: at most about 584 years"),
            Self::UnknownUnit(unit) => {
                write!(f, "`{unit}` is not a unit of time: use ns, us, ms, s, m or h")
            }
        }
    }
}

impl std::error::Error for DurationError {}

/// Splits one number with its unit off `rest`; gives its length in nanoseconds and what follows.
fn leading_part<'a>(rest: &'a str, whole: &str) -> Result<(u128, &'a str), DurationError> {
    let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, rest) = rest.split_at(number_end);
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);

    let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (integer.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(DurationError::Syntax(whole.into()));
    }
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(whole.into()));
    }
    let unit = nanos_of(unit)?;
    let integer = if integer.is_empty() { "0" } else { integer };
    let integer: u128 = integer.parse().map_err(|_| DurationError::TooLong)?;
    let nanos = integer.checked_mul(unit).ok_or(DurationError::TooLong)?;
    Ok((nanos + fraction_of(fraction, unit), rest))
}

/// The fraction's share of `unit`; digits below one nanosecond are cut off, as Go does.
fn fraction_of(digits: &str, unit: u128) -> u128 {
    let mut nanos = 0;
    let mut scale: u128 = 1;
    for digit in digits.bytes().take(18) {
        scale *= 10;
        nanos = nanos * 10 + u128::from(digit - b'0');
    }
    nanos * unit / scale
}

fn nanos_of(unit: &str) -> Result<u128, DurationError> {
    Ok(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(DurationError::UnknownUnit(unit.into())),
    })
}
