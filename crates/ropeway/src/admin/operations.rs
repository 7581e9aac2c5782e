//! What can be asked of a running gateway from outside, and the plain data that it answers with.

use std::sync::mpsc::Sender;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::spec::Source;
use crate::supervisor::drains::{Drained, Target, Terms, Wish};
use crate::supervisor::forecast::{self, Fates};
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
    /// To drain objects.
    Drain(DrainOrder, oneshot::Sender<Result<Drains, Failure>>),
    /// To use objects again that are drained.
    Undrain(Wish, oneshot::Sender<Result<Drains, Failure>>),
    /// To say what these documents would change.
    Plan(Documents, oneshot::Sender<Result<Forecast, Failure>>),
}

/// What is to be drained, and how.
#[derive(Serialize, Deserialize, Debug)]
pub struct DrainOrder {
    /// What.
    #[serde(flatten)]
    pub wish: Wish,
    /// How.
    #[serde(flatten)]
    pub terms: Terms,
}

/// What is drained now, or is no more.
#[derive(Serialize, Deserialize, Debug)]
pub struct Drains {
    /// Each object.
    pub objects: Vec<DrainedObject>,
}

/// An object that is drained by command.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct DrainedObject {
    /// Which one.
    #[serde(flatten)]
    pub target: Target,
    /// Its tunnels that are left; of servers and pools connections, requests under way included.
    pub left: usize,
    /// How long it has been drained, in seconds.
    pub since_s: u64,
    /// Over how many seconds its tunnels end, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_s: Option<f64>,
    /// After how many seconds those that are left end at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<f64>,
    /// The configuration has it no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// A configuration that a gateway is asked about.
#[derive(Debug)]
pub struct Documents {
    /// Its texts.
    pub sources: Vec<Source>,
    /// Whether what is found in them is shown in colour.
    pub colour: bool,
}

/// The same, on its way.
#[derive(Serialize, Deserialize)]
pub struct Question {
    texts: Vec<Text>,
    colour: bool,
}

#[derive(Serialize, Deserialize)]
struct Text {
    name: String,
    text: String,
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

/// What a change of the configuration would come to.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Forecast {
    /// Whether there would be any.
    pub changed: bool,
    /// For the objects.
    #[serde(flatten)]
    pub changes: Changes,
    /// For the live tunnels of each pool that has some.
    pub pools: Vec<PoolTunnels>,
    /// For all live tunnels.
    pub tunnels: Tunnels,
    /// How many of them an upgrade would move into the new process.
    #[serde(default)]
    pub movable: usize,
    /// Warnings and notes about the configuration, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub findings: String,
}

/// What would become of the live tunnels of a pool.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct PoolTunnels {
    /// The pool's identity.
    pub pool: String,
    /// Its tunnels.
    #[serde(flatten)]
    pub tunnels: Tunnels,
}

/// How many tunnels would have which fate.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub struct Tunnels {
    /// They would live on.
    pub keep: usize,
    /// They would end one after the other.
    pub drain: usize,
    /// They would end at once.
    pub close: usize,
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
    /// All that was found in the configuration, as it is shown to people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub findings: String,
}

impl DrainedObject {
    /// What is known of `drained`, of which so much is left.
    pub fn of(drained: &Drained, left: usize) -> Self {
        let schedule = drained.schedule();
        DrainedObject {
            target: drained.target.clone(),
            left,
            since_s: drained.began.elapsed().as_secs(),
            window_s: schedule.map(|schedule| schedule.window.as_secs_f64()),
            deadline_s: schedule.map(|schedule| schedule.deadline.as_secs_f64()),
            removed: drained.is_gone,
        }
    }
}

impl Documents {
    /// Makes them ready for the way.
    pub fn question(&self) -> Question {
        let text = |source: &Source| Text { name: source.name().into(), text: source.text().into() };
        Question { texts: self.sources.iter().map(text).collect(), colour: self.colour }
    }
}

impl From<Question> for Documents {
    fn from(question: Question) -> Self {
        let sources = question.texts.into_iter().map(|Text { name, text }| Source::new(name, text));
        Documents { sources: sources.collect(), colour: question.colour }
    }
}

impl Forecast {
    /// What `forecast` tells, how many tunnels can move, and what was found in the configuration.
    pub fn of(forecast: &forecast::Forecast, movable: usize, findings: String) -> Self {
        let pools = forecast.pools.iter();
        Forecast {
            changed: !forecast.plan.is_empty(),
            changes: Changes::of(&forecast.plan),
            pools: pools
                .map(|(pool, fates)| PoolTunnels { pool: pool.clone(), tunnels: fates.into() })
                .collect(),
            tunnels: (&forecast.total()).into(),
            movable,
            findings,
        }
    }
}

impl From<&Fates> for Tunnels {
    fn from(&Fates { keep, drain, close }: &Fates) -> Self {
        Tunnels { keep, drain, close }
    }
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
        Failure { error, ..Failure::default() }
    }
}
