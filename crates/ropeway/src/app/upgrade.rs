//! How a gateway hands over what it holds to a new process.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Gateway, LOOK, runtime};
use crate::admin::socket::ControlSocket;
use crate::net::listener::adopt;
use crate::net::unix::Place;
use crate::supervisor::Listeners;
use crate::supervisor::drains::Inherited;
use crate::supervisor::handover::outgoing::{Holder, Outgoing, Program, hand_over};
use crate::supervisor::handover::{Frozen, Listener, MOVING, Moved, UpgradeError};
use crate::supervisor::thaw::ThawError;
use crate::tunnel::drain::Whose;
use crate::upstream::health::Knowledge;

/// What a listener is for, as its name says to the new process.
const HTTP: &str = "http";
const ADMIN: &str = "admin";
const CONTROL: &str = "control";
const CONTROL_LOCK: &str = "control-lock";

/// How long those may take to ask who were accepted just before another process took over.
const SETTLING: Duration = Duration::from_secs(5);

impl Gateway {
    /// Has `program` take over. When that has succeeded this gateway accepts no more, and has only what cannot move.
    ///
    /// # Errors
    /// The new process cannot be started, refuses, fails, or takes too long. Except for `Lost` everything is as before;
    /// after that, only the tunnels that had moved are gone.
    pub fn upgrade(&mut self, program: &Program) -> Result<(Outgoing, Moved), UpgradeError> {
        let listeners = self.supervisor.places().count() + usize::from(self.admin.is_some());
        let handed_over = hand_over(program, self);
        if handed_over.is_ok() {
            // First: the places of tunnels that have moved are not free for anybody here.
            self.supervisor.hand_over();
        }
        if matches!(handed_over, Ok(_) | Err(UpgradeError::Lost(_))) {
            // They are the new process's, whatever has become of it.
            self.registries().release();
        }
        let (outgoing, moved) = handed_over?;
        self.ready.store(false, Ordering::Relaxed);
        self.stop_admin.cancel();
        self.admin = None;
        if let Some(socket) = self.control_socket.take() {
            socket.own(false);
        }
        // The control socket and its lock go along, and are no listeners to a user.
        Ok((outgoing, Moved { listeners, ..moved }))
    }

    /// Sends after them the tunnels that were still in their handshake when the others moved, or began meanwhile. Says
    /// how many.
    ///
    /// # Errors
    /// The new process does not take them: they stay here.
    pub fn send_rest(&mut self, outgoing: &mut Outgoing) -> Result<usize, UpgradeError> {
        let tunnels = self.freeze();
        let sent = outgoing.send_tunnels(&tunnels, Instant::now() + MOVING);
        match &sent {
            Ok(()) => self.registries().release(),
            Err(_) => self.registries().resume(),
        }
        sent.map(|()| tunnels.len())
    }

    /// How many tunnels an upgrade would move.
    pub fn movable(&self) -> usize {
        // Without a descriptor for a runtime there is none for their copies.
        runtime().map_or(0, |runtime| runtime.block_on(self.registries().movable()).movable)
    }

    /// Goes on with tunnels that another process has given away.
    ///
    /// # Errors
    /// Some of them cannot go on here: these are lost.
    pub fn take_in(&self, tunnels: Vec<Frozen>) -> Result<(), ThawError> {
        let taken = runtime().map_err(ThawError::Socket)?.block_on(self.thaw(tunnels));
        self.registries().resume();
        taken
    }

    /// Waits, for a while, until those are served who were accepted just before another process took over. Less long where
    /// `hurry` is cancelled.
    pub fn settle(&self, hurry: &CancellationToken) {
        let began = Instant::now();
        let others = || self.workers.connections() > self.registries().tunnels();
        while others() && began.elapsed() < SETTLING && !hurry.is_cancelled() {
            thread::sleep(LOOK);
        }
    }
}

/// What is told of servers, and of what is drained. Fields that are unknown are skipped.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    servers: Vec<Knowledge>,
    drains: Vec<Inherited>,
}

/// What another process knew, and what it had drained. Nothing, if it cannot be understood: then everything is found anew.
pub(super) fn read_state(state: &[u8]) -> (Vec<Knowledge>, Vec<Inherited>) {
    if state.is_empty() {
        return Default::default();
    }
    let read = serde_json::from_slice::<State>(state);
    let State { servers, drains } = read.unwrap_or_else(|error| {
        tracing::warn!(%error, "what the older process knew of servers, and had drained, is not understood");
        State::default()
    });
    (servers, drains)
}

impl Holder for Gateway {
    fn listeners(&self) -> io::Result<Vec<Listener>> {
        let named =
            |kind: &str, place: Place, socket: TcpListener| (format!("{kind} {place}"), socket.into());
        let listeners = self.supervisor.listeners()?;
        let mut all: Vec<_> =
            listeners.into_iter().map(|(place, socket)| named(HTTP, place, socket)).collect();
        if let Some(admin) = &self.admin {
            all.push(named(ADMIN, Place::Tcp(admin.configured), admin.socket.try_clone()?));
        }
        // A path that is no text is opened anew.
        if let Some((socket, path)) =
            self.control_socket.as_ref().and_then(|socket| Some((socket, socket.path().to_str()?)))
        {
            let [listener, lock] = socket.copies()?;
            all.push((format!("{CONTROL} {path}"), listener));
            all.push((format!("{CONTROL_LOCK} {path}"), lock));
        }
        Ok(all)
    }

    fn state(&self) -> Vec<u8> {
        let state = State { servers: self.supervisor.knowledge(), drains: self.supervisor.bequeath() };
        serde_json::to_vec(&state).unwrap_or_default()
    }

    fn freeze(&mut self) -> Vec<Frozen> {
        let registries = self.registries();
        let frozen =
            runtime().and_then(|runtime| runtime.block_on(registries.freeze(&Whose::All, usize::MAX)));
        frozen.unwrap_or_else(|error| {
            tracing::warn!(%error, "tunnels cannot be moved: they are drained instead");
            Vec::new()
        })
    }

    fn go_on(&mut self, tunnels: Vec<Frozen>) {
        // Copies: the tunnels themselves hold still here.
        drop(tunnels);
        self.registries().resume();
    }
}

/// Takes out of what another process gives the control socket at `path`, if it is there.
pub fn control_socket(listeners: &mut Vec<Listener>, path: &Path) -> Option<ControlSocket> {
    let path_text = path.to_str()?;
    let [listener, lock] = [CONTROL, CONTROL_LOCK].map(|kind| {
        let name = format!("{kind} {path_text}");
        let at = listeners.iter().position(|(known, _)| *known == name)?;
        Some(listeners.swap_remove(at).1)
    });
    ControlSocket::adopt(path, [listener?, lock?])
}

/// Listeners for servers and for administration. What is unknown, or does not listen, is closed.
pub(super) fn sort(listeners: Vec<Listener>) -> (Listeners, Vec<(SocketAddr, TcpListener)>) {
    let (mut servers, mut admins) = (Vec::new(), Vec::new());
    for (name, descriptor) in listeners {
        let Some((kind, place)) = name.split_once(' ') else { continue };
        let (Ok(place), Ok(socket)) = (place.parse(), adopt(descriptor)) else { continue };
        match (kind, place) {
            (HTTP, place) => servers.push((place, socket.into())),
            (ADMIN, Place::Tcp(address)) => admins.push((address, socket.into())),
            _ => {}
        }
    }
    (servers, admins)
}
