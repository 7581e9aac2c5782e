//! How a gateway that is told to stop lets go of its tunnels.

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::{Rate, Window};
use super::{Check, Diagnostic, Reader, Spanned};

/// How a gateway that is told to stop lets go of its tunnels: not all at once, so that their clients do not come back
/// all at once. Where servers of one gateway differ, the longer time and the higher rate count.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Drain {
    /// Over how long the ends are spread. Default: 20s.
    pub window: Window,
    /// How many tunnels may end in a second, such as `500/s`; so it may take longer than `window`. Default: 500/s.
    pub max_rate: Rate,
    /// When all that are left end at once. Default: 25s, or `window` where that is longer.
    pub deadline: Option<Spanned<Window>>,
}

impl Default for Drain {
    fn default() -> Self {
        Drain { window: Window::from_secs(20), max_rate: Rate::default(), deadline: None }
    }
}

impl Drain {
    /// When all that are left end at once.
    pub fn deadline(&self) -> Window {
        let least = self.window.max(Window::from_secs(25));
        self.deadline.as_ref().map_or(least, |deadline| **deadline)
    }
}

impl Check for Drain {
    fn check(&self, reader: &Reader) {
        if let Some(deadline) = self.deadline.as_ref().filter(|deadline| ***deadline < self.window) {
            let title = "`deadline` comes before the end of `window`";
            reader.report(Diagnostic::error(title).at(deadline.span()).help("the window must fit before it"));
        }
    }
}
