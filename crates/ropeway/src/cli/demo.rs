//! `ropeway demo`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::thread;

use tokio_util::sync::CancellationToken;

use super::echo::{self, EchoOptions};
use super::run::{failure, run_fixed};
use crate::net::listener::listen;
use crate::spec::Source;
use crate::supervisor::load::load;

/// What the demonstration runs; a good first file to change.
const DOCUMENTS: &str = include_str!("demo.yaml");

/// Runs the gateway at `address` with two backends of its own.
pub(super) fn run(address: SocketAddr) -> ExitCode {
    let backends = match backends() {
        Ok(backends) => backends,
        Err(error) => return failure(&format!("starting the backends: {error}")),
    };
    let address = match with_port(address) {
        Ok(address) => address,
        Err(error) => return failure(&format!("listening on {address}: {error}")),
    };
    let text = DOCUMENTS
        .replace("port: 8080", &format!("port: {}", address.port()))
        .replace("address: 127.0.0.1", &format!("address: \"{}\"", address.ip()))
        .replace("127.0.0.1:9095", &backends[0].to_string())
        .replace("127.0.0.1:9096", &backends[1].to_string());
    let sources = [Source::new("demo.yaml", text)];
    let loaded = load(&sources);
    if loaded.diagnostics.has_errors() {
        return failure(&loaded.diagnostics.render(false));
    }
    run_fixed(loaded.objects, |gateway| {
        for address in gateway.addresses() {
            println!("{}", what_to_try(address));
        }
    })
}

/// Port 0 stands for any free one; documents do not know it. It is free again until the gateway takes it.
fn with_port(address: SocketAddr) -> io::Result<SocketAddr> {
    if address.port() == 0 { listen(address)?.local_addr() } else { Ok(address) }
}

/// Two echo backends on ports that are free.
fn backends() -> io::Result<[SocketAddr; 2]> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners = vec![listen(any)?, listen(any)?];
    let addresses = [listeners[0].local_addr()?, listeners[1].local_addr()?];
    thread::Builder::new()
        .name("echo".into())
        .spawn(move || echo::serve(listeners, &EchoOptions::default(), &CancellationToken::new()))?;
    Ok(addresses)
}

fn what_to_try(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    format!(
        "
Ropeway carries WebSockets to two echo backends. Try:

  a page           http://{address}/
  a handshake      curl -i -N --max-time 2 \\
                     -H 'Connection: Upgrade' -H 'Upgrade: websocket' \\
                     -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \\
                     http://{address}/ws
                   (it ends with a time-out: the WebSocket stays open)
  a conversation   websocat ws://{address}/ws

Ctrl-C stops it.
"
    )
}
