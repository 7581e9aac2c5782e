//! The old side of an upgrade.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::link::{Frame, Link, MOST_DESCRIPTORS};
use super::{
    Frozen, Hello, LONGEST_RECORD, Listener, MOVING, Moved, Names, PREPARING, UpgradeError, VARIABLE,
    batches, expect, json, tag, write_tunnels,
};

/// How long a new process that has closed its end may take to be gone.
const LEAVING: Duration = Duration::from_secs(1);

/// How a process is started again.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// What a running gateway gives away, and how it goes on if that is not taken.
pub trait Holder {
    /// Copies of its listening sockets.
    ///
    /// # Errors
    /// There are no descriptors left.
    fn listeners(&self) -> io::Result<Vec<Listener>>;

    /// What it knows of servers, as JSON.
    fn state(&self) -> Vec<u8>;

    /// Stops the tunnels that can move, each between two reads.
    fn freeze(&mut self) -> Vec<Frozen>;

    /// Nobody has taken them: they go on here.
    fn go_on(&mut self, tunnels: Vec<Frozen>);
}

/// An upgrade under way. Dropped before the new process has taken over, that process is ended.
#[derive(Debug)]
pub struct Outgoing {
    link: Link,
    child: Option<Child>,
}

impl Program {
    /// This process as it was started; to be called early, while its file is where it was. `binary` takes its place,
    /// if it is given.
    ///
    /// # Errors
    /// The system does not say where the program is.
    pub fn own(binary: Option<PathBuf>) -> io::Result<Self> {
        let path = binary.map_or_else(env::current_exe, Ok)?;
        Ok(Program { path, arguments: env::args_os().skip(1).collect() })
    }

    /// Another program.
    pub fn new(path: PathBuf, arguments: Vec<OsString>) -> Self {
        Program { path, arguments }
    }
}

/// Whether the process with this id can be followed by another one.
///
/// # Errors
/// It cannot.
pub fn judge_process(pid: u32) -> Result<(), UpgradeError> {
    match pid {
        1 => Err(UpgradeError::Impossible(
            "process 1 of a container cannot be upgraded in place, because the container ends with it: start a container of the new version and stop this one, which drains",
        )),
        _ => Ok(()),
    }
}

/// Has `program` take over all that `holder` can give. When this fails with anything but `Lost`, everything is as before.
///
/// # Errors
/// The new process cannot be started, refuses, fails, or takes too long.
pub fn hand_over(program: &Program, holder: &mut dyn Holder) -> Result<(Outgoing, Moved), UpgradeError> {
    judge_process(process::id())?;
    let mut outgoing = Outgoing::start(program)?;
    let moved = outgoing.run(holder).map_err(|error| outgoing.how_it_ended(error))?;
    Ok((outgoing, moved))
}

impl Outgoing {
    fn start(program: &Program) -> Result<Self, UpgradeError> {
        let (here, there) = Link::pair().map_err(UpgradeError::Start)?;
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).env(VARIABLE, "stdin");
        // What a service manager has handed over it has handed to us.
        command.env_remove("LISTEN_PID").env_remove("LISTEN_FDS").env_remove("LISTEN_FDNAMES");
        command.stdin(Stdio::from(OwnedFd::from(there)));
        let child = command.spawn().map_err(UpgradeError::Start)?;
        Ok(Outgoing { link: here, child: Some(child) })
    }

    /// Over a link to a process that was started otherwise.
    pub fn over(link: Link) -> Self {
        Outgoing { link, child: None }
    }

    /// All steps up to RUNNING.
    ///
    /// # Errors
    /// The new process refuses, fails, or takes too long.
    pub fn run(&mut self, holder: &mut dyn Holder) -> Result<Moved, UpgradeError> {
        let listeners = self.prepare(holder)?;
        let tunnels = holder.freeze();
        let deadline = Instant::now() + MOVING;
        if let Err(error) = self.offer(&tunnels, deadline) {
            holder.go_on(tunnels);
            return Err(error);
        }
        // From here on the sockets are the new process's, whatever becomes of it.
        let moved =
            Moved { pid: self.child.as_ref().map_or(0, Child::id), listeners, tunnels: tunnels.len() };
        drop(tunnels);
        match self.receive(tag::RUNNING, deadline) {
            Ok(_) => Ok(moved),
            Err(error) => {
                tracing::error!(%error, "the new process is lost");
                Err(UpgradeError::Lost(moved.tunnels))
            }
        }
    }

    /// HELLO to BUILT: nothing of the running process is touched. Says how many listeners were sent.
    fn prepare(&mut self, holder: &dyn Holder) -> Result<usize, UpgradeError> {
        let deadline = Instant::now() + PREPARING;
        let own = Hello::own();
        let hello = serde_json::to_vec(&own).unwrap_or_default();
        self.send(tag::HELLO, &hello, &[], deadline)?;
        let new: Hello = json(&self.receive(tag::HELLO, deadline)?.body)?;
        Hello::judge(&own, &new).map_err(UpgradeError::Refused)?;
        self.receive(tag::LOADED, deadline)?;
        let listeners =
            holder.listeners().map_err(|error| UpgradeError::Io("copying the listeners", error))?;
        self.send_listeners(&listeners, deadline)?;
        self.send(tag::STATE, &holder.state(), &[], deadline)?;
        self.receive(tag::BUILT, deadline)?;
        Ok(listeners.len())
    }

    fn send_listeners(&mut self, listeners: &[Listener], deadline: Instant) -> Result<(), UpgradeError> {
        let mut rest = listeners;
        loop {
            let (now, later) = rest.split_at(rest.len().min(MOST_DESCRIPTORS));
            let names = now.iter().map(|(name, _)| name.clone()).collect();
            let names = Names { names, more: !later.is_empty() };
            let descriptors: Vec<_> = now.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
            let body = serde_json::to_vec(&names).unwrap_or_default();
            self.send(tag::LISTENERS, &body, &descriptors, deadline)?;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }

    /// TUNNELS to COMMIT.
    fn offer(&mut self, tunnels: &[Frozen], deadline: Instant) -> Result<(), UpgradeError> {
        self.send_tunnels(tunnels, deadline)?;
        self.send(tag::ALL, &(tunnels.len() as u64).to_be_bytes(), &[], deadline)?;
        self.receive(tag::READY, deadline)?;
        self.send(tag::COMMIT, &[], &[], deadline)
    }

    /// Sends tunnels; after RUNNING they belong to the new process with that.
    ///
    /// # Errors
    /// The new process is gone, or does not take them in time.
    pub fn send_tunnels(&mut self, tunnels: &[Frozen], deadline: Instant) -> Result<(), UpgradeError> {
        if tunnels.iter().any(|tunnel| tunnel.record.len() > LONGEST_RECORD) {
            return Err(UpgradeError::Protocol("the record of a tunnel is too long".into()));
        }
        for batch in batches(tunnels) {
            let sockets = batch.iter().flat_map(|tunnel| &tunnel.sockets);
            let descriptors: Vec<_> = sockets.map(AsFd::as_fd).collect();
            self.send(tag::TUNNELS, &write_tunnels(batch), &descriptors, deadline)?;
        }
        Ok(())
    }

    /// Waits until the new process asks to end what is left here (`true`), or is gone itself.
    pub fn wait_for_force(&mut self, deadline: Instant) -> bool {
        matches!(self.link.receive(deadline), Ok(Some(frame)) if frame.tag == tag::FORCE)
    }

    fn send(
        &mut self,
        tag: u8,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> Result<(), UpgradeError> {
        let sent = self.link.send(tag, body, descriptors, deadline);
        sent.map_err(|error| UpgradeError::Io("telling the new process", error))
    }

    fn receive(&mut self, tag: u8, deadline: Instant) -> Result<Frame, UpgradeError> {
        match self.link.receive(deadline) {
            Ok(Some(frame)) => expect(frame, tag),
            Ok(None) => Err(UpgradeError::Ended("it has closed the connection".into())),
            Err(error) => Err(UpgradeError::Io("waiting for the new process", error)),
        }
    }

    /// Ends a new process that is of no use, and tells more of `error` where the way it ended says more.
    fn how_it_ended(&mut self, error: UpgradeError) -> UpgradeError {
        let Some(mut child) = self.child.take() else { return error };
        let is_gone = match &error {
            UpgradeError::Ended(_) => true,
            UpgradeError::Io(_, error) => error.kind() != io::ErrorKind::TimedOut,
            _ => false,
        };
        let began = Instant::now();
        while is_gone && began.elapsed() < LEAVING {
            match child.try_wait() {
                Ok(Some(status)) => return UpgradeError::Ended(status.to_string()),
                _ => thread::park_timeout(Duration::from_millis(5)),
            }
        }
        // One that has ended is as good as killed.
        let _ = child.kill();
        let _ = child.wait();
        error
    }
}
