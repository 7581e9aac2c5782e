//! `ropeway run`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Run;
use super::control::{OFF, default_path};
use crate::admin::operations::{Changes, Failure, Order, Orders};
use crate::admin::socket::ControlSocket;
use crate::app::{Gateway, Options, runtime};
use crate::net::limits;
use crate::spec::{Diagnostics, Severity};
use crate::supervisor::files::Files;
use crate::supervisor::load::{Objects, load, sources_from};
use crate::supervisor::plan::Fate;

/// How often to look whether files have changed.
const LOOK: Duration = Duration::from_millis(500);

/// Carries traffic until it is told to stop.
pub(super) fn run(run: &Run) -> ExitCode {
    let paths = &run.files.paths;
    let mut files = (!run.no_watch).then(|| Files::new(paths));
    let sources = match sources_from(paths) {
        Ok(sources) => sources,
        Err(error) => return failure(&error),
    };
    let loaded = load(&sources);
    if loaded.diagnostics.has_errors() {
        eprint!("{}", loaded.diagnostics.render(io::stderr().is_terminal()));
        return failure(&"the configuration has faults: nothing was started");
    }
    log(&loaded.diagnostics);
    let options = Options { workers: run.workers, admin: run.admin, resolvers: run.resolver.clone() };
    let mut serve = |gateway: &mut Gateway, requests: &Receiver<Order>| loop {
        if let Some(files) = &mut files {
            files.name(gateway.files());
        }
        let reply = loop {
            match requests.recv_timeout(LOOK) {
                Ok(Order::Reload(reply)) => break reply,
                Err(RecvTimeoutError::Timeout) if files.as_mut().is_some_and(Files::have_changed) => {
                    break None;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        };
        let result = reload(gateway, paths);
        if let Some(reply) = reply {
            // Who asked and left does not want to know.
            let _ = reply.send(result);
        }
    };
    let socket = match control_socket(run.control.as_deref()) {
        Ok(socket) => socket,
        Err(error) => return failure(&error),
    };
    start_and_stop(loaded.objects, &options, socket, |gateway, requests| {
        serve(gateway, requests);
        tracing::info!("draining; a second signal stops at once");
        gateway.drain(|tunnels| tracing::info!(tunnels, "draining"));
    })
}

/// Carries traffic with two echo backends of its own until it is told to stop.
pub(super) fn run_fixed(objects: Objects, started: impl FnOnce(&Gateway)) -> ExitCode {
    start_and_stop(objects, &Options::default(), None, |gateway, requests| {
        started(gateway);
        while let Ok(Order::Reload(_)) = requests.recv() {
            tracing::info!("there are no files to read again");
        }
    })
}

/// Starts a gateway, has `serve` look after it, and stops it.
fn start_and_stop(
    objects: Objects,
    options: &Options,
    socket: Option<ControlSocket>,
    serve: impl FnOnce(&mut Gateway, &Receiver<Order>),
) -> ExitCode {
    limits::prepare_descriptors(limits::raise_open_files());
    let (orders, requests) = channel();
    match listen_to_signals(orders.clone()) {
        Ok(()) => {}
        Err(error) => return failure(&error),
    }
    let mut gateway = match Gateway::start(objects, options) {
        Ok(gateway) => gateway,
        Err(error) => return failure(&error),
    };
    log_addresses(&gateway);
    if let Some(address) = gateway.admin() {
        tracing::info!(%address, "administration");
    }
    if let Some(socket) = socket {
        tracing::info!(path = %socket.path().display(), "control socket");
        gateway.control(socket, orders);
    }
    tracing::info!(room_for = gateway.room(), "ready for tunnels");
    serve(&mut gateway, &requests);
    tracing::info!("stopping");
    gateway.stop();
    ExitCode::SUCCESS
}

fn log_addresses(gateway: &Gateway) {
    for address in gateway.places() {
        tracing::info!(%address, "listening");
    }
}

/// Opens the control socket, if it is wanted. One that the user named must be there; else a gateway can do without.
fn control_socket(given: Option<&Path>) -> Result<Option<ControlSocket>, String> {
    if given == Some(Path::new(OFF)) {
        return Ok(None);
    }
    let path = given.map_or_else(default_path, Path::to_path_buf);
    match ControlSocket::open(&path) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if given.is_some() => {
            Err(format!("cannot open the control socket `{}`: {error}", path.display()))
        }
        Err(error) => {
            tracing::warn!(
                path = %path.display(), %error,
                "no control socket: give this gateway one of its own with `--control PATH`, or `--control off`"
            );
            Ok(None)
        }
    }
}

/// Puts in force what the files say now, if it can be.
fn reload(gateway: &mut Gateway, paths: &[PathBuf]) -> Result<Changes, Failure> {
    let result = read_again(gateway, paths);
    if let Err(failure) = &result {
        tracing::error!("{}: what was in force stays in force", failure.error);
    }
    gateway.metrics().reloaded(if result.is_ok() { "ok" } else { "failed" });
    result
}

fn read_again(gateway: &mut Gateway, paths: &[PathBuf]) -> Result<Changes, Failure> {
    if paths.iter().any(|path| path.as_os_str() == "-") {
        return Err("standard input cannot be read again".to_owned().into());
    }
    let loaded = load(&sources_from(paths)?);
    log(&loaded.diagnostics);
    if loaded.diagnostics.has_errors() {
        return Err(Failure {
            error: "the configuration has faults".into(),
            faults: lines(&loaded.diagnostics),
        });
    }
    if loaded.objects.servers.is_empty() {
        return Err("the configuration has no HTTPServer".to_owned().into());
    }
    let before = gateway.places();
    let plan = gateway.reload(loaded.objects).map_err(|error| error.to_string())?;
    let changes = Changes::of(&plan);
    if plan.is_empty() {
        tracing::info!("configuration read again: nothing has changed");
        return Ok(changes);
    }
    tracing::info!("configuration changed: {plan}");
    for change in plan.changes.iter().filter(|change| change.fate != Fate::Kept) {
        tracing::info!(kind = change.kind, name = change.name, "{}", change.fate);
    }
    if gateway.places() != before {
        log_addresses(gateway);
    }
    Ok(changes)
}

/// From now on signals are told to whoever receives: SIGINT and SIGTERM, of which a second one ends the process, and
/// SIGHUP.
fn listen_to_signals(ask: Orders) -> io::Result<()> {
    let (ready, listening) = channel();
    let listen = move || -> io::Result<()> {
        let waiting = async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hang_up = signal(SignalKind::hangup())?;
            let _ = ready.send(());
            let mut stops = 0;
            loop {
                let request = tokio::select! {
                    _ = interrupt.recv() => Order::Stop,
                    _ = terminate.recv() => Order::Stop,
                    _ = hang_up.recv() => Order::Reload(None),
                };
                stops += usize::from(matches!(request, Order::Stop));
                if stops > 1 {
                    process::exit(130);
                }
                let _ = ask.send(request);
            }
        };
        runtime()?.block_on(waiting)
    };
    thread::Builder::new().name("signals".into()).spawn(listen)?;
    listening.recv().map_err(|_| io::Error::other("signals cannot be received"))
}

/// One line for each thing that the user should know.
fn log(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics.iter() {
        let line = diagnostics.one_line(diagnostic);
        match diagnostic.severity() {
            Severity::Note => tracing::info!("{line}"),
            Severity::Error => tracing::error!("{line}"),
            _ => tracing::warn!("{line}"),
        }
    }
}

/// Each fault in a line.
fn lines(diagnostics: &Diagnostics) -> Vec<String> {
    let faults = diagnostics.iter().filter(|diagnostic| diagnostic.severity() == Severity::Error);
    faults.map(|fault| diagnostics.one_line(fault)).collect()
}

pub(super) fn failure(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
