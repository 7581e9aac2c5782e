//! Listeners on IPv6, and what servers and logs are told of such clients.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use testkit::{Backend, Peer, TestGateway, record};

use super::{Setup, get, header};

/// Asks at `address`: who the server is told that the client is.
fn told(address: SocketAddr, backend: &Backend) -> String {
    let mut client = Peer::connect(address);
    client.send(get("/", "Connection: close\r\n").as_bytes());
    let mut server = backend.accept();
    let head = server.head();
    server.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    header(&head, "x-forwarded-for").unwrap_or_default().to_owned()
}

fn documents(backend: &Backend, address: &str) -> String {
    let documents = Setup::default().documents(&[format!("http://{}", backend.address)]);
    documents.replacen("address: 127.0.0.1\n", address, 1)
}

/// An address of one family is for that family, and none at all for both; IPv4 has the form of IPv4 in either case.
#[test]
fn clients_of_each_family() {
    let backend = Backend::listen();
    let (four, six) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    for (address, takes_four, takes_six) in [
        ("", true, true),
        ("address: '::'\n", true, true),
        ("address: '::1'\n", false, true),
        ("address: 127.0.0.1\n", true, false),
        ("address: 0.0.0.0\n", true, false),
    ] {
        let gateway = TestGateway::start(&documents(&backend, address));
        for (ip, expected) in [(four, takes_four), (six, takes_six)] {
            let at = SocketAddr::new(ip, gateway.address.port());
            if expected {
                assert_eq!(told(at, &backend), ip.to_string(), "{address} {ip}");
            } else {
                assert!(TcpStream::connect(at).is_err(), "{address} {ip}");
            }
        }
    }
}

#[test]
fn lists_of_addresses_know_both_forms() {
    let backend = Backend::listen();
    for (lines, ip, status) in [
        ("ipFilter: { blockIPs: ['::1'] }\n", "::1", "403"),
        ("ipFilter: { blockIPs: ['::1'] }\n", "127.0.0.1", "502"),
        ("ipFilter: { blockIPs: [127.0.0.0/8] }\n", "127.0.0.1", "403"),
        ("ipFilter: { blockIPs: [127.0.0.0/8] }\n", "::1", "502"),
    ] {
        let gateway = TestGateway::start(&documents(&backend, lines));
        let mut client = Peer::connect(SocketAddr::new(ip.parse().unwrap(), gateway.address.port()));
        client.send(get("/", "").as_bytes());
        if status == "502" {
            drop(backend.accept());
        }
        let head = client.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{lines} {ip}: {head}");
    }
}

#[test]
fn the_log_of_a_tunnel_names_the_client() {
    let backend = Backend::listen();
    let documents =
        TestGateway::documents_to(&[backend.address], "").replacen("address: 127.0.0.1", "address: '::1'", 1);
    let gateway = TestGateway::start(&documents);
    assert!(gateway.address.to_string().starts_with("[::1]:"), "{}", gateway.address);
    let (client, _server) = gateway.tunnel(&backend);
    drop(client);
    assert_eq!(record(&gateway.name)["client"], "::1");
}
