//! Names of objects, filters and flow nodes.

use std::{borrow::Borrow, fmt, str::FromStr};

use super::text_type;

/// A name: 1 to 253 letters (of any script), digits, `-`, `_`, `.` or `~`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Box<str>);

impl Name {
    /// The name as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a name cannot be empty".into());
        }
        if text.chars().count() > MAX_CHARS {
            return Err(format!("a name has at most {MAX_CHARS} characters"));
        }
        match text.chars().find(|&c| !is_allowed(c)) {
            Some(c) => {
                Err(format!("{c:?} cannot stand in a name: use letters, digits, `-`, `_`, `.` and `~`"))
            }
            None => Ok(Self(text.into())),
        }
    }
}

// Without \p{L}, which not every reader of JSON Schema knows: all but blanks and the ASCII that is refused.
text_type!(Name, expects: "a name", schema: {
    "type": "string",
    "minLength": 1,
    "maxLength": 253,
    "pattern": r"^[^\s!-,/:-@\[-^`{-}]+$",
});

const MAX_CHARS: usize = 253;

fn is_allowed(c: char) -> bool {
    // `char::is_alphabetic` also has marks and letter numbers that are not in \p{L}; none of them does harm.
    c.is_alphabetic() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.' | '~')
}
