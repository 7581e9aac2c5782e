//! The programs of `peers/`.

use std::process::Command;

use serde_json::Value;

use super::needs;
use crate::cli::process::{Ended, Process, json};

/// A program of `peers/` by its library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Library {
    Websockets,
    Aiohttp,
    Node,
}

pub(crate) const ALL: [Library; 3] = [Library::Websockets, Library::Aiohttp, Library::Node];

/// An echo backend.
#[derive(Debug)]
pub(crate) struct Echo {
    process: Process,
    pub(crate) port: u16,
}

impl Echo {
    /// Starts one that accepts the subprotocol `chat.v1`, and compression unless it has the flag `--no-deflate`.
    pub(crate) fn start(library: Library, flags: &[&str]) -> Self {
        let mut command = match library {
            Library::Websockets => python("echo_websockets.py"),
            Library::Aiohttp => python("echo_aiohttp.py"),
            Library::Node => node("echo.mjs"),
        };
        let process = Process::start(command.args(["--subprotocol", "chat.v1"]).args(flags));
        let port = json(&process.out("\"ready\""))["port"].as_u64().unwrap();
        Echo { process, port: u16::try_from(port).unwrap() }
    }

    /// Ends it and gives its events of this kind.
    pub(crate) fn stop(self) -> Vec<Value> {
        self.process.wait().out.lines().map(json).collect()
    }
}

/// Starts the checks of a client against `url`.
pub(crate) fn client(library: Library, url: &str, flags: &[&str]) -> Process {
    Process::start(&mut client_command(library, url, flags))
}

/// The same over TLS, where the authority of the PEM file `ca` is to be believed.
pub(crate) fn client_over_tls(library: Library, url: &str, ca: &str) -> Process {
    let believe = [("SSL_CERT_FILE", ca), ("NODE_EXTRA_CA_CERTS", ca)];
    Process::start(client_command(library, url, &[]).envs(believe))
}

fn client_command(library: Library, url: &str, flags: &[&str]) -> Command {
    let mut command = match library {
        Library::Websockets => python("client_websockets.py"),
        Library::Aiohttp => python("client_aiohttp.py"),
        Library::Node => node("client.mjs"),
    };
    command.arg(url).args(flags).args(["--timeout", "60"]);
    command
}

/// Runs a headless browser on a page.
pub(crate) fn browser(url: &str) -> Ended {
    Process::start(node("browser.mjs").args([url, "--timeout", "60"])).wait()
}

/// A Python program of `peers/`.
pub(crate) fn python(program: &str) -> Command {
    let mut command = Command::new(needs::python());
    command.arg(format!("{}/peers/python/{program}", needs::ROOT));
    command
}

/// A Node program of `peers/`.
pub(crate) fn node(program: &str) -> Command {
    let mut command = Command::new(needs::node());
    command.arg(format!("{}/peers/node/{program}", needs::ROOT));
    command
}
