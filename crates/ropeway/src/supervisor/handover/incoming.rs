//! The new side of an upgrade.

use std::env;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use super::link::{Frame, Link};
use super::{
    Frozen, Hello, Listener, MOVING, Names, PREPARING, UpgradeError, VARIABLE, expect, json, read_tunnels,
    tag,
};

/// More listeners than this are a lie.
const MOST_LISTENERS: usize = 10_000;

/// The process that this one is to take over from.
#[derive(Debug)]
pub struct Incoming {
    link: Link,
}

/// What the old process has given, before tunnels.
#[derive(Debug, Default)]
pub struct Given {
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
    /// What it knows of servers, as JSON.
    pub state: Vec<u8>,
}

/// The old process, while it ends what could not move.
#[derive(Debug)]
pub struct Predecessor {
    link: Link,
}

impl Incoming {
    /// The old process, if this one was started by one. Standard input is empty from then on.
    ///
    /// # Errors
    /// Standard input is not what it should be.
    pub fn from_environment() -> io::Result<Option<Self>> {
        if env::var_os(VARIABLE).is_none_or(|value| value != "stdin") {
            return Ok(None);
        }
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        // Fails where it is no socket: then nobody is there to talk to.
        rustix::net::sockopt::socket_type(&stdin)?;
        let nothing = std::fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        Ok(Some(Self::over(Link::from(stdin))))
    }

    /// Over a link that was made otherwise.
    pub fn over(link: Link) -> Self {
        Incoming { link }
    }

    /// HELLO both ways.
    ///
    /// # Errors
    /// The versions do not fit; the old process was told.
    pub fn greet(&mut self) -> Result<(), UpgradeError> {
        let deadline = Instant::now() + PREPARING;
        let old: Hello = json(&self.receive(tag::HELLO, deadline)?.body)?;
        let own = Hello::own();
        if let Err(why) = Hello::judge(&old, &own) {
            self.refuse(&why);
            return Err(UpgradeError::Refused(why));
        }
        self.send(tag::HELLO, &serde_json::to_vec(&own).unwrap_or_default())
    }

    /// The configuration was read and found to be right: LOADED. Receives listeners and state.
    ///
    /// # Errors
    /// The old process is gone, late, or not understood.
    pub fn loaded(&mut self) -> Result<Given, UpgradeError> {
        self.send(tag::LOADED, &[])?;
        let deadline = Instant::now() + PREPARING;
        let mut given = Given::default();
        loop {
            let frame = self.receive(tag::LISTENERS, deadline)?;
            let Names { names, more } = json(&frame.body)?;
            if names.len() != frame.descriptors.len() || given.listeners.len() > MOST_LISTENERS {
                return Err(UpgradeError::Protocol("the listeners are not as announced".into()));
            }
            given.listeners.extend(names.into_iter().zip(frame.descriptors));
            if !more {
                break;
            }
        }
        given.state = self.receive(tag::STATE, deadline)?.body;
        Ok(given)
    }

    /// Everything is built: BUILT. Receives the tunnels, has `check` look whether they are understood, says READY and
    /// waits for COMMIT. With that the tunnels are this process's.
    ///
    /// # Errors
    /// The old process is gone, late, or not understood; `check` says no. The old process has kept its tunnels.
    pub fn take_over(
        &mut self,
        check: impl FnOnce(&[Frozen]) -> Result<(), String>,
    ) -> Result<Vec<Frozen>, UpgradeError> {
        self.send(tag::BUILT, &[])?;
        let deadline = Instant::now() + MOVING;
        let mut tunnels = Vec::new();
        loop {
            let frame = self.frame(deadline)?;
            if frame.tag != tag::TUNNELS {
                let announced = expect(frame, tag::ALL)?.body;
                if announced != (tunnels.len() as u64).to_be_bytes() {
                    return Err(UpgradeError::Protocol("there are not as many tunnels as announced".into()));
                }
                break;
            }
            tunnels.extend(read_tunnels(frame)?);
        }
        if let Err(why) = check(&tunnels) {
            self.refuse(&why);
            return Err(UpgradeError::Refused(why));
        }
        self.send(tag::READY, &[])?;
        self.receive(tag::COMMIT, deadline)?;
        Ok(tunnels)
    }

    /// It relays and accepts: RUNNING.
    pub fn running(mut self) -> Predecessor {
        // One that is gone needs not be told.
        let _ = self.send(tag::RUNNING, &[]);
        Predecessor { link: self.link }
    }

    /// This process cannot take over, and why.
    pub fn refuse(&mut self, why: &str) {
        // One that is gone needs not be told.
        let _ = self.send(tag::REFUSE, why.as_bytes());
    }

    fn send(&mut self, tag: u8, body: &[u8]) -> Result<(), UpgradeError> {
        let sent = self.link.send(tag, body, &[], Instant::now() + MOVING);
        sent.map_err(|error| UpgradeError::Io("telling the old process", error))
    }

    fn receive(&mut self, tag: u8, deadline: Instant) -> Result<Frame, UpgradeError> {
        expect(self.frame(deadline)?, tag)
    }

    fn frame(&mut self, deadline: Instant) -> Result<Frame, UpgradeError> {
        match self.link.receive(deadline) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(UpgradeError::Ended("the old process has called the upgrade off".into())),
            Err(error) => Err(UpgradeError::Io("waiting for the old process", error)),
        }
    }
}

impl Predecessor {
    /// Tunnels that follow: those that were in a handshake or began meanwhile. `None` when the old process has ended, or
    /// is not understood any more.
    pub fn later_tunnels(&mut self) -> Option<Vec<Frozen>> {
        loop {
            // It may be silent as long as it lives.
            let deadline = Instant::now() + PREPARING;
            match self.link.receive(deadline) {
                Ok(Some(frame)) if frame.tag == tag::TUNNELS => return read_tunnels(frame).ok(),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                _ => return None,
            }
        }
    }

    /// It is to end at once what it still has.
    pub fn force(&mut self) {
        // One that is gone needs not be told.
        let _ = self.link.send(tag::FORCE, &[], &[], Instant::now() + MOVING);
    }

    /// Another handle on it, for another thread.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Predecessor> {
        self.link.as_fd().try_clone_to_owned().map(|link| Predecessor { link: link.into() })
    }
}
