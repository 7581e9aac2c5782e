//! Bodies of requests and answers.

use std::io::Write;
use std::thread;

use testkit::Backend;

use super::{Setup, ask, chunked, get, header, line, to};

/// The head of a request that waits with its body of three bytes.
const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: test.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";

#[test]
fn bodies_pass_both_ways_as_they_come() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    let mut client =
        ask(&gateway, "POST /x HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut server = backend.accept();
    let head = server.head();
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"), "{head}");
    assert_eq!(header(&head, "content-length"), None, "{head}");
    server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    // Each part is there before the next is sent, in turns.
    for part in ["one", "three", "a"] {
        let chunk = format!("{:x}\r\n{part}\r\n", part.len());
        client.send(chunk.as_bytes());
        assert_eq!(line(&mut server), format!("{:X}", part.len()), "{part}");
        assert_eq!(server.bytes(part.len() + 2), format!("{part}\r\n").as_bytes());
        server.send(chunk.as_bytes());
        assert_eq!(line(&mut client), format!("{:X}", part.len()), "{part}");
        assert_eq!(client.bytes(part.len() + 2), format!("{part}\r\n").as_bytes());
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(server.bytes(5), b"0\r\n\r\n");
    server.send(b"0\r\n\r\n");
    assert_eq!(client.bytes(5), b"0\r\n\r\n");
}

#[test]
fn trailers_pass_both_ways() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    let mut client = ask(
        &gateway,
        "PUT /x HTTP/1.1\r\nHost: test.example\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Sum\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let mut server = backend.accept();
    let head = server.head();
    assert_eq!((header(&head, "te"), header(&head, "trailer")), (Some("trailers"), Some("X-Sum")), "{head}");
    let (body, trailers) = chunked(&mut server);
    assert_eq!((&*body, trailers.to_lowercase().as_str()), (&b"abc"[..], "x-sum: 1\n"));
    server.send(b"HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: 2\r\n\r\n");
    client.head();
    let (body, trailers) = chunked(&mut client);
    assert_eq!((&*body, trailers.to_lowercase().as_str()), (&b"abc"[..], "x-end: 2\n"));
}

#[test]
fn a_client_is_told_to_continue_when_the_server_says_so() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    let mut client = ask(&gateway, EXPECTING);
    let mut server = backend.accept();
    assert_eq!(header(&server.head(), "expect"), Some("100-continue"));
    server.send(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"abc");
    assert_eq!(server.bytes(3), b"abc");
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
}

/// It never sends its body, and nobody waits for it.
#[test]
fn a_client_is_not_told_to_continue_when_the_server_refuses() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    let mut client = ask(&gateway, EXPECTING);
    let mut server = backend.accept();
    server.head();
    server.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    assert_eq!(client.rest(), b"no");
}

/// It may not know the question (RFC 9110 10.1.1).
#[test]
fn a_server_that_says_nothing_gets_the_body_in_the_end() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    let mut client = ask(&gateway, EXPECTING);
    let mut server = backend.accept();
    server.head();
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"abc");
    assert_eq!(server.bytes(3), b"abc");
}

#[test]
fn a_body_has_a_most() {
    let backend = Backend::listen();
    for (server, path, most) in [
        ("clientMaxBodySize: 5", "", 5),
        ("clientMaxBodySize: 9", "clientMaxBodySize: 5", 5),
        ("", "", 4 << 20),
    ] {
        let gateway = Setup { server, path, ..Setup::default() }.to(&[backend.address]);
        let row = format!("{server} {path}");
        // Just as long as it may be.
        let mut client = ask(
            &gateway,
            &format!("POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: {most}\r\n\r\n"),
        );
        let mut accepted = backend.accept();
        accepted.head();
        let mut sender = client.tcp.try_clone().unwrap();
        let sending = thread::spawn(move || sender.write_all(&vec![b'x'; most]).unwrap());
        accepted.bytes(most);
        sending.join().unwrap();
        accepted.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(client.head().starts_with("HTTP/1.1 200 "), "{row}");
        // One byte more, which its head says: no server hears of it.
        let mut client = ask(
            &gateway,
            &format!("POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: {}\r\n\r\n", most + 1),
        );
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 413 "), "{row}: {head}");
        assert_eq!(header(&head, "x-ropeway-error"), Some("body_too_large"), "{row}");
        assert!(backend.try_accept().is_none(), "{row}");
    }
    let gateway = Setup { server: "clientMaxBodySize: 5", ..Setup::default() }.to(&[backend.address]);
    let mut client = ask(
        &gateway,
        "POST / HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n",
    );
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}

#[test]
fn a_body_that_nobody_reads_does_not_become_a_request() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    // Refused before its body is read: it is too long.
    let hidden = "GET /hidden HTTP/1.1\r\nHost: test.example\r\n\r\n";
    let mut client = ask(
        &gateway,
        &format!("POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 99999999\r\n\r\n{hidden}"),
    );
    assert!(client.head().starts_with("HTTP/1.1 413 "));
    client.finish();
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(!rest.contains("HTTP/1.1"), "{rest}");
    assert!(backend.try_accept().is_none());
}

/// A client may send all it has before it reads.
#[test]
fn a_request_goes_on_while_nobody_reads_its_answer() {
    const SIZE: usize = 32 << 20;
    let backend = Backend::listen();
    let gateway = Setup { server: "clientMaxBodySize: -1", ..Setup::default() }.to(&[backend.address]);
    let head = format!("POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: {SIZE}\r\n\r\n");
    let mut client = ask(&gateway, &head);
    let mut server = backend.accept();
    server.head();
    let mut answering = server.tcp.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
            answering.write_all(&[head.into_bytes(), vec![b'a'; SIZE]].concat()).unwrap();
        });
        scope.spawn(|| server.bytes(SIZE));
        client.send(&vec![b'q'; SIZE]);
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        client.bytes(SIZE);
    });
}

#[test]
fn events_arrive_before_the_next_is_sent() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    let mut client = ask(&gateway, &get("/events", "Accept: text/event-stream\r\n"));
    let mut server = backend.accept();
    server.head();
    // Without a length: it goes on until the connection ends.
    server.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    client.head();
    for number in 0..20 {
        let event = format!("data: {number}\n\n");
        server.send(event.as_bytes());
        assert_eq!(line(&mut client), format!("{:X}", event.len()));
        assert_eq!(client.bytes(event.len() + 2), format!("{event}\r\n").as_bytes());
    }
    // The server hears it when the client leaves.
    drop(client);
    server.end();
}

#[test]
fn a_client_that_pauses_in_a_body_is_not_waited_for() {
    let backend = Backend::listen();
    let gateway = Setup { server: "keepAliveTimeout: 1s", ..Setup::default() }.to(&[backend.address]);
    let mut client = ask(&gateway, "POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 5\r\n\r\nabc");
    let mut server = backend.accept();
    server.head();
    server.bytes(3);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert_eq!(header(&head, "x-ropeway-error"), Some("body_timeout"), "{head}");
    // The server does not take the part for the whole: its connection ends.
    assert!(server.bytes_or_end(1).is_none());
}

/// A server that answers before it has read everything, and hangs up.
#[test]
fn an_early_answer_reaches_the_client() {
    let backend = Backend::listen();
    let gateway = Setup { server: "clientMaxBodySize: -1", ..Setup::default() }.to(&[backend.address]);
    for _ in 0..10 {
        let mut client =
            ask(&gateway, "POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 100000000\r\n\r\n");
        let mut sender = client.tcp.try_clone().unwrap();
        let sending = thread::spawn(move || {
            let part = vec![b'x'; 100_000];
            (0..1000).all(|_| sender.write_all(&part).is_ok())
        });
        let mut server = backend.accept();
        server.head();
        server.bytes(100_000);
        server.send(b"HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        assert_eq!(client.bytes(2), b"no");
        drop((client, server));
        sending.join().unwrap();
    }
}

#[test]
fn a_server_hears_when_the_client_leaves() {
    let backend = Backend::listen();
    let gateway = to(&[backend.address]);
    for request in [
        get("/", ""),
        "POST / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 9\r\n\r\nabc".into(),
        "POST / HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".into(),
    ] {
        let client = ask(&gateway, &request);
        let mut server = backend.accept();
        server.head();
        drop(client);
        let rest = String::from_utf8(server.rest()).unwrap();
        assert!(!rest.contains("0\r\n"), "{request}: a part is no whole: {rest}");
    }
}
