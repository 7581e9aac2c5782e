//! `ropeway run`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::control::{OFF, default_path};
use super::plan::forecast;
use super::stop::{Outcome, Reply, answer, stop};
use super::{Run, activation, drain, notify};
use crate::admin::operations::{Changes, Failure, Order, Orders, Upgraded};
use crate::admin::socket::ControlSocket;
use crate::app::{Gateway, Options, runtime, upgrade};
use crate::net::limits;
use crate::spec::{Diagnostics, Severity};
use crate::supervisor::files::Files;
use crate::supervisor::handover::incoming::{Given, Incoming, Predecessor};
use crate::supervisor::handover::outgoing::{Outgoing, Program};
use crate::supervisor::handover::{Moved, UpgradeError};
use crate::supervisor::load::{Loaded, Objects, load, sources_from};
use crate::supervisor::plan::Fate;
use crate::supervisor::thaw;
use crate::tunnel::frozen::Frozen;

/// How often to look whether files have changed.
const LOOK: Duration = Duration::from_millis(500);

/// Carries traffic until it is told to stop.
pub(super) fn run(run: &Run) -> ExitCode {
    limits::prepare_descriptors(limits::raise_open_files());
    let mut incoming = match Incoming::from_environment() {
        Ok(incoming) => incoming,
        Err(error) => return failure(&format!("the process to take over from cannot be reached: {error}")),
    };
    match carry(run, &mut incoming) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(mut incoming) = incoming {
                incoming.refuse(&error);
            }
            failure(&error)
        }
    }
}

fn carry(run: &Run, incoming: &mut Option<Incoming>) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let program = Program::own(run.upgrade_binary.clone()).map_err(|error| text(&error))?;
    if let Some(incoming) = incoming {
        incoming.greet().map_err(|error| text(&error))?;
    }
    let paths = &run.files.paths;
    let files = (!run.no_watch).then(|| Files::new(paths));
    let loaded = load(&sources_from(paths)?);
    if loaded.diagnostics.has_errors() {
        eprint!("{}", loaded.diagnostics.render(io::stderr().is_terminal()));
        let faults = lines(&loaded.diagnostics).join("; ");
        let all = if incoming.is_some() { format!(": {faults}") } else { String::new() };
        return Err(format!("the configuration has faults: nothing was started{all}"));
    }
    log(&loaded.diagnostics);
    let options = Options { workers: run.workers, admin: run.admin, resolvers: run.resolver.clone() };
    let mut given = match incoming {
        Some(incoming) => incoming.loaded().map_err(|error| text(&error))?,
        None => Given { listeners: activation::listeners(), state: Vec::new() },
    };
    let (orders, requests) = channel();
    listen_to_signals(orders.clone()).map_err(|error| text(&error))?;
    let (socket, control) = match incoming {
        None => (control_socket(run.control.as_deref())?, None),
        Some(_) => {
            let wanted = wanted_socket(run.control.as_deref());
            let socket =
                wanted.as_deref().and_then(|path| upgrade::control_socket(&mut given.listeners, path));
            // One that an older version does not give can be opened when that has left it.
            let control = wanted.filter(|_| socket.is_none());
            (socket, control)
        }
    };
    let mut gateway = Gateway::build(loaded.objects, &options, given).map_err(|error| text(&error))?;
    let predecessor = begin(&mut gateway, incoming, orders.clone())?;
    notify::ready();
    log_start(&gateway);
    let mut keeper = Keeper { paths, files, program, predecessor, control, orders };
    if let Some(socket) = socket {
        keeper.serve_control(&mut gateway, socket);
    }
    let outcome = keeper.serve(&mut gateway, &requests);
    stop(gateway, requests, outcome);
    Ok(())
}

/// Carries traffic with two echo backends of its own until it is told to stop.
pub(super) fn run_fixed(objects: Objects, started: impl FnOnce(&Gateway)) -> ExitCode {
    limits::prepare_descriptors(limits::raise_open_files());
    let (orders, requests) = channel();
    match listen_to_signals(orders) {
        Ok(()) => {}
        Err(error) => return failure(&error),
    }
    let gateway = match Gateway::start(objects, &Options::default()) {
        Ok(gateway) => gateway,
        Err(error) => return failure(&error),
    };
    log_start(&gateway);
    started(&gateway);
    while !matches!(requests.recv(), Ok(Order::Stop) | Err(_)) {
        tracing::info!("there are no files to read again, and nothing to upgrade");
    }
    tracing::info!("stopping");
    gateway.stop();
    ExitCode::SUCCESS
}

/// Accepts from now on; where there is an `incoming` process, once its tunnels are here. Says whom it took over from.
fn begin(
    gateway: &mut Gateway,
    incoming: &mut Option<Incoming>,
    orders: Orders,
) -> Result<Option<Predecessor>, String> {
    if let Some(incoming) = incoming {
        let tunnels = incoming.take_over(thaw::check).map_err(|error| error.to_string())?;
        gateway.put_in_force();
        take_in(gateway, tunnels);
    }
    gateway.begin();
    let Some(incoming) = incoming.take() else { return Ok(None) };
    tracing::info!("taken over from the older process");
    let predecessor = incoming.running();
    // Without a second handle the older process still ends by itself; only later rounds would be missed.
    let listening = predecessor.try_clone().and_then(|predecessor| listen_to(predecessor, orders));
    if let Err(error) = listening {
        tracing::error!(%error, "the older process cannot be listened to");
        return Ok(None);
    }
    Ok(Some(predecessor))
}

/// Goes on with tunnels that are this process's now.
pub(super) fn take_in(gateway: &Gateway, tunnels: Vec<Frozen>) {
    let count = tunnels.len();
    if let Err(error) = gateway.take_in(tunnels) {
        tracing::error!(%error, tunnels = count, "tunnels of the older process are lost");
    }
}

/// Has requests made of what the older process says.
fn listen_to(mut predecessor: Predecessor, orders: Orders) -> io::Result<()> {
    let listen = move || {
        while let Some(tunnels) = predecessor.later_tunnels() {
            let _ = orders.send(Order::Thaw(tunnels));
        }
        let _ = orders.send(Order::Alone);
    };
    thread::Builder::new().name("predecessor".into()).spawn(listen).map(drop)
}

/// Looks after a gateway that runs.
struct Keeper<'a> {
    paths: &'a [PathBuf],
    files: Option<Files>,
    program: Program,
    /// Until it has ended there is no further upgrade.
    predecessor: Option<Predecessor>,
    /// Where to open the control socket as soon as the process before this one has left it, if that does not give it.
    control: Option<PathBuf>,
    orders: Orders,
}

impl Keeper<'_> {
    fn serve(&mut self, gateway: &mut Gateway, requests: &Receiver<Order>) -> Outcome {
        let mut upgrade: Option<Option<Reply<Upgraded>>> = None;
        self.name_files(gateway);
        loop {
            match requests.recv_timeout(LOOK) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return Outcome::Stopped,
                Ok(Order::Reload(reply)) => {
                    let result = self.reload(gateway);
                    answer(reply, result);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.open_control(gateway);
                    gateway.watch_drains();
                    if self.files.as_mut().is_some_and(Files::have_changed) {
                        // It was logged.
                        let _ = self.reload(gateway);
                    }
                }
                // Who asked and left does not want to know.
                Ok(Order::Plan(documents, reply)) => drop(reply.send(forecast(gateway, &documents))),
                Ok(Order::Drain(order, reply)) => drop(reply.send(drain::drain(gateway, &order))),
                Ok(Order::Undrain(wish, reply)) => drop(reply.send(drain::undrain(gateway, &wish))),
                Ok(Order::Thaw(tunnels)) => take_in(gateway, tunnels),
                Ok(Order::Alone) => self.predecessor = None,
                Ok(Order::Upgrade { force, reply }) => upgrade = self.judge_upgrade(force, reply),
            }
            if self.predecessor.is_none()
                && let Some(reply) = upgrade.take()
            {
                let (result, outgoing) = self.upgrade(gateway);
                answer(reply, result);
                if let Some(outgoing) = outgoing {
                    return Outcome::HandedOver(outgoing);
                }
            }
        }
    }

    /// Whether an upgrade is to be made, now or when the process before this one has ended; who is to hear of it.
    fn judge_upgrade(
        &mut self,
        force: bool,
        reply: Option<Reply<Upgraded>>,
    ) -> Option<Option<Reply<Upgraded>>> {
        match &mut self.predecessor {
            Some(predecessor) if force => predecessor.force(),
            Some(_) if reply.is_some() => {
                let why = "the process before this one still drains: wait for its end, or use --force";
                answer(reply, Err(why.to_owned().into()));
                return None;
            }
            Some(_) => tracing::info!("the upgrade waits for the end of the process before this one"),
            None => {}
        }
        Some(reply)
    }

    /// Hands over to a new process, if it can be.
    fn upgrade(&self, gateway: &mut Gateway) -> (Result<Upgraded, Failure>, Option<Outgoing>) {
        tracing::info!("upgrade: starting the new process");
        let handed_over = match from_stdin(self.paths) {
            true => Err(UpgradeError::Impossible(
                "the configuration came from standard input, which cannot be read again",
            )),
            false => gateway.upgrade(&self.program),
        };
        match handed_over {
            Ok((outgoing, Moved { pid, listeners, tunnels })) => {
                notify::main_process(pid);
                tracing::info!(pid, listeners, tunnels, "upgrade: the new process has taken over");
                (Ok(Upgraded { pid, listeners, tunnels }), Some(outgoing))
            }
            Err(error) => {
                let kept =
                    if matches!(error, UpgradeError::Lost(_)) { "" } else { ": everything is as before" };
                tracing::error!("upgrade: {error}{kept}");
                (Err(format!("{error}{kept}").into()), None)
            }
        }
    }

    fn reload(&mut self, gateway: &mut Gateway) -> Result<Changes, Failure> {
        notify::reloading();
        let result = reload(gateway, self.paths);
        notify::ready();
        self.name_files(gateway);
        result
    }

    /// Opens the control socket, once the process before this one has closed it.
    fn open_control(&mut self, gateway: &mut Gateway) {
        if let Some(socket) = self.control.as_deref().and_then(|path| ControlSocket::open(path).ok()) {
            self.control = None;
            self.serve_control(gateway, socket);
        }
    }

    fn serve_control(&self, gateway: &mut Gateway, socket: ControlSocket) {
        tracing::info!(path = %socket.path().display(), "control socket");
        gateway.control(socket, self.orders.clone());
    }

    fn name_files(&mut self, gateway: &Gateway) {
        if let Some(files) = &mut self.files {
            files.name(gateway.files());
        }
    }
}

fn from_stdin(paths: &[PathBuf]) -> bool {
    paths.iter().any(|path| path.as_os_str() == "-")
}

fn log_start(gateway: &Gateway) {
    log_addresses(gateway);
    if let Some(address) = gateway.admin() {
        tracing::info!(%address, "administration");
    }
    tracing::info!(room_for = gateway.room(), "ready for tunnels");
}

fn log_addresses(gateway: &Gateway) {
    for address in gateway.places() {
        tracing::info!(%address, "listening");
    }
}

/// Opens the control socket, if it is wanted. One that the user named must be there; else a gateway can do without.
fn control_socket(given: Option<&Path>) -> Result<Option<ControlSocket>, String> {
    let Some(path) = wanted_socket(given) else { return Ok(None) };
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

/// Where the control socket is to be.
fn wanted_socket(given: Option<&Path>) -> Option<PathBuf> {
    let is_off = given == Some(Path::new(OFF));
    (!is_off).then(|| given.map_or_else(default_path, Path::to_path_buf))
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
    if from_stdin(paths) {
        return Err("standard input cannot be read again".to_owned().into());
    }
    let loaded = load(&sources_from(paths)?);
    log(&loaded.diagnostics);
    check_loaded(&loaded)?;
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

/// Whether a running gateway can go on with it.
pub(super) fn check_loaded(loaded: &Loaded) -> Result<(), Failure> {
    if loaded.diagnostics.has_errors() {
        let (error, faults) = ("the configuration has faults".to_owned(), lines(&loaded.diagnostics));
        return Err(Failure { error, faults, ..Failure::default() });
    }
    if loaded.objects.servers.is_empty() {
        return Err("the configuration has no HTTPServer".to_owned().into());
    }
    Ok(())
}

/// From now on signals are told to whoever receives: SIGINT and SIGTERM, of which a second one ends the process,
/// SIGHUP and SIGUSR2.
fn listen_to_signals(ask: Orders) -> io::Result<()> {
    let (ready, listening) = channel();
    let listen = move || -> io::Result<()> {
        let waiting = async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hang_up = signal(SignalKind::hangup())?;
            let mut upgrade = signal(SignalKind::user_defined2())?;
            let _ = ready.send(());
            let mut stops = 0;
            loop {
                let request = tokio::select! {
                    _ = interrupt.recv() => Order::Stop,
                    _ = terminate.recv() => Order::Stop,
                    _ = hang_up.recv() => Order::Reload(None),
                    _ = upgrade.recv() => Order::Upgrade { force: false, reply: None },
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

pub(super) fn failure(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// Each fault in a line.
fn lines(diagnostics: &Diagnostics) -> Vec<String> {
    let faults = diagnostics.iter().filter(|diagnostic| diagnostic.severity() == Severity::Error);
    faults.map(|fault| diagnostics.one_line(fault)).collect()
}
