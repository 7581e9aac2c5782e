//! `ropeway run`.

use std::io::{self, IsTerminal};
use std::process::{self, ExitCode};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::Run;
use crate::app::{Gateway, Options, runtime};
use crate::net::limits;
use crate::spec::{Diagnostics, Severity};
use crate::supervisor::load::{Objects, load, sources_from};

/// Carries traffic until it is told to stop.
pub(super) fn run(run: &Run) -> ExitCode {
    let sources = match sources_from(&run.files.paths) {
        Ok(sources) => sources,
        Err(error) => return failure(&error),
    };
    let loaded = load(&sources);
    if loaded.diagnostics.has_errors() {
        eprint!("{}", loaded.diagnostics.render(io::stderr().is_terminal()));
        return failure(&"the configuration has faults: nothing was started");
    }
    log(&loaded.diagnostics);
    let options = Options { workers: run.workers, admin: run.admin };
    start_and_wait(&loaded.objects, &options, |_| {})
}

/// Starts a gateway, tells `started` of it, and stops it when the process is asked to stop.
pub(super) fn start_and_wait(
    objects: &Objects,
    options: &Options,
    started: impl FnOnce(&Gateway),
) -> ExitCode {
    limits::prepare_descriptors(limits::raise_open_files());
    let asked_to_stop = match listen_to_signals() {
        Ok(asked_to_stop) => asked_to_stop,
        Err(error) => return failure(&error),
    };
    let gateway = match Gateway::start(objects, options) {
        Ok(gateway) => gateway,
        Err(error) => return failure(&error),
    };
    for address in gateway.addresses() {
        tracing::info!(%address, "listening");
    }
    if let Some(address) = gateway.admin() {
        tracing::info!(%address, "administration");
    }
    tracing::info!(room_for = gateway.room(), "ready for tunnels");
    started(&gateway);
    // The thread that tells of signals never ends before the process.
    let _ = asked_to_stop.recv();
    tracing::info!("stopping; a second signal stops at once");
    gateway.stop();
    ExitCode::SUCCESS
}

/// From now on SIGINT and SIGTERM are told to whoever receives; a second one ends the process.
fn listen_to_signals() -> io::Result<Receiver<()>> {
    let (ask, asked) = channel();
    let (ready, listening) = channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        let waiting = async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let _ = ready.send(());
            for again in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if again {
                    process::exit(130);
                }
                let _ = ask.send(());
            }
            Ok::<_, io::Error>(())
        };
        runtime().and_then(|runtime| runtime.block_on(waiting))
    })?;
    listening.recv().map_err(|_| io::Error::other("signals cannot be received"))?;
    Ok(asked)
}

/// One line for each thing that the user should know.
fn log(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics.iter() {
        let line = diagnostics.one_line(diagnostic);
        match diagnostic.severity() {
            Severity::Note => tracing::info!("{line}"),
            _ => tracing::warn!("{line}"),
        }
    }
}

pub(super) fn failure(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
