//! `ResponseAdaptor`: answers that are changed on their way, a 101 too.

use testkit::{Backend, Peer, masked, op};

use super::{alone, ask, filter, findings, header, mirror, status, through, values};

const FIELDS: &str =
    "header:\n  del: [Server]\n  set: { X-Old: new, X-Set: s }\n  add: { Set-Cookie: room=1, Vary: Cookie }";

/// The filter behind `kind` of proxy; what the server refuses goes on to it as well.
fn behind(kind: &str, fields: &str) -> String {
    let fields = crate::handshake::indented("  ", fields);
    format!(
        "flow:\n- filter: proxy\n  jumpIf: {{ refused: it, clientError: it, serverError: it }}\n- filter: it\nfilters:\n\
         - {{ name: proxy, kind: {kind}, pools: [{{ servers: [{{ url: 'http://BACKEND' }}] }}] }}\n\
         - name: it\n  kind: ResponseAdaptor\n{fields}"
    )
}

/// What is said of it where there is an answer to change.
fn findings_behind(fields: &str) -> Vec<String> {
    findings(&behind("Proxy", fields))
}

fn check(head: &str) {
    for (name, expected) in [("server", &[][..]), ("x-old", &["new"]), ("x-set", &["s"])] {
        assert_eq!(values(head, name), expected, "{name}: {head}");
    }
    assert_eq!(values(head, "set-cookie").last(), Some(&"room=1"), "{head}");
}

#[test]
fn ordinary_answers_are_changed() {
    let backend = mirror();
    let gateway = through(&behind("Proxy", FIELDS), backend.address);
    for start in ["GET /a", "HEAD /a"] {
        let (head, body) = ask(&gateway, start, "");
        check(&head);
        assert_eq!(status(&head), 200, "{head}");
        let length: usize = header(&head, "content-length").unwrap().parse().unwrap();
        assert_eq!(body.len(), if start.starts_with("HEAD") { 0 } else { length }, "{head}");
    }
    drop(backend);
    let (head, _) = ask(&gateway, "GET /a", "");
    check(&head);
    assert_eq!((status(&head), header(&head, "x-ropeway-error")), (502, Some("connect_failed")), "{head}");
}

/// In the form that is read and written here, and in one that hyper reads.
#[test]
fn a_101_is_changed_and_stays_a_101() {
    for kind in ["WebSocketProxy", "Proxy"] {
        for cut in [0, 20] {
            let backend = Backend::listen();
            let gateway = through(&behind(kind, FIELDS), backend.address);
            let request = format!("GET /a HTTP/1.1\r\nHost: test.example\r\n{}\r\n", testkit::UPGRADE);
            let mut client = Peer::connect(gateway.address);
            client.send(&request.as_bytes()[..cut]);
            client.send(&request.as_bytes()[cut..]);
            let answers = "server: mine\r\nX-Old: 1\r\nX-Old: 2\r\nSet-Cookie: a=b\r\n";
            let (mut server, _) = backend.accept_websocket(answers);
            let head = client.head();
            check(&head);
            assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{kind}: {head}");
            assert_eq!(values(&head, "set-cookie"), ["a=b", "room=1"], "{kind}: {head}");
            assert!(head.contains("X-Set: s\r\n"), "as programs write names: {head}");
            for (name, expected) in [
                ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
            ] {
                assert_eq!(values(&head, name), [expected], "{kind}: {head}");
            }
            let message = masked(op::TEXT, b"hello");
            client.send(&message);
            assert_eq!(server.bytes(message.len()), message, "{kind}: the tunnel works");
        }
    }
}

#[test]
fn refusals_are_changed_where_the_flow_says_so() {
    let backend = Backend::listen();
    let gateway = through(&behind("WebSocketProxy", FIELDS), backend.address);
    let mut client = Peer::shake(gateway.address, "/a", "");
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 403 Forbidden\r\nServer: mine\r\nX-Old: 1\r\nContent-Length: 2\r\n\r\nno");
    let head = client.head();
    check(&head);
    assert_eq!((status(&head), header(&head, "content-length")), (403, Some("2")), "{head}");
    let (head, _) = ask(&gateway, "GET /a", "");
    check(&head);
    assert_eq!((status(&head), header(&head, "upgrade")), (426, Some("websocket")), "{head}");
}

#[test]
fn a_template_holds_data_of_its_pipeline() {
    let fields = "header: { set: { X-Beside: a } }\n\
                  template: 'header: { set: { X-Color: \"{{ .data.PIPELINE.color }}\" } }'";
    let pipeline = format!(
        "data: {{ color: deep blue }}\nflow: [{{ filter: mock, jumpIf: {{ mocked: it }} }}, {{ filter: it }}]\n{}- {{ name: mock, kind: Mock, rules: [{{ code: 200 }}] }}\n",
        filter("ResponseAdaptor", fields)
    );
    let (head, _) = ask(&alone(&pipeline), "GET /", "");
    assert_eq!((header(&head, "x-color"), header(&head, "x-beside")), (Some("deep blue"), None), "{head}");
}

#[test]
fn without_an_answer_there_is_nothing_to_change() {
    let (head, _) = ask(&alone(&filter("ResponseAdaptor", FIELDS)), "GET /", "");
    assert_eq!((status(&head), header(&head, "x-ropeway-error")), (503, Some("no_reply")), "{head}");
}

#[test]
fn what_is_checked_when_it_is_loaded() {
    assert_eq!(findings_behind(FIELDS), [""; 0]);
    let kept = [
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "Keep-Alive",
        "Trailer",
        "Sec-WebSocket-Accept",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "X-Ropeway-Error",
    ];
    for name in kept {
        let expected = format!("error: `{}` cannot be changed", name.to_lowercase());
        for edit in
            [format!("del: [{name}]"), format!("set: {{ {name}: a }}"), format!("add: {{ {name}: a }}")]
        {
            let found = findings_behind(&format!("header: {{ {edit} }}"));
            assert!(found.len() == 1 && found[0].contains(&expected), "{edit}: {found:?}");
        }
    }
    for field in ["body: a", "compress: gzip", "decompress: gzip"] {
        let found = findings_behind(field);
        let name = field.split(':').next().unwrap();
        assert!(
            found.len() == 1 && found[0].contains(&format!("warning: `{name}` is not supported yet")),
            "{found:?}"
        );
    }
}

/// What a user writes into headers may be secret: neither a finding nor a log line shows it.
#[test]
fn secrets_in_headers_stay_secret() {
    let faulty = findings_behind("header: { set: { Authorization: \"hunter2\\n\" } }");
    assert!(faulty.len() == 1 && !faulty[0].contains("hunter2"), "{faulty:?}");
    let faulty = super::documents(
        "",
        &filter(
            "RequestAdaptor",
            "template: \"{ header: { set: { Authorization: hunter2 } }, nothing: {} }\"",
        ),
        ([127, 0, 0, 1], 9).into(),
    );
    let faulty =
        ropeway::supervisor::load::load(&[ropeway::spec::Source::new("f", faulty.replace("PORT", "80"))]);
    let told = faulty.diagnostics.render(false);
    assert!(told.contains("unknown field `nothing`") && !told.contains("hunter2"), "{told}");
    let text = super::documents(
        "",
        &filter("RequestAdaptor", "header: { set: { X-Plain: hunter2 }, add: { X-Api-Key: hunter3 } }"),
        ([127, 0, 0, 1], 9).into(),
    );
    let loaded =
        ropeway::supervisor::load::load(&[ropeway::spec::Source::new("f", text.replace("PORT", "80"))]);
    assert!(!loaded.diagnostics.has_errors());
    let shown = format!("{loaded:?}");
    assert!(shown.contains("x-api-key") && !shown.contains("hunter"), "{shown}");
}
