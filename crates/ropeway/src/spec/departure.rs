//! What becomes of the live tunnels of a server that is to be used no more.

use schemars::JsonSchema;
use serde::Deserialize;

use super::types::Window;

/// What becomes of the live tunnels of a server that is removed, or not well.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Departure {
    /// What becomes of them. Default: `drain` for `onRemoved`, `keep` for `onUnhealthy`.
    pub action: Option<Action>,
    /// Over how long `drain` spreads their ends, up to 24h. Default: 60s.
    pub window: Window,
}

/// What becomes of live tunnels.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// They end one after the other, each with a Close frame at a frame border, idle ones first.
    Drain,
    /// They live on.
    Keep,
    /// They all end at once, each with a Close frame.
    Close,
}
