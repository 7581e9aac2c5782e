//! Connections that are open when the way they were made is changed.

use testkit::h2::{H2Peer, kind};
use testkit::{Authority, Backend, End, Initiator, Peer, TestGateway};

use super::{base64, demand, shows};

fn documents(backend: &Backend, server: &str) -> String {
    format!(
        "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n{server}rules:\n\
         - paths: [{{ backend: NAME-http }}]\n---\nname: NAME-http\nkind: Pipeline\nfilters:\n- kind: Proxy\n\
         \x20 name: proxy\n  pools: [{{ servers: [{{ url: 'http://{}' }}] }}]\n",
        backend.address
    )
}

fn answer(server: &mut Peer) {
    server.head();
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A client without a certificate goes on until its request is answered, and no further, once one is asked for.
#[test]
fn who_could_not_connect_any_more_is_let_go() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let own = shows(&authority.issue(&["localhost"]));
    let rows = [
        ("certificates of clients", format!("{own}caCertBase64: {}\n", base64(&clients.pem()))),
        ("the version", format!("{own}minTlsVersion: TLSv1.3\n")),
        ("no HTTP/2", format!("{own}http2: false\n")),
        ("no TLS", String::new()),
    ];
    for (name, changed) in rows {
        let backend = Backend::listen();
        let mut gateway = TestGateway::start(&documents(&backend, &own));
        let tls = Initiator::new(gateway.address, demand("localhost", &authority));
        let [mut idle, mut busy, mut silent] = [(); 3].map(|()| Peer::connect(tls.address));
        idle.send(GET);
        answer(&mut backend.accept());
        assert!(idle.head().starts_with("HTTP/1.1 200 "), "{name}");
        assert_eq!(idle.bytes(2), b"ok");
        testkit::eventually("three handshakes", || (tls.met().len() == 3).then_some(()));
        let tls2 = Initiator::speaking(gateway.address, demand("localhost", &authority), "h2");
        let mut h2 = H2Peer::connect(tls2.address, &[]);
        h2.get(1, "/");
        // One connection to the server waits, and either takes it.
        let mut server = backend.accept();
        server.head();
        busy.send(GET);
        let mut other = backend.accept();
        other.head();
        gateway.reload(&documents(&backend, &changed));
        assert_eq!(idle.end(), End::Fin, "{name}");
        assert_eq!(silent.end(), End::Fin, "{name}");
        assert!(h2.next(kind::GOAWAY).is_some(), "{name}");
        for server in [&mut server, &mut other] {
            server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        let head = busy.head();
        assert!(head.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{name}: {head}");
        assert_eq!(busy.bytes(2), b"ok");
        assert_eq!(busy.end(), End::Fin, "{name}");
        assert_eq!(h2.answer(1).unwrap().body, b"ok", "{name}");
        h2.peer.finish();
        while h2.frame().is_some() {}
    }
}

/// A certificate is renewed while clients are at work, and routes change.
#[test]
fn who_could_connect_just_so_stays() {
    let authority = Authority::new();
    let own = || shows(&authority.issue(&["localhost"]));
    let backend = Backend::listen();
    let mut gateway = TestGateway::start(&documents(&backend, &own()));
    let tls = Initiator::new(gateway.address, demand("localhost", &authority));
    let mut client = Peer::connect(tls.address);
    client.send(GET);
    let mut server = backend.accept();
    answer(&mut server);
    client.head();
    client.bytes(2);
    for changed in [own(), own() + "maxConnections: 5\n", own() + "trustedProxies: []\n"] {
        gateway.reload(&documents(&backend, &changed));
        client.send(GET);
        answer(&mut server);
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        client.bytes(2);
    }
}
