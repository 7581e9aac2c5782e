//! `ropeway run`.

use std::io::{self, IsTerminal};
use std::process::{self, ExitCode};

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
    let open_files = limits::raise_open_files();
    limits::prepare_descriptors(open_files);
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
    // Two for each tunnel, and some for everything else.
    tracing::info!(room_for = open_files.saturating_sub(100) / 2, "ready for tunnels");
    started(&gateway);
    if let Err(error) = asked_to_stop() {
        return failure(&error);
    }
    tracing::info!("stopping; a second signal stops at once");
    gateway.stop();
    ExitCode::SUCCESS
}

/// Waits for SIGINT or SIGTERM; from then on another one ends the process.
fn asked_to_stop() -> io::Result<()> {
    let (asked, told) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let waiting = async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            for again in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if again {
                    process::exit(130);
                }
                let _ = asked.send(());
            }
            Ok::<_, io::Error>(())
        };
        runtime().and_then(|runtime| runtime.block_on(waiting))
    })?;
    told.recv().map_err(|_| io::Error::other("signals cannot be received"))
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
