//! What can be asked of a running gateway from outside, and the plain data that it answers with.

use std::sync::mpsc::Sender;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::supervisor::plan::Plan;
use crate::tunnel::frozen::Frozen;

/// Takes orders for the thread that owns the gateway.
pub type Orders = Sender<Order>;

/// What that thread is told, by a signal or over the control socket.
#[derive(Debug)]
pub enum Order {
    /// To drain and stop.
    Stop,
    /// To read the files again. A signal wants no answer.
    Reload(Option<oneshot::Sender<Result<Changes, Failure>>>),
    /// To have a new process take over. A signal wants no answer, and waits for the end of an older process; `force` has
    /// that end at once.
    Upgrade {
        /// Whether an older process that still drains is to end at once.
        force: bool,
        /// Where what came of it goes.
        reply: Option<oneshot::Sender<Result<Upgraded, Failure>>>,
    },
    /// To go on with tunnels that the process before this one has sent.
    Thaw(Vec<Frozen>),
    /// That process has ended.
    Alone,
}

/// What a change of the configuration has come to.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Changes {
    /// One line: how many objects have which fate.
    pub summary: String,
    /// Each object of the old and the new configuration.
    pub objects: Vec<Object>,
}

/// What an upgrade has moved.
#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Upgraded {
    /// The new process.
    pub pid: u32,
    /// Listeners.
    pub listeners: usize,
    /// Tunnels that have moved. Those that were still in their handshake follow.
    pub tunnels: usize,
}

/// What became of an object.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Object {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `kept`, `changed`, `added` or `removed`.
    pub fate: String,
}

/// Why nothing was done.
#[derive(Clone, Default, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Failure {
    /// In one line.
    pub error: String,
    /// Each fault of the configuration with its place, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl Changes {
    /// Those that `plan` tells of.
    pub fn of(plan: &Plan) -> Self {
        let objects = plan.changes.iter().map(|change| Object {
            kind: change.kind.to_owned(),
            name: change.name.clone(),
            fate: change.fate.to_string(),
        });
        Changes { summary: plan.to_string(), objects: objects.collect() }
    }
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Failure { error, faults: Vec::new() }
    }
}
