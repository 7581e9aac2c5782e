//! How long it takes to freeze many tunnels, and to take them in.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropeway::lifecycle::Lifecycle;
use ropeway::net::Stream;
use ropeway::tunnel::drain::Whose;
use ropeway::tunnel::frozen::{Frozen, Thaw};
use ropeway::tunnel::policy::Policy;
use ropeway::tunnel::registry::{Registries, Registry};
use ropeway::tunnel::{Account, Claim, Count, Leg, Start, Tunnel, TunnelId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use ws::CloseCode;

const TUNNELS: usize = 4_000;

/// Not for the clock of a debug build: `cargo test --release -p ropeway --test it -- --ignored --nocapture figures`.
#[test]
#[ignore = "prints figures"]
fn figures() {
    let runtime = ropeway::app::runtime().unwrap();
    let lifecycle = Lifecycle::new(&CancellationToken::new());
    let account = Arc::new(Account::new("pool", "server", &policy(), Count::single()));
    let (_peers, sockets) = connections(2 * TUNNELS);
    runtime.block_on(async {
        let (old, registry) = registries(&lifecycle);
        let mut streams = sockets.into_iter().map(|socket| Stream::adopt(socket.into()).unwrap());
        while let (Some(client), Some(server)) = (streams.next(), streams.next()) {
            let leg = |stream| Leg { stream, early: bytes::Bytes::new() };
            let tunnel = Tunnel::new(
                Start {
                    id: TunnelId::random(),
                    route: "front/rule/path".into(),
                    address: [127, 0, 0, 1].into(),
                    account: Claim::new(account.clone()),
                    deflate: false,
                    client: leg(client),
                    server: leg(server),
                },
                &registry,
            );
            lifecycle.spawn(async move { drop(tunnel.await) });
        }
        tokio::task::yield_now().await;

        let begin = Instant::now();
        let frozen = old.freeze(&Whose::All, usize::MAX).await.unwrap();
        let freezing = begin.elapsed();
        assert_eq!(frozen.len(), TUNNELS);
        let bytes: usize = frozen.iter().map(|frozen| frozen.record.len()).sum();

        let begin = Instant::now();
        let (new, registry) = registries(&lifecycle);
        let mut thaw = Thaw::new(|_: &str, _: &str| Some(account.clone()));
        let thawing: Vec<_> = frozen.iter().map(|frozen| thaw.read(&frozen.record).unwrap()).collect();
        let reading = begin.elapsed();
        for (Frozen { sockets, .. }, thawing) in frozen.into_iter().zip(thawing) {
            let streams = sockets.map(|socket| Stream::adopt(socket).unwrap());
            let tunnel = Tunnel::thaw(thawing, streams, &registry);
            lifecycle.spawn(async move { drop(tunnel.await) });
        }
        let thawing = begin.elapsed();
        assert_eq!(account.live() as usize, 2 * TUNNELS);
        let begin = Instant::now();
        old.release();
        while account.live() as usize > TUNNELS {
            tokio::task::yield_now().await;
        }
        let releasing = begin.elapsed();
        assert_eq!(new.movable().await.tunnels, TUNNELS);
        println!(
            "{TUNNELS} tunnels on one worker: frozen in {freezing:?} ({} bytes each), read in {reading:?}, all in after \
             {thawing:?}, released in {releasing:?}",
            bytes / TUNNELS
        );
    });
}

fn registries(lifecycle: &Lifecycle) -> (Registries, Rc<Registry>) {
    let (ask, asked) = mpsc::unbounded_channel();
    let registry = Rc::<Registry>::default();
    let (answering, tasks) = (registry.clone(), lifecycle.clone());
    lifecycle.spawn(async move { answering.answer(asked, &tasks).await });
    (Registries::new(vec![ask]), registry)
}

/// Connections whose other ends wait to be accepted for ever: so they cost no descriptor.
fn connections(count: usize) -> (Vec<TcpListener>, Vec<TcpStream>) {
    const EACH: usize = 100;
    let listeners: Vec<_> =
        (0..count.div_ceil(EACH)).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let connect = |address: SocketAddr| TcpStream::connect(address).unwrap();
    let sockets = listeners.iter().flat_map(|listener| {
        let address = listener.local_addr().unwrap();
        (0..EACH).map(move |_| connect(address))
    });
    let sockets = sockets.take(count).collect();
    (listeners, sockets)
}

fn policy() -> Policy {
    Policy {
        max_client_message: 1 << 20,
        max_server_message: 1 << 20,
        validate_utf8: false,
        vanished_code: CloseCode::INTERNAL_ERROR,
        drain_code: CloseCode::GOING_AWAY,
        close_timeout: Duration::from_secs(5),
    }
}
