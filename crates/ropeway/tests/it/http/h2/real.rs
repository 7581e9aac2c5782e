//! Real clients that speak HTTP/2.

use std::fs;
use std::process::Command;

use testkit::{Authority, free_port};

use super::super::real::application;
use crate::cli::process::{Gateway, Process, json};
use crate::real::{needs, peers};
use crate::tls::shows;

/// `examples/site.yaml` in front of an application on this port, behind TLS; its URL.
fn site(application: u64) -> (Gateway, String) {
    let text = fs::read_to_string(format!("{}/examples/site.yaml", needs::ROOT)).unwrap();
    let tls = shows(&Authority::new().issue(&["localhost", "127.0.0.1"]));
    let port = free_port();
    let text = text
        .replace(":3000", &format!(":{application}"))
        .replace("port: 8080", &format!("port: {port}\nclientMaxBodySize: -1\n{tls}"));
    (Gateway::start(&text), format!("https://127.0.0.1:{port}"))
}

#[test]
fn curl_by_each_method() {
    if !needs::curl("ordinary requests over HTTP/2 by curl") {
        return;
    }
    let (_application, port) = application();
    let (_gateway, url) = site(port.into());
    let rows: &[(&[&str], &str, &str)] = &[
        (&[], "/", "<h1>site</h1>\n200 2"),
        (&["--http1.1"], "/", "<h1>site</h1>\n200 1.1"),
        (&["--head", "--output", "/dev/null"], "/", "200 2"),
        (&["--data", "hello"], "/echo", "hello200 2"),
        (&["--data", "hello", "--header", "Expect: 100-continue"], "/echo", "hello200 2"),
        (&["--data", "hello", "--request", "PATCH"], "/echo", "hello200 2"),
        (&["--request", "DELETE"], "/echo", "200 2"),
        (&[], "/nowhere", "nothing here\n404 2"),
    ];
    for (arguments, path, expected) in rows {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--insecure", "--max-time", "20"]);
        curl.args(["--write-out", "%{http_code} %{http_version}"]);
        let curl = Process::start(curl.args(*arguments).arg(format!("{url}{path}"))).wait();
        assert_eq!(curl.out.trim_end(), *expected, "{arguments:?} {path}: {curl:?}");
    }
}

/// 8 MiB each way on one connection, four times at once: more than any window.
#[test]
fn node_sends_and_takes_large_bodies() {
    let (_application, port) = application();
    let (_gateway, url) = site(port.into());
    let ended = Process::start(peers::node("client_h2.mjs").arg(&url)).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(json(ended.out.trim())["ok"], true, "{ended:?}");
}

/// The page comes over HTTP/2, and its WebSocket over a connection of its own.
#[test]
fn a_page_in_a_browser_with_a_websocket_beside_it() {
    if !needs::browser("a page over HTTP/2") {
        return;
    }
    let page = format!("{}/peers/node/page.html", needs::ROOT);
    let application = Process::start(peers::node("echo.mjs").args(["--page", &page]));
    let port = json(&application.out("\"ready\""))["port"].as_u64().unwrap();
    let (gateway, url) = site(port);
    let ended =
        Process::start(peers::node("browser.mjs").args([&url, "--insecure", "--timeout", "60"])).wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let seen = json(ended.out.trim());
    assert_eq!((&seen["ok"], &seen["protocol"]), (&true.into(), &"h2".into()), "{seen}");
    assert_eq!(gateway.process.errs("\"message\":\"tunnel open\"").len(), 1);
}
