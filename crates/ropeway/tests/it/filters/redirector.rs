//! `Redirector`: clients that are sent elsewhere.

use testkit::Peer;

use super::{alone, ask, documents, filter, filter_and_proxy, findings_of, header, mirror, status, through};

#[test]
fn clients_are_sent_elsewhere() {
    let rows = [
        ("match: ^/old/(.*)$\nreplacement: /new/$1", "GET /old/a?b=c", 301, Some("/new/a?b=c")),
        ("match: ^/old/(.*)$\nreplacement: /new/$1", "GET /%6fld/a%20b", 301, Some("/new/a%20b")),
        ("match: ^/old/(.*)$\nreplacement: /new/$1", "GET /other", 200, None),
        (
            "match: ^/old$\nmatchPart: path\nreplacement: /new\nstatusCode: 308",
            "POST /old?b",
            308,
            Some("/new"),
        ),
        (
            "match: ^http://([^/:]+)\nmatchPart: full\nreplacement: https://$1\nstatusCode: 307",
            "GET /a?b",
            307,
            Some("https://test.example/a?b"),
        ),
        (
            "match: ^/(.*)$\nreplacement: https://b.example/$1\nstatusCode: 302",
            "GET //c.example",
            302,
            Some("https://b.example//c.example"),
        ),
        ("match: ^/to(.*)$\nreplacement: $1\nstatusCode: 303", "GET /to//c.example", 303, Some("/c.example")),
        ("match: ^(.*)$\nreplacement: $1", "GET /a", 200, None),
    ];
    let backend = mirror();
    for (fields, start, code, location) in rows {
        let gateway = through(&filter_and_proxy("Redirector", fields), backend.address);
        let (head, body) = ask(&gateway, start, "");
        assert_eq!((status(&head), header(&head, "location")), (code, location), "{fields} {start}: {head}");
        assert!(code == 200 || body.is_empty(), "{body}");
    }
}

/// Which scheme the client speaks, a trusted proxy says; nobody else does.
#[test]
fn the_scheme_is_that_of_the_client() {
    let pipeline = filter("Redirector", "match: '^http:'\nmatchPart: full\nreplacement: 'https:'");
    for (trusted, said, code) in [
        ("", "https", 301),
        ("trustedProxies: [127.0.0.1]\n", "https", 503),
        ("trustedProxies: [127.0.0.1]\n", "http", 301),
    ] {
        let gateway = testkit::TestGateway::start(&documents(trusted, &pipeline, ([127, 0, 0, 1], 9).into()));
        let (head, _) = ask(&gateway, "GET /a", &format!("X-Forwarded-Proto: {said}\r\n"));
        assert_eq!(status(&head), code, "{trusted} {said}: {head}");
        assert!(code == 503 || header(&head, "location") == Some("https://test.example/a"), "{head}");
    }
}

#[test]
fn a_handshake_is_redirected_as_a_refusal() {
    let gateway = alone(&filter("Redirector", "match: ^/a\nreplacement: /b"));
    let mut client = Peer::shake(gateway.address, "/a", "");
    let head = client.head();
    assert_eq!((status(&head), header(&head, "location")), (301, Some("/b")), "{head}");
    assert_eq!(header(&head, "connection"), Some("close"), "{head}");
}

#[test]
fn what_is_checked_when_it_is_loaded() {
    for good in [
        "match: a\nreplacement: b",
        "match: ^/(.*)\nreplacement: https://b.example/$1",
        "match: ^/\nreplacement: https://b.example",
        "match: ^/([a-z]+)\nreplacement: https://$1.example.com/",
        "match: ^http://([^/]+)\nmatchPart: full\nreplacement: https://www.$1",
    ] {
        assert_eq!(findings_of("Redirector", good), [""; 0], "{good}");
    }
    for (fields, expected) in [
        ("match: a", "missing field `replacement`"),
        ("match: '('\nreplacement: b", "not a regular expression"),
        (&format!("match: '{}'\nreplacement: b", "a".repeat(4097)), "at most 4096 bytes"),
        ("match: (?:a{1000}){1000}\nreplacement: b", "this regular expression is too large"),
        ("match: a\nmatchPart: host\nreplacement: b", "`host` is not known here"),
        ("match: a\nreplacement: b\nstatusCode: 200", "200 is not the status of a redirection"),
        ("match: ^(.*)$\nreplacement: https://b.example$1", "can become a part of the host `b.example`"),
        ("match: ^(.*)$\nreplacement: //b.example$1", "can become a part of the host `b.example`"),
    ] {
        let found = findings_of("Redirector", fields);
        assert!(found.len() == 1 && found[0].contains(expected), "{fields}: {found:?}");
    }
}
