//! A TLS connection by itself: how it reads, and how it is taken apart.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ropeway::net::tls::{Parts, TlsStream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ConnectionTrafficSecrets, RootCertStore, ServerConfig, SupportedProtocolVersion, version,
};
use testkit::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Runs on a thread of its own, and not for ever.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(20), test).await.expect("in time") });
}

struct Sides {
    client: ClientConfig,
    server: ServerConfig,
}

fn sides(version: &'static SupportedProtocolVersion) -> Sides {
    let authority = Authority::new();
    let identity = authority.issue(&["a.example"]);
    let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut server = server.with_no_client_auth().with_single_cert(vec![identity.der()], key).unwrap();
    server.send_tls13_tickets = 0;
    Sides { client: client.with_root_certificates(roots).with_no_client_auth(), server }
}

/// A connection's two ends.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (connected, accepted) = tokio::join!(connecting, listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

impl Sides {
    /// TLS between the client's end and the server's.
    async fn agree(&self, client: TcpStream, server: TcpStream) -> (TlsStream, TlsStream) {
        let name = ServerName::try_from("a.example").unwrap();
        let connecting = TlsStream::connect(&self.client, name, client);
        let (client, server) = tokio::join!(connecting, TlsStream::accept(&self.server, server));
        (client.unwrap(), server.unwrap())
    }
}

async fn write(tls: &mut TlsStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = std::future::poll_fn(|cx| tls.poll_write(cx, bytes)).await.unwrap();
        bytes = &bytes[written..];
    }
}

async fn read(tls: &mut TlsStream, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    let mut room = ReadBuf::new(&mut bytes);
    std::future::poll_fn(|cx| tls.poll_read(cx, &mut room)).await?;
    let length = room.filled().len();
    bytes.truncate(length);
    Ok(bytes)
}

/// Passes on what `from` sends in pieces of random sizes.
async fn dribble(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut bytes = vec![0; 50_000];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            let most = *rng.choice(&[1, 4, 300, 17_000, 50_000]).unwrap();
            let (now, later) = rest.split_at(rest.len().min(rng.usize(1..=most)));
            to.write_all(now).await.unwrap();
            tokio::task::yield_now().await;
            rest = later;
        }
    }
}

#[test]
fn records_are_read_however_they_are_cut() {
    let sent: Vec<u8> = (0..400_000_u32).map(|number| (number % 251) as u8).collect();
    for version in [&version::TLS12, &version::TLS13] {
        run(async {
            let ((client, near), (far, server)) = (tcp().await, tcp().await);
            far.set_nodelay(true).unwrap();
            let ((from_client, mut to_client), (mut from_server, to_server)) =
                (near.into_split(), far.into_split());
            let passing = async {
                let back = tokio::io::copy(&mut from_server, &mut to_client);
                tokio::join!(dribble(from_client, to_server), back)
            };
            let talking = async {
                let (mut client, mut server) = sides(version).agree(client, server).await;
                let writing = async {
                    let mut rest = &sent[..];
                    for size in [1, 2, 100, 16_384, 5, 40_000].into_iter().cycle() {
                        let (now, later) = rest.split_at(rest.len().min(size));
                        write(&mut client, now).await;
                        rest = later;
                        if rest.is_empty() {
                            break;
                        }
                    }
                };
                let reading = async {
                    let mut received = Vec::new();
                    for most in [1, 50, 5_000, 70_000].into_iter().cycle() {
                        received.extend(read(&mut server, most).await.unwrap());
                        if received.len() >= sent.len() {
                            break;
                        }
                    }
                    assert!(received == sent, "{version:?}: not the same");
                };
                tokio::join!(writing, reading);
            };
            tokio::select! {
                _ = passing => panic!("the connection has ended"),
                () = talking => {}
            }
        });
    }
}

/// What there is of a record when the connection ends is no end that TLS knows.
#[test]
fn a_connection_that_ends_within_a_record_is_lost() {
    run(async {
        let (client, server) = tcp().await;
        let (client, mut server) = sides(&version::TLS13).agree(client, server).await;
        let Parts { mut tcp, .. } = client.into_parts().unwrap();
        tcp.write_all(&[23, 3, 3, 0, 99, 7, 7]).await.unwrap();
        tcp.shutdown().await.unwrap();
        let error = read(&mut server, 10).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_connection_is_taken_apart_between_records() {
    run(async {
        let (client, server) = tcp().await;
        let (mut client, mut server) = sides(&version::TLS13).agree(client, server).await;
        for message in ["one", "two", "three", "four"] {
            write(&mut client, message.as_bytes()).await;
        }
        // Two records are read, of the second only a part is taken, and two wait: one way or the other.
        assert_eq!(read(&mut server, 3).await.unwrap(), b"one");
        assert_eq!(read(&mut server, 1).await.unwrap(), b"t");
        let (client, server) = (client.into_parts().unwrap(), server.into_parts().unwrap());
        assert_eq!(server.opened, b"wo");
        let mut unread = server.unread.to_vec();
        let mut tcp = server.tcp;
        // A record of TLS 1.3 is its header, the bytes, their type, and 16 bytes that prove them.
        let lengths = [5 + 5 + 17, 5 + 4 + 17];
        while unread.len() < lengths.iter().sum() {
            tcp.read_buf(&mut unread).await.unwrap();
        }
        assert_eq!(
            (&unread[..5], &unread[lengths[0]..][..5]),
            (&[23, 3, 3, 0, 22][..], &[23, 3, 3, 0, 21][..])
        );
        assert_eq!((client.keys.tx.0, server.keys.rx.0), (4, 2), "records that were sealed and opened");
        assert_eq!((client.keys.rx.0, server.keys.tx.0), (0, 0));
        assert_eq!(bytes(&client.keys.tx.1), bytes(&server.keys.rx.1));
        assert_eq!(bytes(&client.keys.rx.1), bytes(&server.keys.tx.1));
        let secrets = client.secrets.of_both().unwrap();
        assert_eq!(secrets, server.secrets.of_both().unwrap());
        assert!(secrets[0] != secrets[1] && secrets.iter().all(|secret| secret.len() >= 32));
        assert_eq!(format!("{:?}", client.secrets), "Secrets");
    });
}

fn bytes(secrets: &ConnectionTrafficSecrets) -> (Vec<u8>, Vec<u8>) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (key.as_ref().to_vec(), iv.as_ref().to_vec())
        }
        _ => panic!("a cipher suite of TLS 1.2"),
    }
}

#[test]
fn what_only_rustls_can_go_on_with_is_not_taken_apart() {
    run(async {
        let (client, server) = tcp().await;
        let (client, server) = sides(&version::TLS12).agree(client, server).await;
        assert!(client.into_parts().is_none() && server.into_parts().is_none(), "TLS 1.2");

        let (client, server) = tcp().await;
        let (mut client, _server) = sides(&version::TLS13).agree(client, server).await;
        let much = vec![7; 1 << 20];
        let stuck = |cx: &mut Context<'_>| match client.poll_write(cx, &much) {
            Poll::Pending => Poll::Ready(()),
            Poll::Ready(written) => {
                assert!(written.unwrap() > 0);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        };
        std::future::poll_fn(stuck).await;
        assert!(client.into_parts().is_none(), "sealed bytes that did not leave");
    });
}
