//! Paths, and parts of them, as they are without escapes.

use std::str::FromStr;

use super::text_type;

/// A path without escapes, such as `/a b`. What cannot stand in a path as it is, is escaped when it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlainPath(PlainText);

/// A text to be put into a path, without escapes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlainText(Box<str>);

impl PlainPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PlainText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlainPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("a path starts with `/`".into());
        }
        if text.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | ".."))) {
            return Err("a path cannot have `.` or `..` in it: write where it leads".into());
        }
        text.parse().map(Self)
    }
}

impl FromStr for PlainText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("a path has at most {MAX_BYTES} bytes here"));
        }
        match text.chars().find(|&c| c.is_control() || matches!(c, '%' | '?' | '#' | '\\')) {
            None => Ok(Self(text.into())),
            Some('%') => Err("write the path without escapes: they are made when it is sent".into()),
            Some('?') => Err("a path holds no query, which stays as it is: leave out the `?`".into()),
            Some(other) => Err(format!("{other:?} cannot stand in a path")),
        }
    }
}

text_type!(PlainPath, expects: "a path such as /api", schema: {
    "type": "string", "pattern": "^/[^%?#\\\\]*$", "maxLength": 4096
});
text_type!(PlainText, expects: "a text", schema: {
    "type": "string", "pattern": "^[^%?#\\\\]*$", "maxLength": 4096
});

const MAX_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::PlainPath;

    #[test]
    fn paths() {
        for good in ["/", "/a b/\u{fc}", "/a/...", "//a", "/a;b"] {
            assert_eq!(good.parse::<PlainPath>().unwrap().as_str(), good);
        }
        for (bad, expected) in [
            ("", "starts with `/`"),
            ("a", "starts with `/`"),
            ("/a%20b", "without escapes"),
            ("/a?b", "no query"),
            ("/a#b", "'#' cannot stand"),
            ("/a\\b", "cannot stand"),
            ("/a\r\nb", "cannot stand"),
            ("/a/../b", "`..`"),
            ("/a/.;x", "`..`"),
            (&format!("/{}", "a".repeat(4096)), "at most 4096 bytes"),
        ] {
            let error = bad.parse::<PlainPath>().unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
