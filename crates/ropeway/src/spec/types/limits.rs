//! Numbers with a meaning: sizes, shares, ports.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

use super::text_type;

/// How long a WebSocket message may be, in bytes over all its fragments: `n` passes, `n + 1` does not.
///
/// In the file: a positive number of bytes, `-1` for no limit; `0` and nothing at all stand for 32769.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageLimit(Option<u64>);

impl MessageLimit {
    /// What absent and `0` stand for.
    pub const DEFAULT_BYTES: u64 = 32_769;

    /// What absent and `0` stand for.
    pub const USUAL: Self = Self(Some(Self::DEFAULT_BYTES));

    /// No limit at all, `-1` in the file.
    pub const NONE: Self = Self(None);

    /// The most bytes a message may have, `None` where it may have any number.
    pub const fn bytes(self) -> Option<u64> {
        self.0
    }
}

impl Default for MessageLimit {
    fn default() -> Self {
        Self::USUAL
    }
}

impl<'de> Deserialize<'de> for MessageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match i64::deserialize(deserializer)? {
            0 => Ok(Self::default()),
            -1 => Ok(Self::NONE),
            n => match u64::try_from(n) {
                Ok(n) => Ok(Self(Some(n))),
                Err(_) => Err(D::Error::custom(format_args!(
                    "{n} is not a message limit: write a number of bytes, or -1 for no limit"
                ))),
            },
        }
    }
}

impl JsonSchema for MessageLimit {
    fn schema_name() -> Cow<'static, str> {
        "MessageLimit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": -1 })
    }
}

/// How long a request's body may be, in bytes. Any number is accepted: negative means no limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(transparent)]
pub struct BodyLimit(pub i64);

impl BodyLimit {
    /// What absent and `0` stand for at a listener.
    pub const DEFAULT_BYTES: u64 = 4 << 20;

    /// This limit, or `other` where this is `0`.
    pub const fn or(self, other: Self) -> Self {
        if self.0 == 0 { other } else { self }
    }

    /// The most bytes of the body of a request.
    pub fn bytes(self) -> u64 {
        match self.0 {
            0 => Self::DEFAULT_BYTES,
            limit => u64::try_from(limit).unwrap_or(u64::MAX),
        }
    }
}

/// Defines a whole number within bounds that both stand in the type's own message.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident($number:ty), $min:literal..=$max:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub struct $name($number);

        impl $name {
            /// The number itself.
            pub const fn get(self) -> $number {
                self.0
            }

            /// This number, or `None` where it is out of bounds.
            pub const fn new(number: $number) -> Option<Self> {
                // widened, so that a bound which is the type's own is no useless comparison
                let wide = number as i64;
                if wide < $min || wide > $max { None } else { Some(Self(number)) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let found = i64::deserialize(deserializer)?;
                <$number>::try_from(found).ok().and_then(Self::new).ok_or_else(|| {
                    D::Error::custom(format_args!("{found} is not {}: from {} to {}", $what, $min, $max))
                })
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": $min, "maximum": $max })
            }
        }
    };
}

bounded!(
    /// A TCP port, 1 to 65535.
    Port(u16), 1..=65535, "a port"
);
bounded!(
    /// A count that cannot be zero, 1 to 1000000000.
    Positive(u32), 1..=1_000_000_000, "a count"
);
bounded!(
    /// A share in thousandths, 1 to 1000.
    Permil(u16), 1..=1000, "a share in thousandths"
);
bounded!(
    /// A count of failures, 1 to 1000.
    Failures(u16), 1..=1000, "a count of failures"
);
bounded!(
    /// The weight of a server for `weightedRandom`, 0 to 100.
    #[derive(Default)]
    Weight(u8), 0..=100, "a weight"
);

/// A share: `0%` to `100%`, whole percents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Percent(u8);

impl Percent {
    /// The number before the sign.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// So many hundredths, or `None` where that is more than the whole.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent > 100 { None } else { Some(Self(percent)) }
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        number
            .and_then(|number| Self::new(number.parse().ok()?))
            .ok_or_else(|| format!("`{text}` is not a share: write 0% to 100%"))
    }
}

text_type!(Percent, expects: "a share such as 50%", schema: {
    "type": "string", "pattern": "^([0-9]{1,2}|100)%$", "examples": ["50%"]
});
