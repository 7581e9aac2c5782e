//! Codes of a WebSocket Close frame.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

/// A close code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999 (RFC 6455 section 7.4 and the
/// registry it opened; 1004, 1005, 1006 and 1015 never go on the wire).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1011, "internal error": what a client hears when its backend vanished, unless told otherwise.
    pub const INTERNAL_ERROR: Self = Self(1011);

    /// 1001, "going away": what a client hears whose tunnel the gateway ends in good order, unless told otherwise.
    pub const GOING_AWAY: Self = Self(1001);

    /// The code as it goes on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// This code, or `None` where it must not be sent.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for CloseCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = i64::deserialize(deserializer)?;
        u16::try_from(code).ok().and_then(Self::new).ok_or_else(|| {
            D::Error::custom(format_args!(
                "{code} is not a close code that may be sent: use 1000-1003, 1007-1014 or 3000-4999"
            ))
        })
    }
}

impl JsonSchema for CloseCode {
    fn schema_name() -> Cow<'static, str> {
        "CloseCode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "anyOf": [
            { "minimum": 1000, "maximum": 1003 },
            { "minimum": 1007, "maximum": 1014 },
            { "minimum": 3000, "maximum": 4999 },
        ]})
    }
}
