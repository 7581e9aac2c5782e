//! `CORSAdaptor`: pages of other sites.

use testkit::{Backend, Peer};

use super::{alone, ask, filter, filter_and_proxy, findings_of, header, status, through, values};

const FIELDS: &str =
    "allowedOrigins: ['https://*.good.example']\nallowCredentials: true\nexposedHeaders: [X-Count]";
const GOOD: &str = "Origin: https://a.good.example\r\n";
const BAD: &str = "Origin: https://bad.example\r\n";
const PREFLIGHT: &str =
    "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";

#[test]
fn preflights_are_answered_or_refused_here() {
    let gateway = alone(&filter("CORSAdaptor", FIELDS));
    let (head, body) = ask(&gateway, "OPTIONS /a", &format!("{GOOD}{PREFLIGHT}"));
    assert_eq!((status(&head), &*body), (204, ""), "{head}");
    for (name, expected) in [
        ("access-control-allow-origin", Some("https://a.good.example")),
        ("access-control-allow-credentials", Some("true")),
        ("access-control-allow-methods", Some("GET, POST, HEAD")),
        ("access-control-allow-headers", Some("content-type")),
        ("access-control-max-age", None),
        ("x-ropeway-error", None),
    ] {
        assert_eq!(header(&head, name), expected, "{name}: {head}");
    }
    for (origin, asked) in [
        (BAD, PREFLIGHT),
        (GOOD, "Access-Control-Request-Method: DELETE\r\n"),
        ("Origin: null\r\n", PREFLIGHT),
    ] {
        let (head, _) = ask(&gateway, "OPTIONS /a", &format!("{origin}{asked}"));
        assert_eq!(
            (status(&head), header(&head, "x-ropeway-error")),
            (403, Some("preflight_refused")),
            "{origin}{asked}: {head}"
        );
        assert!(!head.to_lowercase().contains("access-control"), "{head}");
    }
}

/// What the gateway says of a page counts, whatever the server says, and also where no server answers.
#[test]
fn answers_say_who_may_see_them() {
    let backend = Backend::listen().serve(|mut peer| {
        peer.head();
        peer.try_send(
            b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\naccess-control-allow-origin: https://b\r\n\
              Vary: Cookie\r\nAccess-Control-Expose-Headers: X-Mine\r\nContent-Length: 0\r\n\r\n",
        );
    });
    let gateway = through(&filter_and_proxy("CORSAdaptor", FIELDS), backend.address);
    let (head, _) = ask(&gateway, "GET /a", GOOD);
    for (name, expected) in [
        ("access-control-allow-origin", &["https://a.good.example"][..]),
        ("access-control-allow-credentials", &["true"]),
        ("access-control-expose-headers", &["x-count"]),
        ("vary", &["Cookie", "Origin"]),
    ] {
        assert_eq!(values(&head, name), expected, "{name}: {head}");
    }
    let (head, _) = ask(&gateway, "GET /a", "Origin: http://test.example\r\n");
    assert_eq!(
        (status(&head), values(&head, "vary")),
        (200, vec!["Cookie", "Origin"]),
        "a page of the host itself: {head}"
    );
    let (head, _) = ask(&gateway, "POST /a", BAD);
    assert_eq!((status(&head), header(&head, "x-ropeway-error")), (403, Some("origin_refused")), "{head}");
    assert_eq!(backend.connections(), 2, "what is refused reaches no server");
    drop(backend);
    let (head, _) = ask(&gateway, "GET /a", GOOD);
    assert_eq!(
        (status(&head), header(&head, "access-control-allow-origin")),
        (502, Some("https://a.good.example")),
        "{head}"
    );
}

/// Browsers ask nobody before they open a WebSocket, so this filter refuses it; and both it and the pool have to agree.
#[test]
fn websockets_of_other_pages_are_refused() {
    let backend = Backend::listen();
    let proxy = "- { name: ws, kind: WebSocketProxy, pools: [{ servers: [{ url: 'ws://BACKEND' }], originPatterns: [ORIGINS] }] }\n";
    for (origins, origin, code) in [
        ("'*'", "", 101),
        ("'*'", GOOD, 101),
        ("'*'", "Origin: http://test.example\r\n", 101),
        ("'*'", BAD, 403),
        ("'other.example'", GOOD, 403),
    ] {
        let pipeline = filter("CORSAdaptor", FIELDS) + &proxy.replace("ORIGINS", origins);
        let gateway = through(&pipeline, backend.address);
        let mut client = Peer::connect(gateway.address);
        client.send(
            format!("GET / HTTP/1.1\r\nHost: test.example\r\n{origin}{}\r\n", testkit::UPGRADE).as_bytes(),
        );
        if code == 101 {
            let (_server, _) = backend.accept_websocket("");
            let head = client.head();
            assert_eq!(status(&head), 101, "{origins} {origin}: {head}");
            assert!(
                !head.to_lowercase().contains("access-control") && !head.to_lowercase().contains("vary"),
                "{head}"
            );
        } else {
            let head = client.head();
            assert_eq!(
                (status(&head), header(&head, "x-ropeway-error")),
                (403, Some("origin_refused")),
                "{origins} {origin}: {head}"
            );
            assert!(backend.try_accept().is_none());
        }
    }
}

#[test]
fn what_is_checked_when_it_is_loaded() {
    for good in [
        "allowedOrigins: []",
        FIELDS,
        "allowedOrigins: ['*']",
        "allowedOrigins: ['null', 'http://localhost:*']",
        "maxAge: 600",
    ] {
        assert_eq!(findings_of("CORSAdaptor", good), [""; 0], "{good}");
    }
    let all = "`allowCredentials` with every origin lets any page act as the user";
    for (fields, expected) in [
        ("allowCredentials: true", all),
        ("allowCredentials: true\nallowedOrigins: ['*']", all),
        ("allowCredentials: true\nallowedOrigins: ['https://a', 'https://*']", all),
        ("allowCredentials: true\nallowedOrigins: ['http?://*']", all),
        ("allowedOrigins: [example.com]", "no page has such an origin"),
        ("allowedOrigins: ['https://[']", "is not closed properly"),
        ("allowedMethods: [get]", "`get` is not known here (did you mean `GET`?)"),
        ("allowedHeaders: ['X A']", "cannot stand in a header name"),
        ("maxAge: -1", "maxAge"),
    ] {
        let found = findings_of("CORSAdaptor", fields);
        assert!(found.len() == 1 && found[0].contains(expected), "{fields}: {found:?}");
    }
}
