//! Holding tunnels still, so that they can go on in another process.
//!
//! ```text
//! here     freeze  -> hold still, and give away copies of the sockets and a record      frozen
//!          resume  -> go on, as if nothing had happened: the other process has failed
//!          release -> leave without a word: the other process goes on
//! there    Tunnel::thaw, from the record                                                frozen
//!          resume  -> go on
//! ```
//!
//! A tunnel holds still between two polls, so what it is in the middle of is all in the record. It stays what it was in
//! the process that gives it away until it is released: to go on there takes no more than a wake.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::task::Poll;

use rustix::io::fcntl_dupfd_cloexec;
use tokio::sync::oneshot;

use super::drain::Whose;
use super::frozen::{Frozen, FrozenEnding, Thawing};
use super::registry::{Ask, Entry, Identity, Progress, Registries, Registry};
use super::{Claim, Ending, Record, Tunnel};
use crate::net::Stream;

/// Whether a tunnel holds still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hold {
    /// It does not.
    None,
    /// It is to, from its next poll on.
    Asked,
    /// It does: it is in a record.
    Frozen,
    /// It is to leave: it goes on elsewhere.
    Released,
}

/// Tunnels that are being frozen, and who asked for it.
pub(super) struct Freezing {
    /// So many have not answered yet.
    awaited: usize,
    frozen: Vec<Frozen>,
    failed: Option<io::Error>,
    reply: oneshot::Sender<io::Result<Vec<Frozen>>>,
}

/// How many tunnels there are, and how many of them can go on in another process.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Movable {
    /// All live ones.
    pub tunnels: usize,
    /// Those whose two connections are plain TCP, or Unix sockets.
    pub movable: usize,
}

impl Registries {
    /// How many tunnels can go on in another process.
    pub async fn movable(&self) -> Movable {
        let mut sum = Movable::default();
        for answer in self.ask_each(Ask::Movable) {
            // A worker that has stopped has none.
            let Movable { tunnels, movable } = answer.await.unwrap_or_default();
            sum = Movable { tunnels: sum.tunnels + tunnels, movable: sum.movable + movable };
        }
        sum
    }

    /// Freezes those of the tunnels meant that can be moved and are not frozen yet, `most` of each worker. They hold
    /// still until [`Registries::resume`] or [`Registries::release`]; an order to end that comes meanwhile counts only if
    /// they go on here.
    ///
    /// Dropped before it is done, or on an error, all that was frozen goes on here.
    ///
    /// # Errors
    /// There are not descriptors enough for copies of all sockets.
    pub async fn freeze(&self, whose: &Whose, most: usize) -> io::Result<Vec<Frozen>> {
        reserve_descriptors(2 * self.movable().await.movable.min(most.saturating_mul(self.workers())))?;
        let undo = Undo(Some(self));
        let mut all = Vec::new();
        for answer in self.ask_each(|reply| Ask::Freeze { whose: whose.clone(), most, reply }) {
            // A worker that has stopped has none.
            all.append(&mut answer.await.unwrap_or_else(|_| Ok(Vec::new()))?);
        }
        undo.call_off();
        Ok(all)
    }

    /// What tunnels that have ended here had moved: for the next process to [carry](Registries::carry) on. What live ones
    /// have moved goes with them.
    pub async fn ended(&self) -> Progress {
        let mut sum = Progress::default();
        for answer in self.ask_each(Ask::Ended) {
            sum = sum + answer.await.unwrap_or_default();
        }
        sum
    }

    /// Has all frozen tunnels go on here.
    pub fn resume(&self) {
        self.ask(|| Ask::Resume);
    }

    /// Has all frozen tunnels leave without a word to anybody: they go on elsewhere. Their sockets are closed here.
    pub fn release(&self) {
        self.ask(|| Ask::Release);
    }
}

/// Has everything that is frozen go on, if dropped.
struct Undo<'a>(Option<&'a Registries>);

impl Undo<'_> {
    fn call_off(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let Some(registries) = self.0 {
            registries.resume();
        }
    }
}

/// Makes room for `count` more descriptors at once. A table that grows by and by, in a process of several threads, waits
/// dozens of milliseconds each time that it doubles.
fn reserve_descriptors(count: usize) -> io::Result<()> {
    let any = UnixDatagram::unbound()?;
    let lowest_free = fcntl_dupfd_cloexec(&any, 0)?;
    let highest = usize::try_from(rustix::fd::AsRawFd::as_raw_fd(&lowest_free)).unwrap_or_default() + count;
    match fcntl_dupfd_cloexec(&any, highest.try_into().unwrap_or(i32::MAX)) {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::other(format!(
            "not enough descriptors to copy {count} sockets: raise the limit of open files (ulimit -n)"
        ))),
    }
}

impl Registry {
    pub(super) fn count_movable(&self) -> Movable {
        let live = self.live.borrow();
        let movable = live.values().filter(|entry| entry.is_movable).count();
        Movable { tunnels: live.len(), movable }
    }

    /// Asks tunnels to hold still. The last that does sends the reply.
    pub(super) fn freeze(&self, whose: &Whose, most: usize, reply: oneshot::Sender<io::Result<Vec<Frozen>>>) {
        if self.freezing.borrow().is_some() {
            drop(reply.send(Err(io::Error::other("tunnels are being frozen already"))));
            return;
        }
        let live = self.live.borrow();
        let can =
            |entry: &&Rc<Entry>| entry.is_movable && entry.hold.get() == Hold::None && whose.means(entry);
        let chosen: Vec<_> = live.values().filter(can).take(most).cloned().collect();
        if chosen.is_empty() {
            drop(reply.send(Ok(Vec::new())));
            return;
        }
        let frozen = Vec::with_capacity(chosen.len());
        let freezing = Freezing { awaited: chosen.len(), frozen, failed: None, reply };
        *self.freezing.borrow_mut() = Some(freezing);
        for entry in chosen {
            entry.hold.set(Hold::Asked);
            entry.wake();
        }
    }

    /// Takes the answer of a tunnel that was asked to hold still; `None` of one that is gone.
    fn collect(&self, answer: Option<io::Result<Frozen>>) {
        let mut freezing = self.freezing.borrow_mut();
        let Some(under_way) = &mut *freezing else { return };
        under_way.awaited -= 1;
        match answer {
            Some(Ok(frozen)) => under_way.frozen.push(frozen),
            Some(Err(error)) => under_way.failed = Some(error),
            None => {}
        }
        if under_way.awaited > 0 {
            return;
        }
        let Some(Freezing { frozen, failed, reply, .. }) = freezing.take() else { return };
        drop(freezing);
        let result = failed.map_or(Ok(frozen), Err);
        let is_wanted = result.is_ok();
        if reply.send(result).is_err() || !is_wanted {
            self.resume();
        }
    }

    /// Has all tunnels that were asked to hold still go on.
    pub fn resume(&self) {
        *self.freezing.borrow_mut() = None;
        for entry in self.live.borrow().values() {
            if matches!(entry.hold.get(), Hold::Asked | Hold::Frozen) {
                entry.hold.set(Hold::None);
                entry.wake();
            }
        }
    }

    /// Has all tunnels that hold still leave.
    pub(super) fn release(&self) {
        for entry in self.live.borrow().values() {
            if entry.hold.get() == Hold::Frozen {
                entry.hold.set(Hold::Released);
                entry.wake();
            }
        }
    }
}

impl Entry {
    /// To be called when the tunnel leaves: nobody is to wait for its answer.
    pub(super) fn leave_freezing(&self) {
        if self.hold.get() == Hold::Asked {
            self.registry.collect(None);
        }
    }
}

impl Tunnel {
    /// The tunnel that a record speaks of, over the same connections, the client's and the server's. It is entered in
    /// `registry` and holds still until [`Registry::resume`].
    pub fn thaw(thawing: Thawing, [client, server]: [Stream; 2], registry: &Rc<Registry>) -> Self {
        let Thawing { id, route, client: address, account, opened, order, to_server, to_client, ending } =
            thawing;
        let is_movable = client.can_move() && server.can_move();
        let account = Claim::new(account);
        let entry = registry.enter(Identity { id, route, client: address, account, opened, is_movable });
        entry.take_up(order);
        entry.hold.set(Hold::Frozen);
        let ending = ending.map(|ending| Box::new(Ending::thaw(ending, opened)));
        let mut tunnel = Tunnel { client, server, to_server, to_client, entry, ending };
        tunnel.obey_anew();
        tunnel.note_progress();
        tunnel
    }

    /// What a poll comes to while it is held.
    pub(super) fn poll_held(&mut self) -> Poll<Option<Record>> {
        match self.entry.hold.get() {
            Hold::Released => return Poll::Ready(None),
            Hold::Asked => {
                let frozen = self.give_away();
                self.entry.hold.set(Hold::Frozen);
                self.entry.registry.collect(Some(frozen));
            }
            Hold::Frozen | Hold::None => {}
        }
        Poll::Pending
    }

    fn give_away(&self) -> io::Result<Frozen> {
        let sockets: [OwnedFd; 2] = [self.client.duplicate()?, self.server.duplicate()?];
        Ok(Frozen { sockets, record: self.freeze() })
    }

    pub(super) fn frozen_ending(&self) -> Option<FrozenEnding> {
        let Ending { began, cause, codes, deadline } = &**self.ending.as_ref()?;
        let until_end = began.into_std() - self.entry.opened;
        let left = deadline.deadline() - tokio::time::Instant::now();
        Some(FrozenEnding { until_end, left, cause: *cause, codes: *codes })
    }
}
