//! Malformed and ambiguous requests: each is refused, or the server sees exactly one unambiguous request.

#![allow(clippy::too_many_lines, reason = "tables")]

use std::sync::{Arc, Mutex};

use testkit::{Backend, Peer, TestGateway};

use super::{chunked, header, to};

/// Requests as they come to the backend: method, target, framing and body.
type Seen = Arc<Mutex<Vec<String>>>;

/// A backend that reads as strictly as can be, and answers everything.
fn strict(seen: &Seen) -> testkit::Serving {
    let seen = seen.clone();
    Backend::listen().serve(move |mut peer| {
        while let Some(first) = peer.bytes_or_end(1) {
            let head = String::from_utf8(first).unwrap() + &peer.head();
            for line in head.split("\r\n") {
                assert!(!line.contains(['\r', '\n', '\0']) && !line.starts_with([' ', '\t']), "{head:?}");
            }
            for name in ["\r\nupgrade:", "\r\nhttp2-settings:", "\r\ntrailer:"] {
                assert!(!head.to_lowercase().contains(name), "{head:?}");
            }
            for name in ["\r\nhost:", "\r\ncontent-length:", "\r\ntransfer-encoding:"] {
                assert!(head.to_lowercase().matches(name).count() <= 1, "{head:?}");
            }
            let framing = match (header(&head, "content-length"), header(&head, "transfer-encoding")) {
                (None, None) => "-".to_owned(),
                (Some(length), None) => {
                    let body = peer.bytes(length.parse().unwrap());
                    format!("{length} {}", String::from_utf8(body).unwrap())
                }
                (None, Some("chunked")) => {
                    format!("chunked {}", String::from_utf8(chunked(&mut peer).0).unwrap())
                }
                both => panic!("{both:?}"),
            };
            let start = head.split(" HTTP/1.1\r\n").next().unwrap();
            seen.lock().unwrap().push(format!("{start} {} {framing}", header(&head, "host").unwrap()));
            peer.try_send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    })
}

/// The statuses of the answers to `bytes`: of as many as are expected, and then of whatever else comes until the end.
fn statuses(gateway: &TestGateway, bytes: &[u8], expected: usize) -> Vec<u16> {
    let mut client = Peer::connect(gateway.address);
    client.try_send(bytes);
    let mut found = Vec::new();
    loop {
        if found.len() == expected {
            client.finish();
        }
        let Some(first) = client.bytes_or_end(1) else { return found };
        let head = String::from_utf8(first).unwrap() + &client.head();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        client.bytes(length);
        found.push(head[9..12].parse().unwrap());
    }
}

/// A name, what is sent, the statuses of the answers, and what the server sees.
type Row<'a> = (&'a str, &'a [u8], &'a [u16], &'a [&'a str]);

fn check(rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for (name, bytes, answers, requests) in rows {
        let seen = Seen::default();
        let backend = strict(&seen);
        let gateway = to(&[backend.address]);
        let found = statuses(&gateway, bytes, answers.len());
        let seen = seen.lock().unwrap().clone();
        if found != *answers || seen != *requests {
            wrong.push(format!("{name}: {found:?} {seen:?}, and not {answers:?} {requests:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A row of its name, the first line of the request, headers beside `Host`, what stands behind them, the statuses of the
/// answers, and what the server sees.
macro_rules! row {
    ($name:literal, $start:literal, $headers:expr, $body:expr, $answers:expr, $requests:expr) => {
        (
            $name,
            concat!($start, "\r\nHost: test.example\r\n", $headers, "\r\n", $body).as_bytes(),
            &$answers,
            &$requests,
        )
    };
}

#[test]
fn lengths_and_codings() {
    check(&[
        row!(
            "a length",
            "POST / HTTP/1.1",
            "Content-Length: 3\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
        row!("no length", "POST / HTTP/1.1", "", "", [200], ["POST / test.example -"]),
        row!(
            "length 0, and the next",
            "POST / HTTP/1.1",
            "Content-Length: 0\r\n",
            "GET /next HTTP/1.1\r\nHost: test.example\r\n\r\n",
            [200, 200],
            ["POST / test.example 0 ", "GET /next test.example -"]
        ),
        row!(
            "two equal lengths",
            "POST / HTTP/1.1",
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
        row!(
            "two lengths",
            "POST / HTTP/1.1",
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "abcd",
            [400],
            []
        ),
        row!("two lengths in a list", "POST / HTTP/1.1", "Content-Length: 3, 4\r\n", "abcd", [400], []),
        row!("two equal lengths in a list", "POST / HTTP/1.1", "Content-Length: 3, 3\r\n", "abc", [400], []),
        row!("a length with a plus", "POST / HTTP/1.1", "Content-Length: +3\r\n", "abc", [400], []),
        row!("a negative length", "POST / HTTP/1.1", "Content-Length: -3\r\n", "abc", [400], []),
        row!("a hexadecimal length", "POST / HTTP/1.1", "Content-Length: 0x3\r\n", "abc", [400], []),
        row!("a length that is no number", "POST / HTTP/1.1", "Content-Length: three\r\n", "abc", [400], []),
        row!("an empty length", "POST / HTTP/1.1", "Content-Length:\r\n", "abc", [400], []),
        row!("a length with a space", "POST / HTTP/1.1", "Content-Length: 3 3\r\n", "abc", [400], []),
        row!(
            "a length over 64 bits",
            "POST / HTTP/1.1",
            "Content-Length: 18446744073709551619\r\n",
            "abc",
            [400],
            []
        ),
        row!(
            "the largest length",
            "POST / HTTP/1.1",
            "Content-Length: 18446744073709551615\r\n",
            "abc",
            [431],
            []
        ),
        row!(
            "a length over the limit",
            "POST / HTTP/1.1",
            "Content-Length: 4194305\r\n",
            "GET /next HTTP/1.1\r\nHost: test.example\r\n\r\n",
            [413],
            []
        ),
        row!(
            "a length and a coding",
            "POST / HTTP/1.1",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\nGET /next HTTP/1.1\r\nHost: test.example\r\n\r\n",
            [200],
            ["POST / test.example chunked "]
        ),
        row!(
            "a coding and a length",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "0\r\n\r\nGET /next HTTP/1.1\r\nHost: test.example\r\n\r\n",
            [200],
            ["POST / test.example chunked "]
        ),
        row!(
            "a coding",
            "POST / HTTP/1.1",
            "Transfer-Encoding: Chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            [200],
            ["POST / test.example chunked abc"]
        ),
        row!("identity", "POST / HTTP/1.1", "Transfer-Encoding: identity\r\n", "abc", [400], []),
        row!("xchunked", "POST / HTTP/1.1", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", [400], []),
        row!(
            "a quoted coding",
            "POST / HTTP/1.1",
            "Transfer-Encoding: \"chunked\"\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "chunked, identity",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked, identity\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "gzip before chunked",
            "POST / HTTP/1.1",
            "Transfer-Encoding: gzip, chunked\r\n",
            "0\r\n\r\n",
            [501],
            []
        ),
        row!(
            "chunked twice in a list",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked, chunked\r\n",
            "0\r\n\r\n",
            [501],
            []
        ),
        row!(
            "chunked twice",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            [501],
            []
        ),
        row!(
            "chunked with a parameter",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked;a=b\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a vertical tab before chunked",
            "POST / HTTP/1.1",
            "Transfer-Encoding: \x0bchunked\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!("an empty coding", "POST / HTTP/1.1", "Transfer-Encoding:\r\n", "abc", [400], []),
        row!(
            "a coding in HTTP/1.0",
            "POST / HTTP/1.0",
            "Transfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a body of a GET",
            "GET / HTTP/1.1",
            "Content-Length: 3\r\n",
            "abc",
            [200],
            ["GET / test.example 3 abc"]
        ),
        row!(
            "a chunked body of a GET",
            "GET / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            [200],
            ["GET / test.example chunked abc"]
        ),
        row!(
            "a length named in Connection",
            "POST / HTTP/1.1",
            "Content-Length: 3\r\nConnection: Content-Length\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
        row!(
            "a length with another name",
            "POST / HTTP/1.1",
            "Content_Length: 30\r\nContent-Length: 3\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
    ]);
}

#[test]
fn chunks() {
    check(&[
        row!(
            "in upper case",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "A\r\n0123456789\r\n0\r\n\r\n",
            [200],
            ["POST / test.example chunked 0123456789"]
        ),
        row!(
            "with zeros in front",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "003\r\nabc\r\n00\r\n\r\n",
            [200],
            ["POST / test.example chunked abc"]
        ),
        row!(
            "with an extension",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3;a=b\r\nabc\r\n0\r\n\r\n",
            [200],
            ["POST / test.example chunked abc"]
        ),
        row!(
            "and the next request",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: test.example\r\n\r\n",
            [200, 200],
            ["POST / test.example chunked abc", "GET /next test.example -"]
        ),
        row!(
            "over 64 bits",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "10000000000000003\r\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a size with 0x",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a negative size",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "-3\r\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a size with a plus",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "no size",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a bare LF behind the size",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a bare LF in an extension",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3;a\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a bare CR behind the size",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\rabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "more than its size",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            [400],
            []
        ),
    ]);
}

#[test]
fn heads() {
    check(&[
        row!("usual", "GET /x?y HTTP/1.1", "", "", [200], ["GET /x?y test.example -"]),
        ("LF ends lines", b"GET / HTTP/1.1\nHost: test.example\n\n", &[200], &["GET / test.example -"]),
        (
            "empty lines in front",
            b"\r\n\r\nGET / HTTP/1.1\r\nHost: test.example\r\n\r\n",
            &[200],
            &["GET / test.example -"],
        ),
        row!("a folded line", "GET / HTTP/1.1", "X-A: b\r\n c\r\n", "", [400], []),
        row!("a folded first line", "GET / HTTP/1.1", " X-A: b\r\n", "", [400], []),
        row!("a space before the colon", "POST / HTTP/1.1", "Content-Length : 3\r\n", "abc", [400], []),
        row!(
            "a tab before the colon",
            "POST / HTTP/1.1",
            "Transfer-Encoding\t: chunked\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!("no colon", "GET / HTTP/1.1", "X-A\r\n", "", [400], []),
        row!("no name", "GET / HTTP/1.1", ": b\r\n", "", [400], []),
        row!("a name with a parenthesis", "GET / HTTP/1.1", "X(A: b\r\n", "", [400], []),
        row!("NUL in a value", "GET / HTTP/1.1", "X-A: b\0c\r\n", "", [400], []),
        row!("NUL in a name", "GET / HTTP/1.1", "X\0A: b\r\n", "", [400], []),
        row!("a bare CR in a value", "GET / HTTP/1.1", "X-A: b\rX-B: c\r\n", "", [400], []),
        row!("a bare CR as a line", "GET / HTTP/1.1", "X-A: b\r\n\rGET /next HTTP/1.1\r\n", "", [400], []),
        row!("two hosts", "GET / HTTP/1.1", "Host: other.example\r\n", "", [400], []),
        ("no host", b"GET / HTTP/1.1\r\n\r\n", &[400], &[]),
        ("a host with a path", b"GET / HTTP/1.1\r\nHost: test.example/x\r\n\r\n", &[400], &[]),
        ("a host with a user", b"GET / HTTP/1.1\r\nHost: a@test.example\r\n\r\n", &[400], &[]),
        ("a host with a port and another host", b"GET / HTTP/1.1\r\nHost: a:80@b\r\n\r\n", &[400], &[]),
        ("a host twice with a port", b"GET / HTTP/1.1\r\nHost: b:80@b:80\r\n\r\n", &[400], &[]),
        ("the highest port", b"GET / HTTP/1.1\r\nHost: b:65535\r\n\r\n", &[200], &["GET / b:65535 -"]),
        ("a port too high", b"GET / HTTP/1.1\r\nHost: b:65536\r\n\r\n", &[400], &[]),
        ("a port of five nines", b"GET / HTTP/1.1\r\nHost: b:99999\r\n\r\n", &[400], &[]),
        ("a port too long", b"GET / HTTP/1.1\r\nHost: b:100000\r\n\r\n", &[400], &[]),
        ("a port too high behind a name", b"GET / HTTP/1.1\r\nHost: a_b:65536\r\n\r\n", &[400], &[]),
        ("a port too high behind an address", b"GET / HTTP/1.1\r\nHost: [::1]:99999\r\n\r\n", &[400], &[]),
        ("a port with a sign", b"GET / HTTP/1.1\r\nHost: b:+80\r\n\r\n", &[400], &[]),
        row!("a target twice with a port", "GET http://b:80@b:80/x HTTP/1.1", "", "", [400], []),
        row!(
            "an absolute target",
            "GET http://other.example/x HTTP/1.1",
            "",
            "",
            [200],
            ["GET /x other.example -"]
        ),
        row!("a target with a user", "GET http://a@test.example/x HTTP/1.1", "", "", [400], []),
        row!("an escaped slash", "GET /a%2fb HTTP/1.1", "", "", [400], []),
        row!("an escaped NUL", "GET /a%00 HTTP/1.1", "", "", [400], []),
        row!("dot segments", "GET /a/../b HTTP/1.1", "", "", [400], []),
        row!("escaped dot segments", "GET /a/%2e%2E/b HTTP/1.1", "", "", [400], []),
        row!("a bad escape", "GET /a%zz HTTP/1.1", "", "", [400], []),
        row!("a space in the target", "GET /a b HTTP/1.1", "", "", [400], []),
        row!("two spaces", "GET  / HTTP/1.1", "", "", [400], []),
        row!("a tab", "GET\t/ HTTP/1.1", "", "", [400], []),
        row!("CR in the target", "GET /a\rb HTTP/1.1", "", "", [400], []),
        row!("no version", "GET /", "", "", [400], []),
        row!("another version", "GET / HTTP/1.2", "", "", [400], []),
        row!("version 2", "GET / HTTP/2.0", "", "", [400], []),
        row!("a version in lower case", "GET / http/1.1", "", "", [400], []),
        row!("a method with a comma", "GE,T / HTTP/1.1", "", "", [400], []),
        row!("CONNECT", "CONNECT test.example:80 HTTP/1.1", "", "", [501], []),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400], &[]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[400], &[]),
    ]);
}

#[test]
fn more_lengths_and_codings() {
    check(&[
        row!(
            "other codings in two lines",
            "POST / HTTP/1.1",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            [501],
            []
        ),
        row!(
            "a tab before chunked",
            "POST / HTTP/1.1",
            "Transfer-Encoding:\tchunked\r\n",
            "0\r\n\r\n",
            [200],
            ["POST / test.example chunked "]
        ),
        row!(
            "a space behind chunked",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked \r\n",
            "0\r\n\r\n",
            [200],
            ["POST / test.example chunked "]
        ),
        row!(
            "a comma behind chunked",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked,\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a folded coding",
            "POST / HTTP/1.1",
            "Transfer-Encoding:\r\n chunked\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a NUL in a coding",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\0\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a coding with an underscore",
            "POST / HTTP/1.1",
            "Transfer_Encoding: chunked\r\nContent-Length: 3\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
        row!(
            "a coding named in Connection",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            [200],
            ["POST / test.example chunked abc"]
        ),
        row!(
            "two lengths and a coding",
            "POST / HTTP/1.1",
            "Content-Length: 3\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a length with zeros in front",
            "POST / HTTP/1.1",
            "Content-Length: 003\r\n",
            "abc",
            [200],
            ["POST / test.example 003 abc"]
        ),
        row!(
            "a tab before a length",
            "POST / HTTP/1.1",
            "Content-Length:\t3\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
        row!("a length with a comma", "POST / HTTP/1.1", "Content-Length: 3,\r\n", "abc", [400], []),
        row!("a length with a dot", "POST / HTTP/1.1", "Content-Length: 3.0\r\n", "abc", [400], []),
        row!("a length with an exponent", "POST / HTTP/1.1", "Content-Length: 3e0\r\n", "abc", [400], []),
        row!("a quoted length", "POST / HTTP/1.1", "Content-Length: \"3\"\r\n", "abc", [400], []),
        row!(
            "a bare LF before a coding",
            "POST / HTTP/1.1",
            "X-A: b\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            [200],
            ["POST / test.example chunked "]
        ),
        row!(
            "a coding behind a bare CR",
            "POST / HTTP/1.1",
            "X-A: b\rTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "the next request behind close",
            "POST / HTTP/1.1",
            "Content-Length: 3\r\nConnection: close\r\n",
            "abcGET /next HTTP/1.1\r\nHost: test.example\r\n\r\n",
            [200],
            ["POST / test.example 3 abc"]
        ),
        row!(
            "a length in HTTP/1.0",
            "POST / HTTP/1.0",
            "Content-Length: 3\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
    ]);
}

#[test]
fn more_chunks() {
    check(&[
        row!(
            "a space behind the size",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            [200],
            ["POST / test.example chunked abc"]
        ),
        row!(
            "a space before the size",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a size with an underscore",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "an empty line before the end",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "no line end behind the data",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a bare LF behind the data",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a bare CR in an extension",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3;a\rb\r\nabc\r\n0\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a size of 16 digits",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "0000000000000003\r\nabc\r\n0\r\n\r\n",
            [200],
            ["POST / test.example chunked abc"]
        ),
        row!(
            "a size of 17 digits",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "00000000000000003\r\nabc\r\n0\r\n\r\n",
            [200],
            ["POST / test.example chunked abc"]
        ),
        row!(
            "a length as trailer",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
            [200],
            ["POST / test.example chunked abc"]
        ),
        row!(
            "a trailer without a colon",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\nnothing\r\n\r\n",
            [400],
            []
        ),
        row!(
            "a request in the place of trailers",
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\nGET /next HTTP/1.1\r\nHost: test.example\r\n\r\n",
            [400],
            []
        ),
    ]);
}

#[test]
fn more_heads() {
    check(&[
        row!("two equal hosts", "GET / HTTP/1.1", "Host: test.example\r\n", "", [400], []),
        row!("a folded line with a tab", "GET / HTTP/1.1", "X-A: b\r\n\tc\r\n", "", [400], []),
        row!("two CR before LF", "GET / HTTP/1.1", "X-A: b\r\r\n", "", [400], []),
        row!("a line of a space", "GET / HTTP/1.1", "X-A: b\r\n \r\n", "", [400], []),
        row!("a name with a slash", "GET / HTTP/1.1", "X/A: b\r\n", "", [400], []),
        row!("a name with a space", "GET / HTTP/1.1", "X A: b\r\n", "", [400], []),
        row!("DEL in a value", "GET / HTTP/1.1", "X-A: b\x7f\r\n", "", [400], []),
        row!("a bell in a value", "GET / HTTP/1.1", "X-A: b\x07\r\n", "", [400], []),
        row!("an empty value", "GET / HTTP/1.1", "X-A:\r\n", "", [200], ["GET / test.example -"]),
        row!(
            "Host named in Connection",
            "GET / HTTP/1.1",
            "Connection: Host\r\n",
            "",
            [200],
            ["GET / test.example -"]
        ),
        row!(
            "an upgrade to h2c",
            "GET / HTTP/1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "",
            [200],
            ["GET / test.example -"]
        ),
        row!(
            "an upgrade to h2c with a body",
            "POST / HTTP/1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 3\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
        row!(
            "an upgrade to h2c without Connection",
            "GET / HTTP/1.1",
            "Upgrade: h2c\r\n",
            "",
            [200],
            ["GET / test.example -"]
        ),
        row!(
            "an upgrade to h2c, and what is behind it",
            "GET / HTTP/1.1",
            "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            "GET /next HTTP/1.1\r\nHost: test.example\r\n\r\n",
            [200],
            ["GET / test.example -"]
        ),
        row!(
            "an expectation without a body",
            "GET / HTTP/1.1",
            "Expect: 100-continue\r\n",
            "",
            [200],
            ["GET / test.example -"]
        ),
        row!(
            "an expectation nobody knows",
            "POST / HTTP/1.1",
            "Expect: 200-ok\r\nContent-Length: 3\r\n",
            "abc",
            [200],
            ["POST / test.example 3 abc"]
        ),
        row!("the preface in a request", "PRI * HTTP/1.1", "", "", [400], []),
        ("an empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &[400], &[]),
        ("a host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &[400], &[]),
        ("two hosts in one line", b"GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", &[400], &[]),
        ("a host with a port that is none", b"GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n", &[400], &[]),
        ("a host with half a bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", &[400], &[]),
        ("a host with a backslash", b"GET / HTTP/1.1\r\nHost: a.example\\b\r\n\r\n", &[400], &[]),
        ("a folded host", b"GET / HTTP/1.1\r\nHost:\r\n a.example\r\n\r\n", &[400], &[]),
        ("no host, and an absolute target", b"GET http://a.example/ HTTP/1.1\r\n\r\n", &[400], &[]),
        ("a byte order mark", b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[400], &[]),
        ("a PROXY line", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[400], &[]),
    ]);
}

#[test]
fn first_lines() {
    check(&[
        row!(
            "an absolute target of https",
            "GET https://other.example/x HTTP/1.1",
            "",
            "",
            [200],
            ["GET /x other.example -"]
        ),
        row!(
            "an absolute target with a port",
            "GET http://other.example:81/x HTTP/1.1",
            "",
            "",
            [200],
            ["GET /x other.example:81 -"]
        ),
        row!(
            "an absolute target without a path",
            "GET http://other.example HTTP/1.1",
            "",
            "",
            [200],
            ["GET / other.example -"]
        ),
        row!("an absolute target without a host", "GET http:///x HTTP/1.1", "", "", [400], []),
        row!("an authority", "GET other.example:80 HTTP/1.1", "", "", [400], []),
        row!("an asterisk", "OPTIONS * HTTP/1.1", "", "", [404], []),
        row!("an asterisk that is no place", "GET * HTTP/1.1", "", "", [400], []),
        row!("no slash in front", "GET x/y HTTP/1.1", "", "", [400], []),
        row!("a fragment", "GET /a#b HTTP/1.1", "", "", [200], ["GET /a test.example -"]),
        row!("DEL in the target", "GET /a\x7f HTTP/1.1", "", "", [400], []),
        row!("NUL in the target", "GET /a\0b HTTP/1.1", "", "", [400], []),
        row!("a backslash", "GET /a\\b HTTP/1.1", "", "", [400], []),
        row!("an escaped backslash", "GET /a%5Cb HTTP/1.1", "", "", [400], []),
        row!("dots between backslashes", "GET /a\\..\\b HTTP/1.1", "", "", [400], []),
        row!("a semicolon", "GET /a;b=c/d HTTP/1.1", "", "", [200], ["GET /a;b=c/d test.example -"]),
        row!("dots before a semicolon", "GET /a/..;/b HTTP/1.1", "", "", [400], []),
        row!("dots before an escaped semicolon", "GET /a/..%3Bx/b HTTP/1.1", "", "", [400], []),
        row!(
            "a slash escaped twice",
            "GET /a%252fb HTTP/1.1",
            "",
            "",
            [200],
            ["GET /a%252fb test.example -"]
        ),
        row!("an escape of another kind", "GET /a%u002fb HTTP/1.1", "", "", [400], []),
        row!("two slashes", "GET //a//b HTTP/1.1", "", "", [200], ["GET //a//b test.example -"]),
        row!("dots at the end", "GET /a/.. HTTP/1.1", "", "", [400], []),
        row!("dots in the query", "GET /a?/../b HTTP/1.1", "", "", [200], ["GET /a?/../b test.example -"]),
        row!("a method in lower case", "get / HTTP/1.1", "", "", [200], ["get / test.example -"]),
        row!("a method that nobody knows", "PURGE / HTTP/1.1", "", "", [200], ["PURGE / test.example -"]),
        row!("a method with a colon", "GET: / HTTP/1.1", "", "", [400], []),
        row!("no method", " / HTTP/1.1", "", "", [400], []),
        row!("words behind the version", "GET / HTTP/1.1 x", "", "", [400], []),
        row!("a version with two digits", "GET / HTTP/1.10", "", "", [400], []),
        row!("a version without a dot", "GET / HTTP/11", "", "", [400], []),
        row!("another protocol", "GET / HTCPCP/1.0", "", "", [400], []),
    ]);
}

#[test]
fn heads_that_are_too_large() {
    let many: String = (0..101).map(|number| format!("X-{number}: a\r\n")).collect();
    let long = format!("X-A: {}\r\n", "a".repeat(40_000));
    for (name, headers) in [("many", many), ("long", long)] {
        let seen = Seen::default();
        let backend = strict(&seen);
        let gateway = to(&[backend.address]);
        let request = format!("GET / HTTP/1.1\r\nHost: test.example\r\n{headers}\r\n");
        assert_eq!(statuses(&gateway, request.as_bytes(), 1), [431], "{name}");
        assert!(seen.lock().unwrap().is_empty(), "{name}");
    }
}
