//! A proxy that was started here, and that ends here whatever happens.

use super::peers::Contender;
use crate::fault::Fault;
use crate::procfs::Processes;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running proxy. Dropping it kills it and its descendants, each by its own number.
pub(super) struct Proxy {
    child: Child,
    log: PathBuf,
}

/// A directory for configurations and logs that goes when it is dropped.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes it below the system's directory for temporary files.
    pub(super) fn create() -> Result<Directory, Fault> {
        let path = std::env::temp_dir().join(format!("ropeway-bench-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o755).create(&path).map_err(Fault::io(path.display()))?;
        Ok(Directory { path })
    }

    /// Makes a certificate for `localhost` (P-256), and returns the file of who signed it.
    pub(super) fn certify(&self) -> Result<PathBuf, Fault> {
        let failed = |error: rcgen::Error| Fault::new(format!("no certificate: {error}"));
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(failed)?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let both = format!("{certificate}{key}");
        for (name, text) in [("tls.crt", &certificate), ("tls.key", &key), ("tls.pem", &both)] {
            let path = self.path.join(name);
            fs::write(&path, text).map_err(Fault::io(path.display()))?;
        }
        Ok(self.path.join("tls.crt"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed stays for the system to remove.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Proxy {
    /// Writes the configuration and starts the program, without waiting until it answers.
    pub(super) fn start(
        contender: &Contender,
        listen: SocketAddr,
        backend: SocketAddr,
        tls: bool,
        directory: &Directory,
    ) -> Result<Proxy, Fault> {
        let directory = directory.path.as_path();
        let filled = |text: &str| fill(text, listen, backend, directory);
        for (name, content) in &contender.files {
            let path = directory.join(name);
            fs::write(&path, filled(&chosen(content, tls))).map_err(Fault::io(path.display()))?;
        }
        let log = directory.join(format!("{}.log", contender.name));
        let output = File::create(&log).map_err(Fault::io(log.display()))?;
        let errors = output.try_clone().map_err(Fault::io(log.display()))?;
        let child = Command::new(&contender.program)
            .args(contender.args.iter().map(|arg| filled(arg)))
            .env("HOME", directory) // Caddy keeps its state there
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .process_group(0) // a Ctrl-C is ours to act on
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Fault::io(format!("start {}", contender.program.display())))?;
        Ok(Proxy { child, log })
    }

    /// Its process number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The fault with how the process ended, if it did, and the last lines that it logged.
    pub(super) fn explain(&mut self, fault: Fault) -> Fault {
        let Fault::Failed(why) = fault else { return fault };
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => format!("; it ended with {status}"),
            _ => String::new(),
        };
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ");
        Fault::new(if last.is_empty() {
            format!("{why}{ended}")
        } else {
            format!("{why}{ended}; its log:\n  {last}")
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Once it is waited for, its number may be another's.
        if self.has_ended() {
            return;
        }
        let pids = Processes::tree(&[self.child.id()]).map(|tree| tree.pids().to_vec()).unwrap_or_default();
        for pid in pids.iter().filter_map(|&pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // One that has just ended needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The lines for TLS, or for none.
fn chosen(text: &str, tls: bool) -> String {
    let (kept, dropped) = if tls { ("@TLS@", "@PLAIN@") } else { ("@PLAIN@", "@TLS@") };
    let lines = text.lines().filter(|line| !line.starts_with(dropped));
    lines.flat_map(|line| [line.strip_prefix(kept).unwrap_or(line), "\n"]).collect()
}

fn fill(text: &str, listen: SocketAddr, backend: SocketAddr, directory: &Path) -> String {
    text.replace("@PORT@", &listen.port().to_string())
        .replace("@BACKEND@", &backend.to_string())
        .replace("@BACKEND_HOST@", &backend.ip().to_string())
        .replace("@BACKEND_PORT@", &backend.port().to_string())
        .replace("@DIR@", &directory.display().to_string())
}

const LOG_LINES: usize = 5;
