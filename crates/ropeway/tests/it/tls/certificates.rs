//! Which certificate is shown, and which one is asked for.

use rustls::pki_types::CertificateDer;
use testkit::h2::{END, END_HEADERS, H2Peer, h2_get, kind};
use testkit::{Authority, Backend, Demand, Identity, Initiator, Peer, TestGateway, records};

use super::{base64, demand, documents, echo, gateway, open, shows, try_open};

/// The certificate that who asks for `name` is shown.
fn shown(gateway: &TestGateway, name: &str, authority: &Authority) -> CertificateDer<'static> {
    let tls = Initiator::new(gateway.address, demand(name, authority));
    echo(&mut open(&tls), b"hello");
    tls.met().remove(0).certificate
}

#[test]
fn the_certificate_is_the_one_for_the_name() {
    let authority = Authority::new();
    let all = ["first.example", "b.example"];
    let first = authority.issue(&all);
    let exact = authority.issue(&["a.example"]);
    let wildcard = authority.issue(&["*.wild.example"]);
    let indent = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let more = format!(
        "certs:\n  exact: {}\n  wild: |\n{}keys:\n  exact: {}\n  wild: |\n{}",
        base64(&exact.certificate),
        indent(&wildcard.certificate),
        base64(&exact.key),
        indent(&wildcard.key),
    );
    let (gateway, _echo) = gateway(&(shows(&first) + &more));
    for (name, expected) in [
        ("a.example", &exact),
        ("A.Example", &exact),
        ("x.wild.example", &wildcard),
        ("first.example", &first),
        ("b.example", &first),
    ] {
        assert_eq!(shown(&gateway, name, &authority), expected.der(), "{name}");
    }
    for name in ["wild.example", "x.y.wild.example", "c.example"] {
        let tls = Initiator::new(gateway.address, demand(name, &authority));
        assert!(try_open(&tls).is_none(), "{name} is in no certificate");
    }
}

/// The head of the request that a backend gets from a client that shows `identity`, if any gets through.
fn forwarded(
    server: &str,
    authority: &Authority,
    identity: Option<&Identity>,
    headers: &str,
) -> Option<String> {
    let backend = Backend::listen();
    let gateway = TestGateway::start(&documents(backend.address, server));
    let tls = Initiator::new(gateway.address, Demand { identity, ..demand("localhost", authority) });
    let mut client = Peer::shake(tls.address, "/ws", headers);
    let server = testkit::eventually("a handshake, or the end of it", || {
        let server = backend.try_accept();
        server.map(Some).or_else(|| client.is_readable().then_some(None))
    });
    Some(server?.head().to_lowercase())
}

#[test]
fn certificates_of_clients_are_asked_for_and_passed_on() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let shows = shows(&authority.issue(&["localhost"]));
    let asks = format!("{shows}caCertBase64: {}\n", base64(&clients.pem()));
    let optional = format!("{asks}clientAuth: optional\n");
    let (good, bad) = (clients.issue(&["client"]), strangers.issue(&["client"]));
    let said = "Client-Cert: :bWFkZSB1cA==:\r\nClient-Cert-Chain: :bWFkZSB1cA==:\r\n";
    let value = format!("\r\nclient-cert: :{}:\r\n", base64_of(&good)).to_lowercase();
    for (server, identity, passes) in [
        (&asks, None, false),
        (&asks, Some(&bad), false),
        (&asks, Some(&good), true),
        (&optional, None, true),
        (&optional, Some(&bad), false),
        (&optional, Some(&good), true),
        (&shows, Some(&good), true),
    ] {
        for headers in ["", said] {
            let head = forwarded(server, &authority, identity, headers);
            assert_eq!(head.is_some(), passes);
            let Some(head) = head else { continue };
            let is_known = server != &shows && identity.is_some();
            assert_eq!(head.contains(&value), is_known, "{head}");
            assert_eq!(head.matches("client-cert").count(), usize::from(is_known), "{head}");
            assert!(head.contains("\r\nx-forwarded-proto: https\r\n"), "{head}");
        }
    }
}

/// Every request of a connection is told of it, and none can say another.
#[test]
fn requests_over_http2_have_the_certificate_of_their_connection() {
    let (authority, clients, backend) = (Authority::new(), Authority::new(), Backend::listen());
    let shows = shows(&authority.issue(&["localhost"]));
    let server = format!("{shows}caCertBase64: {}\nclientAuth: optional\n", base64(&clients.pem()));
    let documents = documents(backend.address, &server).replace("WebSocketProxy", "Proxy");
    let gateway = TestGateway::start(&documents.replace("ws://", "http://"));
    let good = clients.issue(&["client"]);
    let value = format!(":{}:", base64_of(&good));
    for identity in [Some(&good), None] {
        let demand = Demand { identity, ..demand("localhost", &authority) };
        let tls = Initiator::speaking(gateway.address, demand, "h2");
        let mut client = H2Peer::connect(tls.address, &[]);
        for stream in [1, 3] {
            let said = [("client-cert", ":bWFkZSB1cA==:"), ("client-cert-chain", ":bWFkZSB1cA==:")];
            client.send(kind::HEADERS, END | END_HEADERS, stream, &h2_get("/ws", &said));
            let head = backend.accept().head();
            let found: Vec<_> =
                head.lines().filter(|line| line.to_lowercase().starts_with("client")).collect();
            let expected = identity.map(|_| format!("Client-Cert: {value}"));
            assert_eq!(found.len(), usize::from(expected.is_some()), "{head}");
            assert!(expected.is_none_or(|line| line.eq_ignore_ascii_case(found[0])), "{head}");
        }
    }
}

fn base64_of(identity: &Identity) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(identity.der())
}

/// What a client makes up is not passed on without TLS either.
#[test]
fn nobody_can_make_a_certificate_up() {
    let backend = Backend::listen();
    let gateway = TestGateway::start(&documents(backend.address, ""));
    let said = "Client-Cert: :bWFkZSB1cA==:\r\nCLIENT-CERT: :Yg==:\r\nClient-Cert-Chain: :Yw==:\r\n";
    let _client = Peer::shake(gateway.address, "/ws", said);
    let head = backend.accept().head().to_lowercase();
    assert!(!head.contains("client-cert"), "{head}");
    assert!(head.contains("\r\nx-forwarded-proto: http\r\n"), "{head}");
}

#[test]
fn two_hundred_changes_of_the_certificate_end_no_tunnel() {
    const TUNNELS: usize = 50;
    let authority = Authority::new();
    let (mut gateway, backend) = gateway(&shows(&authority.issue(&["localhost"])));
    let tls = Initiator::new(gateway.address, demand("localhost", &authority));
    let mut clients: Vec<_> = (0..TUNNELS).map(|_| open(&tls)).collect();
    for change in 0..200 {
        let next = authority.issue(&["localhost"]);
        gateway.reload(&documents(backend.address, &shows(&next)));
        if change % 20 == 0 {
            assert_eq!(shown(&gateway, "localhost", &authority), next.der());
            clients.iter_mut().for_each(|client| echo(client, b"still here"));
        }
    }
    clients.iter_mut().for_each(|client| echo(client, b"still here"));
    assert_eq!(records(&gateway.name).iter().filter(|record| record["ended_by"] == "gateway").count(), 0);
}
