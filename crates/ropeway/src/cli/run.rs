//! `ropeway run`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Run;
use crate::app::{Gateway, Options, runtime};
use crate::net::limits;
use crate::spec::{Diagnostics, Severity};
use crate::supervisor::files::Files;
use crate::supervisor::load::{Objects, load, sources_from};
use crate::supervisor::plan::Fate;

/// How often to look whether files have changed.
const LOOK: Duration = Duration::from_millis(500);

/// What a signal asks for.
enum Request {
    Stop,
    Reload,
}

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
    let mut serve = |gateway: &mut Gateway, requests: &Receiver<Request>| loop {
        if let Some(files) = &mut files {
            files.name(gateway.files());
        }
        loop {
            match requests.recv_timeout(LOOK) {
                Ok(Request::Reload) => break,
                Err(RecvTimeoutError::Timeout) if files.as_mut().is_some_and(Files::have_changed) => break,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        reload(gateway, paths);
    };
    start_and_stop(loaded.objects, &options, |gateway, requests| {
        serve(gateway, requests);
        tracing::info!("draining; a second signal stops at once");
        gateway.drain(|tunnels| tracing::info!(tunnels, "draining"));
    })
}

/// Carries traffic with two echo backends of its own until it is told to stop.
pub(super) fn run_fixed(objects: Objects, started: impl FnOnce(&Gateway)) -> ExitCode {
    start_and_stop(objects, &Options::default(), |gateway, requests| {
        started(gateway);
        while let Ok(Request::Reload) = requests.recv() {
            tracing::info!("there are no files to read again");
        }
    })
}

/// Starts a gateway, has `serve` look after it, and stops it.
fn start_and_stop(
    objects: Objects,
    options: &Options,
    serve: impl FnOnce(&mut Gateway, &Receiver<Request>),
) -> ExitCode {
    limits::prepare_descriptors(limits::raise_open_files());
    let requests = match listen_to_signals() {
        Ok(requests) => requests,
        Err(error) => return failure(&error),
    };
    let mut gateway = match Gateway::start(objects, options) {
        Ok(gateway) => gateway,
        Err(error) => return failure(&error),
    };
    log_addresses(&gateway);
    if let Some(address) = gateway.admin() {
        tracing::info!(%address, "administration");
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

/// Puts in force what the files say now, if it can be.
fn reload(gateway: &mut Gateway, paths: &[PathBuf]) {
    let result = match read_again(gateway, paths) {
        Ok(()) => "ok",
        Err(error) => {
            tracing::error!("{error}: what was in force stays in force");
            "failed"
        }
    };
    gateway.metrics().reloaded(result);
}

fn read_again(gateway: &mut Gateway, paths: &[PathBuf]) -> Result<(), String> {
    if paths.iter().any(|path| path.as_os_str() == "-") {
        return Err("standard input cannot be read again".into());
    }
    let loaded = load(&sources_from(paths)?);
    log(&loaded.diagnostics);
    if loaded.diagnostics.has_errors() {
        return Err("the configuration has faults".into());
    }
    if loaded.objects.servers.is_empty() {
        return Err("the configuration has no HTTPServer".into());
    }
    let before = gateway.places();
    let plan = gateway.reload(loaded.objects).map_err(|error| error.to_string())?;
    if plan.is_empty() {
        tracing::info!("configuration read again: nothing has changed");
        return Ok(());
    }
    tracing::info!("configuration changed: {plan}");
    for change in plan.changes.iter().filter(|change| change.fate != Fate::Kept) {
        tracing::info!(kind = change.kind, name = change.name, "{}", change.fate);
    }
    if gateway.places() != before {
        log_addresses(gateway);
    }
    Ok(())
}

/// From now on signals are told to whoever receives: SIGINT and SIGTERM, of which a second one ends the process, and
/// SIGHUP.
fn listen_to_signals() -> io::Result<Receiver<Request>> {
    let (ask, asked) = channel();
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
                    _ = interrupt.recv() => Request::Stop,
                    _ = terminate.recv() => Request::Stop,
                    _ = hang_up.recv() => Request::Reload,
                };
                stops += usize::from(matches!(request, Request::Stop));
                if stops > 1 {
                    process::exit(130);
                }
                let _ = ask.send(request);
            }
        };
        runtime()?.block_on(waiting)
    };
    thread::Builder::new().name("signals".into()).spawn(listen)?;
    listening.recv().map_err(|_| io::Error::other("signals cannot be received"))?;
    Ok(asked)
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

pub(super) fn failure(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
