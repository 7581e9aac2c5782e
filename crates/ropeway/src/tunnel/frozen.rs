//! A tunnel on its way into another process: its record, and what the record says.
//!
//! A record is a version, then fields of tag, length and value (`frozen/fields.rs`). A field whose tag has its highest
//! bit set is required: who does not know it cannot go on with the tunnel. Others may be skipped, so a later version can
//! say more and still be understood. A change of what a field means is another [`VERSION`].
//!
//! What reads a record trusts no byte of it: what is read is bounded, holds together, and cannot make a tunnel panic.

mod fields;
mod value;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, TryGetError};
use rustix::time::{ClockId, clock_gettime};
use ws::Role;

use self::fields::{Fields, Tag, whole};
use super::policy::Policy;
use super::record::Codes;
use super::registry::Order;
use super::relay::Direction;
use super::{Account, Cause, Count, Tunnel, TunnelId};

pub(super) use self::value::{Value, take_bytes};

/// The version of the records that are written, and that can be read. To be compared before anything is frozen.
pub const VERSION: u8 = 1;

/// No record is longer, in bytes.
pub const RECORD_MAX: usize = 256 * 1024;

/// A deadline that is further off is none that a configuration can ask for.
const FAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// A tunnel between two processes.
#[derive(Debug)]
pub struct Frozen {
    /// To the client, and to the server.
    pub sockets: [OwnedFd; 2],
    /// All else, for [`Thaw::read`].
    pub record: Vec<u8>,
}

/// Reads records.
#[derive(Debug)]
pub struct Thaw<R> {
    resolve: R,
    /// Many tunnels have one route.
    routes: HashSet<Arc<str>>,
    orphans: HashMap<(String, String), Arc<Account>>,
}

/// What the record of a tunnel says: all that is needed to go on, but its connections.
///
/// Not counted anywhere before it has become a [`Tunnel`].
pub struct Thawing {
    pub(super) id: TunnelId,
    pub(super) route: Arc<str>,
    pub(super) client: IpAddr,
    pub(super) account: Arc<Account>,
    pub(super) opened: Instant,
    pub(super) order: Order,
    pub(super) to_server: Direction,
    pub(super) to_client: Direction,
    pub(super) ending: Option<FrozenEnding>,
}

/// An end under way.
pub(super) struct FrozenEnding {
    /// From the handshake to its first sign.
    pub(super) until_end: Duration,
    /// What is left of the time it may take.
    pub(super) left: Duration,
    pub(super) cause: Option<Cause>,
    pub(super) codes: Codes,
}

/// Why a tunnel cannot go on by its record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// It has this version.
    Version(u8),
    /// It has a field with this tag, which must be understood and is not.
    Field(u8),
    /// It lacks the field with this tag.
    Missing(u8),
    /// It contradicts itself, or ends early.
    Malformed,
}

impl Tunnel {
    /// The tunnel as it is now, between two polls, without its connections.
    pub fn freeze(&self) -> Vec<u8> {
        let (entry, account) = (&self.entry, self.entry.account.account());
        let texts = entry.route.len() + account.pool.len() + account.server.len();
        let mut record =
            fields::begin(256 + texts + self.to_server.frozen_len() + self.to_client.frozen_len());
        let out = &mut record;
        fields::put(out, Tag::Id, |out| entry.id.put(out));
        fields::put(out, Tag::Route, |out| out.put_slice(entry.route.as_bytes()));
        fields::put(out, Tag::Client, |out| entry.client.put(out));
        fields::put(out, Tag::Pool, |out| out.put_slice(account.pool.as_bytes()));
        fields::put(out, Tag::Server, |out| out.put_slice(account.server.as_bytes()));
        fields::put(out, Tag::Policy, |out| account.policy().put(out));
        fields::put(out, Tag::Times, |out| Times::since(entry.opened).put(out));
        fields::put(out, Tag::Order, |out| entry.order().put(out));
        fields::put(out, Tag::ToServer, |out| self.to_server.put(out));
        fields::put(out, Tag::ToClient, |out| self.to_client.put(out));
        if let Some(ending) = self.frozen_ending() {
            fields::put(out, Tag::Ending, |out| ending.put(out));
        }
        record
    }
}

impl<R: Fn(&str, &str) -> Option<Arc<Account>>> Thaw<R> {
    /// `resolve` finds the account of a server by the identity of its pool and its address there. Where it finds none
    /// the tunnel goes on by the policy of its record: see [`Thaw::orphans`].
    pub fn new(resolve: R) -> Self {
        Thaw { resolve, routes: HashSet::new(), orphans: HashMap::new() }
    }

    /// Reads a record, to be done soon after it was written: the time between is taken off deadlines.
    ///
    /// # Errors
    /// It is none, or none of this version.
    pub fn read(&mut self, record: &[u8]) -> Result<Thawing, Unreadable> {
        let fields = Fields::read(record)?;
        let times: Times = fields.value(Tag::Times)?;
        let passed = monotonic().saturating_sub(times.frozen_at);
        let opened = Instant::now().checked_sub(times.age.saturating_add(passed));
        let mut ending: Option<FrozenEnding> = fields.find(Tag::Ending).map(whole).transpose()?;
        if let Some(ending) = &mut ending {
            ending.left = ending.left.saturating_sub(passed);
        }
        let to_server = direction(&fields, Tag::ToServer, Role::Client)?;
        let to_client = direction(&fields, Tag::ToClient, Role::Server)?;
        if ending.is_none() && !(to_server.is_open() && to_client.is_open()) {
            return Err(Unreadable::Malformed); // nothing would end it
        }
        let policy: Policy = fields.value(Tag::Policy)?;
        Ok(Thawing {
            id: fields.value(Tag::Id)?,
            client: fields.value(Tag::Client)?,
            opened: opened.ok_or(Unreadable::Malformed)?,
            order: fields.value(Tag::Order)?,
            to_server,
            to_client,
            ending,
            route: self.route(fields.text(Tag::Route)?),
            account: self.account(fields.text(Tag::Pool)?, fields.text(Tag::Server)?, &policy),
        })
    }

    fn route(&mut self, route: &str) -> Arc<str> {
        if let Some(known) = self.routes.get(route) {
            return known.clone();
        }
        let route: Arc<str> = route.into();
        self.routes.insert(route.clone());
        route
    }

    fn account(&mut self, pool: &str, server: &str, policy: &Policy) -> Arc<Account> {
        (self.resolve)(pool, server).unwrap_or_else(|| {
            let orphan = || Arc::new(Account::new(pool, server, policy, Count::single()));
            self.orphans.entry((pool.to_owned(), server.to_owned())).or_insert_with(orphan).clone()
        })
    }

    /// The accounts that were made for tunnels whose server nobody knows. They go on until they are told to
    /// [leave](Account::leave).
    pub fn orphans(self) -> Vec<Arc<Account>> {
        self.orphans.into_values().collect()
    }
}

impl Thawing {
    /// `server/rule/path`.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Why it is ending, if it is.
    pub fn cause(&self) -> Option<Cause> {
        self.ending.as_ref().and_then(|ending| ending.cause)
    }

    /// Whose it is.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

fn direction(fields: &Fields<'_>, tag: Tag, sender: Role) -> Result<Direction, Unreadable> {
    let direction: Direction = fields.value(tag)?;
    if direction.sender() == sender { Ok(direction) } else { Err(Unreadable::Malformed) }
}

/// When a record was written, by the clock that all processes of a machine share, and how old the tunnel was then.
struct Times {
    frozen_at: Duration,
    age: Duration,
}

impl Times {
    fn since(opened: Instant) -> Self {
        Times { frozen_at: monotonic(), age: opened.elapsed() }
    }
}

impl Value for Times {
    fn put(&self, out: &mut Vec<u8>) {
        self.frozen_at.put(out);
        self.age.put(out);
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        Ok(Times { frozen_at: Duration::read(from)?, age: Duration::read(from)? })
    }
}

impl Value for FrozenEnding {
    fn put(&self, out: &mut Vec<u8>) {
        self.until_end.put(out);
        self.left.put(out);
        self.cause.put(out);
        self.codes.put(out);
    }

    fn read(from: &mut &[u8]) -> Result<Self, Unreadable> {
        let (until_end, left) = (Duration::read(from)?, Duration::read(from)?);
        if left > FAR {
            return Err(Unreadable::Malformed);
        }
        Ok(FrozenEnding { until_end, left, cause: Option::read(from)?, codes: Codes::read(from)? })
    }
}

/// What [`Instant`] measures, as a figure that another process understands.
fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

impl From<TryGetError> for Unreadable {
    fn from(_: TryGetError) -> Self {
        Unreadable::Malformed
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Version(version) => {
                write!(f, "record of a tunnel has version {version}, this program reads {VERSION}")
            }
            Unreadable::Field(tag) => {
                write!(f, "record of a tunnel has a field {tag} that must be understood")
            }
            Unreadable::Missing(tag) => write!(f, "record of a tunnel lacks the field {tag}"),
            Unreadable::Malformed => f.write_str("record of a tunnel contradicts itself"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl fmt::Debug for Thawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thawing").field("id", &self.id).field("route", &self.route).finish_non_exhaustive()
    }
}
