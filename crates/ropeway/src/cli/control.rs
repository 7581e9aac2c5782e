//! Commands to a running gateway, over its control socket.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::geteuid;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::drain;
use super::run::failure;
use super::table::Table;
use crate::admin::operations::{Changes, DrainedObject, Failure, Upgraded};
use crate::app::runtime;

/// How long a gateway may take for an answer: somewhat longer than it gives itself.
const PATIENCE: Duration = Duration::from_secs(70);

/// The longest answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// Stands for a path where no socket is wanted.
pub(super) const OFF: &str = "off";

/// Which gateway is meant, and how its answer is shown.
#[derive(Args, Debug)]
pub(super) struct Control {
    /// The gateway's control socket [default: as `ropeway run` opens it]
    #[arg(long, value_name = "PATH", env = "ROPEWAY_CONTROL", hide_env_values = true)]
    control: Option<PathBuf>,
    /// How to show the answer: as a table or as JSON
    #[arg(short, long, value_enum, default_value_t, value_name = "table|json", hide_possible_values = true)]
    output: Output,
}

#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Debug)]
enum Output {
    #[default]
    Table,
    Json,
}

/// Where the socket is unless the user says so: where only this user can make files.
pub(super) fn default_path() -> PathBuf {
    let folder = match env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder).join("ropeway"),
        None if geteuid().is_root() => PathBuf::from("/run/ropeway"),
        None => env::temp_dir().join(format!("ropeway-{}", geteuid().as_raw())),
    };
    folder.join("control.sock")
}

/// `ropeway status`.
pub(super) fn status(control: &Control) -> ExitCode {
    control.ask(Method::GET, "/status", |status| {
        println!("{}", if status["ready"] == true { "ready" } else { "not ready" });
        println!("tunnels: {}", status["tunnels"]);
        if let stopping @ Value::Object(_) = &status["stopping"] {
            let [left, within] = [&stopping["left"], &stopping["deadline_in_s"]];
            println!("the gateway stops: {left} tunnels are left, which end within {within}s");
        }
        println!();
        let mut objects = Table::new(["KIND", "NAME"]);
        each(&status["objects"], |object| objects.row([text(&object["kind"]), text(&object["name"])]));
        let mut routes = Table::new(["ROUTE", "TUNNELS"]);
        each(&status["routes"], |route| routes.row([text(&route["route"]), text(&route["tunnels"])]));
        let mut servers = Table::new(["POOL", "SERVER", "STATE", "CONNECTIONS", "REASON"]);
        each(&status["pools"], |pool| {
            each(&pool["servers"], |server| servers.row(server_row(pool, server)));
            each(&pool["leaving"], |server| {
                let [name, connections] = [&server["server"], &server["connections"]].map(text);
                servers.row([text(&pool["pool"]), name, "leaving".into(), connections, String::new()]);
            });
        });
        print!("{objects}\n{routes}\n{servers}");
        let drained = Vec::<DrainedObject>::deserialize(&status["drained"]).unwrap_or_default();
        if !drained.is_empty() {
            print!("\n{}", drain::table(&drained));
        }
    })
}

fn server_row(pool: &Value, server: &Value) -> [String; 5] {
    let ejected = &server["conduct"]["ejected"];
    let drained = server["drained"] == true;
    let state = match (server["usable"] == true, ejected.is_null(), &server["health"]["state"]) {
        _ if drained => "drained".to_owned(),
        (_, false, _) => "ejected".to_owned(),
        (true, true, Value::Null) => "usable".to_owned(),
        (false, true, Value::Null) => "not usable".to_owned(),
        (_, true, state) => text(state),
    };
    let reason = if ejected.is_null() { &server["health"]["reason"] } else { &ejected["reason"] };
    [text(&pool["pool"]), text(&server["server"]), state, text(&server["connections"]), text(reason)]
}

/// `ropeway reload`.
pub(super) fn reload(control: &Control) -> ExitCode {
    control.ask(Method::POST, "/reload", |answer| {
        let Ok(changes) = serde_json::from_value::<Changes>(answer.clone()) else { return };
        print!("{}", object_table(changes));
    })
}

/// `ropeway upgrade`.
pub(super) fn upgrade(control: &Control, force: bool) -> ExitCode {
    if control.output == Output::Table {
        let counted = control.ask(Method::GET, "/upgrade", |counted| {
            let [movable, tunnels] = [&counted["movable"], &counted["tunnels"]];
            println!("{movable} of {tunnels} tunnels can move; others drain in the old process");
        });
        if counted != ExitCode::SUCCESS {
            return counted;
        }
    }
    let path = if force { "/upgrade?force" } else { "/upgrade" };
    control.ask(Method::POST, path, |answer| {
        let Ok(Upgraded { pid, listeners, tunnels }) = serde_json::from_value(answer.clone()) else { return };
        println!("process {pid} has taken over: {listeners} listeners, {tunnels} tunnels");
    })
}

pub(super) fn object_table(changes: Changes) -> Table<3> {
    let mut table = Table::new(["KIND", "NAME", "FATE"]);
    changes.objects.into_iter().for_each(|object| table.row([object.kind, object.name, object.fate]));
    table
}

impl Control {
    /// Asks the gateway, and shows what it says; `table` shows an answer to people.
    fn ask(&self, method: Method, path: &str, table: impl FnOnce(&Value)) -> ExitCode {
        match self.answer(method, path, Vec::new()) {
            Ok(answer) => {
                self.show(&answer, table);
                ExitCode::SUCCESS
            }
            Err(code) => code,
        }
    }

    /// What the gateway says, asked with this body. If it refuses, or says nothing, the user is told.
    pub(super) fn answer(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Value, ExitCode> {
        let socket = self.control.clone().unwrap_or_else(default_path);
        match call(&socket, method, path, body) {
            Ok((status, answer)) if status.is_success() => Ok(answer),
            Ok((_, answer)) => Err(refused(&answer)),
            Err(error) => {
                let (socket, hint) = (socket.display(), hint(&error));
                Err(failure(&format!("no answer at the control socket `{socket}`: {error}{hint}")))
            }
        }
    }

    pub(super) fn show(&self, answer: &Value, table: impl FnOnce(&Value)) {
        match self.output {
            Output::Json => println!("{answer:#}"),
            Output::Table => table(answer),
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; is a gateway running, with this `--control`?"
        }
        _ => "",
    }
}

fn refused(answer: &Value) -> ExitCode {
    let refusal = serde_json::from_value(answer.clone());
    let refusal: Failure = refusal.unwrap_or_else(|_| "the gateway refused".to_owned().into());
    match &*refusal.findings {
        "" => refusal.faults.iter().for_each(|fault| eprintln!("{fault}")),
        findings => eprint!("{findings}"),
    }
    failure(&refusal.error)
}

/// One request, and the answer to it.
fn call(socket: &Path, method: Method, path: &str, body: Vec<u8>) -> io::Result<(StatusCode, Value)> {
    let calling = async {
        let stream = UnixStream::connect(socket).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let request = Request::builder().method(method).uri(path).header("host", "ropeway");
        let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
        let asking = async {
            let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(io::Error::other)?;
            io::Result::Ok((head.status, serde_json::from_slice(&body.to_bytes())?))
        };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            // The answer may have come with the end of the connection.
            _ = connection => asking.await,
        }
    };
    let timed =
        async { timeout(PATIENCE, calling).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) };
    runtime()?.block_on(timed)
}

fn each(list: &Value, f: impl FnMut(&Value)) {
    list.as_array().into_iter().flatten().for_each(f);
}

/// A cell: nothing for what is not there.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
