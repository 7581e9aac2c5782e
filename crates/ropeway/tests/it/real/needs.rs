//! What the real peers need, as `scripts/test` prepares it.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds `peers/`.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// `python3` with the packages of `peers/python`.
pub(crate) fn python() -> PathBuf {
    present(".venv/installed.txt");
    Path::new(ROOT).join(".venv/bin/python3")
}

/// `node`, for programs that use the packages of `peers/node`.
pub(crate) fn node() -> PathBuf {
    present("peers/node/node_modules/installed.json");
    PathBuf::from("node")
}

/// Whether there is `curl`; if it may be missing, says that `what` is skipped.
pub(crate) fn curl(what: &str) -> bool {
    let found = || Command::new("curl").arg("--version").output().is_ok_and(|curl| curl.status.success());
    not_skipped("curl", what, found)
}

/// Whether there is a browser; if it may be missing, says that `what` is skipped.
pub(crate) fn browser(what: &str) -> bool {
    let name = env::var("ROPEWAY_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
    not_skipped("browser", what, || Path::new(&name).exists())
}

fn present(file: &str) {
    assert!(Path::new(ROOT).join(file).exists(), "{file} is missing: run ./scripts/test");
}

fn not_skipped(tool: &str, what: &str, found: impl FnOnce() -> bool) -> bool {
    let skip = env::var("ROPEWAY_SKIP").unwrap_or_default();
    if skip.split(',').any(|name| name == tool) {
        // Not `eprintln!`: what that writes is not shown for a test that passes.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIPPED: {what}: there is no {tool}").unwrap();
        return false;
    }
    assert!(found(), "{tool} is missing: run ./scripts/test");
    true
}
