//! The real program, its certificates in files, and real clients.

use std::fs;
use std::time::{Duration, Instant};

use testkit::{Authority, Identity, Initiator, eventually, free_port};

use super::{demand, echo, open};
use crate::cli::process::{Process, json, ropeway};
use crate::real::needs;
use crate::real::peers::{ALL, Echo, Library, client_over_tls};

/// A gateway that reads its configuration and its certificate from a folder.
struct Running {
    folder: std::path::PathBuf,
    process: Process,
    port: u16,
}

impl Running {
    fn start(name: &str, backend: u16, identity: &Identity) -> Self {
        let folder = std::env::temp_dir().join(format!("ropeway-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (port, path) = (free_port(), folder.display());
        let text = format!(
            "name: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\nhttps: true\n\
             certFiles: {{ main: {path}/cert.pem }}\nkeyFiles: {{ main: {path}/key.pem }}\n\
             drain: {{ window: 0 }}\nrules:\n\
             - paths: [{{ pathPrefix: /ws, backend: ws }}]\n---\nname: ws\nkind: Pipeline\nfilters:\n\
             - kind: WebSocketProxy\n  name: proxy\n  pools:\n\
             \x20 - servers: [{{ url: 'ws://127.0.0.1:{backend}' }}]\n    clientMaxMsgSize: 10000000\n\
             \x20   serverMaxMsgSize: 10000000\n"
        );
        fs::write(folder.join("gateway.yaml"), text).unwrap();
        write(&folder, identity);
        let path = folder.join("gateway.yaml").display().to_string();
        let process = Process::start(&mut ropeway(&["run", &path, "--log-format", "json"]));
        process.err("ready for tunnels");
        Running { folder, process, port }
    }

    fn tls(&self, authority: &Authority) -> Initiator {
        Initiator::new(([127, 0, 0, 1], self.port).into(), demand("localhost", authority))
    }
}

/// As tools that renew certificates do it: each file put in its place whole.
fn write(folder: &std::path::Path, identity: &Identity) {
    for (file, text) in [("cert.pem", &identity.certificate), ("key.pem", &identity.key)] {
        fs::write(folder.join("new"), text).unwrap();
        fs::rename(folder.join("new"), folder.join(file)).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_changed_certificate_file_is_used_and_a_bad_one_is_not() {
    let authority = Authority::new();
    let backend = testkit::Backend::listen().echo();
    let running = Running::start("files", backend.address.port(), &authority.issue(&["localhost"]));
    let tls = running.tls(&authority);
    let mut client = open(&tls);
    let next = authority.issue(&["localhost"]);
    let shown = || {
        let tls = running.tls(&authority);
        drop(open(&tls));
        tls.met().remove(0).certificate
    };
    write(&running.folder, &next);
    let began = Instant::now();
    eventually("the new certificate", || (shown() == next.der()).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    fs::write(running.folder.join("cert.pem"), "no certificate").unwrap();
    running.process.err("what was in force stays in force");
    let told = running.process.errs("there is no certificate in it");
    assert!(json(&told[0])["message"].as_str().unwrap().contains("gateway.yaml:6:20"), "{told:?}");
    assert_eq!(shown(), next.der());
    let last = authority.issue(&["localhost"]);
    write(&running.folder, &last);
    eventually("the last certificate", || (shown() == last.der()).then_some(()));
    echo(&mut client, b"still here");
}

#[test]
fn every_client_over_tls() {
    let authority = Authority::new();
    let backend = Echo::start(Library::Websockets, &[]);
    let running = Running::start("real", backend.port, &authority.issue(&["localhost"]));
    let ca = running.folder.join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let url = format!("wss://localhost:{}/ws", running.port);
    let clients = ALL.map(|library| (library, client_over_tls(library, &url, &ca.display().to_string())));
    for (library, client) in clients {
        let ended = client.wait();
        assert_eq!(ended.code, Some(0), "{library:?}: {ended:?}");
        assert_eq!(json(&ended.out)["ok"], true, "{library:?}: {ended:?}");
    }
    if needs::curl("https by curl") {
        let url = format!("https://localhost:{}/none", running.port);
        let mut curl = std::process::Command::new("curl");
        let ended = Process::start(curl.args(["--include", "--cacert"]).arg(&ca).arg(url)).wait();
        assert!(ended.out.starts_with("HTTP/2 404 "), "{ended:?}");
    }
    drop(backend);
}
