//! The clients' side: opens tunnels, and keeps or leaves them.

use std::future::Future;
use std::io::{self, Error};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::end::End;
use crate::ledger::Tunnel;
use crate::message::Way;
use crate::{Stage, World, locked};

/// Handshakes under way at the same time.
const OPENING: usize = 64;
/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest life of a tunnel that comes and goes.
const LIFE: Duration = Duration::from_millis(500);
/// The longest head of an answer or a request.
pub(crate) const HEAD: usize = 16 << 10;

type Stages = watch::Receiver<Stage>;

/// Runs until all tunnels are closed.
pub(crate) async fn run(world: &Arc<World>, stages: &mut Stages) {
    let mut tasks = JoinSet::new();
    let gate = Arc::new(Semaphore::new(OPENING));
    for _ in 0..world.plan.tunnels {
        tasks.spawn(stay(world.clone(), stages.clone(), gate.clone()));
    }
    if let Some(pace) = world.plan.churn {
        let mut rng = fastrand::Rng::with_seed(world.plan.seed);
        let finish = async {
            // An error is as good: whoever started this is gone.
            let _ = stages.clone().wait_for(|stage| *stage != Stage::Run).await;
        };
        tokio::pin!(finish);
        loop {
            tokio::select! {
                () = &mut finish => break,
                () = sleep(pace.mul_f64(2.0 * rng.f64())) => {}
            }
            tasks.spawn(visit(world.clone(), stages.clone(), LIFE.mul_f64(rng.f64())));
            while tasks.try_join_next().is_some() {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn stay(world: Arc<World>, mut stages: Stages, gate: Arc<Semaphore>) {
    let place = gate.acquire().await;
    let opened = open(&world, true).await;
    drop(place);
    world.settled.fetch_add(1, Ordering::Relaxed);
    let until = async move {
        let _ = stages.wait_for(|stage| *stage != Stage::Run).await;
    };
    talk(&world, opened, until).await;
}

async fn visit(world: Arc<World>, mut stages: Stages, life: Duration) {
    let opened = open(&world, false).await;
    let until = async move {
        let _ = timeout(life, stages.wait_for(|stage| *stage != Stage::Run)).await;
    };
    talk(&world, opened, until).await;
}

async fn talk(world: &Arc<World>, opened: io::Result<Opened>, until: impl Future<Output = ()>) {
    let Opened { tunnel, stream, rest } = match opened {
        Ok(opened) => opened,
        Err(error) => return locked(&world.past).handshake_failed(error.to_string()),
    };
    let end = End::new(world.clone(), tunnel.clone(), Way::Up);
    let close = end.run(stream, rest, until).await;
    let mut this = locked(&tunnel);
    let Some(close) = close else {
        // Both ends have seen everything: what is known of it is added up, so that a long run needs no more memory.
        locked(&world.tunnels).remove(&this.id);
        return locked(&world.past).add(&this, true);
    };
    this.closed = Some((close, world.began.elapsed()));
}

pub(crate) struct Opened {
    tunnel: Arc<Mutex<Tunnel>>,
    stream: Box<dyn Stream>,
    /// What came behind the 101.
    rest: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn open(world: &Arc<World>, stays: bool) -> io::Result<Opened> {
    let id = world.next.fetch_add(1, Ordering::Relaxed);
    let tunnel = Arc::new(Mutex::new(Tunnel { id, stays, ..Tunnel::default() }));
    locked(&world.tunnels).insert(id, tunnel.clone());
    let opened =
        timeout(PATIENCE, shake(world, id)).await.unwrap_or_else(|_| Err(Error::other("no answer in 10 s")));
    match opened {
        Ok((stream, rest)) => Ok(Opened { tunnel, stream, rest }),
        Err(error) => {
            locked(&world.tunnels).remove(&id);
            Err(error)
        }
    }
}

async fn shake(world: &World, id: u32) -> io::Result<(Box<dyn Stream>, Vec<u8>)> {
    let target = &world.target;
    let tcp = TcpStream::connect(target.address).await?;
    tcp.set_nodelay(true)?;
    let mut stream: Box<dyn Stream> = match &target.tls {
        None => Box::new(tcp),
        Some(config) => {
            let name = ServerName::try_from(target.host.clone()).map_err(Error::other)?;
            Box::new(TlsConnector::from(config.clone()).connect(name, tcp).await?)
        }
    };
    let (host, path) = (&target.host, &target.path);
    let query = if path.contains('?') { '&' } else { '?' };
    let request = format!(
        "GET {path}{query}soak={id} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (head, rest) = head(&mut stream).await?;
    let status = head.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101 ") {
        return Err(Error::other(format!("answered with `{status}`")));
    }
    let accept = ws::handshake::accept_key(KEY.as_bytes());
    if field(&head, "sec-websocket-accept").map(str::as_bytes) != Some(&accept[..]) {
        return Err(Error::other("the 101 has another Sec-WebSocket-Accept than our key asks for"));
    }
    Ok((stream, rest))
}

/// The head of a request or an answer, and what came behind it.
pub(crate) async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while head.len() < HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&head).into_owned(), rest));
        }
    }
    Err(Error::other("a head without an end"))
}

/// The first value of a header, whose name is in lower case.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The example key of RFC 6455 1.3: a gateway must not care which it is.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
