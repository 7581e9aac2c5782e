//! `Fallback`: an answer where nobody else could.

use testkit::{Backend, Peer};

use super::{alone, ask, filter, findings_of, header, status, through};

#[test]
fn it_answers_where_no_server_does() {
    let pipeline = "flow:
- filter: proxy
  jumpIf: { serverError: sorry }
- filter: END
- filter: sorry
filters:
- { name: proxy, kind: Proxy, pools: [{ servers: [{ url: 'http://BACKEND' }] }] }
- { name: sorry, kind: Fallback, mockCode: 503, mockHeaders: { Retry-After: '10' }, mockBody: later }
";
    let (head, body) = ask(&alone(pipeline), "GET /", "");
    assert_eq!((status(&head), &*body), (503, "later"), "{head}");
    assert_eq!(header(&head, "retry-after"), Some("10"), "{head}");
    assert_eq!(header(&head, "x-ropeway-error"), None, "it is the user's answer: {head}");
    let backend = super::mirror();
    let (head, _) = ask(&through(pipeline, backend.address), "GET /", "");
    assert_eq!((status(&head), header(&head, "server")), (200, Some("mirror")), "{head}");
}

#[test]
fn it_answers_where_there_was_no_answer() {
    let (head, body) = ask(&alone(&filter("Fallback", "mockCode: 404\nmockBody: nothing")), "GET /", "");
    assert_eq!((status(&head), &*body), (404, "nothing"), "{head}");
}

/// Behind a `WebSocketProxy` it takes the place of the 101, and the server learns that nobody comes.
#[test]
fn a_server_that_agreed_hears_that_nobody_comes() {
    let pipeline = "filters:
- { name: ws, kind: WebSocketProxy, pools: [{ servers: [{ url: 'ws://BACKEND' }] }] }
- { name: full, kind: Fallback, mockCode: 503 }
";
    let backend = Backend::listen();
    let gateway = through(pipeline, backend.address);
    let mut client = Peer::shake(gateway.address, "/", "");
    let (mut server, _) = backend.accept_websocket("");
    let head = client.head();
    assert_eq!(status(&head), 503, "{head}");
    assert_eq!(header(&head, "connection"), Some("close"), "what follows are no requests: {head}");
    assert_eq!(server.frame().close().0, 1001);
}

#[test]
fn what_is_checked_when_it_is_loaded() {
    assert_eq!(findings_of("Fallback", "mockCode: 200"), [""; 0]);
    for (fields, expected) in [
        ("mockBody: a", "missing field `mockCode`"),
        ("mockCode: 100", "100 is not the end of an answer"),
        ("mockCode: 200\nmockHeaders: { Content-Length: '1' }", "`content-length` cannot be changed"),
        ("mockCode: 200\nbody: a", "unknown field `body`"),
    ] {
        let found = findings_of("Fallback", fields);
        assert!(found.len() == 1 && found[0].contains(expected), "{fields}: {found:?}");
    }
}
