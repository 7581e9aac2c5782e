//! Who is compared, and how each is started.

use super::CompareArgs;
use crate::fault::Fault;
use crate::shape::Case;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a proxy is started. Of files, lines that begin with `@TLS@` are for TLS only, and those with `@PLAIN@` for none;
/// `@DIR@/tls.crt`, `tls.key` and `tls.pem` (both) are the certificate. In files and arguments `@PORT@` is the port to
/// listen on (at 127.0.0.1), `@BACKEND@` the backend's host and port (`@BACKEND_HOST@`, `@BACKEND_PORT@`), and `@DIR@` a
/// directory for what it writes.
struct Peer {
    name: &'static str,
    version: &'static [&'static str],
    /// Name and content of its configuration.
    files: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
}

/// A proxy that is here and will be measured.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    /// What it says of its version, in one line.
    pub(super) version: String,
    pub(super) files: Vec<(&'static str, String)>,
    pub(super) args: &'static [&'static str],
}

impl Contender {
    /// The floor moves bytes, and does nothing else.
    pub(super) fn can(&self, case: &Case) -> bool {
        self.name != FLOOR || !case.tls
    }
}

/// The name of the gateway in tables and options.
pub(super) const GATEWAY: &str = "ropeway";
/// The name of the relay that is no proxy but the floor under them all.
pub(super) const FLOOR: &str = "raw";

/// Those of the table below that are wanted and installed. Those that are not installed are named.
pub(super) fn find(args: &CompareArgs) -> Result<Vec<Contender>, Fault> {
    if let Some(name) = args.only.iter().find(|name| PEERS.iter().all(|peer| peer.name != *name)) {
        return Err(Fault::new(format!("there is no peer `{name}`")));
    }
    let wanted = |peer: &&Peer| args.only.is_empty() || args.only.iter().any(|name| name == peer.name);
    let mut found = Vec::new();
    for peer in PEERS.iter().filter(wanted) {
        match locate(peer.name, args) {
            Some(program) => found.push(contender(peer, program, args)?),
            None => eprintln!("left out: {} is not installed (bench/setup installs the peers)", peer.name),
        }
    }
    if found.is_empty() { Err(Fault::new("there is nobody to measure: run bench/setup")) } else { Ok(found) }
}

fn contender(peer: &Peer, program: PathBuf, args: &CompareArgs) -> Result<Contender, Fault> {
    let mut files: Vec<_> = peer.files.iter().map(|&(name, content)| (name, content.to_owned())).collect();
    if let (GATEWAY, Some(path), Some((_, content))) = (peer.name, &args.ropeway_config, files.first_mut()) {
        *content = std::fs::read_to_string(path).map_err(Fault::io(path.display()))?;
    }
    let version = version_line(&program, peer.version);
    Ok(Contender { name: peer.name, program, version, files, args: peer.args })
}

fn locate(name: &str, args: &CompareArgs) -> Option<PathBuf> {
    match name {
        GATEWAY => args.ropeway.canonicalize().ok(),
        FLOOR => std::env::current_exe().ok(),
        _ => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let directories = std::env::split_paths(&path)
                .chain([args.venv.join("bin")])
                // Services are installed where an ordinary user's PATH does not look.
                .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
            directories.map(|directory| directory.join(name)).find(|path| path.is_file())
        }
    }
}

/// The first line with a digit in it; nginx writes it to standard error.
fn version_line(program: &Path, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else { return "version unknown".into() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()));
    line.unwrap_or("version unknown").trim().to_owned()
}

macro_rules! config {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../../bench/peers/", $name)))
    };
}

/// One worker each. Order is the order of the table's columns.
const PEERS: &[Peer] = &[
    Peer {
        name: "nginx",
        version: &["-v"],
        files: &[config!("nginx.conf")],
        args: &["-p", "@DIR@", "-e", "@DIR@/nginx-error.log", "-c", "@DIR@/nginx.conf"],
    },
    Peer {
        name: "haproxy",
        version: &["-v"],
        files: &[config!("haproxy.cfg")],
        args: &["-db", "-f", "@DIR@/haproxy.cfg"],
    },
    Peer {
        name: "envoy",
        version: &["--version"],
        files: &[config!("envoy.yaml")],
        args: &[
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warn",
            "-c",
            "@DIR@/envoy.yaml",
        ],
    },
    Peer {
        name: "traefik",
        version: &["version"],
        files: &[config!("traefik.yaml"), config!("traefik-routes.yaml")],
        args: &["--configFile=@DIR@/traefik.yaml"],
    },
    Peer {
        name: "caddy",
        version: &["version"],
        files: &[config!("Caddyfile")],
        args: &["run", "--adapter", "caddyfile", "--config", "@DIR@/Caddyfile"],
    },
    Peer {
        name: FLOOR,
        version: &["--version"],
        files: &[],
        args: &["relay", "--listen", "127.0.0.1:@PORT@", "--to", "@BACKEND@"],
    },
    Peer {
        name: GATEWAY,
        version: &["--version"],
        files: &[config!("ropeway.yaml")],
        args: &["run", "@DIR@/ropeway.yaml", "--workers", "1"],
    },
];
