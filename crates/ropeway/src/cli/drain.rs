//! `ropeway drain` and `ropeway undrain`: parts of a running gateway are taken out of use, and used again.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, ValueEnum};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::control::Control;
use super::run::failure;
use super::table::Table;
use super::{Cli, USAGE};
use crate::admin::operations::{DrainOrder, DrainedObject, Drains, Failure};
use crate::app::Gateway;
use crate::spec::types::{Rate, Window};
use crate::supervisor::drains::{Drained, Kind, Target, Terms, Wish};

/// How often `--wait` looks what is left.
const LOOK: Duration = Duration::from_millis(500);

pub(super) const EXAMPLES: &str = "\
Examples:
  ropeway drain server ws://10.0.0.7:9095            before it is maintained
  ropeway drain server ws://10.0.0.7:9095 --wait     the same, until nothing of it is left
  ropeway drain pool chat/proxy#main --window 10m
  ropeway drain listener front --keep-tunnels        take nothing new, and end nothing
  ropeway drain gateway                              as before a stop, which is not stopped
  ropeway undrain server ws://10.0.0.7:9095

New requests are led to other servers of the pool, or get a 503. Exit code of --wait: 0 when nothing is left, 1 when
the drain was taken back or the gateway is gone.";

#[derive(Args, Debug)]
pub(super) struct Drain {
    #[command(flatten)]
    part: Part,
    /// Spread the ends of its tunnels over this time, as 30s or 10m [default: as `drain` of the HTTPServer says]
    #[arg(long, value_name = "DURATION")]
    window: Option<Window>,
    /// End so many tunnels in a second at most, as 100/s [default: as `drain` of the HTTPServer says]
    #[arg(long, value_name = "RATE")]
    max_rate: Option<Rate>,
    /// End all that are left after this time at once [default: as `drain` of the HTTPServer says, or the window]
    #[arg(long, value_name = "DURATION")]
    deadline: Option<Window>,
    /// Take nothing new, and end no tunnel
    #[arg(long, conflicts_with_all = ["window", "max_rate", "deadline"])]
    keep_tunnels: bool,
    /// Come back when nothing is left
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    control: Control,
}

#[derive(Args, Debug)]
pub(super) struct Undrain {
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    control: Control,
}

/// Parts of a gateway.
#[derive(Args, Debug)]
struct Part {
    /// What it is
    #[arg(value_enum)]
    object: Object,
    /// Names as `ropeway status` shows them; none for the gateway
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The pool of the server, where several pools have one of that name
    #[arg(long, conflicts_with = "all_pools")]
    pool: Option<String>,
    /// The server in every pool that has it
    #[arg(long)]
    all_pools: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Debug)]
enum Object {
    /// A server of a pool, by its URL
    Server,
    /// Every server of a pool
    Pool,
    /// A route, as server/rule/path, counted from 0
    Route,
    /// All routes of an HTTPServer
    Listener,
    /// All listeners; the process goes on
    Gateway,
}

/// Asks the gateway to drain something.
pub(super) fn ask_to_drain(order: &Drain) -> ExitCode {
    if order.window.zip(order.deadline).is_some_and(|(window, deadline)| deadline < window) {
        return misuse("`--deadline` comes before the end of `--window`");
    }
    let wish = match order.part.wish() {
        Ok(wish) => wish,
        Err(code) => return code,
    };
    let millis = |window: Window| u64::try_from(window.get().as_millis()).unwrap_or(u64::MAX);
    let terms = Terms {
        window_ms: order.window.map(millis),
        max_rate: order.max_rate.map(Rate::per_second),
        deadline_ms: order.deadline.map(millis),
        keep_tunnels: order.keep_tunnels,
    };
    let show = |objects: &[DrainedObject]| print!("{}", table(objects));
    match ask(&order.control, "/drain", &DrainOrder { wish, terms }, show) {
        Ok(drains) if order.wait => wait(&order.control, &drains),
        Ok(_) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

/// Asks the gateway to use something again.
pub(super) fn ask_to_undrain(order: &Undrain) -> ExitCode {
    let show = |objects: &[DrainedObject]| print!("{}", table_of_undrained(objects));
    let asked = order.part.wish().and_then(|wish| ask(&order.control, "/undrain", &wish, show));
    asked.map_or_else(|code| code, |_| ExitCode::SUCCESS)
}

/// What is drained, and how many are left of it.
pub(super) fn table(drained: &[DrainedObject]) -> Table<6> {
    let mut table = Table::new(["DRAINED", "NAME", "POOL", "LEFT", "SINCE", "TUNNELS"]);
    for object in drained {
        let tunnels = match (object.window_s, object.removed) {
            (Some(window), false) => format!("end over {window}s"),
            (Some(window), true) => format!("end over {window}s; it is removed"),
            (None, _) => "kept".to_owned(),
        };
        let (target, pool) = (&object.target, object.target.pool().unwrap_or_default());
        let (left, since) = (object.left.to_string(), format!("{}s", object.since_s));
        table.row([target.kind().into(), target.name().into(), pool.into(), left, since, tunnels]);
    }
    table
}

fn table_of_undrained(objects: &[DrainedObject]) -> Table<4> {
    let mut table = Table::new(["IN USE AGAIN", "NAME", "POOL", "LEFT"]);
    for DrainedObject { target, left, .. } in objects {
        let pool = target.pool().unwrap_or_default();
        table.row([target.kind().into(), target.name().into(), pool.into(), left.to_string()]);
    }
    table
}

/// Drains what is wished.
pub(super) fn drain(gateway: &mut Gateway, order: &DrainOrder) -> Result<Drains, Failure> {
    Ok(answer(&gateway.drain_objects(&order.wish, order.terms)?))
}

/// Uses again what is wished.
pub(super) fn undrain(gateway: &mut Gateway, wish: &Wish) -> Result<Drains, Failure> {
    Ok(answer(&gateway.undrain(wish)?))
}

fn answer(objects: &[(Drained, usize)]) -> Drains {
    Drains { objects: objects.iter().map(|(drained, left)| DrainedObject::of(drained, *left)).collect() }
}

impl Part {
    fn wish(&self) -> Result<Wish, ExitCode> {
        match (self.object, self.names.is_empty()) {
            (Object::Gateway, false) => return Err(misuse("the gateway has no name: give none")),
            (Object::Gateway, true) | (_, false) => {}
            (_, true) => return Err(misuse("say which one: `ropeway status` shows the names")),
        }
        if self.object != Object::Server && (self.pool.is_some() || self.all_pools) {
            return Err(misuse("`--pool` and `--all-pools` are for servers"));
        }
        let object = match self.object {
            Object::Server => Kind::Server,
            Object::Pool => Kind::Pool,
            Object::Route => Kind::Route,
            Object::Listener => Kind::Listener,
            Object::Gateway => Kind::Gateway,
        };
        Ok(Wish { object, names: self.names.clone(), pool: self.pool.clone(), all_pools: self.all_pools })
    }
}

fn misuse(why: &str) -> ExitCode {
    // Where it cannot be printed, the code still tells.
    let _ = Cli::command().error(ErrorKind::ValueValidation, why).print();
    ExitCode::from(USAGE)
}

/// Asks for it, and shows what comes of it.
fn ask(
    control: &Control,
    path: &str,
    question: &impl Serialize,
    show: impl FnOnce(&[DrainedObject]),
) -> Result<Vec<Target>, ExitCode> {
    let body = serde_json::to_vec(question).map_err(|error| failure(&error))?;
    let answer = control.answer(Method::POST, path, body)?;
    let Ok(Drains { objects }) = Drains::deserialize(&answer) else {
        return Err(failure(&"the gateway's answer is of another version"));
    };
    control.show(&answer, |_: &Value| show(&objects));
    Ok(objects.into_iter().map(|object| object.target).collect())
}

/// Looks until nothing is left of `targets`.
fn wait(control: &Control, targets: &[Target]) -> ExitCode {
    loop {
        let status = match control.answer(Method::GET, "/status", Vec::new()) {
            Ok(status) => status,
            Err(code) => return code,
        };
        let drained = Vec::<DrainedObject>::deserialize(&status["drained"]).unwrap_or_default();
        let left = |target: &Target| {
            drained.iter().find(|object| object.target == *target).map(|object| object.left)
        };
        match targets.iter().map(left).sum::<Option<usize>>() {
            Some(0) => return ExitCode::SUCCESS,
            Some(_) => thread::sleep(LOOK),
            None => return failure(&"it is drained no more"),
        }
    }
}
