//! An upgrade of the binary: the running process starts a new one, and hands over what it holds.
//!
//! The two talk over a pair of Unix sockets; the new process finds its end as standard input. Each message is one
//! [`link::Frame`]: a tag, a bounded body, descriptors. Every wait has a deadline.
//!
//! | tag | message | from | body | descriptors |
//! |---|---|---|---|---|
//! | 1 | HELLO | old, then new | [`Hello`] as JSON; versions are compared before anything else | |
//! | 2 | REFUSE | new | why it cannot take over; it ends then, and the old one goes on | |
//! | 3 | LOADED | new | empty: the configuration was read and found to be right | |
//! | 4 | LISTENERS | old | [`Names`] as JSON; one message or several | one for each name |
//! | 5 | STATE | old | what is known of servers, as JSON; unknown fields are skipped | |
//! | 6 | BUILT | new | empty: everything is built, what is new is open; nobody is accepted yet | |
//! | 7 | TUNNELS | old | for each tunnel the length of its record (4 bytes) and the record | two for each tunnel |
//! | 8 | ALL | old | how many tunnels were sent (8 bytes) | |
//! | 9 | READY | new | empty: all of them were understood | |
//! | 10 | COMMIT | old | empty: the tunnels are the new one's from here on | |
//! | 11 | RUNNING | new | empty: it relays and accepts; the old one accepts no more | |
//! | 12 | FORCE | new | empty: the old one is to end what it still has, at once | |
//!
//! After RUNNING further TUNNELS may come, those that were in a handshake or began meanwhile; the old process ends when
//! all of its tunnels have moved or ended, and the new one sees that by the end of the stream.
//!
//! ```text
//! outgoing   the old side
//! incoming   the new side
//! link       frames over the pair
//! ```

pub mod incoming;
pub mod link;
pub mod outgoing;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::link::{Frame, MOST_DESCRIPTORS};
pub use crate::tunnel::frozen::Frozen;
use crate::tunnel::frozen::VERSION;

/// The version of the messages. Both sides must speak the same.
pub const PROTOCOL: u32 = 1;

/// The version of the records of tunnels. A new process reads those of its own version and older ones.
pub const RECORDS: u32 = VERSION as u32;

/// The environment variable that tells a new process that it is one: its value is `stdin`, where the link is.
pub const VARIABLE: &str = "ROPEWAY_HANDOVER";

/// How long the new process may take to read, to check and to build its configuration.
pub const PREPARING: Duration = Duration::from_secs(30);

/// How long tunnels may be held for an upgrade that then fails: usually it is milliseconds.
pub const MOVING: Duration = Duration::from_secs(5);

/// Tunnels in one message.
pub const BATCH: usize = MOST_DESCRIPTORS / 2;

/// A message of tunnels is not begun anew before it has so many bytes.
const FULL: usize = 4 << 20;

/// The longest record of one tunnel.
pub const LONGEST_RECORD: usize = 4 << 20;

/// The tags of messages.
pub mod tag {
    #![allow(missing_docs, reason = "the table of the module says what they are")]
    pub const HELLO: u8 = 1;
    pub const REFUSE: u8 = 2;
    pub const LOADED: u8 = 3;
    pub const LISTENERS: u8 = 4;
    pub const STATE: u8 = 5;
    pub const BUILT: u8 = 6;
    pub const TUNNELS: u8 = 7;
    pub const ALL: u8 = 8;
    pub const READY: u8 = 9;
    pub const COMMIT: u8 = 10;
    pub const RUNNING: u8 = 11;
    pub const FORCE: u8 = 12;
}

/// What each side says of itself first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// [`RECORDS`].
    pub records: u32,
    /// The release, for people.
    pub version: String,
}

/// What the descriptors of a message are.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Names {
    /// One for each: `http PLACE` or `admin PLACE`, as configured; others are passed on as they are.
    pub names: Vec<String>,
    /// Whether another such message follows.
    pub more: bool,
}

/// A listening socket, and what it is called.
pub type Listener = (String, OwnedFd);

/// What an upgrade has moved.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Moved {
    /// The new process.
    pub pid: u32,
    /// Listeners.
    pub listeners: usize,
    /// Tunnels that the new process has.
    pub tunnels: usize,
}

/// Why an upgrade did not take place. Except for `Lost` everything is as before.
#[derive(Debug)]
pub enum UpgradeError {
    /// It cannot be done in these surroundings.
    Impossible(&'static str),
    /// The program cannot be started.
    Start(io::Error),
    /// The new process says why it cannot take over.
    Refused(String),
    /// The new process has ended, and how.
    Ended(String),
    /// The two do not understand each other.
    Protocol(String),
    /// What was being done when it failed.
    Io(&'static str, io::Error),
    /// The new process was lost after it was given the tunnels. They are gone with it.
    Lost(usize),
}

impl Hello {
    /// Of this binary.
    pub fn own() -> Self {
        Hello { protocol: PROTOCOL, records: RECORDS, version: env!("CARGO_PKG_VERSION").into() }
    }

    /// Whether `new` can take over from `old`.
    ///
    /// # Errors
    /// It cannot, and what to do.
    pub fn judge(old: &Hello, new: &Hello) -> Result<(), String> {
        let (from, to) = (&old.version, &new.version);
        if old.protocol != new.protocol {
            return Err(format!(
                "versions {from} and {to} do not share a protocol of upgrades ({} and {}): stop the old one and start the new one",
                old.protocol, new.protocol
            ));
        }
        if old.records > new.records {
            return Err(format!(
                "version {to} cannot read the tunnels of {from} (records {}, at most {}): stop the old one and start the new one",
                old.records, new.records
            ));
        }
        Ok(())
    }
}

/// As few messages as the bounds allow.
fn batches(tunnels: &[Frozen]) -> Vec<&[Frozen]> {
    let mut batches = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, tunnel) in tunnels.iter().enumerate() {
        if at - begin == BATCH || bytes >= FULL {
            batches.push(&tunnels[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += tunnel.record.len();
    }
    if begin < tunnels.len() {
        batches.push(&tunnels[begin..]);
    }
    batches
}

/// The body of a message of tunnels.
fn write_tunnels(batch: &[Frozen]) -> Vec<u8> {
    let mut body = Vec::new();
    for tunnel in batch {
        let length = u32::try_from(tunnel.record.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&tunnel.record);
    }
    body
}

/// The tunnels of a message.
fn read_tunnels(frame: Frame) -> Result<Vec<Frozen>, UpgradeError> {
    let wrong = || UpgradeError::Protocol("a message of tunnels is not whole".into());
    let mut rest = frame.body.as_slice();
    let mut descriptors = frame.descriptors.into_iter();
    let mut tunnels = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (record, after) = after.split_at_checked(length).ok_or_else(wrong)?;
        let (Some(client), Some(server)) = (descriptors.next(), descriptors.next()) else {
            return Err(wrong());
        };
        tunnels.push(Frozen { sockets: [client, server], record: record.to_vec() });
        rest = after;
    }
    if rest.is_empty() && descriptors.next().is_none() { Ok(tunnels) } else { Err(wrong()) }
}

/// A message that was to come.
fn expect(frame: Frame, tag: u8) -> Result<Frame, UpgradeError> {
    match frame.tag {
        got if got == tag => Ok(frame),
        tag::REFUSE => Err(UpgradeError::Refused(one_line(&frame.body))),
        got => Err(UpgradeError::Protocol(format!("message {got} came instead of {tag}"))),
    }
}

/// What the other process says, as far as it fits in a line of the log.
fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().take(1000).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn json<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, UpgradeError> {
    serde_json::from_slice(body).map_err(|error| UpgradeError::Protocol(error.to_string()))
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpgradeError::Impossible(why) => f.write_str(why),
            UpgradeError::Start(error) => write!(f, "the new process cannot be started: {error}"),
            UpgradeError::Refused(why) => write!(f, "the new process refuses: {why}"),
            UpgradeError::Ended(how) => write!(f, "the new process has ended: {how}"),
            UpgradeError::Protocol(what) => write!(f, "the other process is not understood: {what}"),
            UpgradeError::Io(doing, error) => write!(f, "{doing}: {error}"),
            UpgradeError::Lost(tunnels) => {
                write!(f, "the new process was lost when it had taken over, and {tunnels} tunnels with it")
            }
        }
    }
}

impl std::error::Error for UpgradeError {}
