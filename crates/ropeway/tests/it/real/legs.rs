//! A whole application with filters in between, TLS on both legs, and clients that many people use.

use std::fs;
use std::process::Command;

use testkit::{Authority, free_port};

use super::peers::{Echo, Library, node, python};
use super::{log_of, needs};
use crate::cli::process::{Gateway, Process, json};
use crate::tls::shows;

/// Routes of an application: its pages, its WebSockets, and where its pages were before.
const PIPELINES: &str = "rules:
- paths:
  - { path: /ws, backend: sockets }
  - { pathPrefix: /old/, backend: moved }
  - { backend: application }
---
name: sockets
kind: Pipeline
filters:
- name: proxy
  kind: WebSocketProxy
  pools: [{ servers: [{ url: 'wss://127.0.0.1:SOCKETS' }], tls: { caFile: 'CA' } }]
- { name: leg, kind: ResponseAdaptor, header: { set: { X-Leg: sockets } } }
---
name: moved
kind: Pipeline
filters:
- { name: moved, kind: Redirector, match: ^/old/(.*)$, replacement: /$1, statusCode: 308 }
---
name: application
kind: Pipeline
filters:
- { name: inside, kind: RequestAdaptor, header: { del: [X-Debug], set: { X-Gateway: ropeway } } }
- name: proxy
  kind: Proxy
  pools: [{ servers: [{ url: 'https://127.0.0.1:SITE' }], tls: { caFile: 'CA' } }]
- { name: leg, kind: ResponseAdaptor, header: { set: { X-Leg: application } } }
";

/// The gateway between its application and its clients.
struct Legs {
    gateway: Gateway,
    url: String,
    /// The file of the authority that everybody believes.
    ca: String,
    _application: (Process, Echo),
}

impl Legs {
    /// `name` is unlike that of any other test.
    fn start(name: &str) -> Self {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost", "127.0.0.1"]);
        let file = |kind: &str, text: &str| {
            let path = format!("{}/{}-{name}-{kind}.pem", env!("CARGO_TARGET_TMPDIR"), std::process::id());
            fs::write(&path, text).unwrap();
            path
        };
        let ca = file("ca", &authority.pem());
        let (cert, key) = (file("cert", &identity.certificate), file("key", &identity.key));
        let flags = ["--tls-cert", &cert, "--tls-key", &key];
        let sockets = Echo::start(Library::Websockets, &flags);
        let site = Process::start(node("site.mjs").args(flags));
        let site_port = json(&site.out("\"ready\""))["port"].as_u64().unwrap();
        let pipelines = PIPELINES
            .replace("SOCKETS", &sockets.port.to_string())
            .replace("SITE", &site_port.to_string())
            .replace("CA", &ca);
        let port = free_port();
        let server = format!(
            "name: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\naccessLogFormat: '{{{{Proto}}}} {{{{URI}}}}'\n"
        );
        let gateway = Gateway::start(&format!("{server}{}{pipelines}", shows(&identity)));
        Legs { gateway, url: format!("https://localhost:{port}"), ca, _application: (site, sockets) }
    }
}

/// Runs a client that checks by itself.
fn passes(client: &mut Command, ca: &str) {
    let ended = Process::start(client.envs([("SSL_CERT_FILE", ca), ("NODE_EXTRA_CA_CERTS", ca)])).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let seen = json(ended.out.lines().last().unwrap());
    assert!(seen["ok"] == true && seen["checks"].as_u64().unwrap() >= 12, "{seen}");
}

#[test]
fn httpx() {
    let legs = Legs::start("httpx");
    passes(python("client_httpx.py").arg(&legs.url), &legs.ca);
}

#[test]
fn undici() {
    let legs = Legs::start("undici");
    passes(node("client_undici.mjs").arg(&legs.url), &legs.ca);
    for version in ["HTTP/1.1", "HTTP/2.0"] {
        legs.gateway.process.outs(&format!("{version} /echo"), 100);
    }
    let log = log_of(legs.gateway);
    let ends: Vec<_> = log.iter().filter(|line| line["message"] == "tunnel closed").collect();
    assert_eq!(ends.len(), 1, "{log:#?}");
    assert_eq!(
        (&ends[0]["client_close"], &ends[0]["route"]),
        (&"4001".into(), &"front/0/0".into()),
        "{ends:?}"
    );
}

fn curl(legs: &Legs, arguments: &[&str], path: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert", &legs.ca]).args(arguments);
    let ended = Process::start(curl.arg(format!("{}{path}", legs.url))).wait();
    assert_eq!(ended.code, Some(0), "{arguments:?} {path}: {ended:?}");
    ended.out
}

#[test]
fn curl_in_both_versions() {
    if !needs::curl("requests over TLS on both legs by curl") {
        return;
    }
    let legs = Legs::start("curl");
    let written = "%{http_code} %{http_version} %{num_redirects}";
    for version in ["1.1", "2"] {
        let http = format!("--http{version}");
        let rows: &[(&[&str], &str, String)] = &[
            (&[], "/", format!("<h1>site</h1>\n200 {version} 0")),
            (&["--data", "hello"], "/echo", format!("hello200 {version} 0")),
            (
                &["--data", "hello", "--header", "Expect: 100-continue"],
                "/echo",
                format!("hello200 {version} 0"),
            ),
            (
                &["--data", "hello", "--header", "Transfer-Encoding: chunked"],
                "/echo",
                format!("hello200 {version} 0"),
            ),
            (&["--data", "hello", "--location"], "/old/echo?a=b", format!("hello200 {version} 1")),
            (&["--data", "hello"], "/old/echo?a=b", format!("308 {version} 0")),
            (&["--head", "--output", "/dev/null"], "/", format!("200 {version} 0")),
            (&[], "/ws", "426".into()),
        ];
        for (arguments, path, expected) in rows {
            // Over HTTP/2 there is no coding of transfers, and curl leaves the header out by itself.
            let arguments = [arguments, &["--write-out", written, &*http][..]].concat();
            let out = curl(&legs, &arguments, path);
            let fits = if *path == "/ws" {
                out.contains(&format!("\n{expected} "))
            } else {
                out.trim_end() == *expected
            };
            assert!(fits, "{arguments:?} {path}: {out}");
        }
        let head = curl(&legs, &["--head", &*http], "/").to_lowercase();
        assert!(head.contains("x-leg: application\n"), "{head}");
    }
}

/// It opens a WebSocket by its headers, sends nothing, and the 101 has what the filter behind the proxy adds.
#[test]
fn curl_gets_the_101_that_a_filter_has_changed() {
    if !needs::curl("a handshake over TLS on both legs by curl") {
        return;
    }
    let legs = Legs::start("curl-101");
    let headers = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let mut curl = Command::new("curl");
    // What it prints of the headers may stay in its buffer, what it says of them does not.
    curl.args(["--verbose", "--silent", "--http1.1", "--cacert", &legs.ca]);
    curl.args(headers.iter().flat_map(|header| ["--header", header]));
    let curl = Process::start(curl.arg(format!("{}/ws", legs.url)));
    for expected in [
        "< HTTP/1.1 101 Switching Protocols",
        "< X-Leg: sockets",
        "< Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ] {
        curl.err(expected);
    }
}
