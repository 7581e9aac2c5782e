//! Tunnels that come from another process find their pools.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::Supervisor;
use crate::server::worker::Workers;
use crate::tunnel::Account;
use crate::tunnel::frozen::{Frozen, Thaw, Unreadable};

/// Why tunnels cannot go on here.
#[derive(Debug)]
pub enum ThawError {
    /// A record cannot be read.
    Record(Unreadable),
    /// A socket cannot be used.
    Socket(io::Error),
}

/// Whether these tunnels can be read.
///
/// # Errors
/// One of them cannot, and why.
pub fn check(tunnels: &[Frozen]) -> Result<(), String> {
    let mut thaw = Thaw::new(|_, _| None);
    let mut records = tunnels.iter().map(|tunnel| thaw.read(&tunnel.record));
    records.try_for_each(|read| read.map(drop)).map_err(|error| error.to_string())
}

impl Supervisor {
    /// Takes tunnels of another process in; they hold still until `Registries::resume`. They obey what is in force here.
    /// One whose pool is here, but has its server no more, ends as the pool wants it; one whose pool is gone lives on by
    /// the rules that it had.
    ///
    /// # Errors
    /// One of them cannot go on here; others may have been taken in: let go of them by `Registries::release`. Records
    /// are all read before the first is.
    pub async fn thaw(&self, frozen: Vec<Frozen>, workers: &Workers) -> Result<(), ThawError> {
        let accounts = self.accounts();
        let mut thaw = Thaw::new(|pool: &str, server: &str| {
            accounts.get(&(pool, server)).map(|account| Arc::clone(account))
        });
        let mut tunnels = Vec::with_capacity(frozen.len());
        for Frozen { sockets, record } in frozen {
            tunnels.push((thaw.read(&record).map_err(ThawError::Record)?, sockets));
        }
        let fronts: Vec<_> = self.listening.iter().map(|listening| listening.front.clone()).collect();
        workers.thaw(tunnels, &fronts, &self.metrics).await.map_err(ThawError::Socket)?;
        for orphan in thaw.orphans() {
            if let Some(pool) = self.in_force.pools.get(&orphan.pool) {
                pool.take_on(&orphan, &workers.registries());
            }
        }
        Ok(())
    }

    /// Those of all servers, by pool and server.
    fn accounts(&self) -> HashMap<(&str, &str), &Arc<Account>> {
        let servers = self.in_force.pools.values().flat_map(|pool| pool.servers());
        servers.map(|server| ((server.pool(), server.name()), server.account())).collect()
    }
}

impl fmt::Display for ThawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ThawError::Record(error) => error.fmt(f),
            ThawError::Socket(error) => write!(f, "socket of a tunnel cannot be used: {error}"),
        }
    }
}

impl std::error::Error for ThawError {}
