//! How often something may happen.

use std::str::FromStr;

use super::text_type;

/// How often something may happen: `N/s`, 1 to 1,000,000 times a second. Default: 500.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Rate(u32);

impl Rate {
    /// The highest there is.
    const MAX: u32 = 1_000_000;

    /// How often in a second.
    pub const fn per_second(self) -> u32 {
        self.0
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self(500)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = text.strip_suffix("/s").and_then(|count| count.parse().ok());
        let rate = rate.filter(|count| (1..=Self::MAX).contains(count)).map(Self);
        rate.ok_or_else(|| {
            format!("`{text}` is not a rate: write it like `500/s`, with a number from 1 to {}", Self::MAX)
        })
    }
}

text_type!(Rate, expects: "a rate such as 500/s", schema: {
    "type": "string",
    "pattern": "^[1-9][0-9]{0,6}/s$",
    "examples": ["500/s"],
});
