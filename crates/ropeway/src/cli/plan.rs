//! `ropeway plan`: what a configuration would change in a running gateway.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use http::Method;
use serde_json::Value;

use super::control::{Control, object_table};
use super::run::{check_loaded, failure};
use super::table::Table;
use crate::admin::control::MAX_QUESTION;
use crate::admin::operations::{Documents, Failure, Forecast, Tunnels};
use crate::app::Gateway;
use crate::supervisor::load::{load, sources_from};

/// There would be changes.
const CHANGED: u8 = 2;

/// Asks the gateway what these files would change.
pub(super) fn plan(paths: &[PathBuf], control: &Control) -> ExitCode {
    let body = match question(paths) {
        Ok(body) => body,
        Err(error) => return failure(&error),
    };
    let answer = match control.answer(Method::POST, "/plan", body) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let Ok(forecast) = serde_json::from_value::<Forecast>(answer.clone()) else {
        return failure(&"the gateway's answer is of another version");
    };
    eprint!("{}", forecast.findings);
    let code = if forecast.changed { ExitCode::from(CHANGED) } else { ExitCode::SUCCESS };
    control.show(&answer, |_: &Value| show(forecast));
    code
}

fn question(paths: &[PathBuf]) -> Result<Vec<u8>, String> {
    let documents = Documents { sources: sources_from(paths)?, colour: io::stderr().is_terminal() };
    let body = serde_json::to_vec(&documents.question()).map_err(|error| error.to_string())?;
    if body.len() > MAX_QUESTION {
        return Err(format!("the files are larger than {} MiB together", MAX_QUESTION >> 20));
    }
    Ok(body)
}

fn show(forecast: Forecast) {
    let summary = forecast.changes.summary.clone();
    let mut pools = Table::new(["POOL", "KEEP", "DRAIN", "CLOSE"]);
    let mut row = |name: &str, Tunnels { keep, drain, close }| {
        pools.row([name.to_owned(), keep.to_string(), drain.to_string(), close.to_string()]);
    };
    forecast.pools.iter().for_each(|pool| row(&pool.pool, pool.tunnels));
    row("all tunnels", forecast.tunnels);
    let (movable, Tunnels { keep, drain, close }) = (forecast.movable, forecast.tunnels);
    print!("{}\n{pools}\n{summary}\n", object_table(forecast.changes));
    println!("an upgrade would move {movable} of {} tunnels; others would drain", keep + drain + close);
}

/// The gateway's answer.
pub(super) fn forecast(gateway: &Gateway, documents: &Documents) -> Result<Forecast, Failure> {
    let loaded = load(&documents.sources);
    let findings = loaded.diagnostics.render(documents.colour);
    match check_loaded(&loaded) {
        Ok(()) => Ok(Forecast::of(&gateway.forecast(&loaded.objects), gateway.movable(), findings)),
        Err(failure) => Err(Failure { findings, ..failure }),
    }
}
