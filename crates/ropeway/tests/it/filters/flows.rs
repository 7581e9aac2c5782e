//! Where a request goes on: `jumpIf`, `alias`, `END`, `namespace`.

#![allow(clippy::too_many_lines, reason = "tables")]

use testkit::{Backend, Peer};

use super::{alone, ask, findings, header, mirror, status, through, values};

/// Filters of all kinds that are quick, for flows.
const FILTERS: &str = "filters:
- { name: cors, kind: CORSAdaptor, allowedOrigins: ['https://good.example'] }
- { name: moved, kind: Redirector, match: ^/old, replacement: /new }
- { name: api, kind: RequestAdaptor, path: { trimPrefix: /api }, header: { add: { X-Step: api } } }
- { name: stub, kind: Mock, rules: [{ match: { path: /stub }, code: 201 }] }
- { name: proxy, kind: Proxy, pools: [{ servers: [{ url: 'http://BACKEND' }], failureCodes: [404] }] }
- { name: mark, kind: ResponseAdaptor, header: { add: { X-Mark: m } } }
- { name: sorry, kind: Fallback, mockCode: 503 }
";

/// A request with its headers, the status of its answer, and how many marks that bears.
type Asked<'a> = (&'a str, &'a str, u16, usize);

/// Each flow with requests: what is asked, the status, and which marks the answer bears.
#[test]
fn every_kind_can_be_jumped_from_and_to() {
    let flows: &[(&str, &[Asked<'_>])] = &[
        // Without `flow` all run in their order; `Fallback` is the last and answers.
        ("", &[("GET /", "", 503, 0), ("GET /old", "", 301, 0), ("GET /stub", "", 201, 0)]),
        ("flow: [{ filter: proxy }]", &[("GET /", "", 200, 0)]),
        ("flow: [{ filter: proxy }, { filter: END }, { filter: sorry }]", &[("GET /", "", 200, 0)]),
        ("flow: [{ filter: END }, { filter: proxy }]", &[("GET /", "", 503, 0)]),
        // A result without a jump ends the flow; no result goes on.
        (
            "flow: [{ filter: moved }, { filter: proxy }, { filter: mark }]",
            &[("GET /old", "", 301, 0), ("GET /", "", 200, 1)],
        ),
        (
            "flow: [{ filter: moved, jumpIf: { redirected: mark } }, { filter: proxy }, { filter: mark }]",
            &[("GET /old", "", 301, 1), ("GET /", "", 200, 1)],
        ),
        (
            "flow: [{ filter: moved, jumpIf: { redirected: END } }, { filter: proxy }]",
            &[("GET /old", "", 301, 0)],
        ),
        (
            "flow: [{ filter: stub, jumpIf: { '': END } }, { filter: mark }]",
            &[("GET /", "", 503, 0), ("GET /stub", "", 201, 0)],
        ),
        (
            "flow: [{ filter: stub, jumpIf: { mocked: mark } }, { filter: proxy }, { filter: mark }]",
            &[("GET /stub", "", 201, 1)],
        ),
        // One filter, several steps.
        (
            "flow: [{ filter: proxy }, { filter: mark }, { filter: mark, alias: again }, { filter: mark, alias: more }]",
            &[("GET /", "", 200, 3)],
        ),
        (
            "flow: [{ filter: proxy, jumpIf: { '': again } }, { filter: mark }, { filter: mark, alias: again }]",
            &[("GET /", "", 200, 1)],
        ),
        // A filter that finds no answer to change.
        (
            "flow: [{ filter: mark, jumpIf: { responseNotFound: proxy } }, { filter: sorry }, { filter: proxy }]",
            &[("GET /", "", 200, 0)],
        ),
        // What another site may not do.
        (
            "flow: [{ filter: cors, jumpIf: { rejected: mark, preflighted: END } }, { filter: proxy }, { filter: END }, { filter: mark }]",
            &[
                ("GET /", "", 200, 0),
                ("GET /", "Origin: https://bad.example\r\n", 403, 1),
                (
                    "OPTIONS /",
                    "Origin: https://good.example\r\nAccess-Control-Request-Method: GET\r\n",
                    204,
                    0,
                ),
            ],
        ),
        // What the rewritten path may not be.
        (
            "flow: [{ filter: api, jumpIf: { clientError: sorry } }, { filter: proxy }, { filter: END }, { filter: sorry }]",
            &[("GET /api../x", "", 503, 0), ("GET /api/x", "", 200, 0)],
        ),
        ("flow: [{ filter: api }, { filter: proxy }]", &[("GET /api../x", "", 400, 0)]),
    ];
    let backend = mirror();
    for (flow, requests) in flows {
        let gateway = through(&format!("{flow}\n{FILTERS}"), backend.address);
        for (start, headers, code, marks) in *requests {
            let (head, _) = ask(&gateway, start, headers);
            assert_eq!(status(&head), *code, "{flow}: {start} {headers:?}: {head}");
            assert_eq!(values(&head, "x-mark").len(), *marks, "{flow}: {start} {headers:?}: {head}");
        }
    }
}

#[test]
fn jumps_are_checked_against_results() {
    let finding = |flow: &str| {
        let mut found = findings(&format!("flow: [{flow}]\n{FILTERS}"));
        // Not all of these make sense.
        found.retain(|finding| !finding.starts_with("warning: "));
        assert!(found.len() < 2, "{found:?}");
        found.pop().unwrap_or_default()
    };
    let later = "{ filter: sorry }, { filter: mark }, { filter: mark, alias: again }";
    for (kind, result) in [
        ("cors", "preflighted"),
        ("cors", "rejected"),
        ("moved", "redirected"),
        ("moved", "clientError"),
        ("api", "clientError"),
        ("stub", "mocked"),
        ("proxy", "clientError"),
        ("proxy", "failureCode"),
        ("proxy", "internalError"),
        ("proxy", "refused"),
        ("proxy", "serverError"),
        ("proxy", "timeout"),
        ("proxy", "''"),
        ("mark", "responseNotFound"),
    ] {
        for target in ["sorry", "again", "END"] {
            let flow =
                format!("{{ filter: {kind}, alias: first, jumpIf: {{ {result}: {target} }} }}, {later}");
            assert_eq!(finding(&flow), "", "{flow}");
        }
    }
    for (flow, expected) in [
        ("{ filter: moved, jumpIf: { redirect: END } }", "a Redirector has no result `redirect`"),
        ("{ filter: api, jumpIf: { redirected: END } }", "a RequestAdaptor has no result `redirected`"),
        ("{ filter: mark, jumpIf: { mocked: END } }", "a ResponseAdaptor has no result `mocked`"),
        ("{ filter: cors, jumpIf: { refused: END } }", "a CORSAdaptor has no result `refused`"),
        ("{ filter: sorry, jumpIf: { mocked: END } }", "a Fallback has no result `mocked`"),
        (
            "{ filter: sorry }, { filter: proxy, jumpIf: { refused: sorry } }",
            "no later step is called `sorry`",
        ),
        (
            "{ filter: proxy, jumpIf: { refused: mark } }, { filter: mark, alias: x }",
            "no later step is called `mark`",
        ),
        (
            "{ filter: proxy, jumpIf: { refused: mark } }, { filter: mark }, { filter: mark }",
            "two later steps are called `mark`",
        ),
        ("{ filter: nobody }", "no filter is called `nobody`"),
    ] {
        assert!(finding(flow).contains(expected), "{flow}: {}", finding(flow));
    }
}

/// One service is asked whether a request may pass, before another gets it.
const ASKED_FIRST: &str = "flow:
- { filter: ask, namespace: permission }
- { filter: permission, namespace: permission, jumpIf: { failureCode: denied, serverError: denied } }
- { filter: proxy }
- { filter: END }
- { filter: denied }
filters:
- { name: ask, kind: RequestAdaptor, method: HEAD, path: { replace: /permission }, header: { set: { X-Asked: 'yes' } } }
- name: permission
  kind: Proxy
  pools: [{ servers: [{ url: 'http://PERMISSION' }], failureCodes: [401, 403], maxRetries: 0 }]
- { name: proxy, kind: Proxy, pools: [{ servers: [{ url: 'http://BACKEND' }] }] }
- { name: denied, kind: Mock, rules: [{ code: 401, body: who are you? }] }
";

#[test]
fn a_namespace_has_a_request_and_an_answer_of_its_own() {
    let permission = Backend::listen().serve(|mut peer| {
        let head = peer.head();
        assert!(head.starts_with("HEAD /permission?q HTTP/1.1\r\n"), "{head}");
        for name in ["content-length", "transfer-encoding", "upgrade", "expect"] {
            assert_eq!(header(&head, name), None, "{head}");
        }
        assert_eq!(
            (header(&head, "host"), header(&head, "x-asked")),
            (Some("test.example"), Some("yes")),
            "{head}"
        );
        assert_eq!(header(&head, "x-hop"), None, "{head}");
        let may = header(&head, "authorization") == Some("me");
        peer.try_send(if may {
            b"HTTP/1.1 200 OK\r\nX-Mine: 1\r\nContent-Length: 5\r\n\r\n"
        } else {
            b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n"
        });
    });
    let backend = mirror();
    let pipeline = ASKED_FIRST.replace("PERMISSION", &permission.address.to_string());
    let gateway = through(&pipeline, backend.address);
    let hops = "Connection: X-Hop\r\nX-Hop: 1\r\nExpect: 100-continue\r\n";
    let allowed = format!("Authorization: me\r\nContent-Length: 3\r\n{hops}\r\nabc");
    let mut client = Peer::connect(gateway.address);
    client.send(format!("POST /a?q HTTP/1.1\r\nHost: test.example\r\n{allowed}").as_bytes());
    let mut head = client.head();
    if head.starts_with("HTTP/1.1 100 ") {
        head = client.head();
    }
    assert_eq!((status(&head), header(&head, "x-mine")), (200, None), "{head}");
    let length = header(&head, "content-length").unwrap().parse().unwrap();
    let seen = String::from_utf8(client.bytes(length)).unwrap();
    assert!(seen.starts_with("POST /a?q HTTP/1.1\r\n") && seen.ends_with("\r\n\r\nabc"), "{seen}");
    assert_eq!(header(&seen, "x-asked"), None, "{seen}");

    let (head, body) = ask(&gateway, "GET /a?q", "Authorization: you\r\n");
    assert_eq!((status(&head), &*body), (401, "who are you?"), "{head}");
    drop(permission);
    let (head, _) = ask(&gateway, "GET /a?q", "Authorization: me\r\n");
    assert_eq!(status(&head), 401, "{head}");
    assert_eq!(backend.connections(), 1, "nobody else got through");
}

/// A handshake is asked about by an ordinary request, and then becomes a tunnel.
#[test]
fn a_handshake_can_be_asked_about_first() {
    let permission = Backend::listen();
    let backend = Backend::listen();
    let pipeline = ASKED_FIRST
        .replace("method: HEAD, ", "")
        .replace("kind: Proxy, pools", "kind: WebSocketProxy, pools")
        .replace("http://BACKEND", "ws://BACKEND");
    let gateway = through(&pipeline.replace("PERMISSION", &permission.address.to_string()), backend.address);
    for (answer, code) in [("204 Fine", 101), ("401 No", 401)] {
        let mut client = Peer::shake(gateway.address, "/a", "Sec-WebSocket-Protocol: token\r\n");
        let mut asked = permission.accept();
        let head = asked.head();
        assert!(head.starts_with("GET /permission HTTP/1.1\r\n"), "{head}");
        assert_eq!((header(&head, "upgrade"), header(&head, "connection")), (None, None), "{head}");
        assert_eq!(header(&head, "sec-websocket-protocol"), Some("token"), "{head}");
        asked.send(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
        if code == 101 {
            let (_server, head) = backend.accept_websocket("");
            assert!(head.starts_with("GET /a HTTP/1.1\r\n"), "{head}");
            assert_eq!(header(&head, "x-asked"), None, "{head}");
            assert_eq!(status(&client.head()), 101);
        } else {
            assert_eq!(status(&client.head()), code);
        }
    }
}

#[test]
fn the_client_gets_the_answer_of_its_own_request_only() {
    let flow = "flow: [{ filter: stub, namespace: other }, { filter: stub, namespace: other, alias: twice }, \
                { filter: mark, namespace: other }]\n";
    let (head, _) = ask(&alone(&format!("{flow}{FILTERS}")), "GET /stub", "");
    assert_eq!((status(&head), header(&head, "x-ropeway-error")), (503, Some("no_reply")), "{head}");
    let flow = "flow: [{ filter: stub, namespace: other, jumpIf: { mocked: mine } }, { filter: END }, \
                { filter: stub, alias: mine, namespace: DEFAULT, jumpIf: { mocked: mark } }, { filter: mark }]\n";
    let (head, _) = ask(&alone(&format!("{flow}{FILTERS}")), "GET /stub", "");
    assert_eq!((status(&head), header(&head, "x-mark")), (201, Some("m")), "{head}");
}

#[test]
fn only_the_clients_request_becomes_a_websocket() {
    let flow = |namespace| {
        findings(&format!(
            "flow: [{{ filter: ws, namespace: {namespace} }}]\nfilters:\n\
             - {{ name: ws, kind: WebSocketProxy, pools: [{{ servers: [{{ url: 'ws://a' }}] }}] }}\n"
        ))
    };
    assert_eq!(flow("DEFAULT"), [""; 0]);
    let found = flow("other");
    assert!(found.len() == 1 && found[0].contains("nothing to do in the namespace `other`"), "{found:?}");
}
