//! How servers are reached, from what the user wrote.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;

use super::connect::{Destination, Tls};
use super::names::Names;
use super::tls::{TlsFault, client_config, server_name};
use crate::spec::pool::{Pool as PoolSpec, Server as ServerSpec};
use crate::spec::tls::Tls as TlsSpec;

/// Makes the destinations of all servers of a configuration: they share what is known of names, and those with the same
/// `tls` share sessions.
pub struct Dialler {
    names: Names,
    configs: Mutex<Vec<(TlsSpec, Arc<ClientConfig>)>>,
}

impl Dialler {
    /// Names are looked up at `resolvers`, or where the system says if there are none.
    pub fn new(resolvers: Vec<SocketAddr>) -> Self {
        Dialler { names: Names::new(resolvers), configs: Mutex::default() }
    }

    /// The way to `server` of `pool`.
    ///
    /// # Errors
    /// TLS with it cannot be set up; this is known when the configuration is read, unless the world has changed since.
    pub fn destination(&self, server: &ServerSpec, pool: &PoolSpec) -> Result<Destination, TlsFault> {
        let (host, port) = (server.url.host().clone(), server.url.port());
        let tls = match pool.tls_of(server) {
            None => None,
            Some(spec) => Some(Tls { name: server_name(spec, &host)?, config: self.config(spec)? }),
        };
        Ok(Destination { host, port, names: self.names.clone(), tls })
    }

    fn config(&self, spec: &TlsSpec) -> Result<Arc<ClientConfig>, TlsFault> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = configs.iter().find(|(known, _)| known == spec) {
            return Ok(config.clone());
        }
        let config = Arc::new(client_config(spec)?);
        // What no server uses any more.
        configs.retain(|(_, config)| Arc::strong_count(config) > 1);
        configs.push((spec.clone(), config.clone()));
        Ok(config)
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").field("names", &self.names).finish_non_exhaustive()
    }
}
