//! The call that the user's document prints.

use std::process::Command;

use testkit::{Backend, close, frame, op};

use super::peers::{ALL, Echo};
use super::{example, needs};
use crate::cli::process::{Gateway, Process};

/// As printed, but for the port, which is the gateway's, and for the path.
fn call(gateway: &Gateway, path: &str) -> Process {
    let headers = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Host: 127.0.0.1:10020",
        "Sec-WebSocket-Key: your-key-here",
        "Sec-WebSocket-Version: 13",
    ];
    let mut curl = Command::new("curl");
    curl.args(["--include", "--no-buffer"]);
    curl.args(headers.iter().flat_map(|header| ["--header", header]));
    Process::start(curl.arg(format!("http://{}{path}", gateway.address)))
}

/// It is forwarded; that `your-key-here` is no key is the backend's to say.
#[test]
fn with_the_path_of_the_rule_the_backend_answers() {
    if !needs::curl("the document's curl call") {
        return;
    }
    for library in ALL {
        let backend = Echo::start(library, &[]);
        let gateway = example([backend.port; 4], |text| text);
        let curl = call(&gateway, "/ws").wait();
        assert_eq!(curl.code, Some(0), "{library:?}: {curl:?}");
        assert!(curl.out.starts_with("HTTP/1.1 400 "), "{library:?}: {curl:?}");
        assert!(!curl.out.to_lowercase().contains("x-ropeway-error"), "{library:?}: {curl:?}");
        let (_, body) = curl.out.split_once("\n\n").unwrap();
        assert!(!body.trim().is_empty(), "{library:?}: {curl:?}");
    }
}

/// As printed, with the path `/`. This backend takes any key, says a word and closes.
#[test]
fn against_a_prefix_it_works_as_printed() {
    if !needs::curl("the document's curl call") {
        return;
    }
    let backend = Backend::listen();
    let port = backend.address.port();
    let gateway = example([port; 4], |text| text.replace("path: /ws", "pathPrefix: /"));
    let curl = call(&gateway, "/");
    let (mut server, head) = backend.accept_websocket("");
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    for expected in ["Host: 127.0.0.1:10020\r\n", "Sec-WebSocket-Key: your-key-here\r\n"] {
        assert!(head.contains(expected), "{head}");
    }
    server.send(&frame(0x80 | op::TEXT, None, b"over the valley"));
    server.send(&frame(0x80 | op::CLOSE, None, &close(1000, "")));
    let curl = curl.wait();
    assert_eq!(curl.code, Some(0), "{curl:?}");
    assert!(curl.out.starts_with("HTTP/1.1 101 Switching Protocols\n"), "{curl:?}");
    let accept = ws::handshake::accept_key(b"your-key-here");
    assert!(curl.out.contains(std::str::from_utf8(&accept).unwrap()), "{curl:?}");
    assert!(curl.out.contains("over the valley"), "{curl:?}");
}

#[test]
fn as_printed_against_the_documents_own_rule_it_is_told_which_paths_there_are() {
    if !needs::curl("the document's curl call") {
        return;
    }
    let gateway = example([9; 4], |text| text);
    let curl = call(&gateway, "/").wait();
    assert!(curl.out.starts_with("HTTP/1.1 404 "), "{curl:?}");
    assert!(curl.out.to_lowercase().contains("x-ropeway-error: route_not_found"), "{curl:?}");
    assert!(curl.out.ends_with("no rule matches; there are: /ws\n"), "{curl:?}");
}
