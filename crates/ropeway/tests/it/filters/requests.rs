//! `RequestAdaptor`: requests that are changed on their way.

#![allow(clippy::too_many_lines, reason = "tables")]

use testkit::{Backend, Peer};

use super::{ask, filter, filter_and_proxy, findings, findings_of, header, mirror, status, through, values};

/// Fields, a request, and how it reaches the server: its first line, and headers that it has or has not.
#[test]
fn servers_get_what_was_made_of_a_request() {
    type Headers<'a> = &'a [(&'a str, &'a [&'a str])];
    let rows: &[(&str, &str, &str, &str, Headers<'_>)] = &[
        ("path: { addPrefix: /api }", "GET /a%20b?c", "", "GET /api/a%20b?c", &[]),
        ("path: { replace: /x y }", "GET /a?c=%20", "", "GET /x%20y?c=%20", &[]),
        ("path: { trimPrefix: /a }", "GET /a//b", "", "GET //b", &[]),
        (
            "path: { regexpReplace: { regexp: '^/v([0-9])/', replace: '/$1/' } }",
            "GET /v2/a",
            "",
            "GET /2/a",
            &[],
        ),
        ("method: PUT", "POST /a", "Content-Length: 3\r\n\r\nabc", "PUT /a", &[("content-length", &["3"])]),
        ("method: GET", "HEAD /a", "", "GET /a", &[("content-length", &[])]),
        (
            "host: other.example:81",
            "GET /a",
            "",
            "GET /a",
            &[("host", &["other.example:81"]), ("x-forwarded-host", &["test.example"])],
        ),
        (
            "header:\n  del: [X-A, x-b]\n  set: { X-C: new, X-D: d, Authorization: Bearer secret }\n  add: { X-E: second, X-F: f }",
            "GET /a",
            "x-a: 1\r\nX-A: 2\r\nX-B: 3\r\nX-C: 4\r\nX-C: 5\r\nX-E: first\r\nAuthorization: Basic me\r\n",
            "GET /a",
            &[
                ("x-a", &[]),
                ("x-b", &[]),
                ("x-c", &["new"]),
                ("x-d", &["d"]),
                ("x-e", &["first", "second"]),
                ("x-f", &["f"]),
                ("authorization", &["Bearer secret"]),
            ],
        ),
        // In this order.
        (
            "header: { del: [X-A], set: { X-A: set }, add: { X-A: add } }",
            "GET /a",
            "X-A: came\r\n",
            "GET /a",
            &[("x-a", &["set", "add"])],
        ),
        // What a client names in `Connection` goes, also if it was set.
        (
            "header: { set: { X-A: set } }",
            "GET /a",
            "Connection: X-B\r\nX-B: 1\r\n",
            "GET /a",
            &[("x-a", &["set"]), ("x-b", &[])],
        ),
    ];
    let backend = mirror();
    for (fields, start, headers, expected, found) in rows {
        let gateway = through(&filter_and_proxy("RequestAdaptor", fields), backend.address);
        let (head, seen) = ask(&gateway, start, headers);
        assert_eq!(status(&head), 200, "{fields} {start}: {head}");
        if start.starts_with("HEAD") {
            assert_eq!(seen, "", "{fields}");
            continue;
        }
        assert!(seen.starts_with(&format!("{expected} HTTP/1.1\r\n")), "{fields} {start}: {seen}");
        for (name, expected) in *found {
            assert_eq!(values(&seen, name), *expected, "{fields} {start} {name}: {seen}");
        }
        assert_eq!(values(&seen, "host").len(), 1, "{seen}");
    }
}

#[test]
fn a_template_holds_data_of_its_pipeline_and_counts_before_what_stands_beside_it() {
    let fields = "method: PUT\nhost: beside.example\nheader: { set: { X-Beside: a } }\nrightDelim: ']]'\nleftDelim: '[['\n\
                  template: |\n  host: [[ .data.PIPELINE.hosts.inner ]]\n  path: { addPrefix: '/[[.data.PIPELINE.version]]' }\n  \
                  header:\n    set: { X-Version: '[[ .data.PIPELINE.version ]] {{ }}' }";
    let data = "data: { version: 2, hosts: { inner: inner.example } }\n";
    let backend = mirror();
    let gateway = through(&format!("{data}{}", filter_and_proxy("RequestAdaptor", fields)), backend.address);
    let (head, seen) = ask(&gateway, "GET /a", "");
    assert_eq!(status(&head), 200, "{head}");
    assert!(seen.starts_with("PUT /2/a HTTP/1.1\r\n"), "{seen}");
    assert_eq!(header(&seen, "host"), Some("inner.example"));
    assert_eq!(header(&seen, "x-version"), Some("2 {{ }}"));
    assert_eq!(header(&seen, "x-beside"), None);
}

/// The server answers another method than the client asked by: neither of them is left with bytes that it takes for
/// something else.
#[test]
fn a_method_that_changes_leaves_no_bytes_over() {
    let backend = Backend::listen().serve(|mut peer| {
        while let Some(head) = peer.head_or_end() {
            let body = if head.starts_with("HEAD") { "" } else { "hello" };
            peer.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}").as_bytes());
        }
    });
    for (method, asked) in [("GET", "HEAD"), ("HEAD", "GET")] {
        let gateway =
            through(&filter_and_proxy("RequestAdaptor", &format!("method: {method}")), backend.address);
        let mut client = Peer::connect(gateway.address);
        for _ in 0..3 {
            client.send(format!("{asked} / HTTP/1.1\r\nHost: test.example\r\n\r\n").as_bytes());
            let head = client.head();
            assert_eq!(status(&head), 200, "{asked} as {method}: {head}");
            if asked == "GET" {
                let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                assert_eq!(client.bytes(length), b"", "{asked} as {method}: {head}");
            }
        }
    }
}

#[test]
fn a_handshake_is_changed_too() {
    let backend = Backend::listen();
    let proxy = "- { name: ws, kind: WebSocketProxy, pools: [{ servers: [{ url: 'ws://BACKEND' }] }] }\n";
    let fields = "path: { addPrefix: /chat }\nhost: chat.internal\nheader:\n  del: [Cookie]\n  set: { X-Room: lobby }\n";
    let gateway = through(&(super::filter("RequestAdaptor", fields) + proxy), backend.address);
    let mut client = Peer::shake(gateway.address, "/a?b", "Cookie: secret\r\n");
    let (_server, head) = backend.accept_websocket("");
    assert!(head.starts_with("GET /chat/a?b HTTP/1.1\r\n"), "{head}");
    for (name, expected) in [
        ("host", Some("chat.internal")),
        ("cookie", None),
        ("x-room", Some("lobby")),
        ("upgrade", Some("websocket")),
    ] {
        assert_eq!(header(&head, name), expected, "{name}: {head}");
    }
    assert_eq!(status(&client.head()), 101);
}

/// Another method than GET opens no WebSocket: the client hears it, and no server is asked.
#[test]
fn a_handshake_by_another_method_is_refused() {
    let backend = Backend::listen();
    let proxy = "- { name: ws, kind: WebSocketProxy, pools: [{ servers: [{ url: 'ws://BACKEND' }] }] }\n";
    let gateway = through(&(super::filter("RequestAdaptor", "method: POST") + proxy), backend.address);
    let head = Peer::shake(gateway.address, "/", "").head();
    assert_eq!(
        (status(&head), header(&head, "x-ropeway-error")),
        (405, Some("method_not_allowed")),
        "{head}"
    );
    assert!(backend.try_accept().is_none());
}

#[test]
fn paths_that_become_unsafe_are_refused() {
    let backend = mirror();
    let rows = [
        ("path: { trimPrefix: /a }", "GET /a../b"),
        ("path: { regexpReplace: { regexp: x, replace: '' } }", "GET /.x./b"),
        (
            "path: { regexpReplace: { regexp: '.', replace: '$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0$0' } }",
            &format!("GET /{}", "a".repeat(5000)),
        ),
        ("path: { addPrefix: /a }", "GET /%ff"),
        ("path: { addPrefix: /a }", "OPTIONS *"),
    ];
    for (fields, start) in rows {
        let gateway = through(&filter_and_proxy("RequestAdaptor", fields), backend.address);
        let (head, _) = ask(&gateway, start, "");
        assert_eq!(
            (status(&head), header(&head, "x-ropeway-error")),
            (400, Some("path_invalid")),
            "{fields}: {head}"
        );
    }
    assert_eq!(backend.connections(), 0);
}

/// Nothing that a user can write makes a request that two readers read differently.
#[test]
fn what_is_checked_when_it_is_loaded() {
    for good in ["{}", "host: a.example", "host: '[::1]:80'", "method: PATCH", "path: { trimPrefix: /a }"] {
        let fields = if good == "{}" { "header: {}" } else { good };
        assert_eq!(findings_of("RequestAdaptor", fields), [""; 0], "{good}");
    }
    let framing = [
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Expect",
        "HTTP2-Settings",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "sec-websocket-protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Accept",
        "Host",
    ];
    for name in framing {
        let expected = format!("error: `{}` cannot be changed", name.to_lowercase());
        for edit in
            [format!("del: [{name}]"), format!("set: {{ {name}: a }}"), format!("add: {{ {name}: a }}")]
        {
            let found = findings_of("RequestAdaptor", &format!("header: {{ {edit} }}"));
            assert!(found.len() == 1 && found[0].contains(&expected), "{edit}: {found:?}");
        }
    }
    for (fields, expected) in [
        ("host: a b", "error: `host`: `a b` is not a host name"),
        ("host: a/b", "is not a host name"),
        ("host: 'a@b'", "is not a host name"),
        ("host: \"a\\r\\nX\"", "is not a host name"),
        ("host: ''", "the host is missing"),
        ("host: 'a:99999'", "is not a port"),
        ("method: CONNECT", "`CONNECT` is not for servers"),
        ("method: TRACE", "`TRACE` is not for servers"),
        ("method: FETCH", "`FETCH` is not known here"),
        ("path: { replace: a }", "a path starts with `/`"),
        ("path: { replace: /a?b }", "a path holds no query"),
        ("path: { replace: /%2e }", "write the path without escapes"),
        ("path: { replace: /a/../b }", "cannot have `.` or `..`"),
        ("path: { replace: \"/a\\r\\nX: y\" }", "cannot stand in a path"),
        ("path: { addPrefix: '/a\\b' }", "cannot stand in a path"),
        ("path: { regexpReplace: { regexp: '(', replace: a } }", "not a regular expression"),
        ("path: { regexpReplace: { regexp: a, replace: 'a?b' } }", "a path holds no query"),
        ("path: { regexpReplace: { regexp: a } }", "missing field `replace`"),
        ("path: { addPrefix: /a, replace: /b }", "warning: `addPrefix` does nothing beside `replace`"),
        ("header: { set: { X-A: \"a\\nX-B: b\" } }", "no header can have this value"),
        ("header: { set: { 'X A': a } }", "cannot stand in a header name"),
        ("header: { remove: [X-A] }", "unknown field `remove`"),
        ("header: { del: [Origin] }", "warning: no step behind this one can tell pages of other sites"),
        ("header: { set: { Origin: 'https://a' } }", "warning: no step behind this one can tell pages"),
        ("body: hello", "warning: `body` is not supported yet"),
        ("compress: gzip", "warning: `compress` is not supported yet"),
        ("decompress: gzip", "warning: `decompress` is not supported yet"),
        ("sign: { accessKeyId: a }", "warning: `sign` is not supported yet"),
        ("template: '{{ .req }}'", "error: `.req` is not supported yet: only `.data.PIPELINE.NAME` is"),
        ("template: '{{ .data.PIPELINE.a }}'", "error: `data` has no `a`"),
        ("template: 'host: {{'", "error: `{{` is not followed by `}}`"),
        ("template: 'hots: a'", "error: in the template: unknown field `hots`"),
        ("template: 'method: TRACE'", "error: in the template: `TRACE` is not for servers"),
        (
            "template: 'header: { del: [Connection] }'",
            "error: in the template: `connection` cannot be changed",
        ),
        ("template: 'template: a'", "error: a template cannot hold another one"),
        ("template: '['", "error: in the template: "),
    ] {
        let found = findings_of("RequestAdaptor", fields);
        assert!(found.len() == 1 && found[0].contains(expected), "{fields}: {found:?}");
    }
}

#[test]
fn data_that_nothing_reads_is_told() {
    let pipeline = |fields| format!("data: {{ a: b }}\n{}", filter("RequestAdaptor", fields));
    assert_eq!(
        findings(&pipeline("method: PUT")),
        ["warning: `data` does nothing: no filter has a `template`"]
    );
    assert_eq!(findings(&pipeline("template: 'host: {{ .data.PIPELINE.a }}.example'")), [""; 0]);
}
