//! Answers from the configuration.

use super::{alone, ask, findings, header, status};

const RULES: &str = "filters:
- name: answers
  kind: Mock
  rules:
  - { match: { path: /a b }, code: 201, headers: { X-A: a, Set-Cookie: b }, body: one }
  - { match: { pathPrefix: /p, path: /q }, code: 204, body: nobody gets it }
  - { match: { headers: { X-B: { exact: b }, X-C: { empty: true } } }, code: 304 }
  - { match: { headers: { X-D: { exact: d }, X-E: { exact: e } }, matchAllHeaders: true }, code: 599 }
";

#[test]
fn the_first_rule_that_fits_answers() {
    let gateway = alone(RULES);
    let rows = [
        ("GET /a%20b", "", 201, "one"),
        ("GET /%61%20b?c", "", 201, "one"),
        ("HEAD /a%20b", "", 201, ""),
        ("GET /pq", "", 204, ""),
        ("GET /q", "", 204, ""),
        ("GET /qq", "X-C: c\r\n", 503, ""),
        ("GET /qq", "", 304, ""),
        ("GET /", "X-B: b\r\nX-C: c\r\n", 304, ""),
        ("GET /", "X-C: c\r\nX-D: d\r\n", 503, ""),
        ("GET /", "X-C: c\r\nX-D: d\r\nX-E: e\r\n", 599, ""),
    ];
    for (start, headers, code, body) in rows {
        let (head, found) = ask(&gateway, start, headers);
        assert_eq!(status(&head), code, "{start} {headers:?}: {head}");
        if code == 503 {
            assert_eq!(header(&head, "x-ropeway-error"), Some("no_reply"), "{start} {headers:?}: {head}");
        } else {
            assert_eq!(found, body, "{start} {headers:?}: {head}");
        }
        if code == 201 {
            assert_eq!(
                (header(&head, "x-a"), header(&head, "content-length")),
                (Some("a"), Some("3")),
                "{head}"
            );
        }
    }
}

#[test]
fn no_answer_can_have_a_framing_of_its_own() {
    let rule =
        |rule: &str| findings(&format!("filters:\n- name: a\n  kind: Mock\n  rules: [{{ {rule} }}]\n"));
    assert_eq!(rule("headers: { Date: then }"), [""; 0]);
    for (faulty, expected) in [
        ("code: 101", "101 is not the end of an answer"),
        ("code: 600", "600 is not an HTTP status code"),
        ("headers: { Content-Length: '5' }", "`content-length` cannot be changed"),
        ("headers: { transfer-encoding: chunked }", "`transfer-encoding` cannot be changed"),
        ("headers: { Connection: close }", "`connection` cannot be changed"),
        ("headers: { Upgrade: websocket }", "`upgrade` cannot be changed"),
        ("headers: { Sec-WebSocket-Accept: x }", "`sec-websocket-accept` cannot be changed"),
        ("headers: { X-Ropeway-Error: x }", "`x-ropeway-error` cannot be changed"),
        ("headers: { X-A: \"a\\r\\nX-B: b\" }", "no header can have this value"),
        (&format!("headers: {{ X-A: {} }}", "a".repeat(8193)), "at most 8192 bytes"),
        ("headers: { 'X A': a }", "' ' cannot stand in a header name"),
    ] {
        let found = rule(faulty);
        assert!(found.len() == 1 && found[0].contains(expected), "{faulty}: {found:?}");
    }
}
