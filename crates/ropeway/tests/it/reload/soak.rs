//! Checked tunnels under traffic while the files of the real program change, again and again.
//!
//! `ROPEWAY_LONG=1` runs the same at full size.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use testkit::soak::{Backends, Plan, Report, Soak, Target};
use testkit::{Authority, Demand, Initiator, Peer, eventually, free_port, masked, op};

use crate::cli::process::{Process, ropeway};

/// The real program, and the folder that it reads.
struct Running {
    folder: PathBuf,
    process: Process,
    port: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    fn start(name: &str, port: u16, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("ropeway-soak-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
        let path = folder.to_str().unwrap();
        let mut command = ropeway(&["run", path, "--no-watch", "--log-format", "json"]);
        // Not a word of each tunnel: there are thousands.
        let process = Process::start(command.env("RUST_LOG", "warn,ropeway::cli=info"));
        process.err("ready for tunnels");
        Running { folder, process, port }
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Writes a file, has the program read it, and waits until that is done: `edit` counts from 1.
    fn edit(&self, file: &str, text: &str, edit: usize) {
        // As a whole, as editors do it.
        let part = self.folder.join("part");
        fs::write(&part, text).unwrap();
        fs::rename(&part, self.folder.join(file)).unwrap();
        self.process.signal(Signal::HUP);
        let done = || {
            let changed = self.process.errs("configuration changed: ").len();
            (changed + self.process.errs("nothing has changed").len() == edit).then_some(())
        };
        eventually(&format!("edit {edit}"), done);
    }
}

pub(crate) fn is_long() -> bool {
    std::env::var_os("ROPEWAY_LONG").is_some_and(|value| value == "1")
}

pub(crate) fn target(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Target {
    Target { address, host: "localhost".into(), path: "/ws".into(), tls }
}

/// Starts the traffic, and waits until all its tunnels are open.
fn soak(backends: Backends, target: Target, plan: Plan) -> Soak {
    let tunnels = plan.tunnels;
    let soak = backends.soak(target, plan).unwrap();
    let deadline = Instant::now() + OPENING;
    while soak.settled() < tunnels {
        assert!(
            Instant::now() < deadline,
            "{} of {tunnels} handshakes are over\n{}",
            soak.settled(),
            soak.report()
        );
        thread::park_timeout(Duration::from_millis(5));
    }
    soak
}

/// Thousands of handshakes without optimisation take a while.
const OPENING: Duration = Duration::from_secs(120);

fn backends(count: usize) -> Backends {
    Backends::listen(&vec![([127, 0, 0, 1], 0).into(); count]).unwrap()
}

/// Edits of seven kinds take turns; this is the configuration after `edit` of them, each building on those before.
fn edited(port: u16, servers: &[SocketAddr], edit: usize) -> String {
    let [mocks, routes, pools, more, limits, comments, _same] =
        KINDS.map(|kind| (edit + 6 - kind as usize) / 7);
    let routes: String =
        (0..routes).map(|route| format!("- paths: [{{ path: /route-{route}, backend: other }}]\n")).collect();
    let servers: Vec<_> =
        servers[..=more].iter().map(|server| format!("{{ url: 'ws://{server}' }}")).collect();
    let servers = servers.join(", ");
    let pools: String = (0..pools)
        .map(|pool| {
            format!(
                "  - {{ servers: [{servers}], filter: {{ headers: {{ X-Pool: {{ exact: '{pool}' }} }} }} }}\n"
            )
        })
        .collect();
    let limit = if limits % 2 == 0 { LOOSE } else { TIGHT };
    format!(
        "# edited {comments} times\nname: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\n\
         drain: {{ window: 0 }}\nrules:\n- paths: [{{ path: /ws, backend: chat }}]\n{routes}---\nname: chat\n\
         kind: Pipeline\nfilters:\n- kind: WebSocketProxy\n  name: proxy\n  pools:\n{pools}  - servers: [{servers}]\n\
         \x20   clientMaxMsgSize: {limit}\n---\nname: other\nkind: Pipeline\nfilters:\n\
         - {{ kind: Mock, name: mock-{mocks} }}\n"
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    UnrelatedFilter,
    Route,
    Pool,
    Server,
    Limit,
    Comment,
    Same,
}

const KINDS: [Kind; 7] =
    [Kind::UnrelatedFilter, Kind::Route, Kind::Pool, Kind::Server, Kind::Limit, Kind::Comment, Kind::Same];
const LOOSE: usize = 40_000;
const TIGHT: usize = 20_000;

#[test]
fn edit_after_edit_no_tunnel_loses_a_message_and_each_obeys_the_limits() {
    let (tunnels, edits, interval) =
        if is_long() { (5_000, 500, Duration::from_secs(3)) } else { (200, 40, Duration::from_millis(200)) };
    let (port, backends) = (free_port(), backends(2 + edits / 7));
    let servers = backends.addresses.clone();
    let running = Running::start("edits", port, &[("main.yaml", &edited(port, &servers, 0))]);
    let churn = Some(Duration::from_millis(20));
    let soak =
        soak(backends, target(running.address(), None), Plan { tunnels, interval, churn, ..Plan::default() });
    let mut tightened = 0;
    for edit in 1..=edits {
        let tightens =
            KINDS[(edit - 1) % 7] == Kind::Limit && edited(port, &servers, edit).contains(&TIGHT.to_string());
        let witness = tightens.then(|| {
            let mut witness = Peer::shake(running.address(), "/ws", "");
            assert!(witness.head().starts_with("HTTP/1.1 101 "));
            witness
        });
        running.edit("main.yaml", &edited(port, &servers, edit), edit);
        if let Some(mut witness) = witness {
            witness.send(&masked(op::BINARY, &vec![0; (LOOSE + TIGHT) / 2]));
            assert_eq!(witness.frame().close().0, 1009, "a live tunnel obeys edit {edit}");
            tightened += 1;
        }
        // Each edit meets traffic, whatever the machine does meanwhile.
        let received = soak.received();
        eventually("traffic", || (soak.received() > received + PER_EDIT).then_some(()));
    }
    let report = finish(soak, "edits");
    assert!(report.is_clean() && tightened > 0, "{report}");
    assert!(report.opened > tunnels as u64, "tunnels came and went\n{report}");
}

/// So many messages arrive between two edits, at the least.
const PER_EDIT: u64 = 20;

#[test]
fn certificates_are_swapped_under_live_tunnels() {
    let (tunnels, swaps, interval) =
        if is_long() { (500, 200, Duration::from_millis(200)) } else { (40, 15, Duration::from_millis(50)) };
    let (port, backends) = (free_port(), backends(1));
    let authority = Authority::new();
    let first = authority.issue(&["localhost"]);
    let folder = std::env::temp_dir().join(format!("ropeway-soak-swaps-{}", std::process::id()));
    let documents = edited(port, &[backends.addresses[0]], 0).replacen(
        "rules:",
        &format!(
            "https: true\ncertFiles: {{ a: {0}/cert.pem }}\nkeyFiles: {{ a: {0}/key.pem }}\nrules:",
            folder.display()
        ),
        1,
    );
    let files = [("main.yaml", &*documents), ("cert.pem", &*first.certificate), ("key.pem", &*first.key)];
    let running = Running::start("swaps", port, &files);
    let churn = Some(Duration::from_millis(50));
    let plan = Plan { tunnels, interval, churn, ..Plan::default() };
    let soak = soak(backends, target(running.address(), Some(trusting(&authority))), plan);
    for swap in 1..=swaps {
        let next = authority.issue(&["localhost"]);
        fs::write(running.folder.join("key.pem"), &next.key).unwrap();
        running.edit("cert.pem", &next.certificate, swap);
        assert_eq!(shown(running.address(), &authority), next.der(), "swap {swap}");
        let received = soak.received();
        eventually("traffic", || (soak.received() > received + PER_EDIT).then_some(()));
    }
    let report = finish(soak, "swaps");
    assert!(report.is_clean(), "{report}");
    assert!(report.opened > tunnels as u64, "tunnels came and went\n{report}");
}

pub(crate) fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// The certificate that a new client is shown.
fn shown(gateway: SocketAddr, authority: &Authority) -> CertificateDer<'static> {
    let tls = Initiator::new(gateway, Demand { name: "localhost", authority, identity: None, version: None });
    let mut client = Peer::shake(tls.address, "/ws", "");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    tls.met().remove(0).certificate
}

#[test]
fn a_drain_ends_busy_tunnels_evenly_and_cuts_no_message_in_two() {
    let (tunnels, window) =
        if is_long() { (5_000, Duration::from_secs(20)) } else { (200, Duration::from_secs(4)) };
    let (port, backends) = (free_port(), backends(1));
    let drain = format!("drain: {{ window: {}s, maxRate: 100000/s, deadline: 30s }}", window.as_secs());
    let documents = edited(port, &backends.addresses, 0).replacen("drain: { window: 0 }", &drain, 1);
    let running = Running::start("drain", port, &[("main.yaml", &documents)]);
    let interval = if is_long() { Duration::from_secs(3) } else { Duration::from_millis(100) };
    let plan = Plan { tunnels, interval, churn: None, ..Plan::default() };
    let soak = soak(backends, target(running.address(), None), plan);
    let began = soak.elapsed();
    running.process.signal(Signal::TERM);
    let deadline = Instant::now() + window + testkit::PATIENCE;
    while soak.report().unexpected_closes() < tunnels as u64 {
        assert!(Instant::now() < deadline, "not all are told to go\n{}", soak.report());
        thread::park_timeout(Duration::from_millis(20));
    }
    let report = finish(soak, "drain");
    assert!(report.messages_are_clean() && report.failed_handshakes == 0, "{report}");
    let closes: Vec<_> =
        report.closes.iter().map(|(close, count)| (close.code, &*close.reason, *count)).collect();
    assert_eq!(closes, [(1001, "gateway stops", tunnels as u64)]);
    let unevenness = report.unevenness(began, window).unwrap();
    // When a Close came is known no better than messages come on a machine with other work.
    let blur = report.longest_delay.as_secs_f64() / window.as_secs_f64();
    assert!(unevenness <= 0.1 + blur, "off by {unevenness:.3} of the window\n{report}");
}

/// Ends the traffic; the figures are shown where tests may print.
fn finish(soak: Soak, name: &str) -> Report {
    let time = soak.elapsed();
    let report = soak.finish();
    println!("{name}: {time:.1?}\n{report}");
    report
}
