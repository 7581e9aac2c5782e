//! Conditions on texts, as candidate pools and mocks have them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Diagnostic, Reader, Span, types::Pattern};

/// A condition on a text: `exact`, `prefix` or `regex`, of which one has to fit; or `empty` alone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct TextMatcher {
    /// The whole text.
    pub exact: Option<String>,
    /// How the text starts.
    pub prefix: Option<String>,
    /// A regular expression for the text. Not anchored.
    pub regex: Option<Pattern>,
    /// Whether the text must be empty or missing. Default: false. Excludes the others.
    pub empty: bool,
}

impl TextMatcher {
    /// Whether `text` fits; a text that is missing counts as empty.
    pub fn is_match(&self, text: &str) -> bool {
        if self.empty {
            return text.is_empty();
        }
        self.exact.as_deref() == Some(text)
            || self.prefix.as_ref().is_some_and(|prefix| text.starts_with(prefix.as_str()))
            || self.regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }

    /// Reports what is wrong with this condition, which stands at `at`.
    pub fn check(&self, reader: &Reader, at: Span) {
        let has_other = self.exact.is_some() || self.prefix.is_some() || self.regex.is_some();
        let title = match (self.empty, has_other) {
            (true, true) => "`empty` excludes `exact`, `prefix` and `regex`",
            (false, false) => "nothing to compare with: give `exact`, `prefix`, `regex` or `empty: true`",
            _ => return,
        };
        reader.report(Diagnostic::error(title).at(at));
    }
}
